//! Resident memory of the controller: after a model that says four megabytes, after one that thinks in twenty thousand
//! pieces, and at rest with five and a hundred containers after the rings of readings are full: that of a day is, from the
//! start, by the files of an earlier run, and that of a quarter of an hour after 300 readings. `AEGIS_BENCH_CONTROLLER` names
//! another program to measure, such as an earlier one; `AEGIS_BENCH_REST_ROUNDS` for how many seconds it rests.

use std::path::Path;
use std::time::{Duration, Instant};

use aegis_api::Time;
use aegis_api::signals::Sample;
use aegis_signals::journal::Journal;
use aegis_signals::rings::History;
use aegis_signals::traffic::Traffic;
use aegis_tests::manifests::{adopting, incident, policy};
use aegis_tests::model::{Speech, TalkativeModel};
use aegis_tests::{Controller, World};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::crowd::status_kb;
use crate::report::line;
use crate::stack::until;

/// Containers at rest, and for how many seconds.
const CONTAINERS: [(usize, u32); 2] = [(5, 120), (100, FILLS)];
/// A reading every 2.5 s is the most that a ring takes: this fills it.
const FILLS: u32 = 900;
/// A day.
const MINUTES: i64 = 24 * 60;
/// A replay is over when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(2);

pub(crate) async fn memory() {
    speech("after a model that streams 4 MB", "content", 1000, 4000).await;
    speech("after 20,000 thoughts of 5 bytes", "reasoning_content", 5, 20_000).await;
    for (containers, seconds) in CONTAINERS {
        rest(containers, seconds).await;
    }
}

/// One incident that is put before this model, then a client that requests everything.
async fn speech(what: &str, field: &'static str, size: usize, deltas: usize) {
    let model = TalkativeModel::start(Speech { field, size, deltas }).await;
    let world = World::new().await;
    let patient = world.patient("talk").memory_mb(64).start().await;
    let launch = world.controller().env("FASTRTR_BASE_URL", &model.url);
    let controller = launch.start().await;
    let api = controller.api();
    api.apply(&adopting(&patient.name, 1)).await;
    api.apply(&policy(&patient.name, &json!({"mode": "DryRun"})))
        .await;
    api.workload_ready(&patient.name, 1).await;
    let before = status_kb(&controller, "VmRSS");
    patient.trigger("hang").await;
    api.apply(&incident("talk", &patient.name, &Value::Null)).await;
    let took = until(Instant::now(), "an analysis", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let incident = api.object("incidents", "talk").await.unwrap_or_default();
        incident["status"]["analysis"].is_object()
    })
    .await;
    let after = status_kb(&controller, "VmRSS");
    let replay = replay(&controller).await;
    line(
        &format!("{what}: resident memory"),
        &format!("{} MB", after / 1024),
        "-",
        &format!(
            "{} MB before; {} of {deltas} pieces in {:.1} s; /ws?since=1 sends {:.1} MB, after it {} MB",
            before / 1024,
            model.sent(),
            took.as_secs_f64(),
            megabytes(replay),
            status_kb(&controller, "VmRSS") / 1024,
        ),
    );
}

fn megabytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// Bytes that a client which comes back for everything is sent.
async fn replay(controller: &Controller) -> usize {
    let url = controller.launch().url("/ws?since=1").replacen("http", "ws", 1);
    let mut request = url
        .into_client_request()
        .unwrap_or_else(|error| panic!("{error}"));
    let bearer = format!("Bearer {}", controller.admin_token());
    let bearer = bearer.parse().unwrap_or_else(|error| panic!("{error}"));
    request.headers_mut().insert("authorization", bearer);
    let connected = tokio_tungstenite::connect_async(request).await;
    let (mut socket, _) = connected.unwrap_or_else(|error| panic!("{error}"));
    let mut bytes = 0;
    while let Ok(Some(Ok(message))) = tokio::time::timeout(QUIET, socket.next()).await {
        bytes += message.len();
    }
    bytes
}

async fn rest(containers: usize, seconds: u32) {
    let asked = std::env::var("AEGIS_BENCH_REST_ROUNDS").ok();
    let seconds = asked.and_then(|text| text.parse().ok()).unwrap_or(seconds);
    let world = World::new().await;
    let mut names = Vec::new();
    for number in 0..containers {
        names.push(
            world
                .patient(&format!("rest{number}"))
                .memory_mb(64)
                .start()
                .await
                .name,
        );
    }
    let launch = world.controller().default_detectors();
    read_for_a_day(launch.state_dir(), &names).await;
    let controller = launch.start().await;
    let api = controller.api();
    for name in &names {
        api.apply(&adopting(name, 1)).await;
        api.workload_ready(name, 1).await;
    }
    // What the start left to do.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = status_kb(&controller, "VmRSS");
    tokio::time::sleep(Duration::from_secs(1) * seconds).await;
    let after = status_kb(&controller, "VmRSS");
    line(
        &format!("at rest, {containers} containers, a day of readings, {seconds} s: resident"),
        &format!("{} MB", after / 1024),
        "< 40 MB",
        &format!(
            "grown by {} kB from {} MB",
            after.saturating_sub(before),
            before / 1024
        ),
    );
}

/// What an earlier run has left of these containers: a reading in each minute of a day.
async fn read_for_a_day(state: &Path, names: &[String]) {
    let (history, traffic, journal) = (History::default(), Traffic::default(), Journal::new(state));
    let now = jiff::Timestamp::now();
    for minute in (0..=MINUTES).rev() {
        let at = Time(now - jiff::SignedDuration::from_mins(minute));
        journal.keep(&history, &traffic, at).await;
        let sample = Sample {
            at,
            cpu_percent: Some(1.5),
            memory_bytes: 40 << 20,
            memory_limit_bytes: 64 << 20,
            throttled_percent: None,
            net_rx_bytes: 0,
            net_tx_bytes: 0,
            pids: 1,
            pids_limit: 0,
        };
        history.add(at, names.iter().map(|name| (name.as_str(), sample)));
    }
}
