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

#[test]
fn what_waits_for_the_rotation_alone_is_not_probed_again_at_once_and_is_resolved_with_it() {
    let aged = |milliseconds| {
        let mut incident = after_attempts(1, &[]);
        let status = incident.status.as_mut();
        let attempts = &mut status
            .and_then(|status| status.verification.as_mut())
            .unwrap()
            .attempts;
        let now: Time = NOW.parse().unwrap();
        let ago = jiff::SignedDuration::from_millis(milliseconds);
        attempts[0].at = Time(now.0.checked_sub(ago).unwrap());
        let mut judged = judge(vec![incident], "{}");
        let stray = crate::load_balancer::testing::server("gone", "10.0.0.9");
        let balancer = crate::load_balancer::testing::serving(&[stray]);
        judged.balancers = vec![std::sync::Arc::new(balancer)];
        judged
    };
    let wait = |seconds| Next::Wait(Some(std::time::Duration::from_secs(seconds)));
    assert_eq!(next(&aged(0)), wait(2));
    assert_eq!(next(&aged(1000)), wait(1));
    // What it was resolved by is never old.
    assert_eq!(next(&aged(2000)), Next::Effect(Effect::Probe { number: 2 }));
    let mut routed = aged(100);
    routed.balancers.clear();
    assert_eq!(next(&routed), Next::Effect(Effect::Learn));
}
