//! Alerts about what is well, through the whole pipeline: none leads to an action, whatever people did to the container before,
//! whichever analyst answers, in whichever order they come; and nothing is learned from them.

use std::collections::HashMap;

use aegis_api::{Phase, RunbookEntry, SymptomKind};
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Ailment, Cure, Op, Symptom as Sickness};
use serde_json::json;

use super::harness::{Harness, brain, saying, scripted_model};
use super::*;

const ALERTS: [&str; 6] = [
    "CrashLoopBackOff",
    "MEMORY_LEAK",
    "HealthCheckFailing",
    "HighCpuLoad",
    "idle: scale down",
    "restart it, please",
];

/// A model and reviewers that always want this action.
async fn insisting(action: &str, count: u32) -> Brain {
    let proposal = json!({"root_cause": "it is sick", "action": action, "justification": "so", "confidence": 0.9, "replica_count": count});
    let approve = json!({"reasoning": "fine", "verdict": "APPROVED"});
    let script = HashMap::from([
        ("a".to_owned(), proposal.to_string()),
        ("r".to_owned(), approve.to_string()),
    ]);
    saying(&brain(&scripted_model(script).await), "a", "r")
}

/// A workload that people have restarted again and again, by hand and by its spec.
async fn restarted_often(brain: Brain) -> Harness {
    let harness = Harness::open(
        "app",
        &json!({"mode": "Auto", "cooldown": "0s", "actionsPerHour": 100}),
        brain,
    )
    .await;
    for _ in 0..2 {
        let now = harness.context.clock.now();
        harness.ask(move |spec| spec.restarted_at = Some(now)).await;
    }
    harness
}

fn starts(harness: &Harness) -> usize {
    harness
        .actions()
        .iter()
        .filter(|action| action.op == Op::Start)
        .count()
}

#[tokio::test]
async fn i13_six_false_alarms_about_a_healthy_container_that_people_restarted_are_no_restart_and_no_lesson() {
    let mut brains = vec![Brain::new(BrainConfig::default()).unwrap()];
    for (action, count) in [("RESTART", 0), ("SCALE_UP", 1), ("SCALE_DOWN", 1)] {
        brains.push(insisting(action, count).await);
    }
    let turns = brains.into_iter().enumerate().map(|(turn, brain)| async move {
        let harness = restarted_often(brain).await;
        let before = starts(&harness);
        let generation = harness.context.store.get::<Workload>("web").unwrap().generation();
        for number in 0..ALERTS.len() {
            let name = format!("inc-{number}");
            let alert = ALERTS[(number * 5 + turn) % ALERTS.len()];
            let spec = json!({"workloadRef": "web", "alertType": alert, "severity": "critical", "logs": "CRITICAL crash loop"});
            harness.apply("Incident", &name, &spec).await.unwrap();
            let status = harness.drive(&name).await.status.unwrap();
            assert_eq!(
                (status.phase, status.error.clone()),
                (Phase::Resolved, None),
                "{alert}: {status:#?}"
            );
            assert_eq!(status.plan.unwrap().action, Action::Noop, "{alert}");
            assert_eq!((status.symptoms.len(), status.learned), (0, None), "{alert}");
        }
        assert_eq!(starts(&harness), before);
        assert_eq!(
            harness.context.store.get::<Workload>("web").unwrap().generation(),
            generation
        );
        assert!(
            harness.context.store.list::<RunbookEntry>().is_empty(),
            "nothing is learned"
        );
    });
    futures::future::join_all(turns).await;
}

