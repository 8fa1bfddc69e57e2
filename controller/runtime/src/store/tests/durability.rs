//! What outlives a process, and what a bad disk does.

use super::*;
use crate::store::{Part, Retention, Stored};
use aegis_api::workload::{Workload, WorkloadStatus};
use futures::StreamExt as _;
use std::fs;
use std::io::ErrorKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i10_nothing_acknowledged_is_lost_by_a_kill_at_any_moment() {
    many_are_made_and_killed().await;
}

#[tokio::test(start_paused = true)]
async fn i10_nothing_acknowledged_is_lost_by_a_kill_in_virtual_time_either() {
    many_are_made_and_killed().await;
}

async fn many_are_made_and_killed() {
    let dir = dir();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..20 {
        let store = Running::open(&dir).await;
        for name in &acknowledged {
            assert!(
                store.get_stored(wl(), name).is_some(),
                "round {round}: {name} is lost"
            );
        }
        let handle = store.store.clone();
        let (report, mut created) = tokio::sync::mpsc::unbounded_channel();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (handle, report) = (handle.clone(), report.clone());
                tokio::spawn(async move {
                    for n in 0.. {
                        let name = format!("r{round}-w{writer}-{n}");
                        if handle.create(wl(), workload(&name, 1), false).await.is_err() {
                            return;
                        }
                        report.send(name).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..round * 3 {
            acknowledged.push(created.recv().await.unwrap());
        }
        store.kill().await;
        for writer in writers {
            writer.await.unwrap();
        }
        while let Ok(name) = created.try_recv() {
            acknowledged.push(name);
        }
    }
    assert!(acknowledged.len() > 500);
}

#[tokio::test]
async fn everything_reads_back_as_it_was_after_a_restart() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 2), false).await.unwrap();
    let hostile = "a: b # c\n\t\"'\u{1b}[31m\u{0}\u{85}\u{feff}é--- \n...\n%YAML";
    let object = json!({"metadata": {"name": "i", "labels": {"x": "yes"}, "annotations": {"t": hostile}},
        "spec": {"alertType": "1.0", "workloadRef": "web", "logs": hostile}});
    store.create(inc(), object, false).await.unwrap();
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(3)))
        .await
        .unwrap();
    let status = WorkloadStatus {
        replicas: 3,
        ..WorkloadStatus::default()
    };
    store
        .set_status::<Workload>("web", made.uid(), status)
        .await
        .unwrap();
    store
        .set_finalizers::<Workload>("web", made.uid(), vec!["f".into()])
        .await
        .unwrap();
    store.delete(wl(), "web", None, None, false).await.unwrap();
    let before = store.contents();
    let id = store.instance_id().to_owned();
    store.kill().await;
    let store = Running::open(&dir).await;
    assert_eq!(store.contents(), before);
    assert_eq!(store.instance_id(), id);
    assert!(store.warnings().is_empty(), "{:?}", store.warnings());
}

#[tokio::test]
async fn resource_versions_rise_across_restarts_also_without_the_revision_file() {
    let dir = dir();
    let mut last = 0;
    for round in 0..6 {
        let store = Running::open(&dir).await;
        assert!(store.revision() >= last);
        let made = store
            .create(wl(), workload(&format!("w{round}"), 1), false)
            .await
            .unwrap();
        assert!(made.resource_version > last);
        last = made.resource_version;
        // The newest version is of an object that is gone: no file mentions it.
        let gone = store
            .delete(wl(), &format!("w{round}"), None, None, false)
            .await
            .unwrap();
        assert!(gone.resource_version > last);
        last = gone.resource_version;
        store.kill().await;
    }
    let store = Running::open(&dir).await;
    let kept = store
        .create(wl(), workload("kept", 1), false)
        .await
        .unwrap()
        .resource_version;
    store.kill().await;
    for garbage in [
        Some("not a number"),
        Some(""),
        Some("-5"),
        Some("18446744073709551615"),
        None,
    ] {
        match garbage {
            Some(text) => fs::write(dir.path().join(".revision"), text).unwrap(),
            None => fs::remove_file(dir.path().join(".revision")).unwrap(),
        }
        let store = Running::open(&dir).await;
        assert!(store.revision() >= kept, "{garbage:?}");
        store.kill().await;
    }
}

