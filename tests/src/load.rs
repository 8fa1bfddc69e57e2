//! Bounded load on a load balancer, as clients see it: what was answered, by whom, and what failed.
//!
//! A connection that is used again may be closed by the other side just then, without a byte of an answer; browsers ask
//! again over a new one, and so do these clients. They count how often.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Clients; each waits for its answer before it asks again.
const CLIENTS: u32 = 40;
/// How long the slow endpoint takes.
const SLOW_MS: u64 = 2000;
/// Of so many clients one asks the slow endpoint.
const SLOW_EVERY: u32 = 8;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// However long a test goes on, load ends after this.
const LONGEST: Duration = Duration::from_secs(180);

/// One answered request.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Host name of who answered: the first 12 characters of the container's id.
    pub by: String,
    /// When it was asked.
    pub asked: Timestamp,
    /// When the whole answer was there.
    pub ended: Timestamp,
}

/// What clients saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Every answered request.
    pub answered: Vec<Answered>,
    /// What failed: when, and how.
    pub failed: Vec<(Timestamp, String)>,
    /// Requests that were repeated since the used connection was closed.
    pub repeated: u32,
    /// How long the load went on.
    pub took: Duration,
}

impl Tally {
    /// Answered requests per second.
    pub fn rate(&self) -> f64 {
        let answered: u32 = self.answered.len().try_into().expect("fewer than four billion");
        f64::from(answered) / self.took.as_secs_f64().max(0.001)
    }

    /// Requests that somebody answered after an instant, of those he got before another.
    pub fn answered_late(&self, by: &str, after: Timestamp, before: Timestamp) -> usize {
        let his = self.answered.iter().filter(|one| one.by == by);
        his.filter(|one| one.ended > after && one.asked < before).count()
    }

    /// Who answered how many.
    pub fn answerers(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for one in &self.answered {
            *all.entry(one.by.as_str()).or_default() += 1;
        }
        all
    }
}

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
    started: Instant,
}

impl Load {
    /// Requests per second that are desired (`AEGIS_LOAD_RPS`); a slow machine answers fewer.
    pub fn rate() -> u32 {
        let set = std::env::var("AEGIS_LOAD_RPS")
            .ok()
            .and_then(|text| text.parse().ok());
        set.unwrap_or(1000)
    }

    /// Starts clients against an address: over kept connections and new ones, GET and POST, quick and slow.
    pub fn on(address: IpAddr) -> Self {
        // The second time it is there already, which is what was wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (tally, stop) = (
            Arc::new(Mutex::new(Tally::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::new(address, number, tally.clone());
            clients.spawn(client.run(stop.clone()));
        }
        Self {
            tally,
            stop,
            clients,
            started: Instant::now(),
        }
    }

    /// Lets every request under way end, and answers what was seen.
    pub async fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client ends");
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tally.took = self.started.elapsed();
        tally
    }
}

struct Client {
    kept: reqwest::Client,
    fresh: reqwest::Client,
    keeps: bool,
    method: Method,
    url: String,
    pause: Duration,
    tally: Arc<Mutex<Tally>>,
}

fn http(idle: usize) -> reqwest::Client {
    let client = reqwest::Client::builder()
        .pool_max_idle_per_host(idle)
        .timeout(ANSWER_WITHIN);
    client.no_proxy().build().expect("an HTTP client")
}

impl Client {
    fn new(address: IpAddr, number: u32, tally: Arc<Mutex<Tally>>) -> Self {
        let slow = number.is_multiple_of(SLOW_EVERY);
        let method = if number % 4 == 3 {
            Method::POST
        } else {
            Method::GET
        };
        let path = if slow {
            format!("/?takes_ms={SLOW_MS}")
        } else {
            "/".to_owned()
        };
        Self {
            kept: http(1),
            fresh: http(0),
            // Every fourth one opens a connection for each request.
            keeps: number % 4 != 1,
            method,
            url: format!("http://{address}{path}"),
            pause: Duration::from_secs(1) * CLIENTS / Load::rate().max(1),
            tally,
        }
    }

    async fn run(self, stop: Arc<AtomicBool>) {
        let until = Instant::now() + LONGEST;
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) && Instant::now() < until {
            ticks.tick().await;
            self.ask().await;
        }
    }

    async fn ask(&self) {
        let asked = Timestamp::now();
        let mut answer = self.once(if self.keeps { &self.kept } else { &self.fresh }).await;
        let mut repeated = 0;
        if let (true, Err(error)) = (self.keeps, &answer)
            && error.closed
        {
            repeated = 1;
            answer = self.once(&self.fresh).await;
        }
        let ended = Timestamp::now();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.repeated += repeated;
        match answer {
            Ok(by) => tally.answered.push(Answered { by, asked, ended }),
            Err(error) => tally
                .failed
                .push((asked, format!("{} {}: {}", self.method, self.url, error.what))),
        }
    }

    async fn once(&self, http: &reqwest::Client) -> Result<String, Failure> {
        let sent = http
            .request(self.method.clone(), &self.url)
            .body("x")
            .send()
            .await;
        let answer = sent.map_err(|error| Failure {
            closed: was_closed(&error),
            what: format!("{error:?}"),
        })?;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        match (status.as_u16(), body["hostname"].as_str()) {
            (200, Some(host)) => Ok(host.to_owned()),
            _ => Err(Failure {
                closed: false,
                what: format!("{status} {body}"),
            }),
        }
    }
}

struct Failure {
    /// The connection was closed before any byte of an answer.
    closed: bool,
    what: String,
}

/// Whether the other side closed the connection without any answer. hyper says so of a request that had a used connection.
fn was_closed(error: &reqwest::Error) -> bool {
    let words = format!("{error:?}");
    !error.is_timeout()
        && !error.is_connect()
        && (words.contains("IncompleteMessage") || words.contains("ConnectionReset"))
}
