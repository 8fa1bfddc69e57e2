//! A Slack of the test's own: the methods of its Web API that are called, and the far end of Socket Mode.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// What Slack has, and what it answers instead of taking the next calls.
#[derive(Debug, Default)]
struct State {
    /// By timestamp.
    messages: BTreeMap<String, Value>,
    calls: Vec<(String, Value)>,
    instead: VecDeque<ResponseTemplate>,
    refused: Option<String>,
    socket: String,
}

#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<State>>);

impl Script {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let method = request.url.path().trim_start_matches('/').to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        self.with(|state| state.answer(&method, body))
    }
}

impl State {
    fn answer(&mut self, method: &str, body: Value) -> ResponseTemplate {
        self.calls.push((method.to_owned(), body.clone()));
        let ok = |answer: Value| ResponseTemplate::new(200).set_body_json(answer);
        if method == "apps.connections.open" {
            return ok(json!({"ok": true, "url": self.socket}));
        }
        if let Some(error) = &self.refused {
            return ok(json!({"ok": false, "error": error}));
        }
        if let Some(answer) = self.instead.pop_front() {
            return answer;
        }
        let ts = match method {
            "chat.postMessage" => format!("1700000000.{:06}", self.messages.len()),
            "chat.update" => body["ts"].as_str().unwrap_or_default().to_owned(),
            _ => return ok(json!({"ok": true})),
        };
        self.messages.insert(ts.clone(), body);
        ok(json!({"ok": true, "channel": "C1", "ts": ts}))
    }
}

/// The server.
pub(crate) struct Slack {
    server: MockServer,
    script: Script,
    listener: TcpListener,
}

impl Slack {
    pub(crate) async fn start() -> Self {
        let (server, script) = (MockServer::start().await, Script::default());
        Mock::given(any())
            .respond_with(script.clone())
            .mount(&server)
            .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        script.with(|state| state.socket = format!("ws://{address}/?ticket=1"));
        Self {
            server,
            script,
            listener,
        }
    }

    /// For `SLACK_API_URL`.
    pub(crate) fn url(&self) -> String {
        self.server.uri()
    }

    /// The next call is answered so, and not taken.
    pub(crate) fn instead(&self, answer: ResponseTemplate) {
        self.script.with(|state| state.instead.push_back(answer));
    }

    /// Every call is refused with this error.
    pub(crate) fn refuse_all(&self, error: &str) {
        self.script.with(|state| state.refused = Some(error.to_owned()));
    }

    /// Calls are taken again.
    pub(crate) fn take_all(&self) {
        self.script.with(|state| state.refused = None);
    }

    /// What stands in the channel, oldest first, as it was last updated.
    pub(crate) fn messages(&self) -> Vec<Value> {
        self.script
            .with(|state| state.messages.values().cloned().collect())
    }

    /// The bodies of the calls of a method.
    pub(crate) fn calls(&self, method: &str) -> Vec<Value> {
        self.script.with(|state| {
            let calls = state.calls.iter().filter(|(called, _)| called == method);
            calls.map(|(_, body)| body.clone()).collect()
        })
    }

    /// The next connection of Socket Mode.
    pub(crate) async fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        let socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("a WebSocket");
        let mut connection = Connection(socket);
        connection.say(&json!({"type": "hello"})).await;
        connection
    }
}

/// Slack's end of one connection.
pub(crate) struct Connection(WebSocketStream<TcpStream>);

impl Connection {
    pub(crate) async fn say(&mut self, what: &Value) {
        self.0
            .send(Message::text(what.to_string()))
            .await
            .expect("it is taken");
    }

    /// Sends a click, and waits until it is acknowledged.
    pub(crate) async fn click(&mut self, envelope: &str, payload: &Value) {
        self.say(&json!({"type": "interactive", "envelope_id": envelope, "payload": payload}))
            .await;
        loop {
            let message = self.0.next().await.expect("an answer").expect("an answer");
            let Ok(text) = message.to_text() else { continue };
            if serde_json::from_str::<Value>(text).is_ok_and(|answer| answer["envelope_id"] == envelope) {
                return;
            }
        }
    }
}

/// A click on a button, as Slack sends it.
pub(crate) fn clicked(user: &str, action: &str, value: &str) -> Value {
    json!({
        "type": "block_actions",
        "user": {"id": user, "username": "ada", "name": "ada", "team_id": "T1"},
        "team": {"id": "T1"},
        "channel": {"id": "C1", "name": "ops"},
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
    })
}
