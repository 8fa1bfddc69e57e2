//! From a fault that is there to its open incident, with the detectors that a state directory begins with and no alert.
//! Beside it the least that could be: a quarter of a second for what the engine reports; else how long the detector
//! waits, and one round of readings.

use std::time::{Duration, Instant};

use aegis_tests::faults::Fault;
use aegis_tests::manifests::balancing_all;
use aegis_tests::steady::Steady;
use aegis_tests::{Api, Container, World};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::report::{line, median};

/// Requests a second to each workload whose fault shows in them.
const RATE: u32 = 20;
/// How long clients are answered well before: what is judged is a minute of requests. A death that comes sooner than half
/// a minute after the event stream is up is no crash, either: it may have been requested before.
const WELL: Duration = Duration::from_secs(65);
/// One round of readings.
const ROUND: Duration = Duration::from_secs(3);
/// The longest a fault may go unseen.
const BOUND: Duration = Duration::from_secs(290);
/// Pause between two looks at the incidents: of an event, and else.
const OFTEN: Duration = Duration::from_millis(5);
const SELDOM: Duration = Duration::from_millis(50);

pub(crate) async fn detect(rounds: usize) {
    let world = World::new().await;
    let front = world.nginx("lb").await;
    let events: Vec<(Fault, String)> = Fault::ALL
        .into_iter()
        .filter(|fault| fault.is_an_event())
        .flat_map(|fault| (0..rounds).map(move |round| (fault, format!("{}{round}", fault.name()))))
        .collect();
    let others = Fault::ALL.into_iter().filter(|fault| !fault.is_an_event());
    let others = others.map(|fault| (fault, fault.name().to_owned()));
    let all = join_all(events.into_iter().chain(others).map(|(fault, name)| {
        let patient = world.patient(&name).memory_mb(128);
        async move { (fault, patient.start().await) }
    }))
    .await;
    let launch = world.controller().env("AEGIS_HOST_BLAST_RADIUS", "1000");
    let controller = launch.default_detectors().start().await;
    let api = controller.api();
    for (_, patient) in &all {
        api.apply(&adopting(&patient.name)).await;
    }
    let (events, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(fault, _)| fault.is_an_event());
    let served = others.iter().filter(|(fault, _)| fault.shows_in_traffic());
    let served: Vec<(String, &str)> = served
        .map(|(fault, patient)| (fault.upstream(), patient.name.as_str()))
        .collect();
    api.apply(&balancing_all(&front.name, &served)).await;
    for (_, patient) in events.iter().chain(&others) {
        api.workload_ready(&patient.name, 1).await;
    }
    api.balancer_serves(&front.name, u64::try_from(served.len()).unwrap_or_default())
        .await;
    let Some(ip) = front.container.ip().await else {
        panic!("nginx has no address");
    };
    let first = served
        .first()
        .map(|(upstream, _)| upstream.clone())
        .unwrap_or_default();
    let urls = |fault: Fault| fault.urls(ip, fault.upstream() == first);
    let clients: Vec<Steady> = others
        .iter()
        .filter(|(fault, _)| fault.shows_in_traffic())
        .map(|(fault, _)| Steady::on(urls(*fault).into_iter().take(1).collect(), RATE))
        .collect();
    tokio::time::sleep(WELL).await;
    of_events(&api, &events).await;
    let (busy, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|(fault, _)| *fault == Fault::Cpu);
    join_all(others.iter().map(|(fault, patient)| {
        let (api, urls) = (api.clone(), urls(*fault));
        async move { of_others(&api, *fault, patient, urls).await }
    }))
    .await;
    drop(clients);
    // Alone: its detector waits until no reading of three minutes shows less than most of a core, and what else is at work
    // here takes its part of the cores.
    for (fault, patient) in &busy {
        of_others(&api, *fault, patient, Vec::new()).await;
    }
}

