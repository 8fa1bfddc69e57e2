//! The contract with existing clients, route by route, over a real store.

use aegis_api::kinds::find;
use aegis_api::observed::ContainerState;
use aegis_api::wire::{ContainerMetrics, ContainerRow, Edge, EdgeLabel, Node, NodeType, Topology};
use aegis_api::{Incident, Kind as _};
use aegis_runtime::{Part, Stored};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::testing::{Answer, Server, config};

mod alerts;
mod storms;

async fn create(server: &Server, kind: &str, name: &str, spec: Value) {
    let object =
        json!({"apiVersion": aegis_api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
    server
        .store
        .create(find(kind).unwrap(), object, false)
        .await
        .unwrap();
}

async fn status(server: &Server, kind: &str, name: &str, status: Value) {
    let edit = move |current: &Stored| {
        let mut object = current.value();
        object["status"] = status;
        Ok(object)
    };
    server
        .store
        .edit(find(kind).unwrap(), name, Part::Status, false, edit)
        .await
        .unwrap();
}

async fn alert(server: &Server, body: Value) -> Answer {
    server.ask("POST", "/webhook", Some(body)).await
}

fn incidents(server: &Server) -> Vec<std::sync::Arc<Incident>> {
    server.store.list::<Incident>()
}

#[tokio::test]
async fn an_alert_is_answered_with_the_incident_it_opened() {
    let server = Server::start().await;
    create(&server, "Workload", "patient", json!({"container": "web"})).await;
    let sent = json!({"incident_id": "INC/1", "alert_type": "Memory Leak", "logs": "oom", "container_name": "web",
        "severity": "CRITICAL", "timestamp": "2026-01-31T12:00:00Z", "details": {"message": "m"}});
    let answer = alert(&server, sent).await;
    assert_eq!(answer.code, 200);
    let result = answer.json();
    assert_eq!(
        (&result["incident_id"], &result["alert_type"]),
        (&json!("INC/1"), &json!("Memory Leak"))
    );
    assert_eq!(
        (&result["status"], &result["timeline"][0]["status"]),
        (&json!("RECEIVED"), &json!("RECEIVED"))
    );
    for null in ["analysis", "council_decision", "resolved_at", "error"] {
        assert!(result[null].is_null(), "{null}");
    }
    assert_eq!(result["replicas_spawned"], 0);
    let incident = incidents(&server).pop().unwrap();
    assert!(incident.name().starts_with("inc-1-"));
    let spec = &incident.spec;
    assert_eq!(spec.workload_ref.as_ref().unwrap().as_str(), "patient");
    assert_eq!(spec.container_name.as_ref().unwrap().as_str(), "web");
    assert_eq!(spec.source.labels["details.message"], "m");
    assert_eq!(spec.source.fingerprint, "INC/1");
    let file = server
        .folder
        .path()
        .join(format!("incidents/{}.yaml", incident.name()));
    assert!(
        std::fs::read_to_string(file).unwrap().contains("INC/1"),
        "it is durable before the answer"
    );
}

#[tokio::test]
async fn the_same_alert_again_is_the_same_incident() {
    let server = Server::start().await;
    let sent = json!({"incident_id": "i-1", "alert_type": "x", "container_name": "unknown-container"});
    alert(&server, sent.clone()).await;
    alert(&server, sent.clone()).await;
    let open = incidents(&server);
    assert_eq!((open.len(), open[0].spec.count), (1, 2));
    assert!(open[0].spec.workload_ref.is_none());
    status(
        &server,
        "Incident",
        "i-1",
        json!({"phase": "FAILED", "finishedAt": jiff::Timestamp::now().to_string(), "timeline": []}),
    )
    .await;
    assert_eq!(alert(&server, sent).await.json()["status"], "FAILED");
    server.flush().await;
    assert_eq!(
        incidents(&server)[0].spec.count,
        3,
        "an incident that ended a moment ago is answered as it is, and counts the repeat"
    );
}

#[tokio::test]
async fn alerts_with_one_fingerprint_are_one_incident_while_it_is_open() {
    let server = Server::start().await;
    let sent = |id: &str| json!({"incident_id": id, "alert_type": "x", "fingerprint": "f"});
    let all = (0..20).map(|n| alert(&server, sent(&format!("i-{n}"))).boxed_local());
    let answers = futures::future::join_all(all).await;
    let first = &answers[0].json()["incident_id"];
    assert!(
        answers
            .iter()
            .all(|answer| answer.json()["incident_id"] == *first)
    );
    server.flush().await;
    let open = incidents(&server);
    assert_eq!((open.len(), open[0].spec.count), (1, 20));
    let name = open[0].name().to_owned();
    status(
        &server,
        "Incident",
        &name,
        json!({"phase": "RESOLVED", "finishedAt": "2026-01-31T12:00:00Z", "timeline": []}),
    )
    .await;
    alert(&server, sent("later")).await;
    assert_eq!(incidents(&server).len(), 2);
}

#[tokio::test]
async fn an_id_whose_name_is_taken_gets_another_name() {
    let server = Server::start().await;
    create(
        &server,
        "Incident",
        "i-1",
        json!({"containerName": "web", "alertType": "x", "source": {"incidentId": "other"}}),
    )
    .await;
    assert_eq!(
        alert(&server, json!({"incident_id": "i-1", "alert_type": "y"}))
            .await
            .json()["incident_id"],
        "i-1"
    );
    assert_eq!(incidents(&server).len(), 2);
    alert(&server, json!({"incident_id": "i-1", "alert_type": "y"})).await;
    assert_eq!(incidents(&server).len(), 2);
    assert_eq!(server.get("/incidents/i-1").await.json()["alert_type"], "y");
}

#[tokio::test]
async fn an_alert_that_lacks_a_field_is_refused_by_the_name_of_the_field() {
    let server = Server::start().await;
    let answer = alert(&server, json!({"alert_type": "x"})).await;
    assert_eq!(answer.code, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [{"loc": ["body", "incident_id"], "msg": "Field required", "type": "missing"}]})
    );
    let answer = server
        .ask_with("POST", "/webhook", &[], Some("not json".to_owned()))
        .await;
    assert_eq!(
        (answer.code.as_u16(), &answer.json()["detail"][0]["type"]),
        (422, &json!("json_invalid"))
    );
    let large = json!({"incident_id": "i", "alert_type": "x", "logs": "x".repeat(1 << 20)});
    let answer = alert(&server, large).await;
    assert_eq!(
        (answer.code.as_u16(), &answer.json()["kind"]),
        (413, &json!("Status"))
    );
}

