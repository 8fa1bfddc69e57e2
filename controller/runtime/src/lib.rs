//! The generic reconcile engine and the durable store. Knows resources, not what a workload is.

pub mod backoff;
pub mod controller;
pub mod finalizer;
pub mod metrics;
pub mod predicate;
mod runner;
pub mod scheduler;

pub use controller::{
    Action, Activity, Controller, Observer, OnError, ReconcileError, Reconciled, Reconciler, Trigger,
};
pub use metrics::Metrics;
