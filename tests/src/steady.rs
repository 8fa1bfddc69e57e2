//! Requests at a steady rate, whatever becomes of them: the traffic in which some faults show. Bounded in time and in
//! requests under way, and over when it is dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// However long a test goes on, load ends after this.
const LONGEST: Duration = Duration::from_secs(600);
/// Requests under way at most; one more is left out.
const UNDER_WAY: usize = 200;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The requests. Dropping it ends them.
#[derive(Debug)]
pub struct Steady(JoinHandle<()>);

impl Steady {
    /// GET of these addresses in turn, so many a second.
    pub fn on(urls: Vec<String>, per_second: u32) -> Self {
        // The second time it is there already, which is what was wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy();
        let client = client.build().expect("an HTTP client");
        Self(tokio::spawn(run(client, urls, per_second)))
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(client: reqwest::Client, urls: Vec<String>, per_second: u32) {
    let until = Instant::now() + LONGEST;
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut under_way = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for url in urls.iter().cycle() {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        if Instant::now() > until {
            return;
        }
        let Ok(turn) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let request = client.get(url);
        under_way.spawn(async move {
            // What is answered is what the load balancer logs: nothing here depends on it.
            if let Ok(answer) = request.send().await {
                drop(answer.bytes().await);
            }
            drop(turn);
        });
    }
}
