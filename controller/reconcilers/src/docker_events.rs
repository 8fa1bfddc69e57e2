//! One subscription to the engine's events, shared by every subscriber: it reconnects, and says so, since one that missed
//! events must rescan everything. What happens to each container is on record before a subscriber hears of it.
//! Does I/O through the engine only.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::EngineEvent;
use aegis_docker::Engine;
use aegis_runtime::store::Clock;
use aegis_signals::lifecycle::Lifecycle;
use futures::{Stream, StreamExt};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

const BACKLOG: usize = 1024;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What a subscriber is notified of.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Something happened to a container.
    Event(Arc<EngineEvent>),
    /// Events may have been missed: everything has to be read again.
    Rescan,
}

/// Whether the engine answers, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not tried yet.
    Connecting,
    /// Events flow.
    Up,
    /// The engine does not answer.
    Down(String),
}

/// The subscription. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DockerEvents {
    sender: broadcast::Sender<Notice>,
    link: watch::Sender<Link>,
    lifecycle: Lifecycle,
    clock: Clock,
}

impl DockerEvents {
    /// A subscription that keeps the context's record; [`DockerEvents::run`] does the work.
    pub fn new(context: &Context) -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            link: watch::Sender::new(Link::Connecting),
            lifecycle: context.lifecycle.clone(),
            clock: context.clock.clone(),
        }
    }

    /// Notices from now on. A subscriber that falls behind is notified to rescan.
    pub fn subscribe(&self) -> impl Stream<Item = Notice> + Send + 'static {
        tokio_stream::wrappers::BroadcastStream::new(self.sender.subscribe())
            .map(|notice| notice.unwrap_or(Notice::Rescan))
    }

    /// Whether the engine answers.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Follows the engine until `shutdown`, through any number of lost connections.
    pub async fn run(&self, engine: Arc<dyn Engine>, shutdown: CancellationToken) {
        let mut retry = FIRST_RETRY;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                reason = self.follow(&*engine, &mut retry) => {
                    self.lifecycle.stream_is_lost(self.clock.now());
                    self.link.send_replace(Link::Down(reason));
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Follows one connection to its end and answers why it ended.
    async fn follow(&self, engine: &dyn Engine, retry: &mut Duration) -> String {
        let mut events = match engine.events().await {
            Ok(events) => events,
            Err(error) => return error.to_string(),
        };
        self.lifecycle.stream_is_up(self.clock.now());
        self.link.send_replace(Link::Up);
        self.send(Notice::Rescan);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    *retry = FIRST_RETRY;
                    self.lifecycle.event(&event, self.clock.now());
                    self.send(Notice::Event(Arc::new(event)));
                }
                Err(error) => return error.to_string(),
            }
        }
        "the event stream ended".to_owned()
    }

    fn send(&self, notice: Notice) {
        // An error means that there is no subscriber at the moment, which is no loss: a later one reads the whole state.
        drop(self.sender.send(notice));
    }
}
