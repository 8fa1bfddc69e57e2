//! A report is watched before it counts as nothing; an action is for a symptom that it can clear, and is verified on that
//! one; what comes back is a relapse; what teaches something counts once it is settled.

use aegis_api::incident::{Execution, Verification};
use aegis_api::proposal::{Evidence, RecentAction};
use aegis_api::workload::Demand;
use aegis_api::{ConditionType, Duration, Phase, Symptom, SymptomKind, condition};
use serde_json::json;

use super::super::aftermath::{Aftermath, is_inconclusive};
use super::super::next::Settlement;
use super::super::phase::{Found, after_investigation, after_learning, after_probe};
use super::super::transition::applied;
use super::super::{clearing, gate, ladder};
use super::*;

const AUTO: &str = "{mode: Auto, replicas: {min: 1, max: 9}, cooldown: 0s}";
const AGREED: &str = "{votes: [], finalVerdict: APPROVED, consensus: '', summary: ''}";

fn at(time: &str) -> Time {
    format!("2026-11-22T{time}Z").parse().unwrap()
}

fn symptom(kind: SymptomKind) -> Symptom {
    Symptom {
        kind,
        container: None,
        value: None,
        message: format!("{kind:?} is measured"),
    }
}

/// An incident on which the council agreed to this action, with these symptoms, measured just now.
fn agreed(action: Action, symptoms: &[SymptomKind]) -> Incident {
    let count = u32::from(matches!(action, Action::ScaleUp | Action::ScaleDown));
    let status = format!(
        "
phase: COUNCIL_REVIEW
workload: web
measuredAt: '{NOW}'
analysis:
  proposal: {{rootCause: r, action: {action}, justification: j, confidence: 0.9, replicaCount: {count}}}
  reasoning: ''
  provider: builtin
  model: m
  latencyMs: 1
  at: '{NOW}'
votes:
- {{role: SRE_AGENT, verdict: APPROVED, reasoning: r, timestamp: '{NOW}'}}
- {{role: SECURITY_OFFICER, verdict: APPROVED, reasoning: r, timestamp: '{NOW}'}}
- {{role: AUDITOR, verdict: APPROVED, reasoning: r, timestamp: '{NOW}'}}
"
    );
    let mut incident = incident(REPORT, &status);
    incident.status.as_mut().unwrap().symptoms = symptoms.iter().copied().map(symptom).collect();
    incident
}

fn seen_at(incident: &mut Incident, collected: Time, measured: Time) {
    let status = incident.status.as_mut().unwrap();
    status.evidence = Some(Evidence {
        collected_at: Some(collected),
        generation: Some(1),
        ..Evidence::default()
    });
    status.measured_at = Some(measured);
}

#[test]
fn i13_what_nothing_measured_confirms_is_watched_and_then_ends_without_an_action() {
    for action in [Action::Restart, Action::ScaleUp, Action::Noop] {
        for (collected, measured, wanted) in [
            ("11:59:59", "11:59:59", "watch"),
            ("11:59:55", "11:59:58", "measure"),
            ("11:59:51", "11:59:58.9", "watch"),
            // The last measurement is made when the time is over.
            ("11:59:50", "11:59:59", "measure"),
            ("11:59:50", "12:00:00", "ends"),
        ] {
            let mut incident = agreed(action, &[]);
            seen_at(&mut incident, at(collected), at(measured));
            let step = step(incident, AUTO);
            let case = format!("{action} {collected} {measured}: {step:?}");
            match wanted {
                "watch" => assert_eq!(held(&step), Some(Reason::Confirming), "{case}"),
                "measure" => assert_eq!(step, Next::Effect(Effect::Measure), "{case}"),
                _ => assert!(
                    approved(&step).is_some_and(|(plan, _)| plan.action == Action::Noop),
                    "{case}"
                ),
            }
        }
    }
}

