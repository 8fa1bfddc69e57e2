//! `POST /webhook`: an alert becomes an Incident, durable before the answer. The same trouble again is the same incident.

use std::sync::Arc;

use aegis_api::naming::{hashed, resource_name};
use aegis_api::wire::{IncidentResult, incident_id};
use aegis_api::{API_VERSION, Incident, Kind, KindInfo, Workload, kinds};
use aegis_runtime::{Store, StoreError};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::alert::Alert;
use super::refusal::Refusal;
use crate::auth::Acting;
use crate::body::{ALERT_LIMIT, Whole};
use crate::state::ServerState;
use crate::status::Status;

/// How often a race with another sender is run again.
const ATTEMPTS: usize = 5;

pub(super) async fn webhook(
    State(state): State<ServerState>,
    Acting(store): Acting,
    body: Result<Whole<ALERT_LIMIT>, Status>,
) -> Result<Json<IncidentResult>, Refusal> {
    let alert = Alert::read(&body?.0, &state.config.target_container).map_err(Refusal::Fields)?;
    let _turn = state.gates.enter(alert.same()).await;
    let info =
        kinds::find("Incident").ok_or_else(|| Status::internal("there is no such kind as Incident"))?;
    for _ in 0..ATTEMPTS {
        let taken = match known(&state.store, &alert) {
            Some(incident) => repeat(&store, incident).await,
            None => open(&store, info, &alert).await,
        };
        match taken {
            Ok(incident) => return Ok(Json(IncidentResult::from(&*incident))),
            // Somebody else opened or deleted it meanwhile: look again.
            Err(StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(Status::from_store(info, error).into()),
        }
    }
    let detail = "the incident changes faster than it can be read: send it again".to_owned();
    Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, detail))
}

/// The incident that this alert is about already: the one with its id, else an open one with its fingerprint.
fn known(store: &Store, alert: &Alert) -> Option<Arc<Incident>> {
    let ours = |name: String| {
        store
            .get::<Incident>(&name)
            .filter(|found| incident_id(found) == alert.incident_id)
    };
    let found = ours(resource_name(&alert.incident_id)).or_else(|| ours(hashed(&alert.incident_id)));
    let fingerprint = alert.fingerprint.as_ref();
    found.or_else(|| {
        let fingerprint = fingerprint?;
        let same = |incident: &Arc<Incident>| {
            !incident.is_finished() && incident.spec.source.fingerprint == *fingerprint
        };
        store.list::<Incident>().into_iter().find(same)
    })
}

/// Counts a repeat, while the incident is open.
async fn repeat(store: &Store, incident: Arc<Incident>) -> Result<Arc<Incident>, StoreError> {
    if incident.is_finished() {
        return Ok(incident);
    }
    let counted = store.edit_spec::<Incident, _>(incident.name(), |current| {
        let mut spec = current.spec.clone();
        spec.count = spec.count.saturating_add(1);
        Ok(spec)
    });
    counted.await
}

async fn open(store: &Store, info: &'static KindInfo, alert: &Alert) -> Result<Arc<Incident>, StoreError> {
    let mut name = resource_name(&alert.incident_id);
    if store.get::<Incident>(&name).is_some() {
        // Another incident has the name.
        name = hashed(&alert.incident_id);
    }
    let spec = alert.spec(&store.list::<Workload>());
    let object =
        json!({"apiVersion": API_VERSION, "kind": "Incident", "metadata": {"name": name}, "spec": spec});
    let stored = store.create(info, object, false).await?;
    stored.typed().ok_or(StoreError::NotFound {
        kind: info.kind.to_owned(),
        name,
    })
}
