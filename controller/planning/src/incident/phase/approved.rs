//! APPROVED: the plan is durable; it is checked once more, then its patch is put into the workload's spec.

use aegis_api::incident::{ApprovalDecision, Execution, Plan, Stage};
use aegis_api::proposal::Action;
use aegis_api::{ConditionType, Phase, Reason, Time, Workload};

use super::super::conclude;
use super::super::gate::{self, Case, Ruling};
use super::super::next::{Effect, Next};
use super::super::overtaken::started_over;
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;
use super::super::{dry_run, ladder, measured, remedy};

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let Some(plan) = &incident.status.plan else {
        return ladder::fail(incident, "the plan is missing from the status");
    };
    let ordered = incident.incident.spec.override_.is_some();
    let execute = || Next::Effect(Effect::Execute(Box::new(plan.clone())));
    // What automation approved before the brake was put on waits; what a human ordered does not.
    if let Some(hold) = &incident.paused
        && !ordered
        && !is_agreed(incident, plan)
        && plan.action != Action::Noop
    {
        return conclude::hold(incident, hold.reason, hold.message.clone());
    }
    // What this plan has done already, before a crash, is only noted down.
    if plan.action == Action::Noop || remedy::is_done(plan, workload) {
        return execute();
    }
    if !ordered && !measured::is_fresh(incident) {
        return Next::Effect(Effect::Measure);
    }
    let ruling = gate::judge(&Case {
        incident,
        action: plan.action,
        council: incident.status.council.as_ref(),
        by_human: ordered || is_agreed(incident, plan),
    });
    match ruling {
        Ruling::Allow => execute(),
        // Approved, it has its turn already.
        Ruling::Wait {
            reason: Reason::HostBusy,
            ..
        } => execute(),
        Ruling::Wait { reason, message } => conclude::wait(incident, plan.action, reason, message),
        Ruling::NeedsApproval { reason, message } => {
            conclude::ask(incident, plan.clone(), None, reason, message)
        }
        Ruling::DryRun(would) => dry_run::ended(incident, Some(plan.clone()), None, &would).into(),
        Ruling::NotMeasured { message } => started_over(incident, &message, incident.now).into(),
        Ruling::Refuse { message } => ladder::fail(incident, message),
    }
}

fn is_agreed(incident: &ValidatedIncident, plan: &Plan) -> bool {
    let approval = incident.incident.spec.approval.as_ref();
    approval.is_some_and(|approval| {
        approval.decision == ApprovalDecision::Approve && approval.plan_hash == plan.hash
    })
}

/// What became of the plan's patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The workload's spec has it.
    Done {
        /// The workload's generation that carries it.
        generation: i64,
        /// `spec.restartedAt` as it was before.
        replaced: Option<Time>,
    },
    /// It was made for another generation of the workload.
    Stale(String),
}

/// The workload's reconciler carries it out; or, on a workload that somebody changed meanwhile, it starts over.
pub fn after_execution(incident: &ValidatedIncident, plan: &Plan, applied: Applied, now: Time) -> Transition {
    let (generation, replaced) = match applied {
        Applied::Done { generation, replaced } => (generation, replaced),
        Applied::Stale(message) => return started_over(incident, &message, now),
    };
    let words = remedy::describe(plan);
    let (to, stage, text) = match plan.action {
        Action::ScaleUp | Action::ScaleDown => (Phase::Scaling, Stage::Scaling, words.clone()),
        Action::Restart | Action::Rollback => (Phase::Executing, Stage::Executing, words.clone()),
        Action::Noop => (
            Phase::Executing,
            Stage::Noop,
            "nothing is changed: the workload's own probe must prove that nothing is wrong".to_owned(),
        ),
    };
    let execution = Execution {
        applied_at: Some(now),
        generation: Some(generation),
        replaced,
        ..Execution::default()
    };
    Transition::new(What::Executed, to, now)
        .release(incident)
        .condition(ConditionType::Executed, true, Reason::Applied, words)
        .log(stage, text)
        .set(Field::Execution(Some(execution)))
}
