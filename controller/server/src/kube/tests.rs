//! The API as kubectl uses it, over a real store: what each verb answers, and the exact words of each refusal.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use aegis_api::kinds::find;
use aegis_runtime::{EventType, ObjectRef, Part};

use crate::testing::{Answer, Server, config};

const BASE: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";

fn workload(name: &str) -> Value {
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"container": name, "replicas": 2}})
}

async fn with(names: &[&str]) -> Server {
    let server = Server::start().await;
    for name in names {
        assert_eq!(server.ask("POST", BASE, Some(workload(name))).await.code, 201);
    }
    server
}

fn message(answer: &Answer) -> String {
    let status = answer.json();
    assert_eq!(status["kind"], "Status", "{status}");
    assert_eq!(status["code"], answer.code.as_u16());
    format!(
        "{} {}: {}",
        answer.code.as_u16(),
        status["reason"].as_str().unwrap(),
        status["message"].as_str().unwrap()
    )
}

async fn patch(server: &Server, kind: &str, path: &str, body: &str) -> Answer {
    server
        .ask_with("PATCH", path, &[("content-type", kind)], Some(body.to_owned()))
        .await
}

const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn an_object_is_made_read_listed_and_deleted() {
    let server = with(&["web"]).await;
    let one = server.get(&format!("{BASE}/web")).await.json();
    assert_eq!(one["metadata"]["namespace"], "default");
    assert_eq!(one["metadata"]["generation"], 1);
    assert!(one["metadata"]["uid"].is_string() && one["metadata"]["creationTimestamp"].is_string());
    let list = server.get(BASE).await.json();
    assert_eq!(
        (list["kind"].as_str(), list["apiVersion"].as_str()),
        (Some("WorkloadList"), Some("aegisops.io/v1alpha1"))
    );
    assert_eq!(list["items"], json!([one]));
    assert!(list["metadata"]["resourceVersion"].is_string());
    assert_eq!(
        server.get("/apis/aegisops.io/v1alpha1/workloads").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let gone = server
        .ask(
            "DELETE",
            &format!("{BASE}/web"),
            Some(json!({"propagationPolicy": "Background"})),
        )
        .await
        .json();
    assert_eq!(gone["status"], "Success");
    assert_eq!(gone["details"]["uid"], one["metadata"]["uid"]);
    assert_eq!(
        message(&server.get(&format!("{BASE}/web")).await),
        "404 NotFound: workloads.aegisops.io \"web\" not found"
    );
}

#[tokio::test]
async fn refusals_have_the_words_that_kubectl_prints() {
    let server = with(&["web"]).await;
    let post = |body: Value| server.ask("POST", BASE, Some(body));
    assert_eq!(
        message(&post(workload("web")).await),
        "409 AlreadyExists: workloads.aegisops.io \"web\" already exists"
    );
    let mut bad = workload("a");
    bad["spec"]["replicas"] = json!(-1);
    let invalid = post(bad.clone()).await;
    assert_eq!(
        message(&invalid),
        "422 Invalid: Workload.aegisops.io \"a\" is invalid: spec.replicas: Invalid value: -1: must be 0 or more"
    );
    assert_eq!(invalid.json()["details"]["kind"], "Workload");
    bad["spec"]["health"] = json!({"http": {"port": 99999}});
    let causes = post(bad).await.json()["details"]["causes"].clone();
    assert_eq!(causes.as_array().unwrap().len(), 2, "{causes}");
    assert!(causes[0]["field"].is_string() && causes[0]["reason"] == "FieldValueInvalid");
    let mut misspelt = workload("a");
    misspelt["spec"]["replicaz"] = json!(1);
    assert_eq!(
        message(&post(misspelt).await),
        "400 BadRequest: Workload in version \"v1alpha1\" cannot be handled as a Workload: strict decoding error: \
         unknown field \"spec.replicaz\" (did you mean \"replicas\"?)"
    );
    let mut strange = workload("a");
    strange["metadata"]["lables"] = json!({});
    assert!(message(&post(strange).await).contains("unknown field \"metadata.lables\""));
    assert!(
        message(&post(json!({"kind": "Pod"})).await).contains("does not match the expected kind (Workload)")
    );
    let answer = server.ask_with("POST", BASE, &[], Some("{".to_owned())).await;
    assert!(message(&answer).starts_with("400 BadRequest: the body of the request is no JSON"));
    assert_eq!(
        message(
            &server
                .get("/apis/aegisops.io/v1alpha1/namespaces/default/pods")
                .await
        ),
        "404 NotFound: the server could not find the requested resource"
    );
    assert_eq!(
        message(&server.get("/apis/nope").await).split(':').next(),
        Some("404 NotFound")
    );
    assert_eq!(
        message(&server.ask("DELETE", BASE, None).await).split(':').next(),
        Some("405 MethodNotAllowed")
    );
    let big = "x".repeat((1 << 20) + 1);
    assert!(
        message(&server.ask_with("POST", BASE, &[], Some(big)).await)
            .starts_with("413 RequestEntityTooLarge")
    );
}

#[tokio::test]
async fn a_stale_update_is_a_conflict_and_an_unchanged_one_changes_nothing() {
    let server = with(&["web"]).await;
    let path = format!("{BASE}/web");
    let mut object = server.get(&path).await.json();
    let same = server.ask("PUT", &path, Some(object.clone())).await.json();
    assert_eq!(
        same["metadata"]["resourceVersion"],
        object["metadata"]["resourceVersion"]
    );
    let stale = object.clone();
    object["spec"]["replicas"] = json!(3);
    object["status"] = json!({"replicas": 99});
    let changed = server.ask("PUT", &path, Some(object)).await.json();
    assert_eq!(
        (&changed["spec"]["replicas"], &changed["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    assert!(
        changed.get("status").is_none(),
        "only the controller writes status"
    );
    assert_eq!(
        message(&server.ask("PUT", &path, Some(stale)).await),
        "409 Conflict: Operation cannot be fulfilled on workloads.aegisops.io \"web\": the object has been modified; \
         please apply your changes to the latest version and try again"
    );
    assert!(
        message(&server.ask("PUT", &path, Some(workload("db"))).await)
            .contains("does not match the name on the URL")
    );
    assert!(
        message(
            &server
                .ask("PUT", &format!("{BASE}/no"), Some(workload("no")))
                .await
        )
        .starts_with("404")
    );
}

#[tokio::test]
async fn patches_of_every_type_are_taken() {
    let server = with(&["web"]).await;
    let path = format!("{BASE}/web");
    let merged = patch(
        &server,
        MERGE,
        &path,
        r#"{"spec":{"replicas":4},"metadata":{"labels":{"app":null,"x":"y"}}}"#,
    )
    .await;
    assert_eq!(merged.json()["metadata"]["labels"], json!({"x": "y"}));
    let strategic = patch(
        &server,
        "application/strategic-merge-patch+json",
        &path,
        r#"{"spec":{"replicas":5}}"#,
    )
    .await;
    assert_eq!(strategic.json()["spec"]["replicas"], 5);
    let operations = r#"[{"op":"replace","path":"/spec/replicas","value":6}]"#;
    assert_eq!(
        patch(&server, "application/json-patch+json", &path, operations)
            .await
            .json()["spec"]["replicas"],
        6
    );
    let failing = r#"[{"op":"test","path":"/spec/replicas","value":1}]"#;
    assert!(
        message(&patch(&server, "application/json-patch+json", &path, failing).await)
            .starts_with("422 Invalid")
    );
    assert!(
        message(&patch(&server, "text/plain", &path, "{}").await).starts_with("415 UnsupportedMediaType")
    );
    assert!(message(&patch(&server, MERGE, &path, "null").await).starts_with("400 BadRequest"));
    assert!(
        message(&patch(&server, MERGE, &path, r#"{"metadata":{"resourceVersion":"1"}}"#).await)
            .starts_with("409")
    );
    let renamed = patch(&server, MERGE, &path, r#"{"metadata":{"name":"other"}}"#).await;
    assert!(message(&renamed).contains("metadata.name: Invalid value: field is immutable"));
    assert!(message(&patch(&server, MERGE, &format!("{BASE}/no"), "{}").await).starts_with("404"));
    let bad = patch(&server, MERGE, &path, r#"{"spec":{"replicas":"many"}}"#).await;
    assert_eq!(
        bad.json()["details"]["causes"][0]["reason"],
        "FieldValueTypeInvalid"
    );
}

#[tokio::test]
async fn apply_makes_what_is_not_there_and_changes_what_is() {
    let server = Server::start().await;
    let path = format!("{BASE}/web");
    let kind = "application/apply-patch+yaml";
    let yaml =
        "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: web\nspec:\n  container: web\n";
    assert_eq!(patch(&server, kind, &path, yaml).await.code, 201);
    let changed = patch(&server, kind, &path, &format!("{yaml}  replicas: 3\n")).await;
    assert_eq!(
        (changed.code.as_u16(), &changed.json()["spec"]["replicas"]),
        (200, &json!(3))
    );
}

/// What `kubectl apply --server-side` and `kubectl diff --server-side` rest on.
#[tokio::test]
async fn an_apply_removes_what_its_manager_names_no_longer_and_a_dry_run_shows_it() {
    let server = Server::start().await;
    let kind = "application/apply-patch+yaml";
    let path = format!("{BASE}/web?fieldManager=kubectl&force=false");
    let yaml =
        "apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: web\nspec:\n  container: web\n";
    let more = format!("{yaml}  replicas: 3\n  dependsOn: [db]\n  restart: {{attempts: 4}}\n");
    let made = patch(&server, kind, &path, &more).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let by_hand = r#"{"spec":{"restartedAt":"2026-01-01T00:00:00Z"}}"#;
    assert_eq!(patch(&server, MERGE, &path, by_hand).await.code, 200);
    for (path, code) in [(format!("{path}&dryRun=All"), 200), (path.clone(), 200)] {
        let answer = patch(&server, kind, &path, yaml).await;
        assert_eq!(answer.code, code, "{}", answer.text);
        let spec = &answer.json()["spec"];
        assert!(
            spec["dependsOn"].is_null() && spec["restart"]["attempts"] != 4,
            "{spec}"
        );
        assert_eq!(spec["restartedAt"], "2026-01-01T00:00:00Z");
        let stored = server.get(&format!("{BASE}/web")).await.json();
        assert_eq!(stored["spec"]["dependsOn"].is_null(), !path.contains("dryRun"));
    }

    let other = format!("{BASE}/web?fieldManager=ann");
    let scaled = format!("{yaml}  replicas: 5\n");
    let scaled = patch(&server, kind, &other, &scaled).await;
    assert_eq!(scaled.code, 200, "{}", scaled.text);
    let refused = patch(&server, kind, &path, &format!("{yaml}  replicas: 7\n")).await;
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.json()["message"],
        "Apply failed with 1 conflict: conflict with \"ann\": .spec.replicas"
    );
    assert_eq!(
        refused.json()["details"]["causes"][0]["reason"],
        "FieldManagerConflict"
    );
    let forced = format!("{BASE}/web?fieldManager=kubectl&force=true");
    let forced = patch(&server, kind, &forced, &format!("{yaml}  replicas: 7\n")).await;
    assert_eq!(forced.json()["spec"]["replicas"], 7);

    let nothing = format!("{yaml}  template: {{image: x, env: {{EMPTY: null}}}}\n");
    let refused = patch(&server, kind, &path, &nothing).await;
    assert!(
        refused.code == 422 && refused.text.contains("spec.template.env.EMPTY"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let server = with(&["web"]).await;
    let rehearsed = server
        .ask("POST", &format!("{BASE}?dryRun=All"), Some(workload("db")))
        .await;
    assert_eq!(rehearsed.code, 201);
    let path = format!("{BASE}/web?dryRun=All");
    assert_eq!(
        patch(&server, MERGE, &path, r#"{"spec":{"replicas":9}}"#)
            .await
            .json()["spec"]["replicas"],
        9
    );
    assert_eq!(server.ask("DELETE", &path, None).await.code, 200);
    let options = json!({"dryRun": ["All"]});
    assert_eq!(
        server
            .ask("DELETE", &format!("{BASE}/web"), Some(options))
            .await
            .code,
        200
    );
    let list = server.get(BASE).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["spec"]["replicas"], 2);
}

#[tokio::test]
async fn selectors_select_and_nonsense_is_a_bad_request() {
    let server = with(&["web", "db"]).await;
    let names = async |query: &str| -> Vec<String> {
        let list = server.get(&format!("{BASE}?{query}")).await.json();
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("").await, ["db", "web"]);
    assert_eq!(names("labelSelector=app%3Dweb").await, ["web"]);
    assert_eq!(names("labelSelector=app+notin+(web)").await, ["db"]);
    assert_eq!(names("fieldSelector=metadata.name%3Ddb").await, ["db"]);
    assert!(message(&server.get(&format!("{BASE}?labelSelector=a+b+c")).await).starts_with("400 BadRequest"));
    let elsewhere = "/apis/aegisops.io/v1alpha1/namespaces/other/workloads";
    assert_eq!(server.get(elsewhere).await.json()["items"], json!([]));
    assert_eq!(
        message(&server.get(&format!("{elsewhere}/web")).await)
            .split(':')
            .next(),
        Some("404 NotFound")
    );
    assert_eq!(
        message(&server.ask("POST", elsewhere, Some(workload("x"))).await),
        "404 NotFound: namespaces \"other\" not found"
    );
}

#[tokio::test]
async fn the_scale_of_what_is_autoscaled_warns_how_long_that_holds_and_zero_at_least_is_refused() {
    let server = Server::start().await;
    let web = |min: u32| {
        json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"template": {"image": "a"}, "autoscale": {"min": min, "max": 4,
                "targets": [{"metric": "Cpu", "percent": 50}]}}})
    };
    let refused = server.ask("POST", BASE, Some(web(0))).await;
    assert_eq!(refused.code, 422, "{}", refused.text);
    for words in [
        "spec.autoscale.min",
        "must be 1 or more",
        "autoscaling to zero is not offered",
    ] {
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
    }
    assert_eq!(server.ask("POST", BASE, Some(web(1))).await.code, 201);
    let scale = format!("{BASE}/web/scale");
    for (replicas, words) in [
        (3, "3 are held for 10m, until "),
        (
            9,
            "9 are outside of spec.autoscale's 1 to 4, so 4 are held for 10m",
        ),
        (0, "with 0 replicas that is switched off"),
    ] {
        let body = json!({"spec": {"replicas": replicas}}).to_string();
        let answer = patch(&server, MERGE, &scale, &body).await;
        assert_eq!(answer.code, 200, "{}", answer.text);
        let warning = answer.headers.get("warning").map(|value| value.to_str().unwrap());
        assert!(
            warning.is_some_and(|warning| warning.starts_with("299 - ") && warning.contains(words)),
            "{replicas}: {warning:?}"
        );
    }
}

#[tokio::test]
async fn status_is_the_controller_s_and_scale_changes_replicas_only() {
    let server = with(&["web"]).await;
    let status = format!("{BASE}/web/status");
    assert_eq!(server.get(&status).await.json()["kind"], "Workload");
    assert_eq!(
        message(&patch(&server, MERGE, &status, r#"{"status":{"replicas":7}}"#).await),
        "403 Forbidden: workloads.aegisops.io \"web\" is forbidden: status is written by the controller only"
    );
    let scale = format!("{BASE}/web/scale");
    let current = server.get(&scale).await.json();
    assert_eq!(
        (&current["kind"], &current["spec"]["replicas"]),
        (&json!("Scale"), &json!(2))
    );
    assert_eq!(
        patch(&server, MERGE, &scale, r#"{"spec":{"replicas":4}}"#)
            .await
            .json()["spec"]["replicas"],
        4
    );
    // kubectl puts a scale without a content type.
    let stale = server
        .ask_with("PUT", &scale, &[], Some(current.to_string()))
        .await;
    assert!(message(&stale).starts_with("409 Conflict"));
    let mut wanted = server.get(&scale).await.json();
    wanted["spec"]["replicas"] = json!(1);
    assert_eq!(
        server
            .ask_with("PUT", &scale, &[], Some(wanted.to_string()))
            .await
            .json()["spec"]["replicas"],
        1
    );
    let invalid = patch(&server, MERGE, &scale, r#"{"spec":{"replicas":-1}}"#).await;
    assert!(message(&invalid).contains("spec.replicas: Invalid value: -1"));
    let incident = "/apis/aegisops.io/v1alpha1/namespaces/default/incidents/x/scale";
    assert_eq!(
        message(&patch(&server, MERGE, incident, "{}").await)
            .split(':')
            .next(),
        Some("404 NotFound")
    );
}

#[tokio::test]
async fn a_table_has_the_columns_of_its_kind() {
    let server = with(&["web"]).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = server
        .ask_with("GET", BASE, &[("accept", accept)], None)
        .await
        .json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][0]["cells"][0], "web");
    assert_eq!(table["rows"][0]["object"]["metadata"]["namespace"], "default");
    let one = server
        .ask_with("GET", &format!("{BASE}/web"), &[("accept", accept)], None)
        .await
        .json();
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
}

/// The lines of a watch that ends by itself.
async fn lines(server: &Server, path: &str) -> Vec<Value> {
    let answer = server.get(path).await;
    answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn summaries(lines: &[Value]) -> Vec<String> {
    let line = |line: &Value| {
        format!(
            "{} {}",
            line["type"].as_str().unwrap(),
            line["object"]["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    lines.iter().map(line).collect()
}

/// Reads a watch as it comes, until `count` lines are there.
async fn first(server: &Server, path: &str, count: usize) -> Vec<Value> {
    let request = Request::get(path)
        .header("authorization", "Bearer admin-token")
        .body(Body::empty())
        .unwrap();
    let mut body = server.send(request).await.into_body();
    let mut text = String::new();
    while text.lines().count() < count {
        let frame = body.frame().await.expect("the watch goes on").unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_watch_replays_from_a_version_and_selectors_see_objects_come_and_go() {
    let server = with(&["web"]).await;
    let begun = server.get(BASE).await.json()["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("{BASE}/web");
    patch(&server, MERGE, &path, r#"{"spec":{"replicas":3}}"#).await;
    patch(
        &server,
        MERGE,
        &path,
        r#"{"metadata":{"labels":{"app":"other"}}}"#,
    )
    .await;
    server.ask("DELETE", &path, None).await;
    let all = first(&server, &format!("{BASE}?watch=true&resourceVersion={begun}"), 3).await;
    assert_eq!(summaries(&all), ["MODIFIED web", "MODIFIED web", "DELETED web"]);
    let some = format!("{BASE}?watch=true&resourceVersion={begun}&labelSelector=app%3Dweb");
    assert_eq!(
        summaries(&first(&server, &some, 2).await),
        ["MODIFIED web", "DELETED web"]
    );
    let other = format!("{BASE}?watch=true&resourceVersion={begun}&labelSelector=app%3Dother");
    assert_eq!(
        summaries(&first(&server, &other, 2).await),
        ["ADDED web", "DELETED web"]
    );
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_there_is() {
    let server = with(&["db", "web"]).await;
    let path = format!("{BASE}?watch=true&resourceVersion=0&timeoutSeconds=1");
    assert_eq!(
        summaries(&first(&server, &path, 2).await),
        ["ADDED db", "ADDED web"]
    );
    let marked = first(&server, &format!("{path}&sendInitialEvents=true"), 3).await;
    assert_eq!(marked[2]["type"], "BOOKMARK");
    assert_eq!(
        marked[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let future = server
        .get(&format!("{BASE}?watch=true&resourceVersion=999999999"))
        .await;
    assert!(message(&future).starts_with("410 Expired: too old resource version: 999999999"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_time_is_up_and_when_the_server_goes() {
    let server = Server::start().await;
    assert!(
        lines(&server, &format!("{BASE}?watch=true&timeoutSeconds=3"))
            .await
            .is_empty()
    );
    server.shutdown.cancel();
    assert!(lines(&server, &format!("{BASE}?watch=true")).await.is_empty());
}

#[tokio::test]
async fn a_watched_table_sends_its_columns_once() {
    let server = with(&["db", "web"]).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let request = Request::get(format!("{BASE}?watch=true&timeoutSeconds=1"))
        .header("authorization", "Bearer admin-token")
        .header("accept", accept)
        .body(Body::empty())
        .unwrap();
    let answer = Answer::of(server.send(request).await).await;
    let lines: Vec<Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        !lines[0]["object"]["columnDefinitions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(lines[1]["object"]["columnDefinitions"], json!([]));
    assert_eq!(lines[1]["object"]["rows"][0]["cells"][0], "web");
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let server = with(&["web"]).await;
    let path = format!("{BASE}/web");
    let held = patch(
        &server,
        MERGE,
        &path,
        r#"{"metadata":{"finalizers":["aegisops.io/containers"]}}"#,
    )
    .await;
    assert_eq!(
        held.json()["metadata"]["finalizers"],
        json!(["aegisops.io/containers"])
    );
    let marked = server.ask("DELETE", &path, None).await.json();
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    assert_eq!(server.get(&path).await.code, 200);
    patch(&server, MERGE, &path, r#"{"metadata":{"finalizers":null}}"#).await;
    assert_eq!(server.get(&path).await.code, 404);
}

#[tokio::test]
async fn a_deletion_may_depend_on_uid_and_version() {
    let server = with(&["web"]).await;
    let path = format!("{BASE}/web");
    let wrong = json!({"preconditions": {"uid": "nope"}});
    assert!(message(&server.ask("DELETE", &path, Some(wrong)).await).starts_with("409 Conflict"));
    let uid = server.get(&path).await.json()["metadata"]["uid"].clone();
    assert_eq!(
        server
            .ask("DELETE", &path, Some(json!({"preconditions": {"uid": uid}})))
            .await
            .code,
        200
    );
}

#[tokio::test]
async fn events_are_listed_selected_and_watched() {
    let server = with(&["web"]).await;
    let about = ObjectRef {
        kind: "Workload".to_owned(),
        name: "web".to_owned(),
        uid: "u-1".to_owned(),
    };
    server
        .events
        .record(&about, EventType::Warning, "Restarted", "it was sick");
    let other = ObjectRef {
        name: "db".to_owned(),
        uid: "u-2".to_owned(),
        ..about.clone()
    };
    server
        .events
        .record(&other, EventType::Normal, "Scaled", "more of it");
    let base = "/api/v1/namespaces/default/events";
    let selector = "fieldSelector=involvedObject.uid%3Du-1,involvedObject.name%3Dweb,\
                    involvedObject.namespace%3Ddefault,involvedObject.kind%3DWorkload";
    let list = server.get(&format!("{base}?{selector}&limit=500")).await.json();
    assert_eq!(list["kind"], "EventList");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let event = &list["items"][0];
    assert_eq!(
        (&event["reason"], &event["type"], &event["count"]),
        (&json!("Restarted"), &json!("Warning"), &json!(1))
    );
    assert_eq!(event["involvedObject"]["apiVersion"], "aegisops.io/v1alpha1");
    let name = event["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        server.get(&format!("{base}/{name}")).await.json()["message"],
        "it was sick"
    );
    assert!(message(&server.get(&format!("{base}/no")).await).starts_with("404 NotFound"));
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = server
        .ask_with("GET", "/api/v1/events", &[("accept", accept)], None)
        .await
        .json();
    assert_eq!(table["rows"][0]["cells"][3], "workload/web");
    assert_eq!(
        summaries(&first(&server, &format!("{base}?watch=true"), 2).await).len(),
        2
    );
}

#[tokio::test]
async fn discovery_and_documents_lead_to_every_kind() {
    let server = Server::start().await;
    assert_eq!(
        server.get("/apis").await.json()["groups"][0]["name"],
        "aegisops.io"
    );
    assert_eq!(server.get("/apis/aegisops.io").await.json()["kind"], "APIGroup");
    assert_eq!(server.get("/api").await.json()["versions"], json!(["v1"]));
    let resources = server.get("/apis/aegisops.io/v1alpha1").await.json()["resources"].clone();
    let names: Vec<&str> = resources
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    for info in aegis_api::KINDS.iter() {
        assert!(names.contains(&info.plural), "{}", info.plural);
    }
    assert!(names.contains(&"workloads/scale"));
    assert!(
        server.get("/version").await.json()["gitVersion"]
            .as_str()
            .unwrap()
            .starts_with("v1.32")
    );
    let v2 = server.get("/openapi/v2").await;
    assert_eq!((v2.code.as_u16(), v2.text.as_str()), (200, ""));
    let index = server.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/aegisops.io/v1alpha1"]["serverRelativeURL"]
        .as_str()
        .unwrap()
        .to_owned();
    let document = server.get(&url).await;
    assert!(
        document.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    assert!(document.json()["components"]["schemas"]["io.aegisops.v1alpha1.Workload"].is_object());
}

#[tokio::test]
async fn a_sender_may_ask_what_they_may_do() {
    let mut config = config();
    config.anonymous_role = Some(crate::Role::Viewer);
    let server = Server::with(config).await;
    let review =
        |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "workloads"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let allowed = async |verb: &str| {
        let request = Request::post(path)
            .body(Body::from(review(verb).to_string()))
            .unwrap();
        Answer::of(server.send(request).await).await.json()["status"]["allowed"].clone()
    };
    assert_eq!(
        (allowed("list").await, allowed("delete").await),
        (json!(true), json!(false))
    );
    assert_eq!(
        server.ask("POST", path, Some(review("delete"))).await.json()["status"]["allowed"],
        true
    );
    let who = server
        .ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", None)
        .await
        .json();
    assert_eq!(who["status"]["userInfo"]["username"], "admin");
}

#[tokio::test]
async fn a_state_file_that_is_broken_is_a_warning_where_its_kind_is_read() {
    let server = with(&["web"]).await;
    std::fs::write(
        server.folder.path().join("workloads/bad.yaml"),
        "kind: Workload\nspec:\n  replicas: x\n",
    )
    .unwrap();
    let mut changes = server.events.watch(None);
    if server.store.broken_files().is_empty() {
        futures::StreamExt::next(&mut changes).await;
    }
    let list = server.get(BASE).await;
    let warning = list.headers["warning"].to_str().unwrap();
    assert!(
        warning.starts_with("299 - \"state file workloads/bad.yaml: "),
        "{warning}"
    );
    assert!(
        server
            .get(&format!("{BASE}/bad"))
            .await
            .headers
            .contains_key("warning")
    );
    assert!(
        !server
            .get(&format!("{BASE}/web"))
            .await
            .headers
            .contains_key("warning")
    );
}

#[tokio::test]
async fn a_status_that_the_controller_writes_is_shown() {
    let server = with(&["web"]).await;
    let edit = |current: &aegis_runtime::Stored| {
        let mut object = current.value();
        object["status"] = json!({"replicas": 2, "readyReplicas": 2, "updatedReplicas": 2, "instances": []});
        Ok(object)
    };
    server
        .store
        .edit(find("wl").unwrap(), "web", Part::Status, false, edit)
        .await
        .unwrap();
    assert_eq!(
        server.get(&format!("{BASE}/web/scale")).await.json()["status"]["replicas"],
        2
    );
}

/// A server with a token of an operator, and that token.
async fn operated() -> (Server, String) {
    let server = Server::start().await;
    let wanted = json!({"name": "op", "role": "operator"});
    let made = server.ask("POST", "/auth/tokens", Some(wanted)).await;
    let token = made.json()["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{made:?}"))
        .to_owned();
    (server, format!("Bearer {token}"))
}

async fn as_operator(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    kind: &str,
    body: &Value,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", token)
        .header("content-type", kind)
        .body(Body::from(body.to_string()))
        .unwrap();
    Answer::of(server.send(request).await).await
}

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";

fn mounting(source: &str) -> Value {
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
        "spec": {"template": {"image": "app:1", "volumes": [{"source": source, "target": "/x"}]}}})
}

#[tokio::test]
async fn what_reaches_the_host_is_written_by_admins_only_whichever_way_it_is_written() {
    let (server, token) = operated().await;
    let one = format!("{BASE}/web");
    let ask = async |method: &str, path: &str, kind: &str, body: &Value| {
        as_operator(&server, &token, method, path, kind, body).await
    };
    let refused = |answer: &Answer, field: &str| {
        assert_eq!(answer.code, 403, "{}", answer.text);
        let cause = &answer.json()["details"]["causes"][0];
        assert_eq!(
            (&cause["field"], &cause["reason"]),
            (&field.into(), &"FieldValueForbidden".into()),
            "{cause}"
        );
        assert!(answer.text.contains("below /srv/app"), "{}", answer.text);
    };
    let source = "spec.template.volumes[0].source";
    refused(&ask("POST", BASE, JSON, &mounting("/")).await, source);
    refused(
        &ask("POST", &format!("{BASE}?dryRun=All"), JSON, &mounting("/")).await,
        source,
    );
    refused(
        &ask(
            "PATCH",
            &format!("{one}?fieldManager=x"),
            APPLY,
            &mounting("/var/run/docker.sock"),
        )
        .await,
        source,
    );
    assert_eq!(
        ask("POST", BASE, JSON, &mounting("/srv/app/data")).await.code,
        201
    );
    let merge = json!({"spec": {"template": {"volumes": [{"source": "/etc", "target": "/x"}]}}});
    refused(&ask("PUT", &one, JSON, &mounting("/etc")).await, source);
    refused(&ask("PATCH", &one, MERGE, &merge).await, source);

    // What cannot be worked out cannot be judged: it is refused before it is tried again of another version.
    let tested = json!([{"op": "test", "path": "/metadata/annotations/x", "value": "1"},
        {"op": "add", "path": "/spec/template/volumes/0/source", "value": "/etc"}]);
    let answer = ask("PATCH", &one, "application/json-patch+json", &tested).await;
    assert_eq!(answer.code, 422, "{}", answer.text);

    // An admin may, and from then on it is an admin's but for its scale and restarts.
    assert_eq!(patch(&server, MERGE, &one, &merge.to_string()).await.code, 200);
    let image = json!({"spec": {"template": {"image": "evil:1"}}});
    refused(&ask("PATCH", &one, MERGE, &image).await, source);
    let scale = json!({"spec": {"replicas": 2}});
    assert_eq!(ask("PATCH", &one, MERGE, &scale).await.code, 200);
    assert_eq!(
        ask("PATCH", &format!("{one}/scale"), MERGE, &scale).await.code,
        200
    );
    let restart = json!({"spec": {"restartedAt": "2026-01-02T00:00:00Z"}});
    assert_eq!(ask("PATCH", &one, MERGE, &restart).await.code, 200);
}

/// Policies are an admin's; an operator who chose among them by labels would have their word count for nothing.
#[tokio::test]
async fn which_policy_governs_a_workload_and_that_it_is_protected_is_changed_by_admins_only_whichever_way() {
    let (server, token) = operated().await;
    let one = format!("{BASE}/web");
    for name in ["pay", "lab"] {
        let policy = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": name},
            "spec": {"mode": "Approve", "workloads": {"matchLabels": {"tier": name}}}});
        let path = BASE.replace("workloads", "remediationpolicies");
        assert_eq!(server.ask("POST", &path, Some(policy)).await.code, 201);
    }
    let of = |tier: &str, protected: &str| {
        let mut object = workload("web");
        object["metadata"]["labels"] = json!({"tier": tier});
        object["metadata"]["annotations"] = json!({"aegisops.io/protected": protected});
        object
    };
    assert_eq!(server.ask("POST", BASE, Some(of("pay", "true"))).await.code, 201);
    let ask = async |method: &str, kind: &str, body: &Value| {
        let path = format!("{one}?fieldManager=x&force=true");
        as_operator(&server, &token, method, &path, kind, body).await
    };
    let (labels, protection) = ("metadata.labels", "metadata.annotations[aegisops.io/protected]");
    let relabel = json!({"metadata": {"labels": {"tier": "lab"}}});
    let unlabel = json!({"metadata": {"labels": {"tier": null}}});
    let unprotect = json!({"metadata": {"annotations": {"aegisops.io/protected": null}}});
    let remove = json!([{"op": "remove", "path": "/metadata/annotations/aegisops.io~1protected"}]);
    let mut bare = workload("web");
    bare["metadata"]["labels"] = json!({"tier": "pay"});
    for (method, kind, body, field) in [
        ("PATCH", MERGE, &relabel, labels),
        ("PATCH", MERGE, &unlabel, labels),
        ("PATCH", APPLY, &of("lab", "true"), labels),
        ("PUT", JSON, &of("lab", "true"), labels),
        ("PATCH", MERGE, &unprotect, protection),
        ("PATCH", "application/json-patch+json", &remove, protection),
        ("PATCH", APPLY, &of("pay", "false"), protection),
        ("PUT", JSON, &bare, protection),
    ] {
        let answer = ask(method, kind, body).await;
        assert_eq!(answer.code, 403, "{method} {body}: {}", answer.text);
        let cause = &answer.json()["details"]["causes"][0];
        assert_eq!(
            (&cause["field"], &cause["reason"]),
            (&field.into(), &"FieldValueForbidden".into()),
            "{method} {body}: {cause}"
        );
    }
    let stored = server.get(&one).await.json();
    assert_eq!(stored["metadata"]["labels"], json!({"tier": "pay"}));
    assert_eq!(stored["metadata"]["annotations"]["aegisops.io/protected"], "true");
    // What chooses nothing is an operator's, as before.
    let owner = json!({"metadata": {"labels": {"owner": "ada"}}, "spec": {"replicas": 1}});
    let answer = ask("PATCH", MERGE, &owner).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    for body in [relabel, unprotect] {
        assert_eq!(
            patch(&server, MERGE, &one, &body.to_string()).await.code,
            200,
            "an admin may"
        );
    }
}

#[tokio::test]
async fn containers_that_reach_the_host_are_named_by_admins_only() {
    let (server, token) = operated().await;
    let balancers = BASE.replace("workloads", "loadbalancers");
    let balancer = |container: &str| {
        json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "LoadBalancer", "metadata": {"name": "lb"},
            "spec": {"container": container, "backends": [{"workload": "web", "port": 80, "upstream": "web"}]}})
    };
    let ask = async |path: &str, body: &Value| as_operator(&server, &token, "POST", path, JSON, body).await;
    for (name, code) in [
        ("privileged-1", 403),
        ("missing", 403),
        ("unknown", 503),
        ("web", 201),
    ] {
        let answer = ask(BASE, &workload(name)).await;
        assert_eq!(answer.code.as_u16(), code, "{name}: {}", answer.text);
    }
    let answer = ask(&balancers, &balancer("privileged-1")).await;
    assert!(
        answer.code == 403 && answer.text.contains("--privileged"),
        "{}",
        answer.text
    );
    let answer = ask(&balancers, &balancer("nginx")).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    assert_eq!(
        server
            .ask("POST", BASE, Some(workload("privileged-1")))
            .await
            .code,
        201,
        "an admin may"
    );
}

/// What it nests is far less than would end the process.
#[tokio::test]
async fn a_patch_that_nests_too_deep_is_refused_on_every_route_that_takes_one() {
    let server = with(&["web"]).await;
    let nested = format!("{}1{}", "[".repeat(20), "]".repeat(20));
    let turn = format!(
        r#"{{"op":"add","path":"/y","value":{nested}}},{{"op":"move","from":"/x","path":"/y{}"}},
           {{"op":"move","from":"/y","path":"/x"}}"#,
        "/0".repeat(19)
    );
    let body = format!(
        r#"[{{"op":"add","path":"/x","value":1}},{}]"#,
        vec![turn; 10].join(",")
    );
    for (method, path) in [("PATCH", "web"), ("PATCH", "web/scale"), ("POST", "web/plan")] {
        let headers = [("content-type", "application/json-patch+json")];
        let answer = server
            .ask_with(method, &format!("{BASE}/{path}"), &headers, Some(body.clone()))
            .await;
        let message = message(&answer);
        assert!(
            message.starts_with("422") && message.contains("deeper than 128 levels"),
            "{path}: {message}"
        );
    }
}

#[tokio::test]
async fn a_patch_of_an_object_that_changes_all_the_time_is_worked_out_again_and_none_is_lost() {
    let server = with(&["web"]).await;
    let label = async |n: usize| {
        let body = format!(r#"{{"metadata":{{"labels":{{"n{n}":"x"}}}}}}"#);
        patch(&server, MERGE, &format!("{BASE}/web"), &body)
            .await
            .code
            .as_u16()
    };
    let codes = futures::future::join_all((0..8).map(label)).await;
    assert_eq!(codes, [200; 8]);
    let labels = server.get(&format!("{BASE}/web")).await.json()["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().unwrap().len(), 9, "{labels}");
}

mod pages;