#[test]
fn a_report_whose_sender_says_that_it_is_over_and_one_that_is_measured_are_not_watched() {
    let mut over = agreed(Action::Noop, &[]);
    seen_at(&mut over, at("12:00:00"), at("12:00:00"));
    over.spec.source.resolved_at = Some(at("12:00:00"));
    assert!(approved(&step(over, AUTO)).is_some());
    let mut measured = agreed(Action::Restart, &[SymptomKind::ProbeFailing]);
    seen_at(&mut measured, at("12:00:00"), at("12:00:00"));
    assert!(approved(&step(measured, AUTO)).is_some_and(|(plan, _)| plan.action == Action::Restart));
}

#[test]
fn where_the_policy_asks_about_what_is_not_measured_a_human_decides_on_this_very_plan() {
    let policy = "{mode: Auto, cooldown: 0s, unconfirmed: RequireApproval, confirmWithin: 0s}";
    let mut incident = agreed(Action::Restart, &[]);
    seen_at(&mut incident, at("12:00:00"), at("12:00:00"));
    let judged = judge(vec![incident.clone()], policy);
    let asks = next(&judged);
    let Some((plan, Reason::Unconfirmed, _)) = asked(&asks) else {
        panic!("{asks:?}")
    };
    let hash = plan.hash.clone();
    assert_eq!(plan.action, Action::Restart);
    // Measured again, still nothing: the plan stays, and so does its hash.
    incident.status = Some(applied(&judged, asks.transition().cloned()));
    incident.spec.approval =
        serde_json::from_value(json!({"decision": "Approve", "by": "ann", "planHash": hash})).unwrap();
    let step = step(incident, policy);
    assert!(
        approved(&step).is_some_and(|(plan, _)| plan.hash == hash),
        "{step:?}"
    );
}

#[test]
fn i13_an_action_that_clears_nothing_of_what_is_measured_asks_a_human() {
    for kind in SymptomKind::ALL {
        for action in [
            Action::Restart,
            Action::ScaleUp,
            Action::ScaleDown,
            Action::Rollback,
        ] {
            let judged = judge(vec![agreed(action, &[kind])], AUTO);
            let council =
                serde_json::from_value(aegis_api::yaml::parse(AGREED).unwrap().remove(0).value).unwrap();
            let ruling = gate::judge(&gate::Case {
                incident: &judged,
                action,
                council: Some(&council),
                by_human: false,
            });
            let asks = matches!(
                ruling,
                gate::Ruling::NeedsApproval {
                    reason: Reason::CannotClear,
                    ..
                }
            );
            let clears = kind != SymptomKind::Trusted && kind.is_cleared_by(action);
            assert_eq!(asks, !clears, "{kind:?} {action}: {ruling:?}");
        }
    }
}

#[test]
fn the_plan_names_the_gravest_symptom_that_it_can_clear() {
    let step = step(
        agreed(Action::ScaleUp, &[SymptomKind::ErrorBurst, SymptomKind::CpuHigh]),
        AUTO,
    );
    let transition = step.transition().unwrap();
    let judged = judge(vec![agreed(Action::ScaleUp, &[])], AUTO);
    let status = applied(&judged, Some(transition.clone()));
    assert_eq!(
        status.clears.map(|clears| clears.kind),
        Some(SymptomKind::CpuHigh)
    );
}

/// What is tried after these, for this symptom, where the revision is so old.
fn rung(kind: SymptomKind, tried: &[Action], age: Option<u64>, policy: &str) -> Option<Action> {
    let mut incident = agreed(Action::Restart, &[kind]);
    let status = incident.status.as_mut().unwrap();
    status.evidence = Some(Evidence {
        can_roll_back: age.is_some(),
        revision_age_secs: age,
        ..Evidence::default()
    });
    status.tried = tried
        .iter()
        .map(|action| {
            serde_json::from_value(json!({"action": action, "planHash": "1", "error": "no"})).unwrap()
        })
        .collect();
    ladder::next_rung(&judge(vec![incident], policy), None)
}

