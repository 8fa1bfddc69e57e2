//! `/automation`: whether automation is paused, on the host and on single workloads; pausing and resuming it. Decides
//! nothing: what a pause stops is the reconcilers'.

use aegis_api::automation::{ANNOTATIONS, AutomationView, LONGEST_REASON, Pause, PauseWanted, Resume};
use aegis_api::{Kind as _, KindInfo, Time, Workload};
use aegis_runtime::{Part, Store, StoreError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::auth::Acting;
use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;

/// The largest body here, bytes.
const LIMIT: usize = 4096;
/// The longest pause that ends by itself, seconds: a year.
const LONGEST: u32 = 31_536_000;

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/automation", get(show))
        .route("/automation/pause", post(pause))
        .route("/automation/resume", post(resume))
}

async fn show(State(state): State<ServerState>) -> Json<AutomationView> {
    Json(view(&state.store))
}

/// Every pause in force.
pub(crate) fn view(store: &Store) -> AutomationView {
    let now = now();
    let workloads = store.list::<Workload>();
    let paused = workloads.iter().filter_map(|workload| {
        let pause = Pause::of(workload.metadata.annotations.as_ref()).filter(|pause| pause.holds(now))?;
        Some((workload.name().to_owned(), pause))
    });
    AutomationView {
        paused: store.automation().paused(),
        resumed: store.automation().resumed(),
        workloads: paused.collect(),
    }
}

async fn pause(
    State(state): State<ServerState>,
    Acting(store): Acting,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Json<AutomationView>, Refusal> {
    let wanted = wanted(&body?.0)?;
    let at = now();
    let until = wanted
        .seconds
        .map(|seconds| at.plus(aegis_api::Duration::from_secs(seconds.into())));
    let pause = Pause {
        by: store.actor().user.clone(),
        reason: wanted.reason,
        at: Some(at),
        until,
    };
    match wanted.workload {
        Some(workload) => annotate(&store, workload.as_str(), pause.annotations()).await?,
        None => {
            let paused = store
                .automation()
                .pause(store.actor().clone(), pause.clone())
                .await;
            paused.map_err(|error| refused(error.into()))?;
        }
    }
    Ok(Json(view(&state.store)))
}

async fn resume(
    State(state): State<ServerState>,
    Acting(store): Acting,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Json<AutomationView>, Refusal> {
    let wanted = wanted(&body?.0)?;
    match wanted.workload {
        Some(workload) => annotate(&store, workload.as_str(), Vec::new()).await?,
        None => {
            let resume = Resume {
                by: store.actor().user.clone(),
                reason: wanted.reason,
                at: now(),
            };
            let resumed = store.automation().resume(store.actor().clone(), resume).await;
            resumed.map_err(|error| refused(error.into()))?;
        }
    }
    Ok(Json(view(&state.store)))
}

fn now() -> Time {
    aegis_clock::now()
}

fn wanted(body: &[u8]) -> Result<PauseWanted, Status> {
    let body = if body.is_empty() { b"{}" } else { body };
    let wanted: PauseWanted = serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "the body is not {{\"workload\"?, \"reason\"?, \"seconds\"?}}: {error}"
        ))
    })?;
    let invalid = |message: String| Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    if wanted.reason.chars().count() > LONGEST_REASON || wanted.reason.chars().any(char::is_control) {
        return Err(invalid(format!(
            "reason: at most {LONGEST_REASON} characters, and none of them a control character"
        )));
    }
    if wanted
        .seconds
        .is_some_and(|seconds| !(1..=LONGEST).contains(&seconds))
    {
        return Err(invalid(format!("seconds: 1 to {LONGEST}")));
    }
    Ok(wanted)
}

/// Replaces what a Workload's annotations say of a pause.
async fn annotate(
    store: &Store,
    workload: &str,
    annotations: Vec<(&'static str, String)>,
) -> Result<(), Refusal> {
    let edited = store.edit(
        KindInfo::of::<Workload>(),
        workload,
        Part::Spec,
        false,
        move |current| {
            let mut object = current.value();
            let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
                return Ok(object);
            };
            let present = metadata.get("annotations").and_then(Value::as_object);
            let mut present = present.cloned().unwrap_or_default();
            present.retain(|key, _| !ANNOTATIONS.contains(&key.as_str()));
            present.extend(
                annotations
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), json!(value))),
            );
            match present.is_empty() {
                true => metadata.remove("annotations"),
                false => metadata.insert("annotations".to_owned(), Value::Object(present)),
            };
            Ok(object)
        },
    );
    edited.await.map(drop).map_err(refused)
}

fn refused(error: StoreError) -> Refusal {
    Status::from_store(KindInfo::of::<Workload>(), error).into()
}

#[cfg(test)]
mod tests;
