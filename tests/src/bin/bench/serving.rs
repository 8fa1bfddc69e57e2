//! What our configuration costs the requests that nginx passes on: against the same nginx with a static configuration, at
//! rest and while a server joins or leaves every second. Clients wait for each answer before they ask again, so that the
//! answers of a time are what nginx can do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aegis_tests::{Nginx, manifests};
use bollard::exec::{CreateExecOptions, StartExecOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::report::rates;
use crate::stack::Stack;

const CLIENTS: usize = 16;
/// How long each is measured in a round, and how long clients run before.
const WATCHED: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_secs(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

pub(crate) async fn serving(rounds: usize) {
    let stack = Stack::new("serving").await;
    let front = stack.world.find(&stack.nginx).await;
    let ours = address(
        front
            .unwrap_or_else(|| panic!("there is no {}", stack.nginx))
            .ip()
            .await,
    );
    let beside = beside(&stack).await;
    let fixed = address(beside.container.ip().await);
    let (mut floor, mut ours_at_rest) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(answered(fixed).await);
        ours_at_rest.push(answered(ours).await);
    }
    rates(
        "nginx: our configuration / a static one",
        floor,
        ours_at_rest,
        ">= 0.97x",
    );
    let other = second(&stack).await;
    let (mut floor, mut ours_changing) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(answered(fixed).await);
        let changes = async {
            let mut has_two = false;
            loop {
                has_two = !has_two;
                set_backends(&stack, has_two.then_some(&other)).await;
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            rate = answered(ours) => ours_changing.push(rate),
            () = changes => {}
        }
    }
    rates(
        "nginx: the same, one membership change a second",
        floor.clone(),
        ours_changing,
        ">= 0.95x",
    );
    let mut reloaded = Vec::new();
    for _ in 0..rounds {
        let reloads = async {
            loop {
                reload(&stack, &beside.container.name).await;
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            rate = answered(fixed) => reloaded.push(rate),
            () = reloads => {}
        }
    }
    // What a reload a second costs nginx and the engine by themselves.
    rates(
        "nginx: the static one, reloaded once a second",
        floor,
        reloaded,
        "-",
    );
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

fn address(ip: Option<IpAddr>) -> SocketAddr {
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
    let file = stack.world.file("static/upstream.conf", &text);
    let body = json!({
        "Image": "aegisops/nginx:dev", "Labels": {},
        "HostConfig": {
            "NetworkMode": stack.world.network(), "ReadonlyRootfs": true, "Tmpfs": {"/tmp": ""},
            "Binds": [format!("{}:/etc/nginx/conf.d/upstream.conf:ro", file.display())],
        },
    });
    stack.world.nginx_of("fixed", body).await
}

/// Another workload of the same kind, which is to be a server, too, and then again not.
async fn second(stack: &Stack) -> String {
    let name = stack.bare("second").await.name;
    stack.api.apply(&manifests::adopting(&name, 1)).await;
    stack.api.workload_ready(&name, 1).await;
    name
}

/// A server more in the upstream, or one less.
async fn set_backends(stack: &Stack, second: Option<&String>) {
    let backend = |workload: &str| json!({"workload": workload, "port": 8000, "upstream": "buggy_app"});
    let mut backends = vec![backend(&stack.patient.name)];
    backends.extend(second.map(|second| backend(second)));
    let patch = json!({"spec": {"backends": backends}});
    stack.api.merge_ok("loadbalancers", &stack.nginx, &patch).await;
}

/// Answers a second.
async fn answered(address: SocketAddr) -> f64 {
    let count = Arc::<AtomicU64>::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let count = Arc::clone(&count);
        clients.spawn(async move {
            loop {
                // nginx closes one at a reload, or after a thousand: then another is opened.
                if ask_on_and_on(address, &count).await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    tokio::time::sleep(SETTLED).await;
    let (begin, before) = (Instant::now(), count.load(Ordering::Relaxed));
    tokio::time::sleep(WATCHED).await;
    let answers = count.load(Ordering::Relaxed).saturating_sub(before);
    f64::from(u32::try_from(answers).unwrap_or(u32::MAX)) / begin.elapsed().as_secs_f64()
}

async fn ask_on_and_on(address: SocketAddr, count: &AtomicU64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let mut buffer = Vec::with_capacity(4096);
    loop {
        stream.write_all(REQUEST).await?;
        buffer.clear();
        while !is_whole(&buffer) {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if buffer.starts_with(b"HTTP/1.1 200") {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
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
