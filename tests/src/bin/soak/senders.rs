//! Who sends alerts, and who reads: eight senders with a token each, and 256 sockets of which half read one message a second
//! and half none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::StreamExt as _;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::Api;

const SENDERS: u32 = 8;
const SOCKETS: usize = 256;
/// Containers that alerts name; every other one is a workload's.
pub(crate) const NAMES: u32 = 1000;
/// Bytes of an alert's logs.
const SIZES: (usize, usize) = (200, 64_000);

pub(crate) fn name(number: u32) -> String {
    format!("soak-{number}")
}

/// Whether a workload is about this one.
pub(crate) fn is_known(number: u32) -> bool {
    number.is_multiple_of(2)
}

/// How many alerts, and over what time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storm {
    pub(crate) alerts: u32,
    pub(crate) over: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    /// About a workload that there is: such incidents stay open.
    acknowledged: AtomicU64,
    /// About none: they end as FAILED, and retention removes them.
    unknown: AtomicU64,
    limited: AtomicU64,
    full: AtomicU64,
    other: AtomicU64,
    sockets: AtomicU64,
}

pub(crate) struct Senders {
    counts: Arc<Counts>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Senders {
    pub(crate) async fn start(api: &Api, storm: &Storm) -> Result<Self> {
        let (counts, stop, mut tasks) = (Arc::<Counts>::default(), CancellationToken::new(), JoinSet::new());
        for number in 0..SENDERS {
            let token = api.sender_token(&format!("sender-{number}")).await?;
            let sender = Sender {
                number,
                token,
                api: api.clone(),
                storm: *storm,
                counts: Arc::clone(&counts),
            };
            let stop = stop.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled(sender.send()).await;
            });
        }
        for number in 0..SOCKETS {
            let (api, counts, stop) = (api.clone(), Arc::clone(&counts), stop.clone());
            tasks.spawn(async move {
                stop.run_until_cancelled(read(&api, &counts, number % 2 == 0))
                    .await;
            });
        }
        Ok(Self { counts, stop, tasks })
    }

    pub(crate) fn summary(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        format!(
            "200: {} + {} unknown  429: {}  507: {}  other: {}  sockets: {}",
            of(&counts.acknowledged),
            of(&counts.unknown),
            of(&counts.limited),
            of(&counts.full),
            of(&counts.other),
            of(&counts.sockets)
        )
    }

    /// Alerts that were taken until now.
    pub(crate) fn taken(&self) -> u64 {
        let counts = &self.counts;
        counts.acknowledged.load(Ordering::Relaxed) + counts.unknown.load(Ordering::Relaxed)
    }

    /// Ends all; answers how many alerts about workloads were acknowledged.
    pub(crate) async fn end(mut self) -> u64 {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.counts.acknowledged.load(Ordering::Relaxed)
    }
}

struct Sender {
    number: u32,
    token: String,
    api: Api,
    storm: Storm,
    counts: Arc<Counts>,
}

impl Sender {
    /// Its share, each at its time; then repeats of its last alert.
    async fn send(self) {
        let begin = Instant::now();
        let mine = self.storm.alerts / SENDERS;
        for number in 0.. {
            let due = self.storm.over * number / mine.max(1);
            tokio::time::sleep_until((begin + due).into()).await;
            self.post(number.min(mine)).await;
        }
    }

    async fn post(&self, number: u32) {
        let all = number * SENDERS + self.number;
        let span = SIZES.1 - SIZES.0;
        let size = SIZES.0 + usize::try_from(all.wrapping_mul(2_654_435_761) >> 8).unwrap_or_default() % span;
        // Most alerts are short.
        let size = if all.is_multiple_of(10) {
            size
        } else {
            size / 20 + SIZES.0
        };
        let alert = json!({"incident_id": format!("soak-{all}"), "alert_type": format!("Kind{}", all % 5),
            "container_name": name(all % NAMES), "logs": "ERROR out of memory ".repeat(size / 20)});
        let request = self
            .api
            .http
            .post(self.api.url("/webhook"))
            .bearer_auth(&self.token)
            .json(&alert);
        let code = match request.send().await {
            Ok(answer) => answer.status().as_u16(),
            Err(_) => 0,
        };
        let count = match code {
            200 if is_known(all % NAMES) => &self.counts.acknowledged,
            200 => &self.counts.unknown,
            429 => &self.counts.limited,
            507 => &self.counts.full,
            _ => &self.counts.other,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens a socket, and another one when it ends.
async fn read(api: &Api, counts: &Counts, reads: bool) {
    loop {
        let request = api.url("/ws").replacen("http", "ws", 1).into_client_request();
        let bearer = format!("Bearer {}", api.token).parse::<HeaderValue>();
        let (Ok(mut request), Ok(bearer)) = (request, bearer) else {
            return;
        };
        request.headers_mut().insert("authorization", bearer);
        if let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await {
            counts.sockets.fetch_add(1, Ordering::Relaxed);
            if reads {
                while let Some(Ok(_)) = socket.next().await {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            } else {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            counts.sockets.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
