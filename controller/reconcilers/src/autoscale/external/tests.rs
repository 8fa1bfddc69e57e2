//! What other systems answer, read over a real connection on this machine.

use super::*;

fn target(yaml: &str) -> AutoscaleTarget {
    let value = aegis_api::yaml::parse(yaml).unwrap().remove(0).value;
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_clock_that_was_set_back_puts_off_no_request_and_keeps_no_number() {
    let at = |text: &str| text.parse::<Time>().unwrap();
    let known = Known {
        last: Some((at("2026-01-31T13:00:00Z"), Ok(7.0))),
        ..Known::default()
    };
    let now = at("2026-01-31T12:00:00Z");
    assert!(known.is_due(now));
    assert!(
        matches!(known.reading("targets[0]", now), Reading::Missing(_)),
        "{:?}",
        known.reading("targets[0]", now)
    );
}

#[test]
fn a_number_is_read_as_text_from_json_and_from_what_prometheus_answers() {
    let plain = target("{metric: External, value: 1, url: 'http://q/n'}");
    let field = target("{metric: External, value: 1, url: 'http://q/n', field: /queue/length}");
    let query = target("{metric: External, value: 1, prometheus: 'http://p:9090/', query: 'sum(up) > 1'}");
    let vector =
        |rows: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}}}"#);
    let row = r#"{"metric":{},"value":[1900000000,"12.5"]}"#;
    for (target, text, expected) in [
        (&plain, "12.5\n", Ok(12.5)),
        (&plain, "-1", Err("0 or more")),
        (&plain, "NaN", Err("0 or more")),
        (&plain, "<html>", Err("not a number")),
        (&field, r#"{"queue": {"length": 7}}"#, Ok(7.0)),
        (&field, r#"{"queue": {"length": "7"}}"#, Ok(7.0)),
        (
            &field,
            r#"{"queue": {}}"#,
            Err("field: its answer has no /queue/length"),
        ),
        (&field, "7", Err("no /queue/length")),
        (&query, &vector(row), Ok(12.5)),
        (
            &query,
            r#"{"data":{"resultType":"scalar","result":[1,"3"]}}"#,
            Ok(3.0),
        ),
        (&query, &vector(""), Err("query: it answers 0 series")),
        (
            &query,
            &vector(&format!("{row},{row}")),
            Err("query: it answers 2 series"),
        ),
        (
            &query,
            r#"{"data":{"resultType":"scalar","result":[1,"+Inf"]}}"#,
            Err("query: it answers inf"),
        ),
    ] {
        let found = number(target, text);
        match expected {
            Ok(expected) => assert_eq!(found, Ok(expected), "{text}"),
            Err(words) => assert!(
                found.as_ref().is_err_and(|why| why.contains(words)),
                "{text}: {found:?}"
            ),
        }
    }
    assert_eq!(
        address(&query).unwrap().as_str(),
        "http://p:9090/api/v1/query?query=sum%28up%29+%3E+1"
    );
}

/// What the server does with a request.
#[derive(Clone)]
pub(in crate::autoscale) enum Reply {
    /// Answers this, as it stands, and closes.
    Whole(String),
    /// Answers so many bytes of a body that goes on for longer.
    Endless(usize),
    /// Answers this, and then nothing for good.
    HalfOf(String),
}

pub(in crate::autoscale) fn ok(body: &str) -> Reply {
    status("200 OK", body)
}

pub(in crate::autoscale) fn status(line: &str, body: &str) -> Reply {
    Reply::Whole(format!(
        "HTTP/1.1 {line}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// An HTTP server on this machine that notes down what it is sent.
pub(in crate::autoscale) struct System {
    address: std::net::SocketAddr,
    reply: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl System {
    pub(in crate::autoscale) async fn start(reply: Reply) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reply, seen) = (Arc::new(Mutex::new(reply)), Arc::new(Mutex::new(Vec::new())));
        let (says, notes) = (Arc::clone(&reply), Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let reply = lock(&says).clone();
                connections.spawn(answer(connection, reply, Arc::clone(&notes)));
            }
        });
        Self {
            address,
            reply,
            seen,
            _serving: serving,
        }
    }

    pub(in crate::autoscale) fn url(&self) -> String {
        format!("http://{}/queue", self.address)
    }

    /// From now on.
    pub(in crate::autoscale) fn says(&self, reply: Reply) {
        *lock(&self.reply) = reply;
    }

    fn seen(&self) -> Vec<String> {
        lock(&self.seen).clone()
    }
}

async fn answer(mut connection: tokio::net::TcpStream, reply: Reply, seen: Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match connection.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    lock(&seen).push(String::from_utf8(head).unwrap());
    // A client that has enough hangs up: that is its good right.
    match reply {
        Reply::Whole(text) => drop(connection.write_all(text.as_bytes()).await),
        Reply::HalfOf(text) => {
            let _ = connection.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Reply::Endless(bytes) => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = connection.write_all(head).await;
            let _ = connection.write_all(format!("{bytes:x}\r\n").as_bytes()).await;
            let _ = connection.write_all("7".repeat(bytes).as_bytes()).await;
            std::future::pending::<()>().await;
        }
    }
}

/// A reader with a secrets folder of its own.
struct Rig {
    context: Context,
    externals: Externals,
    _folders: [tempfile::TempDir; 2],
}

impl Rig {
    async fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::write(secrets.path().join("queue"), "s3cret\n").unwrap();
        let settings = crate::context::Settings {
            secrets: secrets.path().to_owned(),
            ..crate::context::Settings::default()
        };
        let engine = aegis_docker_fake::FakeEngine::default();
        let (context, state) = crate::context::tests::over(&engine, settings).await;
        Self {
            context,
            externals: Externals::default(),
            _folders: [secrets, state],
        }
    }

    /// The reading of the only External target, behind another one, once its request has ended. Time stands still, until a
    /// system that is `silent` was requested.
    async fn read(&self, fields: &str, mut silent: Option<&System>) -> Reading {
        let text = format!(
            "{{min: 1, max: 9, targets: [{{metric: Cpu, percent: 50}}, {{metric: External, value: 1, {fields}}}]}}"
        );
        let value = aegis_api::yaml::parse(&text).unwrap().remove(0).value;
        let spec: Autoscale = serde_json::from_value(value).unwrap();
        let begun = lock(&self.externals.kept).len();
        let read = || self.externals.read(&self.context, &spec).remove(0);
        read();
        assert!(
            lock(&self.externals.kept).len() > begun,
            "it is a target of its own"
        );
        // Each turn lets sockets and files go on.
        for _ in 0..2_000_000 {
            if lock(&self.externals.kept).values().all(|known| !known.under_way) {
                let (index, reading) = read();
                assert_eq!(index, 1);
                return reading;
            }
            if silent.take_if(|system| !system.seen().is_empty()).is_some() {
                tokio::time::advance(TIMEOUT).await;
            }
            tokio::task::yield_now().await;
        }
        panic!("no answer to {fields}");
    }
}

