//! What was done on a workload before, as the gate counts it. From durable state alone, so it holds across restarts. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::proposal::Action;

use super::super::validate::ValidatedIncident;

const HOUR: Duration = Duration::from_secs(3600);

/// How often an action was done on the workload and did not help, since it last did: in whichever incident.
pub(in crate::incident) fn failures_in_a_row(incident: &ValidatedIncident, action: Action) -> usize {
    let done = incident.history.iter().rev().filter(|done| done.action == action);
    done.filter(|done| done.verified.is_some())
        .take_while(|done| done.verified == Some(false))
        .count()
}

/// Actions on the workload in the last hour, those of this incident's earlier rungs included.
pub(in crate::incident) fn actions_in_hour(incident: &ValidatedIncident) -> u32 {
    let earlier = incident.history.iter().map(|action| action.at);
    let own = incident
        .status
        .tried
        .iter()
        .filter(|tried| tried.action != Action::Noop)
        .filter_map(|tried| tried.applied_at);
    let recent = earlier.chain(own).filter(|at| at.age(incident.now) <= HOUR);
    u32::try_from(recent.count()).unwrap_or(u32::MAX)
}

/// Until when automation must leave the workload alone after the last action on it.
pub(in crate::incident) fn cooldown_until(incident: &ValidatedIncident) -> Option<Time> {
    let last = incident.history.iter().map(|action| action.at).max()?;
    let until = last.plus(incident.policy.cooldown);
    (until > incident.now).then_some(until)
}
