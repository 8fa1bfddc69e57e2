//! Promise: clients of the earlier system work unchanged and without a token: its page polls REST and listens to `/ws`, its
//! scripts scale, its app cries for help. Every answer and every frame has the names, types and codes that they know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_tests::live::Live;
use aegis_tests::shape::Shape;
use aegis_tests::{Api, Container, Controller, Nginx, World, eventually, manifests};
use reqwest::Method;
use serde_json::{Value, json};

use Shape::{Count, Is, List, Moment, Number, Object, OrNull, Score, Share, Text, TextTo, Truth, Word};

const ACTIONS: Shape = Word(&["RESTART", "SCALE_UP", "SCALE_DOWN", "ROLLBACK", "NOOP"]);
const SEAT: Shape = Word(&["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"]);
const VERDICT: Shape = Word(&["APPROVED", "REJECTED", "NEEDS_REVIEW"]);

const ANALYSIS: Shape = Object(&[
    ("root_cause", Text),
    ("action", ACTIONS),
    ("justification", Text),
    ("confidence", Share),
    ("replica_count", Count),
]);
const VOTE: Shape = Object(&[
    ("role", SEAT),
    ("verdict", VERDICT),
    ("reasoning", Text),
    ("timestamp", Moment),
]);
const DECISION: Shape = Object(&[
    ("votes", List(&VOTE)),
    ("final_verdict", VERDICT),
    ("consensus", Truth),
    ("summary", Text),
]);
const RESULT: Shape = Object(&[
    ("incident_id", Text),
    ("alert_type", Text),
    ("analysis", OrNull(&ANALYSIS)),
    ("council_decision", OrNull(&DECISION)),
    ("status", Text),
    ("resolved_at", OrNull(&Moment)),
    ("error", OrNull(&Text)),
    ("replicas_spawned", Count),
    (
        "timeline",
        List(&Object(&[
            ("ts", Moment),
            ("status", Text),
            ("message", Text),
            ("agent", OrNull(&SEAT)),
        ])),
    ),
]);
const CONTAINERS: Shape = List(&Object(&[
    ("name", Text),
    ("status", Text),
    ("image", Text),
    ("id", TextTo(12)),
]));
const METRICS: Shape = List(&Object(&[
    ("name", Text),
    ("cpu_percent", Number),
    ("memory_mb", Number),
    ("memory_limit_mb", Number),
    ("memory_percent", Number),
    ("net_rx_bytes", Count),
    ("net_tx_bytes", Count),
    ("status", Text),
    ("uptime_seconds", Number),
    ("image", Text),
]));
const TOPOLOGY: Shape = Object(&[
    (
        "nodes",
        List(&Object(&[
            ("id", Text),
            (
                "type",
                Word(&["agent", "app", "replica", "loadbalancer", "dashboard", "unknown"]),
            ),
            ("status", Text),
            ("image", Text),
        ])),
    ),
    (
        "edges",
        List(&Object(&[
            ("from", Text),
            ("to", Text),
            ("label", Word(&["monitors", "spawned", "routes"])),
        ])),
    ),
]);
const RUNBOOK: Shape = Object(&[
    (
        "entries",
        List(&Object(&[
            ("incident_id", Text),
            ("alert_type", Text),
            ("logs", Text),
            ("container_name", Text),
            ("severity", Text),
            ("root_cause", Text),
            ("action", ACTIONS),
            ("justification", Text),
            ("confidence", Share),
            ("council_approved", Truth),
            ("replicas_used", Count),
            ("resolved_at", OrNull(&Moment)),
        ])),
    ),
    ("total", Count),
]);
/// `trust` and `recommended` are ours, beside the keys that a client knows.
const RETRIEVED_ROW: Shape = Object(&[
    ("incident_id", Text),
    ("alert_type", Text),
    ("root_cause", Text),
    ("action", ACTIONS),
    ("justification", Text),
    ("logs", TextTo(300)),
    ("similarity_score", Score),
    ("container_name", Text),
    ("severity", Text),
    ("replicas_used", Count),
    ("trust", Share),
    ("recommended", Truth),
]);
/// `operations` is ours.
const RETRIEVED: Shape = Object(&[
    ("query", Text),
    ("retrieved", List(&RETRIEVED_ROW)),
    ("count", Count),
    ("operations", List(&RETRIEVED_ROW)),
]);
const HEALTH: Shape = Object(&[
    ("status", Is("ok")),
    ("mode", Is("GOD_MODE")),
    ("version", Text),
    ("ws_clients", Count),
]);
const SCALED: Shape = Object(&[
    ("container_base", Text),
    ("replica_count", Count),
    ("replicas", List(&Text)),
    ("lb_configured", Truth),
    ("timestamp", Moment),
]);
const REFUSED: Shape = Shape::Open(&[(
    "detail",
    List(&Object(&[("loc", List(&Text)), ("msg", Text), ("type", Text)])),
)]);

