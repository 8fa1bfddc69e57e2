//! `/healthz` and `/readyz`: whether the process lives, and whether it can do its work. Open to everybody.

use std::time::Duration;

use aegis_api::{KindInfo, Workload};
use aegis_runtime::StoreError;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::state::ServerState;

/// How long the store's writer may take to answer.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/healthz", get(live))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
}

async fn live() -> &'static str {
    "ok"
}

async fn ready(State(state): State<ServerState>) -> (StatusCode, String) {
    let checks = [
        ("store", store(&state).await),
        ("docker", state.host.engine().map_err(|why| why.to_string())),
    ];
    let failed: Vec<String> = checks
        .into_iter()
        .filter_map(|(name, check)| Some(format!("{name}: {}", check.err()?)))
        .collect();
    if failed.is_empty() {
        return (StatusCode::OK, "ok".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, failed.join("\n"))
}

/// Whether the single writer answers: it gets a dry run of a deletion of nothing.
async fn store(state: &ServerState) -> Result<(), String> {
    if state.shutdown.is_cancelled() {
        return Err("the controller is shutting down".to_owned());
    }
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
