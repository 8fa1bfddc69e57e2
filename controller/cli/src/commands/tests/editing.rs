use super::*;

/// An editor that does this to the file it is given.
fn editor(script: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("editor.sh");
    std::fs::write(&path, script).unwrap();
    let command = format!("sh {}", path.display());
    (folder, command)
}

async fn with_web() -> MockServer {
    let server = MockServer::start().await;
    let mut web = workload("7", &json!({"container": "web", "replicas": 1}));
    web["status"] = json!({"replicas": 1});
    answers(&server, "GET", WEB, json_body(&web)).await;
    server
}

#[tokio::test]
async fn an_edit_sends_only_what_was_changed() {
    let server = with_web().await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let (_folder, editor) =
        editor("grep -q status \"$1\" && exit 1; sed -i 's/replicas: 1/replicas: 3/' \"$1\"");
    let run = with_env(&server.uri(), &["edit", "wl/web"], [("EDITOR", editor.as_str())]).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "workload/web edited\n"),
        "{run:?}"
    );
    assert_eq!(
        last_body(&server, "PATCH").await.0,
        json!({"spec": {"replicas": 3}})
    );
}

#[tokio::test]
async fn an_unchanged_or_empty_text_changes_nothing() {
    let server = with_web().await;
    for script in ["true", "echo > \"$1\"", "echo '# a comment' >> \"$1\""] {
        let (_folder, editor) = editor(script);
        let run = with_env(
            &server.uri(),
            &["edit", "wl", "web"],
            [("VISUAL", editor.as_str())],
        )
        .await;
        assert_eq!(
            (run.code, run.out.as_str()),
            (0, "Edit cancelled, no changes made.\n"),
            "{script}: {run:?}"
        );
    }
}

#[tokio::test]
async fn a_text_that_does_not_validate_is_opened_again_with_the_reason() {
    let server = with_web().await;
    answers(&server, "PATCH", WEB, json_body(&workload("8", &json!({})))).await;
    let script = "line=$(sed -n 's/^#|.*line \\([0-9]*\\): spec.replicas: Invalid value: -4.*/\\1/p' \"$1\"); if [ -n \"$line\" ]; then sed -n \"${line}p\" \"$1\" | grep -q 'replicas: -4' || exit 1; sed -i 's/replicas: -4/replicas: 4/' \"$1\"; else sed -i 's/replicas: 1/replicas: -4/' \"$1\"; fi";
    let (_folder, editor) = editor(script);
    let run = with_env(&server.uri(), &["edit", "wl/web"], [("EDITOR", editor.as_str())]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        last_body(&server, "PATCH").await.0,
        json!({"spec": {"replicas": 4}})
    );
}

#[tokio::test]
async fn a_refusal_of_the_server_comes_back_into_the_editor_and_giving_up_keeps_the_text() {
    let server = with_web().await;
    let refusal = json!({"kind": "Status", "code": 422, "reason": "Invalid", "message": "m", "details": {
        "causes": [{"field": "spec.replicas", "message": "Invalid value: 3: not on a Sunday"}]}});
    answers(
        &server,
        "PATCH",
        WEB,
        ResponseTemplate::new(422).set_body_json(refusal),
    )
    .await;
    let (_folder, editor) = editor("sed -i 's/replicas: 1/replicas: 3/' \"$1\"");
    let run = with_env(&server.uri(), &["edit", "wl/web"], [("EDITOR", editor.as_str())]).await;
    assert_eq!(run.code, 1);
    assert!(
        run.err
            .contains("spec.replicas: Invalid value: 3: not on a Sunday"),
        "{}",
        run.err
    );
    let kept = run
        .err
        .lines()
        .last()
        .unwrap()
        .strip_prefix("Your text is kept in ")
        .unwrap();
    assert!(std::fs::read_to_string(kept).unwrap().contains("replicas: 3"));
    std::fs::remove_file(kept).unwrap();
}

#[tokio::test]
async fn name_and_kind_stay_and_a_failing_editor_is_reported() {
    let server = with_web().await;
    let (_folder, rename) = editor("sed -i 's/name: web/name: other/' \"$1\"");
    let run = with_env(&server.uri(), &["edit", "wl/web"], [("EDITOR", rename.as_str())]).await;
    assert!(
        run.code == 1 && run.err.contains("kind and name stay as they are"),
        "{run:?}"
    );
    let kept = run
        .err
        .lines()
        .last()
        .unwrap()
        .strip_prefix("Your text is kept in ")
        .unwrap();
    std::fs::remove_file(kept).unwrap();
    let run = with_env(&server.uri(), &["edit", "wl/web"], [("EDITOR", "false")]).await;
    assert!(
        run.code == 1 && run.err.contains("the editor \"false\" failed"),
        "{run:?}"
    );
}
