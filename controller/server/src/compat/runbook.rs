//! `/runbook` and `/rag/test`. Reads memory only; retrieval itself is handed in.

use aegis_api::RunbookEntry;
use aegis_api::wire::{RagAnswer, RagRow, RunbookList, RunbookView};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::refusal::Refusal;
use crate::request::Asked;
use crate::state::{RagHit, RagHits, ServerState};
use crate::status::Status;

/// What is asked where nothing is.
const EXAMPLE: &str = "CPU usage at 98% infinite loop";

#[derive(Deserialize)]
pub(super) struct SearchQuery {
    #[serde(default)]
    logs: Option<String>,
}

pub(super) async fn list(State(state): State<ServerState>) -> Json<RunbookList> {
    let entries = state.store.list::<RunbookEntry>();
    let entries: Vec<RunbookView> = entries
        .iter()
        .map(|entry| RunbookView::from(&entry.spec))
        .collect();
    Json(RunbookList {
        total: entries.len(),
        entries,
    })
}

pub(super) async fn recall(
    State(state): State<ServerState>,
    Asked(question): Asked<SearchQuery>,
) -> Result<Json<RagAnswer>, Refusal> {
    let query = question.logs.unwrap_or_else(|| EXAMPLE.to_owned());
    let hits = search(&state, query.clone()).await?;
    let rows = |hits: Vec<RagHit>| -> Vec<RagRow> {
        let rows = hits.into_iter().filter_map(|hit| {
            // An entry may have gone since it was indexed.
            let entry = state.store.get::<RunbookEntry>(&hit.entry)?;
            Some(RagRow::new(&entry.spec, hit.score))
        });
        rows.collect()
    };
    let retrieved = rows(hits.earlier);
    Ok(Json(RagAnswer {
        query,
        count: retrieved.len(),
        retrieved,
        operations: rows(hits.operations),
    }))
}

/// The entries that are similar. After a start that may wait for seconds until all are indexed: not on a thread that
/// others wait for.
async fn search(state: &ServerState, text: String) -> Result<RagHits, Status> {
    let failed =
        |error: &dyn std::fmt::Display| Status::internal(format!("the runbook was not searched: {error}"));
    let _turn = state.searches.acquire().await.map_err(|error| failed(&error))?;
    let recall = std::sync::Arc::clone(&state.recall);
    let found = tokio::task::spawn_blocking(move || recall(&text)).await;
    found.map_err(|error| failed(&error))
}