#[test]
fn no_alert_whatever_it_holds_is_the_server_s_fault() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::start());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\x00-\\x1f\u{85}\u{2028}\u{feff}:#&*!|>'\"%@`,\\[\\]{}-]{0,8}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(".{0,12}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let known = proptest::sample::select(vec![
        "incident_id",
        "alert_type",
        "logs",
        "container_name",
        "severity",
        "timestamp",
        "fingerprint",
        "url",
        "details",
    ]);
    let fields = proptest::collection::btree_map(known.prop_map(str::to_owned), value.clone(), 0..9);
    let extra = proptest::collection::btree_map(".{0,12}", value, 0..4);
    let alerts = (fields, extra, ".{1,60}", any::<bool>()).prop_map(|(fields, extra, id, whole)| {
        let mut body: serde_json::Map<String, Value> = fields.into_iter().chain(extra).collect();
        if whole {
            body.insert("incident_id".to_owned(), id.into());
            body.insert("alert_type".to_owned(), "x".into());
            body.remove("container_name");
        }
        Value::Object(body)
    });
    // Many at once: they share one durable write.
    let check = |bodies: Vec<Value>| {
        let answers = bodies.into_iter().map(|body| alert(&server, body));
        for answer in runtime.block_on(futures::future::join_all(answers)) {
            let answered = (answer.code.as_u16(), &answer.text);
            prop_assert!(matches!(answered.0, 200 | 422), "{:?}", answered);
            if answer.code == 200 {
                let id = answer.json()["incident_id"].as_str().unwrap().to_owned();
                let path = format!("/incidents/{}", encoded(&id));
                let found = runtime.block_on(server.get(&path));
                prop_assert_eq!(found.code.as_u16(), 200, "{}", path);
            }
        }
        Ok(())
    };
    let mut runner = TestRunner::new(proptest::test_runner::Config {
        cases: 24,
        failure_persistence: None,
        ..Default::default()
    });
    runner
        .run(&proptest::collection::vec(alerts, 1..24), check)
        .unwrap();
    assert!(
        server.store.broken_files().is_empty(),
        "what was stored reads back: {:?}",
        server.store.broken_files()
    );
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn incidents_are_found_by_id_and_by_name_and_listed_by_age() {
    let server = Server::start().await;
    alert(&server, json!({"incident_id": "B 1", "alert_type": "x"})).await;
    create(
        &server,
        "Incident",
        "a-by-hand",
        json!({"containerName": "web", "alertType": "y"}),
    )
    .await;
    let all = server.get("/incidents").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(server.get("/incidents/B%201").await.json()["alert_type"], "x");
    assert_eq!(
        server.get("/incidents/a-by-hand").await.json()["incident_id"],
        "a-by-hand"
    );
    let none = server.get("/incidents/none").await;
    assert_eq!(
        (none.code.as_u16(), none.json()),
        (404, json!({"detail": "Incident not found."}))
    );
}

