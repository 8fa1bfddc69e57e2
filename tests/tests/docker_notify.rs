//! Promise: the controller that people run notifies each destination of what its policy says that it hears, signed, once,
//! also over a kill -9 and a destination that is away for a while; what is given up is reported.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aegis_tests::{Api, Container, World, eventually, manifests};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const SECRET: &str = "a secret of the webhook";

/// A mail relay that keeps what it takes.
#[derive(Clone, Default)]
struct Relay(Arc<Mutex<Vec<String>>>);

impl Relay {
    /// The relay, and the URL for it.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let relay = Self::default();
        tokio::spawn({
            let relay = relay.clone();
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let relay = relay.clone();
                    tokio::spawn(async move { drop(relay.take(socket).await) });
                }
            }
        });
        (relay, url)
    }

    async fn take(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let (read, mut write) = socket.split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 relay\r\n").await?;
        let mut mail: Option<String> = None;
        while let Some(line) = lines.next_line().await? {
            let reply: &[u8] = match (&mut mail, line.split(' ').next().unwrap_or_default()) {
                (Some(whole), _) if line == "." => {
                    self.0.lock().expect("no panic").push(std::mem::take(whole));
                    mail = None;
                    b"250 taken\r\n"
                }
                (Some(whole), _) => {
                    whole.push_str(&line);
                    whole.push('\n');
                    continue;
                }
                (None, "EHLO") => b"250 relay\r\n",
                (None, "DATA") => {
                    mail = Some(String::new());
                    b"354 go on\r\n"
                }
                (None, "QUIT") => return write.write_all(b"221 bye\r\n").await,
                (None, _) => b"250 ok\r\n",
            };
            write.write_all(reply).await?;
        }
        Ok(())
    }

    fn mails(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

async fn receiver() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .with_priority(9)
        .mount(&server)
        .await;
    server
}

/// What a webhook was sent, each signed as Standard Webhooks has it.
async fn events(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap_or_default();
    requests.iter().map(signed).collect()
}

fn signed(request: &Request) -> Value {
    let header = |name: &str| {
        let value = request.headers.get(name).unwrap_or_else(|| panic!("no {name}"));
        value.to_str().expect("text").to_owned()
    };
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(&request.body);
    let wanted = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), wanted);
    assert_eq!(
        header("content-type"),
        "application/cloudevents+json; charset=utf-8"
    );
    let event: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(
        (&event["specversion"], &event["id"]),
        (&json!("1.0"), &json!(id)),
        "{event:#}"
    );
    event
}

/// The stages of an incident that a webhook was sent, in the order of their arrival.
fn stages(events: &[Value], incident: &str) -> Vec<String> {
    let of = events.iter().filter(|event| event["subject"] == incident);
    let stage = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    of.map(stage)
        .map(|kind| kind.replace("io.aegisops.incident.", ""))
        .collect()
}

async fn falls_ill(api: &Api, patient: &Container, notify: &Value, incident: &str) {
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    let policy = manifests::policy(&patient.name, &json!({"notify": notify}));
    api.apply(&policy).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    let alert = json!({"incident_id": incident, "alert_type": "HANG", "container_name": patient.name});
    let (status, body) = api.post("/webhook", &alert).await;
    assert_eq!(status, 200, "{body}");
    api.resolved(incident).await;
}

