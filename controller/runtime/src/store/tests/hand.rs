//! What a person does with files, and what comes of it.

use super::*;
use crate::disk::layout::Key;
use crate::store::Part;
use aegis_api::workload::Workload;
use futures::StreamExt as _;
use std::fs;

fn text(name: &str, replicas: &str) -> String {
    format!(
        "# mine\nkind: Workload\nmetadata:\n  name: {name}\nspec:\n  container: c # keep\n  replicas: {replicas}\n"
    )
}

async fn watching(dir: &TempDir) -> Running {
    let hour = Duration::from_secs(3600);
    Running::with(StoreOptions {
        rescan: hour,
        ..StoreOptions::new(dir.path())
    })
    .await
}

async fn rescanning(dir: &TempDir) -> Running {
    let often = Duration::from_millis(20);
    Running::with(StoreOptions {
        rescan: often,
        watch_files: false,
        ..StoreOptions::new(dir.path())
    })
    .await
}

fn has(store: &Running, name: &str, wanted: u64) -> bool {
    store
        .get_stored(wl(), name)
        .is_some_and(|object| replicas(&object) == wanted)
}

async fn a_person_writes_edits_and_removes(store: Running, dir: TempDir) {
    let path = spec_path(&dir, "web");
    fs::write(&path, text("web", "1")).unwrap();
    eventually("created", || has(&store, "web", 1)).await;
    let made = store.get_stored(wl(), "web").unwrap();
    fs::write(&path, text("web", "2")).unwrap();
    eventually("edited", || has(&store, "web", 2)).await;
    let edited = store.get_stored(wl(), "web").unwrap();
    assert_eq!(edited.uid(), made.uid());
    assert_eq!(edited.value()["metadata"]["generation"], 2);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        text("web", "2"),
        "a person's file is theirs"
    );
    let beside = dir.path().join("workloads/web.yaml.new");
    fs::write(&beside, text("web", "3")).unwrap();
    fs::rename(&beside, &path).unwrap();
    eventually("replaced, as editors do", || has(&store, "web", 3)).await;
    fs::remove_file(&path).unwrap();
    eventually("deleted", || store.get_stored(wl(), "web").is_none()).await;
    eventually("status file gone", || !status_path(&dir, "web").exists()).await;
    store.stop().await;
}

#[tokio::test]
async fn what_a_person_does_with_a_file_takes_effect_by_file_events_alone() {
    let dir = dir();
    a_person_writes_edits_and_removes(watching(&dir).await, dir).await;
}

#[tokio::test]
async fn what_a_person_does_with_a_file_takes_effect_by_the_rescan_alone() {
    let dir = dir();
    a_person_writes_edits_and_removes(rescanning(&dir).await, dir).await;
}

#[tokio::test]
async fn our_own_writes_are_not_mistaken_for_a_persons() {
    let dir = dir();
    let store = watching(&dir).await;
    let mut watch = store.watch(None).unwrap();
    store.create(wl(), workload("web", 1), false).await.unwrap();
    for n in 2..20 {
        store
            .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(n)))
            .await
            .unwrap();
    }
    fs::write(spec_path(&dir, "other"), text("other", "1")).unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&"other".to_owned()) {
        seen.push(watch.next().await.unwrap().object.name().to_owned());
    }
    assert_eq!(seen.len(), 20, "{seen:?}");
}

