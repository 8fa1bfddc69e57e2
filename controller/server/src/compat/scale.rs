//! `POST /scale/up` and `/scale/down`: sets the replicas of the target's workload and answers when they serve. Only the
//! spec is changed here; reconcilers do the rest, and this waits for what they report.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::wire::{Removed, ScaleData, ScaleEvent};
use aegis_api::{Kind as _, KindInfo, LoadBalancer, Workload};
use aegis_planning::covering::covering;
use aegis_planning::serving::{is_balanced, missing, replicas};
use aegis_runtime::Store;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::Deserialize;

use crate::auth::Acting;
use crate::autoscale;
use crate::refusal::{Fault, Refusal};
use crate::request::{Asked, Named};
use crate::state::ServerState;
use crate::status::Status;

/// How long an answer may wait for what it reports.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before the store is watched again.
const PAUSE: Duration = Duration::from_millis(50);
/// Replicas beside the base where a client does not say how many.
const DEFAULT_COUNT: u32 = 2;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    count: Option<String>,
}

pub(super) async fn scale(
    State(state): State<ServerState>,
    Acting(store): Acting,
    Named(direction): Named<String>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refusal> {
    match direction.as_str() {
        "up" => {
            up(
                &state,
                &store,
                count(wanted.count.as_deref(), state.config.max_replicas)?,
            )
            .await
        }
        "down" => down(&state, &store).await,
        _ => Err(Refusal::Plain(
            StatusCode::BAD_REQUEST,
            "direction must be 'up' or 'down'".to_owned(),
        )),
    }
}

/// Replicas beside the base; more than there may be are as many as there may be.
fn count(text: Option<&str>, most: u32) -> Result<u32, Fault> {
    let count = match text {
        None => DEFAULT_COUNT,
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| count_fault("Input should be a whole number, 1 or more"))?,
    };
    if count == 0 {
        Err(count_fault("Input should be 1 or more"))
    } else {
        Ok(count.min(most.max(1)))
    }
}

fn count_fault(message: &str) -> Fault {
    Fault {
        place: "query",
        field: "count".into(),
        kind: "int_parsing",
        message: message.to_owned(),
    }
}

async fn up(state: &ServerState, store: &Store, count: u32) -> Result<Response, Refusal> {
    let wanted = count.saturating_add(1);
    let note = autoscale::note(&*target(state)?, wanted);
    let served = settle(state, store, wanted).await?;
    let mut event = event(&served, &state.store.list::<LoadBalancer>());
    event.autoscale.clone_from(&note);
    let data = ScaleData {
        incident_id: None,
        event: event.clone(),
    };
    state.feed.publish(None, &data);
    let mut response = Json(event).into_response();
    autoscale::warn(&mut response, note.as_deref());
    Ok(response)
}

async fn down(state: &ServerState, store: &Store) -> Result<Response, Refusal> {
    let workload = target(state)?;
    let (before, note) = (replicas(&workload), autoscale::note(&workload, 1));
    let served = settle(state, store, 1).await?;
    let left = replicas(&served);
    let removed = before.into_iter().filter(|name| !left.contains(name)).collect();
    let mut response = Json(Removed {
        removed,
        autoscale: note.clone(),
    })
    .into_response();
    autoscale::warn(&mut response, note.as_deref());
    Ok(response)
}

fn event(workload: &Workload, balancers: &[Arc<LoadBalancer>]) -> ScaleEvent {
    let base = workload
        .spec
        .container
        .as_ref()
        .map(|container| container.as_str());
    let replicas = replicas(workload);
    ScaleEvent {
        container_base: base.unwrap_or(workload.name()).to_owned(),
        replica_count: replicas.len(),
        replicas,
        lb_configured: is_balanced(workload, balancers),
        timestamp: aegis_clock::now(),
        autoscale: None,
    }
}

/// The workload of the target container.
fn target(state: &ServerState) -> Result<Arc<Workload>, Refusal> {
    let container = &state.config.target_container;
    let workloads = state.store.list::<Workload>();
    covering(&workloads, container).cloned().ok_or_else(|| {
        let detail = format!(
            "no Workload covers the container {container:?}: apply one with `spec.container: {container}`"
        );
        Refusal::Plain(StatusCode::NOT_FOUND, detail)
    })
}

/// Sets the replicas and waits until they serve, for a minute at most.
async fn settle(state: &ServerState, store: &Store, wanted: u32) -> Result<Arc<Workload>, Refusal> {
    let name = target(state)?.name().to_owned();
    let edited = store.edit_spec::<Workload, _>(&name, move |current| {
        let mut spec = current.spec.clone();
        spec.replicas = wanted;
        Ok(spec)
    });
    let generation = edited
        .await
        .map_err(|error| Status::from_store(KindInfo::of::<Workload>(), error))?
        .generation();
    match tokio::time::timeout(TIMEOUT, served(state, &name, generation)).await {
        Ok(served) => served,
        Err(_) => {
            let left = observe(state, &name, generation)?
                .err()
                .unwrap_or_default()
                .join("; ");
            let detail = format!(
                "workload {name} does not serve after {} s: {left}",
                TIMEOUT.as_secs()
            );
            Err(Refusal::Plain(StatusCode::GATEWAY_TIMEOUT, detail))
        }
    }
}

/// Waits until the workload serves: checks the whole state after every change of any object.
async fn served(state: &ServerState, name: &str, generation: i64) -> Result<Arc<Workload>, Refusal> {
    loop {
        let mut changes = state.store.watch(None).map_err(Status::expired)?;
        loop {
            if let Ok(workload) = observe(state, name, generation)? {
                return Ok(workload);
            }
            if changes.next().await.is_none() {
                break;
            }
        }
        // Fallen behind: watch again. A store that closed would answer so without end.
        if state.shutdown.is_cancelled() {
            let detail = "the controller is shutting down".to_owned();
            return Err(Refusal::Plain(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The workload if it serves, else what is missing.
fn observe(
    state: &ServerState,
    name: &str,
    generation: i64,
) -> Result<Result<Arc<Workload>, Vec<String>>, Refusal> {
    let workload = state.store.get::<Workload>(name).ok_or_else(|| {
        Refusal::Plain(
            StatusCode::NOT_FOUND,
            format!("the Workload {name:?} was deleted meanwhile"),
        )
    })?;
    let missing = missing(&workload, &state.store.list::<LoadBalancer>(), generation);
    Ok(if missing.is_empty() {
        Ok(workload)
    } else {
        Err(missing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_within_bounds() {
        assert_eq!(count(None, 5), Ok(2));
        assert_eq!(count(Some("3"), 5), Ok(3));
        assert_eq!(count(Some("99"), 5), Ok(5));
        for bad in ["0", "-1", "two", "", "99999999999"] {
            assert_eq!(count(Some(bad), 5).unwrap_err().field, "count", "{bad}");
        }
    }
}
