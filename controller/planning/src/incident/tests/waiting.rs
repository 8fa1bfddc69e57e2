//! Whom an incident that waits keeps waiting, and what becomes of a plan that waited.

use super::*;

/// An incident of this age that waits for this reason.
fn waiting(name: &str, created: &str, reason: &str) -> Incident {
    let status = format!(
        "
phase: RECEIVED
workload: web
conditions: [{{type: Held, status: 'True', reason: {reason}, message: m, lastTransitionTime: '{NOW}'}}]
"
    );
    let mut incident = incident(REPORT, &status);
    incident.metadata.name = Some(name.to_owned());
    incident.metadata.creation_timestamp = Some(created.parse::<Time>().unwrap().meta());
    incident
}

/// A younger incident that a human took into their own hands.
fn taken_over() -> Incident {
    let chosen = "{workloadRef: web, alertType: odd, override: {action: RESTART, by: operator}}";
    let mut incident = incident(chosen, "{phase: RECEIVED}");
    incident.metadata.creation_timestamp = Some(NOW.parse::<Time>().unwrap().meta());
    incident
}

fn said(step: &Next) -> String {
    format!("{step:?}")
}

const EARLIER: &str = "2026-11-22T11:00:00Z";

#[test]
fn i6_an_incident_that_only_waits_does_not_block_what_a_human_chose_on_a_younger_one() {
    for reason in ["AutomationOff", "Cooldown"] {
        let incidents = vec![taken_over(), waiting("older", EARLIER, reason)];
        let judged = judge(incidents, "{mode: 'Off'}");
        assert_eq!(judged.active_incident, None, "{reason}");
        let investigate = Effect::Investigate { then_hold: None };
        assert_eq!(next(&judged), Next::Effect(investigate));
    }
    let first = waiting("older", EARLIER, "RemediationUnderWay");
    let judged = judge(vec![taken_over(), first], "{}");
    assert_eq!(
        judged.active_incident.as_deref(),
        Some("older"),
        "it is next as soon as it may"
    );
}

#[test]
fn i12_an_incident_that_is_held_before_it_began_ends_after_a_day_and_says_what_held_it() {
    let held_since = |hour: &str| {
        let status = format!(
            "{{phase: RECEIVED, workload: web, conditions: [{{type: Held, status: 'True', \
             reason: AutomationOff, message: m, lastTransitionTime: '{hour}'}}]}}"
        );
        next(&judge(vec![incident(REPORT, &status)], "{mode: 'Off'}"))
    };
    let now: Time = NOW.parse().unwrap();
    let before = |hours: i64| Time(now.0 - jiff::SignedDuration::from_hours(hours)).to_string();
    let failed = format!("{:?}", held_since(&before(24)));
    assert!(
        failed.contains("mode Off") && failed.contains("report it again"),
        "{failed}"
    );
    let waits = format!("{:?}", held_since(&before(23)));
    assert!(!waits.contains("report it again"), "{waits}");
}

#[test]
fn what_is_held_does_not_end_by_a_day_that_the_clock_was_set_ahead_by() {
    let now: Time = NOW.parse().unwrap();
    let before = |minutes: i64| Time(now.0 - jiff::SignedDuration::from_mins(minutes));
    let status = format!(
        "{{phase: RECEIVED, workload: web, conditions: [{{type: Held, status: 'True', \
         reason: AutomationOff, message: m, lastTransitionTime: '{}'}}]}}",
        before(24 * 60 + 30)
    );
    let mut judged = judge(vec![incident(REPORT, &status)], "{mode: 'Off'}");
    judged.leaps = vec![crate::set_back::Leap {
        before: before(24 * 60 + 10),
        after: before(10),
    }];
    let waits = format!("{:?}", next(&judged));
    assert!(!waits.contains("report it again"), "half an hour: {waits}");
}

#[test]
fn i6_the_incident_that_is_named_is_the_one_under_way() {
    let mut active = incident(REPORT, "{phase: VERIFYING, workload: web}");
    active.metadata.name = Some("under-way".to_owned());
    let first = waiting("next", EARLIER, "RemediationUnderWay");
    let judged = judge(vec![taken_over(), first, active], "{}");
    assert_eq!(judged.active_incident.as_deref(), Some("under-way"));
}

