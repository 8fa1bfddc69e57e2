//! What a storm costs: the acknowledgement of one more alert with none and with thousands of incidents stored, beside one bare
//! fsync on the same disk in the same seconds, and what the controller has in memory after a hundred thousand alerts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aegis_tests::manifests::policy;
use aegis_tests::{Controller, World};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::crowd::status_kb;
use crate::report::{line, percentile};

/// Connections, kept alive.
const CONNECTIONS: u32 = 16;
/// Alerts a second over all of them, and for how long.
const RATE: u32 = 1000;
const SECONDS: u32 = 5;
/// How many are stored before.
const STORED: [u32; 3] = [0, 1000, 10_000];
/// The storm, over so many names.
const ALERTS: u32 = 100_000;
const NAMES: u32 = 1000;
/// As large as what one change writes, bytes; how often it is synced beside the load.
const BYTES: usize = 4096;
const BARE_EVERY: Duration = Duration::from_millis(50);
/// After a storm, before its memory is read.
const SETTLED: Duration = Duration::from_secs(15);

/// Acknowledgement of a new incident by webhook, by how many are stored.
pub(crate) async fn acknowledged() {
    let world = World::new().await;
    let mut medians = Vec::new();
    for stored in STORED {
        let launch = world.controller().state(&format!("state-{stored}"));
        let launch = launch
            .env("AEGIS_OPEN_INCIDENTS", "100000")
            .env("AEGIS_ALERTS_PER_SECOND", "100000");
        let controller = launch.start().await;
        controller
            .api()
            .apply(&policy("off", &json!({"mode": "Off"})))
            .await;
        let sender = Sender::of(&controller);
        let codes = sender.flood("stored", stored, NAMES).await;
        assert_eq!(codes.get(&200).copied().unwrap_or_default(), stored, "{codes:?}");
        let (took, bare) = measured(&sender, controller.launch().state_dir()).await;
        let ms = |sorted: &[Duration], part| percentile(sorted, part).as_secs_f64() * 1000.0;
        let ratio = ms(&took, 0.5) / ms(&bare, 0.5).max(f64::EPSILON);
        medians.push((stored, ms(&took, 0.5)));
        line(
            &format!("webhook: {RATE} new/s, {stored} stored: p50 / one fsync"),
            &format!("{ratio:.2}x"),
            "< 2x",
            &format!(
                "p50 {:.1} ms, p99 {:.1} ms (< 10 ms), longest {:.1} ms; one fsync p50 {:.1} ms, p99 {:.1} ms; {} of {} in time; {} MB",
                ms(&took, 0.5),
                ms(&took, 0.99),
                ms(&took, 1.0),
                ms(&bare, 0.5),
                ms(&bare, 0.99),
                took.len(),
                RATE * SECONDS,
                status_kb(&controller, "VmRSS") / 1024,
            ),
        );
    }
    let at = |stored: u32| {
        medians
            .iter()
            .find(|(known, _)| *known == stored)
            .map_or(1.0, |(_, p50)| *p50)
    };
    let exponent = (at(10_000) / at(1000)).log10();
    line(
        "the same: growth exponent, 1,000 to 10,000 stored",
        &format!("{exponent:.2}"),
        "about 0",
        "",
    );
}

/// What is resident after a storm.
pub(crate) async fn memory_after() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    controller
        .api()
        .apply(&policy("off", &json!({"mode": "Off"})))
        .await;
    let before = status_kb(&controller, "VmRSS");
    let begin = Instant::now();
    let codes = Sender::of(&controller).flood("storm", ALERTS, NAMES).await;
    let took = begin.elapsed();
    tokio::time::sleep(SETTLED).await;
    line(
        &format!("after a storm of {ALERTS} alerts: resident memory"),
        &format!("{} MB", status_kb(&controller, "VmRSS") / 1024),
        "< 60 MB",
        &format!(
            "{} MB before, {} MB at most; {:.0} s; answered {codes:?}",
            before / 1024,
            status_kb(&controller, "VmHWM") / 1024,
            took.as_secs_f64()
        ),
    );
}

/// Posts alerts over connections that are kept.
struct Sender {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Sender {
    fn of(controller: &Controller) -> Self {
        let connections = usize::try_from(CONNECTIONS).unwrap_or(usize::MAX);
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(connections)
            .no_proxy();
        Self {
            http: http.build().unwrap_or_else(|error| panic!("{error}")),
            url: controller.launch().url("/webhook"),
            token: controller.admin_token(),
        }
    }

    async fn post(&self, id: &str, container: &str) -> u16 {
        let alert = json!({"incident_id": id, "alert_type": "memory_leak", "container_name": container});
        let request = self.http.post(&self.url).bearer_auth(&self.token).json(&alert);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
        let code = answer.status().as_u16();
        let _: Option<Value> = answer.json().await.ok();
        code
    }

    /// So many distinct alerts, as fast as they are taken; how many of each code were answered.
    async fn flood(&self, prefix: &str, alerts: u32, names: u32) -> BTreeMap<u16, u32> {
        let posts = (0..alerts).map(|number| async move {
            let container = format!("missing-{}", number % names);
            self.post(&format!("{prefix}-{number}"), &container).await
        });
        let at_once = usize::try_from(CONNECTIONS * 4).unwrap_or(usize::MAX);
        let mut posts = futures::stream::iter(posts).buffer_unordered(at_once);
        let mut codes = BTreeMap::new();
        while let Some(code) = posts.next().await {
            *codes.entry(code).or_default() += 1;
        }
        codes
    }
}

/// What the acknowledgements took, and bare fsyncs meanwhile; each sorted.
async fn measured(sender: &Sender, dir: &Path) -> (Vec<Duration>, Vec<Duration>) {
    let done = Arc::new(AtomicBool::new(false));
    let bare = tokio::task::spawn_blocking({
        let (done, path) = (Arc::clone(&done), dir.with_extension("bare"));
        move || fsyncs(&path, &done)
    });
    let begin = Instant::now();
    let writers = (0..CONNECTIONS).map(|writer| async move {
        let mut took = Vec::new();
        for number in 0..RATE * SECONDS / CONNECTIONS {
            let due = begin + Duration::from_secs(1) * (number * CONNECTIONS + writer) / RATE;
            tokio::time::sleep_until(due.into()).await;
            if begin.elapsed() > Duration::from_secs(SECONDS.into()) {
                break;
            }
            let at = Instant::now();
            let code = sender
                .post(
                    &format!("new-{writer}-{number}"),
                    &format!("c-{}", number % NAMES),
                )
                .await;
            assert_eq!(code, 200);
            took.push(at.elapsed());
        }
        took
    });
    let mut took: Vec<Duration> = join_all(writers).await.into_iter().flatten().collect();
    done.store(true, Ordering::Relaxed);
    let mut bare = bare.await.unwrap_or_default();
    took.sort();
    bare.sort();
    (took, bare)
}

fn fsyncs(path: &Path, done: &AtomicBool) -> Vec<Duration> {
    let mut file = std::fs::File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut took = Vec::new();
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(BARE_EVERY);
        let at = Instant::now();
        let synced = file.write_all(&[7; BYTES]).and_then(|()| file.sync_data());
        synced.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        took.push(at.elapsed());
    }
    drop(std::fs::remove_file(path));
    took
}
