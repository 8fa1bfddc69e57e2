//! What the engine says happened to a world's containers, from the world's beginning on.
//!
//! The engine keeps only its last 256 events, so they are followed, too; a reader gets the union of both, so that
//! nothing is missing that had happened when it asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder};
use futures::{Stream, StreamExt};

/// One container event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineEvent {
    /// When, in nanoseconds since the epoch.
    pub at: i64,
    /// Docker's word: `start`, `kill`, `die`, `destroy`, …
    pub action: String,
    /// Container name.
    pub name: String,
    /// Container id.
    pub id: String,
}

/// The events of one world.
#[derive(Debug, Clone)]
pub struct EngineEvents {
    docker: Docker,
    world: String,
    since: String,
    seen: Arc<Mutex<BTreeMap<EngineEvent, ()>>>,
}

impl EngineEvents {
    /// Follows the events of containers whose name holds the world's id.
    pub fn follow(docker: &Docker, world: &str) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let events = Self {
            docker: docker.clone(),
            world: world.to_owned(),
            since: now.to_string(),
            seen: Arc::default(),
        };
        let follower = events.clone();
        tokio::spawn(async move {
            let stream = follower.docker.events(Some(follower.query(None)));
            follower.take(stream).await;
        });
        events
    }

    fn query(&self, until: Option<&str>) -> EventsOptions {
        let filters = HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default()
            .since(&self.since)
            .filters(&filters);
        match until {
            Some(until) => options.until(until).build(),
            None => options.build(),
        }
    }

    async fn take(&self, stream: impl Stream<Item = Result<EventMessage, bollard::errors::Error>>) {
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(message)) = stream.next().await {
            let Some(event) = event(message).filter(|event| event.name.contains(&self.world)) else {
                continue;
            };
            self.seen
                .lock()
                .expect("the lock is not poisoned")
                .insert(event, ());
        }
    }

    /// Everything that has happened by now, oldest first.
    pub async fn so_far(&self) -> Vec<EngineEvent> {
        let now = jiff::Timestamp::now();
        let until = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        self.take(self.docker.events(Some(self.query(Some(&until)))))
            .await;
        let seen = self.seen.lock().expect("the lock is not poisoned");
        seen.keys().cloned().collect()
    }

    /// How often something happened to a container, or to all that had its name, by now.
    pub async fn count(&self, name_or_id: &str, action: &str) -> usize {
        let all = self.so_far().await;
        all.iter()
            .filter(|event| (event.name == name_or_id || event.id == name_or_id) && event.action == action)
            .count()
    }
}

fn event(message: EventMessage) -> Option<EngineEvent> {
    let actor = message.actor?;
    Some(EngineEvent {
        at: message.time_nano?,
        action: message.action?,
        name: actor.attributes?.remove("name")?,
        id: actor.id?,
    })
}
