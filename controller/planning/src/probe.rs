//! What a probe asks of a container, and what it found: the target that a specification means at an address. Pure; the
//! loops that ask are the reconcilers'.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aegis_api::probe::HttpRequest;
use aegis_api::workload::{Health, HealthProbe, HttpProbe, Scheme};
use aegis_api::{ContainerId, Time};

/// What to ask of a container.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeRequest {
    /// GET; 200–399 is healthy.
    Http(HttpRequest),
    /// Connect.
    Tcp(SocketAddr),
}

/// One run of a container and how to probe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Container id.
    pub id: ContainerId,
    /// Start of this run.
    pub started_at: Option<Time>,
    /// What to ask.
    pub question: ProbeRequest,
    /// Pause between probes of a ready container.
    pub interval: Duration,
    /// Bound of one probe.
    pub timeout: Duration,
    /// Successes in a row that make it healthy.
    pub successes: u32,
    /// Failures in a row that make it unhealthy.
    pub failures: u32,
}

/// The last word on one run of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeResult {
    /// Health.
    pub health: Health,
    /// What the last probe said.
    pub message: String,
}

/// The target that a probe specification means for a container at this address, unless Docker itself probes.
pub fn target(
    id: &ContainerId,
    started_at: Option<Time>,
    address: IpAddr,
    probe: &HealthProbe,
) -> Option<Target> {
    let question = match (&probe.http, &probe.tcp) {
        (Some(http), _) => ProbeRequest::Http(request(address, http)),
        (None, Some(tcp)) => ProbeRequest::Tcp(SocketAddr::new(address, tcp.port)),
        (None, None) => return None,
    };
    Some(Target {
        id: id.clone(),
        started_at,
        question,
        interval: probe.interval.std(),
        timeout: probe.timeout.std(),
        successes: probe.success_threshold,
        failures: probe.failure_threshold,
    })
}

fn request(address: IpAddr, http: &HttpProbe) -> HttpRequest {
    HttpRequest {
        host: http.host.clone(),
        headers: http.headers.clone(),
        tls: http.scheme == Scheme::Https,
        ..HttpRequest::new(SocketAddr::new(address, http.port), http.path.to_string())
    }
}
