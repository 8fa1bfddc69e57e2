//! The HTTP surface: health, an ordinary request, and a route for each fault. Faults take GET and POST alike.
//!
//! `/trigger_hang` hangs `/health` alone: its connections are accepted and never answered; everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cgroup::{Meter, Source};
use crate::faults::{self, Faults};
use crate::params::{Params, Ratio, Whole, refused};

/// A database that needs this long.
const DB_LATENCY: Duration = Duration::from_secs(5);
/// Between the answer and the end of the process in `/trigger_crash`: the answer has to get out.
const CRASH_AFTER: Duration = Duration::from_millis(100);
const CRASH_CODE: i32 = 1;

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) faults: Arc<Faults>,
    pub(crate) meter: Meter,
    pub(crate) container_name: String,
    pub(crate) hostname: String,
    pub(crate) started_at: Timestamp,
    /// True once the process is asked to end.
    pub(crate) ending: watch::Receiver<bool>,
}

type Shared = State<Arc<App>>;

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", any(hello))
        .route("/health", get(health))
        .route("/trigger_memory", get(trigger_memory).post(trigger_memory))
        .route("/trigger_cpu", get(trigger_cpu).post(trigger_cpu))
        .route(
            "/trigger_db_latency",
            get(trigger_db_latency).post(trigger_db_latency),
        )
        .route("/trigger_crash", get(trigger_crash).post(trigger_crash))
        .route("/trigger_hang", get(trigger_hang).post(trigger_hang))
        .route("/trigger_errors", get(trigger_errors).post(trigger_errors))
        .route("/trigger_slow", get(trigger_slow).post(trigger_slow))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "Not Found") })
        .with_state(app)
}

#[derive(Debug, Serialize)]
struct Message {
    message: String,
}

fn message(text: impl Into<String>) -> Response {
    Json(Message { message: text.into() }).into_response()
}

#[derive(Debug, Serialize)]
struct Hello<'a> {
    message: &'static str,
    hostname: &'a str,
    container_name: &'a str,
}

#[derive(Debug, Default, Deserialize)]
struct Work {
    /// How long this one request takes, beside what the faults add.
    takes_ms: Option<Whole<0, 60_000>>,
    /// How much CPU time it uses: under a CPU limit it takes the longer, the more others there are.
    works_ms: Option<Whole<0, 1_000>>,
}

/// The ordinary request: as slow as it requests, slowed down and failed as the faults say.
async fn hello(State(app): Shared, Params(work): Params<Work>) -> Response {
    let takes = work.takes_ms.map_or(0, Whole::get);
    if let Some(works) = work.works_ms {
        let length = Duration::from_millis(works.get());
        if tokio::task::spawn_blocking(move || faults::work(length))
            .await
            .is_err()
        {
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "the work was cut short");
        }
    }
    tokio::time::sleep(app.faults.delay() + Duration::from_millis(takes)).await;
    if app.faults.next_request_fails() {
        return refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed on purpose (/trigger_errors)",
        );
    }
    Json(Hello {
        message: "hello",
        hostname: &app.hostname,
        container_name: &app.container_name,
    })
    .into_response()
}

#[derive(Debug, Serialize)]
struct Health<'a> {
    status: &'static str,
    hostname: &'a str,
    pid: u32,
    started_at: Timestamp,
    memory_usage_mb: f64,
    memory_limit_mb: f64,
    memory_percent: f64,
    memory_source: Source,
}

async fn health(State(app): Shared) -> Response {
    if app.faults.is_hung() {
        // Until the process is to end: a connection that never closes would hold that up.
        // The sender lives as long as the server; should it be gone, so is the reason to wait.
        let _ = app.ending.clone().wait_for(|ending| *ending).await;
        return refused(StatusCode::SERVICE_UNAVAILABLE, "ending");
    }
    match app.meter.read() {
        Ok(reading) => Json(Health {
            status: "ok",
            hostname: &app.hostname,
            pid: std::process::id(),
            started_at: app.started_at,
            memory_usage_mb: reading.used_mb(),
            memory_limit_mb: reading.limit_mb(),
            memory_percent: reading.percent(),
            memory_source: reading.source,
        })
        .into_response(),
        Err(error) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("cannot read my memory usage: {error}"),
        ),
    }
}

#[derive(Debug, Serialize)]
struct MemoryTaken {
    message: String,
    current_memory_usage_mb: f64,
}

