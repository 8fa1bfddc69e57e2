//! No action without a symptom that was measured right before it; what waited, was overtaken or was away starts over; what
//! cannot take effect ends with the reason; verification is not judged before somebody looked.

use std::time::Duration;

use aegis_api::ConditionType;
use aegis_api::condition::Conditions;
use aegis_api::incident::{Attempt, Plan, Verification};
use aegis_api::proposal::Evidence;

use super::*;

const BEFORE: &str = "2026-11-22T11:00:00Z";
const AUTO: &str = "{replicas: {min: 1, max: 9}, cooldown: 0s}";

/// An incident whose council agreed to this action.
fn agreed(action: &str, count: u32) -> Incident {
    let mut incident = restart_agreed();
    let proposal = &mut incident
        .status
        .as_mut()
        .unwrap()
        .analysis
        .as_mut()
        .unwrap()
        .proposal;
    proposal.action = serde_json::from_value(action.into()).unwrap();
    proposal.replica_count = count;
    incident
}

/// An incident that waits for a human, since what a policy had against it.
fn waits(changes: impl FnOnce(&mut IncidentStatus)) -> Incident {
    let mut incident = agreed("RESTART", 0);
    let status = incident.status.as_mut().unwrap();
    status.phase = aegis_api::Phase::AwaitingApproval;
    status.council = serde_json::from_value(
        serde_json::json!({"votes": [], "finalVerdict": "APPROVED", "consensus": "", "summary": ""}),
    )
    .unwrap();
    status.plan = Some(restart_plan(1));
    status.waiting_since = Some(BEFORE.parse().unwrap());
    status.measured_at = Some(BEFORE.parse().unwrap());
    changes(status);
    incident
}

fn restart_plan(parent: i64) -> Plan {
    serde_json::from_value(serde_json::json!({
        "hash": "1", "action": "RESTART", "target": "web", "parentGeneration": parent,
        "patch": {"restartedAt": BEFORE}, "createdAt": BEFORE,
    }))
    .unwrap()
}

fn judged(incident: Incident, policy: &str) -> ValidatedIncident {
    judge(vec![incident], policy)
}

/// The workload as somebody changed it.
fn with_workload(mut incident: ValidatedIncident, change: impl FnOnce(&mut Workload)) -> ValidatedIncident {
    let mut workload = (**incident.target.as_ref().unwrap()).clone();
    change(&mut workload);
    incident.target = Ok(Arc::new(workload));
    incident
}

fn seen_at(generation: i64) -> Option<Evidence> {
    Some(Evidence {
        generation: Some(generation),
        ..Evidence::default()
    })
}

#[test]
fn i13_whatever_was_proposed_and_voted_nothing_is_done_where_nothing_measured_is_wrong() {
    for (action, count) in [
        ("RESTART", 0),
        ("SCALE_UP", 2),
        ("SCALE_DOWN", 1),
        ("ROLLBACK", 0),
    ] {
        for policy in [
            AUTO,
            "{mode: Approve}",
            "{mode: DryRun}",
            "{actionsPerHour: 0}",
            "{allowedActions: [RESTART]}",
        ] {
            for rejected in [false, true] {
                let mut incident = agreed(action, count);
                let status = incident.status.as_mut().unwrap();
                status.symptoms.clear();
                for vote in status.votes.iter_mut().filter(|_| rejected) {
                    vote.verdict = aegis_api::proposal::Verdict::Rejected;
                }
                let step = next(&judged(incident, policy));
                let Some((plan, note)) = approved(&step) else {
                    panic!("{action} {policy}: {step:?}")
                };
                assert_eq!(
                    (plan.action, plan.patch.clone()),
                    (Action::Noop, Default::default())
                );
                assert!(
                    note.contains(&format!("nothing measured speaks for {action}")),
                    "{note}"
                );
            }
        }
    }
}