#[tokio::test]
async fn a_change_of_comments_alone_is_no_change() {
    let dir = dir();
    let store = watching(&dir).await;
    fs::write(spec_path(&dir, "web"), text("web", "1")).unwrap();
    eventually("created", || has(&store, "web", 1)).await;
    let before = store.revision();
    fs::write(spec_path(&dir, "web"), text("web", "1") + "# more\n").unwrap();
    fs::write(spec_path(&dir, "other"), text("other", "1")).unwrap();
    eventually("the other", || has(&store, "other", 1)).await;
    assert_eq!(store.revision(), before + 1);
    let kept = store.contents();
    store.kill().await;
    assert_eq!(watching(&dir).await.contents(), kept);
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version_in_force_also_across_a_restart() {
    let dir = dir();
    let store = watching(&dir).await;
    let path = spec_path(&dir, "web");
    fs::write(&path, text("web", "2")).unwrap();
    eventually("created", || has(&store, "web", 2)).await;
    let uid = store.get_stored(wl(), "web").unwrap().uid().to_owned();
    fs::write(&path, text("web", "many")).unwrap();
    eventually("reported", || store.broken_files().len() == 1).await;
    let broken = &store.broken_files()[0];
    assert_eq!(
        (broken.kind.as_str(), broken.name.as_str(), &broken.path),
        ("Workload", "web", &path)
    );
    let expected = "workloads/web.yaml: line 7, column 3: spec.replicas: Invalid value: \"many\": must be of type integer";
    assert_eq!(broken.message, expected);
    let (_, events) = store.events.list();
    let event = events.iter().find(|event| event.reason == "InvalidFile").unwrap();
    assert!(
        event.about.uid == uid && event.message.starts_with(expected) && event.message.contains("last good")
    );
    assert!(has(&store, "web", 2));
    store.stop().await;

    let store = watching(&dir).await;
    assert!(has(&store, "web", 2));
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), uid);
    assert_eq!(store.broken_files()[0].message, expected);
    assert!(store.warnings()[0].contains("spec.replicas"));
    fs::write(&path, text("web", "3")).unwrap();
    eventually("repaired", || has(&store, "web", 3)).await;
    assert!(store.broken_files().is_empty());
    assert!(
        store
            .warnings()
            .iter()
            .any(|event| event.starts_with("FileRepaired"))
    );
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), uid);
}

#[tokio::test]
async fn i9_one_bad_file_never_stops_the_others() {
    let dir = dir();
    fs::create_dir_all(dir.path().join("workloads")).unwrap();
    let bad: [(&str, Vec<u8>); 9] = [
        ("torn", b"kind: Workload\nspec: {".to_vec()),
        ("empty", Vec::new()),
        ("latin", b"kind: Workload # \xe9\n".to_vec()),
        ("large", vec![b'#'; 2 << 20]),
        ("two", b"kind: Workload\n---\nkind: Workload\n".to_vec()),
        ("named", text("another", "1").into_bytes()),
        (
            "kinded",
            b"kind: Incident\nmetadata: {name: kinded}\nspec: {alertType: x}\n".to_vec(),
        ),
        ("zero", text("zero", "0").into_bytes()),
        ("nameless", b"kind: Workload\nspec: {container: c}\n".to_vec()),
    ];
    for (name, bytes) in &bad {
        fs::write(spec_path(&dir, name), bytes).unwrap();
    }
    fs::write(dir.path().join("workloads/old.yml"), text("old", "1")).unwrap();
    fs::write(dir.path().join("workloads/My App.yaml"), text("x", "1")).unwrap();
    fs::write(spec_path(&dir, "good"), text("good", "1")).unwrap();
    // None of these is anybody's object.
    fs::create_dir(spec_path(&dir, "folder")).unwrap();
    std::os::unix::fs::symlink(spec_path(&dir, "good"), spec_path(&dir, "link")).unwrap();
    fs::write(dir.path().join("workloads/.hidden.yaml"), "{").unwrap();
    fs::write(dir.path().join("workloads/good.yaml~"), "{").unwrap();

    let store = watching(&dir).await;
    assert!(has(&store, "good", 1));
    assert_eq!(store.list_stored(wl()).1.len(), 1);
    let mut names: Vec<String> = store.broken_files().into_iter().map(|file| file.name).collect();
    names.sort();
    let mut expected: Vec<&str> = bad
        .iter()
        .map(|(name, _)| *name)
        .chain(["old", "My App"])
        .collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(
        store
            .warnings()
            .iter()
            .any(|event| event.contains("rename it to old.yaml"))
    );
    store.create(wl(), workload("api", 1), false).await.unwrap();

    fs::rename(dir.path().join("workloads/old.yml"), spec_path(&dir, "old")).unwrap();
    for (name, _) in &bad {
        fs::remove_file(spec_path(&dir, name)).unwrap();
    }
    eventually("only the misnamed one is left", || {
        store.broken_files().len() == 1
    })
    .await;
    assert!(has(&store, "old", 1) && has(&store, "api", 1));
}

