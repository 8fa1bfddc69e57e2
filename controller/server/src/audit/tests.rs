use aegis_api::audit::Chain;
use serde_json::{Value, json};

use crate::serve::Peer;
use crate::testing::Server;

const WORKLOADS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";

async fn records(server: &Server) -> Vec<Value> {
    let page = server.get("/audit?after=0&format=lines").await.json();
    let mut chain = Chain::default();
    let lines = page["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| chain.check(line.as_str().unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn every_change_says_who_made_it_and_what_was_before_and_after() {
    let server = Server::start().await;
    let made = server
        .ask(
            "POST",
            "/auth/tokens",
            Some(json!({"name": "anna", "role": "operator"})),
        )
        .await;
    let bearer = format!("Bearer {}", made.json()["token"].as_str().unwrap());
    let spec = json!({"container": "web", "replicas": 1});
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
    assert_eq!(server.ask("POST", WORKLOADS, Some(object)).await.code, 201);
    let request = axum::http::Request::patch(format!("{WORKLOADS}/web"))
        .header("authorization", bearer)
        .header("content-type", "application/merge-patch+json")
        .header("kubectl-command", "kubectl scale")
        .body(axum::body::Body::from(
            json!({"spec": {"replicas": 3}}).to_string(),
        ))
        .unwrap();
    assert_eq!(server.send(request).await.status(), 200);
    // Tried only, and refused: neither is a change.
    assert_eq!(
        server
            .ask("DELETE", &format!("{WORKLOADS}/web?dryRun=All"), None)
            .await
            .code,
        200
    );
    assert_eq!(
        server
            .ask("DELETE", &format!("{WORKLOADS}/none"), None)
            .await
            .code,
        404
    );
    assert_eq!(
        server.ask("DELETE", &format!("{WORKLOADS}/web"), None).await.code,
        200
    );
    let records = records(&server).await;
    let recorded: Vec<String> = records
        .iter()
        .map(|record| {
            let text = |pointer: &str| {
                record
                    .pointer(pointer)
                    .and_then(Value::as_str)
                    .unwrap_or("-")
                    .to_owned()
            };
            format!(
                "{} {} {}/{}",
                text("/actor/user"),
                text("/verb"),
                text("/kind"),
                text("/name")
            )
        })
        .collect();
    assert_eq!(
        recorded,
        [
            "admin create Token/anna",
            "admin create Workload/web",
            "anna update Workload/web",
            "admin delete Workload/web"
        ]
    );
    let update = &records[2];
    assert_eq!(update["actor"]["role"], "operator");
    assert_eq!(update["actor"]["with"], "kubectl scale");
    assert_eq!(
        (
            &update["before"]["spec"]["replicas"],
            &update["after"]["spec"]["replicas"]
        ),
        (&json!(1), &json!(3))
    );
    let everything = json!(records).to_string();
    assert!(!everything.contains(made.json()["token"].as_str().unwrap()));
}

/// As every client that comes in by a port which the engine publishes: its peer is the gateway, which is no proxy.
#[tokio::test]
async fn where_a_change_a_login_and_a_refusal_came_from_is_the_peer_and_not_what_the_client_wrote() {
    let server = Server::start().await;
    let spec = json!({"container": "web", "replicas": 1});
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
    let admin = "Bearer admin-token";
    for (path, bearer, body, code) in [
        (WORKLOADS, admin, object, 201),
        ("/auth/login", "", json!({"token": "admin-token"}), 200),
        ("/auth/login", "", json!({"token": "guess"}), 401),
        (WORKLOADS, "Bearer webhook-token", json!({}), 403),
    ] {
        let mut request = axum::http::Request::post(path)
            .header("host", "127.0.0.1:8001")
            .header("content-type", "application/json")
            .header("x-forwarded-for", "8.8.8.8")
            .header("x-real-ip", "8.8.8.8")
            .header("forwarded", "for=8.8.8.8");
        if !bearer.is_empty() {
            request = request.header("authorization", bearer);
        }
        let mut request = request.body(axum::body::Body::from(body.to_string())).unwrap();
        request
            .extensions_mut()
            .insert(Peer(([172, 18, 0, 1], 4000).into()));
        assert_eq!(server.send(request).await.status(), code, "{path}");
    }
    let records = records(&server).await;
    let from: Vec<&Value> = records.iter().map(|record| &record["actor"]["from"]).collect();
    assert_eq!(from, vec!["172.18.0.1"; 4], "{records:#?}");
}

#[tokio::test]
async fn one_who_turns_forwarded_addresses_is_one_guesser_and_keeps_no_holder_of_a_token_out() {
    let server = Server::start().await;
    let login = async |token: &str, forwarded: String| {
        let mut request = axum::http::Request::post("/auth/login")
            .header("host", "127.0.0.1:8001")
            .header("content-type", "application/json")
            .header("x-forwarded-for", forwarded)
            .body(axum::body::Body::from(json!({"token": token}).to_string()))
            .unwrap();
        request
            .extensions_mut()
            .insert(Peer(([172, 18, 0, 1], 4000).into()));
        server.send(request).await.status().as_u16()
    };
    let mut answers = Vec::new();
    for turn in 0..200 {
        answers.push(login("guess", format!("8.8.{turn}.8")).await);
    }
    let tried = answers.iter().filter(|code| **code == 401).count();
    assert!(
        tried < 100 && answers.iter().all(|code| matches!(code, 401 | 429)),
        "{tried} were tried: {answers:?}"
    );
    assert_eq!(login("admin-token", "8.8.8.8".to_owned()).await, 200);
}
