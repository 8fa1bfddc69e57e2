//! `GET …/workloads/NAME/log`: the log lines of one of a Workload's containers, as text. The log of a
//! container that no Workload covers cannot be read. The lines come from the program that wires the server up.

use std::convert::Infallible;

use aegis_api::Workload;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::Deserialize;

use super::watch;
use crate::auth::Identity;
use crate::lasting;
use crate::limits::Lasting;
use crate::state::{LogRequest, ServerState};
use crate::status::Status;

/// Lines from the end, by default and at most.
const LINES: u32 = 100;
const MOST_LINES: u32 = 10_000;

/// What `kubectl logs` asks a pod, too.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogQuery {
    container: Option<String>,
    follow: bool,
    tail_lines: Option<u32>,
    timestamps: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
}

pub(super) async fn get(
    State(state): State<ServerState>,
    Extension(identity): Extension<Identity>,
    path: Result<Path<Named>, axum::extract::rejection::PathRejection>,
    query: Result<Query<LogQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Status> {
    let Path(named) = path.map_err(|_| Status::no_route())?;
    let Query(query) = query
        .map_err(|error| Status::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
    let info = aegis_api::KindInfo::of::<Workload>();
    let workload = state
        .store
        .get::<Workload>(&named.name)
        .ok_or_else(|| Status::not_found(info, &named.name))?;
    let status = workload.status.clone().unwrap_or_default();
    let mut names: Vec<String> = status.instances.into_iter().map(|row| row.name).collect();
    let container = match query.container {
        Some(wanted) if names.contains(&wanted) => wanted,
        Some(wanted) => {
            return Err(Status::bad_request(format!(
                "container {wanted} is not of workload {}: it has {}",
                named.name,
                names.join(", ")
            )));
        }
        None if names.len() == 1 => names.remove(0),
        None => {
            return Err(Status::bad_request(format!(
                "name one of the workload's containers: {}",
                names.join(", ")
            )));
        }
    };
    let place = watch::place(&state, &identity)?;
    let request = LogRequest {
        container,
        follow: query.follow,
        tail: query.tail_lines.unwrap_or(LINES).min(MOST_LINES),
        timestamps: query.timestamps,
    };
    let lines = (state.logs)(request).await.map_err(Status::internal)?;
    let end = lasting::over(state.clone(), identity, None);
    let body = lines.take_until(Box::pin(end)).map(move |line| {
        let _held = &place;
        Ok::<_, Infallible>(line + "\n")
    });
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Extension(Lasting), Body::from_stream(body)).into_response())
}
