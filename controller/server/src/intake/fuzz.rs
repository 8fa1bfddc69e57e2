//! Mutated bodies of every sender: nothing panics, nothing is answered with 5xx, everything that comes out is bounded. 100,000
//! bodies, or as many as `AEGIS_FUZZ_BODIES` says (`make fuzz`: a million); the same ones in each run. Where that is set, memory is
//! measured, too: no other tests are in the process then.

use aegis_api::alert_source::Mapping;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::body::content;
use super::ours;
use super::sender::Sender;
use super::tests::{FIXTURES, create, sources};
use crate::compat::{Alert, Known};
use crate::testing::{Answer, Server, config};

const BODIES: u64 = 100_000;
/// In so many rounds, after each of which memory is measured.
const ROUNDS: u64 = 4;
/// Of these so many go through the whole server.
const WHOLE: u64 = 2_000;

/// Bodies that are not of one sender's format alone: ours in every form, and what others are packed in.
const MORE: [&str; 5] = [
    r#"{"incident_id": "i-1", "alert_type": "HighMemory", "container_name": "web", "severity": "critical", "logs": ["a", "b"],
        "timestamp": "2026-11-29T10:00:00Z", "status": "firing", "details": {"message": "m", "deep": {"n": 1.5}}}"#,
    r#"[{"incident_id": "i-1", "alert_type": "Slow", "container_name": "web"},
        {"incident_id": "i-2", "alert_type": "Slow", "container": "db", "status": "resolved"}]"#,
    "{\"incident_id\":\"i-1\",\"alert_type\":\"Slow\"}\n{\"incident_id\":\"i-2\",\"alert_type\":\"Slow\",\"status\":\"ok\"}\n",
    r#"{"Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms", "Subject": "ALARM: web",
        "Message": "{\"AlarmName\": \"web\", \"NewStateValue\": \"ALARM\", \"incident_id\": \"i-1\", \"alert_type\": \"Slow\"}",
        "Timestamp": "2026-11-29T10:00:00.000Z"}"#,
    "--payload\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{\"incident_id\":\"i-1\",\"alert_type\":\"Slow\"}\r\n--payload--\r\n",
];

/// A body to mutate.
fn seed(random: &mut StdRng) -> &'static str {
    let at = random.random_range(0..FIXTURES.len() + MORE.len());
    let more = at.checked_sub(FIXTURES.len());
    more.map_or_else(|| FIXTURES[at].1, |more| MORE[more])
}

#[test]
fn every_body_that_is_mutated_is_one_that_is_read() {
    let mapping = mapping();
    let headers = header_map(&[("content-type", "multipart/form-data; boundary=payload")]);
    for body in MORE {
        assert!(read_by_all(&headers, body.as_bytes(), &mapping) > 0, "{body}");
    }
}

/// What breaks readers.
const TOKENS: [&str; 38] = [
    "--payload\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
    "\"TopicArn\":\"x\",\"MessageId\":\"y\",\"Message\":\"{}\",",
    "}\n{",
    "{\"incident_id\":\"x\",\"alert_type\":\"y\"}",
    "null",
    "NaN",
    "-Infinity",
    "1e999",
    "-1",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"a\":",
    "\\ud83d",
    "\\u0000",
    "\\",
    "\"",
    ",",
    ":",
    "}",
    "]",
    "\u{feff}",
    "\u{0}",
    "\u{7f}",
    "é",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "\"alerts\":",
    "\"labels\":",
    "\"status\":\"resolved\",",
    "\"incident_id\":\"x\",",
    "\"alert_type\":\"y\",",
    "\"specversion\":\"1.0\",",
    "\"container\":\"../../etc\",",
    "payload=%7B%7D&",
    "\u{202e}",
];
const HEADERS: [(&str, &str); 11] = [
    ("content-type", "multipart/form-data; boundary=payload"),
    ("content-encoding", "gzip"),
    ("content-encoding", "deflate"),
    ("content-encoding", "gzip, gzip, gzip"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "application/cloudevents+json"),
    ("content-type", ""),
    ("ce-specversion", "1.0"),
    ("ce-type", "%ff%fe%"),
    ("ce-source", "\"%\""),
    ("ce-time", "soon"),
];

fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut body = seed(random).as_bytes().to_vec();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=body.len());
        let to = random.random_range(at..=body.len().min(at + 64));
        match random.random_range(0..9) {
            0 if at < body.len() => body[at] = random.random(),
            1 if at < body.len() => body[at] ^= 1 << random.random_range(0..8),
            2 => body.truncate(at),
            3 => drop(body.drain(at..to)),
            4 => {
                let part = body[at..to].to_vec();
                for _ in 0..random.random_range(1..20) {
                    body.splice(at..at, part.iter().copied());
                }
            }
            5 => {
                let other = seed(random).as_bytes();
                let from = random.random_range(0..other.len());
                let end = random.random_range(from..=other.len());
                body.splice(at..to, other[from..end].iter().copied());
            }
            6 => {
                let depth = random.random_range(1..300);
                body.splice(at..at, std::iter::repeat_n(b'[', depth));
            }
            7 if random.random_range(0..4) == 0 => body = super::tests::gzip(&body),
            _ => {
                let token = TOKENS[random.random_range(0..TOKENS.len())].as_bytes();
                body.splice(at..to.min(at + 8), token.iter().copied());
            }
        }
        body.truncate(64 << 10);
    }
    body
}

