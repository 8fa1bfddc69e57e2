//! Request bodies: bounded in size and in time, and refused with a readable answer. Content types are not trusted.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::room::Share;
use crate::serve::Peer;
use crate::state::ServerState;
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

/// The whole body of a message with alerts, with its share of the memory that there is for them.
pub(crate) struct AlertBody {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

impl FromRequest<ServerState> for AlertBody {
    type Rejection = Status;

    async fn from_request(request: Request, state: &ServerState) -> Result<Self, Status> {
        let peer = request.extensions().get::<Peer>();
        let from = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
        let mut share = state.alert_bytes.share(from);
        let body = request.into_body();
        let bytes = tokio::time::timeout(READ_TIMEOUT, shared(body, ALERT_LIMIT, &mut share));
        let bytes = bytes.await.unwrap_or_else(|_| Err(slow()))?;
        Ok(Self { bytes, share })
    }
}

/// A whole body of at most so many bytes, each of which is accounted for before it is kept.
async fn shared(mut body: Body, limit: usize, share: &mut Share) -> Result<Bytes, Status> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| unreadable(&error))?.into_data() else {
            continue;
        };
        if whole.len().saturating_add(data.len()) > limit {
            return Err(Status::too_large(limit));
        }
        if !share.grow(data.len()) {
            return Err(Status::no_room());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn unreadable(error: &dyn std::fmt::Display) -> Status {
    Status::bad_request(format!("the body of the request could not be read: {error}"))
}

fn slow() -> Status {
    Status::timeout("the body of the request took too long to arrive")
}

/// A whole body of at most so many bytes, within that time.
pub(crate) async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Status> {
    let body = Limited::new(body, limit);
    match tokio::time::timeout(time, body.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Status::too_large(limit)),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(_) => Err(slow()),
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
