//! The server's own Prometheus metrics, and the text in which all are exposed. Labels are bounded: route templates,
//! known methods, status codes.

mod correlation;
mod signals;
mod workloads;

use std::sync::atomic::AtomicU64;

use aegis_api::automation::AutomationView;
use aegis_api::{Detector, Kind};
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::automation;
use crate::metrics::correlation::CorrelationMetrics;
use crate::metrics::signals::SignalMetrics;
use crate::metrics::workloads::WorkloadMetrics;
use crate::state::ServerState;
use crate::status::Status;

/// Upper bounds of the histogram of answer times, seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DetectorLabels {
    detector: String,
    workload: String,
}

/// The server's own metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    clients: Gauge,
    paused: Gauge,
    workloads_paused: Gauge,
    feed: Gauge,
    feed_limit: Gauge,
    changes: Gauge,
    firing: Family<DetectorLabels, Gauge>,
    values: Family<DetectorLabels, Gauge<f64, AtomicU64>>,
    readings_age: Gauge<f64, AtomicU64>,
    signals: SignalMetrics,
    workloads: WorkloadMetrics,
    correlation: CorrelationMetrics,
}

impl HttpMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            clients: Gauge::default(),
            paused: Gauge::default(),
            workloads_paused: Gauge::default(),
            feed: Gauge::default(),
            feed_limit: Gauge::default(),
            changes: Gauge::default(),
            firing: Family::default(),
            values: Family::default(),
            readings_age: Gauge::default(),
            signals: SignalMetrics::new(registry),
            workloads: WorkloadMetrics::new(registry),
            correlation: CorrelationMetrics::new(registry),
        };
        let requests = "Requests answered, by method, route and status code";
        registry.register("aegis_http_requests", requests, metrics.requests.clone());
        let seconds = "Time until an answer begins, in seconds, by route";
        registry.register(
            "aegis_http_request_duration_seconds",
            seconds,
            metrics.seconds.clone(),
        );
        registry.register(
            "aegis_ws_clients",
            "WebSocket clients that are connected",
            metrics.clients.clone(),
        );
        registry.register(
            "aegis_automation_paused",
            "1 while all automation on the host is paused, else 0",
            metrics.paused.clone(),
        );
        registry.register(
            "aegis_workloads_paused",
            "Workloads for which alone automation is paused",
            metrics.workloads_paused.clone(),
        );
        let feed = "Bytes of frames that the live stream keeps";
        registry.register("aegis_feed_bytes", feed, metrics.feed.clone());
        let limit = "Bytes of frames that the live stream keeps at most";
        registry.register("aegis_feed_limit_bytes", limit, metrics.feed_limit.clone());
        let changes = "Bytes of changed objects that are kept for watches";
        registry.register("aegis_store_watch_bytes", changes, metrics.changes.clone());
        let firing =
            "1 for each detector and workload (or the host) for which it fires; the others are absent";
        registry.register("aegis_detector_firing", firing, metrics.firing.clone());
        let values = "The last value of each detector and workload (or the host), in the unit of its signal, of the 200 \
            workloads that a detector lists at most; absent where nothing was measured";
        registry.register("aegis_detector_value", values, metrics.values.clone());
        let age = "Seconds since the newest reading of a container's counters; -1 before the first";
        registry.register("aegis_readings_age_seconds", age, metrics.readings_age.clone());
        metrics
    }

    /// Takes down what is read, not counted.
    fn read(&self, state: &ServerState) {
        set_gauge(&self.clients, state.ws_clients());
        set_gauge(&self.feed, state.feed.bytes());
        set_gauge(&self.feed_limit, state.feed.limit());
        set_gauge(&self.changes, state.store.watch_bytes());
        self.firing.clear();
        self.values.clear();
        for detector in state.store.list::<Detector>() {
            let rows = detector.status.iter().flat_map(|status| &status.workloads);
            for row in rows.filter(|row| row.firing || row.value.is_some()) {
                let labels = DetectorLabels {
                    detector: detector.name().to_owned(),
                    workload: row.workload.clone().unwrap_or_default(),
                };
                if row.firing {
                    self.firing.get_or_create(&labels).set(1);
                }
                if let Some(value) = row.value {
                    self.values.get_or_create(&labels).set(value);
                }
            }
        }
        let now = aegis_clock::now();
        let newest = state.host.read_at();
        self.readings_age
            .set(newest.map_or(-1.0, |at| at.age(now).as_secs_f64()));
        self.signals.read(&state.host);
        self.workloads.read(&state.host, &state.store);
        self.correlation.read(&state.store, now);
    }

    fn set_paused(&self, view: &AutomationView) {
        self.paused.set(i64::from(view.paused.is_some()));
        let alone = i64::try_from(view.workloads.len()).unwrap_or(i64::MAX);
        self.workloads_paused.set(alone);
    }
}

