//! What people did to a workload by hand is among its recent actions, and counts against no budget.

use aegis_api::Phase;
use aegis_api::proposal::RecentAction;
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Ailment, Cure, Symptom};
use serde_json::json;

use super::harness::Harness;
use super::*;

/// What was done, for whom, and to how many replicas.
fn listed(actions: &[RecentAction]) -> Vec<(Action, Option<&str>, Option<u32>)> {
    let row = |action: &RecentAction| (action.action, action.incident.clone(), action.replicas);
    let incidents = ["inc-1", "inc-2"];
    let known = |name: String| incidents.into_iter().find(|known| *known == name).unwrap();
    actions
        .iter()
        .map(row)
        .map(|(action, incident, replicas)| (action, incident.map(known), replicas))
        .collect()
}

#[tokio::test]
async fn what_was_restarted_and_scaled_by_hand_is_evidence_and_is_kept_apart_from_what_incidents_did() {
    let policy = json!({"cooldown": "0s", "actionsPerHour": 1});
    let brain = Brain::new(BrainConfig::default()).unwrap();
    let harness = Harness::open("app", &policy, brain).await;
    harness.ask(|spec| spec.replicas = 3).await;
    harness.ask(|spec| spec.replicas = 2).await;
    let now = harness.context.clock.now();
    harness.ask(move |spec| spec.restarted_at = Some(now)).await;

    harness
        .engine
        .ail("app", Ailment::new(Symptom::Unhealthy, Cure::Restart))
        .unwrap();
    let report = json!({"workloadRef": "web", "alertType": "UNHEALTHY"});
    harness.apply("Incident", "inc-1", &report).await.unwrap();
    let status = harness.drive("inc-1").await.status.unwrap();
    assert_eq!(
        status.phase,
        Phase::Resolved,
        "the budget does not count them: {status:#?}"
    );
    let by_hand = [
        (Action::ScaleUp, None, Some(3)),
        (Action::ScaleDown, None, Some(2)),
        (Action::Restart, None, None),
    ];
    assert_eq!(listed(&status.evidence.unwrap().recent_actions), by_hand);
    let reasoning = status.analysis.unwrap().reasoning;
    let said = "The last action here was RESTART, requested by hand, outside of any incident.";
    assert!(reasoning.contains(said), "{reasoning}");

    harness.apply("Incident", "inc-2", &report).await.unwrap();
    harness.drive("inc-2").await;
    let status = harness
        .context
        .store
        .get::<Incident>("inc-2")
        .unwrap()
        .status
        .clone()
        .unwrap();
    let all = [&by_hand[..], &[(Action::Restart, Some("inc-1"), None)]].concat();
    assert_eq!(listed(&status.evidence.unwrap().recent_actions), all);
}
