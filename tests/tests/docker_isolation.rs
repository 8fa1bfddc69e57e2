//! Promise: one bad resource, one hung container, one slow client never stops the others (I9).

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{World, manifests};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_container_a_missing_image_and_a_sleeping_client_hold_nothing_else_up_i9() {
    let world = World::new().await;
    let (frozen, patient) = (
        world.patient("frozen").start().await,
        world.patient("buggy").start().await,
    );
    let controller = world.controller().start().await;
    let api = controller.api();
    for name in [&frozen.name, &patient.name] {
        api.apply(&manifests::adopting(name, 1)).await;
        api.apply(&manifests::policy(name, &Value::Null)).await;
        api.workload_ready(name, 1).await;
    }
    let missing = world.name("missing");
    let image = json!({"image": format!("aegisops/no-such-image:{}", world.id())});
    api.apply(&manifests::templated(&missing, world.network(), 2, &image))
        .await;
    let orphan = json!({"spec": {"backends": [{"workload": "absent", "port": 1, "upstream": "absent"}]}});
    let mut balancer = manifests::balancing(&world.name("no-such-nginx"), &patient.name);
    balancer["spec"]["backends"] = orphan["spec"]["backends"].clone();
    api.apply(&balancer).await;
    let _asleep = controller.sleeping_client().await;
    frozen.freeze().await;
    api.apply(&manifests::incident("cold", &frozen.name, &Value::Null))
        .await;
    patient.trigger("hang").await;

    api.apply(&manifests::incident("warm", &patient.name, &Value::Null))
        .await;
    api.resolved("warm").await;

    assert_eq!(world.events().count(&patient.id, "start").await, 2);
    let reason = api
        .until("Workload", &missing, "it says what is wrong", |object| {
            let ready = condition(object, ConditionType::Ready);
            let message = ready["message"].as_str().unwrap_or_default();
            if message.contains("no-such-image") {
                Ok(ready.clone())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await;
    assert_eq!(reason["status"], "False");
}
