//! Bounds on requests: how many at once, how long each, and what becomes of one that panics.

use std::any::Any;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::refusal::refusal;
use crate::state::ServerState;
use crate::status::Status;

/// How long a request may wait for its turn.
const QUEUE: Duration = Duration::from_secs(5);
/// How long an answer may take to begin. `/scale` alone may take a minute.
const ANSWER: Duration = Duration::from_secs(90);

/// Runs a request when there is room, and no longer than it may take. What streams afterwards is bounded elsewhere.
pub(crate) async fn bound(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Ok(Ok(_room)) = tokio::time::timeout(QUEUE, state.requests.acquire()).await else {
        return refusal(
            &path,
            Status::too_many("the server has too many requests: try again in a moment"),
        );
    };
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => refusal(&path, Status::timeout("the request took too long")),
    }
}

/// What a client sees of a handler that panicked: that it did, and no more.
#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
pub(crate) fn on_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    tracing::error!(panic = text, "a request handler panicked");
    Status::internal("an internal error occurred; the log of the controller has more").into_response()
}
