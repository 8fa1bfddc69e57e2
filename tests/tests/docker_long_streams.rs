//! Promise: WebSockets and event streams over HTTP last through whatever is scaled while their server stays. Those of a server
//! that leaves have `drainTimeout` to end by themselves; what is cut then is counted in its receipt, exactly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aegis_tests::{Controller, Nginx, World, eventually, manifests};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const KIND: &str = "workloads";
/// WebSockets, and as many event streams.
const STREAMS: usize = 12;

/// A WebSocket, and the host that answers it.
struct Socket {
    host: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let opened = tokio_tungstenite::connect_async(format!("ws://{address}/echo")).await;
        let (socket, answer) = opened.expect("a WebSocket");
        let host = answer.headers()["x-host"].to_str().expect("a name").to_owned();
        Self { host, socket }
    }

    async fn echoes(&mut self) {
        let sent = Message::text("still here");
        self.socket.send(sent.clone()).await.expect("it is open");
        let back = tokio::time::timeout(Duration::from_secs(10), self.socket.next()).await;
        assert_eq!(
            back.expect("in time").expect("a message").expect("no error"),
            sent
        );
    }

    async fn close(mut self) {
        self.socket.close(None).await.expect("it is open");
        self.ends().await;
    }

    /// Until the other side ends it.
    async fn ends(mut self) {
        let end = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await;
        let end = end.expect("it ends");
        assert!(
            matches!(end, None | Some(Err(_) | Ok(Message::Close(_)))),
            "{end:?}"
        );
    }
}

