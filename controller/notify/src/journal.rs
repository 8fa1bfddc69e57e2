//! What became of the messages to one destination: counters, the latest deliveries, whether it was stopped. Bounded; read
//! by the server and by metrics. No I/O.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_api::wire::{Delivery, DeliveryOutcome, DestinationView};

/// Most deliveries that are remembered of one destination; those that failed and those that did not apart, so that a
/// stream of the ones hides none of the others.
const MOST: usize = 100;
/// Most characters of a reason.
const WHY: usize = 200;

/// What became of messages.
#[derive(Debug)]
pub struct Journal {
    name: String,
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    folded: AtomicU64,
    waiting: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: VecDeque<Delivery>,
    dead: VecDeque<Delivery>,
    stopped: Option<String>,
}

impl Journal {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sent: AtomicU64::default(),
            failed: AtomicU64::default(),
            dropped: AtomicU64::default(),
            folded: AtomicU64::default(),
            waiting: AtomicU64::default(),
            inner: Mutex::default(),
        }
    }

    /// The destination.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Messages that were taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Messages that were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Messages that a digest stands for.
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Messages that wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nothing is sent any more, and why.
    pub fn stopped(&self) -> Option<String> {
        self.inner().stopped.clone()
    }

    /// For the list of notifications.
    pub fn view(&self) -> DestinationView {
        DestinationView {
            name: self.name.clone(),
            stopped: self.stopped(),
            waiting: self.waiting(),
            sent: self.sent(),
            failures: self.failed(),
            dropped: self.dropped(),
            folded: self.folded(),
        }
    }

    /// The latest deliveries, in no order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let inner = self.inner();
        inner.taken.iter().chain(&inner.dead).cloned().collect()
    }

    pub(crate) fn count_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_folded(&self) {
        self.folded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.waiting.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_stopped(&self, why: Option<&str>) {
        self.inner().stopped = why.map(bounded);
    }

    pub(crate) fn taken(&self, incident: &str, about: &str) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let delivery = self.delivery(incident, about, DeliveryOutcome::Sent, "");
        keep(&mut self.inner().taken, delivery);
    }

    pub(crate) fn gave_up(&self, incident: &str, about: &str, why: &str) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        let delivery = self.delivery(incident, about, DeliveryOutcome::Dropped, why);
        keep(&mut self.inner().dead, delivery);
    }

    fn delivery(&self, incident: &str, about: &str, outcome: DeliveryOutcome, why: &str) -> Delivery {
        Delivery {
            at: aegis_clock::now(),
            destination: self.name.clone(),
            incident: incident.to_owned(),
            about: about.to_owned(),
            outcome,
            message: bounded(why),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounded(why: &str) -> String {
    why.chars().take(WHY).collect()
}

fn keep(ring: &mut VecDeque<Delivery>, delivery: Delivery) {
    ring.push_back(delivery);
    while ring.len() > MOST {
        ring.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_are_taken_hide_none_that_was_given_up() {
        let journal = Journal::new("slack");
        journal.gave_up("inc-a", "FAILED", &"x".repeat(1_000));
        for _ in 0..1_000 {
            journal.taken("inc-b", "RESOLVED");
        }
        let deliveries = journal.deliveries();
        assert_eq!(deliveries.len(), MOST + 1);
        let dead = deliveries
            .iter()
            .find(|it| it.outcome == DeliveryOutcome::Dropped)
            .unwrap();
        assert_eq!((dead.incident.as_str(), dead.message.len()), ("inc-a", WHY));
        assert_eq!((journal.sent(), journal.dropped()), (1_000, 1));
    }
}
