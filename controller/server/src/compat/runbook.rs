//! `/runbook` and `/rag/test`. Reads memory only; retrieval itself is handed in.

use aegis_api::wire::{RagAnswer, RagRow, RunbookView};
use aegis_api::{Kind as _, RunbookEntry};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Map;

use crate::kube::list::all_at;
use crate::kube::page::{Page, Place};
use crate::kube::query::limit;
use crate::refusal::Refusal;
use crate::request::Asked;
use crate::state::{RagHit, RagHits, ServerState};
use crate::status::Status;
use crate::written;

/// What is asked where nothing is.
const EXAMPLE: &str = "CPU usage at 98% infinite loop";

#[derive(Deserialize)]
pub(super) struct SearchQuery {
    #[serde(default)]
    logs: Option<String>,
}

/// Which part of the runbook; all of it where nothing is said, as earlier clients do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PageAsked {
    limit: String,
    #[serde(rename = "continue")]
    from: String,
}

/// The entries by name, written as fast as the client reads. `total` counts those of all pages.
pub(super) async fn list(
    State(state): State<ServerState>,
    Asked(asked): Asked<PageAsked>,
) -> Result<Response, Refusal> {
    let limit = match limit(&asked.limit) {
        // Of earlier clients, which were given everything whatever it said.
        Err(_) if asked.from.is_empty() => None,
        limit => limit?,
    };
    let from = (!asked.from.is_empty())
        .then(|| Place::parse(&asked.from))
        .transpose()?;
    let (revision, mut entries) = all_at(&state, RunbookEntry::info(), from.as_ref())?;
    let total = entries.len();
    if let Some(place) = &from {
        entries.retain(|entry| entry.name() > place.after.as_str());
    }
    let page = Page::first(revision, entries, limit, true, |entry| entry.name());
    let mut fields = Map::new();
    fields.insert("total".to_owned(), total.into());
    if let Some(next) = page.next() {
        fields.insert("continue".to_owned(), next.into());
    }
    let entries = page.items.into_iter().filter_map(|stored| {
        let entry = stored.typed::<RunbookEntry>()?;
        // It has no map with keys that are no text, which is all that could have no form as JSON.
        serde_json::to_string(&RunbookView::from(&entry.spec)).ok()
    });
    Ok(written::object(fields, "entries", entries))
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
    let wordless = hits.wordless;
    let retrieved = rows(hits.earlier);
    Ok(Json(RagAnswer {
        query,
        count: retrieved.len(),
        retrieved,
        operations: rows(hits.operations),
        wordless,
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
