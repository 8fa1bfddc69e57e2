//! A model server that follows a script: raw bytes over TCP, so that it can misbehave in every way there is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does next on a connection.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends nothing more, and keeps the connection.
    Stall,
    /// Ends the connection in the middle.
    Reset,
}

/// The answer to one request: what is done, until the list ends and the connection is closed in good order.
pub(super) type Reply = Vec<Act>;

/// A scripted server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<Received>>>,
    open: Arc<Mutex<usize>>,
    sent: Arc<Mutex<usize>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) head: String,
    pub(super) body: Value,
}

impl Server {
    /// Answers the first request with the first reply and so on; the last reply is given again and again.
    pub(super) async fn start(script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            requests: Arc::default(),
            open: Arc::default(),
            sent: Arc::default(),
        };
        let it = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (it, script) = (it.clone(), script.clone());
                tokio::spawn(async move { it.answer(stream, &script).await });
            }
        });
        server
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    /// Connections whose client has not gone.
    pub(super) fn open(&self) -> usize {
        *self.open.lock().unwrap()
    }

    /// Pieces that were sent, in all.
    pub(super) fn sent(&self) -> usize {
        *self.sent.lock().unwrap()
    }

    async fn answer(&self, mut stream: TcpStream, script: &[Reply]) {
        stream.set_nodelay(true).unwrap();
        let Some(request) = receive(&mut stream).await else {
            return;
        };
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        *self.open.lock().unwrap() += 1;
        let reply = script.get(number).or(script.last()).unwrap();
        for act in reply {
            match act {
                Act::Send(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        break;
                    }
                    if stream.flush().await.is_err() {
                        break;
                    }
                    *self.sent.lock().unwrap() += 1;
                    // Each piece is to arrive by itself.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Act::Stall => {
                    // Until the client goes.
                    let _ = stream.read(&mut [0; 64]).await;
                }
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    break;
                }
            }
        }
        *self.open.lock().unwrap() -= 1;
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = head {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null);
                return Some(Received { head, body });
            }
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// The head of an answer whose end is the end of the connection.
pub(super) fn head(status: &str, headers: &str) -> Act {
    Act::Send(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes())
}

pub(super) fn stream_head() -> Act {
    head("200 OK", "content-type: text/event-stream\r\n")
}

/// An error with a body.
pub(super) fn error(status: &str, headers: &str, body: &str) -> Reply {
    vec![head(status, headers), Act::Send(body.as_bytes().to_vec())]
}

pub(super) fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

/// One event with a few words.
pub(super) fn words(text: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({"choices": [{"index": 0, "delta": {"content": text}}]})
    )
}

/// The events of an answer: a piece of text each, the end, the count, the mark.
pub(super) fn events(pieces: &[&str], finish: &str) -> String {
    let mut text: String = pieces.iter().map(|piece| words(piece)).collect();
    text += &format!(
        "data: {}\n\n",
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    );
    text += &format!(
        "data: {}\n\n",
        json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}})
    );
    text + "data: [DONE]\n\n"
}

/// A whole answer.
pub(super) fn says(pieces: &[&str]) -> Reply {
    vec![stream_head(), send(&events(pieces, "stop"))]
}
