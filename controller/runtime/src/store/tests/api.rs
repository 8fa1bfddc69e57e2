//! What callers of the store may rely on.

use super::*;
use crate::store::{Part, Verb};
use aegis_api::workload::{Workload, WorkloadStatus};
use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};

#[tokio::test]
async fn a_created_object_has_complete_metadata_and_both_files() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let mut object = workload("web", 2);
    object["metadata"]["uid"] = json!("mine");
    object["metadata"]["finalizers"] = json!(["x"]);
    object["status"] = json!({"replicas": 9});
    let stored = store.create(wl(), object, false).await.unwrap();
    let metadata = &stored.value()["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["generation"], 1);
    assert_eq!(metadata["resourceVersion"], stored.resource_version.to_string());
    assert!(metadata["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(stored.uid().len(), 36);
    assert!(metadata.get("finalizers").is_none() && stored.value().get("status").is_none());
    assert_eq!(stored.value()["apiVersion"], "aegisops.io/v1alpha1");
    let text = std::fs::read_to_string(spec_path(&dir, "web")).unwrap();
    assert!(text.contains("replicas: 2") && !text.contains("uid"), "{text}");
    status_placed(&dir, &stored).await;
    assert_eq!(store.get::<Workload>("web").unwrap().spec.replicas, 2);
    assert_eq!(store.list::<Workload>().len(), 1);
    assert_eq!(store.list_stored(wl()).0, stored.resource_version);
}

#[tokio::test]
async fn refusals_name_the_object_and_the_field() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let again = store.create(wl(), workload("web", 1), false).await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { .. }), "{again}");
    let bad = store
        .create(
            wl(),
            json!({"metadata": {"name": "x"}, "spec": {"replicaz": 1}}),
            false,
        )
        .await
        .unwrap_err();
    assert!(bad.to_string().contains("spec.replicaz"), "{bad}");
    let kind = store
        .create(
            wl(),
            json!({"kind": "Incident", "metadata": {"name": "x"}, "spec": {}}),
            false,
        )
        .await;
    assert!(
        kind.unwrap_err()
            .to_string()
            .contains("kind: Invalid value: \"Incident\"")
    );
    for name in ["", "../x", "web.status", "UPPER"] {
        let error = store.create(wl(), workload(name, 1), false).await.unwrap_err();
        assert!(error.to_string().contains("metadata.name"), "{name}: {error}");
    }
    let missing = store
        .edit(wl(), "nope", Part::Spec, false, |current| Ok(current.value()))
        .await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
    let renamed = store
        .edit(
            wl(),
            "web",
            Part::Spec,
            false,
            set("/metadata", "name", json!("other")),
        )
        .await;
    assert!(renamed.unwrap_err().to_string().contains("metadata.name"));
    assert_eq!(store.list_stored(wl()).1.len(), 1);
}

#[tokio::test]
async fn a_spec_edit_bumps_the_generation_and_a_label_does_not() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let first = store.create(wl(), workload("web", 1), false).await.unwrap();
    let spec = store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(3)))
        .await
        .unwrap();
    assert_eq!(spec.value()["metadata"]["generation"], 2);
    let label = store
        .edit(
            wl(),
            "web",
            Part::Spec,
            false,
            set("/metadata", "labels", json!({"a": "b"})),
        )
        .await
        .unwrap();
    assert_eq!(label.value()["metadata"]["generation"], 2);
    assert!(label.resource_version > spec.resource_version && spec.resource_version > first.resource_version);
    let text = std::fs::read_to_string(spec_path(&dir, "web")).unwrap();
    assert!(text.contains("a: b") && text.contains("replicas: 3"), "{text}");
}

#[tokio::test]
async fn only_the_named_part_of_an_edit_is_taken() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let both = |current: &crate::store::Stored| {
        let mut object = current.value();
        object["spec"]["replicas"] = json!(7);
        object["status"] = json!({"replicas": 7});
        object["metadata"]["finalizers"] = json!(["f"]);
        object["metadata"]["uid"] = json!("other");
        Ok(object)
    };
    let before = std::fs::read(spec_path(&dir, "web")).unwrap();
    let status = store.edit(wl(), "web", Part::Status, false, both).await.unwrap();
    assert_eq!(replicas(&status), 1);
    assert_eq!(status.value()["status"]["replicas"], 7);
    assert_eq!(std::fs::read(spec_path(&dir, "web")).unwrap(), before);
    let spec = store
        .edit(
            wl(),
            "web",
            Part::Spec,
            false,
            set("", "status", json!({"replicas": 1})),
        )
        .await
        .unwrap();
    assert_eq!(spec.value()["status"]["replicas"], 7);
    let finalizers = store
        .edit(wl(), "web", Part::Finalizers, false, both)
        .await
        .unwrap();
    assert_eq!(finalizers.value()["metadata"]["finalizers"], json!(["f"]));
    assert_eq!(finalizers.value()["metadata"]["generation"], 1);
    assert_ne!(finalizers.uid(), "other");
}

