//! Health of a container as its workload's probe defines it, and why where it is unknown. Pure.
//!
//! One that has not been healthy once in its run has a start period: within it a probe that fails says nothing against it,
//! and nothing for it either: it serves no client.

use std::time::Duration;

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::redact::{bound, redact};
use aegis_api::workload::{Health, START_PERIOD};
use aegis_api::{Time, WorkloadSpec, workload};

use super::observed::Observed;

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
}

/// `was_ready`: its probe has passed in this run before.
pub(super) fn view(
    container: &ContainerDetails,
    spec: &WorkloadSpec,
    observed: &Observed,
    was_ready: bool,
) -> View {
    let (health, message) = own_health(container, spec, observed);
    // What a check printed is the container's own words.
    let message = bound(&redact(&message), LONGEST);
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
        },
        None => View {
            health,
            message,
            starts_until: None,
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
fn own_health(container: &ContainerDetails, spec: &WorkloadSpec, observed: &Observed) -> (Health, String) {
    if container.state != ContainerState::Running {
        let words = match container.state {
            ContainerState::Exited if container.oom_killed => {
                format!("OOM-killed (exit code {})", container.exit_code)
            }
            ContainerState::Exited => format!("exited with code {}", container.exit_code),
            other => other.as_str().to_owned(),
        };
        return (Health::Unhealthy, words);
    }
    match spec.probe() {
        Some(probe) if probe.docker.is_none() => asked(container, observed),
        probe => by_docker(container, probe),
    }
}

fn by_docker(container: &ContainerDetails, probe: Option<&workload::HealthProbe>) -> (Health, String) {
    match &container.health {
        Some(health) if health.status == "healthy" => (Health::Healthy, String::new()),
        Some(health) if health.status == "starting" => (
            Health::Unknown,
            "Docker's health check has not passed yet".to_owned(),
        ),
        Some(health) => (
            Health::Unhealthy,
            health
                .log
                .last()
                .cloned()
                .unwrap_or_else(|| health.status.clone()),
        ),
        None if probe.is_some() => (
            Health::Unhealthy,
            "the container has no Docker health check: set spec.health.http or tcp".to_owned(),
        ),
        None => (Health::Healthy, String::new()),
    }
}

/// What our own probe says, or why it says nothing.
fn asked(container: &ContainerDetails, observed: &Observed) -> (Health, String) {
    let result = observed
        .probe_results
        .get(&container.id)
        .cloned()
        .unwrap_or_default();
    let addresses = || container.networks.iter().filter(|(_, address)| address.is_some());
    if addresses().next().is_none() {
        return (Health::Unknown, no_address(container, observed));
    }
    let shared = addresses().any(|(network, _)| observed.own_networks.contains(network));
    let message = match (result.health, result.message.is_empty()) {
        (Health::Healthy, _) => result.message,
        (_, true) => "not probed yet".to_owned(),
        (_, false) if !shared && !observed.own_networks.is_empty() => {
            let own: Vec<&str> = observed.own_networks.iter().map(String::as_str).collect();
            format!(
                "{} (it shares no network with this controller, which is on {})",
                result.message,
                own.join(", ")
            )
        }
        (_, false) => result.message,
    };
    (result.health, message)
}

/// Why a container that runs has no address to probe.
fn no_address(container: &ContainerDetails, observed: &Observed) -> String {
    let mode = container.host_config.get("NetworkMode");
    let mode = mode.and_then(serde_json::Value::as_str).unwrap_or_default();
    match mode {
        "host" => "host network: it has no address of its own to probe; use spec.health.docker".to_owned(),
        "none" => "network none: it has no address to probe; use spec.health.docker".to_owned(),
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
