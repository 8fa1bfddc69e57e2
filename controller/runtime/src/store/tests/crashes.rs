//! The power goes between any two system calls: every such point of a scenario is tried, and the directory opened
//! again. What was acknowledged is there, what was not is wholly there or wholly not, and nothing is reported broken.

use super::*;
use crate::disk::faults::Left;
use crate::store::Part;
use aegis_api::workload::Workload;

/// What was answered to the callers, in order.
#[derive(Debug, Default)]
struct Answered {
    created: bool,
    edited: bool,
    status: bool,
    held: bool,
    marked: bool,
    other: bool,
    gone: bool,
    recreated: Option<String>,
}

async fn scenario(store: &Running) -> Answered {
    let mut answered = Answered::default();
    let Ok(made) = store.create(wl(), workload("web", 1), false).await else {
        return answered;
    };
    answered.created = true;
    let uid = made.uid().to_owned();
    let edit = store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)));
    answered.edited = edit.await.is_ok();
    let status = store.edit(
        wl(),
        "web",
        Part::Status,
        false,
        set("", "status", json!({"replicas": 2})),
    );
    answered.status = status.await.is_ok();
    // One batch of several objects and parts.
    let (held, other) = tokio::join!(
        store.set_finalizers::<Workload>("web", &uid, vec!["f".into()]),
        store.create(wl(), workload("other", 1), false),
    );
    (answered.held, answered.other) = (held.is_ok(), other.is_ok());
    answered.marked = store.delete(wl(), "web", None, None, false).await.is_ok() && answered.held;
    answered.gone = store
        .set_finalizers::<Workload>("web", &uid, vec![])
        .await
        .is_ok()
        && answered.marked;
    if answered.gone {
        let again = store.create(wl(), workload("web", 9), false).await;
        answered.recreated = again.ok().map(|object| object.uid().to_owned());
    }
    answered
}

fn check(step: usize, answered: &Answered, store: &Running) {
    let web = store.get_stored(wl(), "web");
    let context = format!("step {step}: answered {answered:?}, found {web:?}");
    let first = web.as_ref().filter(|object| replicas(object) != 9);
    if answered.created && !answered.marked && !answered.held {
        assert!(first.is_some(), "{context}");
    }
    if let Some(object) = first {
        assert!(!answered.gone, "{context}");
        assert!(!answered.edited || replicas(object) == 2, "{context}");
        assert!(
            !answered.status || object.value()["status"]["replicas"] == 2,
            "{context}"
        );
        assert!(
            !answered.held || object.value()["metadata"]["finalizers"] == json!(["f"]),
            "{context}"
        );
        assert!(!answered.marked || object.is_deleting(), "{context}");
        assert!(
            object.value()["metadata"]["generation"].as_i64().unwrap()
                >= i64::try_from(replicas(object)).unwrap()
        );
    }
    if answered.marked && !answered.gone {
        assert!(
            web.is_none() || web.as_ref().is_some_and(|object| object.is_deleting()),
            "{context}"
        );
    }
    if let Some(uid) = &answered.recreated {
        assert!(
            web.as_ref().is_some_and(|object| object.uid() == uid),
            "{context}"
        );
    }
    assert!(
        !answered.other || store.get_stored(wl(), "other").is_some(),
        "{context}"
    );
    assert!(
        store.broken_files().is_empty(),
        "{context}: {:?}",
        store.broken_files()
    );
    assert!(store.warnings().is_empty(), "{context}: {:?}", store.warnings());
}

fn leftovers(dir: &TempDir) -> Vec<String> {
    let files = std::fs::read_dir(dir.path().join("workloads")).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect()
}

#[tokio::test]
async fn i10_a_crash_between_any_two_system_calls_loses_nothing_acknowledged() {
    let mut step = 0;
    loop {
        let dir = dir();
        let store = Running::open(&dir).await;
        store.faults.crash_at(step);
        let answered = scenario(&store).await;
        let complete = answered.recreated.is_some();
        store.kill().await;
        let store = Running::open(&dir).await;
        check(step, &answered, &store);
        assert_eq!(leftovers(&dir), [""; 0], "step {step}");
        // A second restart finds what the first one left.
        let before = store.contents();
        store.kill().await;
        assert_eq!(Running::open(&dir).await.contents(), before, "step {step}");
        if complete {
            break;
        }
        step += 1;
    }
    assert!(step > 40, "the scenario has only {step} steps");
}