#[tokio::test]
async fn revisions_are_set_aside_before_the_block_runs_out() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let stored = || {
        fs::read_to_string(dir.path().join(".revision"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    store.create(wl(), workload("web", 1), false).await.unwrap();
    for n in 0..12_000_u32 {
        let edits = [n * 2, n * 2 + 1].map(|n| {
            store.edit(
                wl(),
                "web",
                Part::Status,
                false,
                set("", "status", json!({"replicas": n + 1})),
            )
        });
        if n % 100 == 0 {
            assert!(stored() >= store.revision());
        }
        if store.revision() > 10_100 {
            break;
        }
        futures::future::join_all(edits).await;
        let many = (0..254).map(|m| {
            store.edit(
                wl(),
                "web",
                Part::Status,
                false,
                set("", "status", json!({"replicas": n * 1000 + m + 7})),
            )
        });
        futures::future::join_all(many).await;
    }
    assert!(store.revision() > 10_100 && stored() >= store.revision());
}

#[tokio::test]
async fn a_second_controller_is_refused_and_learns_by_whom() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    let second = Running::try_with(options, Faults::default())
        .await
        .map(|_| ())
        .unwrap_err();
    let StoreError::Locked { holder, .. } = &second else {
        panic!("{second}")
    };
    assert!(holder.contains(&std::process::id().to_string()));
    assert!(second.to_string().contains("stop that one"), "{second}");
    store.kill().await;
    Running::open(&dir).await;
}

#[tokio::test]
async fn a_directory_that_is_made_is_private_and_one_that_cannot_be_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = dir();
    let path = dir.path().join("a/state");
    let store = Running::with(StoreOptions::new(&path)).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    store.stop().await;
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Running::try_with(StoreOptions::new(file.join("state")), Faults::default())
        .await
        .map(|_| ());
    assert!(error.unwrap_err().to_string().contains("file/state"));
}

#[tokio::test]
async fn a_full_disk_serves_what_is_stored_and_takes_over_the_rest_later() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.kill().await;
    let text = fs::read_to_string(spec_path(&dir, "web")).unwrap();
    fs::write(spec_path(&dir, "web"), text.replace("replicas: 1", "replicas: 2")).unwrap();
    let faults = Faults::default();
    faults.fail("", "", ErrorKind::StorageFull);
    let mut options = StoreOptions::new(dir.path());
    options.rescan = Duration::from_millis(20);
    let store = Running::try_with(options, faults.clone()).await.unwrap();
    assert_eq!(replicas(&store.get_stored(wl(), "web").unwrap()), 1);
    let refused = store.create(wl(), workload("other", 1), false).await.unwrap_err();
    assert!(refused.is_full(), "{refused}");
    faults.mend();
    eventually("the edited file is in force", || {
        replicas(&store.get_stored(wl(), "web").unwrap()) == 2
    })
    .await;
    store.create(wl(), workload("other", 1), false).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_fails_that_request_by_path_and_loses_nothing() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    let mut watch = store.watch(None).unwrap();
    store.faults.fail("", "web.yaml", ErrorKind::StorageFull);
    let (edit, other) = tokio::join!(
        store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2))),
        store.create(wl(), workload("other", 1), false),
    );
    let error = edit.unwrap_err();
    let StoreError::Disk { path, source } = &error else {
        panic!("{error}")
    };
    assert!(
        path.ends_with("web.yaml") && source.kind() == ErrorKind::StorageFull,
        "{error}"
    );
    assert!(other.is_ok(), "others in the batch go on");
    assert_eq!(replicas(&store.get_stored(wl(), "web").unwrap()), 1);
    // The journal has what the controller notes.
    store.faults.fail("", "web.status.yaml", ErrorKind::StorageFull);
    let edit = |count: u32| {
        store.edit(
            wl(),
            "web",
            Part::Spec,
            false,
            set("/spec", "replicas", json!(count)),
        )
    };
    edit(3).await.unwrap();
    store.faults.mend();
    let edited = edit(2).await.unwrap();
    assert_eq!((replicas(&edited), edited.uid()), (2, made.uid()));
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(watch.next().await.unwrap().object.name().to_owned());
    }
    assert_eq!(names, ["other", "web", "web"]);
    let now = store.contents();
    store.kill().await;
    assert_eq!(Running::open(&dir).await.contents(), now);
}

