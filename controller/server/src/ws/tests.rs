//! `/ws` as clients see it, over a loopback connection.

use aegis_api::wire::{FrameType, Payload};
use futures::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::testing::Server;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Anything as the contents of a frame of a type: what goes over the socket is the same.
struct As<T>(FrameType, T);

impl<T: Serialize> Serialize for As<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.1.serialize(serializer)
    }
}

impl<T: Serialize> Payload for As<T> {
    fn frame_type(&self) -> FrameType {
        self.0
    }
}

struct Listening {
    server: Server,
    address: String,
}

impl Listening {
    async fn start() -> Self {
        let server = Server::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(crate::serve(
            listener,
            None,
            server.router.clone(),
            crate::AlertsOnly::default(),
            server.shutdown.clone(),
        ));
        Self { server, address }
    }

    async fn try_connect(
        &self,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Client, Option<String>), Error> {
        let mut request = format!("ws://{}/ws{query}", self.address)
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (client, response) = connect_async(request).await?;
        let protocol = response
            .headers()
            .get("sec-websocket-protocol")
            .map(|value| value.to_str().unwrap().to_owned());
        Ok((client, protocol))
    }

    async fn connect(&self, query: &str) -> Client {
        self.try_connect(query, &[("authorization", "Bearer admin-token")])
            .await
            .unwrap()
            .0
    }

    /// More than its memory holds.
    fn flood(&self) {
        for _ in 0..100 {
            self.server
                .feed
                .publish(Some("i"), &As(FrameType::StatusUpdate, "x".repeat(1000)));
        }
    }

    fn publish(&self, count: u64) {
        for n in 0..count {
            self.server
                .feed
                .publish(Some("i"), &As(FrameType::StatusUpdate, json!({"n": n})));
        }
    }
}

async fn next(client: &mut Client) -> Value {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => {
                return json!({"type": "close", "reason": frame.unwrap().reason.as_str()});
            }
            _ => {}
        }
    }
}

