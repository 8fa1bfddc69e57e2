use super::*;
use wiremock::matchers::header;

#[tokio::test]
async fn an_unreachable_controller_says_where_and_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for line in [&["get", "wl"][..], &["watch"], &["version"], &["logs", "web"]] {
        let run = aegisctl(&server, line).await;
        assert_eq!(run.code, 3, "{run:?}");
        let expected = format!(
            "error: cannot reach the controller at {server}: connection refused. Is it running? Try 'make up', or set AEGIS_SERVER.\n"
        );
        assert_eq!(run.err, expected);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let run = aegisctl(&server, &["get", "wl", "--request-timeout", "20ms"]).await;
    assert_eq!(run.code, 3);
    assert!(
        run.err.contains("no answer within 0.02 s (--request-timeout)"),
        "{}",
        run.err
    );
}

#[tokio::test]
async fn a_missing_or_wrong_token_says_how_to_get_one() {
    let server = MockServer::start().await;
    answers(
        &server,
        "GET",
        WORKLOADS,
        status(401, "Unauthorized", "Unauthorized"),
    )
    .await;
    let run = aegisctl(&server.uri(), &["get", "wl"]).await;
    assert_eq!(run.code, 5);
    assert!(run.err.contains("wants a token: set AEGIS_TOKEN"), "{}", run.err);
    assert!(
        run.err.contains("`make -s token` prints the admin token"),
        "{}",
        run.err
    );
    let run = aegisctl(&server.uri(), &["get", "wl", "--token", "s3cret"]).await;
    assert!(
        run.err.contains("does not know this token") && !run.err.contains("s3cret"),
        "{}",
        run.err
    );
}

#[tokio::test]
async fn the_token_is_sent_as_a_bearer_and_a_role_that_does_not_suffice_is_named() {
    let server = MockServer::start().await;
    let forbidden = status(
        403,
        "Forbidden",
        "incidents.aegisops.io is forbidden: User \"viewer\" cannot list",
    );
    Mock::given(header("authorization", "Bearer s3cret"))
        .respond_with(forbidden)
        .mount(&server)
        .await;
    let run = with_env(&server.uri(), &["get", "inc"], [("AEGIS_TOKEN", "s3cret")]).await;
    assert_eq!(run.code, 5);
    assert!(run.err.contains("User \"viewer\" cannot list"), "{}", run.err);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_exit_code_four() {
    let server = MockServer::start().await;
    answers(&server, "GET", WEB, not_found()).await;
    let run = aegisctl(&server.uri(), &["get", "wl", "web"]).await;
    assert_eq!(
        (run.code, run.err.as_str()),
        (4, "error: workloads.aegisops.io \"web\" not found\n")
    );
}

#[tokio::test]
async fn something_else_on_the_port_is_distinguished_and_made_safe() {
    let server = MockServer::start().await;
    let page = ResponseTemplate::new(404).set_body_string("<html>\u{1b}[2Jnot here</html>");
    answers(&server, "GET", WORKLOADS, page).await;
    let run = aegisctl(&server.uri(), &["get", "wl"]).await;
    assert_eq!(run.code, 1);
    assert!(
        run.err
            .contains("does not answer like an AegisOps controller: it says 404 Not Found"),
        "{}",
        run.err
    );
    assert!(!run.err.contains('\x1b'));
}

#[tokio::test]
async fn usage_errors_are_exit_code_two_and_send_nothing() {
    let server = MockServer::start().await;
    for line in [
        &["get", "pods"][..],
        &["get"],
        &["get", "wl", ".."],
        &["scale", "inc/x", "--replicas", "2"],
        &["get", "wl", "-o", "xml"],
        &["wait", "wl/web", "--for", "nonsense"],
        &["edit", "wl"],
        &["frobnicate"],
    ] {
        assert_eq!(aegisctl(&server.uri(), line).await.code, 2, "{line:?}");
    }
    assert!(requests(&server).await.is_empty());
}

#[tokio::test]
async fn warnings_of_the_server_go_to_standard_error() {
    let server = MockServer::start().await;
    let answer = json_body(&json!({"kind": "Table", "rows": []})).insert_header(
        "warning",
        "299 - \"workloads/bad.yaml: line 3, column 5: spec.x: unknown field\"",
    );
    answers(&server, "GET", WORKLOADS, answer).await;
    let run = aegisctl(&server.uri(), &["get", "wl"]).await;
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    assert!(
        run.err
            .contains("Warning: workloads/bad.yaml: line 3, column 5: spec.x: unknown field\n"),
        "{}",
        run.err
    );
    assert!(run.err.contains("No resources found."));
}

#[test]
fn the_help_lists_the_exit_codes() {
    let help = Args::try_parse_from(["aegisctl", "--help"])
        .unwrap_err()
        .to_string();
    for line in [
        "Exit codes:",
        "  3    the server cannot be reached",
        "  124  waiting took longer",
    ] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Args::command().debug_assert();
}
