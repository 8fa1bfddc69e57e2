//! Promise: the root comes first. What is sick is not restarted while something it needs is sick itself, and what shares
//! the network of a container that was restarted is restarted after it.

use std::process::Command;

use aegis_tests::{World, eventually, manifests};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_healed_before_what_depends_on_it() {
    let world = World::new().await;
    let (root, leaf) = (world.name("db"), world.name("web"));
    let controller = world.controller().start().await;
    let api = controller.api();
    let mut manifest = manifests::templated(&root, world.network(), 1, &json!({}));
    // The symptom would be treated long before the cause.
    manifest["spec"]["restart"] = json!({"unhealthyAfter": "4s"});
    api.apply(&manifest).await;
    let mut manifest = manifests::templated(&leaf, world.network(), 1, &json!({}));
    manifest["spec"]["restart"] = json!({"unhealthyAfter": "200ms"});
    manifest["spec"]["dependsOn"] = json!([root]);
    api.apply(&manifest).await;
    api.workload_ready(&root, 1).await;
    api.workload_ready(&leaf, 1).await;

    let replica = async |name: &str| {
        let name = format!("{name}-replica-1");
        world.find(&name).await.expect("a replica")
    };
    let (cause, symptom) = (replica(&root).await, replica(&leaf).await);
    cause.trigger("hang").await;
    api.until("Workload", &root, "it is sick", |object| {
        let sick = object["status"]["instances"][0]["health"] == "Unhealthy";
        sick.then_some(()).ok_or_else(|| object["status"].to_string())
    })
    .await;
    symptom.trigger("hang").await;
    api.until("Workload", &leaf, "it waits", |object| {
        let text = object["status"]["conditions"].to_string();
        let waits = text.contains("DependencyDown") && text.contains(&root);
        waits.then_some(()).ok_or(text)
    })
    .await;
    api.workload_ready(&root, 1).await;
    api.workload_ready(&leaf, 1).await;
    let all = world.events().so_far().await;
    let starts = |id: &str| {
        let starts = all
            .iter()
            .filter(|event| event.id == id && event.action == "start");
        starts.map(|event| event.at).collect::<Vec<_>>()
    };
    let (first, second) = (starts(&cause.id), starts(&symptom.id));
    assert_eq!((first.len(), second.len()), (2, 2), "{all:#?}");
    assert!(first[1] < second[1], "the root came first: {all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shares_a_network_is_restarted_after_its_owner() {
    let world = World::new().await;
    let owner = world.patient("vpn").start().await;
    let name = world.name("inside");
    let made = Command::new("docker")
        .args(["run", "--detach", "--name", &name])
        .args(["--label", &format!("{}={}", World::LABEL, world.id())])
        .args([
            "--network",
            &format!("container:{}", owner.name),
            "aegisops/nginx:dev",
        ])
        .output()
        .expect("docker runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"container": name, "health": {"tcp": {"port": 80}, "interval": "500ms", "timeout": "500ms"}},
    }))
    .await;
    let workload = api.workload_ready(&name, 1).await;
    assert_eq!(workload["status"]["dependencies"][0]["name"], owner.name.as_str());

    let restarted = Command::new("docker")
        .args(["restart", "--time", "1", &owner.name])
        .status();
    assert!(
        restarted.is_ok_and(|status| status.success()),
        "docker restarts it"
    );
    let inside = world.find(&name).await.expect("it is there");
    eventually("it is in its owner's new network", async || {
        let (owner, inside) = (owner.started_at().await, inside.started_at().await);
        if inside > owner {
            Ok(())
        } else {
            Err(format!("{inside} {owner}"))
        }
    })
    .await;
    api.workload_ready(&name, 1).await;
    assert_eq!(
        world.events().count(&inside.id, "start").await,
        2,
        "it was restarted once"
    );
}
