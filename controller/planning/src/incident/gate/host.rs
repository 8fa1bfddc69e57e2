//! The rules that are about the host, not the workload. Pure.

use aegis_api::Reason;
use aegis_api::proposal::Action;

use super::{Case, Ruling};
use crate::host_limit::{HostRuling, judge};
use crate::host_reading::short_of;

pub(super) fn host_short(case: &Case<'_>) -> Option<Ruling> {
    if case.action != Action::ScaleUp {
        return None;
    }
    let incident = case.incident;
    let workload = incident.target.as_ref().ok()?;
    let room = incident.max_replicas.saturating_sub(workload.spec.replicas);
    let proposal = incident
        .status
        .analysis
        .as_ref()
        .map(|analysis| &analysis.proposal);
    // A rung of the ladder goes one step.
    let count = proposal
        .filter(|_| incident.status.tried.is_empty())
        .map_or(1, |proposal| proposal.replica_count.max(1));
    let containers = incident
        .status
        .evidence
        .iter()
        .flat_map(|evidence| &evidence.containers);
    let each = containers.filter_map(|container| container.memory_limit_bytes.or(container.memory_bytes));
    let short = short_of(
        &incident.reading,
        count.min(room),
        each.max(),
        incident.limits.load_per_core,
    )?;
    Some(Ruling::NeedsApproval {
        reason: Reason::HostShort,
        message: format!("the host is short of what {} needs: {short}", case.action),
    })
}

fn host(case: &Case<'_>) -> Option<HostRuling> {
    let workload = case.incident.target.as_ref().ok()?;
    let name = aegis_api::Kind::name(&**workload);
    judge(&case.incident.limits, &case.incident.host, name)
}

pub(super) fn host_budget_exhausted(case: &Case<'_>) -> Option<Ruling> {
    match host(case)? {
        HostRuling::Exhausted(message) => Some(Ruling::NeedsApproval {
            reason: Reason::HostBudgetExhausted,
            message,
        }),
        HostRuling::BlastRadius(_) | HostRuling::Busy(_) => None,
    }
}

pub(super) fn blast_radius(case: &Case<'_>) -> Option<Ruling> {
    match host(case)? {
        HostRuling::BlastRadius(message) => Some(Ruling::NeedsApproval {
            reason: Reason::BlastRadius,
            message,
        }),
        HostRuling::Exhausted(_) | HostRuling::Busy(_) => None,
    }
}

pub(super) fn host_busy(case: &Case<'_>) -> Option<Ruling> {
    match host(case)? {
        HostRuling::Busy(message) => Some(Ruling::Wait {
            reason: Reason::HostBusy,
            message,
        }),
        HostRuling::Exhausted(_) | HostRuling::BlastRadius(_) => None,
    }
}
