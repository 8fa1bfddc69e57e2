//! What was done on a workload before, as the gate counts it. From durable state alone, so it holds across restarts. Pure.

use aegis_api::Time;
use aegis_api::proposal::Action;

use super::super::validate::ValidatedIncident;
use crate::ledger;

/// How often an action was done on the workload and did not help, since it last did: in whichever incident.
pub(super) fn failures_in_a_row(incident: &ValidatedIncident, action: Action) -> usize {
    let done = incident.history.iter().rev().filter(|done| done.action == action);
    done.filter(|done| done.verified.is_some())
        .take_while(|done| done.verified == Some(false))
        .count()
}

/// Until when automation must leave the workload alone after the last action on it, whether an incident's or that of
/// `spec.restart`. A start of what had ended interrupts nothing and is none.
pub(crate) fn cooldown_until(incident: &ValidatedIncident) -> Option<Time> {
    let actions = incident.history.iter().map(|action| action.at);
    let own = incident
        .target
        .as_deref()
        .ok()
        .and_then(ledger::last_unhealthy_restart);
    let last = actions.chain(own).max()?;
    let until = last.plus(incident.policy.cooldown);
    (until > incident.now).then_some(until)
}
