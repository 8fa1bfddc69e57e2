//! What the host has: `/containers`, `/metrics`, `/topology`, `/health`. Reads memory only.

use aegis_api::Time;
use aegis_api::wire::{ContainerRow, HealthAnswer, MetricHistory, Topology};
use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::metrics::exposition;
use crate::refusal::{Fault, Refusal};
use crate::request::Asked;
use crate::state::ServerState;

pub(super) async fn containers(State(state): State<ServerState>) -> Json<Vec<ContainerRow>> {
    Json(state.host.containers().to_vec())
}

/// JSON for web pages, Prometheus text for scrapers: the Accept header decides.
pub(super) async fn metrics(
    State(state): State<ServerState>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let accept = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    match exposition(&state, &accept.collect::<Vec<_>>().join(",")) {
        Some(text) => {
            let (content_type, text) = text?;
            Ok(([(CONTENT_TYPE, content_type)], text).into_response())
        }
        None => Ok(Json(&*state.host.metrics()).into_response()),
    }
}

#[derive(Deserialize)]
pub(super) struct HistoryAsked {
    #[serde(default)]
    minutes: Option<String>,
}

/// The load of the last quarter of an hour, or of as many minutes of it as are requested.
pub(super) async fn history(
    State(state): State<ServerState>,
    Asked(asked): Asked<HistoryAsked>,
) -> Result<Json<MetricHistory>, Refusal> {
    let minutes = match asked.minutes.as_deref() {
        None => 15,
        Some(text) => text
            .parse()
            .ok()
            .filter(|minutes| (1..=15).contains(minutes))
            .ok_or_else(|| Fault {
                place: "query",
                field: "minutes".into(),
                kind: "int_parsing",
                message: "Input should be a whole number from 1 to 15".to_owned(),
            })?,
    };
    Ok(Json(state.host.history(Time(jiff::Timestamp::now()), minutes)))
}

pub(super) async fn topology(State(state): State<ServerState>) -> Json<Topology> {
    Json(Topology::clone(&state.host.topology()))
}

pub(super) async fn health(State(state): State<ServerState>) -> Json<HealthAnswer> {
    Json(HealthAnswer {
        status: "ok".to_owned(),
        mode: "GOD_MODE".to_owned(),
        version: state.config.version.clone(),
        ws_clients: state.ws_clients(),
    })
}