#[tokio::test]
async fn a_file_caught_half_written_is_neither_reported_nor_taken_for_deleted() {
    let dir = dir();
    let events = EventRecorder::new();
    let opened = Store::open_with(StoreOptions::new(dir.path()), events.clone(), Faults::default());
    let (store, mut driver) = opened.await.unwrap();
    let path = spec_path(&dir, "web");
    let key = || vec![Key::new(wl(), "web")];
    let has = |wanted| {
        store
            .get_stored(wl(), "web")
            .is_some_and(|object| replicas(&object) == wanted)
    };
    fs::write(&path, text("web", "1")).unwrap();
    driver.writer.examine(key(), false).await.unwrap();
    // An editor that truncates before it writes.
    fs::write(&path, "").unwrap();
    driver.writer.examine(key(), false).await.unwrap();
    assert!(has(1) && store.broken_files().is_empty() && driver.writer.next_recheck().is_some());
    fs::write(&path, text("web", "2")).unwrap();
    driver.writer.examine(key(), false).await.unwrap();
    assert!(has(2) && driver.writer.next_recheck().is_none());
    // An editor that removes before it renames.
    fs::remove_file(&path).unwrap();
    driver.writer.examine(key(), false).await.unwrap();
    assert!(has(2));
    fs::write(&path, text("web", "3")).unwrap();
    driver.writer.examine(key(), true).await.unwrap();
    assert!(has(3) && events.list().1.is_empty());
    // What stays is meant.
    fs::write(&path, "").unwrap();
    driver.writer.examine(key(), true).await.unwrap();
    assert!(has(3) && store.broken_files().len() == 1);
    fs::remove_file(&path).unwrap();
    driver.writer.examine(key(), true).await.unwrap();
    assert!(store.get_stored(wl(), "web").is_none() && store.broken_files().is_empty());
}

#[tokio::test]
async fn a_file_deleted_by_hand_waits_for_finalizers_and_a_new_one_for_its_turn() {
    let dir = dir();
    let store = watching(&dir).await;
    let path = spec_path(&dir, "web");
    fs::write(&path, text("web", "1")).unwrap();
    eventually("created", || has(&store, "web", 1)).await;
    let uid = store.get_stored(wl(), "web").unwrap().uid().to_owned();
    store
        .set_finalizers::<Workload>("web", &uid, vec!["f".into()])
        .await
        .unwrap();
    fs::remove_file(&path).unwrap();
    eventually("marked", || store.get_stored(wl(), "web").unwrap().is_deleting()).await;
    store.stop().await;

    let store = watching(&dir).await;
    assert!(store.get_stored(wl(), "web").unwrap().is_deleting());
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(7)))
        .await
        .unwrap();
    assert!(!path.exists(), "an edit does not bring the file back");
    fs::write(&path, text("web", "5")).unwrap();
    fs::write(spec_path(&dir, "other"), text("other", "1")).unwrap();
    eventually("the other", || has(&store, "other", 1)).await;
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), uid);
    store.stop().await;

    let store = watching(&dir).await;
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), uid);
    store
        .set_finalizers::<Workload>("web", &uid, vec![])
        .await
        .unwrap();
    eventually("its turn", || has(&store, "web", 5)).await;
    assert_ne!(store.get_stored(wl(), "web").unwrap().uid(), uid);
    assert_eq!(fs::read_to_string(&path).unwrap(), text("web", "5"));
}

