//! The query of a request. Parameters that change nothing here (`timeout`, `fieldValidation`, …) are ignored.

use std::time::Duration;

use axum::extract::{FromRequestParts, Query as AxumQuery};
use axum::http::request::Parts;

use super::apply::Manager;
use super::page::Place;
use super::selector::Selector;
use crate::status::Status;

/// What a query requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) selector: Selector,
    pub(super) watch: bool,
    /// `None`: not said, or 0: both mean "whatever you have".
    pub(super) since: Option<u64>,
    pub(super) initial_events_end: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) dry_run: bool,
    pub(super) include: Include,
    /// Most objects of a list; `None`: all.
    pub(super) limit: Option<usize>,
    /// Where a list goes on.
    pub(super) from: Option<Place>,
    /// Who applies on the server's side.
    pub(super) manager: Manager,
}

/// What a row of a table carries beside its cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Include {
    #[default]
    Metadata,
    Object,
    None,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Status;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Status> {
        let pairs = AxumQuery::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let pairs =
            pairs.map_err(|error| Status::bad_request(format!("the query cannot be read: {error}")))?;
        Self::of(&pairs.0)
    }
}

impl Query {
    fn of(pairs: &[(String, String)]) -> Result<Self, Status> {
        let get = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map_or("", |(_, value)| value.as_str())
        };
        let dry_run = pairs
            .iter()
            .filter(|(key, _)| key == "dryRun")
            .map(|(_, value)| value.as_str());
        let from = Some(get("continue")).filter(|text| !text.is_empty());
        let since = version(get("resourceVersion"))?.filter(|since| *since > 0);
        if from.is_some() && since.is_some() {
            let message =
                "resourceVersion: Forbidden: specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(message));
        }
        Ok(Self {
            limit: limit(get("limit"))?,
            from: from.map(Place::parse).transpose()?,
            manager: Manager::parse(get("fieldManager"), flag(get("force")))?,
            selector: Selector::parse(get("labelSelector"), get("fieldSelector"))?,
            watch: flag(get("watch")),
            since,
            initial_events_end: flag(get("sendInitialEvents")),
            timeout: seconds(get("timeoutSeconds"))?,
            dry_run: self::dry_run(dry_run)?,
            include: match get("includeObject") {
                "" | "Metadata" => Include::Metadata,
                "Object" => Include::Object,
                "None" => Include::None,
                other => return Err(invalid("includeObject", other, "use None, Metadata or Object")),
            },
        })
    }
}

/// Whether `dryRun=All` is set.
pub(super) fn dry_run<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<bool, Status> {
    let mut dry_run = false;
    for value in values {
        match value {
            "All" => dry_run = true,
            "" => {}
            other => return Err(invalid("dryRun", other, "use All")),
        }
    }
    Ok(dry_run)
}

/// A resource version as text; empty is none.
pub(super) fn version(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| invalid("resourceVersion", text, "use a number that the server gave"))
}

fn flag(text: &str) -> bool {
    matches!(text, "true" | "1")
}

fn seconds(text: &str) -> Result<Option<Duration>, Status> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let seconds = text
        .parse()
        .map_err(|_| invalid("timeoutSeconds", text, "use a number of seconds"))?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// How many; 0 is as many as there are.
pub(crate) fn limit(text: &str) -> Result<Option<usize>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let limit: usize = text
        .parse()
        .map_err(|_| invalid("limit", text, "use a number of objects"))?;
    Ok(Some(limit).filter(|limit| *limit > 0))
}

fn invalid(name: &str, value: &str, allowed: &str) -> Status {
    Status::bad_request(format!("{name}: Invalid value: {value:?}: {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Status> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Query::of(
            &pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn what_kubectl_sends_is_understood() {
        let query = query(
            "watch=true&resourceVersion=7&timeoutSeconds=30&limit=500&fieldManager=x&includeObject=Object",
        )
        .unwrap();
        assert!(query.watch && query.since == Some(7) && query.include == Include::Object);
        assert_eq!(query.timeout, Some(Duration::from_secs(30)));
        assert!(super::Query::of(&[]).unwrap().since.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            "resourceVersion=x",
            "timeoutSeconds=-1",
            "dryRun=Some",
            "includeObject=All",
        ] {
            assert_eq!(query(bad).unwrap_err().reason, "BadRequest", "{bad}");
        }
        assert!(query("dryRun=All").unwrap().dry_run);
        assert_eq!(query("resourceVersion=0").unwrap().since, None);
    }
}
