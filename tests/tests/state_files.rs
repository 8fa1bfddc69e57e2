//! Promise: the state directory is a person's to edit. What they write takes effect, what they break is reported by line
//! and field and harms nothing else, and one controller owns it.

use std::path::{Path, PathBuf};

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
async fn a_broken_file_is_shown_by_line_and_field_and_its_last_good_version_stays_in_force_over_a_restart() {
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
    is_reported(&controller, &patient.name).await;

    // Everything else goes on.
    save(&file(&controller, &other.name), &text(&other.name, "2"));
    api.workload_ready(&other.name, 2).await;
    in_force(&world, &controller, &patient.name).await;

    controller.kill9();
    controller.start_again(|launch| launch).await;
    is_reported(&controller, &patient.name).await;
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

/// Ids of the containers of these workloads, sorted.
async fn ids(world: &World, workloads: &[String]) -> Vec<String> {
    let containers = world.containers().await;
    let of = |name: &str| {
        workloads
            .iter()
            .any(|workload| name.starts_with(workload.as_str()))
    };
    let theirs = containers.iter().filter(|container| of(&container.name));
    let mut ids: Vec<String> = theirs.map(|container| container.short_id().to_owned()).collect();
    ids.sort();
    ids
}

/// Policies whose files go so that a test knows when what went before has been decided about. There are many: a few of
/// them are no mass.
struct Canaries(Vec<PathBuf>);

impl Canaries {
    async fn of(controller: &Controller) -> Self {
        let names: Vec<String> = (0..16).map(|number| format!("canary-{number}")).collect();
        for name in &names {
            controller
                .api()
                .apply(&manifests::policy(name, &Value::Null))
                .await;
        }
        let folder = controller.state_dir().join("remediationpolicies");
        Self(
            names
                .iter()
                .map(|name| folder.join(format!("{name}.yaml")))
                .collect(),
        )
    }

    /// Every file that was gone before this is deleted by now, or will not be.
    async fn decided(&mut self, controller: &Controller) {
        let path = self.0.pop().expect("a canary is left");
        std::fs::remove_file(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        controller.api().gone("RemediationPolicy", &name).await;
    }
}

/// `aegisctl doctor` says this.
async fn doctor_reports(controller: &Controller, words: &str) {
    eventually(&format!("the doctor says: {words}"), async || {
        let said = controller.ctl().run(&["doctor"]).await.all();
        if said.contains(words) { Ok(()) } else { Err(said) }
    })
    .await;
}

/// What becomes of a file that had an object in it, and what the doctor says of it; nothing where it is as good as before.
type Loss = (&'static str, fn(&Path), &'static str);

const LOSSES: [Loss; 7] = [
    (
        "linked",
        |path| {
            let target = path.parent().unwrap().parent().unwrap().join("../mine.yaml");
            std::fs::rename(path, &target).unwrap();
            std::os::unix::fs::symlink(&target, path).unwrap();
        },
        "",
    ),
    (
        "dangling",
        |path| {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("nowhere", path).unwrap();
        },
        "it is a symbolic link to nowhere, which does not exist",
    ),
    (
        "directory",
        |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        },
        "it is a directory",
    ),
    ("emptied", |path| std::fs::write(path, "").unwrap(), "emptied-"),
    (
        "garbage",
        |path| std::fs::write(path, b"\0\xff\xfe\x7fELF\x80".repeat(500)).unwrap(),
        "garbage-",
    ),
    (
        "backup",
        |path| std::fs::rename(path, path.with_extension("yaml.bak")).unwrap(),
        "deletions of 1 workloads are held: backup-",
    ),
    (
        "locked",
        |path| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap(),
        "",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn template_containers_stay_whatever_becomes_of_their_file_and_go_when_it_is_deleted() {
    let world = World::new().await;
    let mut controller = world.controller().start().await;
    let workloads: Vec<String> = LOSSES.iter().map(|(way, ..)| world.name(way)).collect();
    for name in &workloads {
        let workload = manifests::templated(name, world.network(), 1, &Value::Null);
        controller.api().apply(&workload).await;
    }
    let mut canaries = Canaries::of(&controller).await;
    for name in &workloads {
        controller.api().workload_ready(name, 1).await;
    }
    let before = ids(&world, &workloads).await;
    assert_eq!(before.len(), LOSSES.len());

    for (name, (_, happens, _)) in workloads.iter().zip(LOSSES) {
        happens(&file(&controller, name));
    }
    for (_, _, words) in LOSSES {
        doctor_reports(&controller, words).await;
    }
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before);
    // None of the others was taken for a deletion.
    doctor_reports(&controller, "deletions of 1 workloads are held: backup-").await;

    controller.kill9();
    controller.start_again(|launch| launch).await;
    for name in &workloads {
        controller.api().workload_ready(name, 1).await;
    }
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before, "nor by a new start");

    std::fs::remove_file(file(&controller, &workloads[0])).unwrap();
    controller.api().gone("Workload", &workloads[0]).await;
    assert!(
        ids(&world, &workloads[..1]).await.is_empty(),
        "a file that is deleted"
    );
    assert_eq!(ids(&world, &workloads).await.len(), LOSSES.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn template_containers_stay_whatever_becomes_of_the_folder_of_their_files() {
    let world = World::new().await;
    let mut controller = world.controller().start().await;
    let workloads = [world.name("web")];
    let web = &workloads[0];
    let workload = manifests::templated(web, world.network(), 2, &Value::Null);
    controller.api().apply(&workload).await;
    let mut canaries = Canaries::of(&controller).await;
    controller.api().workload_ready(web, 2).await;
    let before = ids(&world, &workloads).await;
    assert_eq!(before.len(), 2);

    let folder = controller.state_dir().join("workloads");
    let (away, empty) = (world.folder().join("away"), world.folder().join("empty"));
    std::fs::create_dir(&empty).unwrap();

    let locked = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    let usual = std::fs::metadata(&folder).unwrap().permissions();
    std::fs::set_permissions(&folder, locked).unwrap();
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before, "the folder locked");
    std::fs::set_permissions(&folder, usual).unwrap();

    std::fs::rename(&folder, &away).unwrap();
    doctor_reports(&controller, "workloads: the folder is not there").await;
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before, "the folder moved");
    assert!(!folder.exists(), "it is not recreated");

    // What an unmounted disk leaves is an empty folder, too.
    std::fs::create_dir(&folder).unwrap();
    doctor_reports(&controller, "deletions of 1 workloads are held").await;
    canaries.decided(&controller).await;
    assert_eq!(
        ids(&world, &workloads).await,
        before,
        "an empty folder in its place"
    );

    std::fs::remove_dir(&folder).unwrap();
    std::os::unix::fs::symlink(&empty, &folder).unwrap();
    doctor_reports(&controller, "workloads: another folder is in its place").await;
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before, "a link to an empty folder");

    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    controller.kill9();
    controller.start_again(|launch| launch).await;
    controller.api().workload_ready(web, 2).await;
    canaries.decided(&controller).await;
    assert_eq!(ids(&world, &workloads).await, before, "all is back");
}

/// An Event and `aegisctl get` name the file, the line and the field, and what is allowed.
async fn is_reported(controller: &Controller, workload: &str) {
    let file = format!("{workload}.yaml");
    let complete =
        |text: &str| text.contains(&file) && text.contains("line 8") && text.contains("spec.replicas");
    eventually("an Event reports what is broken", async || {
        let events = controller.api().events("Workload", workload).await;
        let reported = events
            .iter()
            .any(|event| event["type"] == "Warning" && event["message"].as_str().is_some_and(complete));
        if reported {
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
async fn a_text_that_is_not_yaml_is_reported_by_line_and_stops_nothing() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    save(
        &file(&controller, "bad"),
        "apiVersion: aegisops.io/v1alpha1\nkind: [Workload\nspec: {}\n",
    );

    eventually("an Event reports it", async || {
        let events = api.events("Workload", "bad").await;
        let reports = |event: &Value| {
            event["message"]
                .as_str()
                .is_some_and(|text| text.contains("bad.yaml") && text.contains("line"))
        };
        if events.iter().any(reports) {
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
    // Even a lock that was never released hinders no other controller.
    first.kill9();
    drop(world.controller().start().await);
}
