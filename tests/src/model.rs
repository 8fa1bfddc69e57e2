//! A model server that says as much as a test wants, in pieces of any size, before it answers. Speaks OpenAI's chat
//! completions on 127.0.0.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &str = r#"{"root_cause": "a leak", "action": "NOOP", "justification": "it can wait", "confidence": 0.9, "replica_count": 0}"#;

/// What a model says before its answer.
#[derive(Debug, Clone, Copy)]
pub struct Speech {
    /// The field of a delta: `content`, or `reasoning_content` for thoughts.
    pub field: &'static str,
    /// Bytes of a delta.
    pub size: usize,
    /// How many there are.
    pub deltas: usize,
}

/// A running server. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct TalkativeModel {
    /// Where it is, for `FASTRTR_BASE_URL`.
    pub url: String,
    sent: Arc<AtomicUsize>,
}

impl TalkativeModel {
    /// Says the same to everybody who asks.
    pub async fn start(speech: Speech) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // A client that hangs up is what is tested: it is no error.
                    let _hung_up = speak(stream, speech, &counted).await;
                });
            }
        });
        Self {
            url: format!("http://{address}"),
            sent,
        }
    }

    /// Deltas that were sent so far, to all who asked.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

async fn speak(mut stream: TcpStream, speech: Speech, sent: &AtomicUsize) -> std::io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 16_384]);
    // The whole request: its head says how long it is.
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                break;
            }
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let event = |delta: serde_json::Value| format!("data: {}\n\n", json!({"choices": [{"delta": delta}]}));
    let piece = event(json!({speech.field: "x".repeat(speech.size)}));
    for _ in 0..speech.deltas {
        stream.write_all(piece.as_bytes()).await?;
        sent.fetch_add(1, Ordering::Relaxed);
    }
    let end = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let last = format!(
        "{}data: {end}\n\ndata: [DONE]\n\n",
        event(json!({"content": ANSWER}))
    );
    stream.write_all(last.as_bytes()).await?;
    stream.shutdown().await
}
