//! `GET /audit`: the audit log, a page at a time, as records or as the very lines that their hashes are of.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::request::Asked;
use crate::state::ServerState;
use crate::status::Status;

/// Records of a page where the request does not say how many.
const USUAL: usize = 100;

pub(crate) fn routes() -> Router<ServerState> {
    Router::new().route("/audit", get(page))
}

#[derive(Debug, Deserialize)]
struct Wishes {
    /// Those after this one, oldest first; without it, the newest.
    #[serde(default)]
    after: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
    /// `lines`: as they are written.
    #[serde(default)]
    format: Option<String>,
}

async fn page(
    State(state): State<ServerState>,
    Asked(wishes): Asked<Wishes>,
) -> Result<Json<Value>, Refusal> {
    let page = state
        .store
        .audit()
        .page(wishes.after, wishes.limit.unwrap_or(USUAL))
        .await;
    let page = page.map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        Status::internal(format!("{error}: {}", source.unwrap_or_default()))
    })?;
    let head = json!({"seq": page.last, "hash": page.hash});
    if wishes.format.as_deref() == Some("lines") {
        return Ok(Json(
            json!({"lines": page.lines, "head": head, "checkpoint": page.checkpoint}),
        ));
    }
    // A line that somebody damaged is shown as the text it is.
    let record = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| json!({"damaged": line}));
    let records: Vec<Value> = page.lines.iter().map(record).collect();
    Ok(Json(json!({"records": records, "head": head})))
}

#[cfg(test)]
mod tests;