#[tokio::test]
async fn the_host_is_shown_as_it_was_last_seen() {
    let server = Server::start().await;
    let (name, running, image) = ("web".to_owned(), ContainerState::Running, "web:1".to_owned());
    let row = ContainerRow {
        name: name.clone(),
        status: running,
        image: image.clone(),
        id: "0123456789ab".to_owned(),
    };
    server.host.set_containers(vec![row]);
    let load = ContainerMetrics {
        name: name.clone(),
        cpu_percent: 1.5,
        memory_mb: 10.0,
        memory_limit_mb: 100.0,
        memory_percent: 10.0,
        net_rx_bytes: 1,
        net_tx_bytes: 2,
        status: running,
        uptime_seconds: 3.0,
        image: image.clone(),
    };
    server.host.set_metrics(vec![load]);
    let node = Node {
        id: name.clone(),
        kind: NodeType::App,
        status: running,
        image,
    };
    let edge = Edge {
        from: "agent".to_owned(),
        to: name,
        label: EdgeLabel::Monitors,
    };
    server.host.set_topology(Topology {
        nodes: vec![node],
        edges: vec![edge],
    });
    assert_eq!(
        server.get("/containers").await.json(),
        json!([{"name": "web", "status": "running", "image": "web:1", "id": "0123456789ab"}])
    );
    assert_eq!(
        server.get("/metrics").await.json(),
        json!([{"name": "web", "cpu_percent": 1.5, "memory_mb": 10.0, "memory_limit_mb": 100.0, "memory_percent": 10.0,
            "net_rx_bytes": 1, "net_tx_bytes": 2, "status": "running", "uptime_seconds": 3.0, "image": "web:1"}])
    );
    assert_eq!(
        server.get("/topology").await.json(),
        json!({"nodes": [{"id": "web", "type": "app", "status": "running", "image": "web:1"}],
            "edges": [{"from": "agent", "to": "web", "label": "monitors"}]})
    );
    assert_eq!(
        server.get("/health").await.json(),
        json!({"status": "ok", "mode": "GOD_MODE", "version": "1.2.3", "ws_clients": 0})
    );
}

