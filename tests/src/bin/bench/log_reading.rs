//! What it costs to count requests from nginx's log: the controller, and the engine whose log it is, at a steady flow of
//! requests, with detectors that need requests and without.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aegis_tests::{Api, Controller};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::crowd::{cpu_seconds, cpu_seconds_of, status_kb};
use crate::report::line;
use crate::stack::Stack;

/// Requests a second.
const RATE: u32 = 5000;
/// Connections they come over; each sends its share every tick without waiting for answers.
const CONNECTIONS: u32 = 20;
const TICK: Duration = Duration::from_millis(20);
/// nginx closes a connection after a thousand.
const OF_A_CONNECTION: u64 = 900;
/// How long each is measured, and how long the flow runs before.
const WATCHED: Duration = Duration::from_secs(20);
const SETTLED: Duration = Duration::from_secs(5);
const THOSE: [&str; 2] = ["http-errors", "http-slow"];

pub(crate) async fn log_reading() {
    let stack = Stack::with_detectors("logs").await;
    let front = stack.world.find(&stack.nginx).await;
    let front = front.unwrap_or_else(|| panic!("there is no {}", stack.nginx));
    let Some(ip) = front.ip().await else {
        panic!("nginx has no address");
    };
    let mut given = Vec::new();
    for name in THOSE {
        given.push(stack.api.object("detectors", name).await.unwrap_or_default());
        stack.api.delete("detectors", name).await;
    }
    let flow = Flow::on(ip);
    let floor = measure(&stack.controller, &flow, "not read").await;
    for detector in given {
        again(&stack.api, &detector).await;
    }
    let ours = measure(&stack.controller, &flow, "counted").await;
    line(
        "requests: counted / not read, controller and engine",
        &format!("{:.2}x", ours / floor.max(f64::EPSILON)),
        "-",
        &format!(
            "{:.1} ms of CPU more for a thousand requests",
            (ours - floor) * 1000.0
        ),
    );
}

async fn again(api: &Api, detector: &Value) {
    let object = json!({
        "apiVersion": detector["apiVersion"], "kind": "Detector",
        "metadata": {"name": detector["metadata"]["name"]}, "spec": detector["spec"],
    });
    api.apply(&object).await;
}

/// CPU seconds of both for a thousand requests.
async fn measure(controller: &Controller, flow: &Flow, how: &str) -> f64 {
    tokio::time::sleep(SETTLED).await;
    let engine = engine();
    let used = || (cpu_seconds(controller), engine.map_or(0.0, cpu_seconds_of));
    let (begin, answered, before) = (Instant::now(), flow.answered(), used());
    tokio::time::sleep(WATCHED).await;
    let (seconds, after) = (begin.elapsed().as_secs_f64(), used());
    let count = u32::try_from(flow.answered() - answered).unwrap_or(u32::MAX);
    line(
        &format!("requests {how} from nginx's log: of a core"),
        &format!("{:.1} %", (after.0 - before.0) / seconds * 100.0),
        "-",
        &format!(
            "{:.0} requests/s answered; the engine {:.1} %; {} MB resident",
            f64::from(count) / seconds,
            (after.1 - before.1) / seconds * 100.0,
            status_kb(controller, "VmRSS") / 1000,
        ),
    );
    let both = after.0 - before.0 + after.1 - before.1;
    both / f64::from(count.max(1)) * 1000.0
}

/// The process of the engine, where it is one of this machine's.
fn engine() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
        name.is_ok_and(|name| name.trim() == "dockerd")
    })
}

/// A steady flow of requests over pipelined connections: it costs the machine as little as can be. Dropping it ends it.
struct Flow {
    answered: Arc<AtomicU64>,
    _clients: JoinSet<()>,
}

impl Flow {
    fn on(ip: IpAddr) -> Self {
        let answered = Arc::<AtomicU64>::default();
        let mut clients = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let answered = Arc::clone(&answered);
            clients.spawn(async move {
                loop {
                    // nginx may close one at any time: then another is opened.
                    if connection((ip, 80).into(), &answered).await.is_err() {
                        tokio::time::sleep(TICK).await;
                    }
                }
            });
        }
        Self {
            answered,
            _clients: clients,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// As many requests as one connection may have, at their time.
async fn connection(address: SocketAddr, answered: &AtomicU64) -> std::io::Result<()> {
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    let ticks_a_second = u32::try_from(Duration::from_secs(1).as_millis() / TICK.as_millis()).unwrap_or(1);
    let batch = RATE / CONNECTIONS / ticks_a_second;
    let request = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n".repeat(usize::try_from(batch).unwrap_or(1));
    let send = async {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..OF_A_CONNECTION / u64::from(batch) {
            ticks.tick().await;
            write.write_all(&request).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    let receive = async {
        let (mut buffer, mut kept, mut count) = (vec![0; 65_536], Vec::new(), 0);
        while count < OF_A_CONNECTION / u64::from(batch) * u64::from(batch) {
            let length = read.read(&mut buffer).await?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            kept.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let found = kept
                .windows(START.len())
                .filter(|window| *window == START)
                .count();
            let found = u64::try_from(found).unwrap_or_default();
            answered.fetch_add(found, Ordering::Relaxed);
            count += found;
            // Half of a start may be at the end.
            let rest = kept.len().saturating_sub(START.len() - 1);
            kept.drain(..rest);
        }
        Ok(())
    };
    tokio::try_join!(send, receive).map(|_| ())
}

/// How an answer begins.
const START: &[u8] = b"HTTP/1.1 200";