#[test]
fn each_class_of_symptom_has_a_ladder_of_its_own_and_saturation_is_never_restarted() {
    use Action::{Restart, Rollback, ScaleUp};
    let none: &[Action] = &[];
    for (kind, tried, age, next) in [
        (SymptomKind::CpuHigh, none, Some(60), Some(ScaleUp)),
        (SymptomKind::CpuHigh, &[ScaleUp], Some(60), Some(ScaleUp)),
        (SymptomKind::CpuHigh, &[ScaleUp, ScaleUp], Some(60), None),
        (SymptomKind::HttpSlow, &[ScaleUp, ScaleUp], Some(60), None),
        (SymptomKind::ProbeFailing, none, None, Some(Restart)),
        (SymptomKind::ProbeFailing, &[Restart], None, None),
        (SymptomKind::ProbeFailing, &[Restart], Some(60), Some(Rollback)),
        (SymptomKind::ProbeFailing, &[Restart], Some(7200), None),
        (SymptomKind::MemoryGrowing, &[Restart, Rollback], Some(60), None),
        (SymptomKind::Trusted, none, None, None),
    ] {
        assert_eq!(rung(kind, tried, age, "{}"), next, "{kind:?} {tried:?} {age:?}");
    }
    // A policy's own ladder leaves out what cannot clear the symptom.
    let own = "{fallback: [RESTART, SCALE_UP, SCALE_DOWN]}";
    assert_eq!(rung(SymptomKind::CpuHigh, &[], None, own), Some(ScaleUp));
    assert_eq!(rung(SymptomKind::CpuHigh, &[ScaleUp], None, own), None);
    assert_eq!(rung(SymptomKind::ProbeFailing, &[Restart], None, own), None);
    assert_ne!(rung(SymptomKind::Rule, &[Restart, ScaleUp], None, own), None);
}

/// An incident that verifies an action that was to clear this.
fn verifying(kind: SymptomKind) -> Incident {
    let mut incident = agreed(Action::Restart, &[kind]);
    let status = incident.status.as_mut().unwrap();
    status.phase = Phase::Verifying;
    status.clears = Some(symptom(kind));
    status.plan = serde_json::from_value(json!({
        "hash": "1", "action": "RESTART", "target": "web", "parentGeneration": 1,
        "patch": {"restartedAt": NOW}, "createdAt": NOW,
    }))
    .unwrap();
    status.execution = Some(Execution {
        applied_at: Some(at("11:59:40")),
        generation: Some(1),
        ..Execution::default()
    });
    status.verification = Some(Verification {
        started_at: Some(at("11:59:50")),
        deadline: Some(at("12:00:20")),
        ..Verification::default()
    });
    incident
}

/// The incident after an attempt in which the probes pass, with this aftermath.
fn attempted(mut incident: Incident, aftermath: Aftermath) -> Incident {
    let judged = judge(vec![incident.clone()], "{}");
    let passed = (true, "HTTP 200".to_owned());
    let transition = after_probe(&judged, 1, passed, aftermath, judged.now);
    incident.status = Some(applied(&judged, Some(transition)));
    incident
}

