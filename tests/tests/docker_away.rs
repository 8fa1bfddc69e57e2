//! Promise: without the engine the controller stays up, says so, accepts requests, and goes on when the engine is
//! back, also with what it missed.

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::{World, eventually, manifests};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_at_the_start_and_later_is_reported_and_waited_for() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let name = &patient.name;
    let mut engine = world.engine_proxy();
    let mut controller = world
        .controller()
        .flag("--docker-host", &engine.host())
        .start_unasked();
    let why = controller.is_unready().await;
    assert!(why.contains("docker"), "{why}");

    let api = controller.api();
    api.apply(&manifests::adopting(name, 2)).await;
    api.apply(&manifests::policy(name, &Value::Null)).await;
    api.until("Workload", name, "it says what is missing", |object| {
        let ready = condition(object, ConditionType::Ready);
        if ready["reason"] == "EngineUnavailable" {
            Ok(())
        } else {
            Err(object["status"].to_string())
        }
    })
    .await;

    engine.mend();
    controller.is_ready().await;
    api.workload_ready(name, 2).await;

    engine.cut().await;
    controller.is_unready().await;
    // What it cannot see happen, it finds.
    let replica = world.find(&format!("{name}-replica-1")).await.unwrap();
    replica.remove_by_force().await;
    patient.trigger("hang").await;
    let alert =
        json!({"incident_id": "while-away", "alert_type": "health_check_failed", "container_name": name});
    let (status, body) = controller
        .api_as(Some(WEBHOOK_TOKEN))
        .post("/webhook", &alert)
        .await;
    assert_eq!(status, 200, "an alert is taken: {body}");
    assert_eq!(controller.ctl().run(&["get", "workloads"]).await.code, 0);

    engine.mend();
    controller.is_ready().await;
    let result = eventually("the incident ends", async || {
        let result = api.get_ok("/incidents/while-away").await;
        let ended = matches!(result["status"].as_str(), Some("RESOLVED" | "FAILED"));
        if ended {
            Ok(result)
        } else {
            Err(result.to_string())
        }
    })
    .await;
    assert_eq!(result["status"], "RESOLVED", "{result:#}");
    api.workload_ready(name, 2).await;
    assert_eq!(world.events().count(&patient.id, "start").await, 2);
}
