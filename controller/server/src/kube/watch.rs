//! Watches: one line of JSON a change, for as long as the client wants. Owns no memory of what was sent: a client that
//! falls behind gets 410 and lists again.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use aegis_runtime::{Expired, StoreEvent, Verb};
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use serde_json::{Value, json};

use super::list::{now, selected};
use super::negotiate::Shape;
use super::query::{Include, Query};
use super::selector::Selector;
use super::table::{Column, columns, table};
use super::target::Target;
use crate::auth::Identity;
use crate::lasting;
use crate::limits::Lasting;
use crate::places::{Full, Place};
use crate::sight::Sight;
use crate::state::ServerState;
use crate::status::Status;

/// Says that the objects before it are all that there were (`sendInitialEvents`).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Watches the objects of a kind.
pub(super) fn objects(
    state: &ServerState,
    identity: Identity,
    target: &Target,
    query: Query,
    shape: Shape,
    sight: Sight,
) -> Result<Response, Status> {
    let mut lines = Lines {
        shape,
        sight,
        include: query.include,
        columns: columns(target.info),
        headed: false,
    };
    let (since, mut initial) = match query.since {
        Some(since) => (since, Vec::new()),
        None => {
            let (revision, objects) = selected(state, target, &query);
            (
                revision,
                objects
                    .iter()
                    .map(|object| lines.line("ADDED", &object.value(), object.resource_version))
                    .collect(),
            )
        }
    };
    if query.initial_events_end {
        initial.push(initial_end(target, since));
    }
    let changes = state.store.watch(Some(since)).map_err(Status::expired)?;
    let (info, ours, selector) = (target.info, target.is_ours(), query.selector);
    let changes = changes.filter_map(move |event| {
        let concerns = ours && std::ptr::eq(event.object.info, info);
        let change = if concerns { change(&selector, &event) } else { None };
        ready(change.map(|verb| lines.line(verb, &event.object.value(), event.resource_version)))
    });
    answer(
        state,
        identity,
        query.timeout,
        stream::iter(initial).chain(changes).chain(expired(since)).boxed(),
    )
}

/// What a change of an object is to a client that sees only what its selector selects.
fn change(selector: &Selector, event: &StoreEvent) -> Option<&'static str> {
    let matches = event.verb != Verb::Deleted && selector.selects(&event.object);
    let was = match &event.old {
        Some(old) => selector.selects(old),
        None => event.verb == Verb::Deleted && selector.selects(&event.object),
    };
    match (was, matches) {
        (false, true) => Some("ADDED"),
        (true, true) => Some("MODIFIED"),
        (true, false) => Some("DELETED"),
        (false, false) => None,
    }
}

/// The answer: these lines until they end, the client's time is up or its token is good no more, or the server goes.
pub(super) fn answer(
    state: &ServerState,
    identity: Identity,
    timeout: Option<Duration>,
    lines: BoxStream<'static, Bytes>,
) -> Result<Response, Status> {
    let place = place(state, &identity)?;
    let end = lasting::over(state.clone(), identity, Some(lasting::life(timeout)));
    let lines = lines.take_until(Box::pin(end)).map(move |line| {
        let _held = &place;
        Ok::<_, Infallible>(line)
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.extensions_mut().insert(Lasting);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// A place for what goes on for as long as its client wants.
pub(super) fn place(state: &ServerState, identity: &Identity) -> Result<Place, Status> {
    let place = state.watches.take(&identity.caller);
    place.map_err(|full| {
        Status::too_many(match full {
            Full::All => "the server has too many watches and logs: try again in a moment",
            Full::Yours => "you have too many watches and logs open: end some",
        })
    })
}

/// Writes changes as lines.
pub(super) struct Lines {
    pub(super) shape: Shape,
    pub(super) sight: Sight,
    pub(super) include: Include,
    pub(super) columns: &'static [Column],
    /// Whether a table's columns were sent already: only the first line has them.
    pub(super) headed: bool,
}

impl Lines {
    pub(super) fn line(&mut self, verb: &str, object: &Value, revision: u64) -> Bytes {
        let object = &*self.sight.shows(object);
        match self.shape {
            Shape::Objects => line(verb, object),
            Shape::Table => {
                let header = !std::mem::replace(&mut self.headed, true);
                line(
                    verb,
                    &table(self.columns, [object], revision, self.include, header, now()),
                )
            }
        }
    }
}

fn line(verb: &str, object: &Value) -> Bytes {
    let mut text = format!("{{\"type\":\"{verb}\",\"object\":{object}}}");
    text.push('\n');
    text.into()
}

fn initial_end(target: &Target, revision: u64) -> Bytes {
    line(
        "BOOKMARK",
        &json!({
            "kind": target.info.kind,
            "apiVersion": aegis_api::API_VERSION,
            "metadata": {"resourceVersion": revision.to_string(), "annotations": {INITIAL_END: "true"}},
        }),
    )
}

/// The last line of a client that fell behind.
fn expired(since: u64) -> impl Stream<Item = Bytes> + Send {
    stream::once(async move {
        line(
            "ERROR",
            &Status::expired(Expired { since, oldest: since }).to_map().into(),
        )
    })
}