#[test]
fn i7_what_could_not_be_measured_after_a_fix_is_inconclusive_neither_a_cure_nor_a_reason_for_the_next_rung() {
    let unknown = attempted(
        verifying(SymptomKind::HttpErrors),
        Aftermath::Unknown("too few requests".to_owned()),
    );
    assert!(
        matches!(step(unknown.clone(), "{}"), Next::Wait(_)),
        "until the deadline it may still be measured"
    );
    let mut late = unknown;
    late.status
        .as_mut()
        .unwrap()
        .verification
        .as_mut()
        .unwrap()
        .deadline = Some(at("12:00:00"));
    let judged = judge(vec![late.clone()], "{fallback: [RESTART, ROLLBACK]}");
    assert_eq!(next(&judged), Next::Effect(Effect::Learn), "no next rung");
    assert_eq!(super::super::lesson::cleared(&judged), None, "nothing is learned");
    let status = applied(&judged, Some(after_learning(&judged, None, judged.now)));
    assert!(is_inconclusive(&status));
    assert_eq!((status.phase, status.mitigated_at), (Phase::Resolved, None));
    assert!(condition::is_true_for(
        &status.conditions,
        ConditionType::HealthVerified,
        Reason::ProbesPassed
    ));
    let cleared = condition::find(&status.conditions, ConditionType::SymptomCleared).unwrap();
    assert_eq!(
        (cleared.status.as_str(), cleared.reason.as_str()),
        ("False", "Inconclusive")
    );
    assert!(
        cleared.message.contains("too few requests"),
        "{}",
        cleared.message
    );
}

#[test]
fn i7_what_is_measured_as_gone_is_resolved_at_once_with_the_values_before_and_after() {
    let cleared = attempted(
        verifying(SymptomKind::MemoryHigh),
        Aftermath::Cleared("memory 12 %".to_owned()),
    );
    let judged = judge(vec![cleared], "{}");
    assert_eq!(next(&judged), Next::Effect(Effect::Learn));
    let status = applied(&judged, Some(after_learning(&judged, None, judged.now)));
    assert_eq!(status.mitigated_at, Some(judged.now));
    assert!(status.is_unsettled());
    let cleared = condition::find(&status.conditions, ConditionType::SymptomCleared).unwrap();
    assert_eq!(
        cleared.message,
        "before: MemoryHigh is measured; after: memory 12 %"
    );
}

#[test]
fn i7_the_deadline_is_counted_from_the_end_of_the_start_period() {
    let mut incident = verifying(SymptomKind::ProbeFailing);
    let mut judged = judge(vec![incident.clone()], "{verification: {deadline: 30s}}");
    let mut workload = (**judged.target.as_ref().unwrap()).clone();
    let mut starting = row("web-replica-1");
    starting.starting = true;
    workload.status.as_mut().unwrap().instances = vec![starting];
    judged.target = Ok(Arc::new(workload));
    let failed = (false, "connection refused".to_owned());
    let transition = after_probe(&judged, 1, failed, Aftermath::Unasked, judged.now);
    incident.status = Some(applied(&judged, Some(transition)));
    let verification = incident.status.as_ref().unwrap().verification.clone().unwrap();
    assert_eq!(verification.deadline, Some(at("12:00:30")));
    // Also where the deadline has passed in the start period, it goes on.
    incident
        .status
        .as_mut()
        .unwrap()
        .verification
        .as_mut()
        .unwrap()
        .deadline = Some(at("11:59:59"));
    let mut late = judge(vec![incident], "{}");
    late.target = judged.target;
    assert!(matches!(next(&late), Next::Wait(_)), "{:?}", next(&late));
}

/// What an earlier incident cleared at this time.
fn earlier(kind: SymptomKind, mitigated: &str, relapses: u32) -> Incident {
    let mut earlier = verifying(kind);
    earlier.metadata.name = Some("earlier".to_owned());
    let status = earlier.status.as_mut().unwrap();
    status.phase = Phase::Resolved;
    status.mitigated_at = Some(at(mitigated));
    status.finished_at = Some(at(mitigated));
    status.relapses = relapses;
    earlier
}

/// The incident in which this is found after what an earlier one cleared.
fn found(kind: SymptomKind, earlier: Incident, change: impl FnOnce(&mut Workload)) -> IncidentStatus {
    let mut received = agreed(Action::Restart, &[]);
    received.status = Some(IncidentStatus::default());
    let mut judged = judge(vec![received.clone(), earlier.clone()], AUTO);
    let mut workload = (**judged.target.as_ref().unwrap()).clone();
    change(&mut workload);
    let incidents = [Arc::new(received.clone()), Arc::new(earlier)];
    let window = std::time::Duration::from_secs(900);
    judged.mitigated = super::super::relapse::mitigated(&received, &workload, &incidents, window, judged.now);
    let found = Found {
        origin: None,
        evidence: Box::default(),
        symptoms: vec![symptom(kind)],
        similar: Vec::new(),
    };
    applied(
        &judged,
        Some(after_investigation(&judged, found, None, judged.now)),
    )
}

