//! What is to happen with an action that somebody proposed or chose: freshness, policy and plan. Pure.

use std::time::Duration;

use aegis_api::error::chain;
use aegis_api::incident::{Plan, Stage};
use aegis_api::proposal::{Action, CouncilDecision};
use aegis_api::{ConditionType, Kind, Phase, Reason, Workload};

use super::gate::{self, Case, Ruling};
use super::next::{Effect, Next};
use super::overtaken::{MOST_STARTED_OVER, overtaken, start_over};
use super::transition::{Field, HeldFor, Transition, What};
use super::validate::ValidatedIncident;
use super::{clearing, confirmation, dry_run, ladder, measured, relapse, remedy};
use crate::host_limit::{self, HostRuling};

/// How soon a plan that waits for a human is reconciled again by itself.
const REQUEUE_AFTER: Duration = Duration::from_secs(30);

/// An action that somebody proposed or chose.
#[derive(Debug, Clone)]
pub(super) struct Proposed<'a> {
    pub(super) action: Action,
    /// By how many it scales.
    pub(super) count: u32,
    pub(super) council: Option<CouncilDecision>,
    /// Who chose it, where that was a person.
    pub(super) by_human: Option<&'a str>,
}

impl Proposed<'_> {
    /// Whether automation would change the workload by itself.
    fn changes_by_itself(&self) -> bool {
        self.by_human.is_none() && self.action != Action::Noop
    }
}

/// What a person chose in place of all proposals, if anybody did.
pub(super) fn ordered(incident: &ValidatedIncident, workload: &Workload) -> Option<Next> {
    let chosen = incident.incident.spec.override_.as_ref()?;
    let proposed = Proposed {
        action: chosen.action,
        count: chosen.replica_count,
        council: None,
        by_human: Some(&chosen.by),
    };
    Some(conclude(incident, workload, proposed))
}

/// By how many the proposal scales; a rung of the ladder goes one step.
pub(super) fn proposed_count(incident: &ValidatedIncident) -> u32 {
    let analysis = incident.status.analysis.as_ref();
    analysis
        .filter(|_| incident.status.tried.is_empty())
        .map_or(1, |analysis| analysis.proposal.replica_count)
}

/// Why an incident waits while this one has the workload.
pub(super) fn under_way(active: &str) -> String {
    format!("incident {active} is being remedied on the same workload")
}

/// Policy and plan.
pub(super) fn conclude(incident: &ValidatedIncident, workload: &Workload, proposed: Proposed<'_>) -> Next {
    // What waited may find another at work when its time has come, also by a person's order; what is analysed has not waited.
    if let Some(active) = incident
        .active_incident
        .as_ref()
        .filter(|_| incident.status.phase != Phase::Analysing)
    {
        return hold(incident, Reason::RemediationUnderWay, under_way(active));
    }
    if let Some(next) = not_of_this_moment(incident, workload, &proposed) {
        return next;
    }
    let ruling = gate::judge(&Case {
        incident,
        action: proposed.action,
        council: proposed.council.as_ref(),
        by_human: proposed.by_human.is_some(),
    });
    if let Some(next) = confirmation::watch(incident, &proposed, &ruling) {
        return next;
    }
    let (action, count) = match &ruling {
        Ruling::NotMeasured { message } => {
            if let Some(error) = left_alone(incident, message) {
                return ladder::fail_with(incident, error, proposed.council);
            }
            (Action::Noop, 0)
        }
        // A human chooses: no action is proposed that nothing speaks for.
        Ruling::NeedsApproval {
            reason: Reason::DetectorFires,
            ..
        } => (Action::Noop, 0),
        _ => (proposed.action, proposed.count),
    };
    let plan = remedy::prescribe(incident, workload, action, count);
    let by_itself = proposed.changes_by_itself();
    let Proposed {
        action,
        council,
        by_human,
        ..
    } = proposed;
    match (ruling, plan) {
        (Ruling::Refuse { message }, _) => ladder::fail_with(incident, message, council),
        (Ruling::DryRun(would), plan) => dry_run::concluded(incident, plan, council, &would).into(),
        (_, Err(error)) => ladder::fail_with(incident, chain(&error), council),
        (Ruling::NotMeasured { message }, Ok(plan)) => approve(incident, plan, council, message).into(),
        (Ruling::Allow, Ok(plan)) if by_itself && incident.status.started_over > MOST_STARTED_OVER => {
            let message = format!(
                "{action} was decided on {MOST_STARTED_OVER} times, and each time something had changed meanwhile"
            );
            ask(incident, plan, council, Reason::ChangedTooOften, message)
        }
        (Ruling::Allow, Ok(plan)) => {
            let note = match by_human {
                Some(by) => format!("{} chose {action}", person(by)),
                None => format!("policy {} allows {action}", incident.policy_name),
            };
            approve(incident, plan, council, note).into()
        }
        (Ruling::NeedsApproval { reason, message }, Ok(plan)) => {
            ask(incident, plan, council, reason, message)
        }
        (Ruling::Wait { reason, message }, Ok(_)) => wait(incident, action, reason, message),
    }
}