async fn trigger_memory(State(app): Shared) -> Response {
    let chunks = app.faults.hoard_chunk();
    match app.meter.read() {
        Ok(reading) => {
            tracing::warn!(
                chunks,
                used_mb = reading.used_mb(),
                percent = reading.percent(),
                "took 10 MB of memory"
            );
            let message = format!("took 10 MB, {} MB so far", chunks.saturating_mul(10));
            Json(MemoryTaken {
                message,
                current_memory_usage_mb: reading.used_mb(),
            })
            .into_response()
        }
        Err(error) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("cannot read my memory usage: {error}"),
        ),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cpu {
    /// 10 unless given.
    seconds: Option<Whole<1, 300>>,
}

async fn trigger_cpu(State(app): Shared, Params(cpu): Params<Cpu>) -> Response {
    let seconds = cpu.seconds.map_or(10, Whole::get);
    let Some(burner) = app.faults.claim_burner() else {
        return refused(
            StatusCode::TOO_MANY_REQUESTS,
            "as many threads as allowed burn CPU already",
        );
    };
    let thread = std::thread::Builder::new().name("burner".to_owned());
    match thread.spawn(move || burner.burn(Duration::from_secs(seconds))) {
        Ok(_) => {
            tracing::warn!(seconds, "burning CPU");
            message(format!("burning one CPU for {seconds} s"))
        }
        Err(error) => refused(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("cannot start a thread: {error}"),
        ),
    }
}

#[derive(Debug, Serialize)]
struct Latency {
    message: &'static str,
    latency_seconds: u64,
}

async fn trigger_db_latency() -> Response {
    tracing::warn!(seconds = DB_LATENCY.as_secs(), "slow database query");
    tokio::time::sleep(DB_LATENCY).await;
    Json(Latency {
        message: "the database answered late",
        latency_seconds: DB_LATENCY.as_secs(),
    })
    .into_response()
}

async fn trigger_crash() -> Response {
    tracing::error!(exit_code = CRASH_CODE, "crashing on purpose");
    tokio::spawn(async {
        tokio::time::sleep(CRASH_AFTER).await;
        std::process::exit(CRASH_CODE);
    });
    message("crashing now")
}

async fn trigger_hang(State(app): Shared) -> Response {
    tracing::error!("/health hangs from now on");
    app.faults.hang();
    message("/health will not answer until this process is restarted")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Errors {
    ratio: Ratio,
}

async fn trigger_errors(State(app): Shared, Params(errors): Params<Errors>) -> Response {
    app.faults.set_error_ratio(errors.ratio);
    tracing::warn!(
        ratio = errors.ratio.get(),
        "failing this share of ordinary requests"
    );
    message(match errors.ratio {
        Ratio::NONE => "requests are answered again".to_owned(),
        ratio => format!("this share of the requests to / is answered 500: {}", ratio.get()),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    ms: Whole<0, 60_000>,
}

async fn trigger_slow(State(app): Shared, Params(slow): Params<Slow>) -> Response {
    let ms = slow.ms.get();
    app.faults.set_delay(Duration::from_millis(ms));
    tracing::warn!(ms, "delaying ordinary requests");
    message(format!("requests to / are delayed by {ms} ms"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    fn app() -> (Router, watch::Sender<bool>) {
        let (end, ending) = watch::channel(false);
        let app = App {
            faults: Arc::default(),
            meter: Meter::of_this_process(),
            container_name: "buggy-app-v2".to_owned(),
            hostname: "replica-1".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            ending,
        };
        (router(Arc::new(app)), end)
    }

    async fn ask(app: &Router, method: &str, path: &str) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    #[tokio::test]
    async fn health_reports_memory_process_and_start() {
        let (app, _end) = app();
        let (status, body) = ask(&app, "GET", "/health").await;
        assert_eq!((status, &body["status"]), (200, &Value::from("ok")));
        assert_eq!(body["started_at"], "1970-01-01T00:00:00Z");
        assert!(body["pid"].is_u64() && body["memory_limit_mb"].is_f64(), "{body}");
    }

    #[tokio::test]
    async fn memory_is_taken_by_get_and_post() {
        let (app, _end) = app();
        for method in ["GET", "POST"] {
            let (status, body) = ask(&app, method, "/trigger_memory").await;
            assert_eq!(status, 200);
            assert!(
                body["message"].is_string() && body["current_memory_usage_mb"].is_f64(),
                "{body}"
            );
        }
    }

    #[tokio::test]
    async fn bad_parameters_are_refused_by_name() {
        let (app, _end) = app();
        for (path, named) in [
            ("/trigger_errors", "ratio"),
            ("/trigger_errors?ratio=2", "ratio: must be a number from 0 to 1"),
            (
                "/trigger_slow?ms=soon",
                "ms: must be a whole number from 0 to 60000, not \"soon\"",
            ),
            (
                "/trigger_cpu?seconds=0",
                "seconds: must be a whole number from 1 to 300",
            ),
            ("/trigger_cpu?minutes=1", "minutes"),
        ] {
            let (status, body) = ask(&app, "GET", path).await;
            assert_eq!(status, 422, "{path}");
            assert!(body["detail"].as_str().unwrap().contains(named), "{path}: {body}");
        }
    }

    #[tokio::test]
    async fn errors_hit_ordinary_requests_and_nothing_else() {
        let (app, _end) = app();
        assert_eq!(ask(&app, "POST", "/trigger_errors?ratio=1").await.0, 200);
        assert_eq!(ask(&app, "GET", "/").await.0, 500);
        assert_eq!(ask(&app, "GET", "/health").await.0, 200);
        assert_eq!(ask(&app, "POST", "/trigger_errors?ratio=0").await.0, 200);
        assert_eq!(ask(&app, "GET", "/").await.1["hostname"], "replica-1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_service_answers_late() {
        let (app, _end) = app();
        ask(&app, "POST", "/trigger_slow?ms=700").await;
        let before = tokio::time::Instant::now();
        assert_eq!(ask(&app, "GET", "/").await.0, 200);
        assert_eq!(before.elapsed().as_millis(), 700);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_health_answers_only_when_the_process_ends() {
        let (app, end) = app();
        ask(&app, "POST", "/trigger_hang").await;
        let asking = ask(&app, "GET", "/health");
        tokio::pin!(asking);
        assert!(
            tokio::time::timeout(Duration::from_secs(3600), &mut asking)
                .await
                .is_err()
        );
        assert_eq!(ask(&app, "GET", "/").await.0, 200);
        end.send(true).unwrap();
        assert_eq!(asking.await.0, 503);
    }

    #[tokio::test]
    async fn an_unknown_path_is_not_found() {
        let (app, _end) = app();
        assert_eq!(ask(&app, "GET", "/nowhere").await.0, 404);
    }
}
