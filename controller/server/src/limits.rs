//! Bounds on requests: how many at once, in all and for one client, how long each, and what becomes of one that panics.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::auth::Identity;
use crate::places::{Full, Place};
use crate::refusal::refusal;
use crate::state::ServerState;
use crate::status::Status;

/// How long a request may wait for its turn.
const QUEUE: Duration = Duration::from_secs(5);
/// How long an answer may take to begin. `/scale` alone may take a minute.
const ANSWER: Duration = Duration::from_secs(90);
/// How long its reader may take to the end of an answer.
const READ: Duration = Duration::from_secs(300);

/// An answer that goes on for as long as its client wants, and holds a place of its own for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lasting;

/// Runs a request when there is room, and no longer than it may take; its place is free when its answer is gone. What
/// goes on afterwards is bounded elsewhere.
pub(crate) async fn bound(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let identity = request.extensions().get::<Identity>();
    let who = identity.map_or_else(|| Arc::from(""), |identity| Arc::clone(&identity.caller));
    let place = match state.requests.wait(&who, QUEUE).await {
        Ok(place) => place,
        Err(full) => return refusal(&path, Status::too_many(busy(full))),
    };
    let response = timed(&path, next.run(request)).await;
    if response.extensions().get::<Lasting>().is_some() {
        return response;
    }
    let until = Instant::now() + READ;
    response.map(|body| {
        Body::new(Held {
            body,
            until,
            _place: place,
        })
    })
}

fn busy(full: Full) -> &'static str {
    match full {
        Full::All => "the server has too many requests: try again in a moment",
        Full::Yours => "you have too many requests under way: try again when some are answered",
    }
}

/// Runs a request no longer than it may take.
pub(crate) async fn timely(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    timed(&path, next.run(request)).await
}

async fn timed(path: &str, answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(response) => response,
        Err(_) => refusal(path, Status::timeout("the request took too long")),
    }
}

/// A body that holds its request's place until it is gone, and is cut off where that takes too long.
struct Held {
    body: Body,
    until: Instant,
    _place: Place,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if Instant::now() > self.until {
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Places;
    use http_body_util::BodyExt as _;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_read_for_too_long_is_cut_off_and_its_place_is_free() {
        let places = Places::new(1, 1);
        let who = Arc::from("slow");
        let place = places.take(&who).unwrap();
        let mut held = Held {
            body: Body::from("much"),
            until: Instant::now() + READ,
            _place: place,
        };
        tokio::time::advance(READ + Duration::from_secs(1)).await;
        assert!(held.frame().await.unwrap().is_err());
        assert_eq!(places.taken(), 1);
        drop(held);
        assert_eq!(places.taken(), 0);
    }
}