fn code(refused: Result<(Client, Option<String>), Error>) -> u16 {
    match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_is_greeted_and_gets_frames_and_its_ping_is_answered() {
    let listening = Listening::start().await;
    let mut client = listening.connect("").await;
    let hello = next(&mut client).await;
    assert_eq!(
        (&hello["type"], &hello["data"]),
        (&json!("heartbeat"), &json!({"status": "connected"}))
    );
    assert!(hello["incident_id"].is_null() && hello["timestamp"].is_string());
    assert_eq!(listening.server.state.ws_clients(), 1);
    listening.publish(1);
    let frame = next(&mut client).await;
    assert_eq!(
        (&frame["type"], &frame["seq"], &frame["incident_id"]),
        (&json!("status.update"), &json!(1), &json!("i"))
    );
    client.send(Message::text("ping")).await.unwrap();
    let alive = next(&mut client).await;
    assert_eq!(
        (&alive["type"], &alive["data"], &alive["seq"]),
        (&json!("heartbeat"), &json!({"status": "alive"}), &json!(1))
    );
}

#[tokio::test]
async fn a_client_of_an_earlier_process_gets_everything_of_this_one_and_nothing_by_its_old_number() {
    let listening = Listening::start().await;
    listening.publish(10);
    let mut client = listening.connect("?stream=").await;
    let greeting = next(&mut client).await;
    let stream = greeting["data"]["stream"].as_str().unwrap();
    assert_eq!(greeting["seq"], 10);
    let mut same = listening.connect(&format!("?since=8&stream={stream}")).await;
    assert_eq!(next(&mut same).await["seq"], 8);
    assert_eq!(next(&mut same).await["seq"], 9);
    // Its number is one that this process has, too.
    let mut other = listening.connect("?since=8&stream=of-another-process").await;
    let greeting = next(&mut other).await;
    assert_eq!(
        (&greeting["seq"], &greeting["data"]["stream"]),
        (&json!(0), &json!(stream))
    );
    for seq in 1..=10 {
        assert_eq!(next(&mut other).await["seq"], seq);
    }
    let mut unasked = listening.connect("").await;
    assert_eq!(next(&mut unasked).await["data"], json!({"status": "connected"}));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_or_a_snapshot() {
    let listening = Listening::start().await;
    listening.publish(10);
    let mut client = listening.connect("?since=8&full_text=0").await;
    assert_eq!(next(&mut client).await["type"], "heartbeat");
    let frame = next(&mut client).await;
    assert_eq!((&frame["seq"], &frame["data"]), (&json!(9), &json!({"n": 8})));
    listening.flood();
    let mut late = listening.connect("?since=1").await;
    assert_eq!(next(&mut late).await["type"], "heartbeat");
    let snapshot = next(&mut late).await;
    assert_eq!(
        (&snapshot["type"], &snapshot["seq"]),
        (&json!("snapshot"), &json!(110))
    );
    for part in ["incidents", "containers", "metrics", "topology"] {
        assert!(!snapshot["data"][part].is_null(), "{part}");
    }
    listening.publish(1);
    assert_eq!(next(&mut late).await["seq"], 111);
}

#[tokio::test]
async fn a_browser_s_token_is_a_sub_protocol_and_its_origin_must_be_ours() {
    let listening = Listening::start().await;
    let token = "aegis.v1, aegis.bearer.admin-token";
    let (_client, protocol) = listening
        .try_connect("", &[("sec-websocket-protocol", token)])
        .await
        .unwrap();
    assert_eq!(protocol.as_deref(), Some("aegis.v1"));
    let alone = [("sec-websocket-protocol", "aegis.bearer.admin-token")];
    assert_eq!(
        listening.try_connect("", &alone).await.unwrap().1.as_deref(),
        Some("aegis.bearer.admin-token")
    );
    assert_eq!(code(listening.try_connect("", &[]).await), 401);
    assert_eq!(code(listening.try_connect("?token=admin-token", &[]).await), 401);
    let bearer = ("authorization", "Bearer admin-token");
    assert_eq!(
        code(
            listening
                .try_connect("", &[bearer, ("origin", "http://evil.example")])
                .await
        ),
        403
    );
    let ours = format!("http://{}", listening.address);
    assert!(
        listening
            .try_connect("", &[bearer, ("origin", &ours)])
            .await
            .is_ok()
    );
    assert_eq!(code(listening.try_connect("?since=x", &[bearer]).await), 422);
    assert_eq!(listening.server.get("/ws").await.code, 426);
}

#[tokio::test]
async fn clients_are_notified_when_the_server_goes_and_there_are_only_so_many() {
    let listening = Listening::start().await;
    let mut client = listening.connect("").await;
    assert_eq!(next(&mut client).await["type"], "heartbeat");
    let rest = std::sync::Arc::clone(&listening.server.state.clients.all)
        .acquire_many_owned(255)
        .await
        .unwrap();
    assert_eq!(
        code(
            listening
                .try_connect("", &[("authorization", "Bearer admin-token")])
                .await
        ),
        503
    );
    drop(rest);
    listening.server.shutdown.cancel();
    assert_eq!(
        next(&mut client).await,
        json!({"type": "close", "reason": "the server is going away"})
    );
}

impl Listening {
    /// A bearer of a new token of this role.
    async fn bearer(&self, name: &str, role: &str) -> String {
        let wanted = json!({"name": name, "role": role});
        let made = self.server.ask("POST", "/auth/tokens", Some(wanted)).await;
        format!("Bearer {}", made.json()["token"].as_str().unwrap())
    }
}

#[tokio::test]
async fn i9_a_token_opens_so_many_sockets_and_no_more_and_others_are_let_in() {
    let listening = Listening::start().await;
    let (one, other) = (
        listening.bearer("one", "viewer").await,
        listening.bearer("other", "viewer").await,
    );
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(
            listening
                .try_connect("", &[("authorization", &one)])
                .await
                .unwrap(),
        );
    }
    let again = listening.try_connect("", &[("authorization", &one)]).await;
    assert_eq!(code(again), 503);
    listening
        .try_connect("", &[("authorization", &other)])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_socket_is_closed_when_its_token_is_revoked_or_expires_and_another_s_stays() {
    let listening = Listening::start().await;
    let others = listening.bearer("others", "viewer").await;
    let revoked = listening.bearer("revoked", "viewer").await;
    let wanted = json!({"name": "short", "role": "viewer", "ttlSeconds": 2});
    let made = listening.server.ask("POST", "/auth/tokens", Some(wanted)).await;
    let short = format!("Bearer {}", made.json()["token"].as_str().unwrap());
    let mut open = Vec::new();
    for bearer in [&others, &revoked, &short] {
        let (mut client, _) = listening
            .try_connect("", &[("authorization", bearer)])
            .await
            .unwrap();
        assert_eq!(next(&mut client).await["type"], "heartbeat");
        open.push(client);
    }
    let [mut others, mut revoked, mut short] = <[Client; 3]>::try_from(open).unwrap();
    let ended = json!({"type": "close", "reason": "the session has ended: log in again"});
    listening.server.ask("DELETE", "/auth/tokens/revoked", None).await;
    // Sooner than the next sign of life, at which it is checked, too.
    for client in [&mut revoked, &mut short] {
        let soon = tokio::time::timeout(std::time::Duration::from_secs(10), next(client));
        assert_eq!(soon.await.expect("it is closed"), ended);
    }
    listening.publish(1);
    assert_eq!(next(&mut others).await["data"], json!({"n": 0}));
}

#[tokio::test]
async fn a_viewer_s_socket_is_sent_no_value_of_a_variable_and_an_admin_s_is() {
    let listening = Listening::start().await;
    let (server, viewer) = (&listening.server, listening.bearer("anna", "viewer").await);
    tokio::spawn(crate::pump(
        server.store.clone(),
        server.feed.clone(),
        server.shutdown.clone(),
    ));
    let mut clients = [
        listening
            .try_connect("", &[("authorization", &viewer)])
            .await
            .unwrap()
            .0,
        listening.connect("").await,
    ];
    for client in &mut clients {
        assert_eq!(next(client).await["type"], "heartbeat");
    }
    let env = json!({"DB_PASSWORD": "hunter2hunter2"});
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
        "spec": {"template": {"image": "app:1", "env": env}}});
    let path = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";
    assert_eq!(server.ask("POST", path, Some(object)).await.code, 201);
    let [viewer, admin] = &mut clients;
    for (client, shown) in [(viewer, "•••"), (admin, "hunter2hunter2")] {
        let frame = loop {
            let frame = next(client).await;
            if frame["type"] == "resource" {
                break frame;
            }
        };
        let env = &frame["data"]["object"]["spec"]["template"]["env"];
        assert_eq!(*env, json!({"DB_PASSWORD": shown}), "{frame}");
    }
}

