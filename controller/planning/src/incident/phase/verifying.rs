//! VERIFYING: whether what was done has helped: when to look again, what counts as proof, and when it is over.

use std::time::Duration;

use aegis_api::incident::{Attempt, Execution, Stage, Verification};
use aegis_api::proposal::Action;
use aegis_api::redact::bound;
use aegis_api::{ConditionType, Kind, Phase, Reason, Time, Workload, WorkloadStatus};

use super::super::aftermath::{Aftermath, Cure};
use super::super::clearing;
use super::super::ladder::{fail, fall_back};
use super::super::next::{Effect, Next};
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;
use super::executing::{in_rotation, rotation};

/// The longest account of what was read afterwards, in characters.
const AFTER: usize = 600;
/// Pause after a failed verification attempt: doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let Some(verification) = &incident.status.verification else {
        return fail(incident, "the verification is missing from the status");
    };
    let status = workload.status.clone().unwrap_or_default();
    let steady = verified(incident, verification);
    let now = incident.now;
    let is_late = verification.deadline.is_some_and(|deadline| now >= deadline);
    // What could not be measured may still be, until the deadline; then it stays open whether it was cured.
    let is_open = Cure::of(&incident.status) == Some(Cure::Inconclusive);
    let is_proved = !is_open || (is_late && has_looked(incident, verification));
    if steady && in_rotation(incident, &status) && is_proved {
        return Next::Effect(Effect::Learn);
    }
    if is_late && !goes_on(incident, verification, &status) {
        let last = verification.attempts.last();
        let what = if steady {
            "the load balancer does not have it in rotation".to_owned()
        } else {
            last.map(|attempt| attempt.message.clone()).unwrap_or_default()
        };
        return fall_back(incident, format!("not verified before the deadline: {what}"));
    }
    let number = verification
        .attempts
        .last()
        .map_or(1, |last| last.number.saturating_add(1));
    let waits_for_rotation = steady && is_proved;
    match due(incident, verification, number, waits_for_rotation) {
        Duration::ZERO => Next::Effect(Effect::Probe { number }),
        pause => Next::Wait(Some(pause)),
    }
}

/// Whether somebody has probed since this controller started.
fn has_looked(incident: &ValidatedIncident, verification: &Verification) -> bool {
    let since = verification.started_at.max(Some(incident.awake_since));
    let last = verification.attempts.last();
    last.is_some_and(|last| Some(last.at) >= since)
}

/// Whether the start period of a container runs: that it does not answer yet says nothing. One that has ended and been
/// started again since verification began does not hold.
fn is_starting(status: &WorkloadStatus, verification: &Verification) -> bool {
    let begun = verification.started_at;
    let mut rows = status
        .instances
        .iter()
        .filter(|row| row.starting && !row.draining);
    rows.any(|row| row.started_at.is_none() || row.started_at <= begun)
}

/// How long until the attempt of this number. Where all that is missing is the rotation, another probe says nothing new: what
/// a load balancer reports reconciles the incident at once. It is probed all the same, so that what ends it is never old.
fn due(
    incident: &ValidatedIncident,
    verification: &Verification,
    number: u32,
    waits_for_rotation: bool,
) -> Duration {
    let Some(last) = verification.attempts.last() else {
        return Duration::ZERO;
    };
    if waits_for_rotation {
        return LAST_PAUSE.saturating_sub(last.at.age(incident.now));
    }
    let doublings = number.saturating_sub(2).min(16);
    let pause = FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LAST_PAUSE)
        .saturating_sub(last.at.age(incident.now));
    // The attempt that completes the soak is not put off beyond it, least of all beyond the deadline.
    soak_end(incident, verification)
        .filter(|end| *end > last.at)
        .map_or(pause, |end| pause.min(end.until(incident.now)))
}

/// Whether it goes on beyond its deadline: no probe has run since this controller started, what it saw since then has
/// been good and only has not lasted long enough, or a container's start period runs. Time without a probe proves nothing.
fn goes_on(incident: &ValidatedIncident, verification: &Verification, status: &WorkloadStatus) -> bool {
    if is_starting(status, verification) {
        return true;
    }
    let Some(last) = verification.attempts.last() else {
        return true;
    };
    let was_away = verification
        .started_at
        .is_some_and(|started| started < incident.awake_since);
    let unseen = was_away && last.at < incident.awake_since;
    let holds = was_away && last.healthy && !verified(incident, verification);
    unseen || holds
}

/// When the soak is over if every attempt passes from now on; `None` while none passes.
fn soak_end(incident: &ValidatedIncident, verification: &Verification) -> Option<Time> {
    let since = verification.healthy_since?;
    Some(since.plus(incident.policy.verification.soak))
}

/// Whether the attempts so far are the proof that the policy requires: enough in a row, over the whole soak.
fn verified(incident: &ValidatedIncident, verification: &Verification) -> bool {
    let wanted = &incident.policy.verification;
    let (Some(since), Some(newest)) = (verification.healthy_since, verification.attempts.last()) else {
        return false;
    };
    verification.passes >= wanted.successes && since.age(newest.at) >= wanted.soak.std()
}

