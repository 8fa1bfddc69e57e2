//! Parts of a request whose refusals read like all others here. Pure.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;

use crate::refusal::{Fault, Refusal};

/// The query of a request.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Refusal))]
pub(crate) struct Asked<T>(pub(crate) T);

/// The variable part of a request's path.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Refusal))]
pub(crate) struct Named<T>(pub(crate) T);

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Fault {
            place: "query",
            field: "".into(),
            kind: "value_error",
            message: rejection.body_text(),
        }
        .into()
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::Plain(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}
