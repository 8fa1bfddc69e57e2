//! Promise: the state directory is a person's to edit. What they write takes effect, what they break is told by line and
//! field and harms nothing else, and one controller owns it.

use std::path::PathBuf;

use aegis_tests::{Controller, World, eventually, manifests};
use serde_json::Value;

/// The spec file of a workload.
fn file(controller: &Controller, workload: &str) -> PathBuf {
    controller
        .state_dir()
        .join("workloads")
        .join(format!("{workload}.yaml"))
}

/// A file as a person would write it.
fn text(container: &str, replicas: &str) -> String {
    format!(
        "# Written by hand; this line must survive.\n\
         apiVersion: aegisops.io/v1alpha1\n\
         kind: Workload\n\
         metadata:\n  name: {container}\n\
         spec:\n  container: {container}\n  replicas: {replicas}\n\
         \x20 health:\n    http: {{path: /health, port: 8000}}\n    interval: 500ms\n"
    )
}

/// As editors save: another file, renamed over the old one.
fn save(path: &PathBuf, text: &str) {
    let draft = path.with_extension("yaml~");
    std::fs::write(&draft, text).unwrap_or_else(|error| panic!("{}: {error}", draft.display()));
    std::fs::rename(&draft, path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_made_edited_and_deleted_by_hand_takes_effect_and_keeps_its_comments() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let path = file(&controller, &patient.name);

    save(&path, &text(&patient.name, "1"));
    api.until("Workload", &patient.name, "it is there", |_| Ok(()))
        .await;
    api.workload_ready(&patient.name, 1).await;

    let edited = text(&patient.name, "2");
    save(&path, &edited);
    api.workload_ready(&patient.name, 2).await;
    assert_eq!(world.replica_names(&patient.name).await.len(), 1);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        edited,
        "a person's file is never rewritten"
    );

    // An editor that writes in place.
    std::fs::write(&path, text(&patient.name, "1")).unwrap();
    api.workload_ready(&patient.name, 1).await;

    std::fs::remove_file(&path).unwrap();
    api.gone("Workload", &patient.name).await;
    assert_eq!(
        world.events().count(&patient.name, "die").await,
        0,
        "the adopted container goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_told_by_line_and_field_and_its_last_good_version_stays_in_force_over_a_restart() {
    let world = World::new().await;
    let (patient, other) = (
        world.patient("buggy").start().await,
        world.patient("other").start().await,
    );
    let mut controller = world.controller().start().await;
    let api = controller.api();
    let path = file(&controller, &patient.name);
    save(&path, &text(&patient.name, "2"));
    api.workload_ready(&patient.name, 2).await;

    save(&path, &text(&patient.name, "many"));
    is_told(&controller, &patient.name).await;

    // Everything else goes on.
    save(&file(&controller, &other.name), &text(&other.name, "2"));
    api.workload_ready(&other.name, 2).await;
    in_force(&world, &controller, &patient.name).await;

    controller.kill9();
    controller.start_again(|launch| launch).await;
    is_told(&controller, &patient.name).await;
    in_force(&world, &controller, &patient.name).await;
    // In force means: the controller still acts for it.
    world
        .find(&format!("{}-replica-1", patient.name))
        .await
        .unwrap()
        .remove_by_force()
        .await;
    controller.api().workload_ready(&patient.name, 2).await;

    save(&path, &text(&patient.name, "1"));
    controller.api().workload_ready(&patient.name, 1).await;
    eventually("the warning is gone", async || {
        let shown = controller.ctl().run(&["get", "workloads"]).await.all();
        if shown.contains("line 8") {
            Err(shown)
        } else {
            Ok(())
        }
    })
    .await;
}

/// An Event and `aegisctl get` name the file, the line and the field, and what is allowed.
async fn is_told(controller: &Controller, workload: &str) {
    let file = format!("{workload}.yaml");
    let complete =
        |text: &str| text.contains(&file) && text.contains("line 8") && text.contains("spec.replicas");
    eventually("an Event tells what is broken", async || {
        let events = controller.api().events("Workload", workload).await;
        let told = events
            .iter()
            .any(|event| event["type"] == "Warning" && event["message"].as_str().is_some_and(complete));
        if told {
            Ok(())
        } else {
            Err(Value::from(events).to_string())
        }
    })
    .await;
    let shown = controller.ctl().run(&["get", "workloads"]).await;
    assert_eq!(shown.code, 0);
    assert!(complete(&shown.all()), "aegisctl get says:\n{}", shown.all());
}

async fn in_force(world: &World, controller: &Controller, workload: &str) {
    let object = controller
        .api()
        .object("Workload", workload)
        .await
        .unwrap_or_default();
    assert_eq!(object["spec"]["replicas"], 2);
    assert_eq!(world.replica_names(workload).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_not_yaml_is_told_by_line_and_stops_nothing() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    save(
        &file(&controller, "bad"),
        "apiVersion: aegisops.io/v1alpha1\nkind: [Workload\nspec: {}\n",
    );

    eventually("an Event tells it", async || {
        let events = api.events("Workload", "bad").await;
        let told = |event: &Value| {
            event["message"]
                .as_str()
                .is_some_and(|text| text.contains("bad.yaml") && text.contains("line"))
        };
        if events.iter().any(told) {
            Ok(())
        } else {
            Err(Value::from(events).to_string())
        }
    })
    .await;
    api.apply(&manifests::policy("anything", &Value::Null)).await;
    let status = api.get("/readyz").await;
    assert_eq!(status.0, 200, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_the_controller_is_down_is_in_force_after_its_start() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let mut controller = world.controller().start().await;
    let path = file(&controller, &patient.name);
    save(&path, &text(&patient.name, "1"));
    controller.api().workload_ready(&patient.name, 1).await;
    let status = controller.terminate().await;
    assert!(status.success(), "SIGTERM ends it well: {status}");

    save(&path, &text(&patient.name, "2"));
    controller.start_again(|launch| launch).await;
    controller.api().workload_ready(&patient.name, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_controller_on_the_same_directory_refuses_and_says_why() {
    let world = World::new().await;
    let mut first = world.controller().start().await;
    let (status, said) = world.controller().refusal().await;
    assert!(!status.success());
    let folder = first.state_dir().display().to_string();
    assert!(said.contains(&folder), "it names the directory: {said}");
    let holder = format!("in use by process {}", first.process_id());
    assert!(said.contains(&holder), "it says why: {said}");
    assert!(!said.contains("panicked"), "{said}");

    let answer = first.api().get("/readyz").await;
    assert_eq!(answer.0, 200, "the first one is unharmed: {answer:?}");
    // Even a lock that was never given back hinders nobody.
    first.kill9();
    drop(world.controller().start().await);
}