/// A stream of events that never ends by itself, and is read all the time.
struct Events {
    host: String,
    count: Arc<AtomicU32>,
    ended: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

impl Events {
    async fn open(address: SocketAddr) -> Self {
        let url = format!("http://{address}/events?count=1000000&every_ms=50");
        let answer = aegis_tests::api::http_client()
            .get(url)
            .timeout(Duration::from_secs(3600))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        let host = answer.headers()["x-host"].to_str().expect("a name").to_owned();
        let (count, ended) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let (counted, ends) = (count.clone(), ended.clone());
        let reading = tokio::spawn(async move {
            let mut pieces = answer.bytes_stream();
            while let Some(Ok(_)) = pieces.next().await {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            ends.store(true, Ordering::Relaxed);
        });
        Self {
            host,
            count,
            ended,
            reading,
        }
    }

    async fn goes_on(&self) {
        let before = self.count.load(Ordering::Relaxed);
        eventually("an event comes", async || {
            assert!(!self.ended.load(Ordering::Relaxed), "it was cut");
            match self.count.load(Ordering::Relaxed) > before {
                true => Ok(()),
                false => Err(format!("{before} so far")),
            }
        })
        .await;
    }

    async fn ends(&self) {
        eventually("a stream is cut", async || {
            match self.ended.load(Ordering::Relaxed) {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        })
        .await;
    }

    /// As a client does that goes away.
    fn close(self) {
        self.reading.abort();
    }
}

struct Stage {
    controller: Controller,
    front: Nginx,
    address: SocketAddr,
    name: String,
    // Dropped last: its containers go once no controller makes any.
    _world: World,
}

impl Stage {
    async fn new(replicas: u64) -> Self {
        let world = World::new().await;
        let front = world.nginx("lb").await;
        let controller = world.controller().start().await;
        let name = world.name("web");
        let api = controller.api();
        let template = json!({"stopGracePeriod": "2s"});
        api.apply(&manifests::echoing(&name, world.network(), 1, &template))
            .await;
        let mut balancer = manifests::balancing(&front.name, &name);
        balancer["spec"]["drainTimeout"] = json!("10s");
        balancer["spec"]["backends"][0]["readTimeout"] = json!("1h");
        balancer["spec"]["backends"][0]["buffering"] = json!(false);
        api.apply(&balancer).await;
        let ip = front.container.ip().await.expect("nginx has an address");
        let stage = Self {
            controller,
            address: SocketAddr::new(ip, 80),
            front,
            name,
            _world: world,
        };
        stage.scale(replicas).await;
        stage.serves(replicas).await;
        // A worker of before the first configuration may take connections until it has heard of the reload.
        eventually("every worker of nginx has the servers", async || {
            stage.front.answerers(20).await.map(drop)
        })
        .await;
        stage
    }

    async fn scale(&self, replicas: u64) {
        let patch = json!({"spec": {"replicas": replicas}});
        self.controller.api().merge_ok(KIND, &self.name, &patch).await;
    }

    /// What has left is gone, too.
    async fn serves(&self, replicas: u64) {
        let api = self.controller.api();
        api.workload_ready(&self.name, replicas).await;
        api.balancer_serves(&self.front.name, replicas).await;
        let balancer = &self.front.name;
        api.until("loadbalancers", balancer, "no drain is open", |balancer| {
            match balancer["status"]["draining"].is_null() {
                true => Ok(()),
                false => Err(balancer["status"]["draining"].to_string()),
            }
        })
        .await;
    }

    /// The host that leaves, once nginx gives it nothing more.
    async fn leaves(&self) -> String {
        let api = self.controller.api();
        api.until("loadbalancers", &self.front.name, "a server leaves", |balancer| {
            let id = balancer["status"]["draining"][0]["ids"][0].as_str();
            id.map(|id| id[..12].to_owned())
                .ok_or_else(|| balancer["status"].to_string())
        })
        .await
    }

    /// The receipt of a host that left, once its requests were counted.
    async fn receipt(&self, host: &str) -> Value {
        let api = self.controller.api();
        api.until(
            "loadbalancers",
            &self.front.name,
            "a receipt is counted",
            |balancer| {
                let mut receipts = balancer["status"]["receipts"].as_array().into_iter().flatten();
                let of_host =
                    |receipt: &&Value| receipt["ids"][0].as_str().is_some_and(|id| id.starts_with(host));
                let receipt = receipts.rfind(of_host);
                let counted = receipt.filter(|receipt| receipt["requests"].is_object());
                counted
                    .cloned()
                    .ok_or_else(|| balancer["status"]["receipts"].to_string())
            },
        )
        .await
    }
}

/// Splits what is of a host from the rest.
fn of_host<T>(all: Vec<T>, host: &str, host_of: impl Fn(&T) -> &str) -> (Vec<T>, Vec<T>) {
    all.into_iter().partition(|one| host_of(one) == host)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_reloads_where_their_server_stays_and_each_that_is_cut_is_on_its_servers_receipt() {
    let stage = Stage::new(3).await;
    let (mut sockets, mut events) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS {
        sockets.push(Socket::open(stage.address).await);
        events.push(Events::open(stage.address).await);
    }

    stage.scale(2).await;
    let host = stage.leaves().await;
    let (leaving, mut sockets) = of_host(sockets, &host, |one| &one.host);
    let (leaving_events, mut events) = of_host(events, &host, |one| &one.host);
    assert!(
        leaving.len() > 1 && leaving_events.len() > 1,
        "{host} had too few streams"
    );
    // Some end by themselves, a WebSocket and an event stream, while there is time.
    let mut leaving = leaving.into_iter();
    let mut leaving_events = leaving_events.into_iter();
    let mut ended = leaving.next().expect("a WebSocket");
    ended.echoes().await;
    ended.close().await;
    leaving_events.next().expect("an event stream").close();
    let cut = leaving.len() + leaving_events.len();
    let leaving_events: Vec<Events> = leaving_events.collect();
    for stream in &leaving_events {
        stream.goes_on().await;
    }
    for stream in &leaving_events {
        stream.ends().await;
    }
    for socket in leaving {
        socket.ends().await;
    }
    stage.serves(2).await;
    let receipt = stage.receipt(&host).await;
    println!("{cut} were cut, 2 ended: {receipt}");
    let counts = |drained: usize, forced: usize| json!({"inFlight": drained + forced, "drained": drained, "forced": forced, "failed": 0});
    assert_eq!(receipt["requests"], counts(2, cut), "{receipt}");

    // Reloads that take nothing of theirs away.
    for replicas in [4, 3] {
        stage.scale(replicas).await;
        stage.serves(replicas).await;
    }
    for socket in &mut sockets {
        socket.echoes().await;
    }
    for stream in &events {
        stream.goes_on().await;
    }

    // One that had none of them, and one whose streams all end by themselves: nothing is cut, however long others last.
    for replicas in [2, 1] {
        stage.scale(replicas).await;
        let host = stage.leaves().await;
        let (leaving, stay) = of_host(sockets, &host, |one| &one.host);
        let (leaving_events, stay_events) = of_host(events, &host, |one| &one.host);
        let ended = leaving.len() + leaving_events.len();
        leaving_events.into_iter().for_each(Events::close);
        for socket in leaving {
            socket.close().await;
        }
        stage.serves(replicas).await;
        let receipt = stage.receipt(&host).await;
        println!("{ended} ended: {receipt}");
        assert_eq!(receipt["requests"], counts(ended, 0), "{receipt}");
        assert_eq!(ended > 0, replicas == 1, "{receipt}");
        (sockets, events) = (stay, stay_events);
    }
    assert!(
        sockets.len() > 1 && events.len() > 1,
        "the last server had too few"
    );
    for socket in &mut sockets {
        socket.echoes().await;
    }
    for stream in &events {
        stream.goes_on().await;
    }
}
