//! The pump: follows the store and publishes what changes mean into the feed. Keeps the last version it published of
//! every object, so that falling behind costs intermediate versions and no facts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::automation::Pause;
use aegis_api::wire::ResourceData;
use aegis_api::{Incident, KINDS, Workload};
use aegis_runtime::{Feed, Store, StoreEvent, Stored, Verb};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::automation;
use crate::frames::frames;

/// Pause before the store is listed again after its stream ended.
const PAUSE: Duration = Duration::from_millis(50);

/// Publishes every change of every object, and of the host's brake, until `shutdown`. What is there at the start is not
/// published again.
pub async fn pump(store: Store, feed: Feed, shutdown: CancellationToken) {
    tokio::join!(
        brake(&store, &feed, &shutdown),
        objects(&store, feed.clone(), &shutdown)
    );
}

async fn brake(store: &Store, feed: &Feed, shutdown: &CancellationToken) {
    let mut changes = store.automation().changes();
    while let Some(Some(())) = shutdown.run_until_cancelled(changes.next()).await {
        feed.publish(None, &automation::view(store));
    }
}

async fn objects(store: &Store, feed: Feed, shutdown: &CancellationToken) {
    let mut publisher = ResourcePublisher {
        store: store.clone(),
        feed,
        objects: HashMap::new(),
    };
    let mut since = publisher.observe(store, false);
    while !shutdown.is_cancelled() {
        if let Ok(mut changes) = store.watch(Some(since)) {
            while let Some(Some(event)) = shutdown.run_until_cancelled(changes.next()).await {
                publisher.change(&event);
            }
        }
        // The stream ended: too far behind, or the store is closing.
        let _ = shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        since = publisher.observe(store, true);
    }
}

