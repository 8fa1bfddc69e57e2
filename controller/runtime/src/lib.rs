//! The generic reconcile engine and the durable store. Knows resources, not what a workload is.

pub mod audit;
pub mod automation;
pub mod backoff;
mod clock;
pub mod controller;
mod disk;
pub mod events;
pub mod feed;
pub mod finalizer;
mod follow;
pub mod metrics;
pub mod offload;
pub mod predicate;
mod runner;
pub mod scheduler;
pub mod slot;
pub mod store;
mod watch;

pub use audit::{AuditLog, AuditRetention};
pub use automation::Automation;
pub use clock::{Clock, Leap};
pub use controller::{
    Action, Activity, Controller, Observer, OnError, ReconcileError, Reconciled, Reconciler, Trigger,
};
pub use disk::DiskError;
pub use events::{Event, EventRecorder, EventType, ObjectRef};
pub use feed::{Feed, FeedItem, Frame, LiveAnswer, Subscription};
pub use metrics::Metrics;
pub use store::{
    BrokenFile, Expired, Part, Retention, Store, StoreDriver, StoreError, StoreEvent, StoreOptions, Stored,
    Verb,
};
