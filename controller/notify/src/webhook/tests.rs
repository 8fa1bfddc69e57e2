//! Against a receiver that records what comes.

use aegis_api::incident::Stage;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::card::Look;
use crate::card::tests::incident;

fn story(text: &str) -> Story {
    let incident = incident("u", text, &[Stage::Resolved]);
    let entry = incident.status.as_ref().unwrap().timeline.first().unwrap();
    Story::of(&incident, entry, &Look::default())
}

#[tokio::test]
async fn an_event_has_what_cloudevents_require_and_a_signature_over_id_time_and_body() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let secret = SecretString::from("a secret of the two");
    let webhook = Webhook::new(&SecretString::from(server.uri()), Some(&secret), "cloudevents").unwrap();
    let post = webhook.render(&story("a leak password=hunter2"));
    assert_eq!(webhook.send(&post, 1_700_000_000).await, Posted::Taken(None));
    let request = &server.received_requests().await.unwrap()[0];
    let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(header("content-type"), CLOUD_EVENTS);
    for (pointer, expected) in [
        ("/specversion", "1.0"),
        ("/type", "io.aegisops.incident.resolved"),
        ("/subject", "inc-u"),
        ("/data/stage", "RESOLVED"),
    ] {
        assert_eq!(body.pointer(pointer).unwrap(), expected);
    }
    assert!(!body.to_string().contains("hunter2"), "{body}");
    assert_eq!(header("webhook-id"), body["id"].as_str().unwrap());
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret of the two").unwrap();
    mac.update(format!("{}.1700000000.", header("webhook-id")).as_bytes());
    mac.update(&request.body);
    let given = header("webhook-signature");
    mac.verify_slice(&STANDARD.decode(given.strip_prefix("v1,").unwrap()).unwrap())
        .unwrap();
}

#[test]
fn the_same_report_has_the_same_id_when_it_is_made_again() {
    assert_eq!(story("a leak").id, story("a leak").id);
    assert_ne!(story("a leak").id, story("another").id);
}

#[test]
fn a_secret_that_is_too_short_and_an_address_that_is_none_are_refused_without_being_shown() {
    let url = SecretString::from("https://example.org/hook/hunter2");
    let short = SecretString::from("hunter2");
    let error = Webhook::new(&url, Some(&short), "cloudevents")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("NOTIFY_WEBHOOK_SECRET") && !error.contains("hunter2"),
        "{error}"
    );
    let error = Webhook::new(&SecretString::from("hunter2"), None, "cloudevents")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("NOTIFY_WEBHOOK_URL") && !error.contains("hunter2"),
        "{error}"
    );
}
