//! `/incidents`. Reads memory only.

use std::sync::Arc;

use aegis_api::Incident;
use aegis_api::wire::{IncidentResult, incident_id};
use aegis_runtime::Store;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::refusal::Refusal;
use crate::request::Named;
use crate::state::ServerState;
use crate::written;

pub(super) async fn list(State(state): State<ServerState>) -> Response {
    let incidents = by_age(&state.store).into_iter();
    written::array(incidents.filter_map(|incident| {
        let result = IncidentResult::from(&*incident);
        // It has no map with keys that are no text, which is all that could have no form as JSON.
        serde_json::to_string(&result).ok()
    }))
}

pub(super) async fn get(
    State(state): State<ServerState>,
    Named(id): Named<String>,
) -> Result<Json<IncidentResult>, Refusal> {
    let found = find(&state, &id).map(|incident| Json(IncidentResult::from(&*incident)));
    found.ok_or_else(|| Refusal::Plain(StatusCode::NOT_FOUND, "Incident not found.".to_owned()))
}

/// Every incident, oldest first.
pub(crate) fn by_age(store: &Store) -> Vec<Arc<Incident>> {
    let mut incidents = store.list::<Incident>();
    incidents.sort_by_key(|incident| incident.metadata.creation_timestamp.as_ref().map(|time| time.0));
    incidents
}

/// The newest of the id that its sender gave it, else the one that an alert of this id joined, else by resource name.
fn find(state: &ServerState, id: &str) -> Option<Arc<Incident>> {
    let sent = state.book.find(&state.store, id);
    let own = sent.iter().find(|found| incident_id(found) == id);
    let joined = || sent.iter().find(|found| found.spec.source.has_joined(id));
    own.or_else(joined)
        .cloned()
        .or_else(|| state.store.get::<Incident>(id))
}
