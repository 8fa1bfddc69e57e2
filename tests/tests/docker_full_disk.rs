//! Promise: a state directory on a full disk takes no change and says so, loses nothing that was acknowledged, not even
//! if the controller dies then, and goes on by itself when there is space again (I1).

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use aegis_tests::binaries::repository;
use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::{Controller, World, eventually, manifests};
use serde_json::{Value, json};

const INSIDE: &str = "inside_a_small_state_directory";
const FULL: &str = "No space left on device";

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_no_change_and_loses_none_i1() {
    let this = std::env::current_exe().expect("this program has a path");
    let status = Command::new(repository().join("tests/own-mounts.sh"))
        .arg(this)
        .args(["--ignored", "--exact", INSIDE, "--nocapture"])
        .status()
        .expect("the script runs");
    assert!(status.success(), "what happened inside is logged above");
}

/// What takes all the space that is left.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let mut file = File::create(&path).expect("a file");
        for block in [4096, 1] {
            let error = loop {
                if let Err(error) = file.write_all(&vec![0; block]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
        Self(path)
    }

    fn remove(self) {
        std::fs::remove_file(&self.0).expect("the ballast goes");
    }
}

/// Everything that a client requested and that was acknowledged as stored.
async fn acknowledged(controller: &Controller) -> Value {
    let api = controller.api();
    let mut all = serde_json::Map::new();
    for plural in ["workloads", "remediationpolicies", "incidents"] {
        for object in api.list(plural).await {
            let key = format!("{plural}/{}", object["metadata"]["name"]);
            let kept = json!({"uid": object["metadata"]["uid"], "spec": object["spec"]});
            all.insert(key, kept);
        }
    }
    Value::Object(all)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it, where it may mount"]
async fn inside_a_small_state_directory() {
    let world = World::new().await;
    let state = world.state();
    std::fs::create_dir_all(&state).expect("a folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"])
        .arg(&state)
        .status();
    assert!(mounted.is_ok_and(|status| status.success()), "it may mount");
    let mut controller = world.controller().start().await;
    let api = controller.api();
    let name = world.name("web");
    let plain = json!({"env": {"FLAVOUR": "plain"}});
    api.apply(&manifests::templated(&name, world.network(), 2, &plain))
        .await;
    api.apply(&manifests::policy(&name, &Value::Null)).await;
    api.workload_ready(&name, 2).await;

    let ballast = Ballast::fill(&state);
    let before = acknowledged(&controller).await;

    // A client that wants to change something gets an error that says what to do about it.
    let scaled = controller
        .ctl()
        .run(&["scale", &format!("workload/{name}"), "--replicas=3"])
        .await;
    assert_eq!(scaled.code, 1, "{scaled:?}");
    let expected = [
        "No space left on device",
        "nothing was changed",
        "free some space",
    ];
    for words in expected {
        assert!(scaled.stderr.contains(words), "{words}: {}", scaled.stderr);
    }
    // An alert is not accepted, so its sender sends it again.
    let alert = json!({"incident_id": "when-full", "alert_type": "manual", "container_name": name});
    let monitor = controller.api_as(Some(WEBHOOK_TOKEN));
    let (status, body) = monitor.post("/webhook", &alert).await;
    assert_eq!(status, 507, "{body}");
    assert!(body.to_string().contains(FULL), "{body}");
    let why = controller.is_unready().await;
    assert!(why.contains("store") && why.contains("space"), "{why}");
    assert_eq!(acknowledged(&controller).await, before, "nothing was changed");

    // A replica goes, and then the controller itself.
    let replica = world.find(&format!("{name}-replica-1")).await.expect("a replica");
    replica.remove_by_force().await;
    controller.kill9();
    controller.start_again_unasked();
    eventually("it is there, also on a full disk", async || {
        match api.ask(api.request(reqwest::Method::GET, "/healthz")).await? {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(acknowledged(&controller).await, before, "nothing was lost");

    ballast.remove();
    controller.is_ready().await;
    let api = controller.api();
    api.workload_ready(&name, 2).await;
    let (status, body) = monitor.post("/webhook", &alert).await;
    assert_eq!(status, 200, "{body}");
    let scaled = controller
        .ctl()
        .run(&["scale", &format!("workload/{name}"), "--replicas=3"])
        .await;
    assert_eq!(scaled.code, 0, "{scaled:?}");
    api.workload_ready(&name, 3).await;
    let all = world.events().so_far().await;
    let made = all
        .iter()
        .filter(|event| event.action == "create" && event.name.starts_with(&format!("{name}-replica-")));
    assert_eq!(made.count(), 4, "two, the one that was lost, and a third");
    let verified = controller.ctl().run(&["audit", "verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
}
