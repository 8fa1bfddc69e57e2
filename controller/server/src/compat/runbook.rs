//! `/runbook` and `/rag/test`. Reads memory only; retrieval itself is handed in.

use aegis_api::RunbookEntry;
use aegis_api::wire::{RagAnswer, RagRow, RunbookList, RunbookView};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::request::Asked;
use crate::state::ServerState;

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
) -> Json<RagAnswer> {
    let query = question.logs.unwrap_or_else(|| EXAMPLE.to_owned());
    let hits = (state.recall)(&query);
    let rows = hits.iter().filter_map(|hit| {
        // An entry may have gone since it was indexed.
        let entry = state.store.get::<RunbookEntry>(&hit.entry)?;
        Some(RagRow::new(&entry.spec, hit.score))
    });
    let retrieved: Vec<RagRow> = rows.collect();
    Json(RagAnswer {
        query,
        count: retrieved.len(),
        retrieved,
    })
}
