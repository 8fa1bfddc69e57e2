//! The rules: those that a policy or the council decides as a table, the others each in a test.

use aegis_api::RemediationPolicySpec;
use serde_json::json;

use super::super::detected::{Detected, Firing};
use super::*;
use crate::governing::Doubt;
use crate::incident::next::{Effect, Next};
use crate::incident::phase::next;
use crate::incident::testing::{REPORT, held, incident, judge};

#[test]
fn the_rules_bind_in_this_order() {
    let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(
        names,
        [
            "ContainerPaused",
            "DetectorFires",
            "Unconfirmed",
            "NotMeasured",
            "OriginNotMeasured",
            "StoppedByHand",
            "OriginUnderWay",
            "DependencyDown",
            "RestartLimit",
            "Paused",
            "NotAllowed",
            "CannotRestart",
            "CouncilRejected",
            "CouncilNeedsReview",
            "CannotClear",
            "PassedOn",
            "FailedBefore",
            "ScaledToZero",
            "Protected",
            "NoPolicy",
            "BrokenPolicy",
            "ApprovalMode",
            "AutomationOff",
            "FreezeWindow",
            "BudgetExhausted",
            "HostShort",
            "HostBudgetExhausted",
            "Relapsed",
            "BlastRadius",
            "HostBusy",
        ]
    );
}

/// What a policy and a council make of an action on a workload of three replicas.
fn ruled(policy: &str, verdict: Option<&str>, by_human: bool) -> Ruling {
    let incident = judge(vec![incident(REPORT, "{}")], policy);
    ruled_on(&incident, Action::Restart, verdict, by_human)
}

fn ruled_on(incident: &ValidatedIncident, action: Action, verdict: Option<&str>, by_human: bool) -> Ruling {
    let council = verdict.map(council);
    super::judge(&Case {
        incident,
        action,
        council: council.as_ref(),
        by_human,
    })
}

fn council(verdict: &str) -> CouncilDecision {
    let decision =
        json!({"votes": [], "finalVerdict": verdict, "consensus": "", "summary": "the council's words"});
    serde_json::from_value(decision).unwrap()
}

/// The rule that decides: in words, so that tables can be read.
fn word(ruling: &Ruling) -> String {
    match ruling {
        Ruling::Allow => "allow".to_owned(),
        Ruling::NeedsApproval { reason, .. } => format!("ask {reason}"),
        Ruling::Refuse { .. } => "refuse".to_owned(),
        Ruling::NotMeasured { .. } => "not measured".to_owned(),
        Ruling::Wait { reason, .. } => format!("wait {reason}"),
        Ruling::DryRun(would) => format!("dry run: {}", word(would)),
    }
}

/// It is 12:00 on a Sunday.
const FROZEN: &str = "freezeWindows: [{start: '11:00', end: '13:00', reason: release}]";

#[test]
fn i14_each_rule_decides_where_it_binds_and_a_dry_run_is_judged_by_all_of_them() {
    for (rules, verdict, expected) in [
        ("", Some("APPROVED"), "allow"),
        ("allowedActions: [SCALE_UP]", Some("APPROVED"), "refuse"),
        ("", Some("REJECTED"), "refuse"),
        ("", Some("NEEDS_REVIEW"), "ask CouncilNeedsReview"),
        ("", None, "ask CouncilNeedsReview"),
        (FROZEN, Some("APPROVED"), "ask FreezeWindow"),
        ("actionsPerHour: 0", Some("APPROVED"), "ask BudgetExhausted"),
        // The first that binds decides.
        (
            "actionsPerHour: 0, allowedActions: [NOOP]",
            Some("NEEDS_REVIEW"),
            "refuse",
        ),
    ] {
        let auto = ruled(&format!("{{mode: Auto, {rules}}}"), verdict, false);
        assert_eq!(word(&auto), expected, "{rules} {verdict:?}");
        let dry = ruled(&format!("{{mode: DryRun, {rules}}}"), verdict, false);
        assert_eq!(word(&dry), format!("dry run: {expected}"), "{rules} {verdict:?}");
    }
}

