//! Promise: teams that have Prometheus and Alertmanager connect them and change nothing. Debian's own packages scrape the stack
//! and probes of it, their rules fire, the incidents are healed on the real engine, and their own resolve messages say so
//! on them, with Alertmanager restarted in between.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::binaries::repository;
use aegis_tests::launch::{WEBHOOK_TOKEN, free_port};
use aegis_tests::{Api, Container, Monitor, World, eventually, manifests};
use serde_json::{Value, json};

/// How long a probe of the exporter may take.
const PROBE: Duration = Duration::from_millis(400);

/// What exporters such as blackbox_exporter do: probes every container when it is scraped.
async fn exporter(patients: Vec<Container>) -> String {
    let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let patients = Arc::new(patients);
    let scraped = move || {
        let patients = Arc::clone(&patients);
        async move {
            let probes = patients.iter().map(|patient| async move {
                let probed = tokio::time::timeout(PROBE, patient.get("/health")).await;
                let is_well = matches!(probed, Ok(Ok((200, _))));
                format!(
                    "probe_success{{container=\"{}\"}} {}\n",
                    patient.name,
                    u8::from(is_well)
                )
            });
            futures::future::join_all(probes).await.concat()
        }
    };
    let routes = axum::Router::new().route("/metrics", axum::routing::get(scraped));
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address.to_string()
}

/// Five rules: three about the first container, one about each of the others. None fires for one probe that was late.
fn rules(patients: &[Container]) -> Value {
    let rule = |name: &str, patient: &Container| {
        let failing = format!(
            "max_over_time(probe_success{{container=\"{}\"}}[3s]) == 0",
            patient.name
        );
        json!({"alert": name, "expr": failing, "labels": {"severity": "critical"},
            "annotations": {"summary": "{{ $labels.container }} does not answer"}})
    };
    let all = [
        rule("CheckoutStuck", &patients[0]),
        rule("CartStuck", &patients[0]),
        rule("LoginStuck", &patients[0]),
        rule("QueueStuck", &patients[1]),
        rule("SearchStuck", &patients[2]),
    ];
    json!({"groups": [{"name": "shop", "rules": all}]})
}

fn prometheus(rules: &str, aegisops: &str, token: &str, exporter: &str, alertmanager: &str) -> String {
    let own = repository().join("examples/monitoring/aegisops.rules.yml");
    // JSON is YAML.
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s",
            "external_labels": {"stack": "shop"}},
        "rule_files": [rules, own],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {"job_name": "aegisops", "authorization": {"credentials": token}, "static_configs": [{"targets": [aegisops]}]},
            {"job_name": "probes", "static_configs": [{"targets": [exporter]}]},
        ],
    })
    .to_string()
}

fn alertmanager(aegisops: &str) -> String {
    json!({
        "route": {"receiver": "aegisops", "group_by": ["stack"], "group_wait": "3s", "group_interval": "1s",
            "repeat_interval": "1h"},
        "receivers": [{"name": "aegisops", "webhook_configs": [{
            "url": format!("http://{aegisops}/webhook/alertmanager"), "send_resolved": true,
            "http_config": {"authorization": {"credentials": WEBHOOK_TOKEN}},
        }]}],
    })
    .to_string()
}

/// The alerts of the only group that Alertmanager has, if it has so many.
async fn group_of(alertmanager: &Monitor, alerts: usize) -> Result<(), String> {
    let groups = alertmanager.get("/api/v2/alerts/groups").await?;
    let counts: Vec<usize> = groups
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| group["alerts"].as_array().map_or(0, Vec::len))
        .collect();
    match counts == [alerts] {
        true => Ok(()),
        false => Err(format!("groups of {counts:?} alerts")),
    }
}

/// Incidents by the container that they are about.
async fn about(api: &Api, container: &str) -> Vec<Value> {
    let mut all = api.list("Incident").await;
    all.retain(|incident| incident["spec"]["containerName"] == container);
    all
}

/// The only incident about a container, as `look` wants it.
async fn only(api: &Api, container: &str, what: &str, look: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the incident about {container} {what}"), async || {
        let all = about(api, container).await;
        match &all[..] {
            [incident] if look(incident) => Ok(incident.clone()),
            other => Err(json!(other).to_string()),
        }
    })
    .await
}

