//! Lists of objects; a list that is to be watched is handed on. Reads memory only.

use std::sync::Arc;

use aegis_api::{API_VERSION, Time};
use aegis_runtime::Stored;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::negotiate::Shape;
use super::query::Query;
use super::table::{columns, table};
use super::target::Target;
use super::{warning, watch};
use crate::sight::Sight;
use crate::state::ServerState;
use crate::status::Status;

/// A list, written without copying its items.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List<'a> {
    pub(super) kind: String,
    pub(super) api_version: &'static str,
    pub(super) metadata: Value,
    pub(super) items: Vec<&'a Value>,
}

pub(super) async fn list(
    State(state): State<ServerState>,
    target: Target,
    query: Query,
    shape: Shape,
    sight: Sight,
) -> Result<Response, Status> {
    if query.watch {
        return watch::objects(&state, &target, query, shape, sight);
    }
    let (revision, objects) = selected(&state, &target, &query);
    let shown: Vec<_> = objects.iter().map(|object| sight.shows(&object.value)).collect();
    let items = shown.iter().map(AsRef::as_ref);
    let response = match shape {
        Shape::Table => Json(table(
            columns(target.info),
            items,
            revision,
            query.include,
            true,
            now(),
        ))
        .into_response(),
        Shape::Objects => Json(List {
            kind: format!("{}List", target.info.kind),
            api_version: API_VERSION,
            metadata: json!({"resourceVersion": revision.to_string()}),
            items: items.collect(),
        })
        .into_response(),
    };
    Ok(warning::add(response, &state, target.info, None))
}

/// The objects that a query selects, and the revision at which it did.
pub(super) fn selected(state: &ServerState, target: &Target, query: &Query) -> (u64, Vec<Arc<Stored>>) {
    let (revision, mut objects) = state.store.list_stored(target.info);
    objects.retain(|object| target.is_ours() && query.selector.matches(&object.value));
    (revision, objects)
}

pub(super) fn now() -> Time {
    Time(jiff::Timestamp::now())
}
