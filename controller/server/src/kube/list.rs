//! Lists of objects; a list that is to be watched is handed on. Reads memory only.

use std::sync::Arc;

use aegis_api::{API_VERSION, KindInfo, Time};
use aegis_runtime::Stored;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

use super::negotiate::Shape;
use super::page::{Page, Place};
use super::query::Query;
use super::table::{self, Column, columns};
use super::target::Target;
use super::{warning, watch};
use crate::auth::Identity;
use crate::sight::Sight;
use crate::state::ServerState;
use crate::status::Status;
use crate::written;

pub(super) async fn list(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    target: Target,
    query: Query,
    shape: Shape,
    sight: Sight,
) -> Result<Response, Status> {
    if query.watch {
        return watch::objects(&state, identity, &target, query, shape, sight);
    }
    let page = page(&state, &target, &query, sight)?;
    let metadata = page.metadata();
    let items = page.items.into_iter();
    let response = match shape {
        Shape::Table => {
            let (columns, include, now) = (columns(target.info), query.include, now());
            let rows = items.map(move |object| {
                let row = table::row(columns, &sight.shows(&object.value()), include, now);
                row.to_string()
            });
            table(columns, metadata, rows)
        }
        Shape::Objects => {
            let kind = format!("{}List", target.info.kind);
            let objects = items.map(move |object| sight.text(&object));
            list_of(&kind, API_VERSION, metadata, objects)
        }
    };
    Ok(warning::add(response, &state, target.info, None))
}

/// A list of objects that are written already.
pub(super) fn list_of(
    kind: &str,
    version: &str,
    metadata: Value,
    items: impl Iterator<Item = String> + Send + 'static,
) -> Response {
    let fields = [
        ("kind", Value::from(kind)),
        ("apiVersion", version.into()),
        ("metadata", metadata),
    ];
    let fields: Map<String, Value> = fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
    written::object(fields, "items", items)
}

/// A table of rows that are written already.
pub(super) fn table(
    columns: &[Column],
    metadata: Value,
    rows: impl Iterator<Item = String> + Send + 'static,
) -> Response {
    written::object(table::head(columns, metadata), "rows", rows)
}

/// The page that a query wants.
fn page(
    state: &ServerState,
    target: &Target,
    query: &Query,
    sight: Sight,
) -> Result<Page<Arc<Stored>>, Status> {
    let (revision, mut objects) = all_at(state, target.info, query.from.as_ref())?;
    let after = query.from.as_ref().map(|place| place.after.as_str());
    objects.retain(|object| {
        target.is_ours()
            && after.is_none_or(|after| object.name() > after)
            && query.selector.selects(object, sight)
    });
    let all = query.selector.is_everything();
    Ok(Page::first(revision, objects, query.limit, all, |object| {
        object.name()
    }))
}

/// The objects of a kind by name, at the moment that a list is of which goes on there.
pub(crate) fn all_at(
    state: &ServerState,
    info: &'static KindInfo,
    from: Option<&Place>,
) -> Result<(u64, Vec<Arc<Stored>>), Status> {
    let Some(place) = from.filter(|place| place.rv > 0) else {
        return Ok(state.store.list_stored(info));
    };
    let then = state.store.list_stored_at(info, place.rv);
    let then = then.map_err(|_| {
        let now = Place {
            rv: 0,
            after: place.after.clone(),
        };
        Status::page_expired(now.token())
    })?;
    Ok((place.rv, then))
}

/// The objects that a query selects, and the revision at which it did.
pub(super) fn selected(
    state: &ServerState,
    target: &Target,
    query: &Query,
    sight: Sight,
) -> (u64, Vec<Arc<Stored>>) {
    let (revision, mut objects) = state.store.list_stored(target.info);
    objects.retain(|object| target.is_ours() && query.selector.selects(object, sight));
    (revision, objects)
}

pub(super) fn now() -> Time {
    aegis_clock::now()
}
