//! What the host has: `/containers`, `/metrics` and what is below it, `/detectors`, `/topology`, `/health`. Reads memory only.

use aegis_api::wire::{
    BalancerMetrics, ContainerRow, DetectorView, HealthAnswer, HostMetrics, Topology, WorkloadRequests,
};
use aegis_api::{Detector, Kind as _};
use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::metrics::exposition;
use crate::refusal::{Fault, Refusal};
use crate::request::Asked;
use crate::state::ServerState;
use crate::written;

/// How far back the load is kept.
const MINUTES: std::ops::RangeInclusive<u64> = 1..=24 * 60;
const DEFAULT_MINUTES: u64 = 15;
/// Containers, or load balancers, that one request may name.
const MOST_NAMES: usize = 100;

pub(super) async fn containers(State(state): State<ServerState>) -> Json<Vec<ContainerRow>> {
    Json(state.host.containers().to_vec())
}

/// By name.
pub(super) async fn detectors(State(state): State<ServerState>) -> Json<Vec<DetectorView>> {
    let mut detectors = state.store.list::<Detector>();
    detectors.sort_by(|one, other| one.name().cmp(other.name()));
    Json(
        detectors
            .iter()
            .map(|detector| DetectorView::of(detector))
            .collect(),
    )
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

/// Which load is requested.
#[derive(Debug, PartialEq, Eq)]
struct HistoryAsked {
    minutes: u64,
    /// Of these containers; of all where none is named.
    names: Vec<String>,
}

impl TryFrom<Vec<(String, String)>> for HistoryAsked {
    type Error = Fault;

    fn try_from(query: Vec<(String, String)>) -> Result<Self, Fault> {
        let fault = |field: &'static str, kind, message: String| Fault {
            place: "query",
            field: field.into(),
            kind,
            message,
        };
        let mut minutes = None;
        let mut names = Vec::new();
        for (key, value) in query {
            match key.as_str() {
                "minutes" => {
                    let number = value.parse().ok().filter(|asked| MINUTES.contains(asked));
                    let (first, last) = (MINUTES.start(), MINUTES.end());
                    let wanted = format!("Input should be a whole number from {first} to {last}");
                    let number = number.ok_or_else(|| fault("minutes", "int_parsing", wanted))?;
                    if minutes.replace(number).is_some() {
                        return Err(fault("minutes", "value_error", "Give it once".to_owned()));
                    }
                }
                "name" => names.push(value),
                _ => {}
            }
        }
        if names.len() > MOST_NAMES {
            let most = format!("Name at most {MOST_NAMES} containers, or none for all");
            return Err(fault("name", "too_long", most));
        }
        Ok(Self {
            minutes: minutes.unwrap_or(DEFAULT_MINUTES),
            names,
        })
    }
}

/// The load of the last minutes: readings of the last quarter of an hour, and a sample a minute of the day before it. Of many
/// containers these are megabytes: written container by container.
pub(super) async fn history(
    State(state): State<ServerState>,
    Asked(query): Asked<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let HistoryAsked { minutes, names } = query.try_into()?;
    let mut history = state.host.history(aegis_clock::now(), minutes, &names);
    let series = std::mem::take(&mut history.series).into_iter();
    let mut fields = match serde_json::to_value(&history) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.remove("series");
    // A series has no map with keys that are no text, which is all that could have no form as JSON.
    let series = series.filter_map(|one| serde_json::to_string(&one).ok());
    Ok(written::object(fields, "series", series))
}

pub(super) async fn of_the_host(State(state): State<ServerState>) -> Json<HostMetrics> {
    Json(HostMetrics::clone(&state.host.host()))
}

/// The requests and connections of the load balancers that are named; of all where none is.
pub(super) async fn load_balancers(
    State(state): State<ServerState>,
    Asked(query): Asked<Vec<(String, String)>>,
) -> Result<Json<Vec<BalancerMetrics>>, Refusal> {
    let named = query.into_iter().filter(|(key, _)| key == "name");
    let names: Vec<String> = named.map(|(_, value)| value).collect();
    if names.len() > MOST_NAMES {
        return Err(Refusal::from(Fault {
            place: "query",
            field: "name".into(),
            kind: "too_long",
            message: format!("Name at most {MOST_NAMES} load balancers, or none for all"),
        }));
    }
    Ok(Json(state.host.balancers(aegis_clock::now(), &names)))
}

/// Rate, errors and duration of the workloads that had requests within a quarter of an hour.
pub(super) async fn workloads(State(state): State<ServerState>) -> Json<Vec<WorkloadRequests>> {
    Json(state.host.requested(aegis_clock::now()))
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
