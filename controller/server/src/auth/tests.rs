//! Tokens, sessions and links through the whole router.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Answer, Server, config};

fn identify(anonymous: Option<Role>, headers: &HeaderMap) -> Option<Role> {
    let mut config = config();
    config.anonymous_role = anonymous;
    let folder = tempfile::tempdir().unwrap();
    let auth = Auth::new(&config, Tokens::open(folder.path()).unwrap());
    let identity = auth.identify(headers, Timestamp::now()).ok();
    identity.map(|identity| identity.role)
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
}

#[test]
fn bearer_and_basic_carry_a_token() {
    use base64::Engine as _;
    let role = |value: &str| identify(None, &headers("authorization", value));
    assert_eq!(role("Bearer admin-token"), Some(Role::Admin));
    assert_eq!(role("bearer  webhook-token"), Some(Role::Webhook));
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let basic = |text: &str| format!("Basic {}", encode(text));
    assert_eq!(role(&basic("any:admin-token")), Some(Role::Admin));
    assert_eq!(role(&basic("admin-token:")), Some(Role::Admin));
    for wrong in [
        "Bearer nope",
        "Bearer ",
        "Bearer",
        "Digest admin-token",
        "Basic ???",
        &basic("admin-token:x"),
    ] {
        assert_eq!(role(wrong), None, "{wrong}");
    }
}

#[test]
fn a_browser_sends_its_token_as_a_sub_protocol() {
    let headers = headers("sec-websocket-protocol", "aegis.v1, aegis.bearer.admin-token");
    assert_eq!(identify(None, &headers), Some(Role::Admin));
}

#[test]
fn a_wrong_token_is_refused_even_where_none_is_needed_and_a_stale_cookie_is_none() {
    let open = Some(Role::Operator);
    assert_eq!(identify(open, &HeaderMap::new()), open);
    assert_eq!(identify(open, &headers("authorization", "Bearer nope")), None);
    assert_eq!(identify(open, &headers("cookie", "aegis_session=stale")), open);
    assert_eq!(identify(None, &headers("cookie", "aegis_session=stale")), None);
    assert_eq!(identify(None, &HeaderMap::new()), None);
}

async fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8001");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    Answer::of(server.send(request.body(Body::from(body)).unwrap()).await).await
}

/// Name and value of the session cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

