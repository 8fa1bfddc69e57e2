use aegis_api::audit::Chain;
use serde_json::{Value, json};

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
