//! AWAITING_APPROVAL: a human decides on the plan, or chooses another action, or what stood in the way passes.
//!
//! Nothing that waited goes on by itself on what was seen before it waited: it begins at evidence again, or, where a
//! human agreed to this very plan, what it is about is measured right before.

use std::time::Duration;

use aegis_api::incident::{ApprovalDecision, Plan};
use aegis_api::proposal::Action;
use aegis_api::{ConditionType, Reason, Workload, condition};

use super::super::conclude::{self, Proposed, conclude};
use super::super::gate::{self, Case, Ruling};
use super::super::next::{Effect, Next};
use super::super::overtaken::{MOST_STARTED_OVER, overtaken, start_over, started_over};
use super::super::validate::ValidatedIncident;
use super::super::{confirmation, dry_run, ladder, measured, remedy};
use crate::set_back;

/// How often a plan is judged again while something stands in its way.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often it is where it only waits for others to be done.
const SOON: Duration = Duration::from_secs(5);
/// How long a plan waits for a human.
const WAITS_AT_MOST: aegis_api::Duration = aegis_api::Duration::from_secs(24 * 3600);

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let spec = &incident.incident.spec;
    let Some(plan) = &incident.status.plan else {
        return ladder::fail(incident, "the plan is missing from the status");
    };
    if let Some(error) = expired(incident, plan) {
        return ladder::fail(incident, error);
    }
    if let Some(active_incident) = &incident.active_incident {
        let message = conclude::under_way(active_incident);
        return conclude::ask(incident, plan.clone(), None, Reason::RemediationUnderWay, message);
    }
    if let Some(next) = conclude::ordered(incident, workload) {
        return next;
    }
    // What somebody else did meanwhile is not this plan's doing, also where it is the same.
    let stale = !remedy::is_made_for(plan, workload);
    let decision = spec
        .approval
        .as_ref()
        .filter(|approval| approval.plan_hash == plan.hash);
    match decision.map(|approval| (approval.decision, approval.by.as_str())) {
        Some((ApprovalDecision::Reject, by)) => {
            ladder::fail(incident, format!("{} rejected the plan", conclude::person(by)))
        }
        Some((ApprovalDecision::Approve, by)) if !stale => agreed(incident, workload, plan, by),
        // An approval of a plan that is stale is none of another one.
        Some((ApprovalDecision::Approve, _)) | None => go_on(incident, workload, plan, stale),
    }
}

/// Why it has waited long enough.
fn expired(incident: &ValidatedIncident, plan: &Plan) -> Option<String> {
    let since = incident.status.waiting_since.unwrap_or(plan.created_at);
    if set_back::age(since, incident.now, &incident.leaps) < WAITS_AT_MOST.std() {
        return None;
    }
    let allows = aegis_api::condition::find(&incident.status.conditions, ConditionType::PolicyAllows);
    let waited_for = allows.map(|allows| format!(" ({})", allows.message));
    Some(format!(
        "no decision on {} {} within {WAITS_AT_MOST}{}: nothing was done; report it again if it is still wrong",
        plan.action,
        plan.target,
        waited_for.unwrap_or_default()
    ))
}

/// A human agreed to this plan, made for the workload as it is: it is carried out if what it is about is still there.
fn agreed(incident: &ValidatedIncident, workload: &Workload, plan: &Plan, by: &str) -> Next {
    let changes = plan.action != Action::Noop;
    // Where nothing is wrong any more, measuring it takes the plan back; a person who insists orders the action.
    let is_gone = incident.status.symptoms.is_empty() && !confirmation::was_asked(incident);
    if changes && (!measured::is_fresh(incident) || is_gone) {
        return Next::Effect(Effect::Measure);
    }
    let case = Case {
        incident,
        action: plan.action,
        council: None,
        by_human: true,
    };
    match gate::judge(&case) {
        Ruling::Refuse { message } => ladder::fail(incident, message),
        Ruling::DryRun(would) => dry_run::ended(incident, Some(plan.clone()), None, &would).into(),
        Ruling::Allow | Ruling::NeedsApproval { .. } | Ruling::NotMeasured { .. } | Ruling::Wait { .. } => {
            let plan = remedy::carried_out_at(plan, workload, incident.now);
            let note = format!("{} approved the plan", conclude::person(by));
            conclude::approve(incident, plan, None, note).into()
        }
    }
}

