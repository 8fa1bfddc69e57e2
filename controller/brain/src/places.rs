//! The calls that a model's server takes side by side, and who waits for one: urgent cases go first, and some places are theirs
//! alone; see [`aegis_api::precedence`]. A call may take minutes. No I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::precedence::{Precedence, Urgency, reserve};
use tokio::sync::oneshot;

/// The places of one server. Each that waits is an open incident, whose number is bounded.
#[derive(Debug)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    taken: usize,
    /// Of these, by ordinary cases.
    ordinary_taken: usize,
    urgent: VecDeque<oneshot::Sender<Place>>,
    ordinary: VecDeque<oneshot::Sender<Place>>,
    precedence: Precedence,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    urgency: Urgency,
}

impl Places {
    /// At least one.
    pub(crate) fn new(all: usize) -> Self {
        Self(Arc::new(Shared {
            all: all.max(1),
            queue: Mutex::default(),
        }))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(crate) async fn take(&self, urgency: Urgency) -> Place {
        let (send, receive) = oneshot::channel();
        self.0.with(|queue| queue.join(urgency, send));
        self.0.hand_out();
        match receive.await {
            Ok(place) => place,
            // The queue keeps the sender for as long as somebody waits for it, and lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        change(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives the places that are free to those that wait. A place that is not wanted any more comes back by its drop, so
    /// none is made or dropped under the lock.
    fn hand_out(self: &Arc<Self>) {
        while let Some((send, urgency)) = self.with(|queue| queue.next(self.all)) {
            let shared = Arc::clone(self);
            drop(send.send(Place { shared, urgency }));
        }
    }
}

impl Queue {
    fn join(&mut self, urgency: Urgency, send: oneshot::Sender<Place>) {
        let line = self.line(urgency);
        line.retain(|waiting| !waiting.is_closed());
        line.push_back(send);
    }

    fn line(&mut self, urgency: Urgency) -> &mut VecDeque<oneshot::Sender<Place>> {
        match urgency {
            Urgency::Urgent => &mut self.urgent,
            Urgency::Ordinary => &mut self.ordinary,
        }
    }

    /// Whose turn it is, if a place is free: it is taken from now on.
    fn next(&mut self, all: usize) -> Option<(oneshot::Sender<Place>, Urgency)> {
        if self.taken >= all {
            return None;
        }
        for urgency in [Urgency::Urgent, Urgency::Ordinary] {
            let line = self.line(urgency);
            while line.front().is_some_and(oneshot::Sender::is_closed) {
                line.pop_front();
            }
        }
        let ordinary_fits = self.ordinary_taken < all.saturating_sub(reserve(all));
        let (urgent_waits, ordinary_waits) = (!self.urgent.is_empty(), !self.ordinary.is_empty());
        let urgency = self
            .precedence
            .next(urgent_waits, ordinary_waits, ordinary_fits)?;
        let send = self.line(urgency).pop_front()?;
        self.taken = self.taken.saturating_add(1);
        if urgency == Urgency::Ordinary {
            self.ordinary_taken = self.ordinary_taken.saturating_add(1);
        }
        Some((send, urgency))
    }

    fn leave(&mut self, urgency: Urgency) {
        self.taken = self.taken.saturating_sub(1);
        if urgency == Urgency::Ordinary {
            self.ordinary_taken = self.ordinary_taken.saturating_sub(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.with(|queue| queue.leave(self.urgency));
        self.shared.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::stream::{FuturesUnordered, StreamExt as _};

    use super::*;

    fn now(places: &Places, urgency: Urgency) -> Option<Place> {
        places.take(urgency).now_or_never()
    }

    #[test]
    fn ordinary_cases_leave_a_place_free_that_an_urgent_one_takes() {
        let places = Places::new(3);
        let held: Vec<_> = (0..2).map(|_| now(&places, Urgency::Ordinary).unwrap()).collect();
        assert!(now(&places, Urgency::Ordinary).is_none());
        let urgent = now(&places, Urgency::Urgent).unwrap();
        assert!(now(&places, Urgency::Urgent).is_none(), "three at once");
        drop(urgent);
        assert!(now(&places, Urgency::Ordinary).is_none());
        drop(held);
        assert!(now(&places, Urgency::Ordinary).is_some());
    }

    #[tokio::test]
    async fn of_those_that_wait_for_the_only_place_the_urgent_ones_go_first_and_one_of_nine_is_ordinary() {
        let places = Places::new(1);
        let held = now(&places, Urgency::Ordinary).unwrap();
        let mut waiting = FuturesUnordered::new();
        for urgency in [Urgency::Ordinary, Urgency::Urgent] {
            for _ in 0..10 {
                waiting.push(places.take(urgency));
            }
        }
        // All of them queue up.
        assert!(waiting.next().now_or_never().is_none());
        drop(held);
        let mut order = Vec::new();
        while let Some(place) = waiting.next().await {
            order.push(place.urgency);
        }
        let ordinary: Vec<usize> = (0..20).filter(|at| order[*at] == Urgency::Ordinary).collect();
        assert_eq!(ordinary[..2], [8, 11], "{order:?}");
        assert_eq!(ordinary.len(), 10);
    }

    #[test]
    fn one_that_gives_up_takes_no_place_and_keeps_none() {
        let places = Places::new(1);
        let held = now(&places, Urgency::Urgent).unwrap();
        for _ in 0..1000 {
            assert!(now(&places, Urgency::Urgent).is_none());
        }
        places
            .0
            .with(|queue| assert!(queue.urgent.len() <= 1, "{}", queue.urgent.len()));
        let mut gave_up = Box::pin(places.take(Urgency::Ordinary));
        assert!(gave_up.as_mut().now_or_never().is_none());
        // It is handed the place, and never looks.
        drop(held);
        drop(gave_up);
        assert!(now(&places, Urgency::Ordinary).is_some());
        places
            .0
            .with(|queue| assert_eq!((queue.taken, queue.ordinary_taken), (0, 0)));
    }
}