/// What the page reads again and again.
const POLLED: [(&str, Shape); 7] = [
    ("/health", HEALTH),
    ("/incidents", List(&RESULT)),
    ("/containers", CONTAINERS),
    ("/metrics", METRICS),
    ("/topology", TOPOLOGY),
    ("/runbook", RUNBOOK),
    ("/rag/test?logs=CRITICAL%20memory%2091%20%25", RETRIEVED),
];

/// Every type of frame that a client knows, and what it carries.
fn data_of(kind: &str) -> Option<Shape> {
    Some(match kind {
        "incident.new" => Object(&[("incident_id", Text), ("alert_type", Text), ("logs", TextTo(200))]),
        "status.update" => Object(&[("incident_id", Text), ("status", Text), ("message", Text)]),
        "ai.thinking" => Object(&[("incident_id", Text), ("message", Text)]),
        "ai.stream" => Object(&[("incident_id", Text), ("chunk", Text), ("full_text", Text)]),
        "ai.complete" => Object(&[("incident_id", Text), ("analysis", ANALYSIS)]),
        "council.vote" => Object(&[("incident_id", Text), ("vote", VOTE)]),
        "council.decision" => Object(&[("incident_id", Text), ("decision", DECISION)]),
        "docker.action" => Object(&[("incident_id", Text), ("action", Text), ("container", Text)]),
        "scale.event" => Object(&[("incident_id", OrNull(&Text)), ("event", SCALED)]),
        "health.check" => Object(&[("incident_id", Text), ("attempt", Count), ("healthy", Truth)]),
        "resolved" => Object(&[("incident_id", Text), ("resolved_at", Moment)]),
        "failed" => Object(&[("incident_id", Text), ("error", Text)]),
        "metrics" => METRICS,
        "container.list" => CONTAINERS,
        "topology" => TOPOLOGY,
        "heartbeat" => Object(&[("status", Word(&["connected", "alive"]))]),
        _ => return None,
    })
}

const FRAMES: [&str; 16] = [
    "incident.new",
    "status.update",
    "ai.thinking",
    "ai.stream",
    "ai.complete",
    "council.vote",
    "council.decision",
    "docker.action",
    "scale.event",
    "health.check",
    "resolved",
    "failed",
    "metrics",
    "container.list",
    "topology",
    "heartbeat",
];

#[test]
fn every_type_that_a_client_knows_is_in_the_table() {
    for kind in FRAMES {
        assert!(aegis_api::wire::FrameType::of(kind).is_some(), "{kind}");
        assert!(data_of(kind).is_some(), "{kind}");
    }
}

const STATUSES: &str = "RECEIVED RAG_RETRIEVAL ANALYSING AI_COMPLETE COUNCIL_REVIEW COUNCIL_VOTE COUNCIL_DECISION APPROVED \
                        EXECUTING SCALING SCALED LB_CONFIGURED RESTARTED SCALED_DOWN NOOP VERIFYING RESOLVED FAILED";

struct Stage {
    controller: Controller,
    /// What the clients use: no token.
    api: Api,
    patient: Container,
    front: Nginx,
    world: World,
}

