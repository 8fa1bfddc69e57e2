//! What strangers, and single ones of many clients, cannot do: hold what others need, guess, come in under a name that is
//! not ours, or stay on.

use std::net::SocketAddr;
use std::time::Duration;

use aegis_api::kinds::find;
use aegis_runtime::Part;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::auth::Role;
use crate::serve::Peer;
use crate::testing::{Answer, Server, config};

const WORKLOADS: &str = "/apis/aegisops.io/v1alpha1/namespaces/default/workloads";
const ADMIN: (&str, &str) = ("authorization", "Bearer admin-token");

fn request(
    method: &str,
    path: &str,
    from: [u8; 4],
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.into()).unwrap();
    request.extensions_mut().insert(Peer((from, 4000).into()));
    request
}

async fn ask(
    server: &Server,
    method: &str,
    path: &str,
    from: [u8; 4],
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = request(method, path, from, headers, body.to_owned());
    Answer::of(server.send(request).await).await
}

/// The answer as soon as its head is there: its body is not read.
async fn head(server: &Server, path: &str, token: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    server
        .send(request("GET", path, [10, 0, 0, 1], &headers, Body::empty()))
        .await
}

async fn make(server: &Server, name: &str, role: &str, seconds: Option<u32>) -> String {
    let wanted = json!({"name": name, "role": role, "ttlSeconds": seconds});
    let made = server.ask("POST", "/auth/tokens", Some(wanted)).await;
    assert_eq!(made.code, 201, "{}", made.text);
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn workload(server: &Server, name: &str) {
    let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"container": name, "replicas": 1}});
    let made = server.ask("POST", WORKLOADS, Some(object)).await;
    assert_eq!(made.code, 201, "{}", made.text);
}

/// A body of which nothing comes.
fn never() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn logins_that_do_not_come_to_their_end_stop_no_other_client() {
    let server = Server::start().await;
    let mut slow = tokio::task::JoinSet::new();
    for path in ["/auth/login", "/auth/once/redeem"] {
        for _ in 0..512 {
            let router = server.router.clone();
            let request = request("POST", path, [10, 9, 9, 9], &[], never());
            slow.spawn(tower::ServiceExt::oneshot(router, request));
        }
    }
    // Each gets as far as it comes.
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    let answer = ask(&server, "GET", "/incidents", [10, 0, 0, 2], &[ADMIN], "").await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    let login = json!({"token": "admin-token"}).to_string();
    let answer = ask(&server, "POST", "/auth/login", [10, 0, 0, 2], &[], &login).await;
    assert_eq!(answer.code, 200, "others log in: {}", answer.text);
}

#[tokio::test]
async fn who_shares_the_address_of_logins_that_do_not_come_to_their_end_logs_in() {
    let server = Server::start().await;
    // As all do who come in by one port that the engine publishes.
    let all = [172, 19, 0, 1];
    let mut slow = tokio::task::JoinSet::new();
    for path in ["/auth/login", "/auth/once/redeem"] {
        for _ in 0..64 {
            let router = server.router.clone();
            let request = request("POST", path, all, &[], never());
            slow.spawn(tower::ServiceExt::oneshot(router, request));
        }
    }
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
    let login = json!({"token": "admin-token"}).to_string();
    let answer = ask(&server, "POST", "/auth/login", all, &[], &login).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
}

#[tokio::test]
async fn an_answer_is_kept_by_no_browser_and_read_by_no_page_of_another_origin() {
    let server = Server::start().await;
    for path in [
        WORKLOADS,
        "/incidents",
        "/metrics",
        "/health",
        "/docs",
        "/no-such-route",
    ] {
        let answer = ask(&server, "GET", path, [10, 0, 0, 1], &[ADMIN], "").await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert_eq!(
            answer.headers["cross-origin-resource-policy"], "same-origin",
            "{path}"
        );
        assert_eq!(answer.headers["x-frame-options"], "DENY", "{path}");
    }
}

async fn listening(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(crate::serve(
        listener,
        None,
        server.router.clone(),
        crate::AlertsOnly::default(),
        server.shutdown.clone(),
    ));
    address
}