#[test]
fn the_same_symptom_within_the_window_is_a_relapse_and_from_the_third_time_a_cure_is_asked_for() {
    let unchanged = |_: &mut Workload| {};
    let memory = SymptomKind::MemoryHigh;
    let again = found(
        SymptomKind::MemoryGrowing,
        earlier(memory, "11:58:00", 0),
        unchanged,
    );
    assert_eq!(
        (again.relapse_of.as_deref(), again.relapses),
        (Some("earlier"), 1)
    );
    assert!(!condition::is_true(&again.conditions, ConditionType::CureNeeded));
    let third = found(memory, earlier(memory, "11:50:00", 1), unchanged);
    assert_eq!(third.relapses, 2);
    assert!(condition::is_true_for(
        &third.conditions,
        ConditionType::CureNeeded,
        Reason::CameBack
    ));
    // Another class, long ago, or after somebody changed the workload: a new story.
    for (case, status) in [
        (
            "another class",
            found(SymptomKind::CpuHigh, earlier(memory, "11:58:00", 1), unchanged),
        ),
        (
            "long ago",
            found(memory, earlier(memory, "11:44:00", 1), unchanged),
        ),
        (
            "changed",
            found(memory, earlier(memory, "11:58:00", 1), |workload| {
                let demand = |generation, time| Demand {
                    generation,
                    at: at(time),
                    replicas: 3,
                    restarted_at: None,
                };
                let status = workload.status.as_mut().unwrap();
                status.demands = vec![demand(0, "10:00:00"), demand(7, "11:59:00")];
            }),
        ),
    ] {
        assert_eq!((status.relapse_of, status.relapses), (None, 0), "{case}");
    }
}

#[test]
fn i6_what_did_not_last_is_repeated_with_growing_pauses_and_what_is_down_is_not_left_so() {
    let pause = |relapses: u32, kind: SymptomKind, since: &str| {
        let mut incident = agreed(Action::Restart, &[kind]);
        incident.status.as_mut().unwrap().relapses = relapses;
        let mut judged = judge(vec![incident], "{mode: Auto, cooldown: 30s}");
        judged.history = vec![RecentAction {
            incident: None,
            alert_type: None,
            action: Action::Restart,
            replicas: None,
            at: at(since),
            verified: Some(true),
            relapsed: true,
        }];
        match next(&judged) {
            step if held(&step) == Some(Reason::Relapsed) => "waits",
            step if approved(&step).is_some() => "acts",
            step => panic!("{step:?}"),
        }
    };
    let memory = SymptomKind::MemoryHigh;
    assert_eq!(pause(0, memory, "11:59:00"), "acts");
    assert_eq!(pause(1, memory, "11:59:01"), "waits");
    assert_eq!(pause(1, memory, "11:59:00"), "acts");
    assert_eq!(pause(3, memory, "11:56:01"), "waits");
    assert_eq!(pause(3, memory, "11:56:00"), "acts");
    assert_eq!(
        pause(20, memory, "11:45:00"),
        "acts",
        "never longer than a quarter of an hour"
    );
    assert_eq!(pause(20, SymptomKind::Down, "11:59:00"), "acts");
    assert_eq!(pause(20, SymptomKind::Down, "11:59:01"), "waits");
}

