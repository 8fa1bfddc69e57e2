//! Whether what was done has helped: when to look again, what counts as proof, and when it is over. Pure.

use std::time::Duration;

use aegis_api::incident::Verification;
use aegis_api::{Kind, Time, Workload};

use super::super::validate::ValidatedIncident;
use super::{Step, fail, fall_back, in_rotation};

/// Pause after a failed verification attempt: doubles from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

pub fn verify(incident: &ValidatedIncident, workload: &std::sync::Arc<Workload>) -> Step {
    let Some(verification) = &incident.status.verification else {
        return fail("the verification is missing from the status");
    };
    let status = workload.status.clone().unwrap_or_default();
    let steady = verified(incident, verification);
    if steady && in_rotation(incident, &status) {
        return Step::Resolve;
    }
    let now = incident.now;
    if verification.deadline.is_some_and(|deadline| now >= deadline) && !goes_on(incident, verification) {
        let last = verification
            .attempts
            .last()
            .map(|attempt| attempt.message.clone())
            .unwrap_or_default();
        let what = if steady {
            "the load balancer does not have it in rotation".to_owned()
        } else {
            last
        };
        return fall_back(incident, format!("not verified before the deadline: {what}"));
    }
    let number = verification
        .attempts
        .last()
        .map_or(1, |last| last.number.saturating_add(1));
    let due = match verification.attempts.last() {
        None => Duration::ZERO,
        Some(last) => {
            let doublings = number.saturating_sub(2).min(16);
            let pause = FIRST_PAUSE
                .saturating_mul(1 << doublings)
                .min(LAST_PAUSE)
                .saturating_sub(last.at.age(now));
            // The attempt that completes the soak is not put off beyond it, least of all beyond the deadline.
            soak_end(incident, verification)
                .filter(|end| *end > last.at)
                .map_or(pause, |end| pause.min(end.until(now)))
        }
    };
    if due.is_zero() {
        Step::Attempt {
            workload: std::sync::Arc::clone(workload),
            number,
        }
    } else {
        Step::Wait(Some(due))
    }
}

/// Whether it goes on beyond its deadline: nobody has looked since this controller started, or what it saw since then has
/// been good and only has not lasted long enough. Time in which nobody looked proves nothing.
fn goes_on(incident: &ValidatedIncident, verification: &Verification) -> bool {
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

/// Whether the attempts so far are the proof that policy asks for: enough in a row, over the whole soak.
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
    // Where nothing is asked for, nothing may be there.
    let absent = workload.spec.replicas == 0
        && !workload.is_deleting()
        && workload
            .status
            .as_ref()
            .is_some_and(|status| status.instances.is_empty());
    let healthy = failures.is_empty() && (absent || !answers.is_empty());
    let message = match answers.first() {
        None if absent => "none of it is asked for, and none of it runs".to_owned(),
        None => "the workload has no container to probe".to_owned(),
        Some(Ok(words)) if healthy && answers.len() == 1 => words.clone(),
        Some(_) if healthy => format!("all {} containers passed", answers.len()),
        Some(_) => failures.join("; "),
    };
    (healthy, message)
}
