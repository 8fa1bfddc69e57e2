//! gRPC's health service (`grpc.health.v1.Health/Check`), asked over plain HTTP/2. Does I/O.
//!
//! One message with one field goes each way, so it is written and read here instead of by a library. Format: a byte that
//! says whether the message is compressed, its length as four bytes, big endian, and the message in protobuf
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, <https://grpc.io/docs/guides/health-checking/>).

use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::probe::Failing;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http2;
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Connected, Failure, failed, refused, silence};
use crate::engine::ProbeError;

/// An answer has two bytes.
const ANSWER_LIMIT: usize = 1024;
/// Bytes before a message.
const PREFIX: usize = 5;
/// Longest name of a service; its length must fit into one byte of a varint and a half.
const LONGEST_SERVICE: usize = 255;

/// What the health service at `address` says of a service (empty: of the server as a whole), in its own word.
pub async fn grpc_check(
    address: SocketAddr,
    service: &str,
    bound: Duration,
) -> Result<&'static str, ProbeError> {
    let connected = Connected::default();
    let (failing, failure) = match timeout(bound, check(address, service, &connected)).await {
        Ok(Ok(word)) => return Ok(word),
        Ok(Err(failure)) => failure,
        Err(_) => (connected.silence(), silence(bound)),
    };
    Err(ProbeError {
        failing,
        text: format!("gRPC health check of {address}: {failure}"),
    })
}

async fn check(address: SocketAddr, service: &str, connected: &Connected) -> Result<&'static str, Failure> {
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message(service)))
        .map_err(|error| broken(&error.to_string()))?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| refused(&error))?;
    connected.set();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let ask = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        if head.status != hyper::StatusCode::OK {
            return Err((
                Failing::Answered(head.status.as_u16()),
                format!("HTTP {}", head.status.as_u16()),
            ));
        }
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        let body = body.map_err(|error| broken(&error.to_string()))?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        read(&head.headers, &trailers, &body.to_bytes())
    };
    let drive = async {
        // How it ended shows in the answer, or in its absence.
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        answer = ask => answer,
        () = drive => Err(broken("the connection ended")),
    }
}

fn broken(text: &str) -> Failure {
    (Failing::Broken, text.to_owned())
}

/// `HealthCheckRequest { service = 1 }`.
fn message(service: &str) -> Bytes {
    let name: &[u8] = service
        .as_bytes()
        .get(..service.len().min(LONGEST_SERVICE))
        .unwrap_or_default();
    let mut field = BytesMut::new();
    if let Ok(length) = u8::try_from(name.len())
        && length > 0
    {
        // Field 1, of bytes; the length as a varint.
        field.put_u8(0x0a);
        if length < 0x80 {
            field.put_u8(length);
        } else {
            field.put_u8(length);
            field.put_u8(1);
        }
        field.put_slice(name);
    }
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(u32::try_from(field.len()).unwrap_or_default());
    message.put_slice(&field);
    message.freeze()
}

/// The word of the answer; a gRPC status other than OK is its own.
fn read(head: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> Result<&'static str, Failure> {
    let status = |map: &HeaderMap| map.get("grpc-status")?.to_str().ok()?.parse::<u16>().ok();
    match status(trailers).or_else(|| status(head)) {
        Some(0) | None => {}
        Some(5) => return Ok("SERVICE_UNKNOWN"),
        Some(12) => return Ok("UNIMPLEMENTED"),
        Some(code) => return Err(broken(&format!("gRPC status {code}"))),
    }
    let message = match body.split_at_checked(PREFIX) {
        Some(([0, ..], message)) => message,
        _ => return Err(broken("it is no gRPC message")),
    };
    match message {
        // Zero is the default, and left out.
        [] | [0x08, 0] => Ok("UNKNOWN"),
        [0x08, 1, ..] => Ok("SERVING"),
        [0x08, 2, ..] => Ok("NOT_SERVING"),
        [0x08, 3, ..] => Ok("SERVICE_UNKNOWN"),
        _ => Err(broken("its message has no status")),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::Response;
    use hyper::body::{Frame, Incoming};
    use tokio::net::TcpListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_name_of_a_service_is_a_field_and_the_server_as_a_whole_is_none() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = message(&"x".repeat(200));
        assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 200, 1]);
    }

    #[test]
    fn an_answer_is_read_by_its_status_first() {
        let map = |status: &str| {
            let mut map = HeaderMap::new();
            map.insert("grpc-status", status.parse().unwrap());
            map
        };
        let none = HeaderMap::new();
        let well = [0, 0, 0, 0, 2, 8, 1];
        for (head, trailers, body, expected) in [
            (&none, &map("0"), &well[..], Some("SERVING")),
            (&none, &map("0"), &[0, 0, 0, 0, 2, 8, 2][..], Some("NOT_SERVING")),
            (&none, &map("0"), &[0, 0, 0, 0, 0][..], Some("UNKNOWN")),
            (&map("12"), &none, &[][..], Some("UNIMPLEMENTED")),
            (&none, &map("5"), &[][..], Some("SERVICE_UNKNOWN")),
            (&none, &map("14"), &well[..], None),
            (&none, &map("0"), &[1, 0, 0, 0, 2, 8, 1][..], None),
            (&none, &map("0"), &[0, 0][..], None),
        ] {
            assert_eq!(read(head, trailers, body).ok(), expected, "{trailers:?} {body:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_speaks_http_2_is_asked_and_one_that_does_not_is_said_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let asked = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(asked[..], message("shop")[..]);
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = futures::stream::iter([
                    Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]))),
                    Ok(Frame::trailers(trailers)),
                ]);
                Ok::<_, Infallible>(Response::new(http_body_util::StreamBody::new(frames)))
            });
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            serving.serve_connection(TokioIo::new(stream), answer).await
        });
        assert_eq!(grpc_check(address, "shop", SECOND).await, Ok("SERVING"));
        serve.await.unwrap().unwrap();
        let refused = grpc_check(address, "shop", SECOND).await.unwrap_err();
        assert_eq!(refused.failing, Failing::Refused);
        assert!(refused.text.contains(&address.to_string()), "{refused}");
    }
}