#[tokio::test]
async fn i7_a_lesson_names_what_was_measured_as_wrong_before_and_is_not_any_more() {
    let harness = Harness::open(
        "app",
        &json!({"mode": "Auto", "cooldown": "0s"}),
        Brain::new(BrainConfig::default()).unwrap(),
    )
    .await;
    let ailment = Ailment::new(Sickness::Unhealthy, Cure::Restart);
    harness.engine.ail("app", ailment).unwrap();
    let spec = json!({"workloadRef": "web", "alertType": "odd"});
    harness.apply("Incident", "inc-1", &spec).await.unwrap();
    let status = harness.drive("inc-1").await.status.unwrap();
    assert_eq!(status.verification.unwrap().symptom_cleared, Some(true));
    assert_eq!(status.symptoms[0].kind, SymptomKind::ProbeFailing);
    let entry = harness
        .context
        .store
        .get::<RunbookEntry>(&status.learned.unwrap())
        .unwrap();
    let seen = &entry.spec.symptom;
    assert!(seen.starts_with("app runs but fails its health check"), "{seen}");
}

#[tokio::test]
async fn i7_a_restart_after_which_the_log_reports_as_many_errors_has_not_helped() {
    let policy = json!({"mode": "Auto", "cooldown": "0s", "verification": {"deadline": "200ms"}});
    let harness = Harness::open("app", &policy, Brain::new(BrainConfig::default()).unwrap()).await;
    let errors = || {
        for _ in 0..9 {
            harness
                .engine
                .say("app", true, "error: cannot open ledger")
                .unwrap();
        }
    };
    errors();
    harness
        .apply(
            "Incident",
            "inc-1",
            &json!({"workloadRef": "web", "alertType": "odd"}),
        )
        .await
        .unwrap();
    let status = harness.drive("inc-1").await.status.unwrap();
    assert_eq!(status.symptoms[0].kind, SymptomKind::ErrorBurst);
    assert_eq!(
        (status.phase, status.plan.unwrap().action),
        (Phase::Resolved, Action::Restart)
    );
    // What the process before logged is not of now: without new errors nothing is wrong.
    harness
        .apply(
            "Incident",
            "inc-2",
            &json!({"workloadRef": "web", "alertType": "odd"}),
        )
        .await
        .unwrap();
    let status = harness.drive("inc-2").await.status.unwrap();
    assert_eq!(status.plan.unwrap().action, Action::Noop);
}

#[tokio::test]
async fn a_plan_that_waited_ends_as_a_noop_once_the_fault_is_gone_also_where_a_human_agrees_too_late() {
    for approve in [false, true] {
        let policy = json!({"cooldown": "0s", "mode": "Approve"});
        let harness = Harness::open("app", &policy, Brain::new(BrainConfig::default()).unwrap()).await;
        let ailment = Ailment::new(Sickness::Unhealthy, Cure::Restart);
        harness.engine.ail("app", ailment).unwrap();
        let spec = json!({"workloadRef": "web", "alertType": "odd"});
        harness.apply("Incident", "inc-1", &spec).await.unwrap();
        let waiting = harness.drive("inc-1").await.status.unwrap();
        assert_eq!(waiting.phase, Phase::AwaitingApproval, "{waiting:#?}");
        let (before, hash) = (starts(&harness), waiting.plan.unwrap().hash);
        harness.engine.heal("app").unwrap();
        // Longer ago than what was measured is of now.
        let aged = |status: &mut IncidentStatus| {
            status.measured_at = Some("2020-01-01T00:00:00Z".parse().unwrap());
        };
        harness.set_status("inc-1", aged).await;
        match approve {
            true => {
                harness
                    .edit_incident("inc-1", move |spec| {
                        spec.approval = serde_json::from_value(
                            json!({"decision": "Approve", "by": "ada", "planHash": hash}),
                        )
                        .unwrap();
                    })
                    .await;
            }
            false => harness.set_mode("all", "Auto").await,
        }
        let status = harness.finish("inc-1").await.status.unwrap();
        assert_eq!(
            (status.phase, status.error.clone()),
            (Phase::Resolved, None),
            "{status:#?}"
        );
        assert_eq!(
            (status.plan.unwrap().action, status.learned),
            (Action::Noop, None)
        );
        assert_eq!(starts(&harness), before, "nothing is restarted");
    }
}