/// Whether a time is not before the entry that ended an incident.
fn past_its_end(incident: &Value, time: &Value) -> bool {
    let parsed = |time: &Value| time.as_str()?.parse::<jiff::Timestamp>().ok();
    let timeline = incident["status"]["timeline"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let end = timeline.iter().find(|entry| entry["status"] == "RESOLVED");
    let end = end.and_then(|entry| parsed(&entry["ts"]));
    end.is_some_and(|end| parsed(time).is_some_and(|time| time >= end))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_destination_hears_what_its_policy_says_signed_and_once_over_a_kill9_and_an_outage() {
    let (webhook, collector, (relay, smtp)) = (receiver().await, receiver().await, Relay::start().await);
    // Away at first.
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(2)
        .mount(&webhook)
        .await;
    let world = World::new().await;
    let (web, quiet) = (
        world.patient("web").memory_mb(64).start().await,
        world.patient("quiet").memory_mb(64).start().await,
    );
    let launch = world
        .controller()
        .env("NOTIFY_WEBHOOK_URL", &webhook.uri())
        .env("NOTIFY_WEBHOOK_SECRET", SECRET)
        .env("NOTIFY_SMTP_URL", &smtp)
        .env("NOTIFY_EMAIL_TO", "ops@example.org")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.uri());
    let mut controller = launch.start().await;
    let api = controller.api();
    falls_ill(&api, &web, &json!({}), "notify-1").await;
    let only_mail = json!({"to": ["Email"]});
    falls_ill(&api, &quiet, &only_mail, "notify-2").await;
    let ends = async |incident: &str| {
        let mails = relay.mails();
        let about = mails.iter().filter(|mail| mail.contains(incident)).count();
        (about > 0).then_some(about).ok_or_else(|| format!("{mails:#?}"))
    };
    eventually("mails about both ends", async || {
        ends("notify-1").await?;
        ends("notify-2").await
    })
    .await;
    let heard = eventually("the webhook has the end", async || {
        let stages = stages(&events(&webhook).await, "notify-1");
        match stages.iter().any(|stage| stage == "resolved") {
            true => Ok(stages),
            false => Err(format!("{stages:?}")),
        }
    })
    .await;
    let traces = eventually("a trace of each", async || {
        let requests = collector.received_requests().await.unwrap_or_default();
        let bodies = requests
            .iter()
            .filter(|request| request.url.path() == "/v1/traces");
        let spans: Vec<_> = bodies
            .filter_map(|request| ExportTraceServiceRequest::decode(&request.body[..]).ok())
            .flat_map(|export| export.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect();
        let traces: BTreeSet<Vec<u8>> = spans.iter().map(|span| span.trace_id.clone()).collect();
        match traces.len() {
            2 => Ok(spans),
            _ => Err(format!("{} spans of {} traces", spans.len(), traces.len())),
        }
    })
    .await;
    let roots = traces.iter().filter(|span| span.parent_span_id.is_empty());
    assert_eq!(roots.count(), 2, "one root a trace");
    let timeline = api.object("Incident", "notify-1").await.expect("it is there");
    let timeline = timeline["status"]["timeline"].as_array().map_or(0, Vec::len);
    assert!(
        traces.len() > timeline,
        "spans as the timeline: {} of {timeline}",
        traces.len()
    );

    // Nothing twice, also not by the next life: a relay has a mail before the controller has saved that it has.
    for incident in ["notify-1", "notify-2"] {
        let about = api.object("Incident", incident).await.expect("it is there");
        eventually("it is saved that its mail is sent", async || {
            let file = controller.launch().state_dir().join(".notify/email.json");
            let saved = tokio::fs::read_to_string(file).await.unwrap_or_default();
            let saved: Value = serde_json::from_str(&saved).unwrap_or_default();
            let uid = about["metadata"]["uid"].as_str().unwrap_or_default();
            let mark = &saved["incidents"][uid]["mark"]["ts"];
            let past = past_its_end(&about, mark);
            past.then_some(()).ok_or_else(|| saved.to_string())
        })
        .await;
    }
    controller.kill9();
    controller.start_again(|launch| launch).await;
    let api = controller.api();
    let third = world.patient("third").memory_mb(64).start().await;
    falls_ill(&api, &third, &json!({}), "notify-3").await;
    let all = eventually("the webhook has the third end", async || {
        let all = events(&webhook).await;
        match stages(&all, "notify-3").iter().any(|stage| stage == "resolved") {
            true => Ok(all),
            false => Err(format!("{:?}", stages(&all, "notify-3"))),
        }
    })
    .await;
    assert_eq!(heard.first().map(String::as_str), Some("received"), "{heard:?}");
    let mut once: Vec<String> = stages(&all, "notify-1");
    // The two that were answered 503 came again, under the same id.
    let ids: BTreeSet<&str> = all
        .iter()
        .filter(|event| event["subject"] == "notify-1")
        .filter_map(|event| event["id"].as_str())
        .collect();
    assert_eq!(once.len(), ids.len() + 2, "{once:?}");
    once.dedup();
    assert_eq!(once.len(), ids.len(), "in order: {once:?}");
    assert_eq!(
        stages(&all, "notify-2"),
        Vec::<String>::new(),
        "its policy says mail alone"
    );
    for incident in ["notify-1", "notify-2"] {
        assert_eq!(ends(incident).await, Ok(1), "one mail, at the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_a_warning_of_its_incident_and_stands_in_the_log() {
    let gone = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/"))
        .respond_with(ResponseTemplate::new(410))
        .mount(&gone)
        .await;
    let world = World::new().await;
    let web = world.patient("web").memory_mb(64).start().await;
    let launch = world.controller().env("NOTIFY_WEBHOOK_URL", &gone.uri());
    let controller = launch.start().await;
    let api = controller.api();
    falls_ill(&api, &web, &json!({}), "notify-4").await;
    eventually("the event", async || {
        let events = api.events("Incident", "notify-4").await;
        let is_it = |event: &&Value| event["reason"] == "NotificationDropped" && event["type"] == "Warning";
        match events.iter().find(is_it) {
            Some(event) if event["message"].as_str().is_some_and(|said| said.contains("410")) => Ok(()),
            _ => Err(format!("{events:#?}")),
        }
    })
    .await;
    let listed = controller.ctl().ok(&["notify", "list"]).await;
    assert!(listed.contains("notify-4") && listed.contains("410"), "{listed}");
}