async fn stage() -> Stage {
    let world = World::new().await;
    let launch = world
        .controller()
        .reachable_from_containers()
        .flag("--anonymous-role", "operator")
        .flag("--anonymous-from", "0.0.0.0/0")
        .env("METRICS_INTERVAL_SECS", "1");
    // As in the earlier system: its monitor posts alerts and knows no token.
    let patient = world
        .patient("buggy")
        .memory_mb(64)
        .env("AEGIS_WEBHOOK_URL", &launch.url("/webhook"))
        .env("MONITOR_INTERVAL_MS", "100")
        .start()
        .await;
    let front = world.nginx("lb").await;
    let launch = launch.env("TARGET_CONTAINER", &patient.name);
    let controller = launch.start().await;
    let admin = controller.api();
    admin.apply(&manifests::adopting(&patient.name, 1)).await;
    admin
        .apply(&manifests::balancing(&front.name, &patient.name))
        .await;
    admin.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    admin.balancer_serves(&front.name, 1).await;
    Stage {
        api: controller.api_as(None),
        controller,
        patient,
        front,
        world,
    }
}

/// The page: reads everything again and again until it is stopped, and answers what it found wrong and how often it
/// has looked.
async fn page(api: Api, ended: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut looks, mut faults) = (0, Vec::new());
    while !ended.load(Ordering::Relaxed) {
        for (path, shape) in POLLED {
            // As a library for pages asks, which names every type that it can read.
            let request = api
                .request(Method::GET, path)
                .header("accept", "application/json, text/plain, */*");
            match api.ask(request).await {
                Ok((200, body)) => faults.extend(
                    shape
                        .faults(&body)
                        .into_iter()
                        .map(|fault| format!("{path}: {fault}")),
                ),
                other => faults.push(format!("{path}: {other:?}")),
            }
        }
        looks += 1;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    (looks, faults)
}

impl Stage {
    async fn ended(&self, id: &str, status: &str) -> Value {
        eventually(&format!("{id} ends {status}"), async || {
            let (code, result) = self.api.get(&format!("/incidents/{id}")).await;
            match code == 200 && result["status"] == status {
                true => Ok(result),
                false => Err(format!("{code} {result}")),
            }
        })
        .await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.api.post(path, body).await
    }

    /// A script that scales: no body, the count in the query, or none for two.
    async fn script(&self) {
        let name = &self.patient.name;
        let post = async |path: &str| {
            let request = self.api.request(Method::POST, path);
            self.api.ask(request).await.unwrap()
        };
        let replicas = |count: usize| {
            (1..=count)
                .map(|n| format!("{name}-replica-{n}"))
                .collect::<Vec<_>>()
        };
        for (path, count) in [
            ("/scale/up?count=2", 2),
            ("/scale/up?count=1", 1),
            ("/scale/up", 2),
        ] {
            let (code, up) = post(path).await;
            assert_eq!(code, 200, "{path}: {up}");
            SCALED.of(path, &up);
            assert_eq!(
                (&up["container_base"], &up["replica_count"], &up["lb_configured"]),
                (&json!(name), &json!(count), &json!(true)),
                "{path}: {up}"
            );
            assert_eq!(up["replicas"], json!(replicas(count)), "{path}");
            assert_eq!(self.front.servers().await.len(), count + 1, "they serve: {path}");
        }
        let (code, down) = post("/scale/down").await;
        assert_eq!((code, &down), (200, &json!({"removed": replicas(2)})));
        assert_eq!(self.world.replica_names(name).await, Vec::<String>::new());
        let (code, sideways) = post("/scale/sideways").await;
        assert_eq!(code, 400);
        Object(&[("detail", Text)]).of("/scale/sideways", &sideways);
    }