fn joined(incident: &Value) -> Vec<Value> {
    incident["spec"]["source"]["joined"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_alertmanager_report_what_is_healed_and_their_resolve_messages_say_so_on_the_incidents()
 {
    let world = World::new().await;
    let mut patients = Vec::new();
    for name in ["shop", "queue", "search"] {
        patients.push(world.patient(name).memory_mb(64).start().await);
    }
    // A slow machine's burst is one burst, too.
    let launch = world.controller().env("AEGIS_COALESCE_SECS", "20");
    let controller = launch.start().await;
    let api = controller.api();
    for patient in &patients {
        api.apply(&manifests::adopting(&patient.name, 1)).await;
        api.apply(&manifests::policy(&patient.name, &json!({"mode": "Approve"})))
            .await;
    }
    for patient in &patients {
        api.workload_ready(&patient.name, 1).await;
    }
    let aegisops = controller.launch().address().to_string();
    let mut alertmanager = Monitor::alertmanager(&world, &alertmanager(&aegisops)).await;
    let rules = world.file("rules.yml", &rules(&patients).to_string());
    let config = prometheus(
        &rules.display().to_string(),
        &aegisops,
        &controller.admin_token(),
        &exporter(patients.clone()).await,
        &alertmanager.address().to_string(),
    );
    let prometheus = Monitor::prometheus(&world, &config).await;
    eventually("Prometheus scrapes the controller and the probes", async || {
        let targets = prometheus.get("/api/v1/targets?state=active").await?;
        let targets = targets["data"]["activeTargets"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_up = |target: &Value| target["health"] == "up";
        match targets.len() == 2 && targets.iter().all(is_up) {
            true => Ok(()),
            false => Err(json!(targets).to_string()),
        }
    })
    .await;
    eventually("every rule is evaluated, those that we ship, too", async || {
        let groups = prometheus.get("/api/v1/rules").await?;
        let groups = groups["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().into_iter().flatten())
            .collect();
        match rules.len() > 5 && rules.iter().all(|rule| rule["health"] == "ok") {
            true => Ok(()),
            false => Err(json!(rules).to_string()),
        }
    })
    .await;
    assert_eq!(api.list("Incident").await.len(), 0, "all is well");

    futures::future::join_all(patients.iter().map(|patient| patient.trigger("hang"))).await;
    eventually("one group of five", async || group_of(&alertmanager, 5).await).await;
    let waits = |incident: &Value| incident["status"]["phase"] == "AWAITING_APPROVAL";
    let shop = only(
        &api,
        &patients[0].name,
        "waits for approval and lists two alerts",
        |incident| waits(incident) && joined(incident).len() == 2,
    )
    .await;
    assert_eq!(shop["spec"]["source"]["kind"], "webhook/alertmanager");
    assert_eq!(shop["spec"]["severity"], "critical");
    for patient in &patients[1..] {
        let incident = only(&api, &patient.name, "waits for approval", waits).await;
        assert_eq!(joined(&incident), Vec::<Value>::new(), "{incident:#}");
    }
    let metrics = api
        .request(reqwest::Method::GET, "/metrics")
        .header("accept", "text/plain");
    let (_, metrics) = api.ask(metrics).await.expect("metrics");
    let metrics = metrics.as_str().unwrap_or_default().to_owned();
    for (outcome, count) in [("opened", 3), ("folded", 2)] {
        let line =
            format!(r#"aegis_intake_alerts_total{{sender="alertmanager",outcome="{outcome}"}} {count}"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }

    // It keeps what it has sent; Prometheus brings the alerts again.
    alertmanager.restart().await;
    eventually("the group is there again", async || {
        group_of(&alertmanager, 5).await
    })
    .await;
    let mut names = Vec::new();
    for patient in &patients {
        let incident = only(&api, &patient.name, "still waits", waits).await;
        let name = incident["metadata"]["name"].as_str().expect("a name").to_owned();
        let hash = &incident["status"]["plan"]["hash"];
        let approval = json!({"decision": "Approve", "by": "ada", "planHash": hash});
        api.merge_ok("Incident", &name, &json!({"spec": {"approval": approval}}))
            .await;
        names.push(name);
    }
    for (name, patient) in names.iter().zip(&patients) {
        api.resolved(name).await;
        patient.answers().await;
    }
    // And that is what Prometheus and Alertmanager find by themselves.
    for patient in &patients {
        let over = only(&api, &patient.name, "is said to be over", |incident| {
            let is_over = |alert: &Value| alert["resolvedAt"].is_string();
            is_over(&incident["spec"]["source"]) && joined(incident).iter().all(is_over)
        })
        .await;
        assert_eq!(over["status"]["phase"], "RESOLVED", "{over:#}");
        let name = over["metadata"]["name"].as_str().expect("a name");
        // A condition says so where the message came before the end, else an event.
        let events = api.events("Incident", name).await;
        let by_event = events.iter().any(|event| event["reason"] == "SenderResolved");
        let condition = condition(&over, ConditionType::SenderResolved);
        assert!(by_event || condition["status"] == "True", "{over:#} {events:#?}");
        let starts = world.events().count(&patient.name, "start").await;
        assert_eq!(starts, 2, "started by the test and restarted once");
    }
    assert_eq!(api.list("Incident").await.len(), 3, "no message opened another");
}
