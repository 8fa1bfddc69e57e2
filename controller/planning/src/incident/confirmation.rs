//! What was reported and is not measured: it is watched for a while before it counts as nothing. Pure.

use std::time::Duration;

use aegis_api::policy::Unconfirmed;
use aegis_api::proposal::Action;
use aegis_api::{ConditionType, Reason, condition};

use super::conclude::Proposed;
use super::gate::Ruling;
use super::next::{Effect, Next};
use super::transition::{HeldFor, Transition};
use super::validate::ValidatedIncident;

/// How often it is measured meanwhile.
const MEASURES_EVERY: Duration = Duration::from_secs(2);

/// Nothing is measured, and the incident would end for that: not before it was watched as long as the policy says. Who
/// reported it and says that it is over has answered that.
pub(super) fn watch(incident: &ValidatedIncident, proposed: &Proposed<'_>, ruling: &Ruling) -> Option<Next> {
    let status = &incident.status;
    let would_end = match ruling {
        Ruling::NotMeasured { .. } => true,
        Ruling::Allow => proposed.action == Action::Noop,
        Ruling::NeedsApproval { reason, .. } => *reason == Reason::Unconfirmed,
        Ruling::DryRun(_) | Ruling::Wait { .. } | Ruling::Refuse { .. } => false,
    };
    let is_over = proposed.by_human.is_some()
        || !status.symptoms.is_empty()
        || !status.tried.is_empty()
        || incident.incident.spec.source.resolved_at.is_some();
    if !would_end || is_over {
        return None;
    }
    let since = status.evidence.as_ref()?.collected_at?;
    let measured = status.measured_at.unwrap_or(since);
    let until = since.plus(incident.policy.confirm_within);
    if measured >= until {
        return None;
    }
    let left = until.until(incident.now);
    let pause = MEASURES_EVERY
        .saturating_sub(measured.age(incident.now))
        .min(left);
    if pause.is_zero() {
        return Some(Next::Effect(Effect::Measure));
    }
    let held = HeldFor {
        reason: Reason::Confirming,
        message: format!("nothing measured confirms the report yet: watching until {until}"),
        until: Some(incident.now.plus(pause.into())),
    };
    Some(Transition::held(incident, held, incident.now).into())
}

/// Why a human decides on a report of which nothing was measured.
pub(super) fn requires_approval(incident: &ValidatedIncident) -> bool {
    incident.policy.unconfirmed == Unconfirmed::RequireApproval
        && incident.status.symptoms.is_empty()
        && incident.incident.spec.source.resolved_at.is_none()
}

/// Whether a human was asked although nothing was measured: who approves then orders this very plan.
pub(super) fn was_asked(incident: &ValidatedIncident) -> bool {
    let allows = condition::find(&incident.status.conditions, ConditionType::PolicyAllows);
    allows.is_some_and(|allows| allows.status == "False" && allows.reason == Reason::Unconfirmed)
}
