//! Promise: what a person stops stays stopped until they hand it back, and nothing else that ends does: a lone SIGKILL, a
//! stop of the engine, an end that the controller did not hear of. A `docker restart` is not raced.

use std::process::Command;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, OwnEngine, World, eventually, manifests};
use serde_json::Value;

const INSIDE: &str = "inside_an_engine_of_its_own";

fn docker(args: &[&str]) {
    let status = Command::new("docker")
        .args(args)
        .output()
        .expect("docker is there");
    assert!(status.status.success(), "docker {args:?}: {status:?}");
}

fn running(inspected: &Value) -> bool {
    inspected["State"]["Running"] == true
}

async fn is_left_stopped(api: &Api, name: &str) -> Value {
    api.until("Workload", name, "it is reported as stopped by hand", |object| {
        let stopped = condition(object, ConditionType::StoppedByHand);
        let done = stopped["status"] == "True";
        done.then(|| object.clone())
            .ok_or_else(|| object["status"].to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_a_person_stops_stays_stopped_until_they_hand_it_back() {
    let world = World::new().await;
    let web = world
        .patient("web")
        .host_config("RestartPolicy", serde_json::json!({"Name": "unless-stopped"}))
        .start()
        .await;
    let mut controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&web.name, 1)).await;
    api.workload_ready(&web.name, 1).await;

    // A lone SIGKILL is a crash.
    docker(&["kill", &web.name]);
    api.workload_ready(&web.name, 1).await;
    let ours = async || {
        let events = api.events("Workload", &web.name).await;
        let restarts = events.into_iter().filter(|event| event["reason"] == "Restarted");
        restarts.map(|event| event["count"].clone()).collect::<Vec<_>>()
    };
    eventually(
        "it was started again after the SIGKILL, and that was reported",
        async || {
            let (starts, reported) = (world.events().count(&web.id, "start").await, ours().await);
            if starts >= 2 && !reported.is_empty() {
                Ok(())
            } else {
                Err(format!("{starts} starts, reported {reported:?}"))
            }
        },
    )
    .await;

    // A restart by a person is theirs from end to end.
    let (starts, before) = (world.events().count(&web.id, "start").await, ours().await);
    docker(&["restart", &web.name]);
    api.workload_ready(&web.name, 1).await;
    assert_eq!(
        world.events().count(&web.id, "start").await,
        starts + 1,
        "started once"
    );
    assert_eq!(ours().await, before, "and not by the controller");

    // A stop is left, whatever alert comes of it, however soon.
    api.apply(&manifests::policy(&web.name, &Value::Null)).await;
    docker(&["stop", &web.name]);
    let starts = world.events().count(&web.id, "start").await;
    api.apply(&manifests::incident("gone", &web.name, &Value::Null))
        .await;
    api.until("Incident", "gone", "approval is required", |incident| {
        let (phase, why) = (
            &incident["status"]["phase"],
            condition(incident, ConditionType::PolicyAllows),
        );
        let asked = phase == "AWAITING_APPROVAL" && why["reason"] == "StoppedByHand";
        asked.then_some(()).ok_or_else(|| incident["status"].to_string())
    })
    .await;
    is_left_stopped(&api, &web.name).await;
    assert_eq!(
        world.events().count(&web.id, "start").await,
        starts,
        "it was not started"
    );
    assert!(!running(&web.inspect().await), "it was not started");
    let why = controller.ctl().ok(&["why", &web.name]).await;
    assert!(
        why.contains("StoppedByHand") && why.contains("docker start"),
        "{why}"
    );

    // Also by the next controller, that has heard nothing.
    controller.kill9();
    controller.start_again(|launch| launch).await;
    let api = controller.api();
    api.until("Workload", &web.name, "the new controller has looked", |object| {
        let looked = condition(object, ConditionType::StoppedByHand)["status"] == "True";
        looked.then_some(()).ok_or_else(|| object["status"].to_string())
    })
    .await;
    assert!(!running(&web.inspect().await), "it was not started");

    docker(&["start", &web.name]);
    api.workload_ready(&web.name, 1).await;
    eventually("that it was handed back is reported", async || {
        let events = api.events("Workload", &web.name).await;
        let reported = events.iter().any(|event| event["reason"] == "HandedBack");
        reported.then_some(()).ok_or_else(|| format!("{events:?}"))
    })
    .await;

    // A restart by spec hands it back, too.
    docker(&["stop", &web.name]);
    is_left_stopped(&api, &web.name).await;
    controller
        .ctl()
        .ok(&["restart", &format!("workload/{}", web.name)])
        .await;
    api.workload_ready(&web.name, 1).await;
}

/// A project of one service, as people write it.
struct Project {
    folder: std::path::PathBuf,
    name: String,
}

impl Project {
    fn of(world: &World, container: &str) -> Self {
        let (network, label) = (world.network(), World::LABEL);
        let text = format!(
            "version: \"2.4\"\nservices:\n  web:\n    image: aegisops/buggy-app:dev\n    container_name: {container}\n    stop_grace_period: 5s\n    \
             environment: {{CONTAINER_NAME: {container}, AEGIS_WEBHOOK_URL: \"http://127.0.0.1:9/webhook\"}}\n    networks: [lan]\n    \
             labels: {{{label}: \"{}\"}}\nnetworks:\n  lan: {{external: {{name: {network}}}}}\n",
            world.id()
        );
        let file = world.file("project/docker-compose.yml", &text);
        let folder = file.parent().expect("a folder").to_owned();
        let name = container.to_owned();
        Self { folder, name }
    }

    /// By the plugin where there is one, else by the program of before.
    fn compose(&self, args: &[&str]) {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let mut command = match plugin.is_ok_and(|answer| answer.status.success()) {
            true => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
            false => Command::new("docker-compose"),
        };
        command
            .current_dir(&self.folder)
            .args(["--project-name", &self.name])
            .args(args);
        let ended = command.output().expect("Compose is there");
        assert!(ended.status.success(), "compose {args:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_what_compose_stops_stays_stopped_and_what_it_takes_down_is_not_raced() {
    let world = World::new().await;
    let name = world.name("web");
    let project = Project::of(&world, &name);
    project.compose(&["up", "-d"]);
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&name, 3)).await;
    api.workload_ready(&name, 3).await;

    project.compose(&["stop"]);
    is_left_stopped(&api, &name).await;
    let web = world.find(&name).await.expect("it is there, stopped");
    let starts = world.events().count(&web.id, "start").await;
    project.compose(&["start"]);
    api.workload_ready(&name, 3).await;
    assert_eq!(
        world.events().count(&web.id, "start").await,
        starts + 1,
        "by Compose, and by nothing else"
    );

    // Stopped and removed, the network is not its own to remove.
    project.compose(&["down"]);
    let said = api
        .until("Workload", &name, "it is said to be missing", |object| {
            let degraded = condition(object, ConditionType::Degraded);
            match degraded["reason"] == "ContainerMissing" {
                true => Ok(degraded["message"].to_string()),
                false => Err(object["status"].to_string()),
            }
        })
        .await;
    assert!(
        said.contains("2 clones of it go on serving and stay on its networks until the Workload is deleted"),
        "{said}"
    );
    assert_eq!(
        world.events().count(&web.id, "start").await,
        starts + 1,
        "never started between its stop and its removal"
    );

    // Another one of that name is adopted.
    project.compose(&["up", "-d"]);
    api.workload_ready(&name, 3).await;
    project.compose(&["up", "-d", "--force-recreate"]);
    eventually("the one that was made in its place is adopted", async || {
        let now = world.find(&name).await.ok_or("gone")?;
        let workload = api.object("workloads", &name).await.unwrap_or_default();
        let listed = workload["status"]["instances"].to_string();
        match listed.contains(&now.id) {
            true => Ok(()),
            false => Err(listed),
        }
    })
    .await;
    api.workload_ready(&name, 3).await;

    controller.ctl().ok(&["delete", "workload", &name]).await;
    eventually("its clones are gone, and the adopted one is left", async || {
        let names = world.container_names().await;
        let left: Vec<&String> = names.iter().filter(|one| one.starts_with(&name)).collect();
        match left.as_slice() {
            [one] if **one == name => Ok(()),
            _ => Err(format!("{names:?}")),
        }
    })
    .await;
    project.compose(&["down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_was_not_observed_is_restarted() {
    let world = World::new().await;
    let mut engine = world.engine_proxy();
    engine.mend();
    let web = world.patient("web").start().await;
    let launch = world.controller().flag("--docker-host", &engine.host());
    let mut controller = launch.start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&web.name, 1)).await;
    api.workload_ready(&web.name, 1).await;

    engine.cut().await;
    controller.is_unready().await;
    docker(&["stop", &web.name]);
    engine.mend();
    controller.is_ready().await;
    // The status may still be of before the engine went away.
    eventually("it runs again", async || {
        let container = web.inspect().await;
        running(&container)
            .then_some(())
            .ok_or_else(|| container.to_string())
    })
    .await;
    api.workload_ready(&web.name, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_stops_with_itself_is_restarted() {
    OwnEngine::runs(INSIDE, &["aegisops/buggy-app:dev"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it, inside an engine of its own"]
async fn inside_an_engine_of_its_own() {
    let engine = OwnEngine::started();
    let world = World::new().await;
    // Without a restart policy of Docker's: only the controller can bring it back.
    let web = world.patient("web").start().await;
    let mut controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&web.name, 1)).await;
    api.workload_ready(&web.name, 1).await;

    engine.stop();
    controller.is_unready().await;
    engine.start();
    controller.is_ready().await;
    // The status may still be of before the engine went away.
    eventually("it runs again", async || {
        let container = web.inspect().await;
        running(&container)
            .then_some(())
            .ok_or_else(|| container.to_string())
    })
    .await;
    api.workload_ready(&web.name, 1).await;
}
