//! Promise: a container that dies again and again, however often in a minute, is one incident; it is restarted with growing
//! pauses, at most as often as its spec allows, and then a human is asked.

use std::time::Duration;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, Container, World, manifests};
use serde_json::{Value, json};
use tokio::time::Instant;

/// So soon after the event stream is up a death may have been requested before: until then it is no crash.
const SHADOW: Duration = Duration::from_secs(31);
/// Restarts within the window.
const ATTEMPTS: usize = 4;
/// How long it is killed whenever it runs.
const KILLED_FOR: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_dies_whenever_it_runs_is_one_incident_with_growing_pauses_a_limit_and_a_human() {
    let world = World::new().await;
    let patient = world.patient("web").memory_mb(64).start().await;
    let controller = world.controller().default_detectors().start().await;
    let up = Instant::now();
    let api = controller.api();
    api.apply(&manifests::policy(&patient.name, &json!({"mode": "Auto"})))
        .await;
    let mut adopting = manifests::adopting(&patient.name, 1);
    adopting["spec"]["restart"] = json!({"attempts": ATTEMPTS, "delay": "2s"});
    api.apply(&adopting).await;
    api.workload_ready(&patient.name, 1).await;
    tokio::time::sleep_until(up + SHADOW).await;

    let deaths = killed_whenever_it_runs(&patient).await;
    assert_eq!(
        deaths.len(),
        ATTEMPTS + 1,
        "restarted as often as is allowed: {deaths:?}"
    );
    let pauses: Vec<Duration> = deaths.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (first, last) = (pauses[0], pauses[ATTEMPTS - 1]);
    assert!(last > first * 2, "they grow: {pauses:?}");

    let incident = asks_a_human(&api).await;
    assert_eq!(incident["spec"]["workloadRef"], patient.name.as_str());
    assert!(
        incident["status"]["execution"].is_null(),
        "no action beside the restarts of the spec: {incident:#}"
    );
    let all = api.list("Incident").await;
    assert_eq!(all.len(), 1, "{all:#?}");
    let starts = world.events().count(&patient.id, "start").await;
    assert_eq!(starts, ATTEMPTS + 1, "none after the limit");
}

/// When it was killed.
async fn killed_whenever_it_runs(patient: &Container) -> Vec<Instant> {
    let begun = Instant::now();
    let mut deaths = Vec::new();
    while begun.elapsed() < KILLED_FOR {
        if patient.inspect().await["State"]["Running"] == true {
            patient.kill().await;
            deaths.push(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
    deaths
}

/// The only incident, once it waits for a human because no restarts are left.
async fn asks_a_human(api: &Api) -> Value {
    let all = api.list("Incident").await;
    let name = all.first().and_then(|it| it["metadata"]["name"].as_str());
    let name = name.unwrap_or_else(|| panic!("there is no incident")).to_owned();
    api.until("Incident", &name, "approval is required", |incident| {
        let why = condition(incident, ConditionType::PolicyAllows);
        let asks = incident["status"]["phase"] == "AWAITING_APPROVAL" && why["reason"] == "RestartLimit";
        asks.then(|| incident.clone())
            .ok_or_else(|| incident["status"].to_string())
    })
    .await
}
