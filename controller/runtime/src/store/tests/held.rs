//! Deletions by file that are held until somebody confirms them, and folders that come back.

use super::*;
use crate::store::Part;
use aegis_api::deletion::HeldReason;
use aegis_api::workload::Workload;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

fn text(name: &str) -> String {
    format!("kind: Workload\nmetadata:\n  name: {name}\nspec:\n  container: c\n")
}

async fn rescanning(state: &Path) -> Running {
    Running::with(StoreOptions {
        rescan: Duration::from_millis(20),
        deletion_hold: Duration::from_millis(300),
        ..StoreOptions::new(state)
    })
    .await
}

/// A store with so many Workloads, w0, w1, …
async fn with(dir: &TempDir, count: usize) -> (Running, PathBuf) {
    let state = dir.path().join("state");
    let store = rescanning(&state).await;
    for n in 0..count {
        store
            .create(wl(), workload(&format!("w{n}"), 1), false)
            .await
            .unwrap();
    }
    (store, state)
}

fn file(state: &Path, name: &str) -> PathBuf {
    state.join(format!("workloads/{name}.yaml"))
}

fn remove(state: &Path, names: &[&str]) {
    for name in names {
        fs::remove_file(file(state, name)).unwrap();
    }
}

fn count(store: &Running) -> usize {
    let (_, objects) = store.list_stored(wl());
    objects.iter().filter(|object| !object.is_deleting()).count()
}

async fn held(store: &Running, wanted: usize) {
    eventually("the deletions are held", || {
        store.held_deletions().len() == wanted
    })
    .await;
}

