//! `notify list` and `notify test`.

use super::*;

fn list() -> Value {
    let delivery = |incident: &str, outcome: &str, message: &str| {
        json!({"at": "2026-01-31T12:00:00Z", "destination": "slack-app", "incident": incident, "about": "FAILED",
            "outcome": outcome, "message": message})
    };
    json!({
        "destinations": [
            {"name": "slack-app", "stopped": "invalid_auth\u{1b}[31m", "waiting": 0, "sent": 4, "failures": 1, "dropped": 1, "folded": 0},
            {"name": "email", "waiting": 2, "sent": 0, "failures": 0, "dropped": 0, "folded": 7},
        ],
        "deliveries": [delivery("inc-a", "Dropped", "invalid_auth"), delivery("inc-b", "Sent", "")],
    })
}

#[tokio::test]
async fn notify_list_shows_destinations_and_dead_letters_and_with_all_what_was_sent() {
    let server = MockServer::start().await;
    answers(&server, "GET", "/notifications", json_body(&list())).await;
    let run = aegisctl(&server.uri(), &["notify", "list"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    for part in [
        "slack-app",
        "stopped: invalid_auth",
        "email",
        "active",
        "inc-a",
        "dropped: invalid_auth",
    ] {
        assert!(run.out.contains(part), "{part} is missing: {}", run.out);
    }
    assert!(
        !run.out.contains("inc-b") && !run.out.contains('\u{1b}'),
        "{}",
        run.out
    );
    let run = aegisctl(&server.uri(), &["notify", "list", "--all"]).await;
    assert!(run.out.contains("inc-b"), "{}", run.out);
}

#[tokio::test]
async fn notify_test_fails_where_a_destination_does_not_take_the_message() {
    let server = MockServer::start().await;
    let results =
        json!({"results": [{"destination": "slack"}, {"destination": "email", "error": "SMTP 535: no"}]});
    answers(&server, "POST", "/notifications/test", json_body(&results)).await;
    let run = aegisctl(&server.uri(), &["notify", "test"]).await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.contains("slack took the test message"), "{run:?}");
    assert!(
        run.err
            .contains("email did not take the test message: SMTP 535: no"),
        "{run:?}"
    );
}