    /// Alerts as scripts send them: at once 200, more fields than the controller knows, and what is wrong by its name.
    async fn alerts(&self) {
        let alert = json!({
            "incident_id": "INC-1", "alert_type": "manual", "logs": "all is well", "container_name": self.patient.name,
            "severity": "LOW", "timestamp": "2026-01-31T12:00:00.123456",
            "details": {"message": "so many MB", "nested": {"deep": [1, 2]}}, "source": "cron", "retries": 3,
        });
        let (code, first) = self.post("/webhook", &alert).await;
        assert_eq!(code, 200, "{first}");
        RESULT.of("/webhook", &first);
        assert_eq!(
            (&first["incident_id"], &first["status"]),
            (&json!("INC-1"), &json!("RECEIVED"))
        );
        let (code, again) = self.post("/webhook", &alert).await;
        assert_eq!((code, &again["incident_id"]), (200, &json!("INC-1")));
        let all = self.api.get_ok("/incidents").await;
        let same = all.as_array().into_iter().flatten();
        assert_eq!(
            same.filter(|one| one["incident_id"] == "INC-1").count(),
            1,
            "{all}"
        );
        let kept = self.controller.api().list("Incident").await;
        let manual = kept.iter().find(|one| one["spec"]["alertType"] == "manual");
        let labels = &manual.unwrap()["spec"]["source"]["labels"];
        assert_eq!(
            (&labels["details.message"], &labels["source"], &labels["retries"]),
            (&json!("so many MB"), &json!("cron"), &json!("3")),
            "{labels}"
        );

        for (body, field) in [
            (json!({"alert_type": "x"}), "incident_id"),
            (json!({"incident_id": "x"}), "alert_type"),
        ] {
            let (code, refused) = self.post("/webhook", &body).await;
            assert_eq!(code, 422, "{refused}");
            REFUSED.of("/webhook", &refused);
            assert_eq!(refused["detail"][0]["loc"], json!(["body", field]));
        }
        let missing = self.api.get("/incidents/missing").await;
        assert_eq!(missing, (404, json!({"detail": "Incident not found."})));
    }

