//! `watch` against a scripted event stream.

use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;

/// What one connection to `/ws` sees; then the server closes it, or keeps it open.
struct Script {
    frames: Vec<Value>,
    then_close: bool,
}

fn closes(frames: Vec<Value>) -> Script {
    Script {
        frames,
        then_close: true,
    }
}

fn stays(frames: Vec<Value>) -> Script {
    Script {
        frames,
        then_close: false,
    }
}

/// A controller's event stream: each connection plays the next script; `/incidents/*` answers one status.
struct Stage {
    url: String,
    /// Target and authorization of each connection.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    playing: tokio::task::JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.playing.abort();
    }
}

impl Stage {
    async fn new(scripts: Vec<Script>, incident: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let playing = tokio::spawn(play(listener, scripts, incident.to_owned(), Arc::clone(&seen)));
        Self { url, seen, playing }
    }

    fn targets(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(target, _)| target.clone())
            .collect()
    }
}

async fn play(
    listener: TcpListener,
    scripts: Vec<Script>,
    incident: String,
    seen: Arc<Mutex<Vec<(String, String)>>>,
) {
    let mut scripts = scripts.into_iter();
    let mut open = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut start = [0; 7];
        while stream.peek(&mut start).await.unwrap() < start.len() {}
        if &start != b"GET /ws" {
            answer(&mut stream, &incident).await;
            continue;
        }
        let Some(script) = scripts.next() else { return };
        #[expect(clippy::result_large_err, reason = "the crate's own type of callback")]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let token = request
                .headers()
                .get("authorization")
                .map(|value| value.to_str().unwrap().to_owned());
            seen.lock()
                .unwrap()
                .push((request.uri().to_string(), token.unwrap_or_default()));
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
        for frame in script.frames {
            socket.send(Message::text(frame.to_string())).await.unwrap();
        }
        if script.then_close {
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        } else {
            open.push(socket);
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str) {
    let mut buffer = [0; 4096];
    let _request = stream.read(&mut buffer).await.unwrap();
    let (code, body) = match status {
        "" => ("404 Not Found", json!({"detail": "Incident not found."})),
        status => (
            "200 OK",
            json!({"incident_id": "inc-1", "status": status, "error": "no proof"}),
        ),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
}

fn frame(seq: u64, kind: &str, incident: &str, data: impl Into<Value>) -> Value {
    let mut data: Value = data.into();
    if let Some(fields) = data.as_object_mut() {
        fields.insert("incident_id".to_owned(), json!(incident));
    }
    json!({"type": kind, "incident_id": incident, "data": data, "seq": seq, "timestamp": format!("2026-01-31T12:{:02}:{:02}Z", seq / 60, seq % 60)})
}

fn connected() -> Value {
    json!({"type": "heartbeat", "data": {"status": "connected"}, "timestamp": "2026-01-31T12:00:00Z"})
}

fn opened(seq: u64, incident: &str) -> Value {
    frame(
        seq,
        "incident.new",
        incident,
        json!({"alert_type": "MEMORY", "logs": ""}),
    )
}

#[tokio::test]
async fn until_resolved_ends_with_the_first_incident_that_appears() {
    let stage = Stage::new(
        vec![stays(vec![
            connected(),
            frame(
                1,
                "resolved",
                "older",
                json!({"resolved_at": "2026-01-31T12:00:00Z"}),
            ),
            opened(2, "inc-1"),
            frame(3, "ai.stream", "inc-1", json!({"chunk": "It "})),
            frame(4, "ai.stream", "inc-1", json!({"chunk": "leaks."})),
            opened(5, "inc-2"),
            frame(6, "failed", "inc-2", json!({"error": "not this one"})),
            frame(
                7,
                "resolved",
                "inc-1",
                json!({"resolved_at": "2026-01-31T12:00:00Z"}),
            ),
        ])],
        "",
    )
    .await;
    let run = with_env(
        &stage.url,
        &["watch", "--until-resolved", "--timeout=300s"],
        [("AEGIS_TOKEN", "s3cret")],
    )
    .await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("REASONING           It leaks.\n"), "{}", run.out);
    assert!(
        run.out.lines().last().unwrap().contains("RESOLVED"),
        "{}",
        run.out
    );
    assert_eq!(
        *stage.seen.lock().unwrap(),
        [("/ws?full_text=0&stream=".to_owned(), "Bearer s3cret".to_owned())]
    );
}

#[tokio::test]
async fn until_resolved_fails_with_the_incident() {
    let stage = Stage::new(
        vec![stays(vec![
            opened(1, "inc-1"),
            frame(2, "failed", "inc-1", json!({"error": "no \u{1b}[2Jproof"})),
        ])],
        "",
    )
    .await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=300s"]).await;
    assert_eq!(
        (run.code, run.err.as_str()),
        (1, "error: incident inc-1 FAILED: no \\x1b[2Jproof\n")
    );
}

#[tokio::test]
async fn until_resolved_gives_up_with_exit_code_124() {
    let stage = Stage::new(vec![stays(vec![connected()])], "").await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=50ms"]).await;
    assert_eq!(run.code, 124, "{run:?}");
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_where_it_was_lost_and_nothing_is_shown_twice() {
    let stage = Stage::new(
        vec![
            closes(vec![
                opened(1, "inc-1"),
                frame(
                    2,
                    "status.update",
                    "inc-1",
                    json!({"status": "ANALYSING", "message": "two"}),
                ),
            ]),
            stays(vec![
                connected(),
                frame(
                    2,
                    "status.update",
                    "inc-1",
                    json!({"status": "ANALYSING", "message": "two"}),
                ),
                frame(
                    3,
                    "status.update",
                    "inc-1",
                    json!({"status": "EXECUTING", "message": "three"}),
                ),
                frame(4, "resolved", "inc-1", json!({})),
            ]),
        ],
        "VERIFYING",
    )
    .await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=300s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        stage.targets(),
        ["/ws?full_text=0&stream=", "/ws?full_text=0&since=2&stream="]
    );
    for once in ["two", "three", "RECEIVED", "connection lost"] {
        assert_eq!(run.out.matches(once).count(), 1, "{once} in\n{}", run.out);
    }
}

#[tokio::test]
async fn a_restarted_controller_counts_from_one_and_its_frames_are_shown() {
    let late = |seq: u64, kind: &str, data: Value| {
        let mut late = frame(seq, kind, "inc-1", data);
        late["timestamp"] = json!("2026-01-31T13:00:00Z");
        late
    };
    let stage = Stage::new(
        vec![
            closes(vec![opened(40, "inc-1")]),
            stays(vec![
                late(
                    1,
                    "status.update",
                    json!({"status": "VERIFYING", "message": "after the restart"}),
                ),
                late(2, "resolved", json!({})),
            ]),
        ],
        "VERIFYING",
    )
    .await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=300s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out.contains("events may be missing") && run.out.contains("after the restart"),
        "{}",
        run.out
    );
}

