//! What becomes of a plan that waits for a human, and of one that was approved. Pure.
//!
//! Nothing that waited goes on by itself on what was seen before it waited: it begins at evidence again, or, where a
//! human agreed to this very plan, what it is about is measured right before.

use std::time::Duration;

use aegis_api::incident::{ApprovalDecision, Plan};
use aegis_api::proposal::Action;
use aegis_api::{ConditionType, Kind, Reason, Workload};

use super::super::gate::{self, Case, Ruling};
use super::super::remedy;
use super::super::validate::ValidatedIncident;
use super::{MOST_ANEW, Step, begin_anew, conclude, fail, is_fresh, ordered, overtaken, proposed_count};

/// How often it is looked whether what stands in the way has passed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often it is where it only waits for others to be done.
const SOON: Duration = Duration::from_secs(5);
/// How long a plan waits for a human.
const WAITS_AT_MOST: aegis_api::Duration = aegis_api::Duration::from_secs(24 * 3600);

pub(super) fn await_approval(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let spec = &incident.incident.spec;
    let Some(plan) = &incident.status.plan else {
        return fail("the plan is missing from the status");
    };
    if let Some(error) = expired(incident, plan) {
        return fail(error);
    }
    if let Some(rival) = &incident.rival {
        let message = format!("incident {rival} is being remedied on the same workload");
        return ask(plan, Reason::RemediationUnderWay, message);
    }
    if let Some(step) = ordered(incident, workload) {
        return step;
    }
    let stale = is_stale(plan, workload);
    let decision = spec
        .approval
        .as_ref()
        .filter(|approval| approval.plan_hash == plan.hash);
    match decision.map(|approval| (approval.decision, approval.by.as_str())) {
        Some((ApprovalDecision::Reject, by)) => fail(format!("{} rejected the plan", person(by))),
        Some((ApprovalDecision::Approve, by)) if !stale => agreed(incident, workload, plan, by),
        // An approval of a plan that is stale is none of another one.
        Some((ApprovalDecision::Approve, _)) | None => go_on(incident, workload, plan, stale),
    }
}

/// A plan that was approved, right before it is carried out.
pub(super) fn carry_out(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let Some(plan) = &incident.status.plan else {
        return fail("the plan is missing from the status");
    };
    let ordered = incident.incident.spec.override_.is_some();
    // What automation approved before the brake was put on waits; what a human ordered does not.
    if let Some(hold) = &incident.paused
        && !ordered
        && !is_agreed(incident, plan)
        && plan.action != Action::Noop
    {
        return Step::Hold {
            reason: hold.reason,
            message: hold.message.clone(),
            until: None,
        };
    }
    // What this plan has done already, before a crash, is only noted down.
    if plan.action == Action::Noop || remedy::is_done(plan, workload) {
        return Step::Execute(plan.clone());
    }
    if !ordered && !is_fresh(incident) {
        return Step::Measure;
    }
    let ruling = gate::judge(&Case {
        incident,
        action: plan.action,
        council: incident.status.council.as_ref(),
        by_human: ordered || is_agreed(incident, plan),
    });
    match ruling {
        Ruling::Allow => Step::Execute(plan.clone()),
        // Approved, it has its turn already.
        Ruling::Wait {
            reason: Reason::HostBusy,
            ..
        } => Step::Execute(plan.clone()),
        Ruling::Wait { reason, message } => Step::Hold {
            reason,
            message,
            until: None,
        },
        Ruling::NeedsApproval { reason, message } => ask(plan, reason, message),
        Ruling::DryRun(ruling) => Step::EndDryRun {
            plan: Some(plan.clone()),
            council: None,
            ruling: *ruling,
        },
        Ruling::NotMeasured { message } => Step::BeginAnew { reason: message },
        Ruling::Refuse { message } => fail(message),
    }
}

fn ask(plan: &Plan, reason: Reason, message: String) -> Step {
    Step::AskHuman {
        plan: plan.clone(),
        council: None,
        reason,
        message,
    }
}

