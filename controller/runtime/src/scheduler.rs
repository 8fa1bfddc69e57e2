//! When which key runs next. Owns one slot a key: the key waits for its time, or it runs, never both and never twice.
//! Does no I/O; its only clock is tokio's timer, so it works in paused time.
//!
//! A key that is enqueued again while it waits keeps the earlier time. One that is enqueued while it runs is parked
//! and waits again as soon as [`Scheduler::finish`] says that the run is over: however often it was enqueued, that is
//! one more run. Of those whose time has come the urgent ones go first, by [`Precedence`].

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use aegis_api::precedence::{Precedence, Urgency};
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
    /// In which line it waited.
    pub urgency: Urgency,
}

/// The slots. As a stream it yields each key when its time comes, urgent ones first, then the earliest, and never ends.
#[derive(Debug)]
pub struct Scheduler<K> {
    slots: HashMap<K, Slot>,
    /// Keys whose time has come, urgent and ordinary, and those whose time has not. Together: every waiting slot.
    urgent: BTreeMap<Order, K>,
    ready: BTreeMap<Order, K>,
    later: BTreeMap<Order, (K, Urgency)>,
    precedence: Precedence,
    added: u64,
    timer: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

/// The order in which keys run: by time, then in the order they were requested.
type Order = (Instant, u64);

#[derive(Debug, Clone, Copy)]
enum Slot {
    Waiting {
        place: Order,
        why: &'static str,
        urgency: Urgency,
    },
    Running {
        parked: Option<(Instant, &'static str, Urgency)>,
    },
}

impl<K> Default for Scheduler<K> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            urgent: BTreeMap::new(),
            ready: BTreeMap::new(),
            later: BTreeMap::new(),
            precedence: Precedence::new(),
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
        self.schedule_as(key, at, why, Urgency::Ordinary);
    }

    /// As [`Self::schedule`], in this line. A key that waits already moves to the line that was named last.
    pub fn schedule_as(&mut self, key: K, at: Instant, why: &'static str, urgency: Urgency) {
        match self.slots.get_mut(&key) {
            Some(Slot::Running { parked }) => {
                let (at, why) = match *parked {
                    Some((earlier, first, _)) if earlier <= at => (earlier, first),
                    _ => (at, why),
                };
                *parked = Some((at, why, urgency));
            }
            Some(Slot::Waiting {
                place, urgency: was, ..
            }) if place.0 <= at && *was == urgency => {}
            Some(Slot::Waiting {
                place, why: first, ..
            }) => {
                let (place, first) = (*place, *first);
                self.forget(place);
                match place.0 <= at {
                    true => self.wait(key, place.0, first, urgency),
                    false => self.wait(key, at, why, urgency),
                }
            }
            None => self.wait(key, at, why, urgency),
        }
    }

    /// Says that the run of `key` is over; what was requested meanwhile waits from now on. Of a key that does not run
    /// it means nothing.
    pub fn finish(&mut self, key: &K) {
        let Some(Slot::Running { parked }) = self.slots.get(key) else {
            return;
        };
        match *parked {
            Some((at, why, urgency)) => self.wait(key.clone(), at, why, urgency),
            None => {
                self.slots.remove(key);
            }
        }
    }

    /// How many keys wait although their time has come.
    pub fn depth(&mut self) -> usize {
        self.promote(Instant::now());
        self.urgent.len() + self.ready.len()
    }

    /// How many keys run.
    pub fn running(&self) -> usize {
        self.slots.len() - self.urgent.len() - self.ready.len() - self.later.len()
    }

    fn forget(&mut self, place: Order) {
        if self.later.remove(&place).is_none() && self.ready.remove(&place).is_none() {
            self.urgent.remove(&place);
        }
    }

    fn wait(&mut self, key: K, at: Instant, why: &'static str, urgency: Urgency) {
        self.added += 1;
        let place = (at, self.added);
        let slot = Slot::Waiting { place, why, urgency };
        self.slots.insert(key.clone(), slot);
        self.later.insert(place, (key, urgency));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// One by one: to join two maps costs as much as both have, and in a storm thousands are ready at each look.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let (place, (key, urgency)) = first.remove_entry();
            match urgency {
                Urgency::Urgent => self.urgent.insert(place, key),
                Urgency::Ordinary => self.ready.insert(place, key),
            };
        }
    }

    fn take(&mut self, ordinary_fits: bool) -> Option<Due<K>> {
        let (urgent_waits, ordinary_waits) = (!self.urgent.is_empty(), !self.ready.is_empty());
        let urgency = self
            .precedence
            .next(urgent_waits, ordinary_waits, ordinary_fits)?;
        let line = match urgency {
            Urgency::Urgent => &mut self.urgent,
            Urgency::Ordinary => &mut self.ready,
        };
        let ((at, _), key) = line.pop_first()?;
        let slot = self.slots.insert(key.clone(), Slot::Running { parked: None });
        let why = match slot {
            Some(Slot::Waiting { why, .. }) => why,
            Some(Slot::Running { .. }) | None => "timer",
        };
        Some(Due {
            key,
            why,
            at,
            urgency,
        })
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

impl<K: Eq + Hash + Clone> Scheduler<K> {
    /// The next key whose time has come; of the ordinary ones only where such a one fits.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>, ordinary_fits: bool) -> Poll<Due<K>> {
        loop {
            self.promote(Instant::now());
            if let Some(due) = self.take(ordinary_fits) {
                return Poll::Ready(due);
            }
            if self.poll_timer(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

impl<K: Eq + Hash + Clone + Unpin> Stream for Scheduler<K> {
    type Item = Due<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Due<K>>> {
        self.get_mut().poll_due(cx, true).map(Some)
    }
}

#[cfg(test)]
mod tests;