#[tokio::test]
async fn a_scraper_gets_prometheus_text_and_a_page_gets_json() {
    let server = Server::start().await;
    server.get("/incidents/x").await;
    let scrape = async |accept: &str| {
        server
            .ask_with("GET", "/metrics", &[("accept", accept)], None)
            .await
    };
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let text = scrape(prometheus).await;
    assert!(
        text.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(text.text.ends_with("# EOF\n"));
    let plain = scrape("text/plain").await;
    assert!(
        plain.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let counted = "aegis_http_requests_total{method=\"GET\",route=\"/incidents/{id}\",code=\"404\"} 1";
    assert!(plain.text.contains(counted), "{}", plain.text);
    assert!(scrape("text/html,*/*").await.json().is_array());
}

#[tokio::test]
async fn what_detectors_read_is_shown_to_pages_and_to_scrapers() {
    let server = Server::start().await;
    let make = async |name: &str, spec: Value, rows: Value| {
        create(&server, "Detector", name, spec).await;
        let of = json!({"workloads": rows, "firing": 0, "incidentsOpened": 0});
        status(&server, "Detector", name, of).await;
    };
    let row = |workload: &str, firing: bool, value: Value| json!({"workload": workload, "firing": firing, "condition": "False", "value": value, "message": "read"});
    let rows = json!([row("web", true, json!(91.5)), row("db", false, json!(12.0))]);
    make(
        "memory",
        json!({"signal": "Memory", "threshold": 80.0, "alertType": "high"}),
        rows,
    )
    .await;
    let rows = json!([row("web", true, Value::Null), row("db", false, Value::Null)]);
    make("down", json!({"signal": "Down", "alertType": "down"}), rows).await;

    let shown = server.get("/detectors").await.json();
    assert_eq!(
        (&shown[0]["name"], &shown[1]["name"]),
        (&json!("down"), &json!("memory"))
    );
    assert_eq!(shown[1]["readings"].as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(
        (&shown[1]["readings"][0]["workload"], &shown[1]["threshold"]),
        (&json!("web"), &json!(80.0))
    );

    let scraped = server
        .ask_with("GET", "/metrics", &[("accept", "text/plain")], None)
        .await
        .text;
    let lines = scraped.lines().filter(|line| line.starts_with("aegis_detector_"));
    let mut lines: Vec<&str> = lines.collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "aegis_detector_firing{detector=\"down\",workload=\"web\"} 1",
            "aegis_detector_firing{detector=\"memory\",workload=\"web\"} 1",
            "aegis_detector_value{detector=\"memory\",workload=\"db\"} 12.0",
            "aegis_detector_value{detector=\"memory\",workload=\"web\"} 91.5",
        ]
    );
}

#[tokio::test]
async fn the_runbook_comes_in_pages_of_one_moment_and_whole_to_who_asks_for_none() {
    let server = Server::start().await;
    let add = async |number: usize| {
        let entry = json!({"incidentId": format!("INC-{number}"), "alertType": "Leak", "rootCause": "leak",
            "action": "RESTART", "confidence": 0.9});
        create(&server, "RunbookEntry", &format!("rb-{number}"), entry).await;
    };
    for number in 0..5 {
        add(number).await;
    }
    let whole = server.get("/runbook").await.json();
    assert_eq!((&whole["total"], whole.get("continue")), (&json!(5), None));
    assert_eq!(whole["entries"].as_array().unwrap().len(), 5);
    let (mut ids, mut next) = (Vec::new(), String::new());
    loop {
        let page = server
            .get(&format!("/runbook?limit=2&continue={next}"))
            .await
            .json();
        assert_eq!(page["total"], 5, "also once there are more: {page}");
        let entries = page["entries"].as_array().unwrap();
        assert!((1..=2).contains(&entries.len()));
        ids.extend(
            entries
                .iter()
                .map(|entry| entry["incident_id"].as_str().unwrap().to_owned()),
        );
        add(10 + ids.len()).await;
        match page["continue"].as_str() {
            Some(more) => more.clone_into(&mut next),
            None => break,
        }
    }
    assert_eq!(ids, ["INC-0", "INC-1", "INC-2", "INC-3", "INC-4"]);
    for none in ["limit=all", "limit=-1", "limit="] {
        let whole = server.get(&format!("/runbook?{none}")).await.json();
        let total = whole["entries"].as_array().unwrap().len();
        assert_eq!(whole["total"], total, "{none}");
        assert_eq!(whole.get("continue"), None, "{none}");
    }
    for bad in ["limit=x&continue=x", "limit=2&continue=x", "continue=x"] {
        let refused = server.get(&format!("/runbook?{bad}")).await;
        assert_eq!(refused.code, StatusCode::BAD_REQUEST, "{}", refused.text);
    }
}

#[tokio::test]
async fn a_long_runbook_is_written_piece_by_piece() {
    let server = Server::start().await;
    for number in 0..20 {
        let entry = json!({"incidentId": format!("INC-{number}"), "alertType": "Leak", "rootCause": "leak",
            "action": "RESTART", "confidence": 0.9, "logs": "x".repeat(16_000)});
        create(&server, "RunbookEntry", &format!("rb-{number}"), entry).await;
    }
    let request = Request::get("/runbook").header("authorization", "Bearer admin-token");
    let mut body = server
        .send(request.body(Body::empty()).unwrap())
        .await
        .into_body();
    let (mut most, mut frames) = (0, 0);
    while let Some(frame) = body.frame().await {
        most = most.max(frame.unwrap().into_data().unwrap().len());
        frames += 1;
    }
    assert!(
        frames >= 4 && most < 128 << 10,
        "{frames} pieces of at most {most} bytes"
    );
}

#[tokio::test]
async fn the_runbook_and_retrieval_show_entries() {
    let server = Server::start().await;
    let entry = json!({"incidentId": "INC-1", "alertType": "Memory Leak", "rootCause": "leak", "action": "RESTART",
        "confidence": 0.9, "logs": "x".repeat(400)});
    create(&server, "RunbookEntry", "rb-1", entry).await;
    let runbook = server.get("/runbook").await.json();
    assert_eq!(
        (&runbook["total"], &runbook["entries"][0]["root_cause"]),
        (&json!(1), &json!("leak"))
    );
    let none = server.get("/rag/test?logs=the").await.json();
    assert_eq!((&none["count"], &none["wordless"]), (&json!(0), &json!(true)));
    let found = server.get("/rag/test?logs=oom+killed").await.json();
    assert!(found.get("wordless").is_none(), "{found}");
    assert_eq!(
        (&found["query"], &found["count"]),
        (&json!("oom killed"), &json!(1))
    );
    let row = &found["retrieved"][0];
    assert_eq!(
        (&row["similarity_score"], row["logs"].as_str().unwrap().len()),
        (&json!(0.1235), 300)
    );
    assert_eq!(
        found["operations"][0]["similarity_score"],
        json!(0.6543),
        "{found}"
    );
    // One success, which is what an entry begins with, and no failure: (1 + 1) / (1 + 2).
    assert_eq!(
        (&row["trust"], &row["recommended"]),
        (&json!(0.6667), &json!(true))
    );

    let failing = json!({"spec": {"outcomes": {"successes": 1, "failures": 4}}});
    let path = "/apis/aegisops.io/v1alpha1/namespaces/default/runbookentries/rb-1";
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = server
        .ask_with("PATCH", path, &merge, Some(failing.to_string()))
        .await;
    assert!(patched.code.is_success(), "{}", patched.text);
    let found = server.get("/rag/test?logs=oom+killed").await.json();
    let row = &found["retrieved"][0];
    assert_eq!(
        (&row["trust"], &row["recommended"]),
        (&json!(0.2857), &json!(false))
    );
}

/// Plays the reconcilers: makes status follow spec.
async fn converge(server: &Server, replicas: usize) {
    let names: Vec<String> = std::iter::once("buggy-app-v2".to_owned())
        .chain((1..replicas).map(|n| format!("buggy-app-v2-replica-{n}")))
        .collect();
    let instances: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({"name": name, "id": format!("id-{name}"), "index": index, "state": "running", "health": "Healthy",
                "revision": "r", "addresses": {"net": "1.2.3.4"}})
        })
        .collect();
    let generation = server
        .store
        .get::<aegis_api::Workload>("patient")
        .unwrap()
        .generation();
    let ready = json!({"type": "Ready", "status": "True", "reason": "Serving", "message": "",
        "lastTransitionTime": "2026-01-31T12:00:00Z"});
    let seen = json!({"observedGeneration": generation, "replicas": replicas, "readyReplicas": replicas,
        "updatedReplicas": replicas, "instances": instances, "conditions": [ready]});
    status(server, "Workload", "patient", seen).await;
    let servers: Vec<Value> = names
        .iter()
        .map(|name| json!({"upstream": "u", "workload": "patient", "container": name, "id": format!("id-{name}"), "address": "1.2.3.4:80"}))
        .collect();
    let count = servers.len();
    status(
        server,
        "LoadBalancer",
        "front",
        json!({"servers": servers, "serverCount": count}),
    )
    .await;
}

