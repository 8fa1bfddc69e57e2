//! `/healthz` and `/readyz`: whether the process lives, and whether it can do its work. Open to everybody, so what is wrong
//! is said in full only to those who may read, and however often it is asked, little is done for it.

use std::time::Duration;

use aegis_api::{KindInfo, Workload};
use aegis_runtime::StoreError;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::state::ServerState;

/// How long the store's writer may take to answer.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what the writer answered holds.
const FRESH: Duration = Duration::from_secs(1);

/// What was last found out of the store, and when. One asks at a time, for all who wait.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    store: Mutex<Option<(Instant, Result<(), String>)>>,
}

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/healthz", get(live))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
}

async fn live() -> &'static str {
    "ok"
}

async fn ready(State(state): State<ServerState>, headers: HeaderMap) -> (StatusCode, String) {
    let checks = [
        ("store", store(&state).await),
        ("docker", state.host.engine().map_err(|why| why.to_string())),
    ];
    // Its words hold paths.
    let in_full = state.auth.may_read(&headers);
    let failed: Vec<String> = checks
        .into_iter()
        .filter_map(|(name, check)| match check {
            Ok(()) => None,
            Err(why) if in_full => Some(format!("{name}: {why}")),
            Err(_) => Some(format!("{name}: not ready; who logs in is answered why")),
        })
        .collect();
    if failed.is_empty() {
        return (StatusCode::OK, "ok".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, failed.join("\n"))
}

/// Whether the store works, as found out a moment ago.
async fn store(state: &ServerState) -> Result<(), String> {
    if state.shutdown.is_cancelled() {
        return Err("the controller is shutting down".to_owned());
    }
    let mut known = state.readiness.store.lock().await;
    if let Some((at, result)) = &*known
        && at.elapsed() < FRESH
    {
        return result.clone();
    }
    let result = ask_store(state).await;
    *known = Some((Instant::now(), result.clone()));
    result
}

/// Whether the single writer answers: it gets a dry run of a deletion of nothing.
async fn ask_store(state: &ServerState) -> Result<(), String> {
    let info = KindInfo::of::<Workload>();
    match tokio::time::timeout(
        WRITER_TIMEOUT,
        state.store.delete(info, "readiness-probe", None, None, true),
    )
    .await
    {
        Err(_) => Err(format!(
            "the writer did not answer within {} s",
            WRITER_TIMEOUT.as_secs()
        )),
        Ok(Ok(_) | Err(StoreError::NotFound { .. })) => state.store.has_room().await.map_err(reported),
        Ok(Err(error)) => Err(reported(error)),
    }
}

/// With the system's own words.
#[expect(clippy::needless_pass_by_value, reason = "it ends a chain of results")]
fn reported(error: StoreError) -> String {
    aegis_api::error::chain(&error)
}
