//! `/incidents`. Reads memory only.

use std::sync::Arc;

use aegis_api::naming::{hashed, resource_name};
use aegis_api::wire::{IncidentResult, incident_id};
use aegis_api::{Incident, Kind};
use aegis_runtime::Store;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::refusal::Refusal;
use super::request::Named;
use crate::state::ServerState;

pub(super) async fn list(State(state): State<ServerState>) -> Json<Vec<IncidentResult>> {
    Json(
        by_age(&state.store)
            .iter()
            .map(|incident| IncidentResult::from(&**incident))
            .collect(),
    )
}

pub(super) async fn get(
    State(state): State<ServerState>,
    Named(id): Named<String>,
) -> Result<Json<IncidentResult>, Refusal> {
    let found = find(&state.store, &id).map(|incident| Json(IncidentResult::from(&*incident)));
    found.ok_or_else(|| Refusal::Plain(StatusCode::NOT_FOUND, "Incident not found.".to_owned()))
}

/// Every incident, oldest first.
pub(crate) fn by_age(store: &Store) -> Vec<Arc<Incident>> {
    let mut incidents = store.list::<Incident>();
    incidents.sort_by_key(|incident| incident.metadata.creation_timestamp.as_ref().map(|time| time.0));
    incidents
}

/// By the id its sender gave it, else by resource name.
fn find(store: &Store, id: &str) -> Option<Arc<Incident>> {
    let named = |name: &str| store.get::<Incident>(name);
    let sent = |found: &Arc<Incident>| incident_id(found) == id;
    let likely = named(&resource_name(id))
        .filter(sent)
        .or_else(|| named(&hashed(id)).filter(sent));
    likely.or_else(|| {
        store
            .list::<Incident>()
            .into_iter()
            .find(|found| sent(found) || found.name() == id)
    })
}