#[test]
fn i13_what_was_measured_some_time_ago_is_measured_again_before_anything_is_done() {
    let old = |mut incident: Incident| {
        incident.status.as_mut().unwrap().measured_at = Some("2026-11-22T11:59:50Z".parse().unwrap());
        incident
    };
    let measure = || Next::Effect(Effect::Measure);
    assert_eq!(next(&judged(old(agreed("RESTART", 0)), AUTO)), measure());
    // A plan that was approved before the controller went away.
    let begun = |parent| {
        let mut incident = old(waits(|_| ()));
        let status = incident.status.as_mut().unwrap();
        status.phase = aegis_api::Phase::Approved;
        status.plan = Some(restart_plan(parent));
        judged(incident, AUTO)
    };
    assert_eq!(next(&begun(1)), measure());
    // What the spec has already is only noted down: it is this plan's own doing that nothing is wrong any more.
    let restarted = |at: &str| {
        let incident = with_workload(begun(1), |workload| {
            workload.metadata.generation = Some(2);
            workload.spec.restarted_at = Some(at.parse().unwrap());
        });
        next(&incident)
    };
    let execute = Effect::Execute(Box::new(restart_plan(1)));
    assert_eq!(restarted(BEFORE), Next::Effect(execute));
    // A restart that somebody else requested since is none of this plan's.
    assert_eq!(restarted("2026-11-22T11:30:00Z"), measure());
    // A NOOP needs no symptom, and a human's own action is the human's.
    assert!(approved(&next(&judged(old(agreed("NOOP", 0)), AUTO))).is_some());
    let mut ordered = old(agreed("RESTART", 0));
    ordered.spec.override_ = Some(serde_json::from_value(serde_json::json!({"action": "RESTART"})).unwrap());
    assert!(approved(&next(&judged(ordered, AUTO))).is_some());
}

#[test]
fn what_waited_for_a_freeze_window_a_budget_or_a_mode_begins_at_evidence_again() {
    let still = [
        "{freezeWindows: [{start: '11:00', end: '13:00'}], cooldown: 0s}",
        "{actionsPerHour: 0, cooldown: 0s}",
        "{mode: Approve, cooldown: 0s}",
    ];
    for policy in still {
        let step = next(&judged(waits(|_| ()), policy));
        assert!(matches!(step, Next::Wait(_)), "{policy}: {step:?}");
    }
    let step = next(&judged(waits(|_| ()), AUTO));
    assert_eq!(
        started_over(&step),
        Some("what stood in the way has passed"),
        "{step:?}"
    );
    // At most twice.
    let step = next(&judged(waits(|status| status.started_over = 1), AUTO));
    assert!(started_over(&step).is_some(), "{step:?}");
    let step = next(&judged(waits(|status| status.started_over = 2), AUTO));
    assert!(
        matches!(asked(&step), Some((_, Reason::WaitedTooOften, _))),
        "{step:?}"
    );
}

#[test]
fn a_generation_that_somebody_else_made_invalidates_the_proposal_and_not_only_the_plan() {
    let moved = |incident: Incident| {
        with_workload(judged(incident, AUTO), |workload| {
            workload.metadata.generation = Some(2);
        })
    };
    // While it waits, while the council sits, and right before it is carried out.
    let step = next(&moved(waits(|status| status.evidence = seen_at(1))));
    assert!(
        started_over(&step).is_some_and(|reason| reason.contains("from generation 1 to 2")),
        "{step:?}"
    );
    let mut sits = agreed("ROLLBACK", 0);
    sits.status.as_mut().unwrap().evidence = seen_at(1);
    assert!(started_over(&next(&moved(sits))).is_some());
    // A human's word on the old plan is none on another.
    let mut approved = waits(|status| status.evidence = seen_at(1));
    approved.spec.approval =
        Some(serde_json::from_value(serde_json::json!({"decision": "Approve", "planHash": "1"})).unwrap());
    assert!(started_over(&next(&moved(approved.clone()))).is_some());
    // Nor where somebody did the same meanwhile: that was not this incident's doing, and teaches nothing.
    let same = with_workload(moved(approved), |workload| {
        workload.spec.restarted_at = Some("2026-11-22T11:30:00Z".parse().unwrap());
    });
    assert!(started_over(&next(&same)).is_some());
    // Not for ever: then a human gets a plan for the workload as it is, and the same one at every look.
    let tired = || {
        waits(|status| {
            status.started_over = 3;
            status.evidence = seen_at(1);
        })
    };
    // And only if something is still wrong right then.
    let measure = Next::Effect(Effect::Measure);
    assert_eq!(next(&moved(tired())), measure);
    let measured = |now_wrong: bool| {
        let mut incident = tired();
        let status = incident.status.as_mut().unwrap();
        status.measured_at = Some(NOW.parse().unwrap());
        if !now_wrong {
            status.symptoms.clear();
        }
        next(&moved(incident))
    };
    assert_eq!(measured(false), measure);
    let step = measured(true);
    let Some((new, Reason::SpecChanged, _)) = asked(&step) else {
        panic!("{step:?}")
    };
    assert_eq!(new.parent_generation, 2);
    let mut said = tired();
    said.status.as_mut().unwrap().plan = Some(new.clone());
    assert!(matches!(next(&moved(said)), Next::Wait(_)));
}