fn number_of(reading: &Reading) -> Option<f64> {
    match reading {
        Reading::Total { now, .. } => Some(*now),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_comes_over_http_with_its_token_and_from_prometheus_with_its_query() {
    let (system, rig) = (System::start(ok("42.5\n")).await, Rig::new().await);
    let url = system.url();
    let plain = rig.read(&format!("url: '{url}'"), None).await;
    assert_eq!(number_of(&plain), Some(42.5), "{plain:?}");
    let with_token = rig
        .read(&format!("url: '{url}', tokenValueFrom: {{file: queue}}"), None)
        .await;
    assert_eq!(number_of(&with_token), Some(42.5), "{with_token:?}");
    system.says(ok(r#"{"queues": [{"length": 7}]}"#));
    let field = rig
        .read(&format!("url: '{url}', field: /queues/0/length"), None)
        .await;
    assert_eq!(number_of(&field), Some(7.0), "{field:?}");
    system.says(ok(
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1900000000,"12.5"]}]}}"#,
    ));
    let base = format!("http://{}/", system.address);
    let query = rig
        .read(
            &format!("prometheus: '{base}', query: 'sum(rate(jobs_total[1m]))'"),
            None,
        )
        .await;
    assert_eq!(number_of(&query), Some(12.5), "{query:?}");
    let seen: Vec<String> = system
        .seen()
        .iter()
        .map(|head| head.to_ascii_lowercase())
        .collect();
    assert!(
        seen[0].starts_with("get /queue http/1.1\r\n") && !seen[0].contains("authorization"),
        "{seen:?}"
    );
    assert!(
        seen[1].contains("\r\nauthorization: bearer s3cret\r\n"),
        "{seen:?}"
    );
    assert!(
        seen[3].starts_with("get /api/v1/query?query=sum%28rate%28jobs_total%5b1m%5d%29%29 http/1.1\r\n"),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_a_number_is_named_with_its_field() {
    let elsewhere = System::start(ok("1")).await;
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 1\r\nconnection: close\r\n\r\n1",
        elsewhere.url()
    );
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1".to_owned();
    let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#;
    let (url, prometheus) = (
        "url: 'http://ADDRESS/queue'",
        "prometheus: 'http://ADDRESS', query: up",
    );
    let field = "url: 'http://ADDRESS/queue', field: /n";
    let token = "url: 'http://ADDRESS/queue', tokenValueFrom: {file: none}";
    for (fields, reply, words) in [
        (
            url,
            Reply::Whole(moved.clone()),
            "url: HTTP 302: redirects are not followed",
        ),
        (
            prometheus,
            Reply::Whole(moved),
            "prometheus: HTTP 302: redirects are not followed",
        ),
        (url, status("500 Internal Server Error", "42"), "url: HTTP 500"),
        (url, status("503 Service Unavailable", "42"), "url: HTTP 503"),
        (url, status("401 Unauthorized", "42"), "url: HTTP 401"),
        (
            prometheus,
            status("503 Service Unavailable", ""),
            "prometheus: HTTP 503",
        ),
        (
            prometheus,
            status("400 Bad Request", refused),
            "query: HTTP 400: parse error: unexpected end",
        ),
        (
            url,
            Reply::Endless(ANSWER + 1),
            "url: its answer is longer than 65536 bytes",
        ),
        (url, Reply::HalfOf(String::new()), "url: no answer within 5 s"),
        (url, Reply::HalfOf(half), "url: no answer within 5 s"),
        (
            url,
            ok("many"),
            "url: it answers \"many\", not a number of 0 or more",
        ),
        (url, ok(""), "url: it answers \"\", not a number of 0 or more"),
        (url, ok("-3"), "url: it answers \"-3\", not a number of 0 or more"),
        (
            field,
            ok("{\"n\": true}"),
            "field: it answers \"{\\\"n\\\": true}\", not a number of 0 or more",
        ),
        (field, ok("{}"), "field: its answer has no /n"),
        (field, ok("7 8"), "url: it answers \"7 8\", not JSON"),
        (
            prometheus,
            ok("up 1"),
            "prometheus: it answers \"up 1\", not what Prometheus answers",
        ),
        (
            prometheus,
            ok(r#"{"data":{"resultType":"matrix","result":[]}}"#),
            "query: it answers no number",
        ),
        (
            token,
            ok("1"),
            "tokenValueFrom: none: there is no such file in the secrets folder",
        ),
    ] {
        let (system, rig) = (System::start(reply).await, Rig::new().await);
        let fields = fields.replace("ADDRESS", &system.address.to_string());
        let is_silent = matches!(*lock(&system.reply), Reply::HalfOf(_));
        let reading = rig.read(&fields, is_silent.then_some(&system)).await;
        let Reading::Missing(why) = &reading else {
            panic!("{fields}: {reading:?}");
        };
        assert_eq!(
            why,
            &format!("cannot be measured: targets[1].{words}"),
            "{fields}"
        );
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new(), "no redirect leads there");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_as_many_bytes_as_are_read_is_read() {
    let text = format!("{}7", " ".repeat(ANSWER - 1));
    let (system, rig) = (System::start(ok(&text)).await, Rig::new().await);
    let reading = rig.read(&format!("url: '{}'", system.url()), None).await;
    assert_eq!(number_of(&reading), Some(7.0), "{reading:?}");
}