#[tokio::test]
async fn a_crash_at_any_step_of_the_start_itself_leaves_a_directory_that_opens() {
    let mut step = 0;
    loop {
        let dir = dir();
        let store = Running::open(&dir).await;
        for name in ["edited", "deleted", "garbage"] {
            store.create(wl(), workload(name, 1), false).await.unwrap();
        }
        let uid = store.get_stored(wl(), "edited").unwrap().uid().to_owned();
        store.stop().await;
        std::fs::write(
            spec_path(&dir, "edited"),
            "metadata: {name: edited}\nspec: {container: c, replicas: 2}",
        )
        .unwrap();
        std::fs::write(
            spec_path(&dir, "new"),
            "metadata: {name: new}\nspec: {container: c}",
        )
        .unwrap();
        std::fs::remove_file(spec_path(&dir, "deleted")).unwrap();
        std::fs::write(status_path(&dir, "garbage"), "").unwrap();
        let faults = Faults::default();
        faults.crash_at(step);
        let options = StoreOptions {
            watch_files: false,
            ..StoreOptions::new(dir.path())
        };
        let opened = Running::try_with(options, faults).await;
        let complete = opened.is_ok();
        if let Ok(store) = opened {
            store.kill().await;
        }
        let store = Running::open(&dir).await;
        let names: Vec<String> = store
            .list_stored(wl())
            .1
            .iter()
            .map(|object| object.name().to_owned())
            .collect();
        assert_eq!(names, ["edited", "garbage", "new"], "step {step}");
        let edited = store.get_stored(wl(), "edited").unwrap();
        assert_eq!(
            (edited.uid(), replicas(&edited)),
            (uid.as_str(), 2),
            "step {step}"
        );
        if complete {
            break;
        }
        step += 1;
    }
    assert!(step > 10, "the start has only {step} steps");
}

/// What was written to the audit log and not made durable is not there: here all of it, or half of a line. A record that a
/// change was undone is made durable by itself, and what is before it with it.
fn tear_audit_log(dir: &TempDir, left: Left) {
    let files = std::fs::read_dir(dir.path().join(".audit")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")) {
        let bytes = std::fs::read(&path).unwrap();
        let synced = String::from_utf8_lossy(&bytes).contains("\"undone\"");
        let length = match left {
            _ if synced => bytes.len(),
            Left::Before => 0,
            Left::Empty | Left::Half | Left::Anothers => bytes.len().saturating_sub(20),
        };
        std::fs::write(&path, &bytes[..length]).unwrap();
    }
}

async fn audited(store: &Running) -> Vec<String> {
    let page = store.audit().page(Some(0), 1000).await.unwrap();
    let mut chain = aegis_api::audit::Chain::default();
    let name = |line: &String| {
        let record = chain.check(line).unwrap();
        format!(
            "{} {}",
            record["verb"].as_str().unwrap(),
            record["name"].as_str().unwrap()
        )
    };
    page.lines.iter().map(name).collect()
}

#[tokio::test]
async fn i10_a_loss_of_power_between_any_two_system_calls_loses_nothing_acknowledged() {
    for left in [Left::Before, Left::Empty, Left::Half, Left::Anothers] {
        let mut step = 0;
        loop {
            let dir = dir();
            let store = Running::open(&dir).await;
            store.faults.crash_at(step);
            let answered = scenario(&store).await;
            let complete = answered.recreated.is_some();
            let faults = store.faults.clone();
            // Nothing of it reaches the disk any more, and nothing is under way after it.
            store.stop().await;
            let faults = faults.lose_power(left);
            tear_audit_log(&dir, left);
            let options = StoreOptions {
                watch_files: false,
                ..StoreOptions::new(dir.path())
            };
            let store = Running::try_with(options, faults).await.unwrap();
            check(step, &answered, &store);
            assert_eq!(leftovers(&dir), [""; 0], "step {step}");
            let audited = audited(&store).await;
            if answered.created {
                assert!(
                    audited.contains(&"create web".to_owned()),
                    "step {step}, {left:?}: {audited:?}"
                );
            }
            let before = store.contents();
            store.kill().await;
            assert_eq!(
                Running::open(&dir).await.contents(),
                before,
                "step {step}, {left:?}"
            );
            if complete {
                break;
            }
            step += 1;
        }
        assert!(step > 40, "the scenario has only {step} steps");
    }
}

#[tokio::test]
async fn i10_nothing_is_lost_while_the_journal_is_emptied_behind_the_writes() {
    for left in [Left::Before, Left::Empty] {
        for step in (0..160).step_by(3) {
            let dir = dir();
            let store = Running::open(&dir).await;
            // Each change turns to the other file, and what the one has is made durable meanwhile.
            store.faults.limit_journal(1);
            store.faults.crash_at(step);
            let answered = scenario(&store).await;
            let faults = store.faults.clone();
            store.kill().await;
            // A share of the lock is held until what was on its way has ended.
            let lock = Running::open(&dir).await;
            check(step, &answered, &lock);
            lock.kill().await;
            let faults = faults.lose_power(left);
            let options = StoreOptions {
                watch_files: false,
                ..StoreOptions::new(dir.path())
            };
            let store = Running::try_with(options, faults).await.unwrap();
            check(step, &answered, &store);
        }
    }
}