fn headers(random: &mut StdRng) -> Vec<(&'static str, &'static str)> {
    let count = random.random_range(0..6_usize).saturating_sub(3);
    (0..count)
        .map(|_| HEADERS[random.random_range(0..HEADERS.len())])
        .collect()
}

fn mapping() -> Mapping {
    serde_json::from_value(json!({"alertType": ["$..title", "$.msg", "$.trigger", "odd"], "id": ["$..id"], "status": ["$..status"],
        "container": ["$..name"], "labels": ["$..labels", "$..tags"], "logs": ["$..*"], "startsAt": ["$..startsAt"]}))
    .unwrap()
}

/// Reads a body as every sender's; answers how many alerts came of it.
fn read_by_all(headers: &HeaderMap, body: &[u8], mapping: &Mapping) -> usize {
    let known = Known {
        workloads: &[],
        containers: &[],
    };
    let now = "2026-11-29T10:00:00Z".parse().unwrap();
    let Ok(content) = content(headers, body) else {
        return 0;
    };
    let guess = Sender::recognised(headers, &content.value);
    let mut alerts = Vec::new();
    let several = ours::several(&content, "target", known, now);
    alerts.extend(several.into_iter().flatten().take(50).flatten());
    alerts.extend(Alert::read(content.text.as_bytes(), "target", known, now));
    for sender in [
        guess,
        Sender::Alertmanager,
        Sender::Grafana,
        Sender::PagerDuty,
        Sender::CloudEvents,
        Sender::Mapped,
    ] {
        let reports = sender.read(&content.value, Some(mapping));
        for report in reports
            .into_iter()
            .flat_map(|reports| reports.all)
            .take(50)
            .flatten()
        {
            alerts.extend(Alert::of(report, "webhook", "x", "target", known, now));
        }
    }
    for alert in &alerts {
        let size = alert
            .labels
            .iter()
            .map(|(name, text)| name.len() + text.len())
            .sum::<usize>();
        assert!(alert.incident_id.chars().count() <= 256 && !alert.incident_id.is_empty());
        assert!(alert.alert_type.chars().count() <= 256);
        assert!(alert.logs.chars().count() <= 16_384 && alert.url.chars().count() <= 2048);
        assert!(size <= 64 * (2048 + 512), "{size}");
    }
    alerts.len()
}

/// How many alerts come of so many bodies.
fn read_many(random: &mut StdRng, bodies: u64) -> usize {
    let mapping = mapping();
    let read = |_| {
        let (headers, body) = (headers(random), mutated(random));
        read_by_all(&header_map(&headers), &body, &mapping)
    };
    (0..bodies).map(read).sum()
}

/// What of this process is in memory.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn header_map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

#[test]
fn i11_no_mutated_body_of_any_sender_panics_a_reader_or_grows_beyond_its_bounds() {
    let wanted = std::env::var("AEGIS_FUZZ_BODIES").ok();
    let bodies = wanted.as_ref().map_or(BODIES, |text| text.parse().unwrap());
    let threads = 2;
    let each = bodies.div_ceil(threads * ROUNDS);
    let mut random: Vec<StdRng> = (0..threads)
        .map(|thread| StdRng::seed_from_u64(18 + thread))
        .collect();
    let (mut counts, mut resident): (Vec<usize>, Vec<u64>) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        std::thread::scope(|scope| {
            let spawn = |random| scope.spawn(move || read_many(random, each));
            let running: Vec<_> = random.iter_mut().map(spawn).collect();
            counts.extend(running.into_iter().map(|thread| thread.join().unwrap()));
        });
        resident.push(resident_kb());
    }
    if wanted.is_some() {
        // The first round fills what allocators keep.
        assert!(
            resident[resident.len() - 1] <= resident[0] + 16 * 1024,
            "kB resident, round by round: {resident:?}"
        );
    }
    // Otherwise nothing was looked at but the first brace.
    let alerts = u64::try_from(counts.iter().sum::<usize>()).unwrap();
    assert!(alerts > bodies / 10, "{alerts} alerts of {bodies} bodies");
}

#[tokio::test(flavor = "multi_thread")]
async fn i11_no_mutated_body_is_answered_with_5xx() {
    let server = Server::with(crate::ServerConfig {
        alerts_per_second: 100_000,
        open_incidents: 100_000,
        ..config()
    })
    .await;
    create(&server, "Workload", "web", json!({"container": "web"})).await;
    sources(&server).await;
    let mut random = StdRng::seed_from_u64(18);
    let paths = [
        "/webhook",
        "/webhook/alertmanager",
        "/webhook/grafana",
        "/webhook/pagerduty",
        "/webhook/cloudevents",
        "/webhook/sentry",
        "/webhook/kuma",
        "/webhook/zabbix",
        "/webhook/cellar",
        "/webhook/aegisops",
    ];
    let wanted = std::env::var("AEGIS_FUZZ_BODIES");
    let whole = wanted.map_or(WHOLE, |text| text.parse::<u64>().unwrap() / 50);
    for n in 0..whole {
        let (headers, body) = (headers(&mut random), mutated(&mut random));
        let path = paths[random.random_range(0..paths.len())];
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", "Bearer webhook-token");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = Answer::of(server.send(request.body(Body::from(body)).unwrap()).await).await;
        assert!(
            answer.code.as_u16() < 500,
            "{n} {path} {headers:?}: {} for {shown}",
            answer.text
        );
    }
}