/// What stood in the way may have passed: a freeze window, the budget's hour, a mode. What was seen before says nothing
/// about now, so the incident begins at evidence again; another incident may have acted meanwhile, so it keeps the
/// cooldown as if it began now.
fn go_on(incident: &ValidatedIncident, workload: &Workload, plan: &Plan, stale: bool) -> Next {
    if stale {
        let reason = overtaken(incident, workload, plan.action)
            .unwrap_or_else(|| format!("the plan was made for generation {}", plan.parent_generation));
        let again = start_over(incident, workload, plan.action, None, &reason);
        let is_humans = plan.action == Action::Noop || confirmation::was_asked(incident);
        return match again {
            Some(again) => again,
            // Nothing is measured either way, and a human decides.
            None if is_humans => Next::Wait(Some(LOOK_AGAIN)),
            None => Next::Effect(Effect::Measure),
        };
    }
    if overtaken(incident, workload, plan.action).is_some() {
        // It is the human's alone since somebody changed the workload.
        return Next::Wait(Some(LOOK_AGAIN));
    }
    if (detector_disagrees(incident) || is_of_others(incident)) && !measured::is_recent(incident) {
        return Next::Effect(Effect::Measure);
    }
    let case = Case {
        incident,
        action: plan.action,
        council: incident.status.council.as_ref(),
        by_human: false,
    };
    let look_again = match gate::judge(&case) {
        Ruling::Allow | Ruling::NotMeasured { .. } => None,
        Ruling::Wait { .. } => Some(SOON),
        Ruling::Refuse { .. } | Ruling::NeedsApproval { .. } | Ruling::DryRun(_) => Some(LOOK_AGAIN),
    };
    match gate::cooldown_until(incident) {
        _ if look_again.is_some() => Next::Wait(look_again),
        Some(until) => Next::Wait(Some(until.until(incident.now))),
        None => free_again(incident, workload, plan),
    }
}

/// Whether it waits since its errors may be those of others: whose they are may show later.
fn is_of_others(incident: &ValidatedIncident) -> bool {
    let allows = condition::find(&incident.status.conditions, ConditionType::PolicyAllows);
    allows.is_some_and(|allows| allows.reason == Reason::PassedOn)
}

/// Whether what was measured and what detectors say now are not the same: a symptom, and none of them fires any more; or
/// none, and one does.
fn detector_disagrees(incident: &ValidatedIncident) -> bool {
    let is_sick = !incident.status.symptoms.is_empty();
    incident.detected.as_ref().is_some_and(|detected| match is_sick {
        true => !detected.firing,
        false => detected.other.is_some(),
    })
}

fn free_again(incident: &ValidatedIncident, workload: &Workload, plan: &Plan) -> Next {
    if !incident.status.tried.is_empty() {
        // The next rung of a ladder, for the workload as it is now and if something is still wrong.
        let proposed = Proposed {
            action: plan.action,
            count: conclude::proposed_count(incident),
            council: incident.status.council.clone(),
            by_human: None,
        };
        return conclude(incident, workload, proposed);
    }
    if incident.status.started_over >= MOST_STARTED_OVER {
        let message = format!(
            "{} has waited {} times: a human decides",
            plan.action,
            MOST_STARTED_OVER.saturating_add(1)
        );
        return conclude::ask(incident, plan.clone(), None, Reason::WaitedTooOften, message);
    }
    started_over(incident, "what stood in the way has passed", incident.now).into()
}
