//! Incidents in YAML, with the status that earlier passes left; the real validate and plan, assertions on the step.

mod judgement;
mod measured;
mod proposals;
mod transitions;
mod verifying;
mod waiting;

use std::sync::Arc;

use aegis_api::proposal::Action;
use aegis_api::workload::InstanceStatus;
use aegis_api::{Incident, IncidentStatus, Reason, Time, Workload, WorkloadStatus};

use super::next::{Effect, Next, Setback};
use super::phase::next;
use super::phase::verifying::proof;
use super::testing::{
    NOW, REPORT, approved, asked, failed, held, incident, judge, object, row, started_over, step,
};
use super::transition::{HeldFor, What};
use super::validate::ValidatedIncident;

const LADDER: &str = "{fallback: [RESTART]}";

/// A NOOP that did not help, with what the council had said of it.
fn after_a_noop(verdict: &str) -> String {
    format!(
        "
phase: COUNCIL_REVIEW
workload: web
council: {{votes: [], finalVerdict: {verdict}, consensus: '', summary: the council's words}}
tried: [{{action: NOOP, planHash: '1', error: it did not help}}]
"
    )
}

#[test]
fn a_rung_of_the_ladder_follows_by_itself_where_the_council_had_agreed() {
    let step = step(incident(REPORT, &after_a_noop("APPROVED")), LADDER);
    assert!(
        approved(&step).is_some_and(|(plan, _)| plan.action == Action::Restart),
        "{step:?}"
    );
}

#[test]
fn i5_a_rung_after_a_plan_that_only_a_human_approved_waits_for_a_human_again() {
    let step = step(incident(REPORT, &after_a_noop("NEEDS_REVIEW")), LADDER);
    assert!(
        matches!(asked(&step), Some((plan, Reason::CouncilNeedsReview, _)) if plan.action == Action::Restart),
        "{step:?}"
    );
}

#[test]
fn i5_a_rung_that_no_council_was_ever_asked_about_waits_for_a_human() {
    let status = "
phase: COUNCIL_REVIEW
workload: web
tried: [{action: SCALE_UP, planHash: '1', error: it did not help}]
";
    let step = step(incident(REPORT, status), LADDER);
    assert!(
        asked(&step).is_some_and(|(plan, ..)| plan.action == Action::Restart),
        "{step:?}"
    );
}

/// A plan that had not taken effect in time.
fn too_late(action: &str) -> String {
    format!(
        "
phase: EXECUTING
workload: web
plan: {{hash: '1', action: {action}, target: web, parentGeneration: 1, patch: {{}}, createdAt: '2026-11-22T11:00:00Z'}}
execution: {{appliedAt: '2026-11-22T11:00:00Z', generation: 2}}
"
    )
}

#[test]
fn a_restart_that_the_workload_refuses_ends_the_incident_at_once_with_the_reason() {
    for (reason, status, ends) in [
        ("AutoRemove", "True", true),
        ("NetworkOwnerGone", "True", true),
        ("PortTaken", "True", true),
        ("Unhealthy", "True", false),
        ("AutoRemove", "False", false),
    ] {
        let asked = incident(REPORT, &too_late("RESTART"));
        let mut incident = judge(vec![asked], LADDER);
        let now = incident.now;
        let execution = incident.status.execution.as_mut().unwrap();
        execution.applied_at = Some(now);
        let workload = std::sync::Arc::make_mut(incident.target.as_mut().unwrap());
        let degraded = serde_json::json!({"type": "Degraded", "status": status, "reason": reason, "lastTransitionTime": now,
            "message": "web was started with --rm, so stopping it deletes it: run it again"});
        let status = workload.status.get_or_insert_default();
        status.observed_generation = Some(2);
        status.conditions = vec![serde_json::from_value(degraded).unwrap()];
        let step = next(&incident);
        let ended = failed(&step)
            .is_some_and(|error| error.starts_with("RESTART cannot be done: web was started with --rm"));
        assert_eq!(ended, ends, "{reason}: {step:?}");
    }
}

#[test]
fn an_action_that_a_human_chose_is_not_repeated_and_not_followed_by_the_ladder() {
    let chosen =
        "{workloadRef: web, alertType: odd, override: {action: SCALE_UP, replicaCount: 1, by: operator}}";
    let step = step(incident(chosen, &too_late("SCALE_UP")), LADDER);
    assert!(failed(&step).is_some(), "{step:?}");
}

#[test]
fn an_action_that_a_human_chose_while_another_was_under_way_comes_next() {
    let chosen = "{workloadRef: web, alertType: odd, override: {action: NOOP, by: operator}}";
    let step = step(incident(chosen, &too_late("SCALE_UP")), LADDER);
    assert!(
        matches!(
            step,
            Next::Effect(Effect::Unlearn(Setback::FallBack {
                action: Action::Noop,
                ..
            }))
        ),
        "{step:?}"
    );
}

#[test]
fn i6_a_plan_that_need_not_be_approved_any_more_keeps_the_cooldown_after_another_incident() {
    let waits = |parent: u8| {
        format!(
            "
phase: AWAITING_APPROVAL
workload: web
council: {{votes: [], finalVerdict: APPROVED, consensus: '', summary: ''}}
plan: {{hash: '1', action: RESTART, target: web, parentGeneration: {parent}, patch: {{replicas: 7}}, createdAt: '2026-11-22T11:00:00Z'}}
"
        )
    };
    let done = "
phase: RESOLVED
workload: web
finishedAt: '2026-11-22T11:59:55Z'
plan: {hash: '2', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:59:50Z'}
execution: {appliedAt: '2026-11-22T11:59:50Z'}
";
    let mut other = incident(REPORT, done);
    other.metadata.name = Some("other".to_owned());
    let after = |parent: u8, cooldown: &str| {
        let incidents = vec![incident(REPORT, &waits(parent)), other.clone()];
        next(&judge(incidents, &format!("{{cooldown: {cooldown}}}")))
    };
    assert_eq!(
        after(1, "30s"),
        Next::Wait(Some(std::time::Duration::from_secs(20)))
    );
    assert!(started_over(&after(1, "5s")).is_some());
    // Made for the workload as it was before the other incident: it starts over at once, and keeps the cooldown there.
    let again = after(0, "30s");
    assert!(started_over(&again).is_some(), "{again:?}");
    let begun = incident(REPORT, "{phase: RECEIVED, workload: web}");
    let held = next(&judge(vec![begun, other.clone()], "{cooldown: 30s}"));
    assert!(
        matches!(
            &held,
            Next::Effect(Effect::Investigate {
                then_hold: Some(HeldFor {
                    reason: Reason::Cooldown,
                    ..
                })
            })
        ),
        "{held:?}"
    );
}

#[test]
fn what_is_desired_with_no_replicas_is_scaled_up_by_a_human_alone() {
    let mut incident = judge(vec![restart_agreed()], "{}");
    let mut workload: Workload = object("Workload", "web", "{replicas: 0, template: {image: 'app:1'}}");
    assert!(!proof(&workload, &[]).0, "no probe has run yet");
    workload.metadata.generation = Some(1);
    workload.status = Some(WorkloadStatus::default());
    let (healthy, words) = proof(&workload, &[]);
    assert!(healthy, "{words}");

    incident.target = Ok(Arc::new(workload.clone()));
    let step = next(&incident);
    let Some((_, reason, message)) = asked(&step) else {
        panic!("{step:?}")
    };
    assert_eq!(reason, Reason::ScaledToZero);
    assert!(message.contains("spec.replicas is 0"), "{message}");

    workload.spec.replicas = 1;
    assert!(!proof(&workload, &[]).0, "one is desired and none is there");
}

/// Another incident, over since, whose restart of the same workload helped or did not.
fn restarted_before(name: &str, at: &str, phase: &str) -> Incident {
    let status = format!(
        "
phase: {phase}
workload: web
plan: {{hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {{}}, createdAt: '{at}'}}
execution: {{appliedAt: '{at}', generation: 2}}
"
    );
    let mut other = incident(REPORT, &status);
    other.metadata.name = Some(name.to_owned());
    other
}

/// An incident whose council agreed to a restart.
fn restart_agreed() -> Incident {
    let seats = ["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"];
    let votes = seats.map(|seat| {
        format!("{{role: {seat}, verdict: APPROVED, reasoning: fine, timestamp: '2026-11-22T11:59:00Z'}}")
    });
    let proposal = "{rootCause: it hangs, action: RESTART, justification: so, confidence: 0.9}";
    let status = format!(
        "
phase: COUNCIL_REVIEW
workload: web
analysis: {{proposal: {proposal}, reasoning: r, provider: p, model: m, latencyMs: 1, at: '2026-11-22T11:59:00Z'}}
votes: [{}]
",
        votes.join(", ")
    );
    incident(REPORT, &status)
}

#[test]
fn a_fix_that_failed_twice_in_other_incidents_of_the_workload_is_not_tried_a_third_time() {
    let after = |others: &[(&str, &str)]| {
        let mut all = vec![restart_agreed()];
        for (number, (at, phase)) in others.iter().enumerate() {
            all.push(restarted_before(&format!("before-{number}"), at, phase));
        }
        next(&judge(all, "{}"))
    };
    let (one, two) = ("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z");
    let step = after(&[(one, "FAILED"), (two, "FAILED")]);
    let Some((_, reason, message)) = asked(&step) else {
        panic!("{step:?}")
    };
    assert_eq!(reason, Reason::FailedBefore);
    assert!(message.contains("RESTART failed 2 times in a row"), "{message}");
    for sound in [
        &[(one, "FAILED")][..],
        &[(one, "FAILED"), (two, "RESOLVED")],
        &[("2026-11-20T09:00:00Z", "FAILED"), (two, "FAILED")],
    ] {
        let step = after(sound);
        assert!(approved(&step).is_some(), "{sound:?}: {step:?}");
    }
}