async fn make(server: &Server, name: &str, role: &str) -> String {
    let made = server
        .ask("POST", "/auth/tokens", Some(json!({"name": name, "role": role})))
        .await;
    assert_eq!(made.code, 201, "{}", made.text);
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn login(server: &Server, token: &str) -> (String, String) {
    let answer = send(server, "POST", "/auth/login", &[], json!({"token": token})).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    (
        cookie(&answer),
        answer.json()["csrfToken"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_page_logs_in_reads_changes_with_its_csrf_token_and_logs_out() {
    let server = Server::start().await;
    let token = make(&server, "anna", "operator").await;
    let (cookie, csrf) = login(&server, &token).await;
    let ours = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    let session = send(&server, "GET", "/auth/session", &ours, Value::Null).await;
    assert_eq!(
        (
            &session.json()["user"],
            &session.json()["role"],
            &session.json()["csrfToken"]
        ),
        (&json!("anna"), &json!("operator"), &Value::Null)
    );
    assert_eq!(
        send(&server, "GET", "/incidents", &ours, Value::Null).await.code,
        200
    );
    let alert = json!({"incident_id": "i1", "alert_type": "oom"});
    for wrong in [
        vec![("cookie", cookie.as_str())],
        vec![("cookie", &cookie), ("x-csrf-token", "guess")],
    ] {
        let refused = send(&server, "POST", "/webhook", &wrong, alert.clone()).await;
        assert_eq!(refused.code, 401, "{}", refused.text);
    }
    assert_eq!(send(&server, "POST", "/webhook", &ours, alert).await.code, 200);
    assert_eq!(
        send(
            &server,
            "POST",
            "/auth/logout",
            &[("cookie", &cookie)],
            Value::Null
        )
        .await
        .code,
        401
    );
    let out = send(&server, "POST", "/auth/logout", &ours, Value::Null).await;
    assert_eq!(out.code, 204);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    let gone = send(&server, "GET", "/auth/session", &ours, Value::Null).await;
    assert_eq!(gone.code, 401);
}

#[tokio::test]
async fn cookies_that_another_port_of_the_host_sets_for_deeper_paths_keep_no_one_out() {
    let server = Server::start().await;
    let token = make(&server, "anna", "operator").await;
    let (cookie, csrf) = login(&server, &token).await;
    // Browsers send those of the deepest path first: two for each part of the longest address there is.
    for (junk, count) in [("junk".to_owned(), 1000), ("0".repeat(64), 40)] {
        let before = format!("aegis_session={junk}; ").repeat(count);
        let sent = format!("{before}{cookie}");
        let ours = [("cookie", sent.as_str()), ("x-csrf-token", csrf.as_str())];
        let session = send(&server, "GET", "/auth/session", &ours, Value::Null).await;
        assert_eq!(session.code, 200, "{count} of {junk}: {}", session.text);
    }
}

#[tokio::test]
async fn a_cookie_alone_which_every_port_of_the_host_is_sent_is_worth_nothing() {
    let server = Server::start().await;
    let token = make(&server, "anna", "admin").await;
    let (cookie, csrf) = login(&server, &token).await;
    let alone = [("cookie", cookie.as_str())];
    let workloads = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";
    for path in ["/auth/session", "/incidents", "/ws", "/audit", workloads] {
        let refused = send(&server, "GET", path, &alone, Value::Null).await;
        assert_eq!(refused.code, 401, "{path}");
        assert!(
            refused.text.contains("worth nothing alone") && refused.text.contains("X-CSRF-Token"),
            "{}",
            refused.text
        );
        assert!(!refused.text.contains(&csrf));
    }
    for guess in ["", &csrf[1..], &cookie["aegis_session=".len()..]] {
        let guessed = [alone[0], ("x-csrf-token", guess)];
        assert_eq!(
            send(&server, "GET", "/incidents", &guessed, Value::Null)
                .await
                .code,
            401
        );
    }
    let secret_alone = [("x-csrf-token", csrf.as_str())];
    assert_eq!(
        send(&server, "GET", "/incidents", &secret_alone, Value::Null)
            .await
            .code,
        401
    );
    // A browser can send no header with a WebSocket; this is no upgrade, and that far it comes.
    let protocols = format!("aegis.v1, aegis.session.{csrf}");
    let page = [alone[0], ("sec-websocket-protocol", protocols.as_str())];
    assert_eq!(send(&server, "GET", "/ws", &page, Value::Null).await.code, 426);
}

#[tokio::test]
async fn where_everybody_may_look_a_cookie_alone_gives_no_more_than_that() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Viewer),
        ..config()
    })
    .await;
    let (cookie, _) = login(&server, "admin-token").await;
    let session = send(
        &server,
        "GET",
        "/auth/session",
        &[("cookie", &cookie)],
        Value::Null,
    )
    .await;
    assert_eq!(session.json()["user"], "system:anonymous");
}