#[tokio::test]
async fn an_edit_that_changes_nothing_makes_no_version_and_no_event() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    store
        .set_status::<Workload>("web", made.uid(), WorkloadStatus::default())
        .await
        .unwrap();
    let mut watch = store.watch(None).unwrap();
    let before = store.revision();
    for part in [Part::Spec, Part::Status, Part::Finalizers] {
        store
            .edit(wl(), "web", part, false, |current| Ok(current.value()))
            .await
            .unwrap();
    }
    store
        .set_status::<Workload>("web", made.uid(), WorkloadStatus::default())
        .await
        .unwrap();
    store
        .edit_spec::<Workload, _>("web", |workload| Ok(workload.spec.clone()))
        .await
        .unwrap();
    assert_eq!(store.revision(), before);
    assert!(watch.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_typed_edit_changes_only_what_it_changes() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let object =
        json!({"metadata": {"name": "web"}, "spec": {"container": "c", "health": {"tcp": {"port": 80}}}});
    store.create(wl(), object, false).await.unwrap();
    let edited = store.edit_spec::<Workload, _>("web", |workload| {
        let mut spec = workload.spec.clone();
        spec.replicas = 3;
        Ok(spec)
    });
    assert_eq!(edited.await.unwrap().spec.replicas, 3);
    let spec = store.get_stored(wl(), "web").unwrap().value()["spec"].clone();
    assert_eq!(
        spec,
        json!({"container": "c", "replicas": 3, "health": {"tcp": {"port": 80}}})
    );
}

#[tokio::test]
async fn status_of_another_object_of_the_same_name_is_refused() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let status = WorkloadStatus {
        replicas: 3,
        ..WorkloadStatus::default()
    };
    let other = store.set_status::<Workload>("web", "another-uid", status).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn an_edit_is_a_compare_and_set_however_many_make_one_at_once() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let edits = (0..100).map(|_| {
        store.edit(wl(), "web", Part::Spec, false, |current| {
            let mut object = current.value();
            object["spec"]["replicas"] = json!(replicas(current) + 1);
            Ok(object)
        })
    });
    let results = futures::future::join_all(edits).await;
    assert!(results.iter().all(Result::is_ok));
    let stored = store.get_stored(wl(), "web").unwrap();
    assert_eq!(replicas(&stored), 101);
    assert_eq!(stored.value()["metadata"]["generation"], 101);
}

#[tokio::test]
async fn an_edit_that_refuses_or_panics_changes_nothing_and_stops_no_other() {
    let dir = dir();
    let store = Running::open(&dir).await;
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let panicking = store.edit(wl(), "web", Part::Spec, false, |_| panic!("a caller's bug"));
    assert!(matches!(panicking.await, Err(StoreError::Refused { .. })));
    let refusing = store.edit(wl(), "web", Part::Spec, false, |_| Err(StoreError::Closed));
    assert!(matches!(refusing.await, Err(StoreError::Closed)));
    assert!(
        store
            .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_dry_run_answers_as_if_and_leaves_no_trace() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("a", 1), true).await.unwrap();
    assert_eq!(made.name(), "a");
    assert!(store.get_stored(wl(), "a").is_none() && !spec_path(&dir, "a").exists());
    let real = store.create(wl(), workload("a", 1), false).await.unwrap();
    let edited = store
        .edit(wl(), "a", Part::Spec, true, set("/spec", "replicas", json!(5)))
        .await
        .unwrap();
    assert_eq!(
        (replicas(&edited), edited.resource_version),
        (5, real.resource_version)
    );
    store.delete(wl(), "a", None, None, true).await.unwrap();
    assert_eq!(replicas(&store.get_stored(wl(), "a").unwrap()), 1);
    assert_eq!(store.revision(), real.resource_version);
}