#[tokio::test]
async fn an_error_between_two_renames_leaves_what_is_in_force_and_what_is_on_the_disk_the_same() {
    for (step, path) in [
        ("rename", "web.status.yaml"),
        ("rename", "web.yaml"),
        ("unlink", "web.yaml"),
        ("unlink", "web.status.yaml"),
        ("journal fsync", ".journal"),
    ] {
        let context = format!("{step} {path}");
        // A status file follows later.
        let is_refused = step != "unlink" && path != "web.status.yaml";
        let dir = dir();
        let often = Duration::from_millis(20);
        let options = StoreOptions {
            rescan: often,
            watch_files: false,
            ..StoreOptions::new(dir.path())
        };
        let store = Running::with(options).await;
        store.create(wl(), workload("other", 1), false).await.unwrap();
        store.faults.fail(step, path, ErrorKind::Other);
        let create = store.create(wl(), workload("web", 1), false).await;
        assert_eq!(create.is_err(), is_refused, "{context}");
        store.faults.mend();
        drop(store.create(wl(), workload("web", 1), false).await);
        eventually("created", || store.get_stored(wl(), "web").is_some()).await;
        store.faults.fail(step, path, ErrorKind::Other);
        let edit = store
            .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
            .await;
        assert_eq!(edit.is_err(), is_refused, "{context}");
        store.faults.mend();
        // What has reached the disk counts as a person's change; what has not can be requested again.
        let edit = || store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)));
        while edit().await.is_err() {}
        store.faults.fail(step, path, ErrorKind::Other);
        let delete = store.delete(wl(), "web", None, None, false).await;
        assert_eq!(delete.is_err(), step != "rename", "{context}");
        store.faults.mend();
        let delete = || store.delete(wl(), "web", None, None, false);
        while !matches!(delete().await, Err(StoreError::NotFound { .. })) {}
        assert!(
            !spec_path(&dir, "web").exists() && !status_path(&dir, "web").exists(),
            "{context}"
        );
        let before = store.contents();
        store.kill().await;
        assert_eq!(Running::open(&dir).await.contents(), before, "{context}");
    }
}

#[tokio::test]
async fn a_persons_change_on_a_full_disk_is_taken_over_when_there_is_room() {
    let dir = dir();
    let often = Duration::from_millis(20);
    let options = StoreOptions {
        rescan: often,
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    let store = Running::with(options).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.faults.fail("", ".journal", ErrorKind::StorageFull);
    let text = "metadata: {name: web}\nspec: {container: c, replicas: 4}\n";
    fs::write(spec_path(&dir, "web"), text).unwrap();
    eventually("reported", || {
        store
            .warnings()
            .iter()
            .any(|event| event.starts_with("StateNotWritable"))
    })
    .await;
    assert_eq!(replicas(&store.get_stored(wl(), "web").unwrap()), 1);
    store.faults.mend();
    eventually("in force", || {
        replicas(&store.get_stored(wl(), "web").unwrap()) == 4
    })
    .await;
}

#[tokio::test]
async fn garbage_in_a_status_file_is_reported_and_the_object_lives_as_if_new() {
    let dir = dir();
    let garbage: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("blank", b" \n"),
        ("torn", b"{\"apiVersion\": \"aegisops.io/v1al"),
        ("binary", b"\x00\xff\xfe"),
        ("yaml", b"status: {}\n"),
        ("wrong", b"[1, 2]"),
    ];
    let store = Running::open(&dir).await;
    for (name, _) in garbage {
        store.create(wl(), workload(name, 2), false).await.unwrap();
    }
    let last = store.revision();
    store.stop().await;
    for (name, bytes) in garbage {
        fs::write(status_path(&dir, name), bytes).unwrap();
    }
    fs::write(status_path(&dir, "orphan"), "{").unwrap();
    let store = Running::open(&dir).await;
    let (_, objects) = store.list_stored(wl());
    assert_eq!(objects.len(), garbage.len());
    assert!(
        objects
            .iter()
            .all(|object| replicas(object) == 2 && object.resource_version > last)
    );
    assert_eq!(
        store
            .warnings()
            .iter()
            .filter(|event| event.starts_with("InvalidStatusFile"))
            .count(),
        7
    );
    assert!(!status_path(&dir, "orphan").exists());
    assert!(dir.path().join("workloads/orphan.status.yaml.rejected").exists());
    let before = store.contents();
    store.kill().await;
    let store = Running::open(&dir).await;
    assert_eq!(store.contents(), before);
    assert!(store.warnings().is_empty());
}