#[test]
fn what_waits_for_a_pause_is_reconciled_when_it_is_over_and_measured_seldom_meanwhile() {
    let again = |acted: &str, relapses: u32| {
        let mut incident = agreed(Action::Restart, &[SymptomKind::MemoryHigh]);
        incident.status.as_mut().unwrap().relapses = relapses;
        let mut judged = judge(vec![incident], "{mode: Auto, cooldown: 30s}");
        judged.history = vec![RecentAction {
            incident: None,
            alert_type: None,
            action: Action::Restart,
            replicas: None,
            at: at(acted),
            verified: Some(true),
            relapsed: true,
        }];
        let step = next(&judged);
        assert_eq!(held(&step), Some(Reason::Relapsed), "{step:?}");
        step.transition().unwrap().again.unwrap().as_secs()
    };
    assert_eq!(again("11:59:20", 1), 20, "twice the cooldown after the action");
    assert_eq!(again("11:59:59", 4), 120, "its symptom may pass in eight minutes");
}

#[test]
fn a_cure_counts_once_it_has_lasted_and_a_relapse_as_soon_as_it_is_seen() {
    let memory = SymptomKind::MemoryHigh;
    let open = judge(vec![earlier(memory, "11:50:00", 0)], AUTO);
    assert_eq!(next(&open), Next::Wait(Some(std::time::Duration::from_secs(300))));
    let lasted = judge(vec![earlier(memory, "11:45:00", 0)], AUTO);
    assert_eq!(next(&lasted), Next::Effect(Effect::Settle(Settlement::Lasted)));
    let mut again = agreed(Action::Restart, &[memory]);
    again.metadata.name = Some("again".to_owned());
    again.status.as_mut().unwrap().relapse_of = Some("earlier".to_owned());
    let relapsed = judge(vec![earlier(memory, "11:50:00", 0), again], AUTO);
    let settle = next(&relapsed);
    assert_eq!(
        settle,
        Next::Effect(Effect::Settle(Settlement::Relapsed("again".to_owned())))
    );
    let status = applied(
        &relapsed,
        Some(super::super::phase::after_settling(
            &relapsed,
            Settlement::Relapsed("again".to_owned()),
            relapsed.now,
        )),
    );
    assert!(!status.is_unsettled());
    assert_eq!(
        (status.phase, status.relapsed_in.as_deref()),
        (Phase::Resolved, Some("again"))
    );
    assert!(!condition::is_true(
        &status.conditions,
        ConditionType::SymptomCleared
    ));
}

#[test]
fn i13_a_trusted_senders_firing_is_a_symptom_and_its_resolve_message_ends_that() {
    let policy =
        "{mode: Auto, cooldown: 0s, trustedAlerts: [{source: webhook, alertType: odd, actions: [RESTART]}]}";
    let fires = |kind: &str| {
        let mut incident = agreed(Action::Restart, &[]);
        incident.spec.source.kind = kind.to_owned();
        judge(vec![incident], policy)
    };
    assert_eq!(
        clearing::trusted(&fires("webhook")).map(|it| it.kind),
        Some(SymptomKind::Trusted)
    );
    assert_eq!(clearing::trusted(&fires("other")), None);
    let mut over = fires("webhook");
    let mut incident = (*over.incident).clone();
    incident.spec.source.resolved_at = Some(at("12:00:00"));
    over.incident = Arc::new(incident);
    assert_eq!(clearing::trusted(&over), None);
    // Only what the policy names may be done about it.
    for (action, acts) in [(Action::Restart, true), (Action::ScaleUp, false)] {
        let mut incident = agreed(action, &[SymptomKind::Trusted]);
        incident.spec.source.kind = "webhook".to_owned();
        let step = step(incident, policy);
        assert_eq!(approved(&step).is_some(), acts, "{action}: {step:?}");
    }
}

#[test]
fn a_policy_says_how_long_it_watches_and_within_what_time_it_is_a_relapse() {
    let policy: aegis_api::RemediationPolicySpec =
        serde_json::from_value(json!({"relapseWindow": "20m"})).unwrap();
    assert_eq!(policy.relapse_window, Duration::from_secs(1200));
    assert_eq!(policy.confirm_within, Duration::from_secs(10));
}
