//! Runs reconciles side by side, up to a limit on those that do not only wait. Owns the running futures and turns whatever ends one (an answer, an
//! error, a panic, a deadline) into an [`Outcome`]; decides nothing about what follows. No I/O of its own.
//!
//! That a key runs at most once at a time is the scheduler's promise: it hands out a key only after its last run.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::error::chain;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use crate::controller::{Action, OnError, ReconcileError, Reconciler};
use crate::scheduler::Due;
use crate::slot::{Slot, Slots};

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Action),
    Failed {
        category: &'static str,
        chain: String,
        on_error: OnError,
    },
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) key: Arc<str>,
    pub(crate) why: &'static str,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Runner<R> {
    reconciler: Arc<R>,
    limit: usize,
    /// How many of these only urgent runs take.
    reserve: usize,
    deadline: Duration,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    slots: Arc<Slots>,
}

impl<R: Reconciler> Runner<R> {
    pub(crate) fn new(reconciler: Arc<R>, limit: usize, reserve: usize, deadline: Duration) -> Self {
        Self {
            reconciler,
            limit: limit.max(1),
            reserve,
            deadline,
            running: FuturesUnordered::new(),
            slots: Arc::default(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.slots.occupied() < self.limit
    }

    /// Whether there is room for a run that is not urgent.
    pub(crate) fn has_ordinary_room(&self) -> bool {
        self.has_room() && self.slots.ordinary() < self.limit.saturating_sub(self.reserve).max(1)
    }

    /// The slots that its runs are in, to wait for one.
    pub(crate) fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.slots)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn active(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn start(&self, due: Due<Arc<str>>) {
        let reconciler = Arc::clone(&self.reconciler);
        let deadline = self.deadline;
        let Due {
            key, why, urgency, ..
        } = due;
        let slot = Slot::take(&self.slots, urgency);
        self.running.push(Box::pin(async move {
            let started = Instant::now();
            let outcome = slot.hold(reconcile(&*reconciler, &key, deadline)).await;
            Finished {
                key,
                why,
                took: started.elapsed(),
                outcome,
            }
        }));
    }

    /// The next run that ends; `None` where none runs.
    pub(crate) async fn next(&mut self) -> Option<Finished> {
        self.running.next().await
    }
}

async fn reconcile<R: Reconciler>(reconciler: &R, key: &str, deadline: Duration) -> Outcome {
    // The call itself is inside the block too, so that one which panics before its first await is caught as well.
    // Unwind safety: the future is dropped right here, and what a reconciler
    // keeps between runs are caches behind locks that a panic does not close, and a stale one is measured again (I1).
    let run = AssertUnwindSafe(async { reconciler.reconcile(key).await }).catch_unwind();
    match tokio::time::timeout(deadline, run).await {
        Ok(Ok(Ok(action))) => Outcome::Done(action),
        Ok(Ok(Err(error))) => Outcome::Failed {
            category: error.category(),
            chain: chain(&error),
            on_error: error.on_error(),
        },
        Ok(Err(panic)) => Outcome::Failed {
            category: "panic",
            chain: format!("the reconcile panicked: {}", panic_message(&*panic)),
            on_error: OnError::Backoff,
        },
        Err(_) => Outcome::Failed {
            category: "timeout",
            chain: format!("the reconcile did not end within {} s", deadline.as_secs()),
            on_error: OnError::Backoff,
        },
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
