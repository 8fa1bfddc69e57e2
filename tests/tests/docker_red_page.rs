//! Promise: neither a page that somebody has open beside the cockpit, nor a viewer's token or the webhook's, nor what is
//! stored gets further than it may: nothing is changed or read, bystanders run on, and controller and cockpit answer.

use std::net::SocketAddr;
use std::time::Duration;

use aegis_tests::api::http_client;
use aegis_tests::cockpit::{Browser, Cockpit};
use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::{Api, Container, Controller, World, eventually, manifests};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const GROUP: &str = "/apis/aegisops.io/v1alpha1/namespaces/default";
const VALUE: &str = "hunter2-of-the-workload";
const BYSTANDERS: &str = "hunter2-of-the-bystander";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// A controller with one workload, whose template has a secret, and a container that no resource names.
struct Stage {
    controller: Controller,
    api: Api,
    viewer: Api,
    bystander: Container,
    since: String,
    process: u32,
    workload: String,
    world: World,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let bystander = world.patient("bystander").env("SECRET", BYSTANDERS).start().await;
        let controller = world.controller().reachable_from_containers().start().await;
        let api = controller.api();
        let workload = world.name("web");
        let template = json!({"env": {"DB_PASSWORD": VALUE}});
        let mut object = manifests::templated(&workload, world.network(), 1, &template);
        let applied = object.to_string();
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": applied});
        api.apply(&object).await;
        api.workload_ready(&workload, 1).await;
        let viewer = controller.api_as(Some(&token(&api, "viewer").await));
        Self {
            since: bystander.started_at().await,
            process: controller.process_id(),
            controller,
            api,
            viewer,
            bystander,
            workload,
            world,
        }
    }

    /// Nothing happened to whom it does not concern: the same process answers, nothing is paused, and the containers are those
    /// there were.
    async fn is_untouched(&self) {
        assert_eq!(self.controller.process_id(), self.process);
        assert_eq!(self.api.get_ok("/automation").await["paused"], Value::Null);
        let object = self
            .api
            .object("Workload", &self.workload)
            .await
            .expect("it is there");
        assert_eq!(object["spec"]["replicas"], 1);
        assert_eq!(self.bystander.started_at().await, self.since);
        assert_eq!(self.world.replica_names(&self.workload).await.len(), 1);
    }
}

async fn token(api: &Api, role: &str) -> String {
    let (status, made) = api
        .post("/auth/tokens", &json!({"name": role, "role": role}))
        .await;
    assert_eq!(status, 201, "{made}");
    made["token"].as_str().expect("a token").to_owned()
}

/// The cookie of a session of this token, and the secret that a page keeps beside it.
async fn session(url: &str, token: &str) -> (String, String) {
    let login = http_client()
        .post(format!("{url}/auth/login"))
        .json(&json!({"token": token}));
    let answer = login.send().await.expect("an answer");
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let view: Value = answer.json().await.expect("JSON");
    let secret = view["csrfToken"].as_str().expect("a secret").to_owned();
    (cookie.split(';').next().unwrap_or_default().to_owned(), secret)
}