#[test]
fn what_autoscaling_did_meanwhile_makes_no_plan_stale_but_one_about_replicas() {
    // Autoscaling scaled from 1 to 3, and on to 4: generations 2 and 3.
    let scaled = |incident: Incident, changes: serde_json::Value| {
        with_workload(judged(incident, AUTO), |workload| {
            workload.metadata.generation = Some(3);
            workload.spec.replicas = 4;
            let status = serde_json::json!({"autoscale": {"changes": changes}});
            workload.status = Some(serde_json::from_value(status).unwrap());
        })
    };
    let change = |generation: i64, from: u32, to: u32| serde_json::json!({"at": BEFORE, "generation": generation, "from": from, "to": to});
    let own = || serde_json::json!([change(1, 1, 3), change(2, 3, 4)]);
    let approved_by_human = |plan: Plan| {
        let mut incident = waits(|status| {
            status.evidence = seen_at(1);
            status.plan = Some(plan);
            status.measured_at = Some(NOW.parse().unwrap());
        });
        incident.spec.approval = Some(
            serde_json::from_value(serde_json::json!({"decision": "Approve", "planHash": "1"})).unwrap(),
        );
        incident
    };
    let step = next(&scaled(approved_by_human(restart_plan(1)), own()));
    assert!(
        approved(&step).is_some_and(|(plan, _)| plan.action == Action::Restart),
        "{step:?}"
    );
    // A change that it decided on and has not made yet is no change.
    let open = serde_json::json!([change(1, 1, 3), change(2, 3, 4), change(3, 4, 5)]);
    assert!(approved(&next(&scaled(approved_by_human(restart_plan(1)), open))).is_some());
    // What the council agreed to is carried out, too.
    let mut sits = agreed("RESTART", 0);
    let status = sits.status.as_mut().unwrap();
    (status.evidence, status.measured_at) = (seen_at(1), Some(NOW.parse().unwrap()));
    assert!(approved(&next(&scaled(sits, own()))).is_some());
    // Somebody else's change among them, or one that nothing is known of any more, makes it stale as before.
    for others in [
        serde_json::json!([change(2, 3, 4)]),
        serde_json::json!([change(1, 1, 3)]),
        serde_json::json!([change(1, 1, 2), change(2, 3, 4)]),
        serde_json::json!([change(1, 1, 3), change(2, 3, 5)]),
        serde_json::json!([]),
    ] {
        let step = next(&scaled(approved_by_human(restart_plan(1)), others.clone()));
        assert!(started_over(&step).is_some(), "{others}: {step:?}");
    }
    // A plan for another number of replicas was made for as many as there were.
    let mut scales = restart_plan(1);
    scales.action = Action::ScaleUp;
    scales.patch = serde_json::from_value(serde_json::json!({"replicas": 2})).unwrap();
    let step = next(&scaled(approved_by_human(scales), own()));
    assert!(started_over(&step).is_some(), "{step:?}");
}