/// Whether a plan was made for another generation of the workload. What somebody else did meanwhile is not this plan's
/// doing, also where it is the same.
fn is_stale(plan: &Plan, workload: &Workload) -> bool {
    plan.parent_generation != workload.generation()
}

fn is_agreed(incident: &ValidatedIncident, plan: &Plan) -> bool {
    let approval = incident.incident.spec.approval.as_ref();
    approval.is_some_and(|approval| {
        approval.decision == ApprovalDecision::Approve && approval.plan_hash == plan.hash
    })
}

/// Why it has waited long enough.
fn expired(incident: &ValidatedIncident, plan: &Plan) -> Option<String> {
    let since = incident.status.waiting_since.unwrap_or(plan.created_at);
    if since.age(incident.now) < WAITS_AT_MOST.std() {
        return None;
    }
    let allows = aegis_api::condition::find(&incident.status.conditions, ConditionType::PolicyAllows);
    let waited_for = allows.map(|allows| format!(" ({})", allows.message));
    Some(format!(
        "nobody decided on {} {} within {WAITS_AT_MOST}{}: nothing was done; report it again if it is still wrong",
        plan.action,
        plan.target,
        waited_for.unwrap_or_default()
    ))
}

/// A human agreed to this plan, made for the workload as it is: it is carried out if what it is about is still there.
fn agreed(incident: &ValidatedIncident, workload: &Workload, plan: &Plan, by: &str) -> Step {
    let changes = plan.action != Action::Noop;
    // Where nothing is wrong any more, measuring it takes the plan back; whoever insists orders the action.
    if changes && (!is_fresh(incident) || incident.status.symptoms.is_empty()) {
        return Step::Measure;
    }
    let case = Case {
        incident,
        action: plan.action,
        council: None,
        by_human: true,
    };
    match gate::judge(&case) {
        Ruling::Refuse { message } => fail(message),
        Ruling::DryRun(ruling) => Step::EndDryRun {
            plan: Some(plan.clone()),
            council: None,
            ruling: *ruling,
        },
        Ruling::Allow | Ruling::NeedsApproval { .. } | Ruling::NotMeasured { .. } | Ruling::Wait { .. } => {
            Step::Approve {
                plan: remedy::carried_out_at(plan, workload, incident.now),
                council: None,
                note: format!("{} approved the plan", person(by)),
            }
        }
    }
}

/// What stood in the way may have passed: a freeze window, the budget's hour, a mode. What was seen before says nothing
/// about now, so the incident begins at evidence again; another incident may have acted meanwhile, so it keeps the
/// cooldown as if it began now.
fn go_on(incident: &ValidatedIncident, workload: &Workload, plan: &Plan, stale: bool) -> Step {
    if stale {
        let reason = overtaken(incident, workload)
            .unwrap_or_else(|| format!("the plan was made for generation {}", plan.parent_generation));
        return begin_anew(incident, workload, plan.action, None, reason).unwrap_or(Step::Measure);
    }
    if overtaken(incident, workload).is_some() {
        // It is the human's alone since somebody changed the workload.
        return Step::Wait(Some(LOOK_AGAIN));
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
        _ if look_again.is_some() => Step::Wait(look_again),
        Some(until) => Step::Wait(Some(until.until(incident.now))),
        None => free_again(incident, workload, plan),
    }
}

fn free_again(incident: &ValidatedIncident, workload: &Workload, plan: &Plan) -> Step {
    if !incident.status.tried.is_empty() {
        // The next rung of a ladder, for the workload as it is now and if something is still wrong.
        let council = incident.status.council.clone();
        return conclude(
            incident,
            workload,
            plan.action,
            proposed_count(incident),
            council,
            None,
        );
    }
    if incident.status.begun_anew >= MOST_ANEW {
        let message = format!(
            "{} has waited {} times: a human decides",
            plan.action,
            MOST_ANEW.saturating_add(1)
        );
        return ask(plan, Reason::WaitedTooOften, message);
    }
    Step::BeginAnew {
        reason: "what stood in the way has passed".to_owned(),
    }
}

fn person(by: &str) -> &str {
    if by.is_empty() { "a human" } else { by }
}
