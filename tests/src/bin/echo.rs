//! An application as strict clients need one: it shows the headers it got, streams events, echoes messages, and falls sick when
//! it is asked to. Runs in a container of the tests, as its first process.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{OriginalUri, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::map_response;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};

const PORT: u16 = 8000;
/// gRPC's health service, over HTTP/2 without TLS.
const GRPC_PORT: u16 = 8001;
/// Says who it is, and echoes what it gets.
const TCP_PORT: u16 = 8002;

static SICK: AtomicBool = AtomicBool::new(false);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    SICK.store(std::env::var_os("SICK").is_some(), Ordering::Relaxed);
    let slow: u64 = std::env::var("START_MS").unwrap_or_default().parse().unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(slow)).await;
    let app = Router::new()
        .route("/health", get(health))
        .route("/events", get(events))
        .route("/echo", any(echo))
        .route("/trigger_sick", post(fall_sick))
        .route("/slow", get(slow_answer))
        .route("/exit", get(exit))
        .fallback(hello)
        .layer(map_response(with_host));
    let port = |name: &str, usual: u16| {
        let said = std::env::var(name).ok();
        said.and_then(|said| said.parse().ok()).unwrap_or(usual)
    };
    let listener = tokio::net::TcpListener::bind(("::", port("PORT", PORT))).await?;
    tokio::spawn(aegis_tests::grpc::serve_health(
        tokio::net::TcpListener::bind(("::", port("GRPC_PORT", GRPC_PORT))).await?,
    ));
    tokio::spawn(echo_tcp(
        tokio::net::TcpListener::bind(("::", port("TCP_PORT", TCP_PORT))).await?,
    ));
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        _ = end.recv() => {}
    }
    Ok(())
}

async fn echo_tcp(listener: tokio::net::TcpListener) {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    while let Ok((mut socket, _)) = listener.accept().await {
        let greeting = format!("{host}\n");
        tokio::spawn(async move {
            let (mut from, mut to) = socket.split();
            if to.write_all(greeting.as_bytes()).await.is_ok() {
                let _ended = tokio::io::copy(&mut from, &mut to).await;
            }
        });
    }
}

async fn health() -> StatusCode {
    match SICK.load(Ordering::Relaxed) {
        true => StatusCode::INTERNAL_SERVER_ERROR,
        false => StatusCode::OK,
    }
}

/// Names the container on every answer.
async fn with_host(mut answer: Response) -> Response {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    if let Ok(host) = host.parse() {
        answer.headers_mut().insert("x-host", host);
    }
    answer
}

/// Begins to answer after two seconds.
async fn slow_answer() -> StatusCode {
    tokio::time::sleep(Duration::from_secs(2)).await;
    StatusCode::OK
}

/// A request that ends its server.
async fn exit() -> StatusCode {
    std::process::exit(1)
}

async fn fall_sick() -> StatusCode {
    SICK.store(true, Ordering::Relaxed);
    StatusCode::OK
}

async fn hello(OriginalUri(uri): OriginalUri, headers: HeaderMap, body: axum::body::Bytes) -> Json<Value> {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    Json(json!({"hostname": host, "path": uri.path(), "bytes": body.len(), "headers": headers}))
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default = "ten")]
    count: u64,
    #[serde(default = "hundred")]
    every_ms: u64,
}

fn ten() -> u64 {
    10
}
fn hundred() -> u64 {
    100
}

async fn events(Query(stream): Query<Stream>) -> impl IntoResponse {
    let Stream { count, every_ms } = stream;
    Sse::new(stream::unfold(0, move |number| async move {
        if number == count {
            return None;
        }
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(every_ms)).await;
        }
        let event = Event::default().data(number.to_string());
        Some((Ok::<_, Infallible>(event), number + 1))
    }))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
