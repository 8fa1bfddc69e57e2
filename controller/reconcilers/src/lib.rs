//! One reconciler a kind. Each is the same five steps: dereference (all reads), validate and plan (pure: they are in
//! `aegis-planning`), apply (the only place that changes anything) and status (the only writer of that kind's status).

mod addressing;
mod assembly;
pub mod autoscale;
pub mod balancer_metrics;
mod brake;
mod broken_policies;
pub mod context;
pub mod detector;
pub mod docker_events;
pub mod endpoints;
mod fault;
pub mod host_picture;
pub mod host_reader;
pub mod incident;
mod inspect;
pub mod load_balancer;
mod own_incident;
pub mod policy;
pub mod probe;
pub mod recall;
pub mod requests;
pub mod rule_files;
pub mod runbook;
mod secret_values;
pub mod triggers;
mod turns;
mod urgency;
pub mod workload;

pub use assembly::{Jitter, Parts, Surroundings, controllers};
pub use context::{Context, Settings};
pub use secret_values::secret_value;
pub use turns::Turns;
pub use workload::preview;