type Key = (&'static str, String);

struct ResourcePublisher {
    store: Store,
    feed: Feed,
    objects: HashMap<Key, Arc<Stored>>,
}

impl ResourcePublisher {
    /// Takes over everything there is; answers the revision from which to follow. `publish`: also publishes what
    /// differs.
    fn observe(&mut self, store: &Store, publish: bool) -> u64 {
        // Read before the lists: what changes in between comes once more from the watch, and is known by its version.
        let since = store.revision();
        // Words that waited for what was missed come before it: an analysis may be over by now.
        self.feed.published_up_to(since);
        let mut gone = self.objects.clone();
        for object in KINDS.iter().flat_map(|info| store.list_stored(info).1) {
            let earlier = gone.remove(&key(&object));
            let same = earlier
                .as_ref()
                .is_some_and(|earlier| earlier.resource_version == object.resource_version);
            if publish && !same {
                let verb = if earlier.is_some() {
                    Verb::Modified
                } else {
                    Verb::Added
                };
                self.publish(verb, &object, object.resource_version);
            }
            self.objects.insert(key(&object), object);
        }
        for (key, object) in gone {
            self.objects.remove(&key);
            self.publish(Verb::Deleted, &object, since);
        }
        since
    }

    fn change(&mut self, event: &StoreEvent) {
        let key = key(&event.object);
        let known = self.objects.get(&key).map(|known| known.resource_version);
        if event.verb == Verb::Deleted {
            if known.is_some_and(|known| known < event.resource_version) {
                self.publish(Verb::Deleted, &event.object, event.resource_version);
                self.objects.remove(&key);
            }
        } else if known.is_none_or(|known| known < event.resource_version) {
            self.publish(event.verb, &event.object, event.resource_version);
            self.objects.insert(key, Arc::clone(&event.object));
        }
        self.feed.published_up_to(event.resource_version);
    }

    /// Publishes one change. The version published before is still the one in `objects`.
    fn publish(&self, verb: Verb, object: &Arc<Stored>, revision: u64) {
        let data = ResourceData {
            verb: word(verb).to_owned(),
            kind: object.info.kind.to_owned(),
            name: object.name().to_owned(),
            resource_version: revision.to_string(),
            object: Arc::new(object.value()),
        };
        if let Some(workload) = object.typed::<Workload>()
            && self.pauses(verb, object, &workload)
        {
            let view = automation::view(&self.store);
            self.feed.publish(None, &view);
        }
        let incident = object.typed::<Incident>();
        let id = incident
            .as_ref()
            .map(|incident| aegis_api::wire::incident_id(incident));
        self.feed.publish(id, &data);
        if let Some(new) = incident.as_ref().filter(|_| verb != Verb::Deleted) {
            let old = self
                .objects
                .get(&key(object))
                .and_then(|old| old.typed::<Incident>());
            for draft in frames(old.as_deref(), new) {
                self.feed.publish(Some(&draft.incident_id), &draft.frame);
            }
        }
    }
}

impl ResourcePublisher {
    /// Whether a workload's own pause is another than was published before.
    fn pauses(&self, verb: Verb, object: &Stored, workload: &Workload) -> bool {
        let pause = |workload: &Workload| Pause::of(workload.metadata.annotations.as_ref());
        let known = self.objects.get(&key(object));
        let known = known.and_then(|known| known.typed::<Workload>());
        let now = pause(workload).filter(|_| verb != Verb::Deleted);
        known.as_deref().and_then(pause) != now
    }
}

fn key(object: &Stored) -> Key {
    (object.info.kind, object.name().to_owned())
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Added => "ADDED",
        Verb::Modified => "MODIFIED",
        Verb::Deleted => "DELETED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;
    use aegis_api::kinds::find;
    use aegis_api::wire::FrameType;
    use aegis_runtime::{FeedItem, Part, Subscription};
    use serde_json::{Value, json};

    async fn next(frames: &mut Subscription) -> String {
        match frames.next().await {
            Some(FeedItem::Frame(frame)) => {
                let kind = serde_json::to_value(frame.kind).unwrap();
                let data = frame.data();
                let verb = data
                    .get("verb")
                    .or(data.get("status"))
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                format!(
                    "{} {} {verb}",
                    kind.as_str().unwrap(),
                    frame.incident_id.as_deref().unwrap_or("-")
                )
            }
            other => format!("{other:?}"),
        }
    }

    fn incident(name: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"containerName": "web", "alertType": "x"}})
    }

    #[tokio::test]
    async fn changes_become_frames_and_what_was_there_before_does_not() {
        let server = Server::start().await;
        let info = find("Incident").unwrap();
        server.store.create(info, incident("old"), false).await.unwrap();
        let mut frames = server.feed.subscribe(None);
        let mut publisher = ResourcePublisher {
            store: server.store.clone(),
            feed: server.feed.clone(),
            objects: HashMap::new(),
        };
        let since = publisher.observe(&server.store, false);
        let mut changes = server.store.watch(Some(since)).unwrap();
        server.store.create(info, incident("new"), false).await.unwrap();
        publisher.change(&changes.next().await.unwrap());
        assert_eq!(next(&mut frames).await, "resource new ADDED");
        assert_eq!(next(&mut frames).await, "incident.new new ");
        let edit = |current: &Stored| {
            let mut object = current.value();
            let entry = json!({"ts": "2026-01-31T12:00:00Z", "status": "RECEIVED", "message": "m"});
            object["status"] = json!({"phase": "RECEIVED", "timeline": [entry]});
            Ok(object)
        };
        server
            .store
            .edit(info, "new", Part::Status, false, edit)
            .await
            .unwrap();
        publisher.change(&changes.next().await.unwrap());
        assert_eq!(next(&mut frames).await, "resource new MODIFIED");
        assert_eq!(next(&mut frames).await, "status.update new RECEIVED");
        server.store.delete(info, "new", None, None, false).await.unwrap();
        publisher.change(&changes.next().await.unwrap());
        assert_eq!(next(&mut frames).await, "resource new DELETED");
    }

    #[tokio::test]
    async fn falling_behind_costs_versions_and_no_facts() {
        let server = Server::start().await;
        let info = find("Incident").unwrap();
        let mut publisher = ResourcePublisher {
            store: server.store.clone(),
            feed: server.feed.clone(),
            objects: HashMap::new(),
        };
        server.store.create(info, incident("gone"), false).await.unwrap();
        publisher.observe(&server.store, false);
        let mut frames = server.feed.subscribe(None);
        server
            .store
            .delete(info, "gone", None, None, false)
            .await
            .unwrap();
        server.store.create(info, incident("new"), false).await.unwrap();
        let since = publisher.observe(&server.store, true);
        assert_eq!(next(&mut frames).await, "resource new ADDED");
        assert_eq!(next(&mut frames).await, "incident.new new ");
        assert_eq!(next(&mut frames).await, "resource gone DELETED");
        assert_eq!(since, server.store.revision());
        assert_eq!(publisher.objects.len(), 1);
    }

    #[tokio::test]
    async fn the_pump_runs_until_the_shutdown() {
        let server = Server::start().await;
        let mut frames = server.feed.subscribe(None);
        let pumping = tokio::spawn(pump(
            server.store.clone(),
            server.feed.clone(),
            server.shutdown.clone(),
        ));
        tokio::task::yield_now().await;
        server
            .store
            .create(find("Incident").unwrap(), incident("new"), false)
            .await
            .unwrap();
        assert_eq!(next(&mut frames).await, "resource new ADDED");
        server.shutdown.cancel();
        pumping.await.unwrap();
    }

    /// The next frame about automation.
    async fn next_view(frames: &mut Subscription) -> Value {
        loop {
            match frames.next().await {
                Some(FeedItem::Frame(frame)) if frame.kind == FrameType::Automation => break frame.data(),
                Some(FeedItem::Frame(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn pausing_and_resuming_is_published_for_the_host_and_for_one_workload() {
        let server = Server::start().await;
        let mut frames = server.feed.subscribe(None);
        let (store, feed) = (server.store.clone(), server.feed.clone());
        let pumping = tokio::spawn(pump(store, feed, server.shutdown.clone()));
        tokio::task::yield_now().await;
        let wanted = json!({"reason": "migration"});
        server.ask("POST", "/automation/pause", Some(wanted)).await;
        assert_eq!(next_view(&mut frames).await["paused"]["reason"], "migration");
        server.ask("POST", "/automation/resume", None).await;
        let view = next_view(&mut frames).await;
        assert_eq!(
            (&view["paused"], &view["resumed"]["by"]),
            (&Value::Null, &json!("admin"))
        );

        let workload = json!({"metadata": {"name": "web"}, "spec": {"container": "web"}});
        let info = find("Workload").unwrap();
        server.store.create(info, workload, false).await.unwrap();
        let wanted = json!({"workload": "web", "reason": "release"});
        server.ask("POST", "/automation/pause", Some(wanted)).await;
        assert_eq!(
            next_view(&mut frames).await["workloads"]["web"]["reason"],
            "release"
        );
        server.store.delete(info, "web", None, None, false).await.unwrap();
        assert_eq!(next_view(&mut frames).await["workloads"], json!({}));
        server.shutdown.cancel();
        pumping.await.unwrap();
    }
}
