use super::*;

const ENTRIES: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/runbookentries";

fn row(id: &str) -> Value {
    json!({"incident_id": id, "alert_type": "memory_leak", "logs": "oom", "container_name": "web", "severity": "CRITICAL",
        "root_cause": "leak", "action": "RESTART", "justification": "frees it", "confidence": 0.9, "council_approved": true,
        "replicas_used": 0, "resolved_at": "2026-01-31T12:00:00Z"})
}

#[tokio::test]
async fn an_export_is_the_array_that_an_import_reads() {
    let server = MockServer::start().await;
    let answer = json!({"entries": [row("inc-1"), row("inc-2")], "total": 2});
    answers(&server, "GET", "/runbook", json_body(&answer)).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runbook.json").to_str().unwrap().to_owned();

    let run = aegisctl(&server.uri(), &["runbook", "export", &path]).await;
    assert_eq!((run.code, run.out), (0, format!("2 entries written to {path}\n")));
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written, answer["entries"]);

    answers(&server, "GET", &format!("{ENTRIES}/rb-inc-1"), not_found()).await;
    let known = json!({"kind": "RunbookEntry", "metadata": {"name": "rb-inc-2"}, "spec": {
        "incidentId": "inc-2", "alertType": "memory_leak", "logs": "oom", "containerName": "web", "severity": "critical",
        "rootCause": "leak", "action": "RESTART", "justification": "frees it", "confidence": 0.9, "councilApproved": true,
        "replicasUsed": 0, "resolvedAt": "2026-01-31T12:00:00Z", "outcomes": {"successes": 4, "failures": 1}}});
    answers(&server, "GET", &format!("{ENTRIES}/rb-inc-2"), json_body(&known)).await;
    answers(&server, "POST", ENTRIES, json_body(&known)).await;
    let run = aegisctl(&server.uri(), &["runbook", "import", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (
            0,
            "runbookentry/rb-inc-1 imported\nrunbookentry/rb-inc-2 unchanged\n"
        ),
        "{run:?}"
    );
    let (made, _) = last_body(&server, "POST").await;
    assert_eq!(made["metadata"]["name"], "rb-inc-1");
    assert_eq!(made["spec"]["rootCause"], "leak");
}

#[tokio::test]
async fn an_entry_that_differs_is_replaced_only_when_asked_for() {
    let server = MockServer::start().await;
    let known =
        json!({"kind": "RunbookEntry", "metadata": {"name": "rb-inc-1"}, "spec": {"rootCause": "other"}});
    answers(&server, "GET", &format!("{ENTRIES}/rb-inc-1"), json_body(&known)).await;
    answers(
        &server,
        "PATCH",
        &format!("{ENTRIES}/rb-inc-1"),
        json_body(&known),
    )
    .await;
    let (_folder, path) = file(&json!([row("inc-1")]).to_string());
    let run = aegisctl(&server.uri(), &["runbook", "import", &path]).await;
    assert!(
        run.out.contains("left as it is (--overwrite replaces it)"),
        "{run:?}"
    );
    let run = aegisctl(&server.uri(), &["runbook", "import", "--overwrite", &path]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "runbookentry/rb-inc-1 replaced\n"),
        "{run:?}"
    );
    let (patch, _) = last_body(&server, "PATCH").await;
    assert_eq!(patch["spec"]["rootCause"], "leak");
}

#[tokio::test]
async fn what_is_no_runbook_is_refused_with_the_entry_and_field() {
    let server = MockServer::start().await;
    let mut bad = row("inc-2");
    bad["action"] = json!("REBOOT");
    for (text, wanted) in [
        (
            json!([row("inc-1"), bad]).to_string(),
            "entry 2: unknown variant `REBOOT`",
        ),
        ("{}".to_owned(), "there is no array in it"),
        ("[".to_owned(), "is no runbook.json: EOF"),
    ] {
        let (_folder, path) = file(&text);
        let run = aegisctl(&server.uri(), &["runbook", "import", &path]).await;
        assert_eq!(run.code, 1);
        assert!(run.err.contains(wanted), "{run:?}");
    }
    assert!(requests(&server).await.is_empty(), "nothing is half imported");
}

#[tokio::test]
async fn a_search_shows_what_an_incident_would_be_given() {
    let server = MockServer::start().await;
    let mut found = row("inc-1");
    found["similarity_score"] = json!(0.4321);
    found["trust"] = json!(0.2);
    found["recommended"] = json!(false);
    let answer = json!({"query": "oom", "count": 1, "retrieved": [row("other")], "operations": [found]});
    answers(&server, "GET", "/rag/test", json_body(&answer)).await;
    let run = aegisctl(&server.uri(), &["runbook", "search", "oom", "killed"]).await;
    assert_eq!(
        run.out,
        "SIMILARITY   TRUST   RECOMMENDED   INCIDENT   ACTION    ALERT         ROOT CAUSE\n\
         0.4321       0.2     no            inc-1      RESTART   memory_leak   leak\n"
    );
    assert_eq!(requests(&server).await, ["GET /rag/test?logs=oom+killed"]);
}

#[tokio::test]
async fn a_search_that_finds_nothing_says_whether_there_was_a_word_to_search_for() {
    for (wordless, said) in [
        (Some(true), "There is no word to search for in it"),
        (Some(false), "No entry is similar."),
        (None, "No entry is similar."),
    ] {
        let server = MockServer::start().await;
        let mut answer = json!({"query": "is it the", "count": 0, "retrieved": [], "operations": []});
        if let Some(wordless) = wordless {
            answer["wordless"] = wordless.into();
        }
        answers(&server, "GET", "/rag/test", json_body(&answer)).await;
        let run = aegisctl(&server.uri(), &["runbook", "search", "is", "it", "the"]).await;
        assert_eq!((run.code, run.out.as_str()), (0, ""), "{run:?}");
        assert!(run.err.starts_with(said), "{run:?}");
    }
}