#[tokio::test]
async fn what_changed_while_it_was_down_is_in_force_after_the_start() {
    let dir = dir();
    let store = watching(&dir).await;
    for name in ["edited", "deleted", "held", "same"] {
        store.create(wl(), workload(name, 1), false).await.unwrap();
    }
    let held = store.get_stored(wl(), "held").unwrap().uid().to_owned();
    store
        .set_finalizers::<Workload>("held", &held, vec!["f".into()])
        .await
        .unwrap();
    let uid = store.get_stored(wl(), "edited").unwrap().uid().to_owned();
    store.stop().await;
    fs::write(spec_path(&dir, "edited"), text("edited", "4")).unwrap();
    fs::write(spec_path(&dir, "new"), text("new", "1")).unwrap();
    fs::remove_file(spec_path(&dir, "deleted")).unwrap();
    fs::remove_file(spec_path(&dir, "held")).unwrap();

    let store = watching(&dir).await;
    let edited = store.get_stored(wl(), "edited").unwrap();
    assert_eq!((replicas(&edited), edited.uid()), (4, uid.as_str()));
    assert_eq!(edited.value()["metadata"]["generation"], 2);
    assert!(has(&store, "new", 1) && has(&store, "same", 1));
    assert!(store.get_stored(wl(), "deleted").is_none() && !status_path(&dir, "deleted").exists());
    let held = store.get_stored(wl(), "held").unwrap();
    assert!(held.is_deleting() && !spec_path(&dir, "held").exists());
}

#[tokio::test]
async fn a_persons_change_and_an_edit_at_the_same_moment_lose_nothing() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let (web, mine) = (spec_path(&dir, "web"), spec_path(&dir, "mine"));
    let edit = store.edit(wl(), "web", Part::Spec, false, move |current| {
        // While the writer is at it: it cannot have been noticed before the write.
        fs::write(web, text("web", "8")).unwrap();
        fs::write(mine, text("mine", "8")).unwrap();
        set("/metadata", "labels", json!({"a": "b"}))(current)
    });
    let (edit, create) = tokio::join!(edit, store.create(wl(), workload("mine", 1), false));
    assert!(matches!(edit, Err(StoreError::Conflict { .. })), "{edit:?}");
    assert!(matches!(create, Err(StoreError::Conflict { .. })), "{create:?}");
    eventually("the person's change", || has(&store, "web", 8)).await;
    let edit = store
        .edit(
            wl(),
            "web",
            Part::Spec,
            false,
            set("/metadata", "labels", json!({"a": "b"})),
        )
        .await;
    assert_eq!(replicas(&edit.unwrap()), 8);
    eventually("the person's object", || has(&store, "mine", 8)).await;
}

