//! gRPC's health service, served and asked over plain HTTP/2: one message of two bytes, so it is written here.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// `SERVING`, as a message of gRPC.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// Answers each call with `SERVING`, and with its `X-Forwarded-For` in a header of the same name.
pub async fn serve_health(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = hyper::service::service_fn(|request: Request<Incoming>| async move {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
            let frames = stream::iter([
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(SERVING))),
                Ok(Frame::trailers(trailers)),
            ]);
            let mut response = Response::new(StreamBody::new(frames));
            let headers = response.headers_mut();
            headers.insert(
                "content-type",
                hyper::header::HeaderValue::from_static("application/grpc"),
            );
            if let Some(from) = request.headers().get("x-forwarded-for") {
                headers.insert("x-forwarded-for", from.clone());
            }
            Ok::<_, Infallible>(response)
        });
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(serving.serve_connection(TokioIo::new(stream), answer));
    }
}

/// Calls the health service over a connection of its own, claiming to come from elsewhere: the gRPC status and the
/// `X-Forwarded-For` that arrived there, or why not.
pub async fn ask_health(address: SocketAddr) -> Result<(String, String), String> {
    let failed = |error: &dyn std::error::Error| format!("{error:?}");
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
    let driven = tokio::spawn(connection);
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-forwarded-for", "203.0.113.9")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .map_err(|error| failed(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| failed(&error))?;
    let (head, body) = response.into_parts();
    if head.status != hyper::StatusCode::OK {
        return Err(format!("HTTP {}", head.status));
    }
    let body = body.collect().await.map_err(|error| failed(&error))?;
    driven.abort();
    let text = |map: &HeaderMap, name: &str| {
        let value = map.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let status = body
        .trailers()
        .map(|trailers| text(trailers, "grpc-status"))
        .unwrap_or_default();
    if body.to_bytes() != SERVING {
        return Err("another message".to_owned());
    }
    Ok((status, text(&head.headers, "x-forwarded-for")))
}
