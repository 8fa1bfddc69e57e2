//! Models that never answer, and what of the other incidents goes on meanwhile: all the loops.

use std::time::Duration;

use aegis_brain::{Brain, BrainConfig, ProviderConfig, ProviderKind};
use futures::StreamExt as _;
use serde_json::json;
use tokio::net::TcpListener;

use super::harness::{Harness, OTHER};
use super::*;
use crate::assembly::tests::run_all;

/// Twice the slots of the incidents' loop.
const HUNG: usize = 64;

/// A model that takes every question and answers none.
async fn silent_model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn i9_twice_as_many_incidents_whose_model_hangs_as_there_are_slots_keep_no_other_from_its_end() {
    let silent = Brain::new(BrainConfig {
        providers: vec![ProviderConfig::new(
            "silent",
            ProviderKind::OpenAi,
            &silent_model().await,
            "m",
        )],
        ..BrainConfig::default()
    })
    .unwrap();
    let harness = Harness::open("app", &json!({}), silent.clone()).await;
    for number in 0..HUNG {
        // Each is about a workload of its own: of one, only one is remedied at a time.
        let (app, report) = (format!("app-{number}"), format!("hung-{number}"));
        let spec = RunSpec::new(&app, "app:1").network("shared");
        harness.engine.run_container(&spec).unwrap();
        harness
            .apply("Workload", &app, &json!({"container": app}))
            .await
            .unwrap();
        let alert = json!({"workloadRef": app, "alertType": "odd"});
        harness.apply("Incident", &report, &alert).await.unwrap();
    }
    let _end = run_all(&harness.context, silent);
    let store = &harness.context.store;
    let phases = |phase: Phase| {
        let incidents = store.list::<Incident>();
        let mut statuses = incidents.iter().filter_map(|incident| incident.status.as_ref());
        statuses.by_ref().filter(|status| status.phase == phase).count()
    };
    until(store, "all of them are asked about", || {
        phases(Phase::Analysing) == HUNG
    })
    .await;

    let order =
        json!({"workloadRef": OTHER, "alertType": "odd", "override": {"action": "RESTART", "by": "ada"}});
    harness.apply("Incident", "ordered", &order).await.unwrap();
    let is_over = || {
        store
            .get::<Incident>("ordered")
            .is_some_and(|incident| incident.is_finished())
    };
    until(store, "the ordered one is over", is_over).await;
    assert_eq!(phases(Phase::Analysing), HUNG, "and no model has answered yet");
}

async fn until(store: &aegis_runtime::Store, what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            let mut changes = store.watch(None).unwrap();
            while !is_so() && changes.next().await.is_some() {}
        }
    };
    let bounded = tokio::time::timeout(Duration::from_secs(60), wait).await;
    let incidents = store.list::<Incident>();
    let statuses = incidents.iter().filter_map(|incident| incident.status.as_ref());
    let phases: Vec<_> = statuses
        .map(|status| (status.phase, status.conditions.last()))
        .collect();
    assert!(bounded.is_ok(), "not within a minute: {what}: {phases:?}");
}