/// What is answered to these bytes, until the other side ends or says no more.
async fn wire(to: SocketAddr, bytes: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(to).await.expect("a connection");
    // It may end before all was sent.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The codes of the answers in it.
fn codes(answer: &str) -> Vec<&str> {
    let heads = answer.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|head| head.get(..3)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_changes_and_reads_nothing_with_the_cookie_of_an_admin() {
    let stage = Stage::new().await;
    let cockpit = Cockpit::start(&stage.world, stage.controller.launch().address()).await;
    let (direct, http) = (stage.controller.launch().url(""), http_client());
    let (cookie, secret) = session(&direct, &stage.controller.admin_token()).await;
    let host = cockpit.url.trim_end_matches(":3000");
    let origins = [
        format!("{host}:8000"),
        host.to_owned(),
        "http://evil.localhost:3000".to_owned(),
        "https://evil.example".to_owned(),
        format!("{}.evil.example", cockpit.url),
        "null".to_owned(),
    ];
    let scale = format!("{GROUP}/workloads/{}/scale", stage.workload);
    let tries = [
        ("GET", "/auth/session", "", ""),
        ("GET", "/ws", "", ""),
        ("POST", "/auth/logout", "text/plain", ""),
        ("POST", "/auth/once", "text/plain", ""),
        ("POST", "/auth/login", "text/plain", r#"{"token":"x"}"#),
        ("POST", "/automation/pause", "text/plain", r#"{"reason":"csrf"}"#),
        (
            "POST",
            "/automation/pause",
            "application/x-www-form-urlencoded",
            "reason=csrf",
        ),
        (
            "POST",
            "/automation/pause",
            "multipart/form-data; boundary=x",
            "--x--",
        ),
        ("POST", "/scale/up", "text/plain", "{}"),
        (
            "POST",
            "/webhook",
            "text/plain",
            r#"{"incident_id":"csrf","alert_type":"oom"}"#,
        ),
        ("PUT", scale.as_str(), JSON, r#"{"spec":{"replicas":3}}"#),
        ("DELETE", scale.as_str(), "", ""),
    ];
    for base in [format!("{}/api", cockpit.url), direct.clone()] {
        for origin in &origins {
            for (method, path, kind, body) in tries {
                let method: Method = method.parse().expect("a method");
                let request = http.request(method.clone(), format!("{base}{path}"));
                let request = request.header("cookie", &cookie).header("content-type", kind);
                let answer = request
                    .header("origin", origin)
                    .body(body)
                    .send()
                    .await
                    .expect("an answer");
                let (code, headers) = (answer.status().as_u16(), answer.headers().clone());
                let what = format!("{method} {base}{path} ({kind}) of {origin}: {code}");
                assert!(matches!(code, 401 | 403 | 405), "{what}");
                assert!(!headers.contains_key("access-control-allow-origin"), "{what}");
                assert_eq!(headers["x-frame-options"], "DENY", "{what}");
                let resources: Vec<_> = headers.get_all("cross-origin-resource-policy").iter().collect();
                assert_eq!(resources, ["same-origin"], "{what}");
            }
            // Who would ask first is allowed nothing.
            let asked = http
                .request(Method::OPTIONS, format!("{base}{scale}"))
                .header("origin", origin);
            let asked = asked.header("access-control-request-method", "PUT");
            let asked = asked
                .header("access-control-request-headers", "x-csrf-token")
                .send()
                .await
                .expect("an answer");
            assert!(
                !asked.headers().contains_key("access-control-allow-origin"),
                "{origin}"
            );
        }
        // A live connection is refused to other origins even where they knew the secret.
        let connect = http
            .get(format!("{base}/ws"))
            .header("cookie", &cookie)
            .header("origin", &origins[0]);
        let connect = connect
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        let connect = connect
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
        let connect = connect.header("sec-websocket-protocol", format!("aegis.session.{secret}"));
        assert_eq!(connect.send().await.expect("an answer").status(), 403, "{base}");
    }
    for (path, code) in [("/", 200), ("/assets/none.js", 404), ("/api/health%00", 400)] {
        let answer = http
            .get(format!("{}{path}", cockpit.url))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), code, "{path}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .expect("text");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'self'"),
            "{path}: {policy}"
        );
    }
    let own = http
        .get(format!("{direct}/auth/session"))
        .header("cookie", &cookie)
        .header("x-csrf-token", &secret);
    let own: Value = own.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(own["user"], "admin", "no page logged the admin out: {own}");
    stage.is_untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_s_token_and_the_webhook_s_become_no_more_and_read_no_value() {
    let stage = Stage::new().await;
    let (web, tried) = (
        format!("{GROUP}/workloads/{}", stage.workload),
        json!({"spec": {"replicas": 3}}).to_string(),
    );
    let changes = [
        ("POST", "/automation/pause", JSON, "{}"),
        ("POST", "/scale/up", JSON, "{}"),
        (
            "POST",
            "/webhook",
            JSON,
            r#"{"incident_id":"x","alert_type":"oom"}"#,
        ),
        ("POST", "/files/confirm", JSON, "{}"),
        ("POST", "/intake/test", JSON, "{}"),
        ("POST", "/notifications/test", JSON, "{}"),
        ("POST", "/auth/tokens", JSON, r#"{"name":"mine","role":"admin"}"#),
        ("POST", "/auth/tokens/viewer/rotate", JSON, "{}"),
        ("DELETE", "/auth/tokens/viewer", "", ""),
        ("GET", "/auth/tokens", "", ""),
        ("GET", "/audit", "", ""),
        ("GET", "/intake/unreadable", "", ""),
        ("PATCH", web.as_str(), MERGE, tried.as_str()),
        (
            "PATCH",
            web.as_str(),
            "application/apply-patch+yaml",
            tried.as_str(),
        ),
        (
            "PATCH",
            web.as_str(),
            "application/json-patch+json",
            r#"[{"op":"test","path":"/spec/replicas","value":1}]"#,
        ),
        ("PUT", web.as_str(), JSON, "{}"),
        ("DELETE", web.as_str(), "", ""),
    ];
    let below = ["/scale", "/status", "?dryRun=All"].map(|part| format!("{web}{part}"));
    let below = below
        .iter()
        .map(|path| ("PATCH", path.as_str(), MERGE, tried.as_str()));
    let webhook = stage.controller.api_as(Some(WEBHOOK_TOKEN));
    for (method, path, kind, body) in changes.into_iter().chain(below) {
        for (who, api) in [("viewer", &stage.viewer), ("webhook", &webhook)] {
            if (who, path) == ("webhook", "/webhook") {
                continue;
            }
            for more in [
                ("x-http-method-override", "GET"),
                ("x-remote-user", "admin"),
                ("x-forwarded-user", "admin"),
            ] {
                let request = api
                    .request(method.parse().expect("a method"), path)
                    .header("content-type", kind);
                let (code, answer) = api
                    .ask(request.header(more.0, more.1).body(body.to_owned()))
                    .await
                    .expect("an answer");
                assert_eq!(code, 403, "{who}: {method} {path}: {answer}");
            }
        }
    }
    for header in [
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-role",
    ] {
        let request = stage
            .viewer
            .request(Method::GET, "/auth/session")
            .header(header, "admin");
        assert_eq!(
            stage.viewer.ask(request).await.expect("an answer").0,
            403,
            "{header}"
        );
    }
    let (_, link) = stage
        .viewer
        .post("/auth/once", &json!({"role": "admin", "user": "admin"}))
        .await;
    assert_eq!(link["role"], "viewer", "{link}");
    for path in [
        "/incidents",
        "/metrics",
        "/containers",
        "/auth/session",
        web.as_str(),
        "/webhook/..%2fauth%2ftokens",
    ] {
        let code = webhook.get(path).await.0;
        assert!(
            matches!(code, 403 | 405) || (path, code) == ("/auth/session", 200),
            "webhook: GET {path}: {code}"
        );
    }
    reads_no_value(&stage).await;
    stage.is_untouched().await;
}

/// Whatever a viewer requests, and in whatever shape.
async fn reads_no_value(stage: &Stage) {
    // One that was meant as a text stands in what is said of its file.
    let file = stage.controller.state_dir().join("workloads/pin.yaml");
    std::fs::write(&file, format!("apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata: {{name: pin}}\nspec: {{replicas: 0, template: {{image: x, env: {{PIN: [{VALUE}]}}}}}}\n")).expect("a file");
    eventually("what is wrong with the file is known", async || {
        let files = stage.api.get_ok("/files").await;
        let faults = files["faults"].as_array().map_or(0, Vec::len);
        if faults > 0 {
            Ok(())
        } else {
            Err(files.to_string())
        }
    })
    .await;
    let list = format!("{GROUP}/workloads");
    let mut paths: Vec<String> = ["", "/status", "/log", "/scale"]
        .map(|part| format!("{list}/{}{part}", stage.workload))
        .into();
    paths.extend(
        [
            "/files",
            "/containers",
            "/metrics",
            "/metrics/history",
            "/topology",
            "/incidents",
            "/automation",
        ]
        .map(str::to_owned),
    );
    paths.extend(["/api/v1/events", "/notifications", "/runbook"].map(str::to_owned));
    paths.extend(
        [
            "",
            "?watch=1&timeoutSeconds=1",
            "?limit=1",
            "?includeObject=Object",
        ]
        .map(|query| format!("{list}{query}")),
    );
    for path in &paths {
        for shape in [
            "application/json",
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/yaml",
        ] {
            let request = stage.viewer.request(Method::GET, path).header("accept", shape);
            let (_, seen) = stage.viewer.ask(request).await.expect("an answer");
            let seen = seen.to_string();
            assert!(
                !seen.contains(VALUE) && !seen.contains(BYSTANDERS),
                "GET {path} as {shape}: {seen}"
            );
        }
    }
    for (guess, found) in [(VALUE, false), ("nope", false), ("•••", true)] {
        let path = format!("{list}?fieldSelector=spec.template.env.DB_PASSWORD%3D{guess}");
        let items = stage.viewer.get_ok(&path).await["items"].as_array().map(Vec::len);
        assert_eq!(items, Some(usize::from(found)), "{guess}");
    }
    let log = format!("{list}/{}/log?container={}", stage.workload, stage.bystander.name);
    assert_eq!(stage.viewer.get(&log).await.0, 400, "a log is the workload's own");
    std::fs::remove_file(file).expect("it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_between_browser_and_controller_takes_no_request_for_another() {
    let stage = Stage::new().await;
    let cockpit = Cockpit::start(&stage.world, stage.controller.launch().address()).await;
    let page: SocketAddr = cockpit
        .url
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let direct = stage.controller.launch().address();
    let h = "Host: localhost\r\n";
    let second = format!("GET /health HTTP/1.1\r\n{h}\r\n");
    let smuggled = [
        (
            "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG".to_owned(),
            "400",
        ),
        (
            format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{second}"),
            "400 501",
        ),
        (
            format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{second}"),
            "400 501",
        ),
        (
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{second}"),
            "400",
        ),
        (
            format!("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{second}"),
            "400",
        ),
        (
            format!("Content-Length: 0\r\nContent-Length: 44\r\n\r\n{second}"),
            "400",
        ),
        (format!("Content-Length: +0\r\n\r\n{second}"), "400"),
        (format!("X: a\r\n Authorization: x\r\n\r\n{second}"), "400"),
    ];
    for (to, prefix) in [(page, "/api"), (direct, "")] {
        for (rest, refused) in &smuggled {
            let answer = wire(to, &format!("POST {prefix}/auth/login HTTP/1.1\r\n{h}{rest}")).await;
            let codes = codes(&answer);
            assert!(
                codes.len() == 1 && refused.contains(codes[0]),
                "{to}: {rest:?}: {answer}"
            );
        }
        for (host, code) in [
            ("Host: evil.example\r\n", "421"),
            (
                "Host: evil.example\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n",
                "421",
            ),
            ("Host: localhost.evil.example\r\n", "421"),
            ("Host: localhost:80@evil.example\r\n", "421"),
            ("Host: evil.example\r\nHost: localhost\r\n", "400 421"),
            ("Host: evil.example\r\nCookie: aegis_session=x\r\n", "421"),
        ] {
            let answer = wire(
                to,
                &format!("GET {prefix}/health HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
            )
            .await;
            assert!(
                codes(&answer).iter().all(|found| code.contains(found)),
                "{to}: {host:?}: {answer}"
            );
        }
        let upgrade =
            format!("GET {prefix}/health HTTP/1.1\r\n{h}Upgrade: h2c\r\nConnection: close, Upgrade\r\n\r\n");
        assert_eq!(
            codes(&wire(to, &upgrade).await),
            ["200"],
            "{to}: no other protocol"
        );
        let trace = format!("TRACE {prefix}/health HTTP/1.1\r\n{h}X-Secret: s\r\nConnection: close\r\n\r\n");
        assert_eq!(codes(&wire(to, &trace).await), ["405"], "{to}: nothing is echoed");
    }
    // Only /api/ and /ws lead to the controller, and nothing leads out of the page's folder.
    for (path, ours) in [
        ("/api/../metrics", false),
        ("/api/%2e%2e/health", false),
        ("/API/health", false),
        ("/metrics", false),
        ("/assets/..%2f..%2f..%2fetc%2fpasswd", false),
        ("/assets../etc/passwd", false),
        ("/api//health", true),
        ("/ws/../api/health", true),
    ] {
        let answer = wire(
            page,
            &format!("GET {path} HTTP/1.1\r\n{h}Connection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.contains("GOD_MODE"), ours, "{path}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains("aegis_"),
            "{path}: {answer}"
        );
    }
    stage.is_untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_and_who_shares_the_address_goes_on() {
    let stage = Stage::new().await;
    let cockpit = Cockpit::start(&stage.world, stage.controller.launch().address()).await;
    let operator = stage
        .controller
        .api_as(Some(&token(&stage.api, "operator").await));
    let webhook = stage.controller.api_as(Some(WEBHOOK_TOKEN));
    let (deep, open) = (
        "[".repeat(200_000) + &"]".repeat(200_000),
        "{\"a\":".repeat(100_000),
    );
    let doubled: String = ('b'..='m')
        .zip('a'..)
        .map(|(to, of)| format!("{to}: &{to} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"))
        .collect();
    let bomb = format!("a: &a [x,x,x,x,x,x,x,x]\n{doubled}");
    let many: Vec<Value> = vec![json!({"metric": "Cpu", "percent": 50}); 9];
    let rows: Vec<Value> = (0..5000).map(|at| json!({"at": at, "cpuPercent": 90})).collect();
    let busy = json!({"autoscale": {"min": 1, "max": 4, "targets": many}, "trace": rows}).to_string();
    let (large, list) = ("A".repeat(3 << 20), format!("{GROUP}/workloads"));
    let plan = format!("{list}/{}/plan", stage.workload);
    for (api, path, kind, body, code) in [
        (&webhook, "/webhook", JSON, &deep, 422),
        (&webhook, "/webhook", JSON, &open, 422),
        (&webhook, "/webhook", JSON, &large, 413),
        (&stage.viewer, plan.as_str(), MERGE, &open, 400),
        (&stage.viewer, "/autoscale/simulate", JSON, &deep, 400),
        (&stage.viewer, "/autoscale/simulate", JSON, &busy, 400),
        (&operator, list.as_str(), "application/yaml", &bomb, 400),
        (&operator, list.as_str(), "application/yaml", &deep, 400),
    ] {
        let request = api
            .request(Method::POST, path)
            .header("content-type", kind)
            .body(body.clone());
        let answer = api.ask(request).await;
        // Who is refused before they have sent everything may see their connection end; and of the webhook's bodies values are
        // counted before they are read.
        let is_counted = path == "/webhook";
        assert!(
            answer.as_ref().map_or(code == 413, |(found, _)| *found == code
                || is_counted && *found == 413),
            "{path} {kind}: {answer:?}"
        );
    }
    // All who come by a published port share one address: slow ones and guesses stop none of them.
    let address = stage.controller.launch().address();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let head = format!("POST /auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Length: 4000\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        slow.push(stream);
    }
    let stranger = stage.controller.api_as(None);
    for _ in 0..20 {
        let (code, body) = stranger.post("/auth/login", &json!({"token": "guess"})).await;
        assert!(matches!(code, 401 | 429), "{code} {body}");
    }
    session(
        &stage.controller.launch().url(""),
        &stage.controller.admin_token(),
    )
    .await;
    drop(slow);
    // Cookies of other ports: for deeper paths, and more than fit a request.
    let (cookie, secret) = session(
        &stage.controller.launch().url(""),
        &stage.controller.admin_token(),
    )
    .await;
    let (junk, http) = (format!("aegis_session={}; ", "0".repeat(64)), http_client());
    let tossed = http
        .get(stage.controller.launch().url("/auth/session"))
        .header("x-csrf-token", secret);
    let tossed = tossed
        .header("cookie", format!("{}{cookie}", junk.repeat(40)))
        .send()
        .await
        .expect("an answer");
    assert_eq!(tossed.status(), 200);
    for path in ["/", "/api/health"] {
        let full = http
            .get(format!("{}{path}", cockpit.url))
            .header("cookie", format!("a={}", "A".repeat(40_000)));
        let full = full.send().await.expect("an answer");
        assert_eq!(full.status(), 431, "{path}");
        assert_eq!(
            full.headers()["clear-site-data"],
            "\"cookies\"",
            "{path}: the browser comes back by itself"
        );
        let next = http
            .get(format!("{}{path}", cockpit.url))
            .send()
            .await
            .expect("an answer");
        assert!(
            next.status() == 200 && !next.headers().contains_key("clear-site-data"),
            "{path}"
        );
    }
    stage.is_untouched().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_real_browser_a_hostile_page_and_hostile_texts_get_nothing() {
    let stage = Stage::new().await;
    let cockpit = Cockpit::start(&stage.world, stage.controller.launch().address()).await;
    let (_, link) = stage.viewer.post("/auth/once", &Value::Null).await;
    let mut browser = Browser::start(
        "hostile.mjs",
        &[
            ("COCKPIT_URL", &cockpit.url),
            ("ADMIN_TOKEN", &stage.controller.admin_token()),
            ("VIEWERS_LINK", link["path"].as_str().expect("a link")),
            ("WORKLOAD", &stage.workload),
        ],
    );
    assert_eq!(
        browser.asks(),
        None,
        "it requests nothing of this test, and ends well"
    );
    stage.is_untouched().await;
}
