//! Promise: `aegisctl scale` makes faithful replicas that serve, replaces one that dies, and takes each out of the load
//! balancer before it goes.

use std::collections::BTreeSet;

use aegis_tests::watch::Watch;
use aegis_tests::{Container, Controller, Nginx, World, eventually, manifests};
use serde_json::Value;

/// A patient behind an nginx, under a controller.
struct Stage {
    controller: Controller,
    patient: Container,
    front: Nginx,
}

async fn stage(world: &World) -> Stage {
    let patient = world
        .patient("buggy")
        .memory_mb(64)
        .env("FLAVOUR", "vanilla")
        .label("com.example.team", "shop")
        .host_config("NanoCpus", 500_000_000_u64.into())
        .start()
        .await;
    let front = world.nginx("lb").await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::balancing(&front.name, &patient.name)).await;
    api.balancer_serves(&front.name, 1).await;
    Stage {
        controller,
        patient,
        front,
    }
}

impl Stage {
    async fn scale(&self, replicas: u64) {
        let replicas = format!("--replicas={replicas}");
        self.controller
            .ctl()
            .ok(&["scale", &format!("workload/{}", self.patient.name), &replicas])
            .await;
    }

    async fn settles_at(&self, replicas: u64) {
        let api = self.controller.api();
        api.workload_ready(&self.patient.name, replicas).await;
        api.balancer_serves(&self.front.name, replicas).await;
    }