async fn patient() -> Server {
    let server = Server::start().await;
    create(
        &server,
        "Workload",
        "patient",
        json!({"container": "buggy-app-v2"}),
    )
    .await;
    let backends = json!([{"workload": "patient", "port": 8000, "upstream": "buggy_app"}]);
    create(
        &server,
        "LoadBalancer",
        "front",
        json!({"container": "aegis-lb", "backends": backends}),
    )
    .await;
    converge(&server, 1).await;
    server
}

#[tokio::test]
async fn scaling_is_answered_when_the_replicas_serve() {
    let server = patient().await;
    let (answer, ()) = tokio::join!(server.ask("POST", "/scale/up?count=2", None), async {
        let wanted = async || {
            server
                .store
                .get::<aegis_api::Workload>("patient")
                .unwrap()
                .spec
                .replicas
        };
        while wanted().await != 3 {
            tokio::task::yield_now().await;
        }
        converge(&server, 3).await;
    });
    assert_eq!(answer.code, 200, "{}", answer.text);
    let event = answer.json();
    assert_eq!(
        (&event["container_base"], &event["replica_count"]),
        (&json!("buggy-app-v2"), &json!(2))
    );
    assert_eq!(
        event["replicas"],
        json!(["buggy-app-v2-replica-1", "buggy-app-v2-replica-2"])
    );
    assert_eq!(event["lb_configured"], true);
    assert!(event["timestamp"].is_string());
    let (answer, ()) = tokio::join!(server.ask("POST", "/scale/down", None), async {
        while server
            .store
            .get::<aegis_api::Workload>("patient")
            .unwrap()
            .spec
            .replicas
            != 1
        {
            tokio::task::yield_now().await;
        }
        converge(&server, 1).await;
    });
    assert_eq!(
        answer.json(),
        json!({"removed": ["buggy-app-v2-replica-1", "buggy-app-v2-replica-2"]})
    );
}

