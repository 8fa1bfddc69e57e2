use super::*;
use aegis_api::meta::LAST_APPLIED;

#[tokio::test]
async fn apply_creates_what_is_not_there() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, not_found()).await;
    answers(
        &server,
        "POST",
        WORKLOADS,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let (_folder, path) = file(&web_yaml("container: web"));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web created\n"),
        "{run:?}"
    );
    let (sent, kind) = last_body(&server, "POST").await;
    assert_eq!(kind, "application/json");
    assert_eq!(sent["spec"], json!({"container": "web"}));
    assert!(sent["metadata"]["annotations"][LAST_APPLIED].is_string());
    assert!(requests(&server).await[1].ends_with("?fieldManager=aegisctl&fieldValidation=Strict"));
}

/// What the server holds after the file was applied once.
async fn applied(spec: &str) -> Value {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, not_found()).await;
    answers(&server, "POST", WORKLOADS, json_body(&json!({}))).await;
    let (_folder, path) = file(&web_yaml(spec));
    aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    let (mut sent, _) = last_body(&server, "POST").await;
    sent["metadata"]["uid"] = json!("u-1");
    sent["metadata"]["resourceVersion"] = json!("7");
    sent["metadata"]["namespace"] = json!("default");
    sent["spec"]["restartedAt"] = json!("2026-01-31T12:00:00Z");
    sent["status"] = json!({"replicas": 1});
    sent
}

#[tokio::test]
async fn apply_of_the_same_file_sends_no_change() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, json_body(&applied("container: web").await)).await;
    let (_folder, path) = file(&web_yaml("container: web"));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web unchanged\n"),
        "{run:?}"
    );
    assert_eq!(requests(&server).await, [format!("GET {WEB}")]);
}

#[tokio::test]
async fn apply_of_a_changed_file_patches_only_what_the_file_changed() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&applied("container: web\n  health: {tcp: {port: 1}}").await),
    )
    .await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let (_folder, path) = file(&web_yaml("container: web\n  replicas: 3"));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web configured\n"),
        "{run:?}"
    );
    let (patch, kind) = last_body(&server, "PATCH").await;
    assert_eq!(kind, "application/merge-patch+json");
    assert_eq!(patch["spec"], json!({"replicas": 3, "health": null}));
}

#[tokio::test]
async fn a_patch_that_the_server_finds_to_change_nothing_is_unchanged() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    answers(
        &server,
        "PATCH",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let (_folder, path) = file(&web_yaml("container: web"));
    assert_eq!(
        aegisctl(&server.uri(), &["apply", "-f", &path]).await.out,
        "workload/web unchanged\n"
    );
}

#[tokio::test]
async fn one_bad_document_among_many_sends_nothing() {
    let server = MockServer::start().await;
    let text = format!(
        "{}---\n{}",
        web_yaml("container: web"),
        web_yaml("replicaz: 2").replace("name: web", "name: b")
    );
    let (_folder, path) = file(&text);
    let run = aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    assert_eq!(run.code, 1);
    assert!(
        run.err
            .contains(&format!("{path}:13:3: spec.replicaz: unknown field")),
        "{}",
        run.err
    );
    assert!(requests(&server).await.is_empty());
}

#[tokio::test]
async fn a_refusal_of_the_server_names_the_place_in_the_file_and_the_others_go_on() {
    let server = MockServer::start().await;
    let refusal = json!({"kind": "Status", "code": 422, "reason": "Invalid", "message": "m", "details": {"name": "web",
        "kind": "Workload", "causes": [{"reason": "FieldValueInvalid", "field": "spec.replicas", "message": "Invalid value: 9: the policy allows 6"}]}});
    answers(&server, "GET", WEB, not_found()).await;
    answers(
        &server,
        "GET",
        &format!("{WORKLOADS}/other"),
        status(404, "NotFound", "no"),
    )
    .await;
    answers_once(
        &server,
        "POST",
        WORKLOADS,
        ResponseTemplate::new(422).set_body_json(refusal),
    )
    .await;
    answers(&server, "POST", WORKLOADS, json_body(&json!({}))).await;
    let text = web_yaml("container: web\n  replicas: 9");
    let (_folder, path) = file(&format!(
        "{text}---\n{}",
        text.replace("name: web", "name: other")
    ));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (1, "workload/other created\n"),
        "{run:?}"
    );
    let place = format!("workload/web: {path}:7:3: spec.replicas: Invalid value: 9: the policy allows 6");
    assert!(run.err.contains(&place), "{}", run.err);
}

