//! What the engine sends without end: log lines and events. Does I/O.

use std::time::Duration;

use aegis_api::observed::{EngineEvent, LogLine};
use futures::stream::{self, BoxStream, StreamExt};
use hyper::Method;
use serde_json::{Value, json};

use super::abridged::Abridged;
use super::lines::Lines;
use super::wire::{Body, encoded};
use super::{Docker, failure, target};
use crate::convert;
use crate::engine::{EngineResult, LogQuery};

/// A log that is not followed has its next part at hand.
const LOG_PAUSE: Duration = Duration::from_secs(30);
/// An event with more is nonsense.
const EVENT_LIMIT: usize = 1024 * 1024;
const LISTENING: &str = "listen to events";
/// Without `exec_…`, of which every health check makes three.
const ACTIONS: [&str; 15] = [
    "create",
    "start",
    "restart",
    "die",
    "stop",
    "kill",
    "oom",
    "destroy",
    "rename",
    "pause",
    "unpause",
    "update",
    "health_status",
    // Of networks: a container joined or left one.
    "connect",
    "disconnect",
];

impl Docker {
    pub(super) async fn open_log(
        &self,
        id: &str,
        query: LogQuery,
        operation: &str,
    ) -> EngineResult<BoxStream<'static, EngineResult<LogLine>>> {
        let Some(container) = self.inspect_now(id, operation).await? else {
            return Err(target::none(id, operation));
        };
        let tty = container
            .config
            .get("Tty")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let LogQuery {
            tail,
            follow,
            timestamps,
            since,
        } = query;
        let target = format!(
            "/containers/{}/logs?stdout=true&stderr=true&tail={tail}&follow={follow}&timestamps={timestamps}&since={since}",
            container.id
        );
        let body = self.place.send(operation, Method::GET, &target, None).await?;
        let log = Log {
            body: Some(body),
            lines: Lines::new(tty),
            follow,
            operation: operation.to_owned(),
        };
        Ok(stream::unfold(log, |mut log| async move { Some((log.next().await?, log)) }).boxed())
    }

    pub(super) async fn open_events(&self) -> EngineResult<BoxStream<'static, EngineResult<EngineEvent>>> {
        let filters = json!({ "type": ["container", "network"], "event": ACTIONS });
        // The engine answers a moment before it listens; what happens in between comes with `since`.
        let now = jiff::Timestamp::now();
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let target = format!("/events?since={since}&filters={}", encoded(&filters.to_string()));
        let body = self.place.send(LISTENING, Method::GET, &target, None).await?;
        let events = Events {
            body: Some(body),
            abridged: Abridged::default(),
            buffer: Vec::new(),
        };
        Ok(stream::unfold(events, |mut events| async move {
            Some((events.next().await?, events))
        })
        .boxed())
    }
}

struct Log {
    body: Option<Body>,
    lines: Lines,
    follow: bool,
    operation: String,
}

impl Log {
    async fn next(&mut self) -> Option<EngineResult<LogLine>> {
        loop {
            if let Some(line) = self.lines.next() {
                return Some(Ok(line));
            }
            let body = self.body.as_mut()?;
            let chunk = body.chunk(&self.operation);
            let chunk = if self.follow {
                chunk.await
            } else {
                match tokio::time::timeout(LOG_PAUSE, chunk).await {
                    Ok(chunk) => chunk,
                    Err(_) => Some(Err(failure::timeout(&self.operation, LOG_PAUSE))),
                }
            };
            match chunk {
                Some(Ok(chunk)) => self.lines.feed(&chunk),
                Some(Err(error)) => {
                    self.body = None;
                    return Some(Err(error));
                }
                None => {
                    self.body = None;
                    self.lines.finish();
                }
            }
        }
    }
}

struct Events {
    body: Option<Body>,
    /// An event has its container's labels, however many there are.
    abridged: Abridged,
    buffer: Vec<u8>,
}

impl Events {
    async fn next(&mut self) -> Option<EngineResult<EngineEvent>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                match serde_json::from_slice::<Value>(&line) {
                    Ok(value) => {
                        if let Some(event) = convert::event(&value) {
                            return Some(Ok(event));
                        }
                    }
                    Err(error) => tracing::debug!(%error, "passed over an event that is no JSON"),
                }
            }
            let body = self.body.as_mut()?;
            let failed = match body.chunk(LISTENING).await {
                Some(Ok(chunk)) => {
                    self.abridged.feed(&chunk, &mut self.buffer);
                    if self.buffer.len() <= EVENT_LIMIT {
                        continue;
                    }
                    failure::odd(LISTENING, "an event is longer than 1 MiB")
                }
                Some(Err(error)) => error,
                None => failure::unreachable(LISTENING, "the engine ended the stream"),
            };
            self.body = None;
            return Some(Err(failed));
        }
    }
}
