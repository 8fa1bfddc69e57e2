//! Promise: a container that somebody disconnected from its network is found, without an alert; nothing is done to it, and a
//! person gets the command that connects it again.

use aegis_tests::{World, eventually, manifests};
use bollard::Docker;
use bollard::models::NetworkDisconnectRequest;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_lost_its_network_is_found_and_a_person_gets_the_command() {
    let world = World::new().await;
    let (cut_off, other) = (
        world.patient("cut-off").start().await,
        world.patient("other").start().await,
    );
    let controller = world.controller().start().await;
    let api = controller.api();
    for name in [&cut_off.name, &other.name] {
        api.apply(&manifests::adopting(name, 1)).await;
        api.apply(&manifests::policy(name, &Value::Null)).await;
        api.workload_ready(name, 1).await;
    }
    let detector = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Detector", "metadata": {"name": "network-lost"},
        "spec": {"signal": "NetworkLost", "for": "1s", "clear": "1s", "severity": "critical", "alertType": "NETWORK_LOST"}});
    api.apply(&detector).await;

    let docker = Docker::connect_with_local_defaults().expect("the engine's socket");
    let request = NetworkDisconnectRequest {
        container: cut_off.name.clone(),
        force: None,
    };
    docker
        .disconnect_network(world.network(), request)
        .await
        .expect("it is disconnected");

    let command = format!("docker network connect {} {}", world.network(), cut_off.name);
    eventually("a person gets the command", async || {
        let all = api.list("Incident").await;
        let about = all
            .iter()
            .find(|incident| incident["spec"]["alertType"] == "NETWORK_LOST");
        let about = about.ok_or_else(|| format!("{} incidents", all.len()))?;
        assert_eq!(about["spec"]["workloadRef"], cut_off.name, "{about:#}");
        let text = about["status"].to_string();
        match text.contains(&command) {
            true => Ok(()),
            false => Err(text),
        }
    })
    .await;
    assert_eq!(
        world.events().count(&cut_off.id, "start").await,
        1,
        "nothing is done to it"
    );
    let text = Value::from(api.list("Incident").await).to_string();
    assert!(!text.contains(&other.name), "the other one is well: {text}");
}
