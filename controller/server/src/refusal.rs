//! Refusals as the clients of a path read them: of the Kubernetes API a `Status`, of the rest an object with `detail`. Pure.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::status::Status;

/// A failure of a route that is none of the Kubernetes API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// A sentence.
    Plain(StatusCode, String),
    /// Fields of the request that are missing or wrong.
    Fields(Vec<Fault>),
    /// What the server at large refuses; carries both shapes.
    Status(Status),
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `body` or `query`.
    pub(crate) place: &'static str,
    /// Its name; empty for the whole.
    pub(crate) field: Cow<'static, str>,
    /// `missing`, `string_type`, …
    pub(crate) kind: &'static str,
    /// What is wrong and what is allowed.
    pub(crate) message: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fields(vec![fault])
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Plain(code, detail) => (code, Json(json!({"detail": detail}))).into_response(),
            Self::Fields(faults) => {
                let detail: Value = faults.iter().map(row).collect();
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": detail}))).into_response()
            }
            Self::Status(status) => {
                let mut body = status.to_map();
                body.insert("detail".to_owned(), status.message.clone().into());
                (status.code, status.headers(), Json(body)).into_response()
            }
        }
    }
}

/// A refusal in the shape that the clients of this path read.
pub(crate) fn refusal(path: &str, status: Status) -> Response {
    let kubernetes = ["/api", "/apis", "/openapi", "/version"];
    let below = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if kubernetes.into_iter().any(below) {
        return status.into_response();
    }
    Refusal::from(status).into_response()
}

fn row(fault: &Fault) -> Value {
    let place = std::iter::once(fault.place);
    let loc: Vec<&str> = place
        .chain(Some(&*fault.field).filter(|field| !field.is_empty()))
        .collect();
    json!({"loc": loc, "msg": fault.message, "type": fault.kind})
}