#[test]
fn i14_a_restart_that_could_not_be_undone_is_refused_to_everybody_and_in_a_dry_run() {
    for (policy, expected) in [
        ("{mode: Auto}", "refuse"),
        ("{mode: Approve}", "refuse"),
        ("{mode: DryRun}", "dry run: refuse"),
    ] {
        let mut incident = judge(vec![incident(REPORT, "{}")], policy);
        let workload = std::sync::Arc::make_mut(incident.target.as_mut().unwrap());
        let status = workload.status.get_or_insert_default();
        let mut row = crate::incident::testing::row("web");
        row.cannot_restart = Some("web was started with --rm, so stopping it deletes it".to_owned());
        status.instances = vec![row];
        for by_human in [false, true] {
            let ruling = ruled_on(&incident, Action::Restart, Some("APPROVED"), by_human);
            assert_eq!(word(&ruling), expected, "{policy} {by_human}");
            assert!(format!("{ruling:?}").contains("started with --rm"), "{ruling:?}");
        }
        let scaled = word(&ruled_on(&incident, Action::ScaleUp, Some("APPROVED"), true));
        assert!(!scaled.contains("refuse"), "{policy}: {scaled}");
    }
}

#[test]
fn i5_a_policy_that_does_not_say_how_far_automation_may_go_asks_a_human() {
    let only_narrows: RemediationPolicySpec = serde_json::from_value(json!({"actionsPerHour": 2})).unwrap();
    assert_eq!(only_narrows.mode, Mode::Approve);
}

#[test]
fn i13_a_detector_lets_automation_do_nothing_that_an_alert_would_not() {
    use Action::{Noop, Restart, Rollback, ScaleDown, ScaleUp};
    let other = Some(Firing {
        detector: "half".to_owned(),
        message: "60 % of its limit".to_owned(),
    });
    for measured in [true, false] {
        for (firing, counts_crashes, other) in [
            (true, false, other.clone()),
            (true, true, other.clone()),
            (true, true, None),
            (false, true, None),
            (false, false, None),
        ] {
            for policy in [
                "{mode: Auto}",
                "{mode: Approve}",
                "{mode: DryRun}",
                "{mode: 'Off'}",
            ] {
                for action in [Noop, Restart, Rollback, ScaleDown, ScaleUp] {
                    let mut alerted = judge(vec![incident(REPORT, "{}")], policy);
                    if !measured {
                        alerted.status.symptoms.clear();
                    }
                    let mut detected = alerted.clone();
                    detected.detected = Some(Detected {
                        detector: "half".to_owned(),
                        firing,
                        counts_crashes,
                        crashes: false,
                        other: other.clone(),
                        beyond_down: false,
                    });
                    let of = |it: &ValidatedIncident| word(&ruled_on(it, action, Some("APPROVED"), false));
                    let (alert, detector) = (of(&alerted), of(&detected));
                    let asks = detector.trim_start_matches("dry run: ") == "ask DetectorFires";
                    assert_eq!(
                        asks,
                        !measured && other.is_some(),
                        "{policy} {action}: {detector}"
                    );
                    assert!(
                        asks || alert == detector,
                        "{policy} {action}: {alert}, but {detector}"
                    );
                    let ordered = word(&ruled_on(&detected, action, None, true));
                    assert!(!ordered.contains("DetectorFires"), "a human chooses: {ordered}");
                }
            }
        }
    }
}

#[test]
fn a_human_passes_what_binds_automation_and_nothing_else() {
    for (policy, expected) in [
        ("{mode: Approve}", "allow"),
        ("{mode: 'Off'}", "allow"),
        ("{mode: Auto, actionsPerHour: 0}", "allow"),
        ("{mode: Auto, allowedActions: [SCALE_UP]}", "refuse"),
        ("{mode: DryRun}", "dry run: allow"),
        ("{mode: DryRun, allowedActions: [SCALE_UP]}", "dry run: refuse"),
    ] {
        assert_eq!(word(&ruled(policy, None, true)), expected, "{policy}");
    }
}

#[test]
fn i5_where_no_policy_is_known_to_govern_automation_asks_and_says_what_to_do() {
    let mut incident = judge(vec![incident(REPORT, "{}")], "{mode: Auto}");
    for (doubt, reason, said) in [
        (
            Doubt::NoPolicy,
            "ask NoPolicy",
            "no RemediationPolicy governs web: apply one (examples/quickstart/policy.yaml)",
        ),
        (
            Doubt::Broken {
                message: "remediationpolicies/pay.yaml: line 4: spec.mod: unknown field".to_owned(),
            },
            "ask BrokenPolicy",
            "remediationpolicies/pay.yaml: line 4",
        ),
    ] {
        incident.doubt = Some(doubt);
        let ruling = ruled_on(&incident, Action::Restart, Some("APPROVED"), false);
        assert_eq!(word(&ruling), reason);
        assert!(
            matches!(&ruling, Ruling::NeedsApproval { message, .. } if message.contains(said)),
            "{ruling:?}"
        );
        assert_eq!(ruled_on(&incident, Action::Restart, None, true), Ruling::Allow);
        assert_eq!(
            ruled_on(&incident, Action::Noop, Some("APPROVED"), false),
            Ruling::Allow
        );
    }
}

