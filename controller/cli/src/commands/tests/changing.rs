use super::*;

#[tokio::test]
async fn scale_sets_the_scale_subresource() {
    let server = MockServer::start().await;
    answers(
        &server,
        "PATCH",
        &format!("{WEB}/scale"),
        json_body(&json!({"kind": "Scale"})),
    )
    .await;
    let run = aegisctl(&server.uri(), &["scale", "workload/web", "--replicas=4"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web scaled\n"),
        "{run:?}"
    );
    let (patch, kind) = last_body(&server, "PATCH").await;
    assert_eq!(
        (patch, kind.as_str()),
        (json!({"spec": {"replicas": 4}}), "application/merge-patch+json")
    );
    assert_eq!(
        aegisctl(&server.uri(), &["scale", "web", "--replicas=4"])
            .await
            .code,
        0
    );
    assert_eq!(
        aegisctl(&server.uri(), &["scale", "web", "--replicas=-1"])
            .await
            .code,
        2
    );
}

#[tokio::test]
async fn restart_sets_the_instant() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    assert_eq!(
        aegisctl(&server.uri(), &["restart", "workload/web"]).await.out,
        "workload/web restarted\n"
    );
    let (patch, _) = last_body(&server, "PATCH").await;
    assert!(
        patch["spec"]["restartedAt"]
            .as_str()
            .unwrap()
            .parse::<aegis_api::Time>()
            .is_ok(),
        "{patch}"
    );
}

#[tokio::test]
async fn a_restart_that_the_controller_refuses_is_not_reported_as_done() {
    for (reason, refused) in [
        ("AutoRemove", true),
        ("NetworkOwnerGone", true),
        ("Unhealthy", false),
    ] {
        let server = MockServer::start().await;
        let mut web = workload("7", &json!({"container": "web"}));
        web["status"] = json!({"observedGeneration": 1, "conditions": [{"type": "Degraded", "status": "True",
            "reason": reason, "message": "web was started with --rm, so stopping it deletes it",
            "lastTransitionTime": "2026-01-31T12:00:00Z"}]});
        answers(&server, "GET", WEB, json_body(&web)).await;
        answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
        let run = aegisctl(&server.uri(), &["restart", "workload/web"]).await;
        let message = "workload/web is not restarted: web was started with --rm";
        assert_eq!(
            (run.code == 1, run.err.contains(message)),
            (refused, refused),
            "{run:?}"
        );
        assert_eq!(run.out.contains("restarted"), !refused, "{run:?}");
    }
}

