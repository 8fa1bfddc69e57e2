//! Promise: clients of the earlier system keep working, unchanged: every route, field and frame of the wire contract, as
//! a client without a token sees it.

use std::collections::BTreeSet;

use aegis_tests::live::Live;
use aegis_tests::{Api, Container, Controller, Nginx, World, eventually, manifests};
use reqwest::Method;
use serde_json::{Value, json};

struct Stage {
    controller: Controller,
    api: Api,
    patient: Container,
    front: Nginx,
    /// Last: it is dropped when no controller is left that would recreate containers.
    world: World,
}

/// The whole stack, opened for clients without a token.
async fn stage() -> Stage {
    let world = World::new().await;
    let patient = world.patient("buggy").memory_mb(64).start().await;
    let front = world.nginx("lb").await;
    let launch = world
        .controller()
        .flag("--anonymous-role", "operator")
        .env("METRICS_INTERVAL_SECS", "1");
    let controller = launch.env("TARGET_CONTAINER", &patient.name).start().await;
    let admin = controller.api();
    admin.apply(&manifests::adopting(&patient.name, 1)).await;
    admin
        .apply(&manifests::balancing(&front.name, &patient.name))
        .await;
    admin.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    admin.balancer_serves(&front.name, 1).await;
    let api = controller.api_as(None);
    Stage {
        world,
        controller,
        api,
        patient,
        front,
    }
}

impl Stage {
    fn alert(&self, id: &str) -> Value {
        json!({
            "incident_id": id, "alert_type": "memory_leak", "logs": "CRITICAL memory 91 %\n",
            "container_name": self.patient.name, "severity": "CRITICAL", "timestamp": "2026-01-31T12:00:00Z",
            "details": {"message": "so many MB"}, "anything": 7,
        })
    }