#[tokio::test]
async fn a_client_that_falls_behind_learns_how_much_it_missed() {
    let listening = Listening::start().await;
    let mut client = listening.connect("").await;
    assert_eq!(next(&mut client).await["type"], "heartbeat");
    // Published before its session runs again.
    listening.flood();
    let lagged = next(&mut client).await;
    let missed = lagged["data"]["missed"].as_u64().unwrap();
    assert_eq!(
        (&lagged["type"], lagged["seq"].as_u64()),
        (&json!("lagged"), Some(missed))
    );
    assert!((10..100).contains(&missed), "{lagged}");
    assert_eq!(next(&mut client).await["seq"], missed + 1);
}

#[tokio::test]
async fn the_text_so_far_is_sent_unless_a_client_opts_out() {
    let listening = Listening::start().await;
    let mut answer = listening.server.feed.live_answer("i");
    ["It ", "leaks"].iter().for_each(|words| answer.say(words));
    for (query, data) in [
        (
            "?since=1",
            json!({"incident_id": "i", "chunk": "leaks", "full_text": "It leaks"}),
        ),
        (
            "?since=1&full_text=0",
            json!({"incident_id": "i", "chunk": "leaks"}),
        ),
    ] {
        let mut client = listening.connect(query).await;
        assert_eq!(next(&mut client).await["type"], "heartbeat");
        assert_eq!(next(&mut client).await["data"], data, "{query}");
    }
}

#[tokio::test]
async fn i12_a_replay_is_no_larger_than_the_feed_may_be_and_still_right() {
    let listening = Listening::start().await;
    let mut answer = listening.server.feed.live_answer("i");
    let words: Vec<String> = (0..120).map(|n| format!("this is word number {n}. ")).collect();
    words.iter().for_each(|words| answer.say(words));
    listening.publish(1);
    let (last, limit) = (listening.server.feed.seq(), listening.server.feed.limit());
    let since = last - 110;
    let before: String = words.iter().take(11).cloned().collect();
    let mut client = listening.connect(&format!("?since={since}")).await;
    assert_eq!(next(&mut client).await["type"], "heartbeat");
    let (mut bytes, mut text, mut received) = (0, before, Vec::new());
    loop {
        let frame = next(&mut client).await;
        bytes += frame.to_string().len();
        if frame["seq"] == last {
            break;
        }
        text.push_str(frame["data"]["chunk"].as_str().unwrap());
        assert_eq!(frame["data"]["full_text"], text.as_str());
        received.push(frame);
    }
    assert_eq!(text, words.concat());
    assert!(received.len() < 109, "some were sent with a later one");
    assert!(bytes <= limit, "{bytes} bytes");
}

#[tokio::test]
async fn a_client_that_comes_back_gets_the_newest_of_the_current_state() {
    let listening = Listening::start().await;
    listening.publish(1);
    for n in 0..1000 {
        let feed = &listening.server.feed;
        feed.publish(None, &As(FrameType::Metrics, json!([n])));
        feed.publish(None, &As(FrameType::Topology, json!({"n": n})));
    }
    let mut client = listening.connect("?since=1").await;
    assert_eq!(next(&mut client).await["type"], "heartbeat");
    for (kind, data) in [("metrics", json!([999])), ("topology", json!({"n": 999}))] {
        let frame = next(&mut client).await;
        assert_eq!((&frame["type"], &frame["data"]), (&json!(kind), &data));
    }
}