/// What comes first where automation would act on what is not of this moment.
fn not_of_this_moment(
    incident: &ValidatedIncident,
    workload: &Workload,
    proposed: &Proposed<'_>,
) -> Option<Next> {
    if !proposed.changes_by_itself() {
        return None;
    }
    let council = || proposed.council.clone();
    let overtaken = overtaken(incident, workload, proposed.action)
        .and_then(|reason| start_over(incident, workload, proposed.action, council(), &reason));
    if overtaken.is_some() || measured::is_fresh(incident) {
        return overtaken;
    }
    // Who waits until others are done is measured when its turn has come.
    still_waits(incident, workload).or(Some(Next::Effect(Effect::Measure)))
}

/// Held on, where it waits for its turn and others still have theirs.
fn still_waits(incident: &ValidatedIncident, workload: &Workload) -> Option<Next> {
    if !host_limit::waits_for_its_turn(&incident.status) {
        return None;
    }
    match host_limit::judge(&incident.limits, &incident.host, workload.name())? {
        HostRuling::Busy(message) => Some(hold(incident, Reason::HostBusy, message)),
        HostRuling::Exhausted(_) | HostRuling::BlastRadius(_) => None,
    }
}

/// Why it fails where leaving the workload as it is was tried, and its probe did not prove it well: there is no symptom,
/// and no proof either.
fn left_alone(incident: &ValidatedIncident, message: &str) -> Option<String> {
    let mut tried = incident.status.tried.iter();
    let tried = tried.rfind(|tried| tried.action == Action::Noop)?;
    Some(format!("{}; {message}", tried.error))
}

/// It waits for what rules against this action for now. A pause has an end: until then what is wrong is measured again only
/// seldom, and where a detector or the workload has news.
pub(super) fn wait(incident: &ValidatedIncident, action: Action, reason: Reason, message: String) -> Next {
    let pause = (reason == Reason::Relapsed).then(|| relapse::pauses_until(incident, action));
    let until = pause
        .flatten()
        .map(|until| until.min(measured::due_again(incident)));
    let held = HeldFor {
        reason,
        message,
        until,
    };
    Transition::held(incident, held, incident.now).into()
}

/// It waits for this, for as long as it takes.
pub(super) fn hold(incident: &ValidatedIncident, reason: Reason, message: String) -> Next {
    let held = HeldFor {
        reason,
        message,
        until: None,
    };
    Transition::held(incident, held, incident.now).into()
}

/// The plan is durable before anything is done.
pub(super) fn approve(
    incident: &ValidatedIncident,
    plan: Plan,
    council: Option<CouncilDecision>,
    note: String,
) -> Transition {
    let clears = clearing::to_clear(incident, plan.action).cloned();
    Transition::new(What::Approved, Phase::Approved, incident.now)
        .release(incident)
        .set(Field::Clears(clears))
        .council(incident, council)
        .condition(ConditionType::PolicyAllows, true, Reason::Allowed, note.clone())
        .log(Stage::PolicyGate, note)
        .log(Stage::Approved, remedy::describe(&plan))
        .set(Field::Plan(Some(Box::new(plan))))
        .set(Field::WaitingSince(None))
}

/// A human decides on the plan. Where so many workloads are concerned that it looks like a fault of the host, all
/// automation pauses first.
pub(super) fn ask(
    incident: &ValidatedIncident,
    plan: Plan,
    council: Option<CouncilDecision>,
    reason: Reason,
    message: String,
) -> Next {
    if reason == Reason::BlastRadius {
        let said = format!("{message}; all automation is paused: `aegisctl resume` resumes it");
        return Next::Effect(Effect::PauseAll {
            reason: message,
            then: asked(incident, plan, council, reason, said),
        });
    }
    asked(incident, plan, council, reason, message).into()
}

fn asked(
    incident: &ValidatedIncident,
    plan: Plan,
    council: Option<CouncilDecision>,
    reason: Reason,
    message: String,
) -> Transition {
    let status = &incident.status;
    let is_news = status.phase != Phase::AwaitingApproval || status.plan.as_ref() != Some(&plan);
    let said = format!("{message}; plan {}: {}", plan.hash, remedy::describe(&plan));
    let since = status.waiting_since.unwrap_or(incident.now);
    let clears = clearing::to_clear(incident, plan.action).cloned();
    let mut transition = Transition::new(What::Asked, Phase::AwaitingApproval, incident.now)
        .release(incident)
        .set(Field::Clears(clears))
        .council(incident, council)
        .condition(ConditionType::PolicyAllows, false, reason, message);
    if is_news {
        transition = transition.log(Stage::AwaitingApproval, said);
    }
    transition
        .set(Field::Plan(Some(Box::new(plan))))
        .set(Field::WaitingSince(Some(since)))
        .again(Some(REQUEUE_AFTER))
}

/// The person.
pub(super) fn person(by: &str) -> &str {
    if by.is_empty() { "a human" } else { by }
}
