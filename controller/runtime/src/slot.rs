//! Slots of a loop: how many of its reconciles may be at work. One that only waits for something slow gives its slot back
//! for that long, so that however many hang, those that can go on do. Its key stays taken: it never runs twice at a time.
//! No I/O.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aegis_api::precedence::Urgency;
use tokio::sync::Notify;

/// A reconcile that runs longer than this is waiting for something: it no longer counts.
pub(crate) const WAITS_AFTER: Duration = Duration::from_secs(5);

tokio::task_local! {
    static CURRENT: Arc<Slot>;
}

/// Awaits something that may be slow (a container that does not stop, a model that does not answer) without the slot of the
/// reconcile that runs here. Outside of a loop it only awaits it. How many wait so is bounded by the objects there are.
pub async fn aside<F: Future>(waiting: F) -> F::Output {
    let slot = CURRENT.try_with(Arc::clone).ok();
    let _back = slot.as_ref().map(|slot| slot.leave());
    waiting.await
}

/// How many slots of a loop are occupied.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    occupied: AtomicUsize,
    /// Of these, by what is ordinary.
    ordinary: AtomicUsize,
    freed: Notify,
}

impl Slots {
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    pub(crate) fn ordinary(&self) -> usize {
        self.ordinary.load(Ordering::Relaxed)
    }

    /// Ends when a slot was freed that had not been seen yet.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn free(&self, urgency: Urgency) {
        self.occupied.fetch_sub(1, Ordering::Relaxed);
        if urgency == Urgency::Ordinary {
            self.ordinary.fetch_sub(1, Ordering::Relaxed);
        }
        self.freed.notify_one();
    }

    fn occupy(&self, urgency: Urgency) {
        self.occupied.fetch_add(1, Ordering::Relaxed);
        if urgency == Urgency::Ordinary {
            self.ordinary.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The slot of one reconcile; freed with it.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    urgency: Urgency,
    /// How many of its parts wait aside at this moment.
    aside: AtomicUsize,
}

impl Slot {
    pub(crate) fn take(slots: &Arc<Slots>, urgency: Urgency) -> Arc<Self> {
        slots.occupy(urgency);
        Arc::new(Self {
            slots: Arc::clone(slots),
            urgency,
            aside: AtomicUsize::new(0),
        })
    }

    /// Runs a reconcile in this slot.
    pub(crate) async fn hold<F: Future>(self: Arc<Self>, reconcile: F) -> F::Output {
        let slot = Arc::clone(&self);
        let late = async move {
            tokio::time::sleep(WAITS_AFTER).await;
            let _gone = slot.leave();
            std::future::pending::<std::convert::Infallible>().await
        };
        let both = async move {
            tokio::pin!(late);
            tokio::pin!(reconcile);
            // What is late never ends by itself.
            match futures::future::select(reconcile, late).await {
                futures::future::Either::Left((answer, _)) => answer,
                futures::future::Either::Right((never, _)) => match never {},
            }
        };
        CURRENT.scope(self, both).await
    }

    /// Frees the slot until the answer is dropped.
    fn leave(self: &Arc<Self>) -> Aside {
        if self.aside.fetch_add(1, Ordering::Relaxed) == 0 {
            self.slots.free(self.urgency);
        }
        Aside(Arc::clone(self))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.aside.load(Ordering::Relaxed) == 0 {
            self.slots.free(self.urgency);
        }
    }
}

/// A wait without a slot.
struct Aside(Arc<Slot>);

impl Drop for Aside {
    fn drop(&mut self) {
        if self.0.aside.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.slots.occupy(self.0.urgency);
        }
    }
}
