//! One object. Reads memory only.

use std::sync::Arc;

use aegis_runtime::Stored;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::list::now;
use super::negotiate::Shape;
use super::query::Query;
use super::table::{columns, table};
use super::target::Target;
use super::{scale, warning};
use crate::sight::Sight;
use crate::state::ServerState;
use crate::status::Status;
use crate::written;

pub(super) async fn get(
    State(state): State<ServerState>,
    target: Target,
    query: Query,
    shape: Shape,
    sight: Sight,
) -> Response {
    let response = match found(&state, &target) {
        Err(status) => status.into_response(),
        Ok(object) => match shape {
            Shape::Objects => written::text(sight.text(&object)),
            Shape::Table => {
                let columns = columns(target.info);
                let revision = object.resource_version;
                Json(table(
                    columns,
                    [&*sight.shows(&object.value())],
                    revision,
                    query.include,
                    true,
                    now(),
                ))
                .into_response()
            }
        },
    };
    warning::add(response, &state, target.info, Some(&target.name))
}

/// A part of an object.
pub(super) async fn part(
    State(state): State<ServerState>,
    target: Target,
    sight: Sight,
) -> Result<Response, Status> {
    let object = found(&state, &target)?;
    match target.subresource.as_str() {
        "status" => Ok(written::text(sight.text(&object))),
        "scale" if target.info.scalable => Ok(Json(scale::view(&object.value())).into_response()),
        _ => Err(Status::no_route()),
    }
}

/// The object that the path names.
pub(super) fn found(state: &ServerState, target: &Target) -> Result<Arc<Stored>, Status> {
    target.exists()?;
    let object = state.store.get_stored(target.info, &target.name);
    object.ok_or_else(|| Status::not_found(target.info, &target.name))
}
