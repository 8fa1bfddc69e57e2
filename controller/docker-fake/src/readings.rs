//! What the fake engine reports about containers over time: counters, logs, events.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::{EngineEvent, LogLine, Stats};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

use super::effects::Op;
use super::world::World;
use super::{FakeEngine, Feed, Shared};
use aegis_docker::engine::{EngineError, EngineResult, LogQuery};

/// A container without a limit may use the host's memory.
const HOST_MEMORY: u64 = 8 * 1024 * 1024 * 1024;

impl World {
    pub(super) fn stats(&self, id: &str, operation: &str) -> EngineResult<Stats> {
        let container = self.found(id, operation)?;
        let Some(up) = container.up_since(self.instant) else {
            return Ok(Stats {
                read_at: Some(self.now),
                ..Stats::default()
            });
        };
        if let Some(stats) = container.replayed.as_ref().and_then(|it| it.stats.as_ref()) {
            return Ok(stats.clone());
        }
        let micros = u64::try_from(up.as_micros()).unwrap_or(u64::MAX);
        let traffic = u64::try_from(up.as_millis()).unwrap_or(u64::MAX);
        Ok(Stats {
            read_at: Some(self.now),
            cpu_total_ns: micros.saturating_mul(u64::from(container.behaviour.cpu_millis)),
            memory_bytes: container.memory(self.instant),
            memory_limit_bytes: Some(container.memory_limit())
                .filter(|limit| *limit > 0)
                .unwrap_or(HOST_MEMORY),
            net_rx_bytes: traffic,
            net_tx_bytes: traffic,
            pids: container.behaviour.pids,
            pids_limit: container.pids_limit(),
            cpu_periods: traffic / 100,
            cpu_throttled_periods: traffic / 100 * u64::from(container.behaviour.throttled_percent.min(100))
                / 100,
        })
    }

    /// Lines from number `from` on, and whether there can be more.
    fn lines(&self, id: &str, from: usize, query: LogQuery) -> (Vec<LogLine>, bool) {
        let Some(container) = self.get(id) else {
            return (Vec::new(), false);
        };
        let lines = container
            .logs
            .iter()
            .skip(from)
            .filter(|(at, _)| at.0.as_second() >= query.since);
        let write = |(at, line): &(aegis_api::Time, LogLine)| match query.timestamps {
            true => LogLine {
                stderr: line.stderr,
                text: format!("{at} {}", line.text),
            },
            false => line.clone(),
        };
        (lines.map(write).collect(), container.is_running())
    }
}

impl FakeEngine {
    pub(super) async fn open_log(
        &self,
        id: &str,
        query: LogQuery,
    ) -> EngineResult<BoxStream<'static, EngineResult<LogLine>>> {
        let operation = format!("read the log of container {id}");
        let name = id.to_owned();
        let find = move |shared: Arc<Shared>| async move {
            let operation = format!("read the log of container {name}");
            shared.with(|world| {
                let container = world.found(&name, &operation)?;
                let tail = usize::try_from(query.tail).unwrap_or(usize::MAX);
                Ok((container.id.clone(), container.logs.len().saturating_sub(tail)))
            })
        };
        let (id, from) = self.perform(Op::Logs, operation, find).await?;
        let shared = self.shared.clone();
        let batches = stream::unfold((from, true), move |(from, more)| {
            let (shared, id) = (shared.clone(), id.clone());
            async move {
                if !more {
                    return None;
                }
                loop {
                    // Registered before the look, so that no line is missed in between.
                    let mut written = std::pin::pin!(shared.logged.notified());
                    written.as_mut().enable();
                    let (lines, running) = shared.read(|world| world.lines(&id, from, query));
                    if !lines.is_empty() || !running || !query.follow {
                        let next = from + lines.len();
                        return Some((
                            stream::iter(lines.into_iter().map(Ok)),
                            (next, running && query.follow),
                        ));
                    }
                    written.await;
                }
            }
        });
        Ok(batches.flatten().boxed())
    }

    pub(super) async fn open_events(&self) -> EngineResult<BoxStream<'static, EngineResult<EngineEvent>>> {
        let subscribe = |shared: Arc<Shared>| async move { Ok(shared.events.subscribe()) };
        let receiver = self
            .perform(Op::Events, "listen to events".to_owned(), subscribe)
            .await?;
        let shared = self.shared.clone();
        let events = stream::unfold(Some(receiver), move |receiver| {
            let shared = shared.clone();
            async move {
                let mut receiver = receiver?;
                let item = match receiver.recv().await {
                    Ok(Feed::Event(event)) if !shared.with(|world| world.chaos.cuts_events()) => {
                        return Some((Ok(event), Some(receiver)));
                    }
                    Ok(Feed::Event(_) | Feed::Cut) => "the connection was cut",
                    Err(broadcast::error::RecvError::Lagged(_)) => "the listener was too slow",
                    Err(broadcast::error::RecvError::Closed) => return None,
                };
                let error = EngineError::Unreachable {
                    operation: "listen to events".to_owned(),
                    message: item.to_owned(),
                };
                Some((Err(error), None))
            }
        });
        Ok(events.boxed())
    }

    /// Lets virtual time pass until `done` holds, at most for `bound`; answers whether it came to hold.
    pub async fn wait_until(&self, bound: Duration, mut done: impl FnMut(&FakeEngine) -> bool) -> bool {
        let end = tokio::time::Instant::now() + bound;
        loop {
            if done(self) {
                return true;
            }
            if tokio::time::Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