async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// The status line of the answer; empty if the connection ends first.
async fn exchange(from: [u8; 4], to: SocketAddr, request: &str) -> String {
    let mut stream = connect(from, to).await;
    let request = format!("{request} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    let mut text = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_ok() {
        // What was answered before a reset counts.
        stream.read_to_end(&mut text).await.unwrap_or_default();
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_holds_all_the_connections_it_can_stops_neither_others_nor_probes_and_alerts() {
    let server = Server::start().await;
    let address = listening(&server).await;
    let mut idle = Vec::new();
    for _ in 0..2100 {
        idle.push(connect([127, 0, 0, 9], address).await);
    }
    let get = async |path: &str| {
        let request = format!("GET {path}");
        let asked = exchange([127, 0, 0, 2], address, &request);
        tokio::time::timeout(Duration::from_secs(20), asked)
            .await
            .unwrap_or_else(|_| panic!("{path} is not answered"))
    };
    assert_eq!(get("/healthz").await, "HTTP/1.1 200 OK");
    assert_eq!(get("/incidents").await, "HTTP/1.1 401 Unauthorized");
}

#[tokio::test]
async fn tokens_that_are_guessed_are_counted_and_valid_ones_of_the_same_address_are_taken() {
    let server = Server::start().await;
    let from = [203, 0, 113, 7];
    let guess = async |n: u32| {
        let bearer = format!("Bearer guess-{n}");
        ask(
            &server,
            "GET",
            "/incidents",
            from,
            &[("authorization", &bearer)],
            "",
        )
        .await
    };
    let mut last = guess(0).await;
    assert_eq!(last.code, 401);
    for n in 1..30 {
        last = guess(n).await;
    }
    assert_eq!(last.code, 429, "{}", last.text);
    assert!(last.headers.contains_key("retry-after"));
    let valid = ask(&server, "GET", "/incidents", from, &[ADMIN], "").await;
    assert_eq!(
        valid.code, 200,
        "a client that has a token is not locked out: {}",
        valid.text
    );
    let login = json!({"token": "admin-token"}).to_string();
    let valid = ask(&server, "POST", "/auth/login", from, &[], &login).await;
    assert_eq!(valid.code, 200, "nor who logs in with one: {}", valid.text);
    let other = ask(
        &server,
        "GET",
        "/incidents",
        [203, 0, 113, 8],
        &[("authorization", "Bearer x-guess")],
        "",
    )
    .await;
    assert_eq!(other.code, 401, "others are counted for themselves");
}

#[tokio::test]
async fn what_a_page_of_another_name_asks_for_is_misdirected_and_the_setting_is_named() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Operator),
        ..config()
    })
    .await;
    let from = [127, 0, 0, 1];
    for (method, path) in [
        ("GET", "/incidents"),
        ("GET", WORKLOADS),
        ("POST", "/webhook"),
        ("POST", "/auth/login"),
        ("GET", "/auth/once?code=x"),
        ("GET", "/docs"),
        ("GET", "/health"),
        ("GET", "/ws"),
        ("GET", "/nowhere"),
    ] {
        for host in [
            "evil.example",
            "evil.example:8001",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "",
        ] {
            let answer = ask(&server, method, path, from, &[("host", host)], "{}").await;
            assert_eq!(answer.code, 421, "{method} {path} {host}: {}", answer.text);
            assert!(answer.text.contains("AEGIS_PUBLIC_HOSTS"), "{}", answer.text);
        }
    }
    for host in [
        "127.0.0.1:8001",
        "localhost:8001",
        "LOCALHOST",
        "localhost.",
        "cockpit.localhost:3000",
        "192.168.1.5:8001",
        "[::1]:8001",
        "[fd00::1]",
    ] {
        let answer = ask(&server, "GET", "/incidents", from, &[("host", host)], "").await;
        assert_eq!(answer.code, 200, "{host}: {}", answer.text);
    }
    let evil = [("host", "evil.example")];
    for (path, code) in [("/healthz", 200), ("/livez", 200), ("/readyz", 503)] {
        let probe = ask(&server, "GET", path, from, &evil, "").await;
        assert_eq!(probe.code, code, "probes say nothing: {}", probe.text);
    }
    let with_a_token = [evil[0], ADMIN];
    let shown = ask(&server, "GET", "/incidents", from, &with_a_token, "").await;
    assert_eq!(
        shown.code, 200,
        "a page of another name has no token: {}",
        shown.text
    );
}

