//! What holds an incident up: a clock that was ahead and was set back, and a runbook that takes long to be searched.

use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use aegis_api::Phase;
use aegis_brain::{Brain, BrainConfig};
use aegis_docker_fake::{Ailment, Cure, Symptom as Sickness};
use serde_json::json;

use super::harness::Harness;
use super::*;

async fn harness(cooldown: &str) -> Harness {
    let policy = json!({"mode": "Auto", "cooldown": cooldown, "actionsPerHour": 100});
    Harness::open("app", &policy, Brain::new(BrainConfig::default()).unwrap()).await
}

async fn sicken(harness: &Harness, incident: &str) {
    let ailment = Ailment::new(Sickness::Unhealthy, Cure::Restart);
    harness.engine.ail("app", ailment).unwrap();
    let spec = json!({"workloadRef": "web", "alertType": "odd"});
    harness.apply("Incident", incident, &spec).await.unwrap();
}

/// The reconciler stops the cooldown, not only the function that settles times.
#[tokio::test]
async fn i6_an_action_that_is_noted_for_tomorrow_holds_the_next_incident_up_for_the_cooldown_and_no_longer() {
    let harness = harness("1s").await;
    sicken(&harness, "inc-1").await;
    let status = harness.drive("inc-1").await.status.unwrap();
    assert_eq!(status.phase, Phase::Resolved, "{status:#?}");
    let tomorrow = harness
        .context
        .clock
        .now()
        .plus(aegis_api::Duration::from_secs(86_400));
    let ahead = move |status: &mut IncidentStatus| {
        let execution = status.execution.as_mut().unwrap();
        (execution.applied_at, execution.converged_at) = (Some(tomorrow), Some(tomorrow));
        (status.finished_at, status.resolved_at) = (Some(tomorrow), Some(tomorrow));
    };
    harness.set_status("inc-1", ahead).await;
    sicken(&harness, "inc-2").await;
    let status = harness.drive("inc-2").await.status.unwrap();
    assert_eq!(
        (status.phase, status.plan.as_ref().map(|plan| plan.action)),
        (Phase::Resolved, Some(Action::Restart)),
        "{status:#?}"
    );
}

#[tokio::test]
async fn i9_a_search_of_the_runbook_that_takes_long_holds_up_no_other_task() {
    let harness = harness("0s").await;
    sicken(&harness, "inc-1").await;
    let (recall, (busy, is_busy), (go_on, may_go_on)) =
        (harness.recall.clone(), mpsc::channel(), mpsc::channel());
    let searching = std::thread::spawn(move || {
        recall.busy_while(|| {
            busy.send(()).unwrap();
            // It is not said where the search keeps this runtime's only thread.
            may_go_on.recv_timeout(Duration::from_secs(20)).is_ok()
        })
    });
    is_busy.recv().unwrap();
    let holders = harness.recall.holders();
    let mut driven = pin!(harness.drive("inc-1"));
    while harness.recall.holders() == holders && futures::poll!(driven.as_mut()).is_pending() {
        tokio::task::yield_now().await;
    }
    // The search waits, and this task does not.
    let _ = go_on.send(());
    assert!(searching.join().unwrap(), "the search held the runtime's thread");
    assert_eq!(driven.await.status.unwrap().phase, Phase::Resolved);
}
