use super::*;

fn incident(phase: &str) -> Value {
    json!({"kind": "Incident", "metadata": {"name": "inc-1", "resourceVersion": "7"}, "status": {"phase": phase, "error": "no proof"}})
}

async fn with_incident(first: &str, then: &[&str]) -> MockServer {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        &format!("{INCIDENTS}/inc-1"),
        json_body(&incident(first)),
    )
    .await;
    let stream: Vec<_> = then.iter().map(|phase| ("MODIFIED", incident(phase))).collect();
    answers(&server, "GET", INCIDENTS, changes(&stream)).await;
    server
}

#[tokio::test]
async fn wait_ends_when_the_value_is_there() {
    let server = with_incident("RECEIVED", &["VERIFYING", "RESOLVED"]).await;
    let run = aegisctl(
        &server.uri(),
        &["wait", "inc/inc-1", "--for=jsonpath={.status.phase}=RESOLVED"],
    )
    .await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "incident/inc-1 condition met\n"),
        "{run:?}"
    );
}

#[tokio::test]
async fn wait_for_what_never_comes_is_exit_code_124() {
    let server = with_incident("RECEIVED", &[]).await;
    let run = aegisctl(
        &server.uri(),
        &["wait", "inc/inc-1", "--for=condition=Held", "--timeout=30ms"],
    )
    .await;
    assert_eq!(run.code, 124, "{run:?}");
    assert_eq!(
        run.err,
        "error: timed out after 0.03 s waiting for incident/inc-1 to have condition Held=True\n"
    );
}

#[tokio::test]
async fn an_incident_that_fails_ends_the_wait_with_its_reason() {
    let server = with_incident("RECEIVED", &["FAILED"]).await;
    let run = aegisctl(
        &server.uri(),
        &["wait", "inc/inc-1", "--for=settled", "--timeout=300s"],
    )
    .await;
    assert_eq!(
        (run.code, run.err.as_str()),
        (1, "error: incident/inc-1 failed: no proof\n")
    );
}

#[tokio::test]
async fn waiting_for_something_that_is_not_there_is_exit_code_four_but_for_its_deletion() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, not_found()).await;
    assert_eq!(
        aegisctl(&server.uri(), &["wait", "wl/web", "--for=condition=Ready"])
            .await
            .code,
        4
    );
    let run = aegisctl(&server.uri(), &["wait", "wl/web", "--for=delete"]).await;
    assert_eq!((run.code, run.out.as_str()), (0, "workload/web is gone\n"));
}

#[tokio::test]
async fn an_expired_watch_lists_again() {
    let server = MockServer::start().await;
    let at = format!("{INCIDENTS}/inc-1");
    answers_once(&server, "GET", &at, json_body(&incident("RECEIVED"))).await;
    answers(&server, "GET", &at, json_body(&incident("RESOLVED"))).await;
    let expired = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    answers(&server, "GET", INCIDENTS, changes(&[("ERROR", expired)])).await;
    assert_eq!(
        aegisctl(
            &server.uri(),
            &["wait", "inc/inc-1", "--for=settled", "--timeout=300s"]
        )
        .await
        .code,
        0
    );
}