#[tokio::test]
async fn who_comes_in_leaves_and_is_refused_is_in_the_audit_log() {
    let server = Server::start().await;
    let (cookie, csrf) = login(&server, "admin-token").await;
    let ours = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    send(&server, "POST", "/auth/login", &[], json!({"token": "a guess"})).await;
    let link = send(&server, "POST", "/auth/once", &ours, Value::Null)
        .await
        .json();
    let code = json!({"code": link["code"]});
    for expected in [200, 401] {
        let redeemed = send(&server, "POST", "/auth/once/redeem", &[], code.clone()).await;
        assert_eq!(redeemed.code, expected);
    }
    send(&server, "POST", "/scale/up", &[], Value::Null).await;
    let alerts = [("authorization", "Bearer webhook-token")];
    send(&server, "POST", "/scale/up", &alerts, Value::Null).await;
    let evil = [
        ("authorization", "Bearer admin-token"),
        ("origin", "http://evil.example"),
    ];
    send(&server, "POST", "/scale/up", &evil, Value::Null).await;
    send(&server, "GET", "/audit", &alerts, Value::Null).await;
    send(&server, "POST", "/auth/logout", &ours, Value::Null).await;
    let page = server.get("/audit").await;
    let records = page.json()["records"].as_array().unwrap().clone();
    let recorded: Vec<String> = records
        .iter()
        .map(|record| {
            let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
            format!("{} {} {}", text("/verb"), text("/actor/user"), text("/name"))
        })
        .collect();
    assert_eq!(
        recorded,
        [
            "login admin admin",
            "login-failed system:unknown unknown",
            "link-made admin admin",
            "link-redeemed admin admin",
            "login-failed system:unknown unknown",
            "refused system:unknown POST /scale/up",
            "refused webhook POST /scale/up",
            "refused admin POST /scale/up",
            "logout admin admin",
        ],
        "reads that are refused are not recorded"
    );
    for secret in ["a guess", &csrf, code["code"].as_str().unwrap()] {
        assert!(!page.text.contains(secret), "{}", page.text);
    }
}

#[tokio::test]
async fn a_session_ends_when_its_token_is_revoked() {
    let server = Server::start().await;
    let token = make(&server, "anna", "viewer").await;
    let (cookie, csrf) = login(&server, &token).await;
    let headers = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    assert_eq!(
        send(&server, "GET", "/incidents", &headers, Value::Null)
            .await
            .code,
        200
    );
    let bearer = format!("Bearer {token}");
    let link = send(
        &server,
        "POST",
        "/auth/once",
        &[("authorization", &bearer)],
        Value::Null,
    )
    .await;
    assert_eq!(link.code, 201);
    assert_eq!(server.ask("DELETE", "/auth/tokens/anna", None).await.code, 200);
    assert_eq!(
        send(&server, "GET", "/incidents", &headers, Value::Null)
            .await
            .code,
        401
    );
    let path = link.json()["path"].as_str().unwrap().to_owned();
    assert_eq!(send(&server, "GET", &path, &[], Value::Null).await.code, 401);
    assert_eq!(server.ask("DELETE", "/auth/tokens/anna", None).await.code, 404);
}

#[tokio::test]
async fn a_link_leads_to_the_page_which_trades_its_code_once() {
    let server = Server::with(crate::ServerConfig {
        trusted_proxies: vec!["10.0.0.2".parse::<crate::TrustedProxy>().unwrap()].into(),
        ..config()
    })
    .await;
    let link = server.ask("POST", "/auth/once", None).await.json();
    let (path, code) = (link["path"].as_str().unwrap(), link["code"].as_str().unwrap());
    assert_eq!(send(&server, "HEAD", path, &[], Value::Null).await.code, 405);
    // What looks at it, as previews do, spends nothing and is given nothing.
    for _ in 0..2 {
        let looked = send(&server, "GET", path, &[], Value::Null).await;
        assert_eq!(looked.code, 303);
        let to = looked.headers["location"].to_str().unwrap();
        assert_eq!(to, format!("/login#once={code}"));
        assert_eq!(looked.headers["referrer-policy"], "no-referrer");
        assert!(!looked.headers.contains_key("set-cookie"));
    }
    let evil = [("origin", "http://evil.example")];
    let body = json!({"code": code});
    let other = send(&server, "POST", "/auth/once/redeem", &evil, body.clone()).await;
    assert_eq!(other.code, 403);
    let mut request = Request::post("/auth/once/redeem")
        .header("x-forwarded-proto", "https")
        .body(Body::from(body.to_string()))
        .unwrap();
    let peer = crate::serve::Peer(([10, 0, 0, 2], 1).into());
    request.extensions_mut().insert(peer);
    let first = Answer::of(server.send(request).await).await;
    let set = first.headers["set-cookie"].to_str().unwrap();
    assert!(set.ends_with("; Secure"), "{set}");
    let csrf = first.json()["csrfToken"].as_str().unwrap().to_owned();
    let ours = [("cookie", cookie(&first)), ("x-csrf-token", csrf)];
    let ours = ours.each_ref().map(|(name, value)| (*name, value.as_str()));
    let session = send(&server, "GET", "/auth/session", &ours, Value::Null).await;
    assert_eq!(session.json()["role"], "admin");
    let again = send(&server, "POST", "/auth/once/redeem", &[], body).await;
    assert_eq!(again.code, 401);
    let second = send(&server, "GET", path, &[], Value::Null).await;
    assert_eq!(second.code, 401);
    assert!(second.text.contains("used or has expired"), "{}", second.text);
}

