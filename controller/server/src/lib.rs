//! The HTTP and WebSocket surface: the Kubernetes-shaped API, the wire contract of the earlier system, `/ws`, metrics
//! and probes. Reads and writes the store and nothing else: the only way it changes the world is to change a spec.
//!
//! What the host has (containers, metrics, topology) is written into [`HostView`] by the program that wires this crate
//! up.

mod audit;
mod auth;
mod automation;
mod autoscale;
mod body;
mod compat;
mod config;
mod decoded;
mod documents;
mod files;
mod frames;
mod host;
mod hosts;
mod intake;
mod kube;
mod lasting;
mod lately;
mod limits;
mod metrics;
mod notifications;
mod origin;
mod places;
mod probes;
mod proxies;
mod pump;
mod reach;
mod refusal;
mod request;
mod room;
mod router;
mod security;
mod serve;
mod sight;
mod state;
mod status;
#[cfg(test)]
mod testing;
mod tls;
mod trial;
mod written;
mod ws;

pub use auth::{Refusals, Role, TokenError, Tokens};
pub use compat::tally;
pub use config::{ALERTS_PER_SECOND, OPEN_INCIDENTS, ServerConfig};
pub use frames::{Draft, frames};
pub use host::{Balancers, HostView, LoadHistory, Requested, Traces};
pub use intake::{IntakeMetrics, release};
pub use metrics::HttpMetrics;
pub use notifications::{
    NotificationLog, NotificationTester, Notifications, SlackAnswer, SlackClicks, SlackRequest,
};
pub use proxies::{TrustedProxies, TrustedProxy};
pub use pump::pump;
pub use reach::AlertsOnly;
pub use router::router;
pub use serve::serve;
pub use state::{
    Containers, LogRequest, Logs, NoPlan, Plans, RagHit, RagHits, Recall, Secrets, ServerParts, ServerState,
};
pub use tls::{Tls, TlsError};
