//! Promise: each fault of the patient is found without any alert, with the detectors that a state directory begins with; an
//! alert about it, the patient's own among them, is the same incident.
//!
//! What the engine reports and a failing probe are found with the default files as they are. Of the others only `for` is
//! shortened here, and the bound of CPU lowered, since the machine of a test may be busy with others: `make bench` measures
//! the default files as given.

use std::time::Duration;

use aegis_tests::faults::Fault;
use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::steady::Steady;
use aegis_tests::{Api, Container, Nginx, World, eventually, manifests};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// Requests a second to each workload whose fault shows in them.
const RATE: u32 = 20;
/// So soon after the event stream is up a death may have been requested before: until then it is no crash.
const SHADOW: Duration = Duration::from_secs(31);
/// How long a client waits that does not wait for what is slow.
const HASTE: Duration = Duration::from_millis(300);
const WAITING: [&str; 3] = ["memory-high", "http-errors", "http-slow"];

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_without_an_alert_and_an_alert_about_it_joins() {
    let world = World::new().await;
    let patients = join_all(Fault::ALL.map(|fault| {
        let patient = world.patient(fault.name()).memory_mb(128);
        async move { (fault, patient.start().await) }
    }))
    .await;
    let front = world.nginx("lb").await;
    // Four that need something within a minute are what is wanted here.
    let launch = world.controller().env("AEGIS_HOST_BLAST_RADIUS", "1000");
    let controller = launch.default_detectors().start().await;
    let up = tokio::time::Instant::now();
    let api = controller.api();
    hasten(&api).await;
    for (_, patient) in &patients {
        api.apply(&adopting(&patient.name)).await;
    }
    let served: Vec<(String, &str)> = patients
        .iter()
        .filter(|(fault, _)| fault.shows_in_traffic())
        .map(|(fault, patient)| (fault.upstream(), patient.name.as_str()))
        .collect();
    api.apply(&manifests::balancing_all(&front.name, &served)).await;
    for (_, patient) in &patients {
        api.workload_ready(&patient.name, 1).await;
    }
    let servers = u64::try_from(served.len()).expect("a few");
    api.balancer_serves(&front.name, servers).await;
    assert_eq!(incidents(&api).await, [Value::Null; 0], "all is well");

    let sender = controller.api_as(Some(WEBHOOK_TOKEN));
    join_all(patients.iter().map(|(fault, patient)| async {
        let first = served
            .first()
            .is_some_and(|(upstream, _)| *upstream == fault.upstream());
        let _clients = clients(*fault, &front, first).await;
        if fault.is_an_event() {
            tokio::time::sleep_until(up + SHADOW).await;
        }
        fault.inject(patient).await;
        let name = found(&api, *fault, patient).await;
        an_alert_joins(&api, &sender, *fault, patient, &name).await;
    }))
    .await;

    let all = incidents(&api).await;
    assert_eq!(all.len(), Fault::ALL.len(), "one each: {all:#?}");
    counted_by_server(&api, &front, &patients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_that_reports_itself_first_has_one_incident_with_the_detector() {
    let world = World::new().await;
    let launch = world.controller().reachable_from_containers();
    let patient = world
        .patient("buggy")
        .memory_mb(128)
        .reporting_to(&launch)
        .start()
        .await;
    let controller = launch.default_detectors().start().await;
    let api = controller.api();
    hasten(&api).await;
    api.apply(&adopting(&patient.name)).await;
    api.workload_ready(&patient.name, 1).await;

    Fault::Memory.inject(&patient).await;
    eventually("it reports itself", async || {
        let all = incidents(&api).await;
        let reported = all.iter().any(|it| it["spec"]["source"]["kind"] != "detector");
        reported.then_some(()).ok_or_else(|| format!("{all:?}"))
    })
    .await;
    let joined = firing(&api, Fault::Memory.detector(), &patient.name).await;
    let all = incidents(&api).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0]["metadata"]["name"], joined);
    assert_eq!(all[0]["spec"]["alertType"], "memory_leak", "its own word");
}