/// One after the other: each is measured by the instant at which the engine saw the process end.
async fn of_events(api: &Api, patients: &[(Fault, Container)]) {
    for fault in Fault::ALL.into_iter().filter(|fault| fault.is_an_event()) {
        let mut took = Vec::new();
        for (_, patient) in patients.iter().filter(|(of, _)| *of == fault) {
            let begin = Instant::now();
            fault.inject(patient).await;
            let Some(_) = opened(api, patient, begin, OFTEN).await else {
                continue;
            };
            let seen = Timestamp::now();
            let inspected = patient.inspect().await;
            let ended = inspected["State"]["FinishedAt"].as_str().unwrap_or_default();
            let ended: Timestamp = ended.parse().unwrap_or(seen);
            took.push(Duration::try_from(seen.duration_since(ended)).unwrap_or_default());
        }
        took.sort();
        let ms = |took: Option<&Duration>| took.map_or(0, Duration::as_millis);
        line(
            &format!("detect {}: the process's end -> incident", fault.name()),
            &format!("{} ms", median(&took).as_millis()),
            "< 250 ms",
            &format!(
                "{} of {} seen, {} to {} ms, by events",
                took.len(),
                patients.iter().filter(|(of, _)| *of == fault).count(),
                ms(took.first()),
                ms(took.last())
            ),
        );
    }
}

async fn of_others(api: &Api, fault: Fault, patient: &Container, urls: Vec<String>) {
    fault.inject(patient).await;
    let begin = Instant::now();
    let sick_clients = (urls.len() > 1).then(|| Steady::on(urls, RATE));
    let took = opened(api, patient, begin, SELDOM).await;
    drop(sick_clients);
    let detector = api
        .object("detectors", fault.detector())
        .await
        .unwrap_or_default();
    let waits = detector["spec"]["for"].as_str().unwrap_or("0s").to_owned();
    let parsed: Result<aegis_api::Duration, _> = waits.parse();
    let least = parsed.map_or(Duration::ZERO, aegis_api::Duration::std) + ROUND;
    let what = format!("detect {}: fault -> incident", fault.name());
    match took {
        Some((took, alert)) => line(
            &what,
            &format!("{:.1} s", took.as_secs_f64()),
            &format!("{} s", least.as_secs()),
            &format!("{alert}; {} waits {waits}", fault.detector()),
        ),
        None => line(
            &what,
            "never",
            &format!("{} s", least.as_secs()),
            &format!(
                "not within {} s; {}",
                BOUND.as_secs(),
                last_word(&api.object("detectors", fault.detector()).await, patient)
            ),
        ),
    }
}

/// What the detector last read of a patient.
fn last_word(detector: &Option<Value>, patient: &Container) -> String {
    let rows = detector
        .iter()
        .filter_map(|it| it["status"]["workloads"].as_array());
    let row = rows
        .flatten()
        .find(|row| row["workload"] == patient.name.as_str());
    let message = row.and_then(|row| row["message"].as_str());
    format!("last: {}", message.unwrap_or("nothing was read"))
}

/// When a detector's incident about a patient was open, and what it was called.
async fn opened(
    api: &Api,
    patient: &Container,
    begin: Instant,
    look: Duration,
) -> Option<(Duration, String)> {
    while begin.elapsed() < BOUND {
        let incidents = api.list("incidents").await;
        let about = |incident: &&Value| incident["spec"]["workloadRef"] == patient.name.as_str();
        if let Some(incident) = incidents.iter().find(about) {
            let took = begin.elapsed();
            assert_eq!(incident["spec"]["source"]["kind"], "detector", "{incident:#}");
            let alert = incident["spec"]["alertType"].as_str().unwrap_or_default();
            return Some((took, alert.to_owned()));
        }
        tokio::time::sleep(look).await;
    }
    None
}

/// With the probe that a workload has by default.
fn adopting(name: &str) -> Value {
    json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"container": name, "health": {"http": {"path": "/health", "port": 8000}}},
    })
}