fn git(dir: &Path, line: &str) {
    let fixed = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "init.defaultBranch=main",
    ];
    let done = Command::new("git")
        .args(fixed)
        .args(line.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {line}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn many_files_that_go_at_once_delete_nothing_until_each_is_confirmed_and_a_single_one_still_does() {
    let dir = dir();
    let (store, state) = with(&dir, 4).await;
    let uid = store.get_stored(wl(), "w0").unwrap().uid().to_owned();
    store
        .set_finalizers::<Workload>("w0", &uid, vec!["f".into()])
        .await
        .unwrap();
    remove(&state, &["w0", "w1", "w2"]);
    held(&store, 3).await;
    assert_eq!(count(&store), 4);
    let warnings = store.warnings();
    let warned = |part: &str| {
        warnings
            .iter()
            .any(|warning| warning.starts_with("MassDeletionHeld") && warning.contains(part))
    };
    assert!(
        warned("3 workloads") && warned("w0, w1, w2") && warned("`aegisctl confirm workloads`"),
        "{warnings:?}"
    );
    assert!(
        store
            .held_deletions()
            .iter()
            .all(|held| held.reason == HeldReason::ManyAtOnce)
    );
    // No one confirmed w2; its file comes back.
    fs::write(file(&state, "w2"), text("w2")).unwrap();
    held(&store, 2).await;
    assert!(matches!(
        store.confirm_deletion(wl(), "w2").await,
        Err(StoreError::Conflict { .. })
    ));
    store.confirm_deletion(wl(), "w0").await.unwrap();
    store.confirm_deletion(wl(), "w1").await.unwrap();
    assert!(store.get_stored(wl(), "w0").unwrap().is_deleting() && store.get_stored(wl(), "w1").is_none());
    held(&store, 0).await;
    assert!(file(&state, "w2").exists() && count(&store) == 2);
    remove(&state, &["w3"]);
    eventually("a single one", || count(&store) == 1).await;
}

#[tokio::test]
async fn what_is_held_stays_held_over_a_restart_and_over_a_kill() {
    let dir = dir();
    let (store, state) = with(&dir, 8).await;
    remove(&state, &["w0", "w1", "w2"]);
    held(&store, 3).await;
    eventually("written down", || {
        fs::read_to_string(state.join(".folders")).is_ok_and(|text| text.contains("w2"))
    })
    .await;
    // Two that are left would be few enough by themselves.
    fs::write(file(&state, "w2"), text("w2")).unwrap();
    held(&store, 2).await;
    store.stop().await;
    let store = rescanning(&state).await;
    assert_eq!((store.held_deletions().len(), count(&store)), (2, 8));
    store.kill().await;
    let store = rescanning(&state).await;
    assert_eq!((store.held_deletions().len(), count(&store)), (2, 8));
    assert!(
        store
            .warnings()
            .iter()
            .any(|warning| warning.starts_with("DeletionHeld")),
        "{:?}",
        store.warnings()
    );
    store.confirm_deletion(wl(), "w0").await.unwrap();
    assert_eq!(count(&store), 7);
}

#[tokio::test]
async fn spec_files_that_went_while_it_was_down_are_held_by_the_same_rule() {
    for (all, gone, is_held) in [
        (4, 1, false),
        (4, 2, false),
        (3, 3, true),
        (2, 2, true),
        (9, 3, true),
        (10, 3, false),
    ] {
        let dir = dir();
        let (store, state) = with(&dir, all).await;
        store.stop().await;
        for n in 0..gone {
            remove(&state, &[&format!("w{n}")]);
        }
        let store = rescanning(&state).await;
        let kept = if is_held { all } else { all - gone };
        let held = if is_held { gone } else { 0 };
        assert_eq!(
            (count(&store), store.held_deletions().len()),
            (kept, held),
            "{gone} of {all}"
        );
    }
}

#[tokio::test]
async fn a_file_renamed_while_it_was_down_deletes_nothing() {
    let dir = dir();
    let (store, state) = with(&dir, 4).await;
    store.stop().await;
    fs::rename(file(&state, "w0"), file(&state, "other")).unwrap();
    let store = rescanning(&state).await;
    assert_eq!(count(&store), 4);
    let held = store.held_deletions();
    assert_eq!(
        (held[0].reason, held[0].renamed_to.as_deref()),
        (HeldReason::Renamed, Some("other.yaml"))
    );
    // Back under its name it is as before; and gone under any name, it is deleted.
    fs::rename(file(&state, "other"), file(&state, "w0")).unwrap();
    eventually("back", || store.held_deletions().is_empty()).await;
    fs::rename(file(&state, "w0"), state.join("workloads/w0.yaml.off")).unwrap();
    eventually("renamed again", || !store.held_deletions().is_empty()).await;
    fs::remove_file(state.join("workloads/w0.yaml.off")).unwrap();
    eventually("deleted", || count(&store) == 3).await;
}

#[tokio::test]
async fn an_old_backup_beside_a_file_does_not_keep_it() {
    let dir = dir();
    let (store, state) = with(&dir, 2).await;
    let (path, backup) = (file(&state, "w0"), state.join("workloads/w0.yaml~"));
    fs::copy(&path, &backup).unwrap();
    let key = crate::disk::layout::Key::new(wl(), "w0");
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    let disk = crate::disk::Disk::open(
        dir.path().join("elsewhere"),
        std::sync::Arc::default(),
        Faults::default(),
    )
    .await
    .unwrap();
    fs::create_dir_all(dir.path().join("elsewhere/workloads")).unwrap();
    fs::copy(&path, dir.path().join("elsewhere/workloads/w0.yaml~")).unwrap();
    let sought = |since| crate::disk::rename::Sought {
        key: key.clone(),
        since: Some(since),
        signature: None,
    };
    assert!(
        disk.renamed(vec![sought(later)]).is_empty(),
        "made a minute before the file went"
    );
    assert_eq!(disk.renamed(vec![sought(std::time::SystemTime::now())]).len(), 1);
    drop(store);
}

#[tokio::test]
async fn a_deletion_through_the_api_is_never_held() {
    let dir = dir();
    let (store, _state) = with(&dir, 8).await;
    for n in 0..8 {
        store
            .delete(wl(), &format!("w{n}"), None, None, false)
            .await
            .unwrap();
    }
    assert_eq!((count(&store), store.held_deletions().len()), (0, 0));
}

#[tokio::test]
async fn git_stash_and_checkout_delete_nothing_and_what_they_bring_back_ends_the_hold() {
    let dir = dir();
    let (store, state) = with(&dir, 4).await;
    git(&state, "init -q");
    git(&state, "commit -q --allow-empty -m empty");
    git(&state, "branch empty");
    git(
        &state,
        "add workloads/w0.yaml workloads/w1.yaml workloads/w2.yaml workloads/w3.yaml",
    );
    git(&state, "commit -q -m all");
    let uids = |store: &Running| {
        store
            .list_stored(wl())
            .1
            .iter()
            .map(|object| object.uid().to_owned())
            .collect::<Vec<_>>()
    };
    let before = uids(&store);
    git(&state, "checkout -q empty");
    held(&store, 4).await;
    git(&state, "checkout -q main");
    held(&store, 0).await;
    fs::write(file(&state, "w0"), text("w0") + "  replicas: 3\n").unwrap();
    git(&state, "stash -q");
    git(&state, "stash pop -q");
    let edited = || {
        store
            .get_stored(wl(), "w0")
            .is_some_and(|object| object.value()["spec"]["replicas"] == 3)
    };
    eventually("the stashed edit", edited).await;
    assert_eq!(uids(&store), before);
}

#[tokio::test]
async fn a_folder_that_comes_back_is_as_before_and_meanwhile_takes_no_changes() {
    let dir = dir();
    let (store, state) = with(&dir, 3).await;
    let (folder, away) = (state.join("workloads"), dir.path().join("away"));
    for replaced in [false, true] {
        fs::rename(&folder, &away).unwrap();
        if replaced {
            fs::create_dir(&folder).unwrap();
            held(&store, 3).await;
        }
        let fault = || {
            store
                .broken_files()
                .iter()
                .any(|file| file.name.is_empty() && file.path == folder)
        };
        eventually("the folder is reported", fault).await;
        let edit = store
            .edit(
                wl(),
                "w0",
                Part::Status,
                false,
                set("", "status", json!({"replicas": 1})),
            )
            .await;
        let create = store.create(wl(), workload("new", 1), false).await;
        for refused in [edit, create] {
            assert!(
                matches!(&refused, Err(StoreError::Disk { path, .. }) if *path == folder),
                "{refused:?}"
            );
        }
        store
            .create(inc(), incident(&format!("i{replaced}")), false)
            .await
            .unwrap();
        assert_eq!(folder.exists(), replaced, "it is not recreated");
        if replaced {
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
            fs::remove_dir(&folder).unwrap();
        }
        fs::rename(&away, &folder).unwrap();
        eventually("in order again", || {
            store.broken_files().is_empty() && store.held_deletions().is_empty()
        })
        .await;
        assert_eq!(count(&store), 3);
        let label = json!({"replaced": replaced.to_string()});
        store
            .edit(wl(), "w0", Part::Spec, false, set("/metadata", "labels", label))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn another_folder_with_the_same_files_takes_its_place_and_a_link_to_it_too() {
    let dir = dir();
    let (store, state) = with(&dir, 3).await;
    let (folder, away) = (state.join("workloads"), dir.path().join("away"));
    fs::rename(&folder, &away).unwrap();
    symlink(&away, &folder).unwrap();
    store
        .edit(wl(), "w0", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    assert!(
        fs::read_to_string(away.join("w0.yaml"))
            .unwrap()
            .contains("replicas: 2")
    );
    fs::remove_file(&folder).unwrap();
    eventually("missed", || !store.broken_files().is_empty()).await;
    assert!(!folder.exists() && count(&store) == 3);
    symlink(&away, &folder).unwrap();
    eventually("back", || store.broken_files().is_empty()).await;
    assert_eq!(count(&store), 3);
}

#[tokio::test]
async fn confirming_accepts_an_emptied_folder_in_the_place_of_the_old_one() {
    let dir = dir();
    let (store, state) = with(&dir, 1).await;
    let folder = state.join("workloads");
    fs::rename(&folder, dir.path().join("away")).unwrap();
    fs::create_dir(&folder).unwrap();
    held(&store, 1).await;
    assert_eq!(store.held_deletions()[0].reason, HeldReason::FolderReplaced);
    store.confirm_deletion(wl(), "w0").await.unwrap();
    assert_eq!(count(&store), 0);
    store.create(wl(), workload("new", 1), false).await.unwrap();
    assert!(file(&state, "new").exists());
    eventually("nothing is wrong", || store.broken_files().is_empty()).await;
}

#[tokio::test]
async fn a_start_without_a_folder_that_held_objects_is_refused_until_somebody_makes_one() {
    let dir = dir();
    let (store, state) = with(&dir, 2).await;
    store.stop().await;
    let folder = state.join("workloads");
    fs::rename(&folder, dir.path().join("away")).unwrap();
    let refused = Store::open_with(StoreOptions::new(&state), EventRecorder::new(), Faults::default()).await;
    let Err(StoreError::Disk { path, source }) = refused else {
        panic!("started without its folder")
    };
    assert!(
        path == folder && source.to_string().contains("put it back"),
        "{source}"
    );
    assert!(!folder.exists(), "it is not recreated");
    fs::rename(dir.path().join("away"), &folder).unwrap();
    assert_eq!(count(&rescanning(&state).await), 2);
}

#[tokio::test]
async fn an_edit_of_a_held_object_writes_its_file_again() {
    let dir = dir();
    let (store, state) = with(&dir, 3).await;
    remove(&state, &["w0", "w1", "w2"]);
    held(&store, 3).await;
    store
        .edit(wl(), "w1", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    held(&store, 2).await;
    assert!(file(&state, "w1").exists() && !file(&state, "w0").exists());
}

#[tokio::test]
async fn files_removed_one_after_the_other_within_some_seconds_are_one_act() {
    let dir = dir();
    let (store, state) = with(&dir, 8).await;
    remove(&state, &["w0"]);
    eventually("the first", || count(&store) == 7).await;
    remove(&state, &["w1"]);
    eventually("the second", || count(&store) == 6).await;
    remove(&state, &["w2"]);
    held(&store, 1).await;
    assert_eq!(count(&store), 6);
}
