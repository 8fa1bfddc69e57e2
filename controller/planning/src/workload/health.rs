//! Health of a container as its workload's probe defines it, and why where it is unknown. Pure.
//!
//! One that has not been healthy once in its run has a start period: within it a probe that fails says nothing against it,
//! and nothing for it either: it serves no client.

use std::time::Duration;

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::probe::Failing;
use aegis_api::redact::{bound, redact};
use aegis_api::workload::{Health, HealthProbe, START_PERIOD};
use aegis_api::{Time, WorkloadSpec};

use super::observed::Observed;
use crate::probe::{ProbeResult, is_on_host_network};

/// Most characters of what a check printed.
const LONGEST: usize = 1000;

/// What is known of a container's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub health: Health,
    /// Human-readable; empty where all is well.
    pub message: String,
    /// Its probe fails, which does not count until then.
    pub starts_until: Option<Time>,
    /// From where this controller is, it cannot be probed: that says nothing about it, and will not change by waiting.
    pub out_of_reach: bool,
    /// Its probe fails, has not passed in this run, and the same container started again would answer the same.
    pub futile: bool,
}

/// What is known of a container's own word.
struct Own {
    health: Health,
    message: String,
    failing: Option<Failing>,
    out_of_reach: bool,
}

impl Own {
    fn new(health: Health, message: impl Into<String>) -> Self {
        Self {
            health,
            message: message.into(),
            failing: None,
            out_of_reach: false,
        }
    }

    /// It cannot be probed from here.
    fn out_of_reach(message: impl Into<String>) -> Self {
        Self {
            out_of_reach: true,
            ..Self::new(Health::Unknown, message)
        }
    }
}

/// `was_ready`: its probe has passed in this run before.
pub(super) fn view(
    container: &ContainerDetails,
    spec: &WorkloadSpec,
    observed: &Observed,
    was_ready: bool,
) -> View {
    let own = own_health(container, spec, observed, was_ready);
    let health = own.health;
    // What a check printed is the container's own words.
    let message = bound(&redact(&own.message), LONGEST);
    let starts = container.started_at.filter(|_| {
        let running = container.state == ContainerState::Running;
        running && health == Health::Unhealthy && !was_ready
    });
    let until = starts.and_then(|started| {
        let until = started.0.checked_add(start_period(container, spec)).ok()?;
        (until > observed.now.0).then_some(Time(until))
    });
    match until {
        Some(until) => View {
            health: Health::Unknown,
            message: format!("starting, counts as unhealthy from {until}: {message}"),
            starts_until: Some(until),
            out_of_reach: false,
            futile: false,
        },
        None => View {
            health,
            message,
            starts_until: None,
            out_of_reach: own.out_of_reach,
            futile: !was_ready
                && health == Health::Unhealthy
                && own.failing.is_some_and(Failing::outlives_a_restart),
        },
    }
}

/// As the spec says; else a minute, or what the container's own Docker health check allows itself.
fn start_period(container: &ContainerDetails, spec: &WorkloadSpec) -> Duration {
    if let Some(asked) = spec.probe().and_then(|probe| probe.start_period) {
        return asked.std();
    }
    let nanos = container.config.pointer("/Healthcheck/StartPeriod");
    let nanos = nanos.and_then(serde_json::Value::as_u64);
    START_PERIOD
        .std()
        .max(Duration::from_nanos(nanos.unwrap_or_default()))
}

/// What its probe says; a container that does not run has none.
fn own_health(
    container: &ContainerDetails,
    spec: &WorkloadSpec,
    observed: &Observed,
    was_ready: bool,
) -> Own {
    if container.state != ContainerState::Running {
        let words = match container.state {
            ContainerState::Exited if container.oom_killed => {
                format!("OOM-killed (exit code {})", container.exit_code)
            }
            ContainerState::Exited => format!("exited with code {}", container.exit_code),
            other => other.as_str().to_owned(),
        };
        return Own::new(Health::Unhealthy, words);
    }
    match spec.probe() {
        Some(probe) if probe.docker.is_none() => asked(container, probe, observed, was_ready),
        probe => by_docker(container, probe),
    }
}

fn by_docker(container: &ContainerDetails, probe: Option<&HealthProbe>) -> Own {
    match &container.health {
        Some(health) if health.status == "healthy" => Own::new(Health::Healthy, ""),
        Some(health) if health.status == "starting" => {
            Own::new(Health::Unknown, "Docker's health check has not passed yet")
        }
        Some(health) => {
            let said = health.log.last().unwrap_or(&health.status);
            Own::new(Health::Unhealthy, said.as_str())
        }
        None if probe.is_some() => Own::new(
            Health::Unhealthy,
            "the container has no Docker health check: set spec.health.http, tcp, grpc or exec",
        ),
        None => Own::new(Health::Healthy, ""),
    }
}

