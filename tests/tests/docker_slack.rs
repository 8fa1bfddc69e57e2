//! Promise: people in a chat hear what becomes of an incident, in order and once, and a chat that stalls holds nothing up. A click
//! there decides on exactly the plan that was shown, once; every other is refused, and the audit log has it.

// The limits that Slack documents, as every card is checked against.
#[path = "../../controller/notify/src/card/limits.rs"]
mod limits;
#[path = "docker_slack/scripted.rs"]
mod scripted;

use std::time::Duration;

use scripted::{Slack, clicked};

use aegis_tests::binaries::repository;
use aegis_tests::eventually::within;
use aegis_tests::{Api, Container, World, eventually, manifests};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn headlines(slack: &MockServer) -> Vec<String> {
    let posts = slack.received_requests().await.unwrap_or_default();
    let bodies = posts
        .iter()
        .map(|post| serde_json::from_slice::<Value>(&post.body));
    bodies
        .map(|body| {
            body.expect("JSON")["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

/// A workload with such a policy hangs, and its sender reports it.
async fn falls_ill(api: &Api, patient: &Container, policy: &Value, incident: &str) {
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, policy)).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    let alert = json!({"incident_id": incident, "alert_type": "HANG", "container_name": patient.name});
    api.post("/webhook", &alert).await;
}

#[tokio::test]
async fn a_healed_incident_is_notified_at_received_decision_action_and_end() {
    let slack = MockServer::start().await;
    let pause = ResponseTemplate::new(429).insert_header("retry-after", "1");
    Mock::given(method("POST"))
        .respond_with(pause)
        .up_to_n_times(1)
        .mount(&slack)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string("ok"))
        .mount(&slack)
        .await;
    let world = World::new().await;
    let patient = world.patient("web").memory_mb(64).start().await;
    let launch = world.controller().env(
        "SLACK_WEBHOOK_URL",
        &format!("{}/services/T/B/secret", slack.uri()),
    );
    let controller = launch.start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    let alert =
        json!({"incident_id": "slack-1", "alert_type": "HANG <!channel>", "container_name": patient.name});
    let (status, body) = api.post("/webhook", &alert).await;
    assert_eq!(status, 200, "{body}");
    let sent = eventually("the end is notified", async || {
        let sent = headlines(&slack).await;
        if sent.iter().any(|text| text.contains("Resolved")) {
            Ok(sent)
        } else {
            Err(format!("{sent:?}"))
        }
    })
    .await;
    // The first post was asked to come again.
    let words = [
        "Incident received",
        "Incident received",
        "Council decided",
        "Action taken",
        "Resolved",
    ];
    assert_eq!(sent.len(), words.len(), "{sent:?}");
    for (text, word) in sent.iter().zip(words) {
        assert!(text.contains(word), "{text} should contain {word}");
        assert!(text.contains("&lt;!channel&gt;"), "{text}");
    }
}

/// As `make demo` does it: the quickstart's resources, the default detectors, a patient that reports itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_card_of_every_stage_in_order_and_each_keeps_to_slacks_limits() {
    const HOOK: &str = "services/T/B/secret";
    let slack = Slack::start().await;
    let world = World::new().await;
    let launch = world.controller().reachable_from_containers().default_detectors();
    let patient = world
        .patient("buggy")
        .memory_mb(128)
        .reporting_to(&launch)
        .start()
        .await;
    let front = world.nginx("lb").await;
    let launch = launch.env("SLACK_WEBHOOK_URL", &format!("{}/{HOOK}", slack.url()));
    let controller = launch.env("SLACK_NOTIFY", "all").start().await;
    let (api, ctl) = (controller.api(), controller.ctl());
    for name in ["workload", "policy", "loadbalancer"] {
        let file = repository().join(format!("examples/quickstart/{name}.yaml"));
        let manifest = std::fs::read_to_string(file).expect("an example");
        let manifest = manifest.replace("buggy-app-v2", &patient.name);
        let manifest = manifest.replace("aegis-lb", &front.name);
        ctl.ok_with(&["apply", "-f", "-"], &manifest).await;
    }
    api.workload_ready(&patient.name, 1).await;
    api.balancer_serves(&front.name, 1).await;
    patient.fill_memory(85.0).await;
    let name = eventually("an incident is open", async || {
        let all = api.list("Incident").await;
        let first = all
            .first()
            .and_then(|incident| incident["metadata"]["name"].as_str());
        first.map(str::to_owned).ok_or_else(|| "none".to_owned())
    })
    .await;
    api.resolved(&name).await;

    // Each card says at its foot which entry of which timeline it is.
    let foot = |card: &Value| {
        let last = card["blocks"]
            .as_array()
            .and_then(|blocks| blocks.last().cloned());
        let text = last.unwrap_or_default()["elements"][0]["text"].clone();
        text.as_str().unwrap_or_default().to_owned()
    };
    let about = format!("aegisctl describe incident/{name}");
    within(Duration::from_secs(120), "a card of every stage", async || {
        let incident = api.object("Incident", &name).await.ok_or("it is gone")?;
        let timeline = incident["status"]["timeline"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let of_entry = |entry: &Value| format!("{} · {} · {about}", text(entry, "ts"), text(entry, "status"));
        let wanted: Vec<String> = timeline.iter().map(of_entry).collect();
        let shown: Vec<String> = slack
            .calls(HOOK)
            .iter()
            .map(foot)
            .filter(|foot| foot.ends_with(&about))
            .collect();
        match shown == wanted {
            true => Ok(()),
            false => Err(format!("{shown:#?} instead of {wanted:#?}")),
        }
    })
    .await;
    let cards = slack.calls(HOOK);
    for card in &cards {
        assert_eq!(limits::broken(card), Vec::<String>::new(), "{card:#}");
    }
    let text = json!(cards).to_string();
    for stage in [
        "Incident received",
        "EVIDENCE_COLLECTED",
        "RAG_RETRIEVAL",
        "ANALYSING",
        "AI_COMPLETE",
        "COUNCIL_VOTE",
        "Council decided",
        "EXECUTING",
        "Action taken",
        "VERIFYING",
        "Resolved",
    ] {
        assert!(text.contains(stage), "no card of {stage}: {text}");
    }
}

#[tokio::test]
async fn a_chat_that_never_answers_holds_no_remedy_up() {
    let slack = MockServer::start().await;
    let stall = ResponseTemplate::new(200).set_delay(Duration::from_secs(3600));
    Mock::given(method("POST"))
        .respond_with(stall)
        .mount(&slack)
        .await;
    let world = World::new().await;
    let patient = world.patient("web").memory_mb(64).start().await;
    let launch = world
        .controller()
        .env("SLACK_WEBHOOK_URL", &slack.uri())
        .env("SLACK_NOTIFY", "all");
    let controller = launch.start().await;
    let api = controller.api();
    falls_ill(&api, &patient, &Value::Null, "slack-2").await;
    eventually("the incident is resolved", async || {
        let result = api.get_ok("/incidents/slack-2").await;
        if result["status"] == "RESOLVED" {
            Ok(())
        } else {
            Err(result.to_string())
        }
    })
    .await;
    assert!(
        headlines(&slack).await.len() <= 1,
        "the first post still waits for its answer"
    );
}

/// The value of a button of the newest message that has it.
fn button(messages: &[Value], action: &str) -> Option<Value> {
    let blocks = messages
        .iter()
        .rev()
        .flat_map(|message| message["blocks"].as_array().into_iter().flatten());
    let mut elements = blocks.flat_map(|block| block["elements"].as_array().into_iter().flatten());
    elements
        .find(|element| element["action_id"] == action)
        .map(|element| element["value"].clone())
}

#[tokio::test]
async fn a_click_over_socket_mode_approves_exactly_that_plan_once_and_others_are_refused_and_audited() {
    let slack = Slack::start().await;
    // What Slack sends once in a while, at the worst moment.
    slack.instead(ResponseTemplate::new(429).insert_header("retry-after", "1"));
    slack.instead(ResponseTemplate::new(503));
    let world = World::new().await;
    let patient = world.patient("web").memory_mb(64).start().await;
    let launch = world.controller().env("SLACK_API_URL", &slack.url());
    let launch = launch
        .env("SLACK_BOT_TOKEN", "xoxb-1")
        .env("SLACK_CHANNEL", "#ops");
    let launch = launch
        .env("SLACK_APPROVERS", "U1")
        .env("SLACK_APP_TOKEN", "xapp-1");
    let controller = launch.env("SLACK_SIGNING_SECRET", "signing").start().await;
    let api = controller.api();
    falls_ill(&api, &patient, &json!({"mode": "Approve"}), "slack-3").await;
    let waiting = api.in_phase("slack-3", "AWAITING_APPROVAL").await;
    let value = eventually("the message has buttons", async || {
        let messages = slack.messages();
        button(&messages, "aegis.approve").ok_or_else(|| json!(messages).to_string())
    })
    .await;
    let shown: Value = serde_json::from_str(value.as_str().expect("a text")).expect("JSON");
    assert_eq!(shown["p"], waiting["status"]["plan"]["hash"]);
    let stale = value
        .as_str()
        .expect("a text")
        .replace(shown["p"].as_str().expect("a hash"), "0000");

    // Forged, by a stranger, and for another plan: none decides.
    let forged = api
        .request(reqwest::Method::POST, "/slack/interactions")
        .header(
            "x-slack-request-timestamp",
            jiff::Timestamp::now().as_second().to_string(),
        )
        .header("x-slack-signature", format!("v0={}", "0".repeat(64)))
        .body("payload=%7B%7D");
    let (status, _) = api.ask(forged).await.expect("an answer");
    assert_eq!(status, 401);
    let mut socket = slack.accept().await;
    socket
        .click(
            "e1",
            &clicked("U2", "aegis.approve", value.as_str().expect("a text")),
        )
        .await;
    socket.click("e2", &clicked("U1", "aegis.approve", &stale)).await;
    eventually("both are answered so that only they see it", async || {
        let answers = slack.calls("chat.postEphemeral");
        match answers.len() {
            2 => Ok(()),
            _ => Err(json!(answers).to_string()),
        }
    })
    .await;
    api.in_phase("slack-3", "AWAITING_APPROVAL").await;

    // Slack moves on to another connection, and sends the click that counts twice.
    socket
        .say(&json!({"type": "disconnect", "reason": "refresh_requested"}))
        .await;
    let mut socket = slack.accept().await;
    for envelope in ["e3", "e3"] {
        let click = clicked("U1", "aegis.approve", value.as_str().expect("a text"));
        socket.click(envelope, &click).await;
    }
    let ended = api.resolved("slack-3").await;
    assert_eq!(ended["spec"]["approval"]["by"], "slack:U1 (ada)", "{ended:#}");
    let timeline = ended["status"]["timeline"].to_string();
    assert!(timeline.contains("slack:U1 (ada)"), "{timeline}");
    let starts = world.events().count(&patient.name, "start").await;
    assert_eq!(starts, 2, "started by the test and restarted once");
    patient.answers().await;

    let audit = api.get_ok("/audit?limit=1000").await;
    let records = audit["records"].as_array().cloned().unwrap_or_default();
    let of = |user: &str, verb: &str| {
        let is_it = |record: &&Value| record["actor"]["user"] == user && record["verb"] == verb;
        records.iter().filter(is_it).count()
    };
    assert_eq!(of("slack:U2 (ada)", "refused"), 1, "{records:#?}");
    assert_eq!(of("slack:U1 (ada)", "refused"), 1, "{records:#?}");
    assert_eq!(
        of("slack:U1 (ada)", "update"),
        1,
        "the decision, once: {records:#?}"
    );
    assert_eq!(of("system:unknown", "refused"), 1, "{records:#?}");

    // One message, updated, with the stages in its thread.
    eventually("the message says that it is resolved", async || {
        let messages = slack.messages();
        let roots: Vec<&Value> = messages
            .iter()
            .filter(|message| message["thread_ts"].is_null())
            .collect();
        match &roots[..] {
            [root] if root["text"].to_string().contains("Resolved") && messages.len() > 3 => Ok(()),
            _ => Err(json!(messages).to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_stops_the_destination_and_holds_no_remedy_up() {
    let slack = Slack::start().await;
    slack.refuse_all("token_revoked");
    let world = World::new().await;
    let patient = world.patient("web").memory_mb(64).start().await;
    let launch = world.controller().env("SLACK_API_URL", &slack.url());
    let launch = launch
        .env("SLACK_BOT_TOKEN", "xoxb-1")
        .env("SLACK_CHANNEL", "#ops");
    let controller = launch.start().await;
    let api = controller.api();
    falls_ill(&api, &patient, &Value::Null, "slack-4").await;
    api.resolved("slack-4").await;
    let stopped = eventually("it is stopped", async || {
        let list = api.get_ok("/notifications").await;
        let stopped = list["destinations"][0]["stopped"].clone();
        match stopped.is_string() {
            true => Ok(stopped),
            false => Err(list.to_string()),
        }
    })
    .await;
    assert_eq!(stopped, "token_revoked");
    assert_eq!(slack.calls("chat.postMessage").len(), 1, "nothing is tried again");
    slack.take_all();
    let (status, tested) = api.post("/notifications/test", &json!({})).await;
    assert_eq!(
        (status, &tested["results"][0]["error"]),
        (200, &Value::Null),
        "{tested}"
    );
}
