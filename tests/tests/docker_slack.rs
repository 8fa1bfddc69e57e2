//! Promise: people in a chat hear what becomes of an incident, in order and once, and a chat that stalls holds nothing up.

use std::time::Duration;

use aegis_tests::{World, eventually, manifests};
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
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    let alert = json!({"incident_id": "slack-2", "alert_type": "HANG", "container_name": patient.name});
    api.post("/webhook", &alert).await;
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