    /// Waits until exactly these answer through nginx, and nginx's file names exactly these.
    async fn serve(&self, containers: &[Container]) {
        let hosts: BTreeSet<String> = containers
            .iter()
            .map(|container| container.short_id().to_owned())
            .collect();
        let mut addresses = BTreeSet::new();
        for container in containers {
            let ip = container
                .ip()
                .await
                .unwrap_or_else(|| panic!("{} has no address", container.name));
            addresses.insert(format!("{ip}:8000"));
        }
        assert_eq!(self.front.servers().await, addresses);
        // Each worker of nginx takes its turns by itself.
        eventually("everybody answers through nginx", async || {
            let answerers = self.front.answerers(containers.len() * 4).await?;
            if answerers == hosts {
                Ok(())
            } else {
                Err(format!("{answerers:?} instead of {hosts:?}"))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_out_makes_named_faithful_replicas_that_nginx_sends_requests_to() {
    let world = World::new().await;
    let stage = stage(&world).await;
    let before = stage.patient.inspect().await;

    stage.scale(4).await;
    stage.settles_at(4).await;

    let name = &stage.patient.name;
    let expected: Vec<String> = (1..=3).map(|number| format!("{name}-replica-{number}")).collect();
    assert_eq!(world.replica_names(name).await, expected);
    for replica in &expected {
        is_faithful(&world.find(replica).await.unwrap().inspect().await, &before);
    }
    let all: Vec<Container> = world
        .containers()
        .await
        .into_iter()
        .filter(|one| one.name.starts_with(name))
        .collect();
    stage.serve(&all).await;
    assert_eq!(
        stage.patient.inspect().await["State"]["StartedAt"],
        before["State"]["StartedAt"],
        "the first one is as it was"
    );
}

fn is_faithful(replica: &Value, base: &Value) {
    let name = &replica["Name"];
    for field in [
        "Memory",
        "MemorySwap",
        "NanoCpus",
        "ReadonlyRootfs",
        "CapDrop",
        "SecurityOpt",
        "NetworkMode",
    ] {
        assert_eq!(
            replica["HostConfig"][field], base["HostConfig"][field],
            "{field} of {name}"
        );
    }
    for field in ["Env", "Cmd", "Entrypoint", "User", "Image", "Healthcheck"] {
        assert_eq!(
            replica["Config"][field], base["Config"][field],
            "{field} of {name}"
        );
    }
    let labels = base["Config"]["Labels"].as_object().into_iter().flatten();
    for (label, value) in labels {
        assert_eq!(
            &replica["Config"]["Labels"][label], value,
            "label {label} of {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_removed_by_force_is_replaced_and_back_in_rotation() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.scale(3).await;
    stage.settles_at(3).await;
    let live = stage.controller.live("").await;
    let name = format!("{}-replica-1", stage.patient.name);
    let victim = world.find(&name).await.unwrap();

    victim.remove_by_force().await;

    let replacement = eventually("there is another one", async || match world.find(&name).await {
        Some(other) if other.id != victim.id => Ok(other),
        other => Err(format!("{other:?}")),
    })
    .await;
    let api = stage.controller.api();
    let front = &stage.front.name;
    api.until(
        "LoadBalancer",
        front,
        "the replacement is in rotation",
        |object| {
            let servers = object["status"]["servers"].as_array().into_iter().flatten();
            let ids: BTreeSet<&str> = servers.filter_map(|server| server["id"].as_str()).collect();
            let fine = ids.len() == 3 && ids.contains(replacement.id.as_str());
            if fine {
                Ok(())
            } else {
                Err(object["status"].to_string())
            }
        },
    )
    .await;
    stage.settles_at(3).await;
    let present: Vec<Container> = world
        .containers()
        .await
        .into_iter()
        .filter(|one| one.name.starts_with(&stage.patient.name))
        .collect();
    stage.serve(&present).await;
    live.until("the engine's event caused it", |frame| {
        frame["type"] == "reconcile"
            && frame["data"]["kind"] == "Workload"
            && frame["data"]["trigger"] == "docker"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_in_takes_each_replica_out_of_nginx_before_it_ends() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.scale(4).await;
    stage.settles_at(4).await;
    let api = stage.controller.api();
    let front = &stage.front.name;
    let versions = Watch::start(&api, "loadbalancers", front).await;

    stage.scale(1).await;
    stage.settles_at(1).await;

    let name = &stage.patient.name;
    assert_eq!(world.replica_names(name).await, Vec::<String>::new());
    stage.serve(std::slice::from_ref(&stage.patient)).await;
    let happened = world.events().so_far().await;
    let versions = versions.versions();
    for number in 1..=3 {
        let replica = format!("{name}-replica-{number}");
        let end = happened
            .iter()
            .find(|event| event.name == replica && event.action == "kill");
        let ended = end
            .unwrap_or_else(|| panic!("{replica} was not asked to end: {happened:?}"))
            .at;
        let out = left_rotation_at(&versions, &replica);
        assert!(
            out < ended,
            "{replica} left nginx at {out} and was asked to end at {ended}"
        );
    }
    let receipts = versions.last().unwrap()["status"]["receipts"]
        .as_array()
        .unwrap()
        .clone();
    let receipt = receipts.last().unwrap();
    assert_eq!(receipt["drained"], true, "{receipt}");
    assert_eq!(
        world.events().count(name, "die").await,
        0,
        "the adopted container is untouched"
    );
}

/// When nginx was proved to serve the first configuration without this container, in nanoseconds since the epoch.
fn left_rotation_at(versions: &[Value], container: &str) -> i64 {
    let serves = |version: &&Value| {
        let servers = version["status"]["servers"].as_array();
        servers.is_some_and(|servers| servers.iter().any(|server| server["container"] == container))
    };
    let without = versions
        .iter()
        .skip_while(|version| !serves(version))
        .find(|version| !serves(version));
    let proved = without.and_then(|version| version["status"]["lastReload"]["provedAt"].as_str());
    let proved = proved.unwrap_or_else(|| panic!("{container} never left rotation: {versions:?}"));
    let instant: aegis_api::Time = proved.parse().unwrap_or_else(|error| panic!("{proved}: {error}"));
    i64::try_from(instant.0.as_nanosecond()).unwrap_or(i64::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_workload_removes_its_replicas_and_leaves_the_adopted_container() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.scale(3).await;
    stage.settles_at(3).await;
    let name = &stage.patient.name;
    let before = stage.patient.inspect().await;

    stage.controller.ctl().ok(&["delete", "workload", name]).await;
    stage.controller.api().gone("Workload", name).await;

    assert_eq!(world.replica_names(name).await, Vec::<String>::new());
    let after = stage.patient.inspect().await;
    assert_eq!(after["State"], before["State"]);
    assert_eq!(world.events().count(name, "die").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_answering_leaves_rotation_while_others_serve_i8() {
    let world = World::new().await;
    let stage = stage(&world).await;
    stage.scale(2).await;
    stage.settles_at(2).await;
    let replica = world
        .find(&format!("{}-replica-1", stage.patient.name))
        .await
        .unwrap();

    replica.trigger("hang").await;

    let api = stage.controller.api();
    api.balancer_serves(&stage.front.name, 1).await;
    stage.serve(std::slice::from_ref(&stage.patient)).await;
}
