//! What a viewer is shown of values, through the whole router.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::testing::{Answer, Server};

const WEB: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/web";
const ALL: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";

async fn token(server: &Server, role: &str) -> String {
    let wanted = json!({"name": role, "role": role});
    let made = server.ask("POST", "/auth/tokens", Some(wanted)).await;
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .header("accept", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    Answer::of(server.send(request).await).await
}

fn workload() -> Value {
    let template = json!({"image": "web:1", "env": {"PASSWORD": "hunter2", "MODE": "fast"}});
    let applied = json!({"spec": {"template": template}}).to_string();
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload",
        "metadata": {"name": "web", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        "spec": {"template": template}})
}

#[tokio::test]
async fn who_may_not_change_a_spec_sees_no_value_of_a_variable_and_who_may_sees_them_all() {
    let server = Server::start().await;
    let made = server.ask("POST", ALL, Some(workload())).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let (viewer, operator) = (token(&server, "viewer").await, token(&server, "operator").await);
    let watch = format!("{ALL}?watch=true&timeoutSeconds=1");
    let rows = format!("{ALL}?includeObject=Object");
    let status = format!("{WEB}/status");
    for path in [WEB, ALL, watch.as_str(), rows.as_str(), status.as_str()] {
        let seen = ask(&server, &viewer, "GET", path, "", "").await;
        assert_eq!(seen.code, 200, "{path}");
        assert!(
            seen.text.contains("•••") && seen.text.contains("PASSWORD"),
            "{path}: {}",
            seen.text
        );
        assert!(!seen.text.contains("hunter2"), "{path}: {}", seen.text);
        let seen = ask(&server, &operator, "GET", path, "", "").await;
        assert!(seen.text.contains("hunter2"), "{path}: {}", seen.text);
    }
}

#[tokio::test]
async fn a_viewer_finds_out_no_value_by_selecting_for_it() {
    let server = Server::start().await;
    server.ask("POST", ALL, Some(workload())).await;
    let (viewer, operator) = (token(&server, "viewer").await, token(&server, "operator").await);
    for rest in ["", "&watch=true&timeoutSeconds=1", "&includeObject=Object"] {
        for guess in [
            "PASSWORD=hunter2",
            "PASSWORD!=hunter2",
            "PASSWORD=nope",
            "PASSWORD!=nope",
        ] {
            let path = format!("{ALL}?fieldSelector=spec.template.env.{guess}{rest}");
            let is_selected = async |token: &str| {
                let seen = ask(&server, token, "GET", &path, "", "").await;
                assert_eq!(seen.code, 200, "{path}: {}", seen.text);
                seen.text.contains("web:1")
            };
            let differs = guess.contains("!=");
            assert_eq!(
                is_selected(&viewer).await,
                differs,
                "{path}: what is hidden equals no guess"
            );
            assert_eq!(
                is_selected(&operator).await,
                differs != guess.contains("hunter2"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_viewer_was_shown_is_never_stored() {
    let server = Server::start().await;
    server.ask("POST", ALL, Some(workload())).await;
    let (viewer, operator) = (token(&server, "viewer").await, token(&server, "operator").await);
    let shown = ask(&server, &viewer, "GET", WEB, "", "").await.text;
    let sent = ask(&server, &operator, "PUT", WEB, "application/json", &shown).await;
    assert_eq!(sent.code, 422, "{}", sent.text);
    assert!(
        sent.text.contains("spec.template.env.MODE") && sent.text.contains("is no value"),
        "{}",
        sent.text
    );
    assert!(server.get(WEB).await.text.contains("hunter2"));
}

#[tokio::test]
async fn what_a_viewer_may_ask_about_a_change_gives_no_value_away() {
    let server = Server::start().await;
    server.ask("POST", ALL, Some(workload())).await;
    let viewer = token(&server, "viewer").await;
    let plan = format!("{WEB}/plan");
    let copy = r#"[{"op": "copy", "from": "/spec/template/env/PASSWORD", "path": "/spec/template/image"}]"#;
    let test = r#"[{"op": "test", "path": "/spec/template/env/PASSWORD", "value": "hunter2"}]"#;
    let guess = r#"{"spec": {"template": {"env": {"PASSWORD": "hunter2"}}}}"#;
    for (kind, body) in [
        ("application/json-patch+json", copy),
        ("application/json-patch+json", test),
        ("application/merge-patch+json", guess),
    ] {
        let refused = ask(&server, &viewer, "POST", &plan, kind, body).await;
        assert_eq!(refused.code, 403, "{}", refused.text);
        assert!(!refused.text.contains("hunter2"), "{}", refused.text);
    }
    let scaled = r#"{"spec": {"replicas": 3}}"#;
    let asked = ask(
        &server,
        &viewer,
        "POST",
        &plan,
        "application/merge-patch+json",
        scaled,
    )
    .await;
    assert_eq!(asked.code, 200, "{}", asked.text);
}

#[tokio::test]
async fn the_dashboard_reads_its_routes_and_nothing_else() {
    let server = Server::start().await;
    let token = token(&server, "dashboard").await;
    for path in [
        "/incidents",
        "/containers",
        "/metrics",
        "/runbook",
        "/auth/session",
    ] {
        let answer = ask(&server, &token, "GET", path, "", "").await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text);
    }
    for path in [WEB, ALL, "/ws", "/topology", "/incidents/i1", "/audit", "/files"] {
        let refused = ask(&server, &token, "GET", path, "", "").await;
        assert_eq!(refused.code, 403, "{path}: {}", refused.text);
    }
    let body = json!({"token": token}).to_string();
    assert_eq!(
        ask(&server, &token, "POST", "/auth/login", "", &body).await.code,
        403
    );
}

#[tokio::test]
async fn who_approved_is_who_sent_it() {
    let server = Server::start().await;
    let operator = token(&server, "operator").await;
    let incidents = "/apis/aegisops.io/v1alpha1/namespaces/default/incidents";
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "i1"},
        "spec": {"workloadRef": "web", "alertType": "oom", "override": {"action": "RESTART", "by": "ada"}}});
    let made = ask(
        &server,
        &operator,
        "POST",
        incidents,
        "application/json",
        &object.to_string(),
    )
    .await;
    assert_eq!(made.json()["spec"]["override"]["by"], "operator", "{}", made.text);
    let approval = json!({"spec": {"approval": {"decision": "Approve", "planHash": "1", "by": "ada"}}});
    let path = format!("{incidents}/i1");
    let kind = "application/merge-patch+json";
    let patched = ask(&server, &operator, "PATCH", &path, kind, &approval.to_string()).await;
    assert_eq!(
        patched.json()["spec"]["approval"]["by"],
        "operator",
        "{}",
        patched.text
    );
    let whole = server.ask("PUT", &path, Some(patched.json())).await;
    assert_eq!(
        whole.json()["spec"]["approval"]["by"],
        "operator",
        "{}",
        whole.text
    );
}
