//! Silences, and the dry run of the intake.

use super::*;

const SILENCES: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/silences";

#[tokio::test]
async fn a_silence_is_made_with_owner_reason_and_end() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        "/auth/session",
        json_body(&json!({"user": "ada", "role": "operator"})),
    )
    .await;
    answers(
        &server,
        "POST",
        SILENCES,
        json_body(&json!({"kind": "Silence", "metadata": {"name": "s"}})),
    )
    .await;
    let line = [
        "silence",
        "add",
        "web",
        "workload/db",
        "--for",
        "2h",
        "--reason",
        "new disks",
        "--name",
        "disks",
        "--alert-type",
        "Slow",
        "--label",
        "team=shop",
        "--window",
        "Sun 02:00-04:00",
        "--hold-automation",
    ];
    let run = aegisctl(&server.uri(), &line).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out
            .starts_with("silence/disks created: in 1 weekly window(s), until "),
        "{run:?}"
    );
    let (made, _) = last_body(&server, "POST").await;
    let spec = &made["spec"];
    assert_eq!(spec["owner"], "ada");
    assert_eq!(spec["workloads"]["names"], json!(["web", "db"]));
    assert_eq!(
        (&spec["alertTypes"], &spec["matchLabels"]),
        (&json!(["Slow"]), &json!({"team": "shop"}))
    );
    assert_eq!(
        spec["windows"][0],
        json!({"days": ["Sun"], "start": "02:00", "end": "04:00"})
    );
    assert_eq!(spec["automation"], "Hold");
    assert!(spec["until"].is_string());
    let endless = aegisctl(&server.uri(), &["silence", "add", "web", "--reason", "x"]).await;
    assert_eq!(endless.code, 2, "a silence ends: {endless:?}");
}

#[tokio::test]
async fn silences_are_listed_with_their_state_and_ended_by_name() {
    let server = MockServer::start().await;
    let silence = |name: &str, until: &str| {
        json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Silence", "metadata": {"name": name},
            "spec": {"owner": "ada", "reason": "disks", "until": until, "workloads": {"names": ["web"]}}})
    };
    let all =
        json!({"items": [silence("old", "2020-01-01T00:00:00Z"), silence("new", "2999-01-01T00:00:00Z")]});
    answers(&server, "GET", SILENCES, json_body(&all)).await;
    let run = aegisctl(&server.uri(), &["silence", "list"]).await;
    let words = |line: &str| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = run.out.lines().map(words).collect();
    assert_eq!(
        lines,
        [
            "NAME STATE WORKLOADS OWNER",
            "old expired web ada",
            "new active web ada"
        ],
        "{run:?}"
    );
    let one = format!("{SILENCES}/new");
    answers(
        &server,
        "GET",
        &one,
        json_body(&silence("new", "2999-01-01T00:00:00Z")),
    )
    .await;
    answers(
        &server,
        "PATCH",
        &one,
        json_body(&silence("new", "2020-01-01T00:00:00Z")),
    )
    .await;
    let run = aegisctl(&server.uri(), &["silence", "expire", "new"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "silence/new expired\n"),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_dry_run_sends_the_body_byte_for_byte_and_shows_what_became_of_it() {
    let server = MockServer::start().await;
    let answer = json!({"sender": "mapped", "alerts": [{"alert_type": "Pump hot", "state": "firing", "container": "web",
        "severity": "warning", "incident_id": "cellar-1", "naming": null}], "unreadable": ["mapping.alertType finds no text in it"],
        "truncated": 3});
    answers(&server, "POST", "/intake/test", json_body(&answer)).await;
    let (_folder, body) = file("{\"a\": 1}\n");
    let manifest = "apiVersion: aegisops.io/v1alpha1\nkind: AlertSource\nmetadata: {name: cellar}\nspec: {format: Mapped, mapping: {alertType: [$.a]}}\n";
    let (_other, manifest) = file(manifest);
    let line = [
        "intake",
        "test",
        &body,
        "--manifest",
        &manifest,
        "--header",
        "X-A: b",
    ];
    let run = aegisctl(&server.uri(), &line).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out.contains("sender: mapped") && run.out.contains("Pump hot"),
        "{run:?}"
    );
    assert!(
        run.err.contains("unreadable: mapping.alertType") && run.err.contains("3 alerts were left out"),
        "{run:?}"
    );
    let (sent, _) = last_body(&server, "POST").await;
    assert_eq!(sent["body"], "eyJhIjogMX0K");
    assert_eq!(sent["spec"]["mapping"]["alertType"], json!(["$.a"]));
    assert_eq!(sent["source"], "cellar", "its ids begin with its name");
    assert_eq!(sent["headers"], json!({"x-a": "b"}));
}

#[tokio::test]
async fn an_address_that_is_for_a_person_to_open_is_shown_whole() {
    let server = MockServer::start().await;
    let open = format!("https://sns.eu-west-1.amazonaws.com/?Token={}", "2336".repeat(64));
    let row = json!({"at": "2026-11-29T10:00:00Z", "source": "webhook", "sender": "aegisops", "bytes": 9, "counted": 7,
        "reason": "Amazon SNS asks", "body": "{}", "open": open});
    let other = json!({"counted": 6, "reason": "no JSON"});
    answers(
        &server,
        "GET",
        "/intake/unreadable",
        json_body(&json!([row, other])),
    )
    .await;
    let run = aegisctl(&server.uri(), &["intake", "unreadable"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out.contains(&format!("7: for you to open: {open}\n")),
        "{run:?}"
    );
    assert_eq!(run.out.matches("for you to open").count(), 1, "{run:?}");
}