#[test]
fn a_rung_of_the_ladder_is_not_for_a_workload_that_somebody_else_changed() {
    let status = "
phase: COUNCIL_REVIEW
workload: web
council: {votes: [], finalVerdict: APPROVED, consensus: '', summary: ''}
tried: [{action: SCALE_UP, planHash: '1', error: e, generation: 4}]
";
    let measured = |at: &str, symptoms: &str| {
        let status = format!("{status}measuredAt: {at}\nsymptoms: {symptoms}\n");
        step(incident(REPORT, &status), LADDER)
    };
    let down = "[{kind: Down, container: web, message: web does not run}]";
    assert_eq!(measured(BEFORE, down), Next::Effect(Effect::Measure));
    let step = measured(NOW, down);
    assert!(
        matches!(asked(&step), Some((_, Reason::SpecChanged, _))),
        "{step:?}"
    );
    // No human is asked about a rung that nothing speaks for.
    let step = measured(NOW, "[]");
    assert!(
        approved(&step).is_some_and(|(plan, _)| plan.action == Action::Noop),
        "{step:?}"
    );
}

#[test]
fn after_it_was_overtaken_twice_a_human_decides() {
    for (again, by_itself) in [(0, true), (2, true), (3, false)] {
        let mut incident = agreed("RESTART", 0);
        incident.status.as_mut().unwrap().started_over = again;
        let step = next(&judged(incident, AUTO));
        assert_eq!(approved(&step).is_some(), by_itself, "{again}: {step:?}");
    }
}

#[test]
fn waiting_for_a_human_ends_with_the_reason() {
    let since = |at: &str| waits(|status| status.waiting_since = Some(at.parse().unwrap()));
    let frozen = "{freezeWindows: [{start: '11:00', end: '13:00'}], cooldown: 0s}";
    assert!(matches!(
        next(&judged(since("2026-11-21T12:00:01Z"), frozen)),
        Next::Wait(_)
    ));
    let step = next(&judged(since("2026-11-21T12:00:00Z"), frozen));
    let Some(error) = failed(&step) else {
        panic!("{step:?}")
    };
    assert!(error.contains("no decision on RESTART web within 1d"), "{error}");
}

#[test]
fn what_a_human_agreed_to_is_measured_right_before_it_is_carried_out() {
    let agreed = |changes: fn(&mut IncidentStatus)| {
        let mut incident = waits(changes);
        incident.spec.approval = Some(
            serde_json::from_value(serde_json::json!({"decision": "Approve", "by": "ada", "planHash": "1"}))
                .unwrap(),
        );
        next(&judged(incident, "{mode: Approve}"))
    };
    let measure = Next::Effect(Effect::Measure);
    assert_eq!(agreed(|_| ()), measure);
    let step = agreed(|status| status.measured_at = Some(NOW.parse().unwrap()));
    assert!(
        matches!(approved(&step), Some((plan, "ada approved the plan")) if plan.hash == "1"),
        "{step:?}"
    );
    // However short a time ago nothing was wrong: measuring it takes the plan back.
    let step = agreed(|status| {
        status.measured_at = Some(NOW.parse().unwrap());
        status.symptoms.clear();
    });
    assert_eq!(step, measure);
}

fn paused(workload: &mut Workload) {
    let status = workload.status.get_or_insert_default();
    status.instances = vec![
        row("web-replica-1"),
        InstanceStatus {
            state: aegis_api::observed::ContainerState::Paused,
            ..row("web-replica-2")
        },
    ];
}

