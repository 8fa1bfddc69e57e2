//! What a probe asks of a container, and what it found: the target that a specification means at the addresses of a
//! container. Pure; the loops that ask are the reconcilers'.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::probe::{Failing, HttpRequest};
use aegis_api::scalar::StatusCodes;
use aegis_api::workload::{Health, HealthProbe, HttpProbe, Scheme};
use aegis_api::{ContainerId, Time};

/// What to ask of a container.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeRequest {
    /// GET.
    Http(HttpRequest, Expected),
    /// Connect.
    Tcp(SocketAddr),
    /// gRPC's health service, about a service by name (empty: the server as a whole).
    Grpc(SocketAddr, String),
    /// Run a command inside; 0 is healthy.
    Exec(ContainerId, Vec<String>),
}

/// What a healthy container answers to a GET.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// Absent: 200–399.
    pub status: Option<StatusCodes>,
    /// What the body contains.
    pub body: Option<String>,
}

impl Expected {
    /// Whether it is this status.
    pub fn has_status(&self, status: u16) -> bool {
        match &self.status {
            Some(codes) => codes.contains(status),
            None => (200..400).contains(&status),
        }
    }

    /// What the body lacks, if it lacks something.
    pub fn missing_in<'a>(&'a self, body: &str) -> Option<&'a str> {
        self.body.as_deref().filter(|text| !body.contains(text))
    }
}

/// One run of a container and how to probe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Container id.
    pub id: ContainerId,
    /// Start of this run.
    pub started_at: Option<Time>,
    /// What to ask, at each address that may lead to it, the likeliest first. At least one.
    pub questions: Vec<ProbeRequest>,
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
    /// Why it failed, if it did.
    pub failing: Option<Failing>,
}

/// The target that a probe specification means for a container at these addresses, unless Docker itself probes.
pub fn target(
    id: &ContainerId,
    started_at: Option<Time>,
    addresses: &[IpAddr],
    probe: &HealthProbe,
) -> Option<Target> {
    let questions: Vec<ProbeRequest> = match &probe.exec {
        Some(exec) => vec![ProbeRequest::Exec(id.clone(), exec.command.clone())],
        None => addresses.iter().filter_map(|ip| question(*ip, probe)).collect(),
    };
    (!questions.is_empty()).then(|| Target {
        id: id.clone(),
        started_at,
        questions,
        interval: probe.interval.std(),
        timeout: probe.timeout.std(),
        successes: probe.success_threshold,
        failures: probe.failure_threshold,
    })
}

fn question(address: IpAddr, probe: &HealthProbe) -> Option<ProbeRequest> {
    let at = |port| SocketAddr::new(address, port);
    match (&probe.http, &probe.tcp, &probe.grpc) {
        (Some(http), ..) => Some(ProbeRequest::Http(request(address, http), expected(http))),
        (None, Some(tcp), _) => Some(ProbeRequest::Tcp(at(tcp.port))),
        (None, None, Some(grpc)) => {
            let service = grpc.service.clone().unwrap_or_default();
            Some(ProbeRequest::Grpc(at(grpc.port), service))
        }
        (None, None, None) => None,
    }
}

fn request(address: IpAddr, http: &HttpProbe) -> HttpRequest {
    HttpRequest {
        host: http.host.clone(),
        headers: http.headers.clone(),
        tls: http.scheme == Scheme::Https,
        ..HttpRequest::new(SocketAddr::new(address, http.port), http.path.to_string())
    }
}

fn expected(http: &HttpProbe) -> Expected {
    Expected {
        status: http.expected_status.clone(),
        body: http.expected_body.clone(),
    }
}

/// Whether a container is on the network of its host.
pub fn is_on_host_network(container: &ContainerDetails) -> bool {
    network_mode(container) == Some("host")
}

/// Whether a container has no network of its own, but its host's or another container's.
pub(crate) fn shares_network(container: &ContainerDetails) -> bool {
    network_mode(container).is_some_and(|mode| mode == "host" || mode.starts_with("container:"))
}

fn network_mode(container: &ContainerDetails) -> Option<&str> {
    let mode = container.host_config.get("NetworkMode")?;
    mode.as_str()
}

/// Where this controller reaches the host: at its loopback where it is on the host's network itself, else at the gateway
/// of a network of `own`, the container that it runs in.
pub fn host_address(own: Option<&ContainerDetails>) -> Option<IpAddr> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let Some(own) = own.filter(|own| !is_on_host_network(own)) else {
        return Some(loopback);
    };
    let networks = own.network_settings.as_object()?.values();
    let mut gateways = networks.filter_map(|network| network.get("Gateway")?.as_str()?.parse().ok());
    gateways.next().filter(|_| own.state == ContainerState::Running)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_host_is_reached_by_loopback_or_by_the_gateway_of_the_controllers_own_network() {
        let own = |mode: &str, gateway: &str| ContainerDetails {
            state: ContainerState::Running,
            host_config: json!({ "NetworkMode": mode }),
            network_settings: json!({"a": {"Gateway": ""}, "b": {"Gateway": gateway}}),
            ..ContainerDetails::default()
        };
        let at = |own: Option<&ContainerDetails>| host_address(own).map(|ip| ip.to_string());
        assert_eq!(at(None).as_deref(), Some("127.0.0.1"));
        assert_eq!(at(Some(&own("host", ""))).as_deref(), Some("127.0.0.1"));
        assert_eq!(at(Some(&own("b", "172.18.0.1"))).as_deref(), Some("172.18.0.1"));
        assert_eq!(at(Some(&own("b", ""))), None);
    }

    #[test]
    fn a_command_needs_no_address_and_every_other_probe_asks_at_each() {
        let probe = |text: &str| -> HealthProbe { serde_json::from_str(text).unwrap() };
        let ips: [IpAddr; 2] = ["10.0.0.2".parse().unwrap(), "10.0.1.2".parse().unwrap()];
        let id = ContainerId::from("abc");
        let asked = |text: &str, ips: &[IpAddr]| {
            target(&id, None, ips, &probe(text)).map(|target| target.questions.len())
        };
        assert_eq!(asked(r#"{"exec":{"command":["check"]}}"#, &[]), Some(1));
        for text in [
            r#"{"http":{"port":80}}"#,
            r#"{"tcp":{"port":80}}"#,
            r#"{"grpc":{"port":80}}"#,
        ] {
            assert_eq!((asked(text, &ips), asked(text, &[])), (Some(2), None), "{text}");
        }
        assert_eq!(asked(r#"{"docker":{}}"#, &ips), None);
    }
}
