//! The power goes between any two system calls: every such point of a scenario is tried, and the directory opened
//! again. What was acknowledged is there, what was not is wholly there or wholly not, and nothing is reported broken.

use super::*;
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
            !answered.status || object.value["status"]["replicas"] == 2,
            "{context}"
        );
        assert!(
            !answered.held || object.value["metadata"]["finalizers"] == json!(["f"]),
            "{context}"
        );
        assert!(!answered.marked || object.is_deleting(), "{context}");
        assert!(
            object.value["metadata"]["generation"].as_i64().unwrap()
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