#[tokio::test]
async fn an_edit_over_a_broken_file_keeps_the_persons_text_beside_it() {
    let dir = dir();
    let store = watching(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    fs::write(spec_path(&dir, "web"), "half of my work: {").unwrap();
    eventually("reported", || store.broken_files().len() == 1).await;
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    assert!(store.broken_files().is_empty());
    let kept = fs::read_to_string(dir.path().join("workloads/web.yaml.rejected")).unwrap();
    assert_eq!(kept, "half of my work: {");
    assert!(
        fs::read_to_string(spec_path(&dir, "web"))
            .unwrap()
            .contains("replicas: 2")
    );
}

#[tokio::test]
async fn a_folder_of_nothing_removed_by_hand_is_made_again_and_watched_again() {
    let dir = dir();
    let often = Duration::from_millis(50);
    let store = Running::with(StoreOptions {
        rescan: often,
        ..StoreOptions::new(dir.path())
    })
    .await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.delete(wl(), "web", None, None, false).await.unwrap();
    fs::remove_dir_all(dir.path().join("workloads")).unwrap();
    store.create(wl(), workload("web", 2), false).await.unwrap();
    fs::write(spec_path(&dir, "web"), text("web", "3")).unwrap();
    eventually("seen", || has(&store, "web", 3)).await;
}

#[tokio::test]
async fn a_status_file_removed_by_hand_is_written_again() {
    let dir = dir();
    let store = rescanning(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    status_placed(&dir, &made).await;
    fs::remove_file(status_path(&dir, "web")).unwrap();
    eventually("written", || status_path(&dir, "web").exists()).await;
    let before = store.contents();
    store.kill().await;
    assert_eq!(rescanning(&dir).await.contents(), before);
}

#[tokio::test]
async fn a_status_file_copied_from_another_object_lends_it_no_identity() {
    let dir = dir();
    let store = watching(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.stop().await;
    fs::copy(status_path(&dir, "web"), status_path(&dir, "copy")).unwrap();
    fs::write(spec_path(&dir, "copy"), text("copy", "1")).unwrap();
    let store = watching(&dir).await;
    let (web, copy) = (
        store.get_stored(wl(), "web").unwrap(),
        store.get_stored(wl(), "copy").unwrap(),
    );
    assert_ne!(web.uid(), copy.uid());
    assert!(
        store
            .warnings()
            .iter()
            .any(|event| event.contains("belongs to Workload \"web\""))
    );
}

#[tokio::test]
async fn a_state_directory_that_vanishes_as_a_whole_deletes_nothing() {
    let dir = dir();
    let state = dir.path().join("state");
    let opened = Store::open_with(StoreOptions::new(&state), EventRecorder::new(), Faults::default());
    let (store, mut driver) = opened.await.unwrap();
    fs::write(state.join("workloads/web.yaml"), text("web", "1")).unwrap();
    driver
        .writer
        .examine(vec![Key::new(wl(), "web")], false)
        .await
        .unwrap();
    fs::rename(&state, dir.path().join("elsewhere")).unwrap();
    for mounted_empty in [false, true] {
        if mounted_empty {
            fs::create_dir_all(state.join("workloads")).unwrap();
        }
        driver
            .writer
            .examine(vec![Key::new(wl(), "web")], true)
            .await
            .unwrap();
        assert!(store.get_stored(wl(), "web").is_some());
    }
    fs::remove_dir_all(&state).unwrap();
    fs::rename(dir.path().join("elsewhere"), &state).unwrap();
    fs::remove_file(state.join("workloads/web.yaml")).unwrap();
    driver
        .writer
        .examine(vec![Key::new(wl(), "web")], true)
        .await
        .unwrap();
    assert!(store.get_stored(wl(), "web").is_none());
}

#[tokio::test]
async fn an_object_is_not_created_over_a_file_that_somebody_is_writing() {
    let dir = dir();
    let store = watching(&dir).await;
    fs::write(spec_path(&dir, "web"), "half of my work: {").unwrap();
    eventually("reported", || store.broken_files().len() == 1).await;
    let create = store.create(wl(), workload("web", 1), false).await.unwrap_err();
    assert!(create.to_string().contains("written by hand"), "{create}");
    assert_eq!(
        fs::read_to_string(spec_path(&dir, "web")).unwrap(),
        "half of my work: {"
    );
    assert!(store.get_stored(wl(), "web").is_none());
}

/// The kind: somebody saves between the moment the controller checks a file and the moment it replaces or removes it.
#[tokio::test]
async fn what_is_saved_right_before_the_controller_replaces_or_removes_a_file_stays() {
    let text = "metadata: {name: web}\nspec: {container: c, replicas: 7}\n";
    let dir = dir();
    let options = StoreOptions {
        watch_files: false,
        rescan: Duration::from_millis(20),
        ..StoreOptions::new(dir.path())
    };
    let store = Running::with(options).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.faults.save_before("workloads/web.yaml", text);
    let edit = store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)));
    let error = edit.await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(spec_path(&dir, "web")).unwrap(), text);
    eventually("what was saved is in force", || {
        replicas(&store.get_stored(wl(), "web").unwrap()) == 7
    })
    .await;

    let text = text.replace("replicas: 7", "replicas: 8");
    store.faults.save_before("workloads/web.yaml", &text);
    store.delete(wl(), "web", None, None, false).await.unwrap();
    assert_eq!(std::fs::read_to_string(spec_path(&dir, "web")).unwrap(), text);
    eventually("it is the next object", || {
        store
            .get_stored(wl(), "web")
            .is_some_and(|web| replicas(&web) == 8)
    })
    .await;

    let text = text.replace("name: web", "name: new");
    store.faults.save_before("workloads/new.yaml", &text);
    let error = store.create(wl(), workload("new", 1), false).await.unwrap_err();
    assert!(error.to_string().contains("written by hand"), "{error}");
    assert_eq!(std::fs::read_to_string(spec_path(&dir, "new")).unwrap(), text);
    let left = std::fs::read_dir(dir.path().join("workloads")).unwrap();
    let left = left.map(|file| file.unwrap().file_name().into_string().unwrap());
    // But status files of ours that wait to be written over.
    let left = left.filter(|name| name.starts_with('.') && !name.contains(".status.yaml"));
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_temporary_file_has_a_name_that_cannot_be_guessed_and_follows_no_link() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let target = dir.path().join("target");
    std::fs::write(&target, "untouched").unwrap();
    // As earlier versions called them.
    for number in 0..2000 {
        for name in ["web.yaml", "web.status.yaml"] {
            let link = dir.path().join(format!("workloads/.{name}.aegis-tmp-{number}"));
            std::os::unix::fs::symlink(&target, link).unwrap();
        }
    }
    store.create(wl(), workload("web", 1), false).await.unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched");
}

