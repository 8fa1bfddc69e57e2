//! Promise: every manifest under `examples/` can be applied as it is; the quickstart makes the stack ready. `monitoring/` holds
//! files for Prometheus and Grafana, which `docker_alertmanager` loads.

use std::path::{Path, PathBuf};

use aegis_tests::binaries::repository;
use aegis_tests::{Controller, World, eventually};

/// Every manifest, sorted.
fn examples() -> Vec<PathBuf> {
    let mut folders = vec![repository().join("examples")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A copy in which the stack's names are this world's, so that a stack that runs on this machine is not met.
fn in_this_world(world: &World, example: &Path) -> PathBuf {
    let text =
        std::fs::read_to_string(example).unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let text = text
        .replace("aegis-network", world.network())
        .replace("buggy-app-v2", &world.name("buggy-app-v2"))
        .replace("aegis-lb", &world.name("aegis-lb"))
        .replace("name: web\n", &format!("name: {}\n", world.name("web")))
        .replace("name: worker\n", &format!("name: {}\n", world.name("worker")));
    let relative = example.strip_prefix(repository()).unwrap_or(example);
    let copy = world.folder().join(relative);
    let made = copy.parent().map(std::fs::create_dir_all);
    assert!(matches!(made, Some(Ok(()))), "{}: {made:?}", copy.display());
    std::fs::write(&copy, text).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
    copy
}

async fn controller(world: &World) -> Controller {
    world.controller().start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_accepted_word_for_word() {
    let world = World::new().await;
    let controller = controller(&world).await;
    let files = examples();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        // Checked by the server, without effect: the names may be those of a stack that runs here.
        controller
            .ctl()
            .ok(&["apply", "--dry-run=server", "-f", &file.display().to_string()])
            .await;
    }
    assert_eq!(controller.api().list("Workload").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_folder_makes_the_stack_ready() {
    let world = World::new().await;
    let patient = world.patient("buggy-app-v2").start().await;
    let front = world.nginx("aegis-lb").await;
    let controller = controller(&world).await;
    for example in examples() {
        in_this_world(&world, &example);
    }
    let folder = world.folder().join("examples/quickstart").display().to_string();
    let said = controller.ctl().ok(&["apply", "-f", &folder]).await;
    for kind in ["workload", "loadbalancer", "remediationpolicy"] {
        assert!(said.contains(kind), "{said}");
    }
    controller.api().workload_ready(&patient.name, 1).await;
    controller.api().balancer_serves(&front.name, 1).await;
    // A server that joins is proved by the first new worker's answer; an old one may take a request a moment longer.
    eventually("the patient answers through nginx", async || {
        match front.who_answers().await? {
            host if host == patient.short_id() => Ok(()),
            host => Err(format!("{host} answers")),
        }
    })
    .await;
    let again = controller.ctl().ok(&["apply", "-f", &folder]).await;
    assert!(
        !again.contains("created") && !again.contains("configured"),
        "applying it twice changes nothing: {again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_examples_run_their_replicas_and_the_incident_example_ends() {
    let world = World::new().await;
    let patient = world.patient("buggy-app-v2").start().await;
    let controller = controller(&world).await;
    let ctl = controller.ctl();
    for example in examples() {
        let copy = in_this_world(&world, &example);
        if !copy.to_string_lossy().contains("loadbalancer") {
            ctl.ok(&["apply", "-f", &copy.display().to_string()]).await;
        }
    }
    controller.api().workload_ready(&world.name("web"), 3).await;
    assert_eq!(world.replica_names(&world.name("web")).await.len(), 3);
    controller.api().workload_ready(&world.name("worker"), 2).await;
    // The dry-run policy governs the patient by name: whatever is proposed, nothing is done.
    controller.api().ended("manual-1").await;
    assert_eq!(world.events().count(&patient.name, "start").await, 1);
}