    /// Makes the patient sick, reports it and waits for the end.
    async fn heal(&self, id: &str) -> Value {
        self.patient.trigger("hang").await;
        let (status, body) = self.api.post("/webhook", &self.alert(id)).await;
        assert_eq!(status, 200, "{body}");
        eventually("the incident ends", async || {
            let result = self.api.get_ok(&format!("/incidents/{id}")).await;
            if result["status"] == "RESOLVED" {
                Ok(result)
            } else {
                Err(result.to_string())
            }
        })
        .await
    }
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

fn names(list: &str) -> BTreeSet<&str> {
    list.split_whitespace().collect()
}

const RESULT: &str =
    "incident_id alert_type analysis council_decision status resolved_at error replicas_spawned timeline";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_answered_at_once_with_the_incident_and_a_repeat_is_the_same_incident() {
    let stage = stage().await;
    let (status, first) = stage.api.post("/webhook", &stage.alert("Leak/1")).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(fields(&first), names(RESULT));
    assert_eq!(
        (&first["incident_id"], &first["status"]),
        (&"Leak/1".into(), &"RECEIVED".into())
    );
    assert_eq!(first["analysis"], Value::Null);

    let (status, second) = stage.api.post("/webhook", &stage.alert("Leak/1")).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(second["incident_id"], "Leak/1");
    let all = stage.api.get_ok("/incidents").await;
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    let incidents = stage.controller.api().list("Incident").await;
    assert_eq!(incidents.len(), 1);
    let spec = &incidents[0]["spec"];
    assert_eq!(spec["count"], 2, "the repeat is counted: {spec}");
    assert_eq!(spec["severity"], "critical");
    let kept = spec["source"]["labels"].to_string();
    assert!(
        kept.contains("so many MB") && kept.contains("anything"),
        "further fields are kept: {kept}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_webhook_is_refused_and_the_field_is_named() {
    let stage = stage().await;
    for (body, field) in [
        (
            json!({"alert_type": "x", "container_name": stage.patient.name}),
            "incident_id",
        ),
        (
            json!({"incident_id": "x", "container_name": stage.patient.name}),
            "alert_type",
        ),
    ] {
        let (status, answer) = stage.api.post("/webhook", &body).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer.to_string().contains(field), "{body}: {answer}");
    }
    assert_eq!(stage.api.get_ok("/incidents").await, json!([]));
    let (status, answer) = stage.api.get("/incidents/missing").await;
    assert_eq!((status, answer), (404, json!({"detail": "Incident not found."})));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_s_result_its_runbook_entry_and_retrieval_have_the_shapes_of_the_contract() {
    let stage = stage().await;
    let result = stage.heal("INC-7").await;
    assert_eq!(fields(&result), names(RESULT));
    assert_eq!(
        fields(&result["analysis"]),
        names("root_cause action justification confidence replica_count")
    );
    let council = &result["council_decision"];
    assert_eq!(fields(council), names("votes final_verdict consensus summary"));
    let votes = council["votes"].as_array().unwrap();
    let roles: Vec<&str> = votes.iter().filter_map(|vote| vote["role"].as_str()).collect();
    assert_eq!(roles, ["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"]);
    assert_eq!(fields(&votes[0]), names("role verdict reasoning timestamp"));
    let timeline = result["timeline"].as_array().unwrap();
    assert_eq!(fields(&timeline[0]), names("ts status message agent"));
    let stages: Vec<&str> = timeline
        .iter()
        .filter_map(|entry| entry["status"].as_str())
        .collect();
    for wanted in names(
        "RECEIVED RAG_RETRIEVAL ANALYSING AI_COMPLETE COUNCIL_REVIEW COUNCIL_VOTE COUNCIL_DECISION APPROVED EXECUTING \
         RESTARTED LB_CONFIGURED VERIFYING RESOLVED",
    ) {
        assert!(stages.contains(&wanted), "{wanted} is not in {stages:?}");
    }
    assert!(
        result["resolved_at"].is_string() && result["error"].is_null(),
        "{result}"
    );

    let runbook = stage.api.get_ok("/runbook").await;
    assert_eq!(
        (fields(&runbook), &runbook["total"]),
        (names("entries total"), &json!(1))
    );
    let entry = &runbook["entries"][0];
    assert_eq!(
        fields(entry),
        names(
            "incident_id alert_type logs container_name severity root_cause action justification confidence \
             council_approved replicas_used resolved_at"
        )
    );
    assert_eq!(entry["incident_id"], "INC-7");
    let found = stage
        .api
        .get_ok("/rag/test?logs=memory_leak%20CRITICAL%20memory%2091%20%25")
        .await;
    assert_eq!(fields(&found), names("query retrieved count operations"));
    assert_eq!(found["count"], 1, "{found}");
    assert_eq!(
        fields(&found["retrieved"][0]),
        names(
            "incident_id alert_type root_cause action justification logs similarity_score container_name severity replicas_used \
             trust recommended"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_containers_metrics_and_topology_report_the_host() {
    let stage = stage().await;
    let health = stage.api.get_ok("/health").await;
    assert_eq!(fields(&health), names("status mode version ws_clients"));
    assert_eq!(
        (&health["status"], &health["mode"]),
        (&"ok".into(), &"GOD_MODE".into())
    );

    let containers = stage.api.get_ok("/containers").await;
    let rows = containers.as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["name"] == *stage.patient.name)
        .unwrap();
    assert_eq!(fields(row), names("name status image id"));
    assert_eq!(
        (&row["id"], &row["status"]),
        (&stage.patient.short_id().into(), &"running".into())
    );

    let name = stage.patient.name.as_str();
    let measured = eventually("the patient is measured", async || {
        let all = stage.api.get_ok("/metrics").await;
        let row = all
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["name"] == name))
            .cloned();
        row.ok_or_else(|| all.to_string())
    })
    .await;
    assert_eq!(
        fields(&measured),
        names(
            "name cpu_percent memory_mb memory_limit_mb memory_percent net_rx_bytes net_tx_bytes status uptime_seconds image"
        )
    );
    assert_eq!(measured["memory_limit_mb"].as_f64(), Some(64.0));
    let scraped = stage
        .api
        .request(Method::GET, "/metrics")
        .header("accept", "text/plain;version=0.0.4");
    let (status, text) = stage.api.ask(scraped).await.unwrap();
    assert_eq!(status, 200);
    let text = text.as_str().unwrap();
    assert!(
        text.contains("controller_runtime_reconcile_total{") && text.contains("# TYPE"),
        "{text}"
    );

    let routes = json!({"from": stage.front.name, "to": name, "label": "routes"});
    let topology = eventually("the picture shows who sends to whom", async || {
        let topology = stage.api.get_ok("/topology").await;
        let edges = topology["edges"].as_array();
        match edges.is_some_and(|edges| edges.contains(&routes)) {
            true => Ok(topology),
            false => Err(topology.to_string()),
        }
    })
    .await;
    assert_eq!(fields(&topology), names("nodes edges"));
    let nodes = topology["nodes"].as_array().unwrap();
    let node = |name: &str| {
        nodes
            .iter()
            .find(|node| node["id"] == name)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(fields(&node(name)), names("id type status image"));
    assert_eq!(node(name)["type"], "app");
    assert_eq!(node(&stage.front.name)["type"], "loadbalancer");
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_answers_when_the_replicas_serve_and_names_them() {
    let stage = stage().await;
    let name = &stage.patient.name;
    let (status, up) = stage.api.post("/scale/up?count=2", &Value::Null).await;
    assert_eq!(status, 200, "{up}");
    assert_eq!(
        fields(&up),
        names("container_base replica_count replicas lb_configured timestamp")
    );
    let replicas = json!([format!("{name}-replica-1"), format!("{name}-replica-2")]);
    assert_eq!(
        (&up["container_base"], &up["replica_count"], &up["replicas"]),
        (&json!(name), &json!(2), &replicas)
    );
    assert_eq!(up["lb_configured"], true);
    assert_eq!(
        stage.front.servers().await.len(),
        3,
        "they serve when it is answered"
    );

    let (status, down) = stage.api.post("/scale/down", &Value::Null).await;
    assert_eq!(status, 200, "{down}");
    assert_eq!(down, json!({"removed": replicas}));
    assert_eq!(stage.world.replica_names(name).await, Vec::<String>::new());

    let (status, refused) = stage.api.post("/scale/sideways", &Value::Null).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_stream_greets_answers_pings_replays_and_spares_who_asks_for_it() {
    let stage = stage().await;
    let live = stage.controller.live_as_anybody("").await;
    let greeting = live
        .until("the greeting", |frame| frame["type"] == "heartbeat")
        .await;
    assert_eq!(greeting["data"]["status"], "connected");
    live.say("ping").await;
    live.until("the answer to a ping", |frame| {
        frame["type"] == "heartbeat" && frame["data"] == json!({"status": "alive"})
    })
    .await;
    for kind in ["metrics", "container.list", "topology"] {
        live.until(kind, |frame| frame["type"] == kind).await;
    }

    let spared = stage.controller.live_as_anybody("?full_text=0").await;
    stage.heal("INC-9").await;
    let last = live
        .until("the end", |frame| {
            frame["type"] == "resolved" && frame["incident_id"] == "INC-9"
        })
        .await;
    let frames = pipeline(&live);
    for frame in &frames {
        assert_eq!(
            fields(frame),
            names("type incident_id data timestamp seq"),
            "{frame}"
        );
        assert_eq!(frame["data"]["incident_id"], "INC-9", "{frame}");
        the_data_is_as_promised(frame);
    }
    spared.until("the end", |frame| frame["type"] == "resolved").await;
    let lean = pipeline(&spared);
    let streamed = lean.iter().filter(|frame| frame["type"] == "ai.stream");
    assert!(
        streamed.clone().count() > 0 && streamed.clone().all(|frame| frame["data"]["full_text"].is_null())
    );

    let first = frames[0]["seq"].as_u64().unwrap();
    let again = stage
        .controller
        .live_as_anybody(&format!("?since={}", first - 1))
        .await;
    again
        .until("the replay's end", |frame| frame["seq"] == last["seq"])
        .await;
    let replayed = pipeline(&again);
    assert_eq!(
        replayed.iter().map(|frame| &frame["seq"]).collect::<Vec<_>>(),
        frames.iter().map(|frame| &frame["seq"]).collect::<Vec<_>>()
    );
}

/// The frames of the incident that clients of the earlier system know; ours come beside them.
fn pipeline(live: &Live) -> Vec<Value> {
    let mut frames = live.of_incident("INC-9");
    frames.retain(|frame| frame["type"] != "resource" && frame["type"] != "reconcile");
    frames
}

fn the_data_is_as_promised(frame: &Value) {
    let wanted = match frame["type"].as_str().unwrap_or_default() {
        "incident.new" => "incident_id alert_type logs",
        "status.update" => "incident_id status message",
        "ai.thinking" => "incident_id message",
        "ai.stream" => "incident_id chunk full_text",
        "ai.complete" => "incident_id analysis",
        "council.vote" => "incident_id vote",
        "council.decision" => "incident_id decision",
        "docker.action" => "incident_id action container",
        "scale.event" => "incident_id event",
        "health.check" => "incident_id attempt healthy",
        "resolved" => "incident_id resolved_at",
        "failed" => "incident_id error",
        other => panic!("{other} belongs to no incident: {frame}"),
    };
    assert_eq!(fields(&frame["data"]), names(wanted), "{frame}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_a_page_and_an_openapi_document() {
    let stage = stage().await;
    let (status, page) = stage.api.get("/docs").await;
    assert_eq!(status, 200);
    assert!(page.as_str().is_some_and(|page| page.contains("<html")), "{page}");
    let document = stage.api.get_ok("/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.")),
        "{document}"
    );
    for path in [
        "/webhook",
        "/incidents",
        "/incidents/{id}",
        "/containers",
        "/metrics",
        "/health",
        "/topology",
        "/runbook",
        "/rag/test",
    ] {
        let described = document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .any(|key| key == path || same_shape(key, path));
        assert!(described, "{path} is not described");
    }
}

/// Whether two paths differ in the names of their parameters only.
fn same_shape(one: &str, other: &str) -> bool {
    let shape = |path: &str| -> Vec<String> {
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.map(str::to_owned).collect()
    };
    shape(one) == shape(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_anonymous_role_every_route_but_the_probes_wants_a_token() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let anybody = controller.api_as(None);
    for path in [
        "/incidents",
        "/containers",
        "/runbook",
        "/topology",
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads",
    ] {
        assert_eq!(anybody.get(path).await.0, 401, "{path}");
        assert_eq!(controller.api_as(Some("guess")).get(path).await.0, 401, "{path}");
        assert_eq!(controller.api().get(path).await.0, 200, "{path}");
    }
    assert_eq!(
        anybody
            .post("/webhook", &json!({"incident_id": "a", "alert_type": "b"}))
            .await
            .0,
        401
    );
    for path in ["/healthz", "/readyz"] {
        assert_eq!(anybody.get(path).await.0, 200, "{path}");
    }
    let sender = controller.api_as(Some(aegis_tests::launch::WEBHOOK_TOKEN));
    assert_eq!(
        sender.get("/incidents").await.0,
        403,
        "the webhook's token posts alerts and does nothing else"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(controller.state_dir().join(".secrets/admin-token"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