#[tokio::test]
async fn apply_looks_again_when_somebody_else_was_faster() {
    let server = MockServer::start().await;
    answers_once(&server, "GET", WEB, not_found()).await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "old"}))),
    )
    .await;
    answers(
        &server,
        "POST",
        WORKLOADS,
        status(409, "AlreadyExists", "already exists"),
    )
    .await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let (_folder, path) = file(&web_yaml("container: web"));
    assert_eq!(
        aegisctl(&server.uri(), &["apply", "-f", &path]).await.out,
        "workload/web configured\n"
    );
}

#[tokio::test]
async fn a_dry_run_says_so_to_server_and_person() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, not_found()).await;
    answers(&server, "POST", WORKLOADS, json_body(&json!({}))).await;
    let (_folder, path) = file(&web_yaml("container: web"));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path, "--dry-run=server"]).await;
    assert_eq!(run.out, "workload/web created (server dry run)\n");
    assert!(requests(&server).await[1].ends_with("&dryRun=All"));
}

#[tokio::test]
async fn apply_waits_until_the_workload_is_ready() {
    let server = MockServer::start().await;
    let mut ready = workload("9", &json!({"container": "web"}));
    ready["status"] = json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": "AllReady", "message": ""}]});
    answers_once(&server, "GET", WEB, not_found()).await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("8", &json!({"container": "web"}))),
    )
    .await;
    answers(
        &server,
        "POST",
        WORKLOADS,
        json_body(&workload("8", &json!({"container": "web"}))),
    )
    .await;
    answers(
        &server,
        "GET",
        WORKLOADS,
        changes(&[("BOOKMARK", json!({})), ("MODIFIED", ready)]),
    )
    .await;
    let (_folder, path) = file(&web_yaml("container: web"));
    let run = aegisctl(&server.uri(), &["apply", "-f", &path, "--wait"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let watch = requests(&server).await.pop().unwrap();
    assert!(
        watch.contains("fieldSelector=metadata.name%3Dweb") && watch.contains("resourceVersion=8"),
        "{watch}"
    );
}

#[tokio::test]
async fn diff_shows_what_would_change_and_exits_with_one() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web", "replicas": 1}))),
    )
    .await;
    // The controller adds its finalizer a moment after the object is there: that is no change of the file.
    let mut changed = workload("7", &json!({"container": "web", "replicas": 3}));
    changed["metadata"]["finalizers"] = json!(["aegisops.io/containers"]);
    answers(&server, "PATCH", WEB, json_body(&changed)).await;
    let (_folder, path) = file(&web_yaml("container: web\n  replicas: 3"));
    let run = aegisctl(&server.uri(), &["diff", "-f", &path]).await;
    assert_eq!((run.code, run.err.as_str()), (1, ""), "{run:?}");
    insta::assert_snapshot!(run.out);
    let own = "container: web\n  replicas: 3".to_owned();
    let (_folder, path) =
        file(&web_yaml(&own).replace("name: web", "name: web\n  finalizers: [aegisops.io/containers]"));
    let run = aegisctl(&server.uri(), &["diff", "-f", &path]).await;
    assert!(run.out.contains("+  finalizers:"), "{run:?}");
    assert!(requests(&server).await[1].contains("dryRun=All"));
}

#[tokio::test]
async fn diff_of_an_applied_file_is_silent_and_of_a_broken_one_an_error() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, json_body(&applied("container: web").await)).await;
    let (_folder, path) = file(&web_yaml("container: web"));
    let run = aegisctl(&server.uri(), &["diff", "-f", &path]).await;
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""));
    let (_folder, path) = file("kind: Nope\n");
    assert_eq!(aegisctl(&server.uri(), &["diff", "-f", &path]).await.code, 2);
}

#[tokio::test]
async fn create_gives_a_generated_name_and_prints_it() {
    let server = MockServer::start().await;
    let answer = json!({"kind": "Incident", "metadata": {"name": "inc-abcde"}});
    answers(&server, "POST", INCIDENTS, json_body(&answer)).await;
    let text = "apiVersion: aegisops.io/v1alpha1\nkind: Incident\nmetadata:\n  generateName: inc-\nspec:\n  workloadRef: web\n  alertType: X\n";
    let (_folder, path) = file(text);
    assert_eq!(
        aegisctl(&server.uri(), &["create", "-f", &path]).await.out,
        "incident/inc-abcde created\n"
    );
    let (sent, _) = last_body(&server, "POST").await;
    assert!(sent["metadata"]["name"].as_str().unwrap().starts_with("inc-"));
    assert_eq!(
        aegisctl(&server.uri(), &["create", "-f", &path, "-o", "name"])
            .await
            .out,
        "incident/inc-abcde\n"
    );
}
