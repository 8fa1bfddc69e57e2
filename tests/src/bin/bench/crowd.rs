//! Many at once: alerts by the thousand, a hundred containers, a thousand incidents. Measured on the controller's process.

use std::time::{Duration, Instant};

use aegis_tests::manifests::policy;
use aegis_tests::{Api, Container, Controller, World};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use serde_json::{Value, json};

use crate::report::{line, percentile};
use crate::stack::until;

/// How long alerts come.
const SECONDS: u32 = 5;
/// Containers; half of them stay out of the incidents.
const CONTAINERS: usize = 100;
const PATIENTS: usize = 50;
/// Of those, how many are sick.
const SICK: usize = 5;
const INCIDENTS: usize = 1000;
/// How long the idle controller is watched.
const WATCHED: Duration = Duration::from_secs(21);
/// Before that: what the start left to do.
const SETTLED: Duration = Duration::from_secs(15);
/// Containers started, and incidents posted, at a time.
const AT_ONCE: usize = 8;

/// New incidents by webhook, answered once they are durable.
pub(crate) async fn webhook() {
    for (rate, budget) in [(100, "-"), (1000, "< 5 ms")] {
        alerts(rate, budget).await;
    }
}

/// So many a second, each at its time whatever became of the ones before.
async fn alerts(rate: u32, budget: &str) {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&policy("off", &json!({"mode": "Off"}))).await;
    let begin = Instant::now();
    let posts = (0..rate * SECONDS).map(|number| {
        let api = api.clone();
        let at = begin + Duration::from_secs(1) * number / rate;
        tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let alert = json!({"incident_id": format!("bench-{number}"), "alert_type": "memory_leak", "container_name": "missing"});
            let (status, answer) = api.post("/webhook", &alert).await;
            assert_eq!(status, 200, "{answer}");
            at.elapsed()
        })
    });
    let took = join_all(posts).await.into_iter();
    let mut took: Vec<Duration> = took
        .map(|took| took.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    took.sort();
    let ms = |part| format!("{:.1} ms", percentile(&took, part).as_secs_f64() * 1000.0);
    line(
        &format!("webhook: durable and answered, {rate} new/s, p99"),
        &ms(0.99),
        budget,
        &format!("p50 {}, longest {}", ms(0.5), ms(1.0)),
    );
}

/// A hundred containers at rest: without detectors, and with those that a state directory begins with.
pub(crate) async fn idle_with_detectors() {
    let world = World::new().await;
    let containers = containers(&world).await;
    for (given, what) in [("false", "no detectors"), ("true", "the default detectors")] {
        let launch = world.controller().state(&format!("state-{given}"));
        let controller = launch.env("AEGIS_DEFAULT_DETECTORS", given).start().await;
        adopt(&controller.api(), &containers).await;
        idle(&controller, what).await;
    }
}

/// Starts them, some at a time.
async fn containers(world: &World) -> Vec<Container> {
    let names = (0..CONTAINERS).map(|number| world.name(&format!("c{number}")));
    let started = names.map(|name| async move { world.patient_named(&name).memory_mb(64).start().await });
    stream::iter(started).buffered(AT_ONCE).collect().await
}

/// Has each of them managed, and waits until all are ready.
async fn adopt(api: &Api, containers: &[Container]) {
    for Container { name, .. } in containers {
        let adopted = json!({
            "apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
            "spec": {"container": name, "strategy": {"type": "InPlace"},
                     "health": {"http": {"path": "/health", "port": 8000}}},
        });
        api.apply(&policy(name, &json!({}))).await;
        api.apply(&adopted).await;
    }
    let ready = containers
        .iter()
        .map(|container| api.workload_ready(&container.name, 1));
    join_all(ready).await;
}

/// A hundred containers at rest, then a thousand incidents about fifty of them.
pub(crate) async fn crowd() {
    let world = World::new().await;
    let containers = containers(&world).await;
    // Fifty at once is what is measured here.
    let launch = world.controller().env("AEGIS_HOST_ACTIONS_PER_HOUR", "1000000");
    let launch = launch.env("AEGIS_HOST_CONCURRENCY", "1000");
    let controller = launch.env("AEGIS_HOST_BLAST_RADIUS", "1000").start().await;
    let api = controller.api();
    adopt(&api, &containers).await;
    idle(&controller, "no detectors").await;
    for container in containers.iter().take(SICK) {
        container.fill_memory(87.0).await;
    }
    let begin = Instant::now();
    let posts = (0..INCIDENTS).map(|number| {
        let (api, name) = (api.clone(), containers[number % PATIENTS].name.clone());
        async move {
            let alert = json!({"incident_id": format!("bench-{number}"), "alert_type": "memory_leak", "container_name": name});
            let (status, answer) = api.post("/webhook", &alert).await;
            assert_eq!(status, 200, "{answer}");
        }
    });
    stream::iter(posts)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
    let took = until(begin, "every incident ends", async || {
        tokio::time::sleep(Duration::from_millis(250)).await;
        phases(&api)
            .await
            .iter()
            .all(|phase| phase == "RESOLVED" || phase == "FAILED")
    })
    .await;
    let resolved = phases(&api)
        .await
        .iter()
        .filter(|phase| *phase == "RESOLVED")
        .count();
    let mut restarted = 0;
    for container in &containers {
        let seen = api.object("workloads", &container.name).await.unwrap_or_default();
        let sick = containers
            .iter()
            .take(SICK)
            .any(|sick| sick.name == container.name);
        let touched = !seen["spec"]["restartedAt"].is_null();
        assert_eq!(
            touched, sick,
            "{} was restarted: {touched}; it was sick: {sick}",
            container.name
        );
        restarted += usize::from(touched);
    }
    line(
        "1,000 incidents over 50 workloads: peak memory",
        &format!("{} MB", status_kb(&controller, "VmHWM") / 1000),
        "< 100 MB",
        &format!(
            "{resolved} resolved in {:.0} s; the {restarted} sick were restarted, no other",
            took.as_secs_f64()
        ),
    );
}

/// What the controller uses while nothing happens.
async fn idle(controller: &Controller, what: &str) {
    tokio::time::sleep(SETTLED).await;
    let (begin, before) = (Instant::now(), cpu_seconds(controller));
    tokio::time::sleep(WATCHED).await;
    let used = (cpu_seconds(controller) - before) / begin.elapsed().as_secs_f64() * 100.0;
    line(
        &format!("idle, 100 containers, {what}: of a core"),
        &format!("{used:.1} %"),
        "< 2 %",
        "",
    );
    let resident = status_kb(controller, "VmRSS") / 1000;
    line(
        "the same: resident memory",
        &format!("{resident} MB"),
        "< 40 MB",
        "",
    );
}

async fn phases(api: &Api) -> Vec<String> {
    let incidents = api.list("incidents").await;
    let phase = |incident: &Value| {
        incident["status"]["phase"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    incidents.iter().map(phase).collect()
}

/// Seconds of CPU that the process has had.
pub(crate) fn cpu_seconds(controller: &Controller) -> f64 {
    cpu_seconds_of(controller.process_id())
}

/// Seconds of CPU that a process has had.
pub(crate) fn cpu_seconds_of(process: u32) -> f64 {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// A line such as `VmRSS:  1234 kB` of the process's status.
pub(crate) fn status_kb(controller: &Controller, key: &str) -> u64 {
    let kb = aegis_tests::process::status_kb(controller.process_id(), key);
    kb.unwrap_or_else(|| panic!("the status of the controller's process has no {key}"))
}
