//! Conditions over whether a workload answers. Pure.

use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, WorkloadSignals};
use aegis_api::workload::Health;

use super::{Finding, Verdict, idle, load};

/// Whether a probe or Docker's health check fails; `None` where neither has a verdict.
fn fails(container: &ContainerSignals<'_>) -> Option<bool> {
    let own = match container.health {
        Health::Unknown => None,
        Health::Healthy => Some(false),
        Health::Unhealthy => Some(true),
    };
    match (own, container.docker_unhealthy) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, None) => None,
        _ => Some(false),
    }
}

pub(super) fn unhealthy(container: &ContainerSignals<'_>) -> Finding {
    if let Some(idle) = idle(container) {
        return idle;
    }
    if container.starting {
        return Finding::no("is in its start period");
    }
    match fails(container) {
        Some(true) if container.docker_unhealthy == Some(true) => {
            Finding::new(Verdict::True, Some(1.0), "runs but fails Docker's health check")
        }
        Some(true) => Finding::new(Verdict::True, Some(1.0), "runs but fails its probe"),
        Some(false) => Finding::new(Verdict::False, Some(0.0), "passes its probe"),
        None => Finding::unknown("has no probe with a verdict"),
    }
}

/// Whether it was made for a network and is in none: what was moved to another network is not cut off.
pub(super) fn network_lost(container: &ContainerSignals<'_>) -> Finding {
    if let Some(idle) = idle(container) {
        return idle;
    }
    match container.lost_network {
        Some(network) => Finding::new(
            Verdict::True,
            Some(1.0),
            format!("is connected to no network, and was made for {network}"),
        ),
        None => Finding::new(Verdict::False, Some(0.0), "has lost no network"),
    }
}

pub(super) fn spin(container: &ContainerSignals<'_>, signals: &WorkloadSignals<'_>, percent: f64) -> Finding {
    let (busy, answers) = (load::cpu(container, signals, percent), unhealthy(container));
    let verdict = busy.verdict.min(answers.verdict);
    Finding::new(
        verdict,
        busy.value,
        format!("{}; it {}", busy.message, answers.message),
    )
}

pub(super) fn replicas(signals: &WorkloadSignals<'_>) -> Finding {
    let is_left = |it: &&ContainerSignals<'_>| it.state == ContainerState::Paused || it.stopped_by_hand;
    let left = crate::ledger::count(signals.containers.iter().filter(is_left).count());
    let missing = signals.desired.saturating_sub(signals.ready.saturating_add(left));
    let words = format!("{} of {} replicas are ready", signals.ready, signals.desired);
    if signals.changing {
        return Finding::new(
            Verdict::False,
            Some(missing.into()),
            format!("{words}, it is being changed"),
        );
    }
    Finding::at_least(missing.into(), 1.0, words)
}