#[tokio::test]
async fn a_status_that_is_none_of_its_kind_is_dropped_and_the_object_kept() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 2), false).await.unwrap();
    store.stop().await;
    let text = fs::read_to_string(status_path(&dir, "web")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["status"] = json!({"replicas": "three"});
    fs::write(status_path(&dir, "web"), file.to_string()).unwrap();
    let store = Running::open(&dir).await;
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), made.uid());
    assert!(store.warnings()[0].contains("it is reset"));
}

#[tokio::test]
async fn an_object_that_a_newer_version_finds_invalid_waits_with_its_identity_until_it_is_repaired() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 2), false).await.unwrap();
    store.stop().await;
    // As if an older version had accepted this.
    let bad = "metadata: {name: web}\nspec: {container: c, replicas: 100000}\n";
    fs::write(spec_path(&dir, "web"), bad).unwrap();
    let text = fs::read_to_string(status_path(&dir, "web")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["accepted"]["spec"]["replicas"] = json!(100_000);
    file["acceptedFile"] = json!(crate::disk::digest::Digest::of(bad.as_bytes()).to_string());
    fs::write(status_path(&dir, "web"), file.to_string()).unwrap();
    let options = || StoreOptions {
        rescan: Duration::from_millis(20),
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    let store = Running::with(options()).await;
    assert!(store.get_stored(wl(), "web").is_none());
    assert!(
        store.broken_files()[0].message.contains("spec.replicas"),
        "{:?}",
        store.broken_files()
    );
    fs::write(
        spec_path(&dir, "web"),
        "metadata: {name: web}\nspec: {container: c}\n",
    )
    .unwrap();
    eventually("repaired", || store.get_stored(wl(), "web").is_some()).await;
    assert_eq!(store.get_stored(wl(), "web").unwrap().uid(), made.uid());
}

#[tokio::test]
async fn leftovers_of_interrupted_writes_are_removed_at_the_start() {
    let dir = dir();
    Running::open(&dir).await.stop().await;
    let torn = dir.path().join("workloads/.web.yaml.aegis-tmp-7");
    let editors = dir.path().join("workloads/.web.yaml.swp");
    let revision = dir.path().join("..revision.aegis-tmp-0");
    for path in [&torn, &editors, &revision] {
        fs::write(path, "metadata: {na").unwrap();
    }
    let store = Running::open(&dir).await;
    assert!(!torn.exists() && !revision.exists() && editors.exists());
    assert!(store.contents().is_empty() && store.broken_files().is_empty());
}

#[tokio::test]
async fn a_caller_that_goes_away_in_the_middle_spoils_nothing() {
    let dir = dir();
    let store = Running::open(&dir).await;
    for n in 0..50 {
        let name = format!("w{n}");
        let impatient = store.create(wl(), workload(&name, 1), false);
        drop(tokio::time::timeout(Duration::from_micros(n * 40), impatient).await);
    }
    store.create(wl(), workload("last", 1), false).await.unwrap();
    let before = store.contents();
    store.kill().await;
    assert_eq!(Running::open(&dir).await.contents(), before);
}

fn finished(hours_ago: i64) -> Value {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    json!({"phase": "RESOLVED", "timeline": [], "finishedAt": at.to_string()})
}

#[tokio::test]
async fn finished_incidents_are_kept_by_count_and_age_and_those_that_decide_stay() {
    let dir = dir();
    let mut options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    options.retention = Retention {
        max_finished: 3,
        max_age: "30d".parse().unwrap(),
        ..Retention::default()
    };
    let store = Running::with(options).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.create(inc(), incident("open"), false).await.unwrap();
    let ages = [
        ("ancient", 24 * 31),
        ("old", 50),
        ("mid", 40),
        ("young", 30),
        ("fresh-a", 1),
        ("fresh-b", 0),
    ];
    for (name, hours) in ages {
        store.create(inc(), incident(name), false).await.unwrap();
        store
            .edit(
                inc(),
                name,
                Part::Status,
                false,
                set("", "status", finished(hours)),
            )
            .await
            .unwrap();
    }
    let names = || -> Vec<String> {
        store
            .list_stored(inc())
            .1
            .iter()
            .map(|i| i.name().to_owned())
            .collect()
    };
    eventually("three finished ones are left", || {
        names() == ["fresh-a", "fresh-b", "open", "young"]
    })
    .await;
    assert!(!dir.path().join("incidents/ancient.yaml").exists());
    assert!(!dir.path().join("incidents/old.status.yaml").exists());
    for n in 0..5 {
        let name = format!("now-{n}");
        store.create(inc(), incident(&name), false).await.unwrap();
        store
            .edit(inc(), &name, Part::Status, false, set("", "status", acted(0)))
            .await
            .unwrap();
    }
    let expected = ["now-0", "now-1", "now-2", "now-3", "now-4", "open"];
    eventually(
        "what budgets are counted from stays, the rest goes at once",
        || names() == expected,
    )
    .await;
}

/// An incident that has come to its end with this status.
async fn create_finished(store: &Running, name: &str, status: Value) {
    store.create(inc(), incident(name), false).await.unwrap();
    let edit = store.edit(inc(), name, Part::Status, false, set("", "status", status));
    edit.await.unwrap();
}

/// Of one that restarted its workload.
fn acted(hours_ago: i64) -> Value {
    let mut status = finished(hours_ago);
    let at = status["finishedAt"].clone();
    status["plan"] = json!({"hash": "h", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {},
        "createdAt": at});
    status["execution"] = json!({"appliedAt": at});
    status
}

#[tokio::test]
async fn i12_a_directory_of_too_many_is_thinned_before_it_is_loaded() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store.create(inc(), incident("open"), false).await.unwrap();
    for n in 0..30 {
        let name = format!("i-{n:02}");
        let status = if n == 3 { acted(0) } else { finished(100 - n) };
        create_finished(&store, &name, status).await;
    }
    let revision = store.revision();
    store.kill().await;
    let mut options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    options.retention.max_finished = 5;
    let events = EventRecorder::new();
    // Without its driver: what is gone now was never loaded.
    let (store, _driver) = Store::open_with(options, events, Faults::default())
        .await
        .unwrap();
    let names: Vec<String> = store
        .list_stored(inc())
        .1
        .iter()
        .map(|i| i.name().to_owned())
        .collect();
    assert_eq!(names, ["i-03", "i-26", "i-27", "i-28", "i-29", "open"]);
    assert!(!dir.path().join("incidents/i-00.yaml").exists());
    assert!(!dir.path().join("incidents/i-25.status.yaml").exists());
    assert!(store.revision() >= revision, "no revision is given out twice");
    let page = store.audit().page(None, 1).await.unwrap();
    assert!(page.lines[0].contains("25 finished ones"), "{page:?}");
}

