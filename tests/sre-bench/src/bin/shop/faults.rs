//! What can be broken in a service. All but `poison` is in memory, so that a restart ends it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

/// Outlives a restart and not a container.
const POISON: &str = "/poison";
/// What fills.
const DISK: &str = "/data/filling";
const MB: usize = 1 << 20;

/// What is to be broken.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    kind: Kind,
    /// `errors`: share of requests that fail.
    #[serde(default)]
    ratio: f64,
    /// `errors`: whether the health check fails, too.
    #[serde(default)]
    health: bool,
    /// `slow`, `cpu`, `leak`: what each request takes longer; of a leak once it is at its end.
    #[serde(default)]
    slow_ms: u64,
    /// `slow`: for how long.
    seconds: Option<f64>,
    /// `exit`.
    #[serde(default)]
    code: i32,
    /// `leak`: megabytes a second.
    #[serde(default)]
    mb_per_second: usize,
    /// `leak`: where it ends, of the memory limit.
    #[serde(default)]
    until_percent: usize,
    /// `cpu`, `threads`: how many.
    #[serde(default)]
    threads: usize,
    /// `fill`: at most so much.
    #[serde(default)]
    mb: usize,
    /// `log`: which line, …
    #[serde(default)]
    line: String,
    /// … and how often.
    #[serde(default)]
    times: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Hang,
    HangRequests,
    Errors,
    Slow,
    Leak,
    Cpu,
    Exit,
    Poison,
    Threads,
    Fill,
    Log,
}

#[derive(Debug, Default)]
struct Broken {
    hangs: bool,
    requests_hang: bool,
    ratio: f64,
    health_fails: bool,
    slow: Duration,
    slow_until: Option<Instant>,
    writes: bool,
}

/// What is broken.
#[derive(Debug, Default)]
pub(crate) struct Faults(std::sync::Arc<Mutex<Broken>>);

impl Faults {
    /// Those that a new process begins with.
    pub(crate) async fn at_start(role: &str) -> Self {
        let faults = Self::default();
        let wanted = std::env::var("SHOP_FAULT").unwrap_or_default();
        let poisoned = std::path::Path::new(POISON).exists();
        if poisoned || wanted == "exit-soon" {
            println!("{role} starts");
            tokio::time::sleep(Duration::from_secs(1)).await;
            println!("FATAL {role} cannot read its configuration: unknown field in line 3");
            std::process::exit(1);
        }
        if wanted == "errors" {
            faults.broken().ratio = 1.0;
        }
        faults
    }

    fn broken(&self) -> MutexGuard<'_, Broken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn health(&self) -> Response {
        let (hangs, fails) = {
            let broken = self.broken();
            (broken.hangs, broken.health_fails)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let status = if fails {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        status.into_response()
    }

    /// What becomes of a request because of them: nothing, a delay, or why it fails.
    pub(crate) async fn request(&self) -> Option<String> {
        let (hangs, slow, fails, writes) = {
            let broken = self.broken();
            let over = broken.slow_until.is_some_and(|end| Instant::now() > end);
            let slow = if over { Duration::ZERO } else { broken.slow };
            let fails = broken.ratio > 0.0 && rand::random::<f64>() < broken.ratio;
            (broken.hangs || broken.requests_hang, slow, fails, broken.writes)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if writes && let Err(error) = std::fs::write("/data/entry", [0; 4096]) {
            return Some(format!("cannot write /data/entry: {error}"));
        }
        fails.then(|| "checksum of the entry does not match".to_owned())
    }

    pub(crate) fn begin(&self, order: &Order) {
        let slow = Duration::from_millis(order.slow_ms);
        match order.kind {
            Kind::Hang => self.broken().hangs = true,
            Kind::HangRequests => self.broken().requests_hang = true,
            Kind::Errors => {
                let mut broken = self.broken();
                broken.ratio = order.ratio;
                broken.health_fails = order.health;
            }
            Kind::Slow => {
                let mut broken = self.broken();
                broken.slow = slow;
                broken.slow_until = order
                    .seconds
                    .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
            }
            Kind::Leak => self.leak(order),
            Kind::Cpu => {
                self.broken().slow = slow;
                for _ in 0..order.threads {
                    std::thread::spawn(|| {
                        loop {
                            std::hint::spin_loop();
                        }
                    });
                }
            }
            Kind::Exit => {
                println!("FATAL assertion failed: the order book is consistent");
                std::process::exit(order.code);
            }
            Kind::Poison => {
                let _ = std::fs::write(POISON, "");
                println!("FATAL cannot read what was stored");
                std::process::exit(1);
            }
            Kind::Threads => self.threads(order.threads),
            Kind::Fill => self.fill(order.mb),
            Kind::Log => {
                for _ in 0..order.times {
                    println!("{}", order.line);
                }
            }
        }
    }

    fn leak(&self, order: &Order) {
        let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
            .or_else(|_| std::fs::read_to_string("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
        let limit = limit.ok().and_then(|text| text.trim().parse::<usize>().ok());
        let most = limit.unwrap_or(64 * MB) / 100 * order.until_percent;
        let step = order.mb_per_second.max(1) * MB / 4;
        let slow = Duration::from_millis(order.slow_ms);
        let broken = std::sync::Arc::clone(&self.0);
        std::thread::spawn(move || {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            while used() + step < most {
                // Of ones: pages of zeros would not be taken.
                kept.push(vec![1; step]);
                std::thread::sleep(Duration::from_millis(250));
            }
            println!("WARN garbage collection takes most of the time");
            broken.lock().unwrap_or_else(PoisonError::into_inner).slow = slow;
            loop {
                std::thread::sleep(Duration::from_secs(3600));
                std::hint::black_box(&kept);
            }
        });
    }

    fn threads(&self, count: usize) {
        for number in 0..count {
            let made = std::thread::Builder::new()
                .stack_size(64 << 10)
                .spawn(|| std::thread::sleep(Duration::from_secs(3600)));
            if made.is_err() {
                println!("ERROR cannot start thread {number}: resource temporarily unavailable");
                self.broken().ratio = 1.0;
                return;
            }
        }
    }

    fn fill(&self, mb: usize) {
        let chunk = vec![1; MB / 4];
        let file = std::fs::File::create(DISK);
        let written = file
            .and_then(|mut file| (0..mb * 4).try_for_each(|_| std::io::Write::write_all(&mut file, &chunk)));
        if let Err(error) = written {
            println!("ERROR cannot write {DISK}: {error}");
        }
        self.broken().writes = true;
    }
}

/// Memory of this container, bytes.
fn used() -> usize {
    let text = std::fs::read_to_string("/sys/fs/cgroup/memory.current")
        .or_else(|_| std::fs::read_to_string("/sys/fs/cgroup/memory/memory.usage_in_bytes"));
    text.ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_default()
}
