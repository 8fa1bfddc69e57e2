//! The live stream `/ws` as a client sees it: every frame, kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::eventually;

/// A connection and what came over it.
#[derive(Debug)]
pub struct Live {
    frames: Arc<Mutex<Vec<Value>>>,
    bytes: Arc<AtomicUsize>,
    say: mpsc::Sender<String>,
}

impl Live {
    pub(crate) async fn connect(url: &str, token: Option<&str>) -> Self {
        let url = url.replacen("http://", "ws://", 1);
        let mut request = url.as_str().into_client_request().expect("a WebSocket address");
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        let connected = connect_async(request).await;
        let (socket, _) = connected.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"));
        let (mut write, mut read) = socket.split();
        let (say, mut heard) = mpsc::channel::<String>(16);
        let frames: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&frames);
        let bytes = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&bytes);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(text) = heard.recv() => {
                        if write.send(Message::text(text)).await.is_err() { break; }
                    }
                    message = read.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            counted.fetch_add(text.len(), Ordering::Relaxed);
                            let frame = serde_json::from_str(&text).unwrap_or(Value::String(text.to_string()));
                            kept.lock().expect("the lock is not poisoned").push(frame);
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    },
                }
            }
        });
        Self { frames, bytes, say }
    }

    /// Sends a text.
    pub async fn say(&self, text: &str) {
        self.say
            .send(text.to_owned())
            .await
            .expect("the connection is open");
    }

    /// Bytes of text that came so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Every frame so far.
    pub fn frames(&self) -> Vec<Value> {
        self.frames.lock().expect("the lock is not poisoned").clone()
    }

    /// The frames of one incident so far.
    pub fn of_incident(&self, incident: &str) -> Vec<Value> {
        let frames = self.frames.lock().expect("the lock is not poisoned");
        let of_it = frames.iter().filter(|frame| frame["incident_id"] == incident);
        of_it.cloned().collect()
    }

    /// Waits for a frame.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || {
            let frames = self.frames.lock().expect("the lock is not poisoned");
            let found = frames.iter().find(|frame| wanted(frame)).cloned();
            found.ok_or_else(|| {
                let types: Vec<&str> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
                format!("{} frames: {}", types.len(), types.join(" "))
            })
        })
        .await
    }
}

/// Opens the stream and never reads from it.
pub(crate) async fn asleep(url: &str, token: &str) -> TcpStream {
    let url = url.trim_start_matches("http://");
    let (address, path) = url.split_once('/').expect("an address and a path");
    let mut stream = TcpStream::connect(address).await.expect("the controller listens");
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("the controller reads");
    let mut answer = [0; 12];
    stream
        .read_exact(&mut answer)
        .await
        .expect("the controller answers");
    assert_eq!(answer.as_slice(), b"HTTP/1.1 101");
    stream
}
