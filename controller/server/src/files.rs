//! `/files`: files and folders of the state directory that are not in force as they are, and deletions by file that wait
//! for somebody to confirm them.

use std::path::Path;

use aegis_api::deletion::{Confirm, Confirmed, FileFault, FileReport, Unconfirmed};
use aegis_api::kinds::find;
use aegis_runtime::BrokenFile;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use crate::auth::{Acting, Identity};
use crate::body::BoundedBody;
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::status::Status;

/// The largest body here, bytes: names of some thousands of objects.
const LIMIT: usize = 1 << 20;
/// Most faults of one answer.
const MOST: usize = 1000;

pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/files", get(report))
        .route("/files/confirm", post(confirm))
}

async fn report(State(state): State<ServerState>) -> Json<FileReport> {
    let dir = state.store.dir();
    let faults = state.store.broken_files().into_iter().take(MOST);
    Json(FileReport {
        held: state.store.held_deletions(),
        faults: faults.map(|file| fault(file, dir)).collect(),
    })
}

fn fault(file: BrokenFile, dir: &Path) -> FileFault {
    let path = file.path.strip_prefix(dir).unwrap_or(&file.path);
    FileFault {
        path: path.display().to_string(),
        kind: file.kind,
        name: file.name,
        message: file.message,
    }
}

/// Each object by itself: one whose file has come back stays, the others go.
async fn confirm(
    Extension(identity): Extension<Identity>,
    Acting(store): Acting,
    body: Result<BoundedBody<LIMIT>, Status>,
) -> Result<Json<Confirmed>, Refusal> {
    let wanted: Confirm = serde_json::from_slice(&body?.0)
        .map_err(|error| Status::bad_request(format!("the body names no held deletions: {error}")))?;
    let info = find(&wanted.kind)
        .ok_or_else(|| Status::bad_request(format!("there is no kind {:?}", wanted.kind)))?;
    if !identity.may("delete", "", Some((aegis_api::GROUP, info.plural))) {
        let user = &identity.user;
        let why = format!("its role is {}", identity.role);
        return Err(Status::forbidden(format!("User {user:?} cannot delete {}: {why}", info.plural)).into());
    }
    let mut answer = Confirmed {
        deleted: Vec::new(),
        refused: Vec::new(),
    };
    // Requested together, they are made durable together.
    let confirmed = wanted.names.into_iter().map(|name| {
        let store = store.clone();
        async move { (store.confirm_deletion(info, &name).await, name) }
    });
    for (result, name) in futures::future::join_all(confirmed).await {
        match result {
            Ok(_) => answer.deleted.push(name),
            Err(error) => {
                let message = Status::from_store(info, error).message.into_owned();
                answer.refused.push(Unconfirmed { name, message });
            }
        }
    }
    let (user, count) = (&*identity.user, answer.deleted.len());
    tracing::info!(
        user,
        kind = info.kind,
        count,
        "confirmed deletions that were held"
    );
    Ok(Json(answer))
}

#[cfg(test)]
mod tests;
