//! What is reported of an upstream that no server is left in, or whose last servers are held. Pure.

use aegis_api::load_balancer::{Backend, LoadBalancerStatus, Unavailable};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::{Health, InstanceStatus};
use aegis_api::{LoadBalancerSpec, Workload};

use super::home;
use super::observed::Observed;
use super::validate::{Upstream, is_renamed, is_same_run, rows};

/// Containers that are named for one upstream.
const NAMED: usize = 5;

/// The upstreams without a server, each with what became of its containers; and whether people want it so.
pub(super) fn unavailable(
    spec: &LoadBalancerSpec,
    upstreams: &[Upstream],
    observed: &Observed,
    nginx: &ContainerDetails,
    before: &LoadBalancerStatus,
) -> (Vec<Unavailable>, bool) {
    let mut as_wanted = true;
    let empty = upstreams.iter().filter(|upstream| upstream.servers.is_empty());
    let unavailable = empty.map(|upstream| {
        let backends = spec.backends.iter().zip(&observed.workloads);
        let backends = backends.filter(|(backend, _)| backend.upstream.as_str() == upstream.name);
        let reasons: Vec<String> = backends
            .map(|(backend, workload)| {
                as_wanted &= workload
                    .as_ref()
                    .is_some_and(|workload| workload.spec.replicas == 0);
                absence(backend, workload.as_deref(), observed, nginx)
            })
            .collect();
        let earlier = before.unavailable.iter();
        let mut earlier = earlier.filter(|earlier| earlier.upstream == upstream.name);
        Unavailable {
            upstream: upstream.name.clone(),
            since: earlier.next().map_or(observed.now, |earlier| earlier.since),
            reason: reasons.join("; "),
            tcp: upstream.tcp,
        }
    });
    (unavailable.collect(), as_wanted)
}

/// `web-1 is held though unhealthy since …`.
pub(super) fn held(upstream: &str, row: &InstanceStatus) -> String {
    let name = &row.name;
    let since = row
        .unhealthy_since
        .map(|since| format!(" since {since}"))
        .unwrap_or_default();
    let what = match (row.health, row.draining) {
        (Health::Unhealthy, _) => format!("unhealthy{since}{}", message(row)),
        (_, true) => "leaving".to_owned(),
        (Health::Unknown | Health::Healthy, false) => "not known to be healthy".to_owned(),
    };
    format!("upstream {upstream}: {name} is {what}")
}

/// Why a backend has no server to offer.
fn absence(
    backend: &Backend,
    workload: Option<&Workload>,
    observed: &Observed,
    nginx: &ContainerDetails,
) -> String {
    let name = &backend.workload;
    let Some(workload) = workload else {
        return format!("workload {name} does not exist");
    };
    if workload.spec.replicas == 0 {
        return format!("workload {name} is scaled to 0");
    }
    let rows = rows(Some(workload));
    let mut words: Vec<String> = rows
        .iter()
        .take(NAMED)
        .map(|row| row_words(workload, row, observed, nginx))
        .collect();
    match (rows.len().saturating_sub(NAMED), &workload.spec.container) {
        (0, Some(container)) if words.is_empty() => {
            format!("container {container} of workload {name} does not exist")
        }
        (0, None) if words.is_empty() => format!("workload {name} has no container yet"),
        (0, _) => words.join(", "),
        (more, _) => {
            words.push(format!("and {more} more"));
            words.join(", ")
        }
    }
}

fn row_words(
    workload: &Workload,
    row: &InstanceStatus,
    observed: &Observed,
    nginx: &ContainerDetails,
) -> String {
    let name = &row.name;
    if row.state != ContainerState::Running {
        return format!("{name} is {}{}", row.state, message(row));
    }
    match row.health {
        Health::Unhealthy => {
            let since = row
                .unhealthy_since
                .map(|since| format!(" since {since}"))
                .unwrap_or_default();
            return format!("{name} is unhealthy{since}{}", message(row));
        }
        Health::Unknown => return format!("{name} has not answered its probe yet"),
        Health::Healthy => {}
    }
    let Some(endpoint) = observed.endpoints.get(&row.id) else {
        return format!("{name} is gone");
    };
    if !endpoint.is_running() {
        return format!("{name} is {}", endpoint.state.as_str());
    }
    if is_renamed(workload, row, endpoint) {
        return format!("{name} is called {} now", endpoint.name);
    }
    if home::host(endpoint, nginx).is_none() {
        return format!("{name} is on no network of {}", nginx.name);
    }
    if !is_same_run(row, endpoint) {
        return format!("{name} has just restarted");
    }
    format!("{name} is leaving")
}

fn message(row: &InstanceStatus) -> String {
    let message = row.message.as_ref().filter(|message| !message.is_empty());
    message.map(|message| format!(" ({message})")).unwrap_or_default()
}