#[tokio::test]
async fn i12_what_cannot_be_removed_is_not_tried_again_without_end() {
    let dir = dir();
    let mut options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    options.retention.max_finished = 5;
    let store = Running::with(options).await;
    store
        .faults
        .fail("unlink", "incidents", ErrorKind::PermissionDenied);
    for n in 0..100 {
        let name = format!("i-{n:02}");
        create_finished(&store, &name, finished(100 - n)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let page = store.audit().page(None, 1000).await.unwrap();
    let undone = page
        .lines
        .iter()
        .filter(|line| line.contains("\"undone\""))
        .count();
    assert!((1..=64).contains(&undone), "{undone} tries");
    assert_eq!(store.list_stored(inc()).1.len(), 100);
}

#[tokio::test]
async fn i12_what_only_the_journal_has_is_thinned_and_put_aside_with_the_rest() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store
        .faults
        .fail("create", ".status.yaml", ErrorKind::StorageFull);
    for n in 0..20 {
        let name = format!("i-{n:02}");
        store.create(inc(), incident(&name), false).await.unwrap();
        if n < 10 {
            let status = set("", "status", finished(100 - n));
            store
                .edit(inc(), &name, Part::Status, false, status)
                .await
                .unwrap();
        }
    }
    store.kill().await;
    let faults = Faults::default();
    let folder = dir.path().join("incidents");
    faults.fail("create", &folder.display().to_string(), ErrorKind::StorageFull);
    let mut options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    (options.retention.max_finished, options.retention.max_open) = (4, 5);
    let store = Running::try_with(options.clone(), faults.clone()).await.unwrap();
    assert_eq!(store.list_stored(inc()).1.len(), 9);
    faults.mend();
    let kept = store.contents();
    let (_, objects) = store.list_stored(inc());
    for object in &objects {
        status_placed(&dir, object).await;
    }
    store.stop().await;
    let folder = |name: &str| {
        let files = fs::read_dir(dir.path().join(name)).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .count()
    };
    assert_eq!(folder("incidents"), 18, "of none that was removed or put aside");
    assert_eq!(folder(".aside/incidents"), 10, "both files of each");
    let store = Running::with(options).await;
    assert_eq!(store.contents(), kept);
}

#[tokio::test]
async fn i12_a_repeat_that_is_only_counted_leaves_no_picture_in_the_audit_log() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(inc(), incident("i"), false).await.unwrap();
    store
        .edit(inc(), "i", Part::Spec, false, set("/spec", "count", json!(7)))
        .await
        .unwrap();
    let line = store.audit().page(None, 1).await.unwrap().lines.remove(0);
    assert!(line.contains("count 1 → 7") && !line.contains("before"), "{line}");
    // Another id that is folded into it is counted, and listed on the incident.
    let fold = |current: &Stored| {
        let mut object = current.value();
        object["spec"]["count"] = json!(8);
        object["spec"]["source"] = json!({"kind": "webhook", "joined": [
            {"incidentId": "other", "alertType": "x", "fingerprint": "", "severity": "warning"}]});
        Ok(object)
    };
    let own_source = set("/spec", "source", json!({"kind": "webhook"}));
    store
        .edit(inc(), "i", Part::Spec, false, own_source)
        .await
        .unwrap();
    store.edit(inc(), "i", Part::Spec, false, fold).await.unwrap();
    let line = store.audit().page(None, 1).await.unwrap().lines.remove(0);
    let said = "count 7 → 8, other ids that joined: 1";
    assert!(line.contains(said) && !line.contains("before"), "{line}");
    store
        .edit(
            inc(),
            "i",
            Part::Spec,
            false,
            set("/spec", "severity", json!("critical")),
        )
        .await
        .unwrap();
    let line = store.audit().page(None, 1).await.unwrap().lines.remove(0);
    assert!(line.contains("\"before\""), "{line}");
}

