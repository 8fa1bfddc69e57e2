//! The same for incidents. Nothing of it need be stored: every pass comes to the same, and a time that was ahead ages from
//! when the clock was set back.

use std::sync::Arc;

use aegis_api::incident::Verification;
use aegis_api::{Duration, Incident, IncidentStatus, Time};

use super::time;

/// The incident with no time of its own doings ahead of now: they count as done when the clock was set back, or as this
/// process began, if that was before. A deadline moves with what it was counted from.
pub fn incident(incident: Arc<Incident>, set_at: Time, now: Time) -> Arc<Incident> {
    let ahead = |status: &IncidentStatus| times(status).any(|at| at > now);
    if !incident.status.as_ref().is_some_and(ahead) {
        return incident;
    }
    let mut settled = Incident::clone(&incident);
    if let Some(status) = &mut settled.status {
        if let Some(verification) = &mut status.verification {
            move_deadline(verification, set_at, now);
        }
        times_mut(status).for_each(|at| *at = time(*at, set_at, now));
    }
    Arc::new(settled)
}

fn times(status: &IncidentStatus) -> impl Iterator<Item = Time> {
    let own = [
        status.measured_at,
        status.waiting_since,
        status.resolved_at,
        status.mitigated_at,
        status.settled_at,
        status.finished_at,
    ];
    let tried = status.tried.iter().map(|tried| tried.applied_at);
    let done = status
        .execution
        .iter()
        .flat_map(|done| [done.applied_at, done.converged_at]);
    let verified = status.verification.iter().flat_map(|verification| {
        let attempts = verification.attempts.iter().map(|attempt| Some(attempt.at));
        [verification.started_at, verification.healthy_since]
            .into_iter()
            .chain(attempts)
    });
    let planned = status.plan.iter().map(|plan| Some(plan.created_at));
    let seen = status.evidence.iter().map(|evidence| evidence.collected_at);
    let all = own
        .into_iter()
        .chain(seen)
        .chain(tried)
        .chain(done)
        .chain(verified)
        .chain(planned);
    all.flatten()
}

fn times_mut(status: &mut IncidentStatus) -> impl Iterator<Item = &mut Time> {
    let own = [
        &mut status.measured_at,
        &mut status.waiting_since,
        &mut status.resolved_at,
        &mut status.mitigated_at,
        &mut status.settled_at,
        &mut status.finished_at,
    ];
    let tried = status.tried.iter_mut().map(|tried| &mut tried.applied_at);
    let done = status
        .execution
        .iter_mut()
        .flat_map(|done| [&mut done.applied_at, &mut done.converged_at]);
    let planned = status.plan.iter_mut().map(|plan| &mut plan.created_at);
    let seen = status
        .evidence
        .iter_mut()
        .map(|evidence| &mut evidence.collected_at);
    let (mut attempts, mut verified) = (None, None);
    if let Some(verification) = &mut status.verification {
        attempts = Some(verification.attempts.iter_mut().map(|attempt| &mut attempt.at));
        verified = Some([&mut verification.started_at, &mut verification.healthy_since]);
    }
    let optional = own
        .into_iter()
        .chain(seen)
        .chain(tried)
        .chain(done)
        .chain(verified.into_iter().flatten());
    optional
        .flatten()
        .chain(planned)
        .chain(attempts.into_iter().flatten())
}

/// A verification that began ahead of now ends as long after it began as it was to.
fn move_deadline(verification: &mut Verification, set_at: Time, now: Time) {
    let (Some(started), Some(deadline)) = (verification.started_at, verification.deadline) else {
        return;
    };
    if started > now {
        let lasts = Duration::from(started.age(deadline));
        verification.deadline = Some(time(started, set_at, now).plus(lasts));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AHEAD: &str = "2026-02-01T12:00:00Z";
    const BEFORE: &str = "2026-01-31T11:00:00Z";

    fn now() -> Time {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn set_at() -> Time {
        "2026-01-31T11:59:00Z".parse().unwrap()
    }

    fn of(status: &serde_json::Value) -> Arc<Incident> {
        let incident = json!({"metadata": {"name": "i"}, "spec": {"containerName": "web", "alertType": "x"}, "status": status});
        Arc::new(serde_json::from_value(incident).unwrap())
    }

    #[test]
    fn an_action_of_a_clock_that_was_ahead_counts_as_of_when_it_was_set_back() {
        let status = json!({"phase": "RESOLVED", "timeline": [], "finishedAt": AHEAD, "mitigatedAt": AHEAD,
            "plan": {"hash": "h", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {},
                "createdAt": BEFORE},
            "execution": {"appliedAt": AHEAD}});
        let settled = incident(of(&status), set_at(), now());
        let status = settled.status.as_ref().unwrap();
        assert_eq!(status.execution.as_ref().unwrap().applied_at, Some(set_at()));
        assert_eq!(status.mitigated_at, Some(set_at()));
        assert_eq!(status.finished_at, Some(set_at()));
        assert_eq!(status.plan.as_ref().unwrap().created_at, BEFORE.parse().unwrap());
    }

    #[test]
    fn a_verification_goes_on_after_the_clock_was_set_back_and_ends_as_soon_as_it_was_to() {
        let status = json!({"phase": "VERIFYING", "timeline": [], "waitingSince": AHEAD, "measuredAt": AHEAD,
            "evidence": {"collectedAt": AHEAD},
            "execution": {"appliedAt": AHEAD, "convergedAt": AHEAD},
            "tried": [{"action": "RESTART", "planHash": "h", "error": "x", "appliedAt": AHEAD}],
            "verification": {"startedAt": AHEAD, "deadline": "2026-02-01T12:00:30Z", "healthySince": AHEAD,
                "attempts": [{"number": 1, "at": AHEAD, "healthy": true, "message": "ok"}], "passes": 1}});
        let settled = incident(of(&status), set_at(), now());
        let status = settled.status.as_ref().unwrap();
        assert!(times(status).all(|at| at == set_at()), "{status:?}");
        let verification = status.verification.as_ref().unwrap();
        assert_eq!(
            verification.deadline,
            Some("2026-01-31T11:59:30Z".parse().unwrap()),
            "half a minute after it began"
        );
        assert!(Arc::ptr_eq(
            &incident(Arc::clone(&settled), set_at(), now()),
            &settled
        ));
    }

    #[test]
    fn a_deadline_that_is_still_to_come_stays() {
        let status = json!({"phase": "VERIFYING", "timeline": [],
            "verification": {"startedAt": BEFORE, "deadline": "2026-01-31T12:00:30Z", "attempts": [], "passes": 0}});
        let before = of(&status);
        assert!(Arc::ptr_eq(
            &incident(Arc::clone(&before), set_at(), now()),
            &before
        ));
    }
}
