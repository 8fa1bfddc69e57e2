//! What our configuration costs the requests that nginx passes on: against the same nginx with a static configuration, at
//! rest and while a server joins or leaves every second, by reloads and by DNS. Clients wait for each answer before they ask
//! again, so that the answers of a time are what nginx can do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aegis_tests::{Container, Nginx, manifests};
use bollard::exec::{CreateExecOptions, StartExecOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::by_dns::ByDns;
use crate::long_streams::long_streams;
use crate::report::{percentile, rates, tails};
use crate::stack::Stack;

const CLIENTS: usize = 16;
/// How long each is measured in a round, and how long clients run before.
const WATCHED: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_millis(500);
/// Between two changes.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// Between two looks at which revision nginx serves.
const LOOK: Duration = Duration::from_millis(25);
const AGREED: u32 = 5;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
const ASK_REVISION: &[u8] = b"GET /aegis-revision HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

pub(crate) async fn serving(rounds: usize) {
    let stack = Stack::new("serving").await;
    let front = stack.world.find(&stack.nginx).await;
    let ours = address(
        front
            .unwrap_or_else(|| panic!("there is no {}", stack.nginx))
            .ip()
            .await,
    );
    set_backends(&stack, &stack.nginx, &stack.patient.name, &[]).await;
    let beside = beside(&stack).await;
    let fixed = address(beside.container.ip().await);
    let (mut floor, mut ours_at_rest) = (Series::default(), Series::default());
    for _ in 0..rounds {
        floor.push(answered(fixed).await);
        ours_at_rest.push(answered(ours).await);
    }
    ours_at_rest.report("nginx: our configuration / a static one", &floor, ">= 0.97x", "");
    let all = others(&stack).await;
    let by_dns = ByDns::new(&stack, &stack.nginx, &stack.patient, &all).await;
    let mut floor = Series::default();
    let (mut reloading, mut resolving, mut bare) = (Series::default(), Series::default(), Series::default());
    let (mut served, mut asked, mut heard) = (0, 0, 0);
    for _ in 0..rounds {
        floor.push(answered(fixed).await);
        let changes = every(async |others| {
            set_backends(&stack, &stack.nginx, &stack.patient.name, &all[..others]).await;
        });
        let revisions = Revisions::of(ours);
        tokio::select! {
            measured = answered(ours) => reloading.push(measured),
            () = changes => {}
        }
        served += revisions.stop();
        let before = by_dns.heard();
        tokio::select! {
            measured = answered(by_dns.address) => resolving.push(measured),
            () = every(async |others| by_dns.set(others)) => {}
        }
        let after = by_dns.heard();
        asked += after.0 - before.0;
        heard += after.1 - before.1;
        by_dns.set(0);
        let reloads = every(async |_| reload(&stack, &beside.container.name).await);
        tokio::select! {
            measured = answered(fixed) => bare.push(measured),
            () = reloads => {}
        }
    }
    let over = (WATCHED + SETTLED) * u32::try_from(rounds).unwrap_or(u32::MAX);
    let a_second = |count: u32| format!("{:.2} a second", f64::from(count) / over.as_secs_f64());
    let what = "nginx: one membership change a second";
    let proof = format!("revisions that nginx served: {}", a_second(served));
    reloading.report(&format!("{what}, by reload"), &floor, ">= 0.95x", &proof);
    let proof = format!(
        "nginx asked {}, and heard of changes {}",
        a_second(asked),
        a_second(heard)
    );
    resolving.report(&format!("{what}, by DNS"), &floor, "-", &proof);
    // What a reload a second costs nginx and the engine by themselves.
    bare.report("nginx: the static one, reloaded once a second", &floor, "-", "");
    long_streams(&stack, &all).await;
}

/// What was measured of one nginx, a value a round.
#[derive(Default)]
struct Series {
    rates: Vec<f64>,
    tails: Vec<Duration>,
}

impl Series {
    fn push(&mut self, (rate, tail): (f64, Duration)) {
        self.rates.push(rate);
        self.tails.push(tail);
    }

    fn report(&self, what: &str, floor: &Self, budget: &str, more: &str) {
        rates(what, floor.rates.clone(), self.rates.clone(), budget, more);
        tails(&format!("{what}: p99"), floor.tails.clone(), self.tails.clone());
    }
}

/// A change a second from now on: one server more, another one more, and both less, in turn.
pub(crate) async fn every(mut change: impl AsyncFnMut(usize)) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for others in [1, 2, 0].into_iter().cycle() {
        ticks.tick().await;
        change(others).await;
    }
}

/// As a person does it, but for the program that starts the command.
async fn reload(stack: &Stack, container: &str) {
    let command = CreateExecOptions {
        cmd: Some(vec!["nginx", "-s", "reload"]),
        ..CreateExecOptions::default()
    };
    let made = stack.docker.create_exec(container, command).await;
    let made = made.unwrap_or_else(|error| panic!("cannot make a command in {container}: {error}"));
    let started = stack
        .docker
        .start_exec(
            &made.id,
            Some(StartExecOptions {
                detach: true,
                ..StartExecOptions::default()
            }),
        )
        .await;
    if let Err(error) = started {
        panic!("cannot reload {container}: {error}");
    }
}

