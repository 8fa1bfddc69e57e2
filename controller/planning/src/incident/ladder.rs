//! What follows where a plan did not help, or cannot be made: the next rung of the policy's ladder, or the end. Pure.

use std::time::Duration;

use aegis_api::incident::{Stage, Tried};
use aegis_api::proposal::{Action, CouncilDecision};
use aegis_api::redact::{bound, redact};
use aegis_api::{IncidentStatus, Phase, Symptom, Time};

use super::clearing;
use super::next::{Effect, Next, Setback};
use super::overtaken::{MOST_STARTED_OVER, started_over};
use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;

/// How long a revision is new.
const NEW_REVISION: Duration = Duration::from_secs(30 * 60);
/// The longest error, in characters.
const ERROR: usize = 2000;

/// The end.
pub(super) fn fail(incident: &ValidatedIncident, error: impl Into<String>) -> Next {
    fail_with(incident, error, None)
}

/// The end, after the council decided so.
pub(super) fn fail_with(
    incident: &ValidatedIncident,
    error: impl Into<String>,
    council: Option<CouncilDecision>,
) -> Next {
    let error = error.into();
    set_back(incident, Setback::Fail { error, council })
}

/// The next rung of the ladder that was not tried yet, or the end.
pub(super) fn fall_back(incident: &ValidatedIncident, error: String) -> Next {
    let status = &incident.status;
    let current = status.plan.as_ref().map(|plan| plan.action);
    if nothing_was_wrong(incident, current)
        && status.tried.is_empty()
        && status.started_over < MOST_STARTED_OVER
    {
        return started_over(incident, &error, incident.now).into();
    }
    let next = next_rung(incident, current);
    match next {
        Some(action) => set_back(incident, Setback::FallBack { error, action }),
        None => fail(incident, error),
    }
}

/// The next rung of the ladder after those that were tried, and the one that did not help just now.
pub(super) fn next_rung(incident: &ValidatedIncident, current: Option<Action>) -> Option<Action> {
    let tried = incident.status.tried.iter().map(|tried| tried.action);
    let mut used: Vec<Action> = tried.chain(current).collect();
    let rungs = match &incident.incident.spec.override_ {
        // An incident that a person took over stays with that person: the ladder does not go on behind their back.
        Some(chosen) => vec![chosen.action],
        None => rungs(incident),
    };
    let is_left = |action: &Action| match used.iter().position(|used| used == action) {
        Some(at) => {
            used.swap_remove(at);
            false
        }
        None => true,
    };
    rungs.into_iter().find(is_left)
}

/// What is tried in turn: what the policy says, of that what can clear the symptom; else what the symptom's class has.
fn rungs(incident: &ValidatedIncident) -> Vec<Action> {
    let status = &incident.status;
    let is_left = |clears: &&Symptom| status.symptoms.iter().any(|left| left.kind == clears.kind);
    let symptom = status.clears.as_ref().filter(is_left).or(status.symptoms.first());
    let chosen = &incident.policy.fallback;
    let Some(symptom) = symptom else {
        return chosen.clone();
    };
    if !chosen.is_empty() {
        let clears = |action: &&Action| clearing::to_clear(incident, **action).is_some();
        return chosen.iter().filter(clears).copied().collect();
    }
    let ladder = symptom.kind.class().ladder().iter().copied();
    ladder
        .filter(|action| *action != Action::Rollback || is_new(status))
        .collect()
}

/// Whether the workload's revision came so lately that it may be what is wrong.
pub(super) fn is_new(status: &IncidentStatus) -> bool {
    let age = status.evidence.as_ref().filter(|evidence| evidence.can_roll_back);
    age.and_then(|evidence| evidence.revision_age_secs)
        .is_some_and(|age| age < NEW_REVISION.as_secs())
}

/// Whether something was proposed, and nothing spoke for it then.
fn nothing_was_wrong(incident: &ValidatedIncident, current: Option<Action>) -> bool {
    let analysis = incident.status.analysis.as_ref();
    current == Some(Action::Noop)
        && incident.incident.spec.override_.is_none()
        && analysis.is_some_and(|analysis| analysis.proposal.action != Action::Noop)
}

/// Where something was done, that comes first which it taught, and what has not taken effect of it.
fn set_back(incident: &ValidatedIncident, setback: Setback) -> Next {
    match incident.status.execution {
        Some(_) => Next::Effect(Effect::Unlearn(setback)),
        None => after_unlearning(incident, setback, None, incident.now).into(),
    }
}

/// The next rung comes, or it is over. `withdrawn` is the workload's generation that took a restart back.
pub fn after_unlearning(
    incident: &ValidatedIncident,
    setback: Setback,
    withdrawn: Option<i64>,
    now: Time,
) -> Transition {
    match setback {
        Setback::FallBack { error, action } => fallen_back(incident, error, action, withdrawn, now),
        Setback::Fail { error, council } => {
            let mut begun = with_withdrawal(Transition::new(What::Failed, Phase::Failed, now), withdrawn);
            if withdrawn.is_some() {
                let mut execution = incident.status.execution.clone().unwrap_or_default();
                execution.withdrawn = withdrawn;
                begun = begun.set(Field::Execution(Some(execution)));
            }
            end(begun, incident, &error, council)
        }
    }
}

fn fallen_back(
    incident: &ValidatedIncident,
    error: String,
    action: Action,
    withdrawn: Option<i64>,
    now: Time,
) -> Transition {
    let status = &incident.status;
    let mut tried = status.tried.clone();
    let text = format!("{error}; next: {action}");
    if let Some(plan) = &status.plan {
        let execution = status.execution.as_ref();
        tried.push(Tried {
            action: plan.action,
            plan_hash: plan.hash.clone(),
            error,
            applied_at: execution.and_then(|execution| execution.applied_at),
            withdrawn: withdrawn.or(execution.and_then(|execution| execution.withdrawn)),
            generation: execution.and_then(|execution| execution.generation),
        });
    }
    let begun = Transition::new(What::FellBack, Phase::CouncilReview, now);
    with_withdrawal(begun, withdrawn)
        .log(Stage::Fallback, text)
        .set(Field::Tried(tried))
        .set(Field::Execution(None))
        .set(Field::Plan(None))
        .set(Field::Verification(None))
}

/// Records on the timeline that a restart was withdrawn, if one was.
fn with_withdrawal(transition: Transition, withdrawn: Option<i64>) -> Transition {
    match withdrawn {
        Some(_) => transition.log(
            Stage::PolicyGate,
            "the restart is withdrawn: it will not be made up for later",
        ),
        None => transition,
    }
}

/// It is over, and a human is needed.
pub(super) fn failed(
    incident: &ValidatedIncident,
    error: &str,
    council: Option<CouncilDecision>,
    now: Time,
) -> Transition {
    let begun = Transition::new(What::Failed, Phase::Failed, now);
    end(begun, incident, error, council)
}

fn end(
    transition: Transition,
    incident: &ValidatedIncident,
    error: &str,
    council: Option<CouncilDecision>,
) -> Transition {
    let error = bound(&redact(error), ERROR);
    transition
        .council(incident, council)
        .log(Stage::Failed, error.clone())
        .set(Field::Error(Some(error)))
        .finished()
}
