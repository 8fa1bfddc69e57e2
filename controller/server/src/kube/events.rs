//! Events, as the core group has them: what `kubectl describe` and `kubectl events` show. Reads memory only.

use std::future::ready;
use std::sync::LazyLock;

use aegis_api::{API_VERSION, NAMESPACE, Time};
use aegis_runtime::Event;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::list::{self, now};
use super::negotiate::Shape;
use super::page::Page;
use super::query::Query;
use super::table::{self, Column, column, reference};
use super::watch::{self, Lines};
use crate::auth::Identity;
use crate::sight::Sight;
use crate::state::ServerState;
use crate::status::Status;

/// The columns, as Kubernetes has them.
static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let columns = [
        column("Last Seen", "date", ".lastTimestamp", 0, ""),
        column("Type", "string", ".type", 0, ""),
        column("Reason", "string", ".reason", 0, ""),
        reference("Object", ".involvedObject"),
        column("Source", "string", ".source.component", 1, ""),
        column("Message", "string", ".message", 0, ""),
        column("First Seen", "date", ".firstTimestamp", 1, ""),
        column("Count", "integer", ".count", 1, ""),
        column("Name", "string", ".metadata.name", 1, "name"),
    ];
    columns.into_iter().flatten().collect()
});

/// What the path names.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Status))]
pub(super) struct Named<T>(T);

#[derive(Deserialize)]
pub(super) struct Collection {
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    name: String,
}

pub(super) async fn list(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<Collection>,
    query: Query,
    shape: Shape,
) -> Result<Response, Status> {
    let ours = place.namespace.is_none_or(|namespace| namespace == NAMESPACE);
    let (revision, events) = state.events.list();
    let events: Vec<(u64, Value)> = events.iter().map(|event| (event.revision, view(event))).collect();
    let events = events
        .into_iter()
        .filter(|(_, event)| ours && query.selector.matches(event));
    if query.watch {
        return watch(
            &state,
            identity,
            query.clone(),
            shape,
            ours,
            revision,
            events.collect(),
        );
    }
    let page = page(&query, revision, events.map(|(_, event)| event).collect());
    let (metadata, events) = (page.metadata(), page.items.into_iter());
    Ok(match shape {
        Shape::Table => {
            let (include, now) = (query.include, now());
            let rows = events.map(move |event| table::row(&COLUMNS, &event, include, now).to_string());
            list::table(&COLUMNS, metadata, rows)
        }
        Shape::Objects => list::list_of("EventList", "v1", metadata, events.map(|event| event.to_string())),
    })
}

/// The page that a query wants. Events of a moment that has passed are not kept: a later page has what there is of them
/// now, without those that were made since.
fn page(query: &Query, revision: u64, mut events: Vec<Value>) -> Page<Value> {
    let begun = query
        .from
        .as_ref()
        .map(|place| place.rv)
        .filter(|begun| *begun > 0);
    let after = query.from.as_ref().map(|place| place.after.as_str());
    // All at once they come in the order in which they happened, which is none that a page could go on from.
    if query.from.is_some() || query.limit.is_some_and(|limit| events.len() > limit) {
        events.sort_by(|a, b| name(a).cmp(name(b)));
    }
    events.retain(|event| {
        let is_new = begun.is_some_and(|begun| made_after(event, begun));
        after.is_none_or(|after| name(event) > after) && !is_new
    });
    let all = query.selector.is_everything();
    Page::first(begun.unwrap_or(revision), events, query.limit, all, name)
}

fn name(event: &Value) -> &str {
    let name = event.pointer("/metadata/name").and_then(Value::as_str);
    name.unwrap_or_default()
}

/// Whether it happened for the first time after this revision.
fn made_after(event: &Value, revision: u64) -> bool {
    let version = event.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let newer = version.and_then(|text| text.parse::<u64>().ok()) > Some(revision);
    newer && event.get("count").and_then(Value::as_u64) == Some(1)
}

fn watch(
    state: &ServerState,
    identity: Identity,
    query: Query,
    shape: Shape,
    ours: bool,
    revision: u64,
    events: Vec<(u64, Value)>,
) -> Result<Response, Status> {
    let lines = Lines::new(shape, Sight::Whole, query.include, &COLUMNS);
    let initial = if query.since.is_some() { Vec::new() } else { events };
    let initial: Vec<_> = initial
        .iter()
        .map(|(revision, event)| lines.line("ADDED", event, *revision))
        .collect();
    let changes = state.events.watch(Some(query.since.unwrap_or(revision)));
    let selector = query.selector;
    let changes = changes.filter_map(move |event| {
        let verb = if event.count > 1 { "MODIFIED" } else { "ADDED" };
        let object = view(&event);
        ready((ours && selector.matches(&object)).then(|| lines.line(verb, &object, event.revision)))
    });
    let lines = stream::iter(initial).chain(changes).boxed();
    watch::answer(state, identity, query.timeout, lines)
}

pub(super) async fn get(
    State(state): State<ServerState>,
    Named(place): Named<Collection>,
) -> Result<Response, Status> {
    let ours = place.namespace.is_none_or(|namespace| namespace == NAMESPACE);
    let (_, events) = state.events.list();
    let event = events.iter().find(|event| ours && event.name == place.name);
    let event = event.ok_or_else(|| {
        let message = format!("events \"{}\" not found", place.name);
        Status::new(axum::http::StatusCode::NOT_FOUND, "NotFound", message)
    })?;
    Ok(Json(view(event)).into_response())
}

impl From<PathRejection> for Status {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

/// An event in the shape of the core group.
fn view(event: &Event) -> Value {
    json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": event.name,
            "namespace": NAMESPACE,
            "uid": event.uid,
            "resourceVersion": event.revision.to_string(),
            "creationTimestamp": seconds(event.first),
        },
        "involvedObject": {
            "kind": event.about.kind,
            "namespace": NAMESPACE,
            "name": event.about.name,
            "uid": event.about.uid,
            "apiVersion": API_VERSION,
        },
        "reason": event.reason,
        "message": event.message,
        "type": event.kind.as_str(),
        "count": event.count,
        "firstTimestamp": seconds(event.first),
        "lastTimestamp": seconds(event.last),
        "source": {"component": "aegisops"},
        "reportingComponent": "aegisops",
        "reportingInstance": "",
    })
}

/// As Kubernetes spells times: whole seconds.
fn seconds(time: Time) -> String {
    time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
