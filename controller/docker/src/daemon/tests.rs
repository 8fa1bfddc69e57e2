//! The driver against a scripted engine: other versions than the one at hand, and answers that a good engine never gives.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ID: &str = "db00000000000000000000000000000000000000000000000000000000000000";

/// Requests as they came: `GET /target` and the body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn version(api: &str) -> (&'static str, String) {
    (
        "GET /version",
        answer(200, &json!({ "Version": "x", "ApiVersion": api }).to_string()),
    )
}

/// An engine that gives the first answer whose key begins the request; 404 otherwise.
async fn scripted(mut script: Vec<(&'static str, String)>) -> (Docker, Seen) {
    script.push(("GET /info", answer(200, "{\"CgroupVersion\":\"2\"}")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let docker = Docker::connect(Some(&format!("tcp://{}", listener.local_addr().unwrap()))).unwrap();
    let seen = Seen::default();
    let record = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            loop {
                let length = stream.read(&mut buffer).await.unwrap_or(0);
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let wanted = head
                    .to_lowercase()
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= wanted.unwrap_or(0) || length == 0 {
                    break;
                }
            }
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
            let request = head
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches(" HTTP/1.1")
                .to_owned();
            record.lock().unwrap().push((request.clone(), body.to_owned()));
            let known = script
                .iter()
                .find(|(key, _)| request.starts_with(key))
                .map(|(_, answer)| answer.clone());
            let reply = known.unwrap_or_else(|| answer(404, "{\"message\":\"no such thing\"}"));
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    (docker, seen)
}

fn requests(seen: &Seen) -> Vec<String> {
    seen.lock()
        .unwrap()
        .iter()
        .map(|(request, _)| request.clone())
        .collect()
}

fn container(name: &str, state: &str) -> String {
    answer(
        200,
        &json!({ "Id": ID, "Name": format!("/{name}"), "State": { "Status": state } }).to_string(),
    )
}

fn two_networks() -> CreateSpec {
    CreateSpec {
        name: "web".to_owned(),
        body: json!({ "Image": "web:1", "NetworkingConfig": { "EndpointsConfig": { "front": {} } } }),
        extra_networks: [("back".to_owned(), json!({ "Aliases": ["web"] }))].into(),
        image_id: None,
    }
}

#[tokio::test]
async fn an_engine_that_can_is_given_all_networks_at_once() {
    let created = (
        "POST /containers/create",
        answer(201, &json!({ "Id": ID }).to_string()),
    );
    let (docker, seen) = scripted(vec![version("1.47"), created]).await;
    assert_eq!(docker.create(two_networks()).await.unwrap(), ID);
    let (request, body) = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(request, "POST /containers/create?name=web");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["NetworkingConfig"]["EndpointsConfig"],
        json!({ "front": {}, "back": { "Aliases": ["web"] } })
    );
    assert_eq!(
        body["Labels"],
        json!({ "io.aegisops.networks": r#"{"container":"web","networks":{}}"# }),
        "an image's label of this name would count otherwise"
    );
}

#[tokio::test]
async fn an_older_engine_is_given_them_one_by_one_and_a_failure_leaves_nothing() {
    let created = (
        "POST /containers/create",
        answer(201, &json!({ "Id": ID }).to_string()),
    );
    let removed = ("DELETE /containers/", answer(204, ""));
    let joined = ("POST /networks/back/connect", answer(200, ""));
    let (docker, seen) = scripted(vec![version("1.41"), created.clone(), joined]).await;
    docker.create(two_networks()).await.unwrap();
    let (_, body) = seen.lock().unwrap()[2].clone();
    assert!(body.contains("io.aegisops.networks"), "{body}");

    let (docker, seen) = scripted(vec![version("1.41"), created, removed]).await;
    let error = docker.create(two_networks()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "create container web, joining network back: not found: no such thing"
    );
    assert_eq!(
        requests(&seen).last().unwrap(),
        &format!("DELETE /containers/{ID}?v=true&force=false&link=false")
    );
}

#[tokio::test]
async fn counters_are_asked_for_once_where_the_engine_can() {
    for (api, target) in [
        ("1.40", "stats?stream=false"),
        ("1.41", "stats?stream=false&one-shot=true"),
    ] {
        let stats = (
            "GET /containers/web/stats",
            answer(200, "{\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":5}}}"),
        );
        let (docker, seen) = scripted(vec![version(api), stats]).await;
        assert_eq!(docker.stats("web").await.unwrap().cpu_total_ns, 5);
        assert_eq!(
            requests(&seen).last().unwrap(),
            &format!("GET /containers/web/{target}")
        );
    }
}

#[tokio::test]
async fn one_strange_container_does_not_hide_the_others() {
    let rows =
        json!([{ "Id": "1", "State": "thawing" }, 7, { "Id": "2", "Names": ["/web"], "State": "running" }]);
    let (docker, _) = scripted(vec![("GET /containers/json", answer(200, &rows.to_string()))]).await;
    let names: Vec<String> = docker
        .list(ListFilter::default())
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.name)
        .collect();
    assert_eq!(names, ["", "web"]);
}

#[tokio::test]
async fn a_name_that_begins_an_id_touches_nothing() {
    let (docker, seen) = scripted(vec![("GET /containers/db/json", container("other", "running"))]).await;
    assert!(docker.stop("db", None).await.unwrap_err().is_not_found());
    assert!(docker.signal("db", "KILL").await.unwrap_err().is_not_found());
    docker.remove("db").await.unwrap();
    assert!(
        requests(&seen).iter().all(|request| request.starts_with("GET ")),
        "{:?}",
        requests(&seen)
    );
}

#[tokio::test]
async fn what_already_holds_or_is_under_way_is_a_success() {
    let (docker, _) = scripted(vec![
        ("GET /containers/web/json", container("web", "running")),
        ("POST /containers/", answer(304, "")),
        (
            "DELETE /containers/web",
            answer(
                409,
                "{\"message\":\"removal of container web is already in progress\"}",
            ),
        ),
    ])
    .await;
    docker.start("web").await.unwrap();
    docker.stop("web", None).await.unwrap();
    docker.remove("web").await.unwrap();
}

#[tokio::test]
async fn events_survive_what_they_cannot_read_and_say_when_they_end() {
    use futures::StreamExt;
    let lines = [
        json!({ "Type": "image", "Action": "pull", "Actor": { "ID": "x" } }).to_string(),
        "no JSON".to_owned(),
        json!({ "Type": "container", "Action": "die", "Actor": { "ID": ID, "Attributes": { "name": "web" } } }).to_string(),
    ];
    let (docker, _) = scripted(vec![(
        "GET /events?since=",
        answer(200, &(lines.join("\n") + "\n")),
    )])
    .await;
    let mut events = docker.events().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().action, "die");
    assert!(matches!(
        events.next().await,
        Some(Err(EngineError::Unreachable { .. }))
    ));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_nonsense_is_an_error_with_a_name() {
    let (docker, _) = scripted(vec![
        ("GET /containers/json", answer(200, "[{]")),
        (
            "GET /containers/web/json",
            "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{".to_owned(),
        ),
        ("GET /version", String::new()),
    ])
    .await;
    let said = docker.list(ListFilter::default()).await.unwrap_err().to_string();
    assert!(
        said.starts_with("list containers: engine error: the answer is no JSON"),
        "{said}"
    );
    assert!(matches!(
        docker.inspect("web").await,
        Err(EngineError::Unreachable { .. })
    ));
    assert!(matches!(
        docker.info().await,
        Err(EngineError::Unreachable { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let docker = Docker::connect(Some(&format!("tcp://{}", listener.local_addr().unwrap()))).unwrap();
    assert_eq!(
        docker.inspect("web").await,
        Err(EngineError::Timeout {
            operation: "inspect container web".to_owned(),
            seconds: 10
        })
    );
    drop(listener);
}