#[tokio::test(start_paused = true)]
async fn retention_is_seen_to_every_hour_of_virtual_time() {
    let dir = dir();
    let start = tokio::time::Instant::now();
    let wall = jiff::Timestamp::now();
    let clock = crate::store::Clock::new(move || {
        aegis_api::Time(wall + jiff::SignedDuration::try_from(start.elapsed()).unwrap())
    });
    let mut options = StoreOptions {
        watch_files: false,
        clock,
        ..StoreOptions::new(dir.path())
    };
    options.retention.max_age = "3h".parse().unwrap();
    let store = Running::with(options).await;
    store.create(inc(), incident("i"), false).await.unwrap();
    store
        .edit(inc(), "i", Part::Status, false, set("", "status", finished(0)))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert!(store.get_stored(inc(), "i").is_some());
    tokio::time::sleep(Duration::from_secs(3601)).await;
    eventually("gone", || store.get_stored(inc(), "i").is_none()).await;
}

#[tokio::test]
async fn a_driver_on_a_thread_of_its_own_stores_the_same_and_ends_in_order() {
    let dir = dir();
    let (store, driver) = Store::open_with(
        StoreOptions::new(dir.path()),
        EventRecorder::new(),
        Faults::default(),
    )
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let driver = tokio::spawn(driver.run_on_a_thread(stop.clone()));
    let names: Vec<String> = (0..40).map(|n| format!("w-{n:02}")).collect();
    let made = names
        .iter()
        .map(|name| store.create(wl(), workload(name, 1), false));
    for made in futures::future::join_all(made).await {
        made.unwrap();
    }
    for name in &names {
        let edit = store.edit(wl(), name, Part::Spec, false, set("/spec", "replicas", json!(2)));
        assert_eq!(replicas(&edit.await.unwrap()), 2);
    }
    stop.cancel();
    driver.await.unwrap().unwrap();
    let closed = store.create(wl(), workload("late", 1), false).await;
    assert!(matches!(closed, Err(StoreError::Closed)));
    drop(store);
    let store = Running::open(&dir).await;
    let (_, objects) = store.list_stored(wl());
    assert_eq!(objects.len(), 40);
    assert!(objects.iter().all(|object| replicas(object) == 2));
}

