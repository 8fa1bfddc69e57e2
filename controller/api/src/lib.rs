//! The vocabulary of AegisOps: the resource kinds, their validation, and the wire shapes.
//!
//! Owns every type that another crate, a YAML file or a client can name. Does no I/O: no tokio, no
//! bollard, no axum. Everything here is data and pure functions over it.

#![allow(
    clippy::duplicated_attributes,
    reason = "kube's derive takes one printcolumn(...) a column, each with the same keys"
)]

pub mod access;
pub mod alert_source;
pub mod audit;
pub mod automation;
pub mod conceal;
pub mod condition;
pub mod conversion;
pub mod create;
pub mod defaults;
pub mod deletion;
pub mod detector;
pub mod error;
pub mod facets;
pub mod hosts;
pub mod ids;
pub mod incident;
pub mod kinds;
pub mod lifecycle;
pub mod load_balancer;
pub mod meta;
pub mod naming;
pub mod observed;
pub mod openapi;
pub mod policy;
mod position;
pub mod precedence;
pub mod probe;
pub mod proposal;
pub mod redact;
pub mod restart;
pub mod runbook;
pub mod scalar;
pub mod signals;
pub mod silence;
pub mod symptom;
pub mod validate;
pub mod wire;
pub mod workload;
pub mod yaml;

pub use alert_source::{AlertSource, AlertSourceSpec, AlertSourceStatus};
pub use condition::{ConditionType, Reason};
pub use detector::{Detector, DetectorSpec, DetectorStatus};
pub use facets::{Ended, Facets};
pub use ids::{ContainerId, RevisionId};
pub use incident::{Incident, IncidentSpec, IncidentStatus, Phase};
pub use kinds::{KINDS, Kind, KindInfo};
pub use load_balancer::{LoadBalancer, LoadBalancerSpec, LoadBalancerStatus};
pub use policy::{RemediationPolicy, RemediationPolicySpec, RemediationPolicyStatus};
pub use runbook::{RunbookEntry, RunbookEntrySpec, RunbookEntryStatus};
pub use scalar::{ContainerName, Duration, ImageRef, Time};
pub use silence::{Silence, SilenceSpec, SilenceStatus};
pub use symptom::{Symptom, SymptomKind};
pub use validate::FieldError;
pub use workload::{Workload, WorkloadSpec, WorkloadStatus};

/// The API group of every kind.
pub const GROUP: &str = "aegisops.io";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
/// `GROUP/VERSION`, as `apiVersion` spells it.
pub const API_VERSION: &str = "aegisops.io/v1alpha1";
/// The one namespace: AegisOps manages one host, and `kubectl` wants a namespace to talk about.
pub const NAMESPACE: &str = "default";
