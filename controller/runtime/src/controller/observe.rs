//! What a loop reports to its observers: metrics, the event stream. Owns the shapes. Pure.

use std::time::Duration;

/// One reconcile that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled<'a> {
    /// The kind, such as `Workload`.
    pub kind: &'static str,
    /// The object's name.
    pub name: &'a str,
    /// What triggered it.
    pub trigger: &'static str,
    /// `success`, `requeue` or `error`.
    pub result: &'a str,
    /// Where it failed: the category (`panic` and `timeout` beside the reconciler's own) and the chain of causes.
    pub error: Option<(&'a str, String)>,
    /// How long it took.
    pub duration: Duration,
    /// When it runs again if nothing triggers it before.
    pub requeue_after: Option<Duration>,
}

/// What goes on in a loop's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The loop starts, with this many reconciles at a time.
    Limit {
        /// How many.
        concurrency: usize,
    },
    /// A key was enqueued.
    Added {
        /// By what.
        why: &'static str,
    },
    /// A key was requeued because its last run failed.
    Retried,
    /// A key began to run.
    Started {
        /// How long after the time it was wanted for.
        waited: Duration,
    },
    /// How much there is to do.
    Load {
        /// Keys that wait although their time has come.
        depth: usize,
        /// Keys that run.
        active: usize,
    },
}

/// Watches a loop. Called inside it: an observer must return at once and must not panic.
pub trait Observer: Send + Sync {
    /// A reconcile ended.
    fn reconciled(&self, r: &Reconciled<'_>);

    /// Something changed in the queue of this kind's loop.
    fn activity(&self, _kind: &'static str, _activity: &Activity) {}
}