#[tokio::test]
async fn a_rewritten_file_keeps_its_mode_and_a_new_one_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let mode = || fs::metadata(spec_path(&dir, "web")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(spec_path(&dir, "web"), fs::Permissions::from_mode(0o664)).unwrap();
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    assert_eq!(mode(), 0o664);
}

#[tokio::test]
async fn i12_open_incidents_over_the_cap_are_put_aside_at_the_start_and_none_is_lost() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    for n in 0..30 {
        store
            .create(inc(), incident(&format!("i-{n:02}")), false)
            .await
            .unwrap();
    }
    let status = json!({"phase": "EXECUTING", "timeline": [], "plan": {"hash": "h", "action": "RESTART", "target": "web",
        "parentGeneration": 1, "patch": {}, "createdAt": "2026-01-31T12:00:00Z"}});
    store
        .edit(inc(), "i-29", Part::Status, false, set("", "status", status))
        .await
        .unwrap();
    store.stop().await;
    let mut options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    options.retention.max_open = 10;
    let store = Running::with(options.clone()).await;
    let names = |store: &Running| -> Vec<String> {
        let (_, objects) = store.list_stored(inc());
        objects.iter().map(|object| object.name().to_owned()).collect()
    };
    let kept = names(&store);
    assert_eq!(kept.len(), 10);
    assert!(
        kept.contains(&"i-00".to_owned()) && kept.contains(&"i-29".to_owned()),
        "{kept:?}"
    );
    let page = store.audit().page(None, 1).await.unwrap();
    assert!(
        page.lines[0].contains("20 open ones") && page.lines[0].contains(".aside"),
        "{page:?}"
    );
    let warned = store.warnings();
    assert!(
        warned.iter().any(|warning| warning.contains(".aside")),
        "{warned:?}"
    );
    store.stop().await;
    for file in fs::read_dir(dir.path().join(".aside/incidents")).unwrap() {
        let file = file.unwrap();
        fs::rename(file.path(), dir.path().join("incidents").join(file.file_name())).unwrap();
    }
    options.retention.max_open = 100;
    let store = Running::with(options).await;
    assert_eq!(names(&store).len(), 30, "moved back, they are there as they were");
    assert!(store.broken_files().is_empty());
}

#[tokio::test]
async fn i12_a_full_disk_takes_finished_incidents_that_did_nothing() {
    let dir = dir();
    let store = Running::open(&dir).await;
    for n in 0..40 {
        let name = format!("i-{n:02}");
        create_finished(&store, &name, finished(100 - n)).await;
    }
    store.faults.fail("create", "", ErrorKind::StorageFull);
    let refused = store.create(wl(), workload("web", 1), false).await.unwrap_err();
    assert!(refused.is_full(), "{refused}");
    eventually("some of them make room", || store.list_stored(inc()).1.len() < 40).await;
    assert!(store.get_stored(inc(), "i-00").is_none() && store.get_stored(inc(), "i-39").is_some());
    store.faults.mend();
    store.create(wl(), workload("web", 1), false).await.unwrap();
}