#[test]
fn a_paused_container_is_named_at_once_and_nothing_waits_for_it_to_go_on() {
    let executing = || {
        let mut incident = waits(|_| ());
        let status = incident.status.as_mut().unwrap();
        status.phase = aegis_api::Phase::Executing;
        status.execution =
            Some(serde_json::from_value(serde_json::json!({"appliedAt": NOW, "generation": 1})).unwrap());
        incident
    };
    let cases = [
        agreed("RESTART", 0),
        agreed("SCALE_UP", 1),
        agreed("NOOP", 0),
        executing(),
    ];
    for incident in cases {
        let incident = with_workload(judged(incident, AUTO), |workload| {
            workload.spec.restarted_at = Some(BEFORE.parse().unwrap());
            paused(workload);
        });
        let step = next(&incident);
        let Some(error) = failed(&step) else {
            panic!("{step:?}")
        };
        assert!(
            error.contains("web-replica-2 is paused") && error.contains("docker unpause web-replica-2"),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_take_effect_ends_with_the_engines_reason() {
    let after = |secs: u64, reason: Reason| {
        let mut incident = waits(|_| ());
        let status = incident.status.as_mut().unwrap();
        status.phase = aegis_api::Phase::Executing;
        let now: Time = NOW.parse().unwrap();
        let at = now.0.checked_sub(Duration::from_secs(secs)).unwrap();
        status.execution = Some(
            serde_json::from_value(serde_json::json!({"appliedAt": Time(at), "generation": 1})).unwrap(),
        );
        let incident = with_workload(judged(incident, AUTO), |workload| {
            workload.spec.restarted_at = Some(BEFORE.parse().unwrap());
            let conditions = &mut workload.status.get_or_insert_default().conditions;
            Conditions::at(conditions, Some(1), now).set(
                ConditionType::Ready,
                false,
                reason,
                "cannot create web-replica-1: No such image",
            );
        });
        next(&incident)
    };
    for reason in [Reason::StepRefused, Reason::ContainerMissing] {
        let step = after(6, reason);
        assert!(
            failed(&step).is_some_and(|error| error.contains("No such image")),
            "{step:?}"
        );
        assert!(
            matches!(after(2, reason), Next::Wait(_)),
            "Compose recreates containers within a moment"
        );
    }
    assert!(
        matches!(after(6, Reason::StepFailed), Next::Wait(_)),
        "worth another try"
    );
}

/// An incident whose verification began long before its deadline, which has passed.
fn verifying(attempts: &[(&str, bool)], awake_since: &str) -> ValidatedIncident {
    let mut verification = Verification {
        started_at: Some("2026-11-22T10:00:00Z".parse().unwrap()),
        deadline: Some("2026-11-22T10:00:30Z".parse().unwrap()),
        ..Verification::default()
    };
    for (number, (at, healthy)) in (1..).zip(attempts) {
        verification.record(Attempt {
            number,
            at: at.parse().unwrap(),
            healthy: *healthy,
            message: "503".to_owned(),
        });
    }
    let mut incident = incident(REPORT, "{phase: VERIFYING, workload: web}");
    incident.status.as_mut().unwrap().verification = Some(verification);
    let mut judged = judged(incident, "{verification: {soak: 10s, deadline: 30s}}");
    judged.awake_since = awake_since.parse().unwrap();
    judged
}

fn probes(next: &Next) -> bool {
    matches!(next, Next::Effect(Effect::Probe { .. }))
}

#[test]
fn i7_no_verification_ends_before_somebody_has_looked_since_the_controller_started() {
    let back = "2026-11-22T11:59:59Z";
    // Away from before the first attempt, or after some: measured first.
    for attempts in [
        &[][..],
        &[("2026-11-22T10:00:01Z", false)],
        &[("2026-11-22T10:00:01Z", true)],
    ] {
        let step = next(&verifying(attempts, back));
        assert!(probes(&step), "{attempts:?}: {step:?}");
    }
    // Starved without being away.
    assert!(probes(&next(&verifying(&[], "2026-11-22T09:00:00Z"))));
    // Measured, and unhealthy: that is the end.
    let step = next(&verifying(&[("2026-11-22T11:59:59.5Z", false)], back));
    assert_eq!(step.what(), Some(What::FellBack), "{step:?}");
    // Measured, and well: what is missing is the soak.
    let step = next(&verifying(&[("2026-11-22T11:59:59.5Z", true)], back));
    assert!(matches!(step, Next::Wait(_)) || probes(&step), "{step:?}");
    // Never away, never well.
    let step = next(&verifying(
        &[("2026-11-22T10:00:29Z", false)],
        "2026-11-22T09:00:00Z",
    ));
    assert_eq!(step.what(), Some(What::FellBack), "{step:?}");
}

#[test]
fn a_change_has_its_time_from_when_the_controller_is_back() {
    let mut executing = incident(REPORT, &too_late("RESTART"));
    executing.status.as_mut().unwrap().plan = Some(restart_plan(1));
    let mut judged = with_workload(judged(executing, AUTO), |workload| {
        workload.spec.restarted_at = Some(BEFORE.parse().unwrap());
    });
    assert!(failed(&next(&judged)).is_some());
    judged.awake_since = "2026-11-22T11:59:00Z".parse().unwrap();
    assert_eq!(next(&judged), Next::Wait(Some(Duration::from_secs(60))));
}
