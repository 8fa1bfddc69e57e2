//! What becomes of long streams, and of nginx, while servers join and leave: WebSockets to a server that stays, over changes
//! by reload and by DNS. nginx's workers of before stay until their last stream has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aegis_tests::{Container, eventually, manifests};
use bollard::query_parameters::{StatsOptionsBuilder, TopOptions};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::by_dns::ByDns;
use crate::report::line;
use crate::serving::{EVERY, address, backend, every, set_backends};
use crate::stack::Stack;

/// WebSockets that are open before the first change.
const OPEN: usize = 100;
/// How many changes, one a second.
const CHANGES: u32 = 60;

pub(crate) async fn long_streams(stack: &Stack, others: &[Container]) {
    let changes = std::env::var("AEGIS_BENCH_CHANGES").ok();
    let changes = changes.and_then(|text| text.parse().ok()).unwrap_or(CHANGES);
    let name = stack.world.name("streams");
    let echo = manifests::echoing(&name, stack.world.network(), 1, &Value::Null);
    stack.api.apply(&echo).await;
    stack.api.workload_ready(&name, 1).await;
    let front = stack.world.nginx("streams-lb").await;
    let mut balancer = manifests::balancing(&front.name, &name);
    balancer["spec"]["backends"] = json!([backend(&name)]);
    stack.api.apply(&balancer).await;
    stack.api.balancer_serves(&front.name, 1).await;
    let replica = stack.world.replica_names(&name).await.remove(0);
    let replica = stack.world.find(&replica).await;
    let replica = replica.unwrap_or_else(|| panic!("{name} has no replica"));
    let by_reload = address(front.container.ip().await);
    let by_dns = ByDns::new(stack, &front.name, &replica, others).await;
    for (what, more) in [
        (format!("{OPEN} WebSockets, {changes} changes"), false),
        ("the same, a WebSocket more a second".to_owned(), true),
    ] {
        eventually("every worker has the servers", async || {
            front.get("/health").await.map(drop)
        })
        .await;
        let streams = [Streams::on(by_reload).await, Streams::on(by_dns.address).await];
        let opening = async {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                if more {
                    for streams in &streams {
                        streams.open().await;
                    }
                }
            }
        };
        let changing = every(async |count| {
            by_dns.set(count);
            set_backends(stack, &front.name, &name, &others[..count]).await;
        });
        tokio::select! {
            () = tokio::time::sleep(EVERY * changes) => {}
            () = opening => {}
            () = changing => {}
        }
        let fronts = [("reload", &front.container), ("DNS", &by_dns.nginx.container)];
        for ((how, container), streams) in fronts.into_iter().zip(streams) {
            report(stack, &format!("{what}, by {how}"), container, &streams).await;
            streams.close().await;
        }
        set_backends(stack, &front.name, &name, &[]).await;
        stack.api.balancer_serves(&front.name, 1).await;
    }
}

async fn report(stack: &Stack, what: &str, container: &Container, streams: &Streams) {
    let (workers, old) = workers(stack, container).await;
    line(
        what,
        &format!("{workers} procs"),
        "-",
        &format!(
            "{old} of them shutting down, {} MB, {} of {} streams cut",
            resident_mb(stack, container).await,
            streams.cut(),
            streams.opened()
        ),
    );
}

/// nginx's worker processes, and how many of them are shutting down.
async fn workers(stack: &Stack, container: &Container) -> (usize, usize) {
    let top = stack
        .docker
        .top_processes(&container.id, None::<TopOptions>)
        .await;
    let rows = top.map(|top| top.processes.unwrap_or_default());
    let rows = rows.unwrap_or_else(|error| panic!("no processes of {}: {error}", container.name));
    let count = |what: &str| rows.iter().filter(|row| row.join(" ").contains(what)).count();
    (
        count("nginx: worker process"),
        count("worker process is shutting down"),
    )
}

/// Memory of its processes that is no file's.
async fn resident_mb(stack: &Stack, container: &Container) -> u64 {
    let options = StatsOptionsBuilder::default()
        .stream(false)
        .one_shot(true)
        .build();
    let mut all = stack.docker.stats(&container.id, Some(options));
    let stats = all.next().await.and_then(Result::ok);
    let stats = stats
        .and_then(|stats| serde_json::to_value(stats).ok())
        .unwrap_or_default();
    let of = |name: &str| {
        stats
            .pointer(&format!("/memory_stats/stats/{name}"))
            .and_then(Value::as_u64)
    };
    of("anon").or_else(|| of("rss")).unwrap_or_default() / (1024 * 1024)
}

/// WebSockets that are open and say nothing.
struct Streams {
    address: SocketAddr,
    held: Mutex<JoinSet<()>>,
    opened: AtomicU32,
    cut: Arc<AtomicU32>,
}

impl Streams {
    async fn on(address: SocketAddr) -> Self {
        let streams = Self {
            address,
            held: Mutex::default(),
            opened: AtomicU32::default(),
            cut: Arc::default(),
        };
        for _ in 0..OPEN {
            streams.open().await;
        }
        streams
    }

    async fn open(&self) {
        let url = format!("ws://{}/echo", self.address);
        // Servers that come and go have none, and answer 404.
        let mut socket = eventually("a WebSocket is open", async || {
            let opened = tokio_tungstenite::connect_async(&url).await;
            opened
                .map(|(socket, _)| socket)
                .map_err(|error| error.to_string())
        })
        .await;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let cut = self.cut.clone();
        self.held.lock().await.spawn(async move {
            while let Some(Ok(_)) = socket.next().await {}
            cut.fetch_add(1, Ordering::Relaxed);
        });
    }

    fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Those that the other side has ended.
    fn cut(&self) -> u32 {
        self.cut.load(Ordering::Relaxed)
    }

    async fn close(self) {
        self.held.into_inner().shutdown().await;
    }
}