#[tokio::test]
async fn a_watch_sees_every_change_in_order_with_what_was_before() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let start = store.revision();
    let mut live = store.watch(None).unwrap();
    store.create(wl(), workload("web", 1), false).await.unwrap();
    store
        .edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2)))
        .await
        .unwrap();
    store.delete(wl(), "web", None, None, false).await.unwrap();
    let replay = store.watch(Some(start)).unwrap();
    let mut versions = Vec::new();
    for events in [
        live.by_ref().take(3).collect::<Vec<_>>().await,
        replay.take(3).collect().await,
    ] {
        let verbs: Vec<Verb> = events.iter().map(|event| event.verb).collect();
        assert_eq!(verbs, [Verb::Added, Verb::Modified, Verb::Deleted]);
        assert_eq!(replicas(events[1].old.as_ref().unwrap()), 1);
        assert!(
            events
                .windows(2)
                .all(|pair| pair[0].resource_version < pair[1].resource_version)
        );
        versions.push(events[2].resource_version);
    }
    assert_eq!(versions[0], versions[1]);
    assert_eq!(store.revision(), versions[0]);
    assert!(store.watch(Some(store.revision() + 1)).is_err());
    assert!(store.watch(Some(start - 1)).is_err());
}

/// A change as the writer publishes it.
fn event(revision: u64, object: Value) -> crate::store::StoreEvent {
    let moment = crate::store::change::Moment {
        revision,
        now: aegis_api::Time(jiff::Timestamp::UNIX_EPOCH),
    };
    let made = crate::store::change::create(wl(), "web", object, None, moment, &Arc::default()).unwrap();
    let crate::store::change::Outcome::Put { object, verb, .. } = made else {
        panic!()
    };
    crate::store::StoreEvent {
        verb,
        object: Arc::new(object),
        old: None,
        resource_version: revision,
    }
}

/// Publishes so many changes; answers the oldest revision from which a watch still misses nothing.
async fn changed(memory: &Arc<crate::store::memory::Memory>, changes: u64, object: &Value) -> u64 {
    let (announce, news) = tokio::sync::watch::channel(0);
    let mut slow = memory.watch(Some(0), news.clone()).unwrap();
    for revision in 1..=changes {
        memory.publish(vec![event(revision, object.clone())]);
        announce.send_replace(revision);
    }
    assert!(
        slow.next().await.is_none(),
        "a watcher that is too far behind is ended"
    );
    let oldest = memory.watch(Some(0), news.clone()).err().unwrap().oldest;
    assert!(memory.watch(Some(oldest - 1), news.clone()).is_err());
    let kept = memory.watch(Some(oldest), news).unwrap();
    drop(announce);
    assert_eq!(u64::try_from(kept.count().await).unwrap(), changes - oldest);
    oldest
}

#[tokio::test]
async fn a_watcher_that_falls_too_far_behind_is_ended_and_must_list_again() {
    let memory = Arc::new(crate::store::memory::Memory::loaded(0, []));
    let kept = 5000 - changed(&memory, 5000, &workload("web", 1)).await;
    assert!((1000..=4096).contains(&kept), "{kept}");
    assert!(memory.ring_bytes() <= super::super::memory::RING.1);
}

#[tokio::test]
async fn i12_changes_of_large_objects_are_kept_for_watchers_by_their_bytes() {
    let large = |field: &str, value: Value| {
        let mut object = workload("web", 1);
        object["metadata"][field] = value;
        object
    };
    let env: serde_json::Map<String, Value> = (0..2000).map(|n| (format!("N{n}"), json!("v"))).collect();
    let mut of_many_parts = json!({"metadata": {"name": "web"}, "spec": {"template": {"image": "web:1"}}});
    of_many_parts["spec"]["template"]["env"] = json!(env);
    for (what, object) in [
        (
            "an annotation",
            large("annotations", json!({"last-applied": "x".repeat(200_000)})),
        ),
        (
            "annotations",
            large(
                "annotations",
                (0..3000)
                    .map(|n| (format!("label-{n}"), json!("x".repeat(60))))
                    .collect(),
            ),
        ),
        ("a spec of many parts", of_many_parts),
    ] {
        let memory = Arc::new(crate::store::memory::Memory::loaded(0, []));
        let kept = 120 - changed(&memory, 120, &object).await;
        assert!((1..100).contains(&kept), "{what}: {kept} changes are kept");
        assert!(
            memory.ring_bytes() <= super::super::memory::RING.1,
            "{what}: {} bytes",
            memory.ring_bytes()
        );
    }
}