#[tokio::test]
async fn a_persons_edit_is_not_undone_by_the_journal_however_the_process_ended() {
    let text = "metadata: {name: web}\nspec: {container: c, replicas: 7}\n";
    for left in [None, Some(Left::Before), Some(Left::Half), Some(Left::Anothers)] {
        let dir = dir();
        let store = Running::open(&dir).await;
        for name in ["web", "gone", "left"] {
            store.create(wl(), workload(name, 1), false).await.unwrap();
        }
        let edit = store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)));
        edit.await.unwrap();
        let faults = store.faults.clone();
        store.kill().await;
        let faults = left.map_or_else(Faults::default, |left| faults.lose_power(left));
        std::fs::write(spec_path(&dir, "web"), text).unwrap();
        if left.is_none() {
            std::fs::remove_file(spec_path(&dir, "gone")).unwrap();
        }
        let options = StoreOptions {
            watch_files: false,
            deletion_hold: Duration::from_millis(1),
            rescan: Duration::from_millis(20),
            ..StoreOptions::new(dir.path())
        };
        let store = Running::try_with(options, faults).await.unwrap();
        assert_eq!(replicas(&store.get_stored(wl(), "web").unwrap()), 7, "{left:?}");
        assert_eq!(std::fs::read_to_string(spec_path(&dir, "web")).unwrap(), text);
        assert!(store.get_stored(wl(), "left").is_some(), "{left:?}");
        match left {
            None => eventually("deleted by hand", || store.get_stored(wl(), "gone").is_none()).await,
            Some(_) => assert!(store.get_stored(wl(), "gone").is_some(), "{left:?}"),
        }
    }
}

#[tokio::test]
async fn a_journal_of_any_bytes_is_no_reason_not_to_start() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    status_placed(&dir, &made).await;
    let before = store.contents();
    store.kill().await;
    let journal = dir.path().join(".journal/a");
    let whole = std::fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    for bytes in [
        &b""[..],
        &b"garbage"[..],
        &[0xff; 8192][..],
        &whole[..whole.len() / 3],
        &whole[..60],
        &damaged[..],
    ] {
        std::fs::write(&journal, bytes).unwrap();
        let store = Running::open(&dir).await;
        assert_eq!(store.contents(), before);
        store.create(wl(), workload("other", 1), false).await.unwrap();
        store.delete(wl(), "other", None, None, false).await.unwrap();
        store.kill().await;
    }
    std::fs::remove_dir_all(dir.path().join(".journal")).unwrap();
    let store = Running::open(&dir).await;
    assert_eq!(store.contents(), before);
    // Somebody tidies up while it runs.
    store.create(wl(), workload("other", 1), false).await.unwrap();
    std::fs::remove_dir_all(dir.path().join(".journal")).unwrap();
    store.create(wl(), workload("third", 1), false).await.unwrap();
    let faults = store.faults.clone();
    store.kill().await;
    let options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    let store = Running::try_with(options, faults.lose_power(Left::Empty))
        .await
        .unwrap();
    assert!(store.get_stored(wl(), "third").is_some());
}