fn set_gauge(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Counts a request and its answer.
pub(crate) async fn count(State(state): State<ServerState>, request: Request, next: Next) -> Response {
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let begun = std::time::Instant::now();
    let response = next.run(request).await;
    let code = response.status().as_u16();
    state
        .http
        .seconds
        .get_or_create(&RouteLabels { route: route.clone() })
        .observe(begun.elapsed().as_secs_f64());
    state
        .http
        .requests
        .get_or_create(&RequestLabels { method, route, code })
        .inc();
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Content type of the newer of the two text formats.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of the older one.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric as text, and the text's content type. `None` for an `accept` that names neither format.
pub(crate) fn exposition(
    state: &ServerState,
    accept: &str,
) -> Option<Result<(&'static str, String), Status>> {
    let openmetrics = accept.contains("application/openmetrics-text");
    // Pages name JSON and plain text in one breath; scrapers never name JSON.
    if accept.contains("application/json") || (!openmetrics && !accept.contains("text/plain")) {
        return None;
    }
    state.http.set_paused(&automation::view(&state.store));
    state.http.read(state);
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &state.registry) {
        return Some(Err(Status::internal(format!(
            "the metrics could not be written: {error}"
        ))));
    }
    Some(Ok(if openmetrics {
        (OPENMETRICS, text)
    } else {
        (PLAIN, plain(&text))
    }))
}

/// The older format: there a counter's name in HELP and TYPE has its suffix, a sample has no exemplar, and no line ends
/// the text.
fn plain(openmetrics: &str) -> String {
    let mut counters = Vec::new();
    for line in openmetrics.lines() {
        let mut words = line.split(' ');
        if (words.next(), words.next()) == (Some("#"), Some("TYPE"))
            && let (Some(name), Some("counter")) = (words.next(), words.next())
        {
            counters.push(name);
        }
    }
    let mut text = String::new();
    for line in openmetrics
        .lines()
        .filter(|line| *line != "# EOF" && !line.starts_with("# UNIT "))
    {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest))
                if counters.contains(&name) =>
            {
                text.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => text.push_str(without_exemplar(line)),
        }
        text.push('\n');
    }
    text
}

/// A sample up to its value; what follows in braces after ` # ` is an exemplar.
fn without_exemplar(line: &str) -> &str {
    let Some((sample, _)) = line.rsplit_once(" # {") else {
        return line;
    };
    // The same signs inside a label's value are none.
    let value = sample.rsplit_once("} ").map_or("", |(_, value)| value);
    if value.parse::<f64>().is_ok() {
        sample
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_by_their_full_name() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::new(&mut registry);
        let labels = RequestLabels {
            method: "GET",
            route: "/health".to_owned(),
            code: 200,
        };
        metrics.requests.get_or_create(&labels).inc();
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("# TYPE aegis_http_requests counter") && text.ends_with("# EOF\n"));
        let plain = plain(&text);
        assert!(
            plain.contains("# TYPE aegis_http_requests_total counter\n"),
            "{plain}"
        );
        assert!(
            plain.contains("# HELP aegis_http_requests_total Requests answered"),
            "{plain}"
        );
        assert!(
            plain.contains("aegis_http_requests_total{method=\"GET\",route=\"/health\",code=\"200\"} 1\n")
        );
        assert!(plain.contains("# TYPE aegis_ws_clients gauge\n") && !plain.contains("EOF"));
    }

    #[test]
    fn the_older_format_has_no_exemplars_and_leaves_labels_alone() {
        for (line, expected) in [
            (
                "x_bucket{le=\"0.5\"} 1 # {entry=\"rb-7\"} 0.42",
                "x_bucket{le=\"0.5\"} 1",
            ),
            ("x_total{route=\"a # {b\"} 1", "x_total{route=\"a # {b\"} 1"),
            ("x_sum 0.75", "x_sum 0.75"),
        ] {
            assert_eq!(without_exemplar(line), expected);
        }
    }
}