#[tokio::test]
async fn who_scales_what_is_autoscaled_is_answered_how_long_that_holds_also_by_a_warning() {
    let server = patient().await;
    let autoscale = |hold: &str| json!({"min": 1, "max": 3, "holdAfterManual": hold, "targets": [{"metric": "Cpu", "percent": 50}]});
    // (holdAfterManual, path, replicas, words)
    for (hold, path, replicas, words) in [
        (
            "10m",
            "/scale/up?count=2",
            3,
            "autoscaled: 3 are held for 10m, until ",
        ),
        ("10m", "/scale/down", 1, "autoscaled: 1 are held for 10m, until "),
        (
            "0s",
            "/scale/up?count=1",
            2,
            "spec.autoscale decides at once, 1 to 3",
        ),
    ] {
        let spec = serde_json::from_value(autoscale(hold)).unwrap();
        let set = move |current: &aegis_api::Workload| {
            let mut wanted = current.spec.clone();
            wanted.autoscale = Some(spec);
            Ok(wanted)
        };
        let edited = server.store.edit_spec::<aegis_api::Workload, _>("patient", set);
        edited.await.unwrap();
        let (answer, ()) = tokio::join!(server.ask("POST", path, None), async {
            let wanted = || {
                let workload = server.store.get::<aegis_api::Workload>("patient");
                workload.unwrap().spec.replicas
            };
            while wanted() != replicas {
                tokio::task::yield_now().await;
            }
            converge(&server, usize::try_from(replicas).unwrap()).await;
        });
        assert_eq!(answer.code, 200, "{}", answer.text);
        let said = answer.json()["autoscale"].to_string();
        assert!(said.contains(words), "{path}: {said}");
        let warning = answer.headers.get("warning").map(|value| value.to_str().unwrap());
        assert!(
            warning.is_some_and(|warning| warning.starts_with("299 - ") && warning.contains(words)),
            "{path}: {warning:?}"
        );
    }
    // Where nothing owns the replicas there is nothing to be said.
    let plain = patient().await;
    let (answer, ()) = tokio::join!(plain.ask("POST", "/scale/down", None), converge(&plain, 1));
    assert_eq!(
        (answer.json(), answer.headers.get("warning")),
        (json!({"removed": []}), None)
    );
}

#[tokio::test]
async fn scaling_that_does_not_come_about_says_what_is_missing() {
    let server = patient().await;
    tokio::time::pause();
    let answer = server.ask("POST", "/scale/up?count=1", None).await;
    assert_eq!(answer.code, 504);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("the controller has not seen the change yet; 1 of 2 containers exist"),
        "{detail}"
    );
}

