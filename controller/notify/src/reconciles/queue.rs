//! Reconciles that wait to be sent: filtered, at most so many a second, bounded in number and bytes. What is left out is
//! counted, and the next one that is sent says how many. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{ReconcileFilter, ReconcileNews, event};
use crate::webhook::{Post, Webhook};

/// Most that wait.
pub(super) const MOST: usize = 256;
/// Most bytes of all that wait.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// One that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) post: Post,
    /// How many were left out before it, which it says.
    lost: u64,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    filter: ReconcileFilter,
    per_second: usize,
    /// When the latest were let in, at most [`Self::per_second`].
    latest: VecDeque<Instant>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How many were left out since the last one that says so.
    lost: u64,
}

impl Queue {
    pub(super) fn new(filter: ReconcileFilter, per_second: u32) -> Self {
        Self {
            filter,
            per_second: usize::try_from(per_second).unwrap_or(usize::MAX).max(1),
            latest: VecDeque::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            lost: 0,
        }
    }

    pub(super) fn receive(&mut self, news: ReconcileNews, now: Instant) {
        let seen = match news {
            ReconcileNews::One(seen) => seen,
            ReconcileNews::Missed(count) => return self.lose(count),
        };
        if !self.filter.wants(&seen) {
            return;
        }
        if !self.has_rate(now) {
            return self.lose(1);
        }
        let lost = std::mem::take(&mut self.lost);
        let post = Webhook::cloud_event(&event(&seen, lost), &seen.id);
        self.bytes = self.bytes.saturating_add(post.body.len());
        self.waiting.push_back(Waiting { post, lost });
        while self.waiting.len() > MOST || self.bytes > MOST_BYTES {
            self.give_up();
        }
    }

    /// Whether one more may be let in within this second.
    fn has_rate(&mut self, now: Instant) -> bool {
        let is_past = |at: &Instant| now.duration_since(*at) >= Duration::from_secs(1);
        while self.latest.front().is_some_and(is_past) {
            self.latest.pop_front();
        }
        let has = self.latest.len() < self.per_second;
        if has {
            self.latest.push_back(now);
        }
        has
    }

    fn lose(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    pub(super) fn front(&self) -> Option<&Waiting> {
        self.waiting.front()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The first was sent.
    pub(super) fn sent(&mut self) {
        self.pop();
    }

    /// The first is not sent: what it would have said is said by another.
    pub(super) fn give_up(&mut self) {
        if let Some(gone) = self.pop() {
            self.lose(gone.lost.saturating_add(1));
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let gone = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(gone.post.body.len());
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::seen;
    use super::*;

    fn one(name: &str) -> ReconcileNews {
        ReconcileNews::One(Box::new(seen("Workload", name, "success", None)))
    }

    fn lost(waiting: &Waiting) -> u64 {
        let body: Value = serde_json::from_slice(&waiting.post.body).unwrap();
        body["data"]["lost"].as_u64().unwrap()
    }

    #[test]
    fn more_than_so_many_a_second_are_counted_and_the_next_one_says_how_many() {
        let (mut queue, start) = (Queue::new(ReconcileFilter::default(), 5), Instant::now());
        for _ in 0..12 {
            queue.receive(one("web"), start);
        }
        queue.receive(ReconcileNews::Missed(3), start);
        assert_eq!(queue.len(), 5);
        // In no second there are more, wherever it begins.
        queue.receive(one("web"), start + Duration::from_millis(999));
        assert_eq!(queue.len(), 5);
        for _ in 0..2 {
            queue.receive(one("web"), start + Duration::from_secs(1));
        }
        let said: Vec<u64> = queue.waiting.iter().map(lost).collect();
        assert_eq!(said, [0, 0, 0, 0, 0, 7 + 3 + 1, 0]);
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_with_what_it_would_have_said() {
        let (mut queue, mut now) = (Queue::new(ReconcileFilter::default(), 100), Instant::now());
        queue.receive(ReconcileNews::Missed(7), now);
        let mut sent = 0;
        for _ in 0..MOST + 10 {
            now += Duration::from_millis(10);
            queue.receive(one("web"), now);
            sent += 1;
        }
        assert_eq!(queue.len(), MOST);
        // However they leave, each is sent or counted once.
        let mut counted = 0;
        while let Some(front) = queue.front() {
            counted += lost(front) + 1;
            queue.sent();
        }
        assert_eq!(counted + queue.lost, sent + 7);
        assert_eq!(queue.bytes, 0);
        let big = "w".repeat(60);
        for _ in 0..2 * MOST {
            now += Duration::from_millis(10);
            queue.receive(one(&big), now);
        }
        assert!(queue.bytes <= MOST_BYTES && queue.len() <= MOST);
    }

    #[test]
    fn what_the_filter_leaves_out_is_no_loss() {
        let filter = "result=error".parse().unwrap();
        let (mut queue, now) = (Queue::new(filter, 1), Instant::now());
        for _ in 0..100 {
            queue.receive(one("web"), now);
        }
        assert_eq!((queue.len(), queue.lost), (0, 0));
    }
}