#[tokio::test]
async fn an_incident_that_has_ended_already_ends_the_watch_at_once() {
    let line = [
        "watch",
        "--incident",
        "inc-1",
        "--until-resolved",
        "--timeout=300s",
    ];
    let stage = Stage::new(vec![stays(vec![connected()])], "RESOLVED").await;
    let run = aegisctl(&stage.url, &line).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "# incident inc-1 is RESOLVED\n"),
        "{run:?}"
    );
    let stage = Stage::new(vec![stays(vec![connected()])], "FAILED").await;
    let run = aegisctl(&stage.url, &line).await;
    assert_eq!(
        (run.code, run.err.as_str()),
        (1, "error: incident inc-1 FAILED: no proof\n")
    );
}

#[tokio::test]
async fn one_incident_is_followed_by_its_name_where_its_frames_carry_its_senders_id() {
    let frames = vec![
        opened(1, "other"),
        opened(2, "inc-1"),
        frame(3, "resolved", "inc-1", json!({})),
    ];
    let stage = Stage::new(vec![stays(frames)], "ANALYSING").await;
    let line = [
        "watch",
        "--incident",
        "the-name",
        "--until-resolved",
        "--timeout=300s",
    ];
    let run = aegisctl(&stage.url, &line).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        !run.out.contains("other") && run.out.contains("inc-1"),
        "{}",
        run.out
    );
}

fn own(seq: u64, kind: &str) -> Value {
    json!({"type": kind, "incident_id": null, "data": {"status": "connected"}, "seq": seq, "timestamp": "2026-01-31T14:00:00Z"})
}

#[tokio::test]
async fn signs_of_life_carry_the_last_number_and_are_no_gap() {
    let first = vec![
        own(7, "heartbeat"),
        opened(8, "inc-1"),
        own(8, "heartbeat"),
        own(8, "heartbeat"),
    ];
    let second = vec![own(8, "heartbeat"), frame(9, "resolved", "inc-1", json!({}))];
    let stage = Stage::new(vec![closes(first), stays(second)], "VERIFYING").await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=300s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.out.contains("events may be missing"), "{}", run.out);
    assert_eq!(
        stage.targets(),
        ["/ws?full_text=0&stream=", "/ws?full_text=0&since=8&stream="]
    );
}

#[tokio::test]
async fn a_connection_that_cannot_replay_says_so_and_goes_on() {
    let first = vec![own(70, "heartbeat"), opened(71, "inc-1")];
    let second = vec![
        own(3, "heartbeat"),
        own(3, "snapshot"),
        frame(4, "resolved", "inc-1", json!({})),
    ];
    let stage = Stage::new(vec![closes(first), stays(second)], "VERIFYING").await;
    let run = aegisctl(&stage.url, &["watch", "--until-resolved", "--timeout=300s"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.out.matches("events may be missing").count(), 1, "{}", run.out);
    assert!(!run.out.contains("SNAPSHOT"), "{}", run.out);
}

#[tokio::test]
async fn json_frames_come_one_a_line_and_safe() {
    let stage = Stage::new(
        vec![stays(vec![
            opened(1, "inc-1"),
            frame(2, "resolved", "inc-1", json!({"x": "\u{9b}2J"})),
        ])],
        "",
    )
    .await;
    let run = aegisctl(
        &stage.url,
        &["watch", "--json", "--until-resolved", "--timeout=300s"],
    )
    .await;
    let frames: Vec<Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (run.code, frames.len(), frames[1]["data"]["x"].as_str()),
        (0, 2, Some("\u{9b}2J"))
    );
    assert!(!run.out.contains('\u{9b}'));
}

#[tokio::test]
async fn a_stream_that_wants_a_token_says_so() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/ws", status(401, "Unauthorized", "Unauthorized")).await;
    let run = aegisctl(&server.uri(), &["watch"]).await;
    assert_eq!(run.code, 5, "{run:?}");
    assert!(run.err.contains("wants a token"), "{}", run.err);
}
