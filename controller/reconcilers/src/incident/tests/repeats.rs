//! A fix that failed twice, through the whole pipeline: it is not done a third time, and the incident says why.

use std::collections::HashMap;

use aegis_api::Phase;
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Ailment, Cure, Op, Symptom};
use serde_json::json;

use super::harness::{Harness, brain, saying, scripted_model};
use super::*;

/// Three incidents of a workload that no restart cures: what the third came to.
async fn third(brain: Brain) -> (Harness, Incident) {
    let policy =
        json!({"cooldown": "0s", "allowedActions": ["RESTART"], "verification": {"deadline": "300ms"}});
    let harness = Harness::open("app", &policy, brain).await;
    // Each incident finds it unhealthy at once, not in a start period after the restart before.
    harness
        .ask(|spec| {
            if let Some(health) = &mut spec.health {
                health.start_period = Some(aegis_api::Duration::from_secs(0));
            }
        })
        .await;
    let incurable = Ailment::new(Symptom::Unhealthy, Cure::Never);
    harness.engine.ail("app", incurable).unwrap();
    let mut ended = None;
    for number in 1..=3 {
        let name = format!("inc-{number}");
        let spec = json!({"workloadRef": "web", "alertType": "UNHEALTHY"});
        harness.apply("Incident", &name, &spec).await.unwrap();
        let incident = harness.drive(&name).await;
        let status = incident.status.clone().unwrap();
        if number < 3 {
            assert_eq!(status.phase, Phase::Failed, "{status:#?}");
            assert_eq!(status.plan.unwrap().action, Action::Restart);
        }
        ended = Some(incident);
    }
    (harness, ended.unwrap())
}

fn restarts(harness: &Harness) -> usize {
    harness
        .actions()
        .iter()
        .filter(|action| action.op == Op::Start)
        .count()
}

#[tokio::test]
async fn an_incident_whose_fix_failed_twice_is_not_fixed_the_same_way_a_third_time_and_says_why() {
    let restart = json!({"root_cause": "it hangs", "action": "RESTART", "justification": "so", "confidence": 0.9, "replica_count": 0});
    let approve = json!({"reasoning": "fine", "verdict": "APPROVED"});
    let script = HashMap::from([
        ("a".to_owned(), restart.to_string()),
        ("r".to_owned(), approve.to_string()),
    ]);
    let url = scripted_model(script).await;
    let insisting = saying(&brain(&url), "a", "r");
    let (harness, incident) = third(insisting).await;
    let status = incident.status.unwrap();
    assert_eq!(restarts(&harness), 2, "{status:#?}");
    let error = status.error.unwrap_or_default();
    assert!(error.contains("failed 2 times"), "{error}");

    let (harness, incident) = third(Brain::new(BrainConfig::default()).unwrap()).await;
    let status = incident.status.unwrap();
    assert_eq!(restarts(&harness), 2, "{status:#?}");
    let reasoning = status.analysis.unwrap().reasoning;
    assert!(reasoning.contains("RESTART failed 2 times"), "{reasoning}");
}

#[tokio::test]
async fn an_alert_about_a_container_in_its_start_period_is_no_reason_to_restart_it_again() {
    let policy = json!({"cooldown": "0s", "verification": {"deadline": "300ms"}});
    let harness = Harness::open("app", &policy, Brain::new(BrainConfig::default()).unwrap()).await;
    let incurable = Ailment::new(Symptom::Unhealthy, Cure::Never);
    harness.engine.ail("app", incurable).unwrap();
    harness.engine.restart_by_hand("app").unwrap();
    let spec = json!({"workloadRef": "web", "alertType": "UNHEALTHY"});
    harness.apply("Incident", "early", &spec).await.unwrap();
    let status = harness.drive("early").await.status.unwrap();
    let plan = status.plan.unwrap();
    assert_eq!(
        (status.phase, plan.action),
        (Phase::AwaitingApproval, Action::Noop),
        "a human is asked"
    );
    assert_eq!(restarts(&harness), 0);
}