/// What `restart` writes where the server's clock shows `date` and a container started at `started`.
async fn restarted_at(date: &str, started: &str) -> String {
    let server = MockServer::start().await;
    let mut web = workload("7", &json!({"container": "web"}));
    web["status"] = json!({"instances": [{"name": "web", "id": "i", "index": 0, "state": "running",
        "health": "Healthy", "revision": "r", "startedAt": started}]});
    let answer = json_body(&web).insert_header("date", date);
    answers(&server, "GET", WEB, answer).await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let run = aegisctl(&server.uri(), &["restart", "web"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let (patch, _) = last_body(&server, "PATCH").await;
    patch["spec"]["restartedAt"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn restart_goes_by_the_clock_of_the_server() {
    let date = "Sat, 31 Jan 2099 12:00:00 GMT";
    assert_eq!(
        restarted_at(date, "2099-01-31T11:00:00Z").await,
        "2099-01-31T12:00:00Z"
    );
    // The date is given to the second; the container started within it.
    assert_eq!(
        restarted_at(date, "2099-01-31T12:00:00.5Z").await,
        "2099-01-31T12:00:00.501Z"
    );
}

fn with_revisions() -> Value {
    let mut web = workload(
        "7",
        &json!({"template": {"image": "app:3", "env": {"A": "1"}}, "replicas": 2}),
    );
    let revision = |name: &str, image: &str, was_ready: bool| json!({"revision": name, "image": image, "template": {"image": image}, "createdAt": "2026-01-31T12:00:00Z", "wasReady": was_ready});
    web["status"] = json!({"revision": "cc", "revisions": [
        revision("aa", "app:1", true), revision("bb", "app:2", false), revision("cc", "app:3", false)]});
    web
}

#[tokio::test]
async fn rollback_goes_to_the_newest_other_revision_that_was_ready() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, json_body(&with_revisions())).await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let run = aegisctl(&server.uri(), &["rollback", "web"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web rolled back to aa (app:1)\n"),
        "{run:?}"
    );
    let (patch, _) = last_body(&server, "PATCH").await;
    assert_eq!(patch["spec"]["template"]["image"], "app:1");
    assert_eq!(patch["spec"]["template"]["env"], Value::Null);
    let run = aegisctl(&server.uri(), &["rollback", "web", "--to-revision", "b"]).await;
    assert_eq!(run.out, "workload/web rolled back to bb (app:2)\n");
}

#[tokio::test]
async fn a_rollback_with_nothing_to_go_back_to_is_refused() {
    let server = MockServer::start().await;
    answers_once(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"container": "web"}))),
    )
    .await;
    let run = aegisctl(&server.uri(), &["rollback", "web"]).await;
    assert!(
        run.code == 1 && run.err.contains("it adopts a container"),
        "{run:?}"
    );
    answers_once(
        &server,
        "GET",
        WEB,
        json_body(&workload("7", &json!({"template": {"image": "a"}}))),
    )
    .await;
    let run = aegisctl(&server.uri(), &["rollback", "web"]).await;
    assert!(
        run.code == 1 && run.err.contains("it has no earlier revision"),
        "{run:?}"
    );
    answers(&server, "GET", WEB, json_body(&with_revisions())).await;
    let run = aegisctl(&server.uri(), &["rollback", "web", "--to-revision", "x"]).await;
    assert!(run.code == 1 && run.err.contains("there are bb, aa"), "{run:?}");
}

fn waiting_incident(phase: &str) -> Value {
    json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc-1"},
        "spec": {"workloadRef": "web", "alertType": "X"},
        "status": {"phase": phase, "timeline": [], "plan": {"hash": "abc123", "action": "RESTART", "target": "web",
            "parentGeneration": 4, "patch": {"restartedAt": "2026-01-31T12:00:00Z"}, "createdAt": "2026-01-31T12:00:00Z"}}})
}

#[tokio::test]
async fn approve_sends_the_hash_of_the_plan_that_it_shows() {
    let server = MockServer::start().await;
    let at = format!("{INCIDENTS}/inc-1");
    answers(
        &server,
        "GET",
        &at,
        json_body(&waiting_incident("AWAITING_APPROVAL")),
    )
    .await;
    answers(&server, "PATCH", &at, json_body(&json!({}))).await;
    let run = with_env(&server.uri(), &["approve", "incident/inc-1"], [("USER", "ann")]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.out.contains("RESTART on workload/web") && run.out.contains("abc123"),
        "{}",
        run.out
    );
    assert!(run.out.ends_with("incident/inc-1 approved\n"));
    let (patch, _) = last_body(&server, "PATCH").await;
    assert_eq!(
        patch,
        json!({"spec": {"approval": {"decision": "Approve", "planHash": "abc123"}}})
    );
    assert_eq!(aegisctl(&server.uri(), &["reject", "inc-1"]).await.code, 0);
    assert_eq!(
        last_body(&server, "PATCH").await.0["spec"]["approval"]["decision"],
        "Reject"
    );
}

#[tokio::test]
async fn a_decision_without_a_waiting_plan_or_on_another_plan_is_not_sent() {
    let server = MockServer::start().await;
    let at = format!("{INCIDENTS}/inc-1");
    answers_once(&server, "GET", &at, json_body(&waiting_incident("VERIFYING"))).await;
    let run = aegisctl(&server.uri(), &["approve", "inc-1"]).await;
    assert!(
        run.code == 1 && run.err.contains("its phase is VERIFYING"),
        "{run:?}"
    );
    answers(
        &server,
        "GET",
        &at,
        json_body(&waiting_incident("AWAITING_APPROVAL")),
    )
    .await;
    let run = aegisctl(&server.uri(), &["approve", "inc-1", "--plan", "other"]).await;
    assert!(
        run.code == 1 && run.err.contains("another plan now: abc123"),
        "{run:?}"
    );
    assert!(
        requests(&server)
            .await
            .iter()
            .all(|request| request.starts_with("GET"))
    );
}

