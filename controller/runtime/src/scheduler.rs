//! When which key runs next. Owns one slot a key: the key waits for its time, or it runs, never both and never twice.
//! Does no I/O; its only clock is tokio's timer, so it works in paused time.
//!
//! A key that is enqueued again while it waits keeps the earlier time. One that is enqueued while it runs is parked
//! and waits again as soon as [`Scheduler::finish`] says that the run is over: however often it was enqueued, that is
//! one more run.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::Stream;
use tokio::time::{Instant, Sleep};

/// A key whose time has come. It counts as running until [`Scheduler::finish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<K> {
    /// The key.
    pub key: K,
    /// What requested the run; of several, what requested the earliest.
    pub why: &'static str,
    /// The time it was wanted for.
    pub at: Instant,
}

/// The slots. As a stream it yields each key when its time comes, earliest first, and never ends.
#[derive(Debug)]
pub struct Scheduler<K> {
    slots: HashMap<K, Slot>,
    /// Keys whose time has come, and those whose time has not. Together: every waiting slot.
    ready: BTreeMap<Order, K>,
    later: BTreeMap<Order, K>,
    added: u64,
    timer: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

/// The order in which keys run: by time, then in the order they were requested.
type Order = (Instant, u64);

#[derive(Debug, Clone, Copy)]
enum Slot {
    Waiting { place: Order, why: &'static str },
    Running { parked: Option<(Instant, &'static str)> },
}

impl<K> Default for Scheduler<K> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
            added: 0,
            timer: None,
            waker: None,
        }
    }
}

impl<K: Eq + Hash + Clone> Scheduler<K> {
    /// No key at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enqueues `key` at `at`, which may be now or past.
    pub fn schedule(&mut self, key: K, at: Instant, why: &'static str) {
        match self.slots.get_mut(&key) {
            Some(Slot::Running { parked }) => {
                if parked.is_none_or(|(earlier, _)| at < earlier) {
                    *parked = Some((at, why));
                }
            }
            Some(Slot::Waiting { place, .. }) if place.0 <= at => {}
            Some(Slot::Waiting { place, .. }) => {
                let place = *place;
                if self.later.remove(&place).is_none() {
                    self.ready.remove(&place);
                }
                self.wait(key, at, why);
            }
            None => self.wait(key, at, why),
        }
    }

    /// Says that the run of `key` is over; what was requested meanwhile waits from now on. Of a key that does not run
    /// it means nothing.
    pub fn finish(&mut self, key: &K) {
        let Some(Slot::Running { parked }) = self.slots.get(key) else {
            return;
        };
        match *parked {
            Some((at, why)) => self.wait(key.clone(), at, why),
            None => {
                self.slots.remove(key);
            }
        }
    }

    /// How many keys wait although their time has come.
    pub fn depth(&mut self) -> usize {
        self.promote(Instant::now());
        self.ready.len()
    }

    /// How many keys run.
    pub fn running(&self) -> usize {
        self.slots.len() - self.ready.len() - self.later.len()
    }

    fn wait(&mut self, key: K, at: Instant, why: &'static str) {
        self.added += 1;
        let place = (at, self.added);
        self.slots.insert(key.clone(), Slot::Waiting { place, why });
        self.later.insert(place, key);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// One by one: to join two maps costs as much as both have, and in a storm thousands are ready at each look.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let (place, key) = first.remove_entry();
            self.ready.insert(place, key);
        }
    }

    fn take(&mut self) -> Option<Due<K>> {
        let ((at, _), key) = self.ready.pop_first()?;
        let slot = self.slots.insert(key.clone(), Slot::Running { parked: None });
        let why = match slot {
            Some(Slot::Waiting { why, .. }) => why,
            Some(Slot::Running { .. }) | None => "timer",
        };
        Some(Due { key, why, at })
    }

    /// Whether the next time has come; if not, the task is woken when it has.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.later.first_key_value().map(|(place, _)| place.0) else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        timer.as_mut().poll(cx)
    }
}

impl<K: Eq + Hash + Clone + Unpin> Stream for Scheduler<K> {
    type Item = Due<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Due<K>>> {
        let this = self.get_mut();
        loop {
            this.promote(Instant::now());
            if let Some(due) = this.take() {
                return Poll::Ready(Some(due));
            }
            if this.poll_timer(cx).is_pending() {
                this.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests;