/// Each of them took gigabytes at every start, or was in force.
#[tokio::test]
async fn a_file_that_breaks_a_bound_is_reported_at_the_start_and_the_others_are_in_force() {
    let dir = dir();
    fs::create_dir(dir.path().join("workloads")).unwrap();
    let key = format!(
        "spec:\n  ? {}\n  : [{}]\n",
        "k".repeat(100_000),
        "0,".repeat(1000)
    );
    let nodes = format!("spec: [{}]\n", "0,".repeat(100_001));
    let annotation = format!(
        "kind: Workload\nmetadata: {{name: a, annotations: {{x: {}}}}}\nspec: {{container: c}}\n",
        "x".repeat(300_000)
    );
    for (name, text) in [
        ("k", &key),
        ("n", &nodes),
        ("a", &annotation),
        ("web", &text("web", "1")),
    ] {
        fs::write(spec_path(&dir, name), text).unwrap();
    }
    let store = Running::open(&dir).await;
    assert!(has(&store, "web", 1));
    let broken: Vec<String> = store
        .broken_files()
        .into_iter()
        .map(|file| format!("{file:?}"))
        .collect();
    assert_eq!(broken.len(), 3, "{broken:?}");
    for words in ["1024 at most", "node", "262144 bytes"] {
        assert!(
            broken.iter().any(|file| file.contains(words)),
            "{words}: {broken:?}"
        );
    }
}

#[tokio::test]
async fn a_new_directory_shows_others_no_names_and_git_no_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (store, _driver) = crate::Store::open(StoreOptions::new(&state), crate::EventRecorder::new())
        .await
        .unwrap();
    for folder in ["", "workloads", "incidents", "remediationpolicies", ".audit"] {
        let metadata = fs::metadata(store.dir().join(folder)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{folder:?}");
    }
    let ignored = fs::read_to_string(state.join(".gitignore")).unwrap();
    assert!(
        ignored.contains("*.status.yaml") && ignored.contains("/.*"),
        "{ignored}"
    );
}