#[tokio::test]
async fn patch_takes_json_and_yaml() {
    let server = MockServer::start().await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let run = aegisctl(
        &server.uri(),
        &["patch", "wl/web", "-p", "{\"spec\":{\"health\":null}}"],
    )
    .await;
    assert_eq!(run.out, "workload/web patched\n");
    assert_eq!(
        last_body(&server, "PATCH").await.0,
        json!({"spec": {"health": null}})
    );
    aegisctl(
        &server.uri(),
        &["patch", "wl", "web", "-p", "spec: {replicas: 2}"],
    )
    .await;
    assert_eq!(
        last_body(&server, "PATCH").await.0,
        json!({"spec": {"replicas": 2}})
    );
    assert_eq!(
        aegisctl(&server.uri(), &["patch", "wl/web", "-p", "[1]"])
            .await
            .code,
        2
    );
}

#[tokio::test]
async fn delete_waits_until_it_is_gone() {
    let server = MockServer::start().await;
    let web = workload("7", &json!({}));
    answers(
        &server,
        "DELETE",
        WEB,
        json_body(&json!({"kind": "Status", "details": {"uid": "u-1"}})),
    )
    .await;
    answers_once(&server, "GET", WEB, json_body(&web)).await;
    answers(
        &server,
        "GET",
        WORKLOADS,
        changes(&[("MODIFIED", web.clone()), ("DELETED", web)]),
    )
    .await;
    let run = aegisctl(&server.uri(), &["delete", "workload/web"]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web deleted\n"),
        "{run:?}"
    );
    assert_eq!(requests(&server).await.len(), 3);
}

#[tokio::test]
async fn delete_does_not_wait_for_another_object_of_the_same_name_nor_without_wait() {
    let server = MockServer::start().await;
    answers(
        &server,
        "DELETE",
        WEB,
        json_body(&json!({"kind": "Status", "details": {"uid": "u-0"}})),
    )
    .await;
    answers(&server, "GET", WEB, json_body(&workload("9", &json!({})))).await;
    assert_eq!(aegisctl(&server.uri(), &["delete", "wl", "web"]).await.code, 0);
    assert_eq!(
        aegisctl(&server.uri(), &["delete", "wl", "web", "--wait=false"])
            .await
            .code,
        0
    );
    assert_eq!(requests(&server).await.len(), 3);
}

#[tokio::test]
async fn delete_of_what_is_not_there_is_exit_code_four_unless_that_is_fine() {
    let server = MockServer::start().await;
    answers(&server, "DELETE", WEB, not_found()).await;
    assert_eq!(aegisctl(&server.uri(), &["delete", "wl/web"]).await.code, 4);
    assert_eq!(
        aegisctl(&server.uri(), &["delete", "wl/web", "--ignore-not-found"])
            .await
            .code,
        0
    );
    let (_folder, path) = file(&web_yaml("container: web"));
    assert_eq!(aegisctl(&server.uri(), &["delete", "-f", &path]).await.code, 4);
    assert_eq!(aegisctl(&server.uri(), &["delete", "wl"]).await.code, 2);
}

#[tokio::test]
async fn delete_by_label_lists_first() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WORKLOADS,
        json_body(&json!({"items": [{"metadata": {"name": "web"}}]})),
    )
    .await;
    answers(&server, "DELETE", WEB, json_body(&json!({}))).await;
    let run = aegisctl(&server.uri(), &["delete", "wl", "-l", "app=web", "--wait=false"]).await;
    assert_eq!(run.out, "workload/web deleted\n");
    assert_eq!(
        requests(&server).await[0],
        format!("GET {WORKLOADS}?labelSelector=app%3Dweb&limit=500")
    );
}