    /// The remedies that only the analysis chooses, chosen here, so that the page sees their stages.
    async fn every_remedy(&self) {
        let admin = self.controller.api();
        for (name, action, count) in [
            ("up", "SCALE_UP", 1),
            ("down", "SCALE_DOWN", 1),
            ("none", "NOOP", 0),
        ] {
            admin
                .apply(&manifests::ordered(name, &self.patient.name, action, count))
                .await;
            self.ended(name, "RESOLVED").await;
        }
        let alert = json!({"incident_id": "INC-2", "alert_type": "health_check_failed",
            "container_name": self.world.name("missing")});
        let (code, body) = self.post("/webhook", &alert).await;
        assert_eq!(code, 200, "{body}");
        let failed = self.ended("INC-2", "FAILED").await;
        RESULT.of("a failed incident", &failed);
        assert!(failed["error"].is_string(), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_the_scripts_and_the_app_of_the_earlier_system_work_unchanged() {
    let stage = stage().await;
    let live = stage.controller.live_as_anybody("").await;
    live.say("ping").await;
    let ended = Arc::new(AtomicBool::new(false));
    let page = tokio::spawn(page(stage.api.clone(), Arc::clone(&ended)));

    stage.script().await;
    stage.alerts().await;
    stage.every_remedy().await;
    // The app: its own monitor finds its memory full and posts, and it is healed.
    stage.patient.fill_memory(86.0).await;
    let healed = eventually("the app's own alert is resolved", async || {
        let all = stage.api.get_ok("/incidents").await;
        let mut rows = all.as_array().cloned().unwrap_or_default().into_iter();
        let found =
            rows.find(|one| one["status"] == "RESOLVED" && one["timeline"].to_string().contains("RESTARTED"));
        found.ok_or_else(|| all.to_string())
    })
    .await;
    RESULT.of("the app's incident", &healed);
    let id = healed["incident_id"].as_str().unwrap();
    live.until("the app's end", |frame| {
        frame["type"] == "resolved" && frame["incident_id"] == id
    })
    .await;
    live.until("a topology", |frame| frame["type"] == "topology")
        .await;

    ended.store(true, Ordering::Relaxed);
    let (looks, faults) = page.await.unwrap();
    assert!(
        looks > 3 && faults.is_empty(),
        "{looks} looks: {}",
        faults.join("\n")
    );
    let heard = the_frames_are_as_known(&live);
    let known: BTreeSet<&str> = FRAMES.into_iter().collect();
    let silent: Vec<_> = known
        .difference(&heard.iter().map(String::as_str).collect())
        .copied()
        .collect();
    assert!(silent.is_empty(), "never heard: {silent:?}");
    every_status_is_seen(&stage, &live).await;
}

/// Every frame has its shape; those that a client does not know are left, as they leave them. Answers the types.
fn the_frames_are_as_known(live: &Live) -> BTreeSet<String> {
    let (mut heard, mut texts) = (
        BTreeSet::new(),
        std::collections::BTreeMap::<String, String>::new(),
    );
    let frames = live.frames();
    assert_eq!(frames[0]["data"], json!({"status": "connected"}), "{}", frames[0]);
    let alive = |frame: &&Value| frame["type"] == "heartbeat" && frame["data"] == json!({"status": "alive"});
    assert_eq!(frames.iter().filter(alive).count(), 1, "one ping, one answer");
    for frame in frames {
        let kind = frame["type"].as_str().unwrap_or_default().to_owned();
        Object(&[
            ("type", Text),
            ("incident_id", OrNull(&Text)),
            ("data", Shape::Anything),
            ("timestamp", Moment),
            ("seq", Count),
        ])
        .of("a frame", &frame);
        let read = aegis_api::wire::Frame::read(&kind, &frame["data"]).unwrap();
        let data = read.map(|contents| contents.data());
        assert_eq!(data.as_ref(), Some(&frame["data"]), "as in the table: {frame}");
        let Some(shape) = data_of(&kind) else { continue };
        shape.of(&kind, &frame["data"]);
        if !frame["data"]["incident_id"].is_null() {
            assert_eq!(frame["data"]["incident_id"], frame["incident_id"], "{frame}");
        }
        if kind == "ai.stream" {
            let text = texts
                .entry(frame["incident_id"].as_str().unwrap_or_default().to_owned())
                .or_default();
            let chunk = frame["data"]["chunk"].as_str().unwrap_or_default();
            // An alert that joins an open incident may have it analysed once more, from the first word.
            if frame["data"]["full_text"] == chunk {
                text.clear();
            }
            text.push_str(chunk);
            assert_eq!(frame["data"]["full_text"], text.as_str(), "the text so far");
        }
        heard.insert(kind);
    }
    heard
}

/// What a client looks for is in a timeline, and was published live.
async fn every_status_is_seen(stage: &Stage, live: &Live) {
    let all = stage.api.get_ok("/incidents").await;
    let timelines = all.as_array().into_iter().flatten().flat_map(|one| {
        let rows = one["timeline"].as_array();
        rows.into_iter()
            .flatten()
            .filter_map(|row| row["status"].as_str())
    });
    let timelines: BTreeSet<&str> = timelines.collect();
    let frames = live.frames();
    let updates = frames.iter().filter(|frame| frame["type"] == "status.update");
    let updates: BTreeSet<&str> = updates
        .filter_map(|frame| frame["data"]["status"].as_str())
        .collect();
    for status in STATUSES.split_whitespace() {
        assert!(
            timelines.contains(status),
            "{status} is in no timeline: {timelines:?}"
        );
        assert!(
            updates.contains(status),
            "{status} was never published: {updates:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_a_page_and_a_browser_tab_are_distinguished() {
    let world = World::new().await;
    let origin = "http://localhost:3000";
    let launch = world
        .controller()
        .flag("--anonymous-role", "operator")
        .flag("--allowed-origins", origin);
    let controller = launch.start().await;
    let api = controller.api_as(None);
    let asked = async |accept: &str| {
        let request = api.request(Method::GET, "/metrics").header("accept", accept);
        api.ask(request).await.unwrap()
    };
    for accept in ["*/*", "application/json", "application/json, text/plain, */*"] {
        let (code, body) = asked(accept).await;
        assert_eq!(code, 200);
        METRICS.of(accept, &body);
    }
    for accept in [
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ] {
        let (code, body) = asked(accept).await;
        assert_eq!(code, 200);
        assert!(
            body.as_str().is_some_and(|text| text.contains("# TYPE")),
            "{accept}: {body}"
        );
    }
    let (code, docs) = api.get("/docs").await;
    assert!(code == 200 && docs.as_str().is_some_and(|page| page.contains("<html")));
    let document = api.get_ok("/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );

    // The earlier page was served from another port and asked the controller across origins: it is named for that.
    let page = api.request(Method::GET, "/incidents").header("origin", origin);
    let answer = page.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    let preflight = api
        .request(Method::OPTIONS, "/scale/up?count=2")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = preflight.send().await.unwrap();
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    let stranger = api
        .request(Method::POST, "/scale/up")
        .header("origin", "https://elsewhere.example");
    let (code, refused) = api.ask(stranger).await.unwrap();
    assert_eq!(code, 403, "a page that is not named cannot act: {refused}");
}
