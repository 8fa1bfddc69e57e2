use serde_json::{Value, json};

use crate::testing::Server;

const WORKLOADS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";

async fn post(server: &Server, verb: &str, body: Value) -> Value {
    let answer = server
        .ask("POST", &format!("/automation/{verb}"), Some(body))
        .await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn all_automation_is_paused_and_resumed_with_who_when_and_why_wherever_people_look() {
    let server = Server::start().await;
    let view = post(&server, "pause", json!({"reason": "migration", "seconds": 7200})).await;
    let paused = &view["paused"];
    assert_eq!(
        (&paused["by"], &paused["reason"]),
        (&json!("admin"), &json!("migration")),
        "{view}"
    );
    assert!(paused["at"].is_string() && paused["until"].is_string(), "{view}");
    let listed = server.get(WORKLOADS).await;
    let warning = listed.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains("all automation is paused by admin") && warning.contains("migration"),
        "{warning}"
    );
    let view = post(&server, "resume", json!({})).await;
    assert_eq!(
        (&view["paused"], &view["resumed"]["by"]),
        (&Value::Null, &json!("admin")),
        "{view}"
    );
    assert!(!server.get(WORKLOADS).await.headers.contains_key("warning"));
    let audit = server.get("/audit?after=0").await.json().to_string();
    assert!(
        audit.contains("\"pause\"") && audit.contains("\"resume\"") && audit.contains("migration"),
        "{audit}"
    );
}

#[tokio::test]
async fn one_workload_is_paused_by_annotations_that_kubectl_shows() {
    let server = Server::start().await;
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
        "metadata": {"name": "web", "annotations": {"team": "shop"}}, "spec": {"container": "web"}});
    assert_eq!(server.ask("POST", WORKLOADS, Some(object)).await.code, 201);
    let view = post(&server, "pause", json!({"workload": "web", "reason": "release"})).await;
    assert_eq!(view["workloads"]["web"]["reason"], "release", "{view}");
    assert_eq!(view["paused"], Value::Null);
    let annotations =
        async || server.get(&format!("{WORKLOADS}/web")).await.json()["metadata"]["annotations"].clone();
    let paused = annotations().await;
    assert_eq!(
        (&paused["aegisops.io/paused"], &paused["team"]),
        (&json!("release"), &json!("shop")),
        "{paused}"
    );
    post(&server, "resume", json!({"workload": "web"})).await;
    assert_eq!(annotations().await, json!({"team": "shop"}));
}

#[tokio::test]
async fn a_pause_that_makes_no_sense_is_refused_by_field() {
    let server = Server::start().await;
    for (body, code, said) in [
        (json!({"workload": "none"}), 404, "none"),
        (json!({"seconds": 0}), 422, "seconds"),
        (json!({"reason": "x".repeat(300)}), 422, "reason"),
        (json!({"reason": "a\u{1b}[31m"}), 422, "reason"),
        (json!({"wrokload": "web"}), 400, "wrokload"),
    ] {
        let answer = server.ask("POST", "/automation/pause", Some(body.clone())).await;
        assert_eq!(answer.code, code, "{body}: {}", answer.text);
        assert!(answer.text.contains(said), "{body}: {}", answer.text);
    }
    assert_eq!(server.get("/automation").await.json()["paused"], Value::Null);
}
