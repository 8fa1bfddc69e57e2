//! What a sender says after its alert, and what an alert did not say: shown on the incident, and proof of nothing.

use aegis_api::{ConditionType, condition};
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Ailment, Cure, Symptom};
use serde_json::{Value, json};

use super::harness::Harness;
use super::*;

/// An incident that waits for a human.
async fn waiting(source: Value) -> Harness {
    let brain = Brain::new(BrainConfig::default()).unwrap();
    let harness = Harness::open("app", &json!({"mode": "Approve", "cooldown": "0s"}), brain).await;
    harness
        .engine
        .ail("app", Ailment::new(Symptom::Unhealthy, Cure::Never))
        .unwrap();
    let spec = json!({"containerName": "app", "alertType": "UNHEALTHY", "source": source});
    harness.apply("Incident", "inc", &spec).await.unwrap();
    harness.drive("inc").await;
    harness
}

fn lines(incident: &Incident) -> Vec<String> {
    let timeline = incident.status.iter().flat_map(|status| &status.timeline);
    timeline.map(|entry| entry.message.clone()).collect()
}

async fn say(harness: &Harness, resolved_at: Option<&str>) -> Incident {
    let at = resolved_at.map(|at| at.parse::<Time>().unwrap());
    let edit = harness
        .context
        .store
        .edit_spec::<Incident, _>("inc", move |current| {
            let mut spec = current.spec.clone();
            spec.source.resolved_at = at;
            spec.count += 1;
            Ok(spec)
        });
    edit.await.unwrap();
    harness.drive("inc").await
}

#[tokio::test]
async fn what_the_sender_says_later_is_noted_once_and_ends_nothing() {
    let harness = waiting(json!({"kind": "webhook"})).await;
    let over = "the sender says that it is over since 2026-01-31T12:00:00Z";
    let count = |incident: &Incident, text: &str| lines(incident).iter().filter(|line| *line == text).count();
    for repeat in 0..2 {
        let incident = say(&harness, Some("2026-01-31T12:00:00Z")).await;
        assert_eq!(count(&incident, over), 1, "{repeat}: {:#?}", lines(&incident));
        let status = incident.status.as_ref().unwrap();
        assert!(condition::is_true(
            &status.conditions,
            ConditionType::SenderResolved
        ));
        assert!(!incident.is_finished(), "a sender's word proves nothing");
    }
    let incident = say(&harness, None).await;
    assert_eq!(count(&incident, "the sender says that it fires again"), 1);
    assert!(!condition::is_true(
        &incident.status.unwrap().conditions,
        ConditionType::SenderResolved
    ));
}

#[tokio::test]
async fn a_sender_that_changes_its_mind_for_ever_does_not_push_out_the_timeline() {
    let harness = waiting(json!({"kind": "webhook"})).await;
    let before = lines(&say(&harness, None).await).len();
    let mut after = before;
    for _ in 0..30 {
        say(&harness, Some("2026-01-31T12:00:00Z")).await;
        after = lines(&say(&harness, None).await).len();
    }
    assert!(after <= before + 20, "{before} lines became {after}");
}

#[tokio::test]
async fn the_default_target_and_the_earlier_incident_are_shown_on_the_incident() {
    let source = json!({"kind": "webhook", "naming": {"byDefault": true}, "previous": "earlier"});
    let harness = waiting(source).await;
    let incident = harness.context.store.get::<Incident>("inc").unwrap();
    let first = lines(&incident).remove(0);
    let said = "about app by default: the alert names no container";
    assert!(
        first.contains(said) && first.contains("the same alert was incident earlier before"),
        "{first}"
    );
    let status = incident.status.as_ref().unwrap();
    let named = condition::find(&status.conditions, ConditionType::ContainerNamed).unwrap();
    assert_eq!(
        (
            named.status.as_str(),
            named.reason.as_str(),
            named.message.as_str()
        ),
        ("False", "DefaultTarget", said)
    );
}