pub(crate) fn address(ip: Option<IpAddr>) -> SocketAddr {
    let ip = ip.unwrap_or_else(|| panic!("nginx has no address"));
    SocketAddr::new(ip, 80)
}

/// The same image with a configuration that a person would write for the same server.
async fn beside(stack: &Stack) -> Nginx {
    let Some(patient) = stack.patient.ip().await else {
        panic!("the patient has no address");
    };
    let text = format!(
        "upstream fixed {{\n    server {patient}:8000;\n    keepalive 64;\n}}\nserver {{\n    listen 80;\n    location / {{\n        \
         proxy_pass http://fixed;\n        proxy_http_version 1.1;\n        proxy_set_header Connection '';\n        \
         proxy_set_header Host $host;\n    }}\n}}\n"
    );
    with_config(stack, "fixed", &text).await
}

/// The same image with this configuration.
pub(crate) async fn with_config(stack: &Stack, name: &str, text: &str) -> Nginx {
    let file = stack.world.file(&format!("{name}/upstream.conf"), text);
    let body = json!({
        "Image": "aegisops/nginx:dev", "Labels": {},
        "HostConfig": {
            "NetworkMode": stack.world.network(), "ReadonlyRootfs": true, "Tmpfs": {"/tmp": ""},
            "Binds": [format!("{}:/etc/nginx/conf.d/upstream.conf:ro", file.display())],
        },
    });
    stack.world.nginx_of(name, body).await
}

/// Other workloads of the same kind, which are to be servers, too, and then again not. Two: with one, a change would be undone by
/// the next, and who looks every other second would see none.
async fn others(stack: &Stack) -> Vec<Container> {
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let other = stack.bare(name).await;
        stack.api.apply(&manifests::adopting(&other.name, 1)).await;
        stack.api.workload_ready(&other.name, 1).await;
        others.push(other);
    }
    others
}

/// The first server, and so many others.
pub(crate) async fn set_backends(stack: &Stack, balancer: &str, first: &str, others: &[Container]) {
    let names = others.iter().map(|other| other.name.as_str());
    let backends: Vec<Value> = [first].into_iter().chain(names).map(backend).collect();
    let patch = json!({"spec": {"backends": backends}});
    stack.api.merge_ok("loadbalancers", balancer, &patch).await;
}

/// What is silent for a minute and more is not to be cut for that.
pub(crate) fn backend(workload: &str) -> Value {
    json!({"workload": workload, "port": 8000, "upstream": "buggy_app", "readTimeout": "1h"})
}

/// Looks which revision nginx serves, and counts how often that is a new one.
struct Revisions {
    seen: Arc<AtomicU32>,
    looks: JoinSet<()>,
}

impl Revisions {
    fn of(address: SocketAddr) -> Self {
        let seen = Arc::<AtomicU32>::default();
        let mut looks = JoinSet::new();
        looks.spawn(look_on_and_on(address, seen.clone()));
        Self { seen, looks }
    }

    fn stop(mut self) -> u32 {
        self.looks.abort_all();
        self.seen.load(Ordering::Relaxed)
    }
}

async fn look_on_and_on(address: SocketAddr, seen: Arc<AtomicU32>) {
    let (mut served, mut last, mut agreed) = (None, None, 0);
    loop {
        let now = revision(address).await.ok();
        agreed = match now.is_some() && now == last {
            true => agreed + 1,
            false => 1,
        };
        // While workers change, one of before may answer once more: what some looks agree on is served.
        if agreed == AGREED && now != served {
            seen.fetch_add(u32::from(served.is_some()), Ordering::Relaxed);
            served.clone_from(&now);
        }
        last = now;
        tokio::time::sleep(LOOK).await;
    }
}

async fn revision(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(ASK_REVISION).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// Clients at work: when they count, and when they end.
#[derive(Default)]
struct Shift {
    counts: AtomicBool,
    is_over: AtomicBool,
}

/// Answers a second, and the time that one of a hundred took longer than.
async fn answered(address: SocketAddr) -> (f64, Duration) {
    let shift = Arc::<Shift>::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let shift = shift.clone();
        clients.spawn(async move {
            let mut took = Vec::new();
            while !shift.is_over.load(Ordering::Relaxed) {
                // nginx closes one at a reload, or after a thousand: then another is opened.
                if ask_on_and_on(address, &shift, &mut took).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
            took
        });
    }
    tokio::time::sleep(SETTLED).await;
    let begin = Instant::now();
    shift.counts.store(true, Ordering::Relaxed);
    tokio::time::sleep(WATCHED).await;
    shift.is_over.store(true, Ordering::Relaxed);
    let watched = begin.elapsed();
    let mut all: Vec<Duration> = clients.join_all().await.into_iter().flatten().collect();
    all.sort();
    let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
    (f64::from(count) / watched.as_secs_f64(), percentile(&all, 0.99))
}

async fn ask_on_and_on(address: SocketAddr, shift: &Shift, took: &mut Vec<Duration>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut buffer = Vec::with_capacity(4096);
    while !shift.is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        stream.write_all(REQUEST).await?;
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if buffer.starts_with(b"HTTP/1.1 200") && shift.counts.load(Ordering::Relaxed) {
            took.push(asked.elapsed());
        }
    }
    Ok(())
}

/// Whether an answer with a length is all there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    answer.len() >= end + 4 + length
}
