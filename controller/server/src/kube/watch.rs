//! Watches: one line of JSON a change, for as long as the client wants. Owns no memory of what was sent: a client that
//! falls behind gets 410 and lists again.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::decoded::Decoded;
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
    let lines = Arc::new(Lines::new(shape, sight, query.include, columns(target.info)));
    let (since, initial) = match query.since {
        Some(since) => (since, Vec::new()),
        None => selected(state, target, &query, sight),
    };
    let end = query.initial_events_end.then(|| initial_end(target, since));
    let changes = state.store.watch(Some(since)).map_err(Status::expired)?;
    let (info, ours, selector) = (target.info, target.is_ours(), query.selector);
    let (changed, server) = (Arc::clone(&lines), state.clone());
    let changes = changes.filter_map(move |event| {
        let concerns = ours && std::ptr::eq(event.object.info, info);
        ready(
            concerns
                .then(|| changed.change(&server, &selector, &event))
                .flatten(),
        )
    });
    // One after the other, as the client reads them: all at once they would be there a second time, as text.
    let initial = initial
        .into_iter()
        .map(move |object| lines.object("ADDED", &Decoded::new(object)));
    let initial = stream::iter(initial.chain(end));
    answer(
        state,
        identity,
        query.timeout,
        initial.chain(changes).chain(expired(since)).boxed(),
    )
}

impl Lines {
    /// The line of a change of an object, for a client that sees only what its selector selects.
    fn change(&self, state: &ServerState, selector: &Selector, event: &StoreEvent) -> Option<Bytes> {
        let object = state.decoded.of(&event.object);
        let old = event.old.as_ref().filter(|_| !selector.is_everything());
        let old = old.map(|old| state.decoded.of(old));
        let verb = change(selector, self.sight, event, &object, old.as_deref())?;
        Some(self.write(verb, &object, event.resource_version))
    }
}

/// What a change of an object is to a client that sees only what its selector selects. `old`: what it was, where that
/// matters.
fn change(
    selector: &Selector,
    sight: Sight,
    event: &StoreEvent,
    object: &Decoded,
    old: Option<&Decoded>,
) -> Option<&'static str> {
    let selected = selector.selects_decoded(object, sight);
    let matches = event.verb != Verb::Deleted && selected;
    let was = match (&event.old, old) {
        (Some(_), Some(old)) => selector.selects_decoded(old, sight),
        // Everything is selected.
        (Some(_), None) => true,
        (None, _) => event.verb == Verb::Deleted && selected,
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
    shape: Shape,
    sight: Sight,
    include: Include,
    columns: &'static [Column],
    /// Whether a table's columns were sent already: only the first line has them.
    headed: AtomicBool,
}

impl Lines {
    pub(super) fn new(shape: Shape, sight: Sight, include: Include, columns: &'static [Column]) -> Self {
        Self {
            shape,
            sight,
            include,
            columns,
            headed: AtomicBool::new(false),
        }
    }

    /// One that is stored, as it is.
    fn object(&self, verb: &str, object: &Decoded) -> Bytes {
        self.write(verb, object, object.object().resource_version)
    }

    fn write(&self, verb: &str, object: &Decoded, revision: u64) -> Bytes {
        match self.shape {
            Shape::Objects => text_line(verb, object.text(self.sight)),
            Shape::Table => self.row(verb, object.shown(self.sight), revision),
        }
    }

    /// One that is not stored, and holds no values.
    pub(super) fn line(&self, verb: &str, object: &Value, revision: u64) -> Bytes {
        match self.shape {
            Shape::Objects => line(verb, object),
            Shape::Table => self.row(verb, object, revision),
        }
    }

    fn row(&self, verb: &str, object: &Value, revision: u64) -> Bytes {
        let header = !self.headed.swap(true, Ordering::Relaxed);
        line(
            verb,
            &table(self.columns, [object], revision, self.include, header, now()),
        )
    }
}

fn text_line(verb: &str, object: &str) -> Bytes {
    format!("{{\"type\":\"{verb}\",\"object\":{object}}}\n").into()
}

fn line(verb: &str, object: &Value) -> Bytes {
    text_line(verb, &object.to_string())
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