#[test]
fn i6_restarts_by_spec_restart_are_actions_in_the_budget_and_those_of_what_ran_in_the_cooldown() {
    // An incident's action of 11:40, which a restart of the Workload's reconciler has carried out.
    let acted = "{phase: RESOLVED, workload: web,
        plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:39:00Z'},
        execution: {generation: 2, startedAt: '2026-11-22T11:40:00Z', appliedAt: '2026-11-22T11:40:00Z'}}";
    for (restarts, heals, used, cools) in [
        (&[][..], &[][..], 1, false),
        (&["11:40:30"], &[], 1, false),
        (&["11:41:59", "11:42:01"], &[], 2, false),
        // So long ago that they count for nothing.
        (&["10:59:59"], &["10:59:59"], 1, false),
        // A start of what had ended interrupts nothing.
        (&["11:59:45"], &[], 2, false),
        (&[], &["11:59:45"], 2, true),
        (&[], &["11:59:29"], 2, false),
        (&["11:50:00", "11:51:00"], &["11:52:00"], 4, false),
    ] {
        let times = |times: &[&str]| -> Vec<String> {
            let times = times.iter().map(|time| format!("2026-11-22T{time}Z"));
            times.collect()
        };
        let mut row = serde_json::to_value(crate::incident::testing::row("web")).unwrap();
        row["recentRestarts"] = json!(times(restarts));
        let status = json!({"instances": [row], "heals": times(heals)});
        let judged = |policy: &str| {
            let incidents = vec![incident(REPORT, "{}"), incident(REPORT, acted)];
            crate::incident::testing::judge_of(
                serde_json::from_value(status.clone()).unwrap(),
                incidents,
                policy,
            )
        };
        let ruled = |most: u32| {
            let judged = judged(&format!("{{mode: Auto, actionsPerHour: {most}}}"));
            word(&ruled_on(&judged, Action::Restart, Some("APPROVED"), false))
        };
        assert_eq!(ruled(used), "ask BudgetExhausted", "{restarts:?} {heals:?}");
        assert_eq!(ruled(used + 1), "allow", "{restarts:?} {heals:?}");
        let until = super::cooldown_until(&judged("{mode: Auto, cooldown: 30s}"));
        assert_eq!(until.is_some(), cools, "{restarts:?} {heals:?}: {until:?}");
    }
}

#[test]
fn i6_while_automation_is_paused_only_a_human_acts() {
    let mut incident = judge(vec![incident(REPORT, "{}")], "{mode: Auto}");
    incident.paused = Some(crate::hold::Hold {
        reason: Reason::Paused,
        message: "all automation is paused by ada".to_owned(),
        until: None,
        by_itself: false,
    });
    let ruling = ruled_on(&incident, Action::Restart, Some("APPROVED"), false);
    assert_eq!(word(&ruling), "ask Paused");
    assert_eq!(ruled_on(&incident, Action::Restart, None, true), Ruling::Allow);
    assert_eq!(
        ruled_on(&incident, Action::Noop, Some("APPROVED"), false),
        Ruling::Allow
    );
}

#[test]
fn i6_a_plan_that_automation_approved_before_the_pause_waits_and_one_that_a_human_approved_does_not() {
    let approved = "
phase: APPROVED
workload: web
plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:59:59Z'}
";
    let by_human =
        "{workloadRef: web, alertType: odd, approval: {decision: Approve, by: ada, planHash: '1'}}";
    let ordered = "{workloadRef: web, alertType: odd, override: {action: RESTART, by: ada}}";
    for (spec, goes_on) in [(REPORT, false), (by_human, true), (ordered, true)] {
        let mut incident = judge(vec![incident(spec, approved)], "{mode: Auto}");
        incident.paused = Some(crate::hold::Hold {
            reason: Reason::Paused,
            message: "all automation is paused by ada".to_owned(),
            until: None,
            by_itself: false,
        });
        let step = next(&incident);
        let executes = matches!(step, Next::Effect(Effect::Execute(_)));
        assert_eq!(executes, goes_on, "{step:?}");
        assert_eq!(held(&step) == Some(Reason::Paused), !goes_on, "{step:?}");
    }
}

