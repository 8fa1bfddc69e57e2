use serde_json::{Value, json};

use crate::testing::{Answer, Server};

const WORKLOADS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";

/// A server with three Workloads whose files have gone at once.
async fn held() -> Server {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
            "spec": {"container": "c"}});
        assert_eq!(server.ask("POST", WORKLOADS, Some(object)).await.code, 201);
    }
    for name in ["a", "b", "c"] {
        std::fs::remove_file(server.folder.path().join(format!("workloads/{name}.yaml"))).unwrap();
    }
    let wait = async {
        while server.get("/files").await.json()["held"]
            .as_array()
            .unwrap()
            .len()
            < 3
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(15), wait)
        .await
        .unwrap();
    server
}

async fn as_role(server: &Server, role: &str, body: &Value) -> Answer {
    let made = server
        .ask(
            "POST",
            "/auth/tokens",
            Some(json!({"name": format!("a-{role}"), "role": role})),
        )
        .await;
    let request = axum::http::Request::post("/files/confirm")
        .header(
            "authorization",
            format!("Bearer {}", made.json()["token"].as_str().unwrap()),
        )
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap();
    Answer::of(server.send(request).await).await
}

fn warnings(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("warning").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn held_deletions_are_listed_and_confirmed_by_roles_that_may_delete_the_kind_and_audited() {
    let server = held().await;
    let report = server.get("/files").await.json();
    assert_eq!(report["held"][0]["kind"], "Workload");
    assert_eq!(report["held"][0]["reason"], "ManyAtOnce");
    let list = server.get(WORKLOADS).await;
    assert!(
        warnings(&list)[0].contains("deletions of 3 workloads are held")
            && warnings(&list)[0].contains("`aegisctl confirm workloads`"),
        "{:?}",
        warnings(&list)
    );
    let one = server.get(&format!("{WORKLOADS}/b")).await;
    assert!(
        warnings(&one)[0].contains("`aegisctl confirm workload/b`"),
        "{:?}",
        warnings(&one)
    );

    let body = json!({"kind": "workloads", "names": ["a", "b", "other"]});
    for (role, code) in [("viewer", 403), ("webhook", 403), ("operator", 403)] {
        assert_eq!(as_role(&server, role, &body).await.code, code, "{role}");
    }
    assert_eq!(
        server.get("/files").await.json()["held"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let answer = server.ask("POST", "/files/confirm", Some(body)).await.json();
    assert_eq!(answer["deleted"], json!(["a", "b"]));
    assert_eq!(answer["refused"][0]["name"], "other");
    assert_eq!(server.get(&format!("{WORKLOADS}/a")).await.code, 404);
    assert_eq!(server.get(&format!("{WORKLOADS}/c")).await.code, 200);
    let audit = server.get("/audit?after=0").await.json();
    let deleted = |record: &Value| {
        record["verb"] == "delete" && record["name"] == "a" && record["actor"]["user"] == "admin"
    };
    assert!(
        audit["records"].as_array().unwrap().iter().any(deleted),
        "{audit}"
    );
    let wrong = server
        .ask(
            "POST",
            "/files/confirm",
            Some(json!({"kind": "pods", "names": []})),
        )
        .await;
    assert_eq!(wrong.code, 400, "{wrong:?}");
}

#[tokio::test]
async fn an_operator_confirms_what_an_operator_may_delete() {
    let server = Server::start().await;
    let body = json!({"kind": "runbookentries", "names": ["none"]});
    let answer = as_role(&server, "operator", &body).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert_eq!(answer.json()["refused"][0]["name"], "none");
}
