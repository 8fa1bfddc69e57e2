//! The ways in which a file or a folder can go away without anybody having deleted an object.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn text(name: &str, replicas: u32) -> String {
    format!("kind: Workload\nmetadata:\n  name: {name}\nspec:\n  container: c\n  replicas: {replicas}\n")
}

/// A state directory in a folder of its own, with three Workloads by hand, and a controller that looks often.
async fn three(dir: &TempDir) -> (Running, PathBuf) {
    let state = dir.path().join("state");
    fs::create_dir_all(state.join("workloads")).unwrap();
    for name in NAMES {
        fs::write(state.join(format!("workloads/{name}.yaml")), text(name, 1)).unwrap();
    }
    let store = rescanning(&state).await;
    store.create(inc(), incident("canary"), false).await.unwrap();
    (store, state)
}

async fn rescanning(state: &Path) -> Running {
    Running::with(StoreOptions {
        rescan: Duration::from_millis(20),
        ..StoreOptions::new(state)
    })
    .await
}

/// A file that a person deletes now takes effect: whatever else was to be deleted by then, was.
async fn long_enough(store: &Running, state: &Path) {
    fs::remove_file(state.join("incidents/canary.yaml")).unwrap();
    eventually("a single deletion takes effect", || {
        store.get_stored(inc(), "canary").is_none()
    })
    .await;
}

fn in_force(store: &Running) -> Vec<String> {
    let (_, objects) = store.list_stored(wl());
    let kept = objects.iter().filter(|object| !object.is_deleting());
    kept.map(|object| object.name().to_owned()).collect()
}