/// What these answers prove, and in which words.
pub fn proof(workload: &Workload, answers: &[Result<String, String>]) -> (bool, String) {
    let failures: Vec<&str> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err().map(String::as_str))
        .collect();
    // Where `spec.replicas` is 0, no container may be there.
    let absent = workload.spec.replicas == 0
        && !workload.is_deleting()
        && workload
            .status
            .as_ref()
            .is_some_and(|status| status.instances.is_empty());
    let healthy = failures.is_empty() && (absent || !answers.is_empty());
    let message = match answers.first() {
        None if absent => "spec.replicas is 0, and none of its containers runs".to_owned(),
        None => "the workload has no container to probe".to_owned(),
        Some(Ok(words)) if healthy && answers.len() == 1 => words.clone(),
        Some(_) if healthy => format!("all {} containers passed", answers.len()),
        Some(_) => failures.join("; "),
    };
    (healthy, message)
}

/// One more attempt was made: what the probes prove, and whether what was wrong is not wrong any more.
pub fn after_probe(
    incident: &ValidatedIncident,
    number: u32,
    proof: (bool, String),
    aftermath: Aftermath,
    now: Time,
) -> Transition {
    let (mut healthy, mut message) = proof;
    let mut verification = incident.status.verification.clone().unwrap_or_default();
    match aftermath {
        Aftermath::Unasked => {}
        Aftermath::Cleared(read) => {
            verification.symptom_cleared = Some(true);
            verification.after = Some(bound(&read, AFTER));
        }
        Aftermath::Persists(what) => {
            verification.symptom_cleared = Some(false);
            verification.after = Some(bound(&what, AFTER));
            // What a human orders need not be about the symptom.
            if incident.incident.spec.override_.is_none() {
                healthy = false;
                message = format!("{message}, but still: {what}");
            }
        }
        Aftermath::Unknown(why) => {
            // A reading of before says nothing about now.
            verification.symptom_cleared = None;
            verification.after = Some(bound(&why, AFTER));
        }
        Aftermath::Unread(error) => {
            healthy = false;
            message = error;
        }
    }
    // The deadline is counted from the end of the start period.
    let status = incident.target.as_ref().ok().and_then(|it| it.status.as_ref());
    if status.is_some_and(|status| is_starting(status, &verification)) {
        let later = now.plus(incident.policy.verification.deadline);
        verification.deadline = verification.deadline.max(Some(later));
    }
    verification.record(Attempt {
        number,
        at: now,
        healthy,
        message,
    });
    Transition::new(What::Attempted, Phase::Verifying, now).set(Field::Verification(Some(verification)))
}

/// It is resolved, and taught or confirmed this runbook entry.
pub fn after_learning(incident: &ValidatedIncident, learned: Option<String>, now: Time) -> Transition {
    let status = &incident.status;
    let mut transition = Transition::new(What::Resolved, Phase::Resolved, now);
    // What restarted behind a stand-in is back in rotation only now.
    let late = status.execution.clone();
    if let Some(late) = late.filter(|execution| execution.lb_configured == Some(false)) {
        let action = status.plan.as_ref().map_or(Action::Restart, |plan| plan.action);
        let text = rotation(incident, action, &late.containers.join(", "));
        let execution = Execution {
            lb_configured: Some(true),
            ..late
        };
        transition = transition
            .log(Stage::LbConfigured, text)
            .set(Field::Execution(Some(execution)));
    }
    let verification = status.verification.as_ref();
    let proof = verification.and_then(|verification| verification.attempts.last());
    let text = format!(
        "verified by {} probe attempt(s): {}",
        proof.map_or(0, |last| last.number),
        proof.map(|last| last.message.as_str()).unwrap_or_default()
    );
    transition = transition.condition(
        ConditionType::HealthVerified,
        true,
        Reason::ProbesPassed,
        text.clone(),
    );
    let cure = Cure::of(status);
    if let (Some(symptom), Some(cure)) = (clearing::target(status), cure) {
        let after = verification.and_then(|verification| verification.after.clone());
        let message = format!(
            "before: {}; after: {}",
            symptom.message,
            after.unwrap_or_default()
        );
        let holds = cure == Cure::Cleared;
        if cure == Cure::Inconclusive {
            let text = format!("inconclusive, whether the symptom is gone could not be measured: {message}");
            transition = transition.log(Stage::Verifying, text);
        }
        transition = transition
            .condition(ConditionType::SymptomCleared, holds, cure.reason(), message)
            .set(Field::MitigatedAt(holds.then_some(now)));
    }
    if let Some(entry) = &learned {
        transition = transition.condition(ConditionType::Learned, true, Reason::RunbookEntry, entry.clone());
    }
    // It is settled once it has stayed away.
    let settles = (cure == Some(Cure::Cleared)).then(|| incident.policy.relapse_window.std());
    transition
        .log(Stage::Resolved, text)
        .set(Field::Learned(learned))
        .set(Field::ResolvedAt(Some(now)))
        .finished()
        .again(settles)
}