#[test]
fn i6_what_a_person_stopped_and_restarts_that_have_ended_are_a_humans() {
    let reason = |ruling: Ruling| match ruling {
        Ruling::NeedsApproval { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let mut stopped = judge(vec![incident(REPORT, "{}")], "{}");
    let mut workload = (**stopped.target.as_ref().unwrap()).clone();
    let row = |stopped: bool| {
        let mut row = json!({"name": "web", "id": "1", "index": 0, "state": "exited", "health": "Unhealthy", "revision": "r"});
        if stopped {
            row["stoppedByHand"] = json!("2026-11-22T11:00:00Z");
        }
        row
    };
    workload.status = Some(serde_json::from_value(json!({"instances": [row(true)]})).unwrap());
    stopped.target = Ok(workload.clone().into());
    let ruled = ruled_on(&stopped, Action::Restart, Some("APPROVED"), false);
    assert_eq!(reason(ruled), Reason::StoppedByHand);

    // Until it shows who stopped it, it may be a person.
    workload.status = Some(serde_json::from_value(json!({"instances": [row(false)]})).unwrap());
    let mut open = stopped.clone();
    open.target = Ok(workload.clone().into());
    open.stopped = std::collections::BTreeSet::from(["1".into()]);
    let ruled = ruled_on(&open, Action::Restart, Some("APPROVED"), false);
    assert_eq!(word(&ruled), "wait StoppedByHand");
    let by_human = ruled_on(&open, Action::Restart, None, true);
    assert!(!word(&by_human).contains("StoppedByHand"), "{by_human:?}");
    let by_human = ruled_on(&stopped, Action::Restart, None, true);
    assert!(!format!("{by_human:?}").contains("StoppedByHand"), "{by_human:?}");

    let degraded = json!({"type": "Degraded", "status": "True", "reason": "RestartLimit", "message": "",
        "lastTransitionTime": "2026-11-22T11:00:00Z"});
    let status = json!({"instances": [row(false)], "conditions": [degraded]});
    workload.status = Some(serde_json::from_value(status).unwrap());
    let mut limited = stopped;
    limited.target = Ok(workload.into());
    let ruled = ruled_on(&limited, Action::Restart, Some("APPROVED"), false);
    assert_eq!(reason(ruled), Reason::RestartLimit);

    // The incident that asks a human does, whatever is proposed.
    let spec = "{workloadRef: web, alertType: RESTART_LIMIT, source: {kind: controller}}";
    let asking = judge(vec![incident(spec, "{}")], "{}");
    assert_eq!(
        reason(ruled_on(&asking, Action::Noop, Some("APPROVED"), false)),
        Reason::RestartLimit
    );
}

#[test]
fn i6_the_hosts_limits_bind_automation_and_no_human() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for (busy, minute, used, expected) in [
        (&["a"][..], &["a", "b"][..], 26, "allow"),
        (&["a", "b"], &["a", "b"], 26, "wait HostBusy"),
        (&["a", "b"], &["a", "b", "c"], 26, "ask BlastRadius"),
        (&[], &["a", "b", "c"], 0, "ask BlastRadius"),
        (&[], &["a", "b", "c"], 30, "ask HostBudgetExhausted"),
    ] {
        let mut incident = judge(vec![incident(REPORT, "{}")], "{mode: Auto}");
        incident.host = crate::host_limit::HostUse {
            busy: names(busy),
            minute: names(minute),
            used,
            answered: false,
            ..crate::host_limit::HostUse::default()
        };
        let ruling = ruled_on(&incident, Action::Restart, Some("APPROVED"), false);
        assert_eq!(word(&ruling), expected, "{busy:?} {minute:?} {used}");
        assert_eq!(ruled_on(&incident, Action::Restart, None, true), Ruling::Allow);
        assert_eq!(
            ruled_on(&incident, Action::Noop, Some("APPROVED"), false),
            Ruling::Allow
        );
    }
}

#[test]
fn a_short_host_is_scaled_up_by_a_human_only_and_restarts_go_on() {
    let mut incident = judge(vec![incident(REPORT, "{}")], "{mode: Auto}");
    incident.reading.memory_available = Some(1 << 20);
    // Any action may be what a person's rule calls for.
    incident.status.symptoms[0].kind = aegis_api::SymptomKind::Rule;
    let ruling = |action, by_human| word(&ruled_on(&incident, action, Some("APPROVED"), by_human));
    assert_eq!(ruling(Action::ScaleUp, false), "ask HostShort");
    assert_eq!(ruling(Action::ScaleUp, true), "allow");
    assert_eq!(ruling(Action::ScaleDown, false), "allow");
    assert_eq!(ruling(Action::Restart, false), "allow");
}