/// What each server made of its requests is known, clients that went away apart from its errors, and so are nginx's
/// connections; its page of them is not on the port that is balanced.
async fn counted_by_server(api: &Api, front: &Nginx, patients: &[(Fault, Container)]) {
    let ip = front.container.ip().await.expect("nginx has an address");
    let hasty = reqwest::Client::builder().timeout(HASTE).no_proxy();
    let hasty = hasty.build().expect("an HTTP client");
    let slow = format!("http://{ip}/{}/", Fault::Slow.upstream());
    let path = format!("/metrics/load-balancers?name={}", front.name);
    eventually("requests are counted by server", async || {
        // It is not waited for.
        hasty.get(&slow).send().await.err();
        let all = api.get_ok(&path).await;
        let count = |fault: Fault, what: &str| {
            let patient = patients.iter().find(|(of, _)| *of == fault);
            let name = patient.map(|(_, patient)| patient.name.as_str());
            let rows = all[0]["servers"].as_array();
            let row = rows.and_then(|rows| rows.iter().find(|row| row["container"].as_str() == name));
            row.and_then(|row| row["totals"][what].as_u64())
                .unwrap_or_default()
        };
        let connections = &all[0]["connections"];
        let is_known = count(Fault::Errors, "errors") > 0
            && count(Fault::Errors, "answered") > count(Fault::Errors, "errors")
            && count(Fault::Slow, "answered") > 0
            && count(Fault::Slow, "errors") == 0
            && count(Fault::Slow, "cancelled") > 0
            && connections["accepted"].as_u64() >= connections["active"].as_u64()
            && connections["active"].as_u64() > Some(0);
        is_known.then_some(()).ok_or_else(|| format!("{all:#}"))
    })
    .await;
    let (_, body) = front.get("/aegis-status").await.expect("nginx answers");
    assert!(!body.contains("Active connections"), "{body}");
}

/// The defaults that wait for longer than a test can.
async fn hasten(api: &Api) {
    for detector in WAITING {
        let soon = json!({"spec": {"for": "3s"}});
        api.merge_ok("Detector", detector, &soon).await;
    }
    let soon = json!({"spec": {"for": "3s", "threshold": 50}});
    api.merge_ok("Detector", Fault::Cpu.detector(), &soon).await;
}

/// Patient with a probe that a busy machine does not fail.
fn adopting(name: &str) -> Value {
    let mut adopting = manifests::adopting(name, 1);
    adopting["spec"]["health"] =
        json!({"http": {"path": "/health", "port": 8000}, "interval": "1s", "timeout": "2s"});
    adopting
}

/// Clients of one workload through nginx, where its fault shows in requests.
async fn clients(fault: Fault, front: &Nginx, is_first: bool) -> Option<Steady> {
    if !fault.shows_in_traffic() {
        return None;
    }
    let ip = front.container.ip().await.expect("nginx has an address");
    Some(Steady::on(fault.urls(ip, is_first), RATE))
}

/// Waits until the detector of this name fires about a workload, and answers the incident it names.
async fn firing(api: &Api, detector: &str, workload: &str) -> String {
    let what = format!("it fires about {workload}");
    api.until("Detector", detector, &what, |object| {
        let rows = object["status"]["workloads"].as_array();
        let row = rows.and_then(|rows| rows.iter().find(|row| row["workload"] == workload));
        let row = row.cloned().unwrap_or_default();
        match row["incident"].as_str() {
            Some(incident) if row["firing"] == true => Ok(incident.to_owned()),
            _ => Err(row.to_string()),
        }
    })
    .await
}

/// The incident that was opened for a fault, which a detector did.
async fn found(api: &Api, fault: Fault, patient: &Container) -> String {
    let name = firing(api, fault.detector(), &patient.name).await;
    let incident = api.object("Incident", &name).await.expect("it is there");
    let spec = &incident["spec"];
    assert_eq!(spec["source"]["kind"], "detector", "{fault:?}: {incident:#}");
    assert_eq!(spec["count"], 1, "{fault:?}: {incident:#}");
    assert_eq!(
        spec["workloadRef"],
        patient.name.as_str(),
        "{fault:?}: {incident:#}"
    );
    let fingerprint = format!("detector/{}/{}", patient.name, fault.class());
    assert_eq!(
        spec["source"]["fingerprint"], fingerprint,
        "{fault:?}: {incident:#}"
    );
    name
}

/// Posts what the patient would post.
async fn an_alert_joins(api: &Api, sender: &Api, fault: Fault, patient: &Container, name: &str) {
    let alert = json!({
        "incident_id": format!("{}-1", patient.name), "alert_type": fault.name(), "severity": "critical",
        "container_name": patient.name, "logs": "CRITICAL it is not well\n",
    });
    let request = sender.request(Method::POST, "/webhook").json(&alert);
    let (status, answer) = sender.ask(request).await.expect("the webhook answers");
    assert_eq!(status, 200, "{fault:?}: {answer}");
    let incident = api.object("Incident", name).await.expect("it is there");
    assert_eq!(incident["spec"]["count"], 2, "{fault:?}: {answer} {incident:#}");
}

async fn incidents(api: &Api) -> Vec<Value> {
    api.list("Incident").await
}
