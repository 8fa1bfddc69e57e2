use super::*;

#[tokio::test]
async fn a_token_is_printed_once_and_alone_on_standard_output() {
    let server = MockServer::start().await;
    let made = json!({"name": "ci", "role": "viewer", "token": "aegis_00", "expiresAt": null});
    answers(
        &server,
        "POST",
        "/auth/tokens",
        ResponseTemplate::new(201).set_body_json(&made),
    )
    .await;
    let line = ["token", "create", "ci", "--role", "viewer", "--expires-in", "12h"];
    let run = aegisctl(&server.uri(), &line).await;
    assert_eq!((run.code, run.out.as_str()), (0, "aegis_00\n"), "{run:?}");
    assert!(run.err.contains("not shown again"), "{run:?}");
    let (body, _) = last_body(&server, "POST").await;
    assert_eq!(body, json!({"name": "ci", "role": "viewer", "ttlSeconds": 43200}));
}

#[tokio::test]
async fn a_token_is_rotated_by_its_name_and_the_other_secret_is_printed_alone() {
    let server = MockServer::start().await;
    let made =
        json!({"name": "admin", "role": "admin", "token": "aegis_01", "expiresAt": "2026-02-01T00:00:00Z"});
    let answer = ResponseTemplate::new(201).set_body_json(&made);
    answers(&server, "POST", "/auth/tokens/admin/rotate", answer).await;
    let line = ["token", "rotate", "admin", "--expires-in", "12h"];
    let run = aegisctl(&server.uri(), &line).await;
    assert_eq!((run.code, run.out.as_str()), (0, "aegis_01\n"), "{run:?}");
    assert!(run.err.contains("until 2026-02-01T00:00:00Z"), "{run:?}");
    let (body, _) = last_body(&server, "POST").await;
    assert_eq!(body, json!({"ttlSeconds": 43200}));
}

#[tokio::test]
async fn the_webhook_token_is_rotated_with_a_grace_and_who_still_has_the_former_one_shows() {
    let server = MockServer::start().await;
    let made = json!({"name": "webhook", "role": "webhook", "token": "aegis_02", "expiresAt": null,
        "formerGoodUntil": "2026-02-01T00:00:00Z"});
    let answer = ResponseTemplate::new(201).set_body_json(&made);
    answers(&server, "POST", "/auth/tokens/webhook/rotate", answer).await;
    let run = aegisctl(&server.uri(), &["token", "rotate", "webhook", "--grace", "2h"]).await;
    assert_eq!((run.code, run.out.as_str()), (0, "aegis_02\n"), "{run:?}");
    assert!(
        run.err.contains("former one is good until 2026-02-01T00:00:00Z"),
        "{run:?}"
    );
    let (body, _) = last_body(&server, "POST").await;
    assert_eq!(body, json!({"graceSeconds": 7200}));
    let tokens = json!({"tokens": [], "formerWebhookToken": {"goodUntil": "2026-02-01T00:00:00Z",
        "lastUsedAt": "2026-01-31T13:00:00Z"}});
    answers(&server, "GET", "/auth/tokens", json_body(&tokens)).await;
    let run = aegisctl(&server.uri(), &["token", "list"]).await;
    assert!(
        run.err.contains("a sender used it at 2026-01-31T13:00:00Z"),
        "{run:?}"
    );
}

#[tokio::test]
async fn tokens_are_listed_with_their_ends_and_uses() {
    let server = MockServer::start().await;
    let tokens = json!({"tokens": [
        {"name": "anna", "role": "operator", "createdAt": "2026-01-31T12:00:00.123Z", "createdBy": "admin", "expiresAt": null,
            "lastUsedAt": null, "expired": false},
        {"name": "ci", "role": "viewer", "createdAt": "2026-01-31T12:00:00Z", "createdBy": "admin",
            "expiresAt": "2026-02-01T00:00:00Z", "lastUsedAt": "2026-01-31T13:00:00Z", "expired": true}]});
    answers(&server, "GET", "/auth/tokens", json_body(&tokens)).await;
    let run = aegisctl(&server.uri(), &["token", "list"]).await;
    assert_eq!(
        run.out,
        "NAME   ROLE       CREATED                BY      EXPIRES                          LAST USED\n\
         anna   operator   2026-01-31T12:00:00Z   admin   never                            never\n\
         ci     viewer     2026-01-31T12:00:00Z   admin   2026-02-01T00:00:00Z (expired)   2026-01-31T13:00:00Z\n"
    );
}

#[tokio::test]
async fn a_link_leads_to_the_cockpit() {
    let server = MockServer::start().await;
    let link = json!({"path": "/auth/once?code=c0de"});
    answers(&server, "POST", "/auth/once", json_body(&link)).await;
    let run = aegisctl(&server.uri(), &["token", "once"]).await;
    assert_eq!(run.out, "http://127.0.0.1:3000/api/auth/once?code=c0de\n");
}

#[tokio::test]
async fn can_i_answers_for_people_and_for_scripts() {
    let server = MockServer::start().await;
    let at = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let no = json!({"status": {"allowed": false, "reason": "the role is viewer"}});
    answers(&server, "POST", at, json_body(&no)).await;
    let run = aegisctl(&server.uri(), &["auth", "can-i", "delete", "wl"]).await;
    assert_eq!((run.code, run.out.as_str()), (1, "no\n"), "{run:?}");
    assert!(run.err.contains("the role is viewer"), "{run:?}");
    let (body, _) = last_body(&server, "POST").await;
    assert_eq!(body["spec"]["resourceAttributes"]["resource"], "workloads");
    answers(
        &server,
        "GET",
        "/auth/session",
        json_body(&json!({"user": "anna", "role": "viewer"})),
    )
    .await;
    let run = aegisctl(&server.uri(), &["auth", "whoami"]).await;
    assert_eq!(run.out, "anna (viewer)\n");
}
