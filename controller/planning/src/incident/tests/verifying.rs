//! What counts as proof, however many attempts it took.

use aegis_api::incident::{Attempt, Verification};

use super::*;

/// The status after attempts every two seconds, of which these failed; the last one is made now.
fn after_attempts(count: u32, failed: &[u32]) -> Incident {
    let now: Time = NOW.parse().unwrap();
    let mut verification = Verification::default();
    for number in 1..=count {
        let ago = jiff::SignedDuration::from_secs(i64::from(count - number) * 2);
        verification.record(Attempt {
            number,
            at: Time(now.0.checked_sub(ago).unwrap()),
            healthy: !failed.contains(&number),
            message: "as it went".to_owned(),
        });
    }
    let mut incident = incident(REPORT, "{phase: VERIFYING, workload: web}");
    if let Some(status) = &mut incident.status {
        status.verification = Some(verification);
    }
    incident
}

const LONG: &str = "{verification: {soak: 5m, deadline: 10m}}";

#[test]
fn i7_a_soak_that_outlasts_the_list_of_attempts_is_satisfied_in_the_end() {
    let after = |count, failed: &[u32]| step(after_attempts(count, failed), LONG);
    let resolve = Next::Effect(Effect::Learn);
    assert_eq!(after(151, &[]), resolve);
    assert!(matches!(after(150, &[]), Next::Wait(_)));
    // The run before a failure counts for nothing, also when that failure is not listed any more.
    assert!(matches!(after(151, &[1]), Next::Wait(_)));
    assert_eq!(after(152, &[1]), resolve);
}

#[test]
fn attempts_are_counted_on_when_the_first_are_not_listed_any_more() {
    let mut incident = after_attempts(130, &[130]);
    let verification = incident
        .status
        .as_mut()
        .and_then(|status| status.verification.as_mut());
    let attempts = &mut verification.unwrap().attempts;
    assert_eq!(attempts.len(), 100);
    attempts[99].at = "2026-11-22T11:59:00Z".parse().unwrap();
    let next = step(incident, LONG);
    assert_eq!(next, Next::Effect(Effect::Probe { number: 131 }));
}