#[tokio::test]
async fn a_change_waits_for_one_sync_and_an_orderly_end_leaves_the_journal_empty() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let before = store.faults.counts();
    store.create(wl(), workload("other", 1), false).await.unwrap();
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    let counts = store.faults.counts();
    let since = |step: &str| counts.get(step).unwrap_or(&0) - before.get(step).unwrap_or(&0);
    assert_eq!(since("journal fsync"), 2, "{counts:?}");
    assert_eq!((since("fsync"), since("fsync folder")), (0, 0), "{counts:?}");
    store.stop().await;
    let journal = std::fs::read(dir.path().join(".journal/a")).unwrap();
    assert!(journal[..64].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn what_waits_is_committed_in_batches_of_bounded_size_and_small_changes_in_one() {
    let dir = dir();
    let store = Running::open(&dir).await;
    for (name, bytes, fits) in [("small", 10, true), ("large", 250 << 10, false)] {
        let before = store.faults.counts();
        let made = (0..80).map(|n| {
            let mut object = workload(&format!("{name}{n}"), 1);
            object["metadata"]["annotations"] = json!({"note": "x".repeat(bytes)});
            store.create(wl(), object, false)
        });
        let made = futures::future::join_all(made).await;
        assert!(made.iter().all(Result::is_ok));
        let counts = store.faults.counts();
        let commits = counts["journal fsync"] - before.get("journal fsync").copied().unwrap_or(0);
        assert_eq!(commits <= 2, fits, "{name}: {commits}");
    }
}

/// Replicas in the status of every workload, by name.
fn statuses(store: &Running) -> Vec<(String, Value)> {
    let (_, objects) = store.list_stored(wl());
    let of = |object: &std::sync::Arc<super::super::Stored>| {
        let replicas = object.value()["status"]["replicas"].clone();
        (object.name().to_owned(), replicas)
    };
    objects.iter().map(of).collect()
}

async fn set_status(store: &Running, name: &str, replicas: u32) {
    let status = set("", "status", json!({"replicas": replicas}));
    let edit = store.edit(wl(), name, Part::Status, false, status);
    edit.await.unwrap();
}

#[tokio::test]
async fn i10_status_files_that_cannot_be_placed_stay_in_the_journal_and_hold_up_nothing() {
    let dir = dir();
    let store = Running::open(&dir).await;
    for name in ["stuck", "free"] {
        store.create(wl(), workload(name, 1), false).await.unwrap();
    }
    store
        .faults
        .fail("create", "stuck.status.yaml", std::io::ErrorKind::StorageFull);
    // Each change turns to the other file of the journal, which cannot be emptied without what is stuck.
    store.faults.limit_journal(1);
    for n in 2..30 {
        set_status(&store, "stuck", n).await;
        set_status(&store, "free", n).await;
    }
    let before = store.contents();
    assert_eq!(
        statuses(&store),
        [("free".into(), json!(29)), ("stuck".into(), json!(29))]
    );
    store.kill().await;
    let faults = Faults::default();
    faults.fail("create", "stuck.status.yaml", std::io::ErrorKind::StorageFull);
    let options = || StoreOptions {
        watch_files: false,
        ..StoreOptions::new(dir.path())
    };
    let store = Running::try_with(options(), faults.clone()).await.unwrap();
    assert_eq!(store.contents(), before, "served from the journal");
    set_status(&store, "free", 30).await;
    store.stop().await;
    let store = Running::try_with(options(), faults.clone()).await.unwrap();
    faults.mend();
    let stuck = store.get_stored(wl(), "stuck").unwrap();
    status_placed(&dir, &stuck).await;
    let before = store.contents();
    store.stop().await;
    std::fs::remove_dir_all(dir.path().join(".journal")).unwrap();
    assert_eq!(
        Running::open(&dir).await.contents(),
        before,
        "the files have all of it"
    );
}

#[tokio::test]
async fn i10_no_status_file_is_put_into_a_folder_that_is_not_the_one_that_was_loaded() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store
        .faults
        .fail("create", "web.status.yaml", std::io::ErrorKind::Other);
    set_status(&store, "web", 5).await;
    let (folder, away) = (dir.path().join("workloads"), dir.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    std::fs::create_dir(&folder).unwrap();
    store.faults.mend();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    let web = store.get_stored(wl(), "web").unwrap();
    status_placed(&dir, &web).await;
    assert_eq!(statuses(&store), [("web".into(), json!(5))]);
}

#[tokio::test]
async fn of_many_versions_of_a_status_in_a_moment_few_are_put_in_place() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    status_placed(&dir, &made).await;
    let renames = || store.faults.counts().get("rename").copied().unwrap_or_default();
    let before = renames();
    for n in 0..500 {
        set_status(&store, "web", n).await;
    }
    let web = store.get_stored(wl(), "web").unwrap();
    status_placed(&dir, &web).await;
    assert!(renames() - before < 400, "{}", renames() - before);
    let before = store.contents();
    store.kill().await;
    assert_eq!(Running::open(&dir).await.contents(), before);
}

#[tokio::test]
async fn i10_a_journal_that_is_removed_while_status_files_wait_loses_none_of_them() {
    let dir = dir();
    let store = Running::open(&dir).await;
    for name in ["web", "other"] {
        store.create(wl(), workload(name, 1), false).await.unwrap();
    }
    store
        .faults
        .fail("create", ".status.yaml", std::io::ErrorKind::StorageFull);
    set_status(&store, "web", 7).await;
    std::fs::remove_dir_all(dir.path().join(".journal")).unwrap();
    set_status(&store, "other", 8).await;
    let before = store.contents();
    store.kill().await;
    assert_eq!(Running::open(&dir).await.contents(), before);
}