#[test]
fn i6_what_a_human_orders_on_an_incident_that_waits_begins_when_the_one_under_way_is_over() {
    let mut active = incident(REPORT, "{phase: VERIFYING, workload: web}");
    active.metadata.name = Some("under-way".to_owned());
    for reason in [
        "HostBusy",
        "DependencyDown",
        "Relapsed",
        "Confirming",
        "RemediationUnderWay",
    ] {
        let mut ordered = taken_over();
        let status = format!(
            "{{phase: COUNCIL_REVIEW, workload: web, conditions: [{{type: Held, status: 'True', reason: {reason}, \
             message: m, lastTransitionTime: '{NOW}'}}]}}"
        );
        ordered.status = incident(REPORT, &status).status;
        let judged = judge(vec![ordered.clone(), active.clone()], "{}");
        let step = next(&judged);
        assert!(
            said(&step).contains("incident under-way is being remedied"),
            "{reason}: {step:?}"
        );
        let mut over = active.clone();
        over.status.as_mut().unwrap().phase = aegis_api::Phase::Failed;
        let step = next(&judge(vec![ordered, over], "{}"));
        assert!(
            said(&step).contains("operator chose RESTART"),
            "{reason}: {step:?}"
        );
    }
}

#[test]
fn i6_who_is_looked_at_once_and_then_waits_keeps_nothing() {
    let judged = judge(vec![incident(REPORT, "{phase: RECEIVED}")], "{mode: 'Off'}");
    let step = next(&judged);
    assert!(
        matches!(step, Next::Effect(Effect::Investigate { then_hold: Some(_) })),
        "{step:?}"
    );
    assert!(step.releases_lease(&judged));
}

#[test]
fn i1_what_was_approved_before_a_restart_has_its_turn_and_what_waits_goes_on_when_it_comes() {
    let plan = "{hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {restartedAt: '2026-11-22T11:00:00Z'}, createdAt: '2026-11-22T11:00:00Z'}";
    let council = "{votes: [], finalVerdict: APPROVED, consensus: '', summary: ''}";
    let in_phase = |phase: &str| {
        let status = format!("{{phase: {phase}, workload: web, plan: {plan}, council: {council}}}");
        let mut judged = judge(vec![incident(REPORT, &status)], "{}");
        // More than are allowed, as after a limit was lowered.
        judged.host.busy = ["a", "b", "c"].map(str::to_owned).into();
        judged
    };
    let approved = in_phase("APPROVED");
    let execute = Effect::Execute(Box::new(approved.status.plan.clone().unwrap()));
    assert_eq!(next(&approved), Next::Effect(execute));
    let mut waits = in_phase("AWAITING_APPROVAL");
    let step = next(&waits);
    assert!(matches!(step, Next::Wait(Some(_))), "{step:?}");
    waits.host.busy.clear();
    let step = next(&waits);
    assert!(started_over(&step).is_some(), "{step:?}");
}

#[test]
fn i6_who_waits_for_its_turn_is_measured_when_it_has_come_and_not_before() {
    let status = format!(
        "
phase: COUNCIL_REVIEW
workload: web
measuredAt: {EARLIER}
symptoms: [{{kind: Down, container: web, message: web does not run}}]
tried: [{{action: SCALE_UP, planHash: '1', error: e, generation: 1}}]
conditions: [{{type: Held, status: 'True', reason: HostBusy, message: m, lastTransitionTime: '{EARLIER}'}}]
"
    );
    let policy = "{fallback: [SCALE_UP, RESTART], cooldown: 0s}";
    let mut judged = judge(vec![incident(REPORT, &status)], policy);
    judged.host.busy = ["a", "b"].map(str::to_owned).into();
    let step = next(&judged);
    assert_eq!(held(&step), Some(Reason::HostBusy), "{step:?}");
    judged.host.busy.clear();
    assert_eq!(next(&judged), Next::Effect(Effect::Measure));
}

#[test]
fn i7_an_approved_restart_is_one_of_what_runs_when_it_is_approved() {
    let waits = "
phase: AWAITING_APPROVAL
workload: web
plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {restartedAt: '2026-11-22T11:00:00Z'}, createdAt: '2026-11-22T11:00:00Z'}
";
    let agreed =
        "{workloadRef: web, alertType: odd, approval: {decision: Approve, by: operator, planHash: '1'}}";
    let step = |incident| super::step(incident, "{}");
    let asked = step(incident(agreed, waits));
    let Some((plan, _)) = approved(&asked) else {
        panic!("the plan is approved")
    };
    assert_eq!(plan.patch.restarted_at, Some(NOW.parse().unwrap()));
    assert_eq!(plan.hash, "1", "it is the plan that was agreed to");

    // Stored once, it is what is carried out, however often: nothing is stamped again after a crash.
    let mut begun = incident(agreed, "{phase: APPROVED, workload: web}");
    if let Some(status) = &mut begun.status {
        status.plan = Some(plan.clone());
    }
    let execute = Effect::Execute(Box::new(plan.clone()));
    assert_eq!(step(begun), Next::Effect(execute));
}