/// What our own probe says, or why it says nothing.
fn asked(container: &ContainerDetails, probe: &HealthProbe, observed: &Observed, was_ready: bool) -> Own {
    let result = observed
        .probe_results
        .get(&container.id)
        .cloned()
        .unwrap_or_default();
    if probe.exec.is_none()
        && let Some(why) = no_address(container, probe, observed)
    {
        return why;
    }
    let ProbeResult {
        health,
        message,
        failing,
    } = result;
    if health == Health::Healthy || message.is_empty() {
        let message = if health == Health::Healthy {
            message
        } else {
            "not probed yet".to_owned()
        };
        return Own::new(health, message);
    }
    let apart = match probe.exec.is_none() && is_apart(container, observed) {
        true => {
            let own: Vec<&str> = observed.own_networks.iter().map(String::as_str).collect();
            format!(
                " (it shares no network with this controller, which is on {})",
                own.join(", ")
            )
        }
        false => String::new(),
    };
    // What was never reached in this run has not been seen to be unwell, and a restart leads nowhere either.
    let unreachable = match failing {
        Some(Failing::Unreachable) => true,
        // From another container the host is asked at its gateway: what listens on its loopback alone refuses that.
        Some(Failing::Refused) => {
            is_on_host_network(container) && observed.host_address.is_some_and(|at| !at.is_loopback())
        }
        Some(Failing::Silent) => !apart.is_empty(),
        _ => false,
    };
    // A controller that has lost its networks has lost sight of what it reached before.
    let is_cut_off = failing == Some(Failing::Unreachable) && !apart.is_empty();
    if unreachable && (!was_ready || is_cut_off) && health == Health::Unhealthy {
        return Own::out_of_reach(format!(
            "it cannot be reached from here, and a restart would not change that: {message}{apart}; name a network that leads to it \
             in spec.health.network, or use spec.health.exec or docker"
        ));
    }
    Own {
        failing,
        ..Own::new(health, message + &apart)
    }
}

/// Whether this controller, which runs in a container, is on none of its networks.
fn is_apart(container: &ContainerDetails, observed: &Observed) -> bool {
    let own = &observed.own_networks;
    let addresses = container.networks.iter().filter(|(_, address)| address.is_some());
    let shares = addresses.clone().any(|(network, _)| own.contains(network));
    addresses.count() > 0 && !shares && !own.is_empty()
}

/// Why a container that runs has no address to probe, if it has none.
fn no_address(container: &ContainerDetails, probe: &HealthProbe, observed: &Observed) -> Option<Own> {
    const INSTEAD: &str = "use spec.health.exec or docker";
    if is_on_host_network(container) {
        return observed.host_address.is_none().then(|| {
            Own::out_of_reach(format!(
                "host network: it has no address of its own, and no network of this controller has a gateway to the host; {INSTEAD}"
            ))
        });
    }
    let on = |network: &str| container.networks.get(network).is_some_and(Option::is_some);
    let has_any = container.networks.values().any(Option::is_some);
    if let Some(network) = probe.network.as_ref().map(AsRef::as_ref)
        && has_any
        && !on(network)
    {
        let has = container.networks.iter().filter(|(_, address)| address.is_some());
        let has: Vec<&str> = has.map(|(name, _)| name.as_str()).collect();
        return Some(Own::out_of_reach(format!(
            "it is not on network {network} of spec.health.network, but on {}",
            has.join(", ")
        )));
    }
    if has_any {
        return None;
    }
    let mode = container.host_config.get("NetworkMode");
    let mode = mode.and_then(serde_json::Value::as_str).unwrap_or_default();
    if mode == "none" {
        return Some(Own::out_of_reach(format!(
            "network none: it has no address to probe; {INSTEAD}"
        )));
    }
    Some(Own::new(Health::Unknown, without_address(mode, observed)))
}

/// Why what should have an address, or will have one, has none.
fn without_address(mode: &str, observed: &Observed) -> String {
    match mode {
        shared if shared.starts_with("container:") => match &observed.network_owner {
            Some(owner) if owner.started_at.is_none() => {
                format!(
                    "no address: {}, whose network it shares, does not run",
                    owner.name
                )
            }
            Some(owner) => format!("no address: {}, whose network it shares, has none", owner.name),
            None => "no address: the container whose network it shares is gone; recreate this one".to_owned(),
        },
        _ => "no address on any network yet".to_owned(),
    }
}

#[cfg(test)]
mod tests;
