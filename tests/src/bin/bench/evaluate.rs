//! One round of the default detectors over a thousand workloads: the reconciler of the controller over an engine in memory,
//! with a quarter of an hour of readings of each container.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_api::observed::{ContainerState, ContainerSummary, Stats};
use aegis_api::{Detector, Kind, KindInfo, Time, Workload};
use aegis_docker_fake::{FakeEngine, RunSpec};
use aegis_reconcilers::detector::{DetectorReconciler, defaults};
use aegis_reconcilers::endpoints::Endpoints;
use aegis_reconcilers::host_reader::HostReader;
use aegis_reconcilers::probe::Prober;
use aegis_reconcilers::{Context, Settings, Turns};
use aegis_runtime::Clock;
use aegis_runtime::controller::Reconciler;
use aegis_runtime::events::EventRecorder;
use aegis_runtime::feed::Feed;
use aegis_runtime::store::{Store, StoreOptions};
use aegis_signals::collector::{Reading, Samples};
use aegis_signals::lifecycle::Lifecycle;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::crowd::cpu_seconds_of;
use crate::report::{line, median};

/// Workloads of one container each.
const WORKLOADS: u32 = 1000;
/// Readings of each: a quarter of an hour, one every three seconds.
const READINGS: u32 = 300;
const APART: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;
const LIMIT: u64 = 64 * MIB;

pub(crate) async fn evaluate(rounds: usize) {
    // What is measured is evaluation, not the disk.
    let memory = std::path::Path::new("/dev/shm");
    let state = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let state = state.unwrap_or_else(|error| panic!("no folder: {error}"));
    let engine = FakeEngine::default();
    let began = Time(jiff::Timestamp::now());
    let context = context(&engine, state.path(), later(began, READINGS)).await;
    let given = defaults::give(&context.store).await;
    let given = given.unwrap_or_else(|error| panic!("no detectors: {error}"));
    let empty = resident_kb();
    let names: Vec<String> = (0..WORKLOADS).map(|number| format!("w{number}")).collect();
    for name in &names {
        make(&context, &engine, name).await;
    }
    let made = resident_kb();
    for number in 0..=READINGS {
        let readings: Vec<Reading> = names.iter().map(|name| reading(name, number)).collect();
        context.samples.remember(later(began, number), &readings);
    }
    let filled = resident_kb();
    let reconciler = DetectorReconciler::new(context.clone());
    // Each container is inspected once, in the first round.
    let first = round(&context, &reconciler).await;
    let (rounds, before) = (
        u32::try_from(rounds.max(20)).unwrap_or(20),
        cpu_seconds_of(std::process::id()),
    );
    let mut took = Vec::new();
    for _ in 0..rounds {
        took.push(round(&context, &reconciler).await);
    }
    let used = (cpu_seconds_of(std::process::id()) - before) / f64::from(rounds);
    took.sort();
    line(
        &format!("{given} default detectors over 1,000 workloads: CPU"),
        &format!("{:.0} ms", used * 1000.0),
        "-",
        &format!(
            "a round; by the clock {} ms, the first {}; {:.1} % of a core at a round every 3 s",
            median(&took).as_millis(),
            first.as_millis(),
            used / APART.as_secs_f64() * 100.0
        ),
    );
    line(
        "the same: resident memory",
        &format!("{} MB", resident_kb() / 1000),
        "-",
        &format!(
            "of the bench: {} empty, {} with 1,000 workloads and the engine in memory, {} with readings (of 500 containers at most)",
            empty / 1000,
            made / 1000,
            filled / 1000
        ),
    );
}

/// Every detector once; how long that took.
async fn round(context: &Context, reconciler: &DetectorReconciler) -> Duration {
    let begin = Instant::now();
    for detector in context.store.list::<Detector>() {
        let done = reconciler.reconcile(detector.name()).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", detector.name()));
    }
    begin.elapsed()
}

fn later(began: Time, readings: u32) -> Time {
    Time(began.0 + APART * readings)
}

async fn context(engine: &FakeEngine, state: &std::path::Path, now: Time) -> Context {
    let events = EventRecorder::new();
    let options = StoreOptions {
        watch_files: false,
        ..StoreOptions::new(state)
    };
    let opened = Store::open(options, events.clone()).await;
    let (store, driver) = opened.unwrap_or_else(|error| panic!("no store: {error}"));
    tokio::spawn(driver.run(CancellationToken::new()));
    let shared = Arc::new(engine.clone());
    Context {
        prober: Prober::new(shared.clone()),
        store,
        engine: shared,
        events,
        feed: Feed::default(),
        samples: Samples::default(),
        host: HostReader::default(),
        lifecycle: Lifecycle::default(),
        endpoints: Endpoints::default(),
        turns: Turns::default(),
        clock: Clock::new(move || now),
        settings: Arc::new(Settings::default()),
    }
}

/// A workload with its container, as it was observed.
async fn make(context: &Context, engine: &FakeEngine, name: &str) {
    let id = engine.run_container(&RunSpec::new(name, "app:1").memory(LIMIT));
    let id = id.unwrap_or_else(|error| panic!("{name}: {error}"));
    let object = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"container": name},
    });
    let info = KindInfo::of::<Workload>();
    let made = context.store.create(info, object, false).await;
    made.unwrap_or_else(|error| panic!("{name}: {error}"));
    let workload = context.store.get::<Workload>(name);
    let uid = workload
        .and_then(|workload| workload.metadata.uid.clone())
        .unwrap_or_default();
    let status = json!({"observedGeneration": 1, "readyReplicas": 1, "instances": [
        {"name": name, "id": id, "index": 0, "state": "running", "health": "Healthy", "revision": "r"}]});
    let status = serde_json::from_value(status).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stored = context.store.set_status::<Workload>(name, &uid, status).await;
    stored.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// A container that is well: a little CPU, and memory that comes and goes.
fn reading(name: &str, number: u32) -> Reading {
    let container = ContainerSummary {
        id: name.into(),
        name: name.to_owned(),
        image: "app:1".to_owned(),
        state: ContainerState::Running,
        status: String::new(),
        labels: std::collections::BTreeMap::new(),
        networks: std::collections::BTreeMap::new(),
        created: 0,
        published: Vec::new(),
    };
    let stats = Stats {
        memory_bytes: (20 + u64::from(number % 20)) * MIB,
        memory_limit_bytes: LIMIT,
        pids: 5,
        ..Stats::default()
    };
    Reading {
        container,
        stats: Some(stats),
        cpu_percent: Some(f64::from(number % 30)),
        throttled_percent: None,
    }
}

/// Of this very process.
fn resident_kb() -> u64 {
    aegis_tests::process::status_kb(std::process::id(), "VmRSS").unwrap_or_default()
}