#[tokio::test]
async fn a_session_cannot_prolong_itself_by_a_link() {
    let server = Server::start().await;
    let (cookie, csrf) = login(&server, "admin-token").await;
    let ours = [("cookie", cookie.as_str()), ("x-csrf-token", csrf.as_str())];
    let first = send(&server, "GET", "/auth/session", &ours, Value::Null)
        .await
        .json();
    let link = send(&server, "POST", "/auth/once", &ours, Value::Null)
        .await
        .json();
    let code = json!({"code": link["code"]});
    let second = send(&server, "POST", "/auth/once/redeem", &[], code).await.json();
    assert_eq!(second["expiresAt"], first["expiresAt"]);
}

#[tokio::test]
async fn logins_that_fail_too_often_have_to_wait() {
    let server = Server::start().await;
    for _ in 0..10 {
        let answer = send(&server, "POST", "/auth/login", &[], json!({"token": "guess"})).await;
        assert_eq!(answer.code, 401);
    }
    let answer = send(&server, "POST", "/auth/login", &[], json!({"token": "guess"})).await;
    assert_eq!(answer.code, 429);
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=7).contains(&seconds), "{seconds}");
    // A valid token is taken, also from an address that others guess from.
    login(&server, "admin-token").await;
}

#[tokio::test]
async fn pages_of_other_origins_and_tokens_that_only_alert_begin_no_session() {
    let server = Server::start().await;
    let body = json!({"token": "admin-token"});
    let evil = [("origin", "http://evil.example")];
    assert_eq!(send(&server, "POST", "/auth/login", &evil, body).await.code, 403);
    let body = json!({"token": "webhook-token"});
    assert_eq!(send(&server, "POST", "/auth/login", &[], body).await.code, 403);
    assert_eq!(
        send(&server, "POST", "/auth/login", &[], json!("no")).await.code,
        400
    );
}

#[tokio::test]
async fn only_admins_see_and_make_tokens_and_a_secret_is_shown_once() {
    let server = Server::start().await;
    let token = make(&server, "anna", "operator").await;
    let bearer = format!("Bearer {token}");
    let listed = server.get("/auth/tokens").await;
    assert_eq!(listed.json()["tokens"][0]["name"], "anna");
    assert!(
        !listed.text.contains(&token) && !listed.text.contains("sha256"),
        "{}",
        listed.text
    );
    for (method, path) in [
        ("GET", "/auth/tokens"),
        ("POST", "/auth/tokens"),
        ("DELETE", "/auth/tokens/anna"),
    ] {
        let refused = send(&server, method, path, &[("authorization", &bearer)], Value::Null).await;
        assert_eq!(refused.code, 403);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("its role is operator, this takes admin"),
            "{message}"
        );
    }
    for (body, code) in [
        (json!({"name": "anna", "role": "viewer"}), 409),
        (json!({"name": "A B", "role": "viewer"}), 422),
        (json!({"name": "x", "role": "root"}), 400),
        (
            json!({"name": "x", "role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"}),
            422,
        ),
    ] {
        assert_eq!(
            server.ask("POST", "/auth/tokens", Some(body.clone())).await.code,
            code,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_token_learns_who_it_is_where_that_is_allowed() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Viewer),
        ..config()
    })
    .await;
    let session = send(&server, "GET", "/auth/session", &[], Value::Null).await;
    assert_eq!(
        session.json(),
        json!({"user": "system:anonymous", "role": "viewer", "csrfToken": null, "expiresAt": null})
    );
    assert_eq!(
        send(&server, "POST", "/auth/once", &[], Value::Null).await.code,
        403
    );
    assert_eq!(
        send(&server, "POST", "/scale/up", &[], Value::Null).await.code,
        403
    );
}

