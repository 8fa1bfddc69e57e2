//! What every request passes: the role matrix over real routes, origins, limits, readiness.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use crate::auth::Role;
use crate::testing::{Answer, Server, config};

async fn code(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(request.body(Body::empty()).unwrap()).await.status()
}

const READS: [&str; 17] = [
    "/notifications",
    "/incidents",
    "/containers",
    "/metrics",
    "/metrics/history",
    "/metrics/host",
    "/metrics/load-balancers",
    "/metrics/workloads",
    "/topology",
    "/runbook",
    "/rag/test",
    "/apis/aegisops.io/v1alpha1/workloads",
    "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/x",
    "/api/v1/events",
    "/openapi/v3",
    "/version",
    "/ws",
];

const WRITES: [(Method, &str); 8] = [
    (Method::POST, "/notifications/test"),
    (Method::POST, "/scale/up"),
    (Method::POST, "/webhook"),
    (
        Method::POST,
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads",
    ),
    (
        Method::PUT,
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/x",
    ),
    (
        Method::PATCH,
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/x",
    ),
    (
        Method::DELETE,
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/x",
    ),
    (
        Method::PATCH,
        "/apis/aegisops.io/v1alpha1/namespaces/default/workloads/x/scale",
    ),
];

const REFUSED: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

#[tokio::test]
async fn every_role_may_do_what_it_may_and_nothing_else() {
    for (anonymous, token, reads, writes, alerts) in [
        (None, None, false, false, false),
        (None, Some("wrong"), false, false, false),
        (Some(Role::Operator), Some("wrong"), false, false, false),
        (None, Some("webhook-token"), false, false, true),
        (Some(Role::Webhook), None, false, false, true),
        (Some(Role::Viewer), None, true, false, false),
        (Some(Role::Operator), None, true, true, true),
        (None, Some("admin-token"), true, true, true),
    ] {
        let server = Server::with(crate::ServerConfig {
            anonymous_role: anonymous,
            ..config()
        })
        .await;
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let who = format!("{anonymous:?} {token:?}");
        for path in READS {
            let passed = !REFUSED.contains(&code(&server, Method::GET, path, &headers).await);
            assert_eq!(passed, reads, "{who}: GET {path}");
        }
        for (method, path) in WRITES {
            let expected = match (path, &method) {
                ("/webhook", _) => alerts,
                (_, &Method::DELETE) => token == Some("admin-token"),
                _ => writes,
            };
            let passed = !REFUSED.contains(&code(&server, method.clone(), path, &headers).await);
            assert_eq!(passed, expected, "{who}: {method} {path}");
        }
        for path in ["/health", "/healthz", "/livez", "/docs", "/openapi.json"] {
            assert_eq!(
                code(&server, Method::GET, path, &headers).await,
                200,
                "{who}: GET {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_on_the_api_is_a_status_with_kubernetes_words() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Viewer),
        ..config()
    })
    .await;
    let request = Request::post("/apis/aegisops.io/v1alpha1/namespaces/default/incidents")
        .body(Body::empty())
        .unwrap();
    let status = Answer::of(server.send(request).await).await.json();
    assert_eq!(
        (&status["kind"], &status["reason"], &status["code"]),
        (&json!("Status"), &json!("Forbidden"), &json!(403))
    );
    assert_eq!(
        status["message"],
        "incidents.aegisops.io is forbidden: User \"system:anonymous\" cannot create resource \"incidents\" \
         in API group \"aegisops.io\" in the namespace \"default\": its role is viewer, this takes operator"
    );
    let request = Request::get("/apis")
        .header("authorization", "Bearer no")
        .body(Body::empty())
        .unwrap();
    let status = Answer::of(server.send(request).await).await.json();
    assert_eq!(
        (&status["message"], &status["code"]),
        (&json!("Unauthorized"), &json!(401))
    );
}

#[tokio::test]
async fn a_page_of_another_origin_can_change_nothing_and_read_nothing() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Admin),
        ..config()
    })
    .await;
    let evil = [("host", "127.0.0.1:8001"), ("origin", "http://evil.example")];
    let ours = [("host", "127.0.0.1:8001"), ("origin", "http://127.0.0.1:8001")];
    assert_eq!(code(&server, Method::POST, "/webhook", &evil).await, 403);
    assert_eq!(code(&server, Method::POST, "/webhook", &ours).await, 422);
    let request = Request::get("/incidents")
        .header("origin", "http://evil.example")
        .body(Body::empty())
        .unwrap();
    assert!(
        !server
            .send(request)
            .await
            .headers()
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test]
async fn pages_of_origins_that_the_configuration_names_may_call() {
    let origin = "https://ops.example.org";
    let server = Server::with(crate::ServerConfig {
        allowed_origins: vec![origin.to_owned()],
        ..config()
    })
    .await;
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/incidents")
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
        .body(Body::empty())
        .unwrap();
    let response = server.send(request).await;
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
}

#[tokio::test]
async fn readiness_names_what_is_wrong() {
    let server = Server::start().await;
    let ready = async || {
        let answer = server.get("/readyz").await;
        (answer.code.as_u16(), answer.text)
    };
    server.host.set_engine(Err("no such socket".to_owned()));
    assert_eq!(ready().await, (503, "docker: no such socket".to_owned()));
    server.host.set_engine(Ok(()));
    assert_eq!(ready().await, (200, "ok".to_owned()));
    server.shutdown.cancel();
    let (code, why) = ready().await;
    assert_eq!(code, 503);
    assert!(why.starts_with("store: "), "{why}");
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_and_the_server_goes_on() {
    async fn broken() -> &'static str {
        panic!("a bug")
    }
    let router = axum::Router::new()
        .route("/broken", axum::routing::get(broken))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(
            crate::limits::on_panic,
        ));
    let request = Request::get("/broken").body(Body::empty()).unwrap();
    let answer = Answer::of(tower::ServiceExt::oneshot(router, request).await.unwrap()).await;
    assert_eq!(
        (answer.code.as_u16(), &answer.json()["reason"]),
        (500, &json!("InternalError"))
    );
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_there_is_room_for_get_retry_after() {
    let server = Server::start().await;
    let all = server.state.requests.all.acquire_many(512).await.unwrap();
    let answer = server.get("/incidents").await;
    assert_eq!(answer.code, 429);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(server.get("/healthz").await.code, 200);
    drop(all);
    assert_eq!(server.get("/incidents").await.code, 200);
}

mod entrance;
