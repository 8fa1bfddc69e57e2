//! Open-loop load: requests arrive when they do, whether or not earlier ones were answered, as those of many clients. How long
//! one took is counted from when it was to arrive, so that a generator that falls behind makes nothing look quicker. No request
//! is repeated, and each has a connection of its own.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

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
    /// When it began.
    pub began: Instant,
}

impl Arrivals {
    /// `rate` answers requests a second at a moment since the beginning.
    pub fn on(address: IpAddr, path: &str, rate: impl Fn(Duration) -> f64 + Send + 'static) -> Self {
        // The second time it is there already, which is what was wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .timeout(ANSWER_WITHIN)
            .no_proxy();
        let client = client.build().expect("an HTTP client");
        let (url, began) = (format!("http://{address}{path}"), Instant::now());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ends) = (Arc::clone(&seen), Arc::clone(&stop));
        let generator = tokio::spawn(async move {
            let mut under_way = JoinSet::new();
            let mut next = began;
            while !ends.load(Ordering::Relaxed) {
                sleep_until(next).await;
                let at = next.duration_since(began);
                under_way.spawn(one(client.clone(), url.clone(), next, at, Arc::clone(&shared)));
                while under_way.try_join_next().is_some() {}
                next += Duration::from_secs_f64(1.0 / rate(at).max(0.1));
            }
            while under_way.join_next().await.is_some() {}
        });
        Self {
            seen,
            generator,
            stop,
            began,
        }
    }

    /// What has been answered so far.
    pub fn seen(&self) -> Vec<Arrived> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
    client: reqwest::Client,
    url: String,
    due: Instant,
    at: Duration,
    seen: Arc<Mutex<Vec<Arrived>>>,
) {
    let failed = match client.get(&url).send().await {
        Err(error) => Some(format!("{error:?}")),
        Ok(answer) if !answer.status().is_success() => Some(answer.status().to_string()),
        Ok(answer) => answer
            .json::<Value>()
            .await
            .err()
            .map(|error| format!("{error:?}")),
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