/// As the controller writes it.
async fn runs_at(server: &Server, name: &str, address: &str) {
    let status = json!({"instances": [{"name": name, "id": "a".repeat(64), "index": 0, "state": "running",
        "health": "Healthy", "revision": "1", "addresses": {"aegis-network": address}}]});
    let edit = move |current: &aegis_runtime::Stored| {
        let mut object = current.value();
        object["status"] = status;
        Ok(object)
    };
    let info = find("wl").unwrap();
    server
        .store
        .edit(info, name, Part::Status, false, edit)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_workload_s_address_posts_alerts_without_a_token_and_does_nothing_else() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Operator),
        ..config()
    })
    .await;
    workload(&server, "web").await;
    runs_at(&server, "web", "172.18.0.9").await;
    let (it, other) = ([172, 18, 0, 9], [172, 18, 0, 1]);
    let alert = r#"{"incident_id": "i1", "alert_type": "oom", "container_name": "web"}"#;
    assert_eq!(ask(&server, "POST", "/webhook", it, &[], alert).await.code, 200);
    for (method, path) in [
        ("GET", "/incidents"),
        ("GET", WORKLOADS),
        ("POST", "/scale/up"),
        ("GET", "/ws"),
    ] {
        let refused = ask(&server, method, path, it, &[], "").await;
        assert_eq!(refused.code, 403, "{path}: {}", refused.text);
    }
    assert_eq!(ask(&server, "GET", "/incidents", other, &[], "").await.code, 200);
    assert_eq!(
        ask(&server, "GET", "/incidents", it, &[ADMIN], "").await.code,
        200,
        "a token is a token"
    );
}

#[tokio::test]
async fn who_posts_alerts_alone_learns_no_more_of_an_incident_than_its_id_and_status() {
    let server = Server::start().await;
    let alert =
        r#"{"incident_id": "i1", "alert_type": "oom", "container_name": "web", "logs": "the-secret-log"}"#;
    let sender = [("authorization", "Bearer webhook-token")];
    for _ in 0..2 {
        let answer = ask(&server, "POST", "/webhook", [10, 0, 0, 1], &sender, alert).await;
        let answer = answer.json();
        assert_eq!(
            (&answer["incident_id"], &answer["status"]),
            (&json!("i1"), &json!("RECEIVED"))
        );
        for (name, value) in answer.as_object().unwrap() {
            let named = ["incident_id", "status", "alert_type"].contains(&name.as_str());
            let empty = matches!(value, Value::Null) || *value == json!([]) || *value == json!(0);
            assert!(named || empty, "{name}: {value}");
        }
    }
    let whole = ask(&server, "POST", "/webhook", [10, 0, 0, 1], &[ADMIN], alert).await;
    assert_ne!(whole.json()["timeline"], json!([]), "who may read reads it all");
}

