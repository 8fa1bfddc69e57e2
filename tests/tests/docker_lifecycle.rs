//! Promise: nothing is stopped that could not be started again, and nothing that is well is taken for unhealthy because of where
//! the controller is: auto-remove, an owner of the network that was replaced, the host's network, a network of its own that
//! leads nowhere. On the real engine.

use std::process::Command;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, World, eventually, manifests};
use serde_json::{Value, json};

async fn degraded(api: &Api, name: &str, reason: &str) -> String {
    let what = format!("it is Degraded because of {reason}");
    api.until("Workload", name, &what, |object| {
        let degraded = condition(object, ConditionType::Degraded);
        let done = degraded["status"] == "True" && degraded["reason"] == reason;
        done.then(|| degraded["message"].as_str().unwrap_or_default().to_owned())
            .ok_or_else(|| object["status"].to_string())
    })
    .await
}

fn row(object: &Value) -> &Value {
    &object["status"]["instances"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_stop_would_delete_is_not_restarted_and_it_is_said_why() {
    let world = World::new().await;
    let web = world
        .patient("web")
        .host_config("AutoRemove", json!(true))
        .start()
        .await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&web.name, 1)).await;
    api.workload_ready(&web.name, 1).await;
    let started = web.started_at().await;

    // By an order of a person's on an incident, which is refused before anything is done.
    api.apply(&manifests::policy(&web.name, &Value::Null)).await;
    let order = json!({"override": {"action": "RESTART", "by": "somebody"}});
    api.apply(&manifests::incident("hang", &web.name, &order)).await;
    let error = api.failed("hang").await;
    assert!(
        error.contains("RESTART cannot be done") && error.contains("--rm"),
        "{error}"
    );

    // By hand, through the spec.
    let restart = ["restart", &format!("workload/{}", web.name)];
    let said = controller.ctl().run(&restart).await.all();
    let why = degraded(&api, &web.name, "AutoRemove").await;
    assert!(why.contains("run it again without --rm"), "{why} {said}");
    assert_eq!(web.started_at().await, started, "it was not touched");
    let stops = world.events().count(&web.id, "die").await;
    assert_eq!(stops, 0, "it was not stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_network_for_good_is_left_running_and_the_owner_is_named() {
    let world = World::new().await;
    let owner = world.patient("vpn").start().await;
    let web = world
        .patient("inside")
        .env("PORT", "8001")
        .host_config("NetworkMode", json!(format!("container:{}", owner.name)))
        .start_unasked()
        .await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let mut manifest = manifests::adopting(&web.name, 1);
    manifest["spec"]["health"]["http"]["port"] = json!(8001);
    manifest["spec"]["restart"] = json!({"unhealthyAfter": "500ms"});
    api.apply(&manifest).await;
    api.workload_ready(&web.name, 1).await;

    let name = owner.name.clone();
    owner.remove_by_force().await;
    world.patient("vpn").start().await;
    let why = degraded(&api, &web.name, "NetworkOwnerGone").await;
    assert!(why.contains(&name) && why.contains("recreate"), "{why}");
    let restart = ["restart", &format!("workload/{}", web.name)];
    controller.ctl().run(&restart).await;
    degraded(&api, &web.name, "NetworkOwnerGone").await;
    assert_eq!(
        world.events().count(&web.id, "die").await,
        0,
        "it was not stopped"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_on_the_hosts_network_is_probed_at_the_host() {
    let world = World::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let web = world
        .patient("hosted")
        .env("PORT", &port.to_string())
        .host_config("NetworkMode", json!("host"))
        .start_unasked()
        .await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let mut manifest = manifests::adopting(&web.name, 1);
    manifest["spec"]["health"]["http"]["port"] = json!(port);
    api.apply(&manifest).await;
    api.workload_ready(&web.name, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_inside_a_container_without_a_network_is_a_probe() {
    let world = World::new().await;
    let name = world.name("alone");
    let made = Command::new("docker")
        .args(["run", "--detach", "--name", &name, "--network", "none"])
        .args(["--label", &format!("{}={}", World::LABEL, world.id())])
        .arg("aegisops/nginx:dev")
        .output()
        .expect("docker runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let controller = world.controller().start().await;
    let api = controller.api();
    let with = |command: &[&str]| {
        json!({
            "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
            "spec": {"container": name, "restart": {"unhealthyAfter": "500ms"},
                "health": {"exec": {"command": command}, "interval": "500ms", "timeout": "5s", "startPeriod": "0s"}},
        })
    };
    api.apply(&with(&["nginx", "-t"])).await;
    api.workload_ready(&name, 1).await;

    // A program that the image does not have.
    api.apply(&with(&["no-such-program"])).await;
    let found = world.find(&name).await.expect("it is there");
    Command::new("docker")
        .args(["restart", "--time", "1", &name])
        .status()
        .expect("docker restarts it");
    let why = degraded(&api, &name, "RestartLimit").await;
    assert!(why.contains("no-such-program"), "{why}");
    let starts = world.events().count(&found.id, "start").await;
    assert_eq!(starts, 2, "only a person restarted it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_was_requested_during_a_pause_does_not_come_with_its_end() {
    let world = World::new().await;
    let web = world.patient("web").start().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&web.name, 1)).await;
    api.workload_ready(&web.name, 1).await;
    let docker = |action: &str| {
        let done = Command::new("docker").args([action, &web.name]).status();
        assert!(done.is_ok_and(|status| status.success()), "docker {action}");
    };
    docker("pause");
    eventually("the pause is seen", async || {
        let object = api.object("Workload", &web.name).await.unwrap_or_default();
        let paused = row(&object)["state"] == "paused";
        paused.then_some(()).ok_or_else(|| row(&object).to_string())
    })
    .await;
    let restart = ["restart", &format!("workload/{}", web.name)];
    controller.ctl().run(&restart).await;
    let why = degraded(&api, &web.name, "ContainerPaused").await;
    assert!(why.contains("docker unpause"), "{why}");
    docker("unpause");
    api.workload_ready(&web.name, 1).await;
    let starts = world.events().count(&web.id, "start").await;
    assert_eq!(starts, 1, "it goes on where it was");
}