#[tokio::test]
async fn an_object_with_finalizers_stays_until_they_are_gone() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    store
        .set_finalizers::<Workload>("web", made.uid(), vec!["f".into(), "f".into()])
        .await
        .unwrap();
    let marked = store.delete(wl(), "web", None, None, false).await.unwrap();
    assert!(marked.is_deleting() && marked.value()["metadata"]["finalizers"] == json!(["f"]));
    assert_eq!(
        store
            .delete(wl(), "web", None, None, false)
            .await
            .unwrap()
            .resource_version,
        marked.resource_version
    );
    assert!(spec_path(&dir, "web").exists());
    let more = store
        .set_finalizers::<Workload>("web", made.uid(), vec!["f".into(), "g".into()])
        .await;
    assert!(more.unwrap_err().to_string().contains("being deleted"));
    let mut watch = store.watch(None).unwrap();
    store
        .set_finalizers::<Workload>("web", made.uid(), vec![])
        .await
        .unwrap();
    assert_eq!(watch.next().await.unwrap().verb, Verb::Deleted);
    assert!(store.get_stored(wl(), "web").is_none());
    assert!(!spec_path(&dir, "web").exists() && !status_path(&dir, "web").exists());
}

#[tokio::test]
async fn a_delete_of_another_version_or_object_is_a_conflict() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let made = store.create(wl(), workload("web", 1), false).await.unwrap();
    let uid = store.delete(wl(), "web", Some("other".into()), None, false).await;
    assert!(matches!(uid, Err(StoreError::Conflict { .. })));
    let version = store
        .delete(wl(), "web", None, Some(made.resource_version + 1), false)
        .await;
    assert!(matches!(version, Err(StoreError::Conflict { .. })));
    let gone = store
        .delete(
            wl(),
            "web",
            Some(made.uid().into()),
            Some(made.resource_version),
            false,
        )
        .await
        .unwrap();
    assert!(gone.resource_version > made.resource_version);
    assert!(matches!(
        store.delete(wl(), "web", None, None, false).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn changes_in_one_batch_see_each_other() {
    let dir = dir();
    let store = Running::open(&dir).await;
    // Polled together, they are in the channel together.
    let (made, edited, gone, again, edited_again) = tokio::join!(
        store.create(wl(), workload("web", 1), false),
        store.edit(wl(), "web", Part::Spec, false, set("/spec", "replicas", json!(2))),
        store.delete(wl(), "web", None, None, false),
        store.create(wl(), workload("web", 5), false),
        store.edit(
            wl(),
            "web",
            Part::Status,
            false,
            set("", "status", json!({"replicas": 5}))
        ),
    );
    assert_eq!(replicas(&edited.unwrap()), 2);
    gone.unwrap();
    assert_ne!(made.unwrap().uid(), again.unwrap().uid());
    assert_eq!(edited_again.unwrap().value()["status"]["replicas"], 5);
    let before = store.contents();
    store.kill().await;
    let store = Running::open(&dir).await;
    assert_eq!(store.contents(), before);
}

#[tokio::test]
async fn after_the_end_requests_are_refused_and_watches_end() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let handle = store.store.clone();
    let mut watch = handle.watch(None).unwrap();
    store.stop().await;
    assert!(matches!(
        handle.create(wl(), workload("web", 1), false).await,
        Err(StoreError::Closed)
    ));
    assert!(watch.next().await.is_none());
    assert!(handle.list::<Workload>().is_empty());
}

#[tokio::test]
async fn what_is_too_large_for_an_object_is_refused_from_every_sender() {
    let dir = dir();
    let store = Running::open(&dir).await;
    let annotation = "x".repeat((256 << 10) + 1);
    let mut object = workload("web", 1);
    object["metadata"]["annotations"] = json!({"a": annotation});
    let refused = store.create(wl(), object, false).await.unwrap_err().to_string();
    assert!(
        refused.contains("metadata.annotations") && refused.contains("262144 bytes"),
        "{refused}"
    );
    store.create(wl(), workload("web", 1), false).await.unwrap();
    let edit = set("/metadata", "annotations", json!({"a": annotation}));
    let refused = store
        .edit(wl(), "web", Part::Spec, false, edit)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("metadata.annotations"), "{refused}");
    let finalizers: Vec<String> = (0..100).map(|n| format!("example.org/{n}")).collect();
    let edit = set("/metadata", "finalizers", json!(finalizers));
    let refused = store
        .edit(wl(), "web", Part::Finalizers, false, edit)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("metadata.finalizers") && refused.contains("64 items"),
        "{refused}"
    );
}