#[tokio::test]
async fn impersonation_is_refused_and_not_ignored() {
    let server = Server::start().await;
    for name in [
        "impersonate-user",
        "Impersonate-Group",
        "Impersonate-Uid",
        "Impersonate-Extra-Scopes",
    ] {
        for path in [WORKLOADS, "/incidents", "/api/v1/events"] {
            let headers = [ADMIN, (name, "viewer")];
            let answer = ask(&server, "GET", path, [10, 0, 0, 1], &headers, "").await;
            assert_eq!(answer.code, 403, "{name} {path}: {}", answer.text);
            assert!(answer.text.contains("--as"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn one_client_cannot_hold_every_watch_or_every_answer() {
    let server = Server::start().await;
    workload(&server, "web").await;
    let (greedy, other) = (
        make(&server, "greedy", "viewer", None).await,
        make(&server, "other", "viewer", None).await,
    );
    for path in [format!("{WORKLOADS}?watch=true"), WORKLOADS.to_owned()] {
        let mut held = Vec::new();
        let refused = loop {
            let answer = head(&server, &path, &greedy).await;
            if answer.status() != 200 {
                break Answer::of(answer).await;
            }
            held.push(answer);
            assert!(held.len() < 512, "{path}: one client holds them all");
        };
        assert_eq!(refused.code, 429, "{path}: {}", refused.text);
        assert!(held.len() >= 32, "{path}: {}", held.len());
        assert_eq!(head(&server, &path, &other).await.status(), 200, "{path}");
        held.clear();
        assert_eq!(head(&server, &path, &greedy).await.status(), 200, "{path}");
    }
}

/// Whether an answer ends by itself and not before what is done meanwhile.
async fn ends(answer: Response) {
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let end = async {
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn with_its_token_revoked_or_expired_a_watch_and_a_log_end() {
    let server = Server::start().await;
    workload(&server, "web").await;
    runs_at(&server, "web", "172.18.0.9").await;
    let paths = [
        format!("{WORKLOADS}?watch=true"),
        "/api/v1/events?watch=true".to_owned(),
        format!("{WORKLOADS}/web/log?follow=true"),
    ];
    for path in paths {
        let revoked = make(&server, "revoked", "viewer", None).await;
        let open = head(&server, &path, &revoked).await;
        let (ended, gone) = tokio::join!(ends(open), server.ask("DELETE", "/auth/tokens/revoked", None));
        assert_eq!((ended, gone.code.as_u16()), ((), 200), "{path}");
        let short = make(&server, "short", "viewer", Some(1)).await;
        ends(head(&server, &path, &short).await).await;
        server.ask("DELETE", "/auth/tokens/short", None).await;
    }
}

#[tokio::test]
async fn a_watch_ends_within_the_hour_and_as_one_whose_time_is_up() {
    let server = Server::start().await;
    let mut open = head(&server, &format!("{WORKLOADS}?watch=true"), "admin-token")
        .await
        .into_body();
    let mut long = head(
        &server,
        &format!("{WORKLOADS}?watch=true&timeoutSeconds=86400"),
        "admin-token",
    )
    .await
    .into_body();
    tokio::time::pause();
    for body in [&mut open, &mut long] {
        // Its timer is set once it is polled for the first time.
        assert!(futures::FutureExt::now_or_never(body.frame()).is_none());
    }
    tokio::time::advance(Duration::from_secs(3601)).await;
    for body in [&mut open, &mut long] {
        let end = futures::FutureExt::now_or_never(body.frame());
        assert!(matches!(end, Some(None)), "{end:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_full_to_those_who_log_in_and_by_name_to_others() {
    let server = Server::start().await;
    let why = "cannot reach /var/run/docker.sock: no such file";
    server.host.set_engine(Err(why.to_owned()));
    let from = [10, 0, 0, 1];
    let stranger = ask(&server, "GET", "/readyz", from, &[], "").await;
    assert_eq!(stranger.code, 503);
    assert!(
        stranger.text.contains("docker") && !stranger.text.contains('/'),
        "{}",
        stranger.text
    );
    let wrong = [("authorization", "Bearer nope")];
    let wrong = ask(&server, "GET", "/readyz", from, &wrong, "").await;
    assert!(wrong.code == 503 && !wrong.text.contains('/'), "{}", wrong.text);
    let admin = ask(&server, "GET", "/readyz", from, &[ADMIN], "").await;
    assert!(admin.text.contains(why), "{}", admin.text);
}

/// Anyone may ask: what it costs must not grow with how often.
#[tokio::test]
async fn i12_however_often_readiness_is_asked_the_store_is_asked_once_a_second() {
    let server = Server::start().await;
    server.host.set_engine(Ok(()));
    let from = [10, 0, 0, 1];
    assert_eq!(ask(&server, "GET", "/readyz", from, &[], "").await.code, 200);
    tokio::time::pause();
    // From now on the store answers that its folder is gone.
    std::fs::remove_dir_all(server.folder.path()).unwrap();
    for _ in 0..50 {
        let answer = ask(&server, "GET", "/readyz", from, &[], "").await;
        assert_eq!(answer.code, 200, "it was asked again: {}", answer.text);
    }
    tokio::time::advance(Duration::from_millis(1100)).await;
    let answer = ask(&server, "GET", "/readyz", from, &[ADMIN], "").await;
    assert!(
        answer.code == 503 && answer.text.contains("store: "),
        "{}",
        answer.text
    );
}

async fn role_of(server: &Server, token: &str) -> u16 {
    head(server, "/audit", token).await.status().as_u16()
}

#[tokio::test]
async fn the_admin_token_can_be_rotated_end_and_be_revoked_where_another_admin_has_one() {
    let server = Server::start().await;
    let login = json!({"token": "admin-token"}).to_string();
    let page = ask(&server, "POST", "/auth/login", [10, 0, 0, 1], &[], &login).await;
    let cookie = page.headers["set-cookie"].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    let secret = page.json()["csrfToken"].as_str().unwrap().to_owned();
    let session = [("cookie", cookie), ("x-csrf-token", secret.as_str())];
    let audit = async || {
        ask(&server, "GET", "/audit", [10, 0, 0, 1], &session, "")
            .await
            .code
    };
    assert_eq!(audit().await, 200);

    let only = ask(
        &server,
        "DELETE",
        "/auth/tokens/admin",
        [10, 0, 0, 1],
        &[ADMIN],
        "",
    )
    .await;
    assert_eq!(only.code, 409, "{}", only.text);
    assert!(only.text.contains("--role admin"), "{}", only.text);
    let body = json!({"ttlSeconds": 3600}).to_string();
    let made = ask(
        &server,
        "POST",
        "/auth/tokens/admin/rotate",
        [10, 0, 0, 1],
        &[ADMIN],
        &body,
    )
    .await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert!(made.json()["expiresAt"].is_string());
    let second = made.json()["token"].as_str().unwrap().to_owned();
    let file = std::fs::read_to_string(server.folder.path().join(".secrets/admin-token")).unwrap();
    assert_eq!(file.trim(), second);
    assert_eq!(
        (
            role_of(&server, "admin-token").await,
            role_of(&server, &second).await
        ),
        (401, 200)
    );
    assert_eq!(audit().await, 401, "what the former one began has ended");

    let bearer = format!("Bearer {second}");
    let second_admin = [("authorization", bearer.as_str())];
    let wanted = json!({"name": "ada", "role": "admin"}).to_string();
    let ada = ask(
        &server,
        "POST",
        "/auth/tokens",
        [10, 0, 0, 1],
        &second_admin,
        &wanted,
    )
    .await;
    let ada = ada.json()["token"].as_str().unwrap().to_owned();
    let gone = ask(
        &server,
        "DELETE",
        "/auth/tokens/admin",
        [10, 0, 0, 1],
        &second_admin,
        "",
    )
    .await;
    assert_eq!(gone.code, 200, "{}", gone.text);
    assert_eq!(
        (role_of(&server, &second).await, role_of(&server, &ada).await),
        (401, 200)
    );
    let again = ask(
        &server,
        "DELETE",
        "/auth/tokens/ada",
        [10, 0, 0, 1],
        &second_admin,
        "",
    )
    .await;
    assert_eq!(again.code, 401);
}

#[tokio::test]
async fn a_rotated_token_keeps_its_name_role_and_end_and_its_former_secret_is_worth_nothing() {
    let server = Server::start().await;
    let first = make(&server, "anna", "viewer", Some(3600)).await;
    let made = server.ask("POST", "/auth/tokens/anna/rotate", None).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let row = made.json();
    assert_eq!((&row["name"], &row["role"]), (&json!("anna"), &json!("viewer")));
    assert!(row["expiresAt"].is_string());
    let second = row["token"].as_str().unwrap().to_owned();
    let reads = async |token: &str| head(&server, "/incidents", token).await.status().as_u16();
    assert_eq!((reads(&first).await, reads(&second).await), (401, 200));
    let none = server.ask("POST", "/auth/tokens/unknown/rotate", None).await;
    assert_eq!(none.code, 404, "{}", none.text);
    let audit = server.get("/audit").await.json().to_string();
    assert!(audit.contains("rotated") && !audit.contains(&second));
}

#[tokio::test]
async fn without_a_token_only_those_named_come_in() {
    let server = Server::with(crate::ServerConfig {
        anonymous_role: Some(Role::Viewer),
        anonymous_from: vec!["192.168.1.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()],
        ..config()
    })
    .await;
    let get = async |from: [u8; 4], headers: &[(&str, &str)]| {
        ask(&server, "GET", "/incidents", from, headers, "")
            .await
            .code
            .as_u16()
    };
    assert_eq!(
        (get([192, 168, 1, 7], &[]).await, get([192, 168, 2, 7], &[]).await),
        (200, 401)
    );
    assert_eq!(get([192, 168, 2, 7], &[ADMIN]).await, 200, "a token is a token");
    // What a stranger says of themselves counts for nothing.
    assert_eq!(
        get([192, 168, 2, 7], &[("x-forwarded-for", "192.168.1.7")]).await,
        401
    );
}
