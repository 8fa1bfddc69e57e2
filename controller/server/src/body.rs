//! Request bodies: bounded in size and in time, and refused with a readable answer. Content types are not trusted.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::status::Status;

/// The largest body of the API, bytes.
pub(crate) const API_LIMIT: usize = 1 << 20;
/// The largest body of alerts, bytes, packed and unpacked.
pub(crate) const ALERT_LIMIT: usize = 1 << 20;
/// How long a client may take to send a body.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A whole body of at most `LIMIT` bytes.
pub(crate) struct BoundedBody<const LIMIT: usize>(pub(crate) Bytes);

impl<const LIMIT: usize, S: Send + Sync> FromRequest<S> for BoundedBody<LIMIT> {
    type Rejection = Status;

    async fn from_request(request: Request, _: &S) -> Result<Self, Status> {
        read(request.into_body(), LIMIT, READ_TIMEOUT).await.map(Self)
    }
}

/// A whole body of at most so many bytes, within that time.
pub(crate) async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Status> {
    let body = Limited::new(body, limit);
    match tokio::time::timeout(time, body.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Status::too_large(limit)),
        Ok(Err(error)) => Err(Status::bad_request(format!(
            "the body of the request could not be read: {error}"
        ))),
        Err(_) => Err(Status::timeout("the body of the request took too long to arrive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_without_being_read_whole() {
        let chunks =
            futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
        let request = Request::new(Body::from_stream(chunks));
        let status = BoundedBody::<4096>::from_request(request, &())
            .await
            .err()
            .unwrap();
        assert_eq!(status.code.as_u16(), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let request = Request::new(Body::from_stream(futures::stream::pending::<
            Result<Bytes, std::io::Error>,
        >()));
        let status = BoundedBody::<4096>::from_request(request, &())
            .await
            .err()
            .unwrap();
        assert_eq!(status.reason, "Timeout");
    }
}