#[tokio::test]
async fn the_webhook_token_is_rotated_by_an_admin_and_both_are_good_until_the_named_time() {
    let server = Server::start().await;
    let rotate = async |body: Value| {
        let path = "/auth/tokens/webhook/rotate";
        server.ask("POST", path, Some(body)).await
    };
    let alerts = async |token: &str| {
        let alert = json!({"incident_id": "a", "alert_type": "Odd", "container_name": "web"});
        let request = Request::post("/webhook")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let request = request.body(Body::from(alert.to_string())).unwrap();
        server.send(request).await.status()
    };
    let made = rotate(json!({"graceSeconds": 3600})).await;
    assert_eq!(made.code, StatusCode::CREATED, "{}", made.text);
    let made = made.json();
    let until: Timestamp = made["formerGoodUntil"].as_str().unwrap().parse().unwrap();
    assert!(until > Timestamp::now() && made["name"] == "webhook");
    let second = made["token"].as_str().unwrap().to_owned();
    for token in ["webhook-token", &second] {
        assert_eq!(alerts(token).await, StatusCode::OK, "{token}");
    }
    let listed = server.get("/auth/tokens").await.json();
    assert!(listed["formerWebhookToken"]["lastUsedAt"].is_string(), "{listed}");
    let audit = server.get("/audit").await.text;
    assert!(
        audit.contains("formerGoodUntil") && !audit.contains(&second),
        "{audit}"
    );

    let third = rotate(json!({"graceSeconds": 0})).await.json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for token in ["webhook-token", &second] {
        assert_eq!(alerts(token).await, StatusCode::UNAUTHORIZED, "{token}");
    }
    assert_eq!(alerts(&third).await, StatusCode::OK);
    for wrong in [json!({"graceSeconds": 2_592_001}), json!({"ttlSeconds": 5})] {
        assert_eq!(rotate(wrong).await.code, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let admin = server.ask(
        "POST",
        "/auth/tokens/admin/rotate",
        Some(json!({"graceSeconds": 5})),
    );
    assert_eq!(admin.await.code, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_rotation_of_the_webhook_token_that_fails_is_recorded_as_such_and_of_none_nothing_is() {
    let path = "/auth/tokens/webhook/rotate";
    let mut config = config();
    config.webhook_token = None;
    let server = Server::with(config).await;
    let refused = server.ask("POST", path, Some(json!({}))).await;
    assert_eq!(refused.code, StatusCode::NOT_FOUND, "{}", refused.text);
    let audit = server.get("/audit").await.text;
    assert!(!audit.contains("rotated"), "{audit}");

    let server = Server::start().await;
    // Nothing can take its place.
    let folder = server.state.auth.tokens.folder().join("webhook.json/taken");
    std::fs::create_dir_all(folder).unwrap();
    let failed = server.ask("POST", path, Some(json!({}))).await;
    assert_eq!(failed.code, StatusCode::INTERNAL_SERVER_ERROR, "{}", failed.text);
    let audit = server.get("/audit").await.text;
    assert!(audit.contains("\"failed\""), "{audit}");
    let alerts = [("authorization", "Bearer webhook-token")];
    let alert = json!({"incident_id": "a", "alert_type": "Odd", "container_name": "web"});
    assert_eq!(send(&server, "POST", "/webhook", &alerts, alert).await.code, 200);
}
