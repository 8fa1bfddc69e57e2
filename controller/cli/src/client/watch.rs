//! Watches: changes of objects as they happen, and waiting until one says what is waited for. Does I/O.

use std::time::Duration;

use aegis_api::KindInfo;
use futures::stream::{BoxStream, StreamExt};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::resources::{EVENTS, collection};
use super::{Body, Client, ListQuery, Shape, lines, status::ApiStatus};
use crate::error::CliError;
use crate::target::Target;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
    /// Nothing but a newer resource version.
    Bookmark,
    /// The watch is over; the object says why.
    Error,
}

/// One line of a watch.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WatchEvent {
    #[serde(rename = "type")]
    pub(crate) change: Change,
    pub(crate) object: Value,
}

/// Changes in order. Ends when the server ends it.
pub(crate) type Changes = BoxStream<'static, Result<WatchEvent, CliError>>;

impl Client {
    /// Changes of a kind's objects after this resource version.
    pub(crate) async fn watch(
        &self,
        info: &'static KindInfo,
        query: &ListQuery,
        since: &str,
        shape: Shape,
    ) -> Result<Changes, CliError> {
        self.open_watch(&collection(info), query, since, shape).await
    }

    /// Events after this resource version.
    pub(crate) async fn watch_events(&self, fields: Option<&str>, since: &str) -> Result<Changes, CliError> {
        let query = ListQuery {
            labels: None,
            fields: fields.map(str::to_owned),
        };
        self.open_watch(&EVENTS, &query, since, Shape::Objects).await
    }

    async fn open_watch(
        &self,
        segments: &[&str],
        query: &ListQuery,
        since: &str,
        shape: Shape,
    ) -> Result<Changes, CliError> {
        let mut pairs = query.pairs();
        pairs.extend([
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", since),
        ]);
        let request = self.request(
            Method::GET,
            self.url(segments, &pairs),
            shape.accept(),
            Body::None,
        );
        let response = self.in_time(self.send(request)).await?;
        let client = self.clone();
        let lines = lines::split(response.bytes_stream().boxed());
        let changes = lines.filter_map(move |line| {
            let change = match line {
                Err(error) => Some(Err(client.lost(&error))),
                Ok(line) if line.trim().is_empty() => None,
                Ok(line) => Some(client.read_change(&line)),
            };
            std::future::ready(change)
        });
        Ok(changes.boxed())
    }

    fn read_change(&self, line: &str) -> Result<WatchEvent, CliError> {
        let event: WatchEvent = serde_json::from_str(line).map_err(|error| {
            let cause = format!("a line of its watch is no change ({error})");
            CliError::Protocol {
                server: self.server().to_owned(),
                cause,
            }
        })?;
        if event.change != Change::Error {
            return Ok(event);
        }
        let code = event
            .object
            .get("code")
            .and_then(Value::as_u64)
            .and_then(|code| u16::try_from(code).ok());
        let status = ApiStatus::parse(code.unwrap_or(500), &event.object.to_string()).unwrap_or_default();
        Err(CliError::Api(Box::new(status)))
    }

    /// Waits until `judge` is satisfied with the object (`None`: there is none). Reads the whole object each time, so
    /// that nothing is missed between a read and a watch.
    pub(crate) async fn wait_for<T>(
        &self,
        target: &Target,
        what: &str,
        limit: Option<Duration>,
        mut judge: impl FnMut(Option<&Value>) -> Result<Option<T>, CliError>,
    ) -> Result<T, CliError> {
        let waiting = async {
            loop {
                let object = self.find(target).await?;
                if let Some(answer) = judge(object.as_ref())? {
                    return Ok(answer);
                }
                let since = object
                    .as_ref()
                    .and_then(resource_version)
                    .unwrap_or("0")
                    .to_owned();
                let query = ListQuery::named(&target.name);
                let mut changes = match self.watch(target.info, &query, &since, Shape::Objects).await {
                    Ok(changes) => changes,
                    Err(error) if error.is_status(410) => continue,
                    Err(error) => return Err(error),
                };
                let opened = Instant::now();
                while let Some(change) = changes.next().await {
                    let answer = match change {
                        Ok(WatchEvent {
                            change: Change::Deleted,
                            ..
                        }) => judge(None)?,
                        Ok(WatchEvent {
                            change: Change::Bookmark,
                            ..
                        }) => None,
                        Ok(WatchEvent { object, .. }) => judge(Some(&object))?,
                        // The next request shows whether there is still a server to ask.
                        Err(CliError::Unreachable { .. }) => break,
                        Err(error) if error.is_status(410) => break,
                        Err(error) => return Err(error),
                    };
                    if let Some(answer) = answer {
                        return Ok(answer);
                    }
                }
                // A watch that the server ends at once must not become a busy loop.
                tokio::time::sleep_until(opened + Duration::from_millis(250)).await;
            }
        };
        match limit {
            None => waiting.await,
            Some(limit) => tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| {
                Err(CliError::Timeout {
                    what: what.to_owned(),
                    seconds: limit.as_secs_f64(),
                })
            }),
        }
    }
}

/// The version of an object or of a list.
pub(crate) fn resource_version(object: &Value) -> Option<&str> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
}
