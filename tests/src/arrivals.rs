//! Open-loop load: requests arrive when they do, whether or not earlier ones were answered, as those of many clients. How long
//! one took is counted from when it was to arrive, so that a generator that falls behind makes nothing look quicker. No request
//! is repeated, and connections are kept: one that is closed without having been announced is a failure ([`crate::strict`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::strict::Connections;

/// One request.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// When it was to arrive, since the load began.
    pub at: Duration,
    /// From then to its answer.
    pub took: Duration,
    /// What went wrong.
    pub failed: Option<String>,
}

/// Load whose rate is a function of time, until it is stopped.
#[derive(Debug)]
pub struct Arrivals {
    seen: Arc<Mutex<Vec<Arrived>>>,
    generator: tokio::task::JoinHandle<()>,
    stop: Arc<AtomicBool>,
    connections: Arc<Connections>,
    /// When it began.
    pub began: Instant,
}

impl Arrivals {
    /// `rate` answers requests a second at a moment since the beginning.
    pub fn on(address: IpAddr, path: &str, rate: impl Fn(Duration) -> f64 + Send + 'static) -> Self {
        let connections = Arc::new(Connections::to(SocketAddr::new(address, 80)));
        let (path, began) = (Arc::<str>::from(path), Instant::now());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ends, kept) = (Arc::clone(&seen), Arc::clone(&stop), Arc::clone(&connections));
        let generator = tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            let mut next = began;
            while !ends.load(Ordering::Relaxed) {
                sleep_until(next).await;
                let at = next.duration_since(began);
                under_way.spawn(one(
                    Arc::clone(&kept),
                    Arc::clone(&path),
                    next,
                    at,
                    Arc::clone(&shared),
                ));
                while under_way.try_join_next().is_some() {}
                next += Duration::from_secs_f64(1.0 / rate(at).max(0.1));
            }
            while under_way.join_next().await.is_some() {}
        });
        Self {
            seen,
            generator,
            stop,
            connections,
            began,
        }
    }

    /// What has been answered so far.
    pub fn seen(&self) -> Vec<Arrived> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> u32 {
        self.connections.opened()
    }

    /// Lets every request under way end, and answers what was seen.
    pub async fn stop(self) -> Vec<Arrived> {
        self.stop.store(true, Ordering::Relaxed);
        self.generator.await.expect("the generator ends");
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

async fn one(
    connections: Arc<Connections>,
    path: Arc<str>,
    due: Instant,
    at: Duration,
    seen: Arc<Mutex<Vec<Arrived>>>,
) {
    let failed = match connections.get(&path).await {
        Err(what) => Some(what),
        Ok(answer) if answer.status != 200 => Some(answer.status.to_string()),
        Ok(answer) => serde_json::from_str::<Value>(&answer.body)
            .err()
            .map(|error| format!("{error}: {:.200}", answer.body)),
    };
    let arrived = Arrived {
        at,
        took: due.elapsed(),
        failed,
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
}

/// Within how long 95 of 100 of these were answered; zero of none.
pub fn p95<'a>(arrived: impl IntoIterator<Item = &'a Arrived>) -> Duration {
    let mut took: Vec<Duration> = arrived.into_iter().map(|one| one.took).collect();
    took.sort();
    let index = (took.len() * 95).div_ceil(100).saturating_sub(1);
    took.get(index).copied().unwrap_or_default()
}
