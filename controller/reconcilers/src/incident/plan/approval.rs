//! What becomes of a plan that waits for a human. Pure.

use std::time::Duration;

use aegis_api::incident::{ApprovalDecision, Plan};
use aegis_api::{Kind, Workload};

use super::super::gate::{self, Case, Ruling};
use super::super::remedy;
use super::super::validate::{REMEDIATION_UNDER_WAY, ValidatedIncident};
use super::{Step, conclude, fail};

/// How often it is looked whether what stands in the way has passed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

pub(super) fn await_approval(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let spec = &incident.incident.spec;
    let Some(plan) = &incident.status.plan else {
        return fail("the plan is missing from the status");
    };
    if let Some(rival) = &incident.rival {
        let message = format!("incident {rival} is being remedied on the same workload");
        return Step::AskHuman {
            plan: plan.clone(),
            council: None,
            reason: REMEDIATION_UNDER_WAY,
            message,
        };
    }
    if let Some(chosen) = &spec.override_ {
        return conclude(
            incident,
            workload,
            chosen.action,
            chosen.replica_count,
            None,
            Some(&chosen.by),
        );
    }
    let stale =
        plan.parent_generation != workload.generation() && !remedy::is_applied(&plan.patch, &workload.spec);
    let decision = spec
        .approval
        .as_ref()
        .filter(|approval| approval.plan_hash == plan.hash);
    match decision.map(|approval| (approval.decision, approval.by.as_str())) {
        Some((ApprovalDecision::Reject, by)) => fail(format!("{} rejected the plan", person(by))),
        Some((ApprovalDecision::Approve, by)) if !stale => {
            let note = format!("{} approved the plan", person(by));
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
                Ruling::Allow | Ruling::NeedsApproval { .. } => Step::Approve {
                    plan: remedy::carried_out_at(plan, workload, incident.now),
                    council: None,
                    note,
                },
            }
        }
        // An approval of a plan that is stale is none of the new one.
        Some((ApprovalDecision::Approve, _)) | None => go_on(incident, workload, plan, stale),
    }
}

/// What stood in the way may have passed: a freeze window, the budget's hour, a mode. Another incident may have acted
/// meanwhile, so what goes on by itself keeps the cooldown as if it began now.
fn go_on(incident: &ValidatedIncident, workload: &Workload, plan: &Plan, stale: bool) -> Step {
    let case = Case {
        incident,
        action: plan.action,
        council: incident.status.council.as_ref(),
        by_human: false,
    };
    match gate::judge(&case) {
        Ruling::Allow => match gate::cooldown_until(incident) {
            Some(until) => Step::Wait(Some(until.until(incident.now))),
            None => replan(incident, workload, plan),
        },
        _ if stale => replan(incident, workload, plan),
        _ => Step::Wait(Some(LOOK_AGAIN)),
    }
}

fn person(by: &str) -> &str {
    if by.is_empty() { "a human" } else { by }
}

/// The same action, planned for the workload as it is now.
fn replan(incident: &ValidatedIncident, workload: &Workload, plan: &Plan) -> Step {
    let proposal = incident
        .status
        .analysis
        .as_ref()
        .map(|analysis| &analysis.proposal);
    // A rung of the ladder is no proposal: it goes one step.
    let count = proposal
        .filter(|_| incident.status.tried.is_empty())
        .map_or(1, |proposal| proposal.replica_count);
    conclude(
        incident,
        workload,
        plan.action,
        count,
        incident.status.council.clone(),
        None,
    )
}