fn sh(state: &Path, script: &str) {
    let done = Command::new("sh")
        .args(["-ec", script])
        .current_dir(state)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// What happens, and what a Warning says of it. Nothing: it is as good as before.
const WAYS: [(&str, &str, &str); 25] = [
    (
        "linked within",
        "mkdir ../conf; mv workloads/a.yaml ../conf/; ln -s ../../conf/a.yaml workloads/a.yaml",
        "",
    ),
    (
        "linked by an absolute path",
        "mv workloads/a.yaml ..; ln -s \"$(cd ..; pwd)/a.yaml\" workloads/a.yaml",
        "",
    ),
    (
        "linked in two steps",
        "mv workloads/a.yaml ../x; ln -s x ../y; ln -s ../../y workloads/a.yaml",
        "",
    ),
    (
        "a dangling link",
        "ln -sf nowhere workloads/a.yaml",
        "workloads/a.yaml: it is a symbolic link to nowhere, which does not exist",
    ),
    (
        "a link to itself",
        "ln -sf a.yaml workloads/a.yaml",
        "workloads/a.yaml: it is a symbolic link that leads in a circle",
    ),
    (
        "a loop of two links",
        "ln -sf b.yaml workloads/a.yaml; ln -sf a.yaml workloads/b.yaml",
        "leads in a circle",
    ),
    (
        "a link out of bounds",
        "ln -sf /etc/hostname workloads/a.yaml",
        "outside of",
    ),
    (
        "a link to a device",
        "ln -sf /dev/zero workloads/a.yaml",
        "workloads/a.yaml: it is a symbolic link to /dev/zero",
    ),
    (
        "a link to a folder",
        "mkdir ../conf; ln -sf ../../conf workloads/a.yaml",
        "is not a regular file",
    ),
    (
        "a link to the controller's own files",
        "mkdir .secrets; cp workloads/a.yaml .secrets/a; ln -sf ../.secrets/a workloads/a.yaml",
        "the controller's own",
    ),
    (
        "a link to what is too large",
        "head -c 2000000 /dev/zero >../big; ln -sf ../../big workloads/a.yaml",
        "too large",
    ),
    (
        "a link to another's file",
        "ln -sf b.yaml workloads/a.yaml",
        "metadata.name",
    ),
    (
        "a directory in its place",
        "rm workloads/a.yaml; mkdir workloads/a.yaml",
        "workloads/a.yaml: it is a directory",
    ),
    (
        "a fifo in its place",
        "rm workloads/a.yaml; mkfifo workloads/a.yaml",
        "workloads/a.yaml: it is a named pipe",
    ),
    (
        "renamed within the folder",
        "mv workloads/a.yaml workloads/z.yaml",
        "renamed to z.yaml",
    ),
    (
        "kept as a backup",
        "mv workloads/a.yaml workloads/a.yaml.bak",
        "renamed to a.yaml.bak",
    ),
    (
        "copied and removed",
        "cp workloads/a.yaml workloads/.a.swp; rm workloads/a.yaml",
        "renamed to .a.swp",
    ),
    (
        "all of them moved away",
        "mkdir ../away; mv workloads/[abc].yaml ../away/",
        "aegisctl confirm workloads",
    ),
    (
        "the folder moved",
        "mv workloads ../elsewhere",
        "workloads: the folder is not there",
    ),
    (
        "the folder removed",
        "rm -r workloads",
        "workloads: the folder is not there",
    ),
    (
        "the folder replaced by an empty one",
        "mv workloads ../elsewhere; mkdir workloads",
        "another folder",
    ),
    (
        "the folder replaced by one with less",
        "mv workloads ../elsewhere; mkdir workloads; cp ../elsewhere/a.yaml workloads/",
        "another folder",
    ),
    (
        "the folder replaced by a link that dangles",
        "mv workloads ../elsewhere; ln -s ../nowhere workloads",
        "workloads: the folder is not there",
    ),
    (
        "a file in the place of the folder",
        "mv workloads ../elsewhere; echo >workloads",
        "workloads: it is not a folder",
    ),
    (
        "the folder linked, and the link removed",
        "mv workloads ../elsewhere; ln -s ../elsewhere workloads; rm workloads",
        "workloads: the folder is not there",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_or_folder_that_goes_away_in_any_of_these_ways_deletes_nothing() {
    let each = WAYS.map(|(way, script, warning)| async move {
        let dir = dir();
        let (store, state) = three(&dir).await;
        sh(&state, script);
        let canary = tokio::time::timeout(Duration::from_secs(9), long_enough(&store, &state)).await;
        let warned = warning.is_empty() || store.warnings().iter().any(|given| given.contains(warning));
        let found = (canary.is_ok(), in_force(&store), warned);
        if found == (true, NAMES.map(str::to_owned).to_vec(), true) {
            return None;
        }
        Some(format!("{way}: {found:?} {:?}", store.warnings()))
    });
    let failed: Vec<String> = futures::future::join_all(each)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[tokio::test]
async fn a_socket_in_the_place_of_a_file_deletes_nothing() {
    let dir = dir();
    let (store, state) = three(&dir).await;
    fs::remove_file(state.join("workloads/a.yaml")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(state.join("workloads/a.yaml")).unwrap();
    long_enough(&store, &state).await;
    assert_eq!(in_force(&store), NAMES);
    assert!(
        store
            .warnings()
            .iter()
            .any(|warning| warning.contains("it is a socket")),
        "{:?}",
        store.warnings()
    );
}

#[tokio::test]
async fn what_a_link_leads_to_is_read_when_it_changes_and_written_through_it() {
    let dir = dir();
    let (store, state) = three(&dir).await;
    let target = dir.path().join("mine.yaml");
    fs::rename(state.join("workloads/a.yaml"), &target).unwrap();
    symlink(&target, state.join("workloads/a.yaml")).unwrap();
    fs::write(&target, text("a", 4)).unwrap();
    let has = |wanted| {
        store
            .get_stored(wl(), "a")
            .is_some_and(|object| replicas(&object) == wanted)
    };
    eventually("read through the link", || has(4)).await;
    let edit = set("/spec", "replicas", json!(5));
    store
        .edit(wl(), "a", crate::store::Part::Spec, false, edit)
        .await
        .unwrap();
    assert!(fs::read_to_string(&target).unwrap().contains("replicas: 5"));
    assert!(
        fs::symlink_metadata(state.join("workloads/a.yaml"))
            .unwrap()
            .is_symlink()
    );
    store.delete(wl(), "a", None, None, false).await.unwrap();
    assert!(target.exists(), "the link goes, not what it leads to");
}