#[tokio::test]
async fn scaling_refuses_what_it_cannot_do() {
    let server = Server::start().await;
    let sideways = server.ask("POST", "/scale/sideways", None).await;
    assert_eq!(
        (sideways.code.as_u16(), sideways.json()),
        (400, json!({"detail": "direction must be 'up' or 'down'"}))
    );
    let none = server.ask("POST", "/scale/up", None).await;
    assert_eq!(none.code, 404);
    assert!(
        none.json()["detail"]
            .as_str()
            .unwrap()
            .contains("spec.container: buggy-app-v2")
    );
    let bad = server.ask("POST", "/scale/up?count=many", None).await;
    assert_eq!(
        (bad.code.as_u16(), &bad.json()["detail"][0]["loc"]),
        (422, &json!(["query", "count"]))
    );
    assert_eq!(
        server.ask("POST", "/scale/up?count=1&count=2", None).await.code,
        422
    );
}

#[tokio::test]
async fn what_is_refused_before_a_route_still_reads_like_the_others() {
    let server = Server::start().await;
    let none = server.get("/nope").await;
    assert_eq!(none.code, 404);
    assert!(none.json()["detail"].is_string());
    assert_eq!(server.get("/scale/up").await.code, 405);
    let request = Request::get("/incidents").body(Body::empty()).unwrap();
    let answer = Answer::of(server.send(request).await).await;
    assert_eq!(
        (answer.code.as_u16(), &answer.json()["detail"]),
        (401, &json!("Unauthorized"))
    );
    assert!(
        answer.headers["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
}

#[tokio::test]
async fn the_documents_are_open_and_the_page_runs_nothing() {
    let mut config = config();
    config.webhook_token = None;
    let server = Server::with(config).await;
    for path in ["/docs", "/docs/style.css", "/openapi.json", "/health", "/healthz"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(server.send(request).await.status(), 200, "{path}");
    }
    let policy = server.get("/docs").await.headers["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'none'"));
    assert_eq!(
        server.get("/openapi.json").await.json()["info"]["version"],
        "1.2.3"
    );
}

#[tokio::test]
async fn no_path_and_no_query_gets_a_bare_rejection() {
    let server = Server::start().await;
    for path in [
        "/incidents/%FF",
        "/scale/%FF",
        "/rag/test?logs=a&logs=b",
        "/ws?since=x",
        "/api/v1/namespaces/%FF/events",
        "/apis/aegisops.io/v1alpha1/namespaces/%FF/workloads",
        "/apis/aegisops.io/v1alpha1/workloads?timeoutSeconds=x",
        "/%FF",
    ] {
        let answer = server.get(path).await;
        assert!(answer.code.is_client_error(), "{path}: {}", answer.code);
        assert!(answer.json().is_object(), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_history_of_the_load_is_served_and_a_window_that_is_none_is_refused() {
    let server = Server::start().await;
    let answer = server.get("/metrics/history?minutes=5").await.json();
    assert_eq!(answer, json!({"intervalSeconds": 0, "series": []}));
    for odd in ["0", "1441", "-1", "x", "5&minutes=5"] {
        let answer = server.get(&format!("/metrics/history?minutes={odd}")).await;
        assert_eq!(answer.code, 422, "{odd}");
    }
    let many = "name=web&".repeat(101);
    assert_eq!(server.get(&format!("/metrics/history?{many}")).await.code, 422);
    for fine in ["", "?minutes=1440", "?minutes=60&name=web&name=db", "?other=1"] {
        let answer = server.get(&format!("/metrics/history{fine}")).await;
        assert_eq!(answer.code, 200, "{fine}");
    }
}

#[tokio::test]
async fn a_search_that_takes_long_holds_up_no_other_request() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let released = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let was_released = std::sync::Arc::clone(&released);
    let recall: crate::Recall = std::sync::Arc::new(move |_| {
        let waited = wait
            .lock()
            .unwrap()
            .recv_timeout(std::time::Duration::from_secs(20));
        was_released.store(waited.is_ok(), std::sync::atomic::Ordering::SeqCst);
        crate::RagHits::default()
    });
    let server = Server::searching(crate::testing::config(), recall).await;
    let other = async {
        let answer = server.get("/incidents").await;
        go_on.send(()).unwrap_or_default();
        answer.code
    };
    let (search, other) = tokio::join!(server.get("/rag/test?logs=oom"), other);
    assert_eq!((search.code.as_u16(), other.as_u16()), (200, 200));
    assert!(
        released.load(std::sync::atomic::Ordering::SeqCst),
        "the other was answered meanwhile"
    );
}
