//! Against a collector that keeps what comes, decoded with OpenTelemetry's own types.

use aegis_api::incident::Stage;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::card::tests::incident;

const STORY: [Stage; 5] = [
    Stage::Received,
    Stage::Analysing,
    Stage::CouncilDecision,
    Stage::Restarted,
    Stage::Resolved,
];

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn decoded(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let [resource] = &request.resource_spans[..] else {
        panic!("one resource")
    };
    resource
        .scope_spans
        .iter()
        .flat_map(|scope| scope.spans.clone())
        .collect()
}

fn healed(text: &str) -> Incident {
    let mut incident = incident("8c1f", text, &STORY);
    let status = incident.status.as_mut().unwrap();
    status.phase = aegis_api::incident::Phase::Resolved;
    status.finished_at = Some("2026-05-01T10:00:09Z".parse().unwrap());
    let analysis = status.analysis.as_mut().unwrap();
    analysis.provider = "fastrouter".to_owned();
    analysis.model = "a-model".to_owned();
    (
        analysis.prompt_tokens,
        analysis.completion_tokens,
        analysis.latency_ms,
    ) = (900, 100, 1_500);
    analysis.at = "2026-05-01T10:00:02Z".parse().unwrap();
    incident
}

#[tokio::test]
async fn a_collector_gets_one_trace_an_incident_with_the_timeline_as_spans() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .and(header("content-type", "application/x-protobuf"))
        .and(header("authorization", "Bearer hunter2"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let headers = SecretString::from("authorization=Bearer hunter2, x-team = a");
    let otlp = Otlp::new(&server.uri(), Some(&headers), "").unwrap();
    let trace = otlp.render(&healed("a leak"));
    assert_eq!(otlp.send(&trace).await, Posted::Taken(None));
    let spans = decoded(&server.received_requests().await.unwrap()[0].body);
    let root = &spans[0];
    assert_eq!((root.trace_id.len(), root.span_id.len()), (16, 8));
    assert!(root.parent_span_id.is_empty());
    assert_eq!(root.end_time_unix_nano - root.start_time_unix_nano, 9_000_000_000);
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "each span has an id of its own");
    for span in &spans[1..] {
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&root.trace_id, &root.span_id)
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let timeline = STORY.map(Stage::as_str);
    assert_eq!(names[1..6], timeline);
    // Each lasts until the next begins.
    for pair in spans[1..6].windows(2) {
        assert_eq!(pair[0].end_time_unix_nano, pair[1].start_time_unix_nano);
    }
    let chat = spans.iter().find(|span| span.name == "chat a-model").unwrap();
    assert_eq!(chat.end_time_unix_nano - chat.start_time_unix_nano, 1_500_000_000);
    for (key, value) in [
        ("gen_ai.operation.name", Value::StringValue("chat".to_owned())),
        (
            "gen_ai.provider.name",
            Value::StringValue("fastrouter".to_owned()),
        ),
        ("gen_ai.request.model", Value::StringValue("a-model".to_owned())),
        ("gen_ai.usage.input_tokens", Value::IntValue(900)),
        ("gen_ai.usage.output_tokens", Value::IntValue(100)),
    ] {
        assert_eq!(attribute(chat, key), Some(&value), "{key}");
    }
}

#[tokio::test]
async fn a_trace_of_which_spans_were_rejected_counts_as_refused() {
    let server = MockServer::start().await;
    let said = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 2,
            error_message: "too many".to_owned(),
        }),
    };
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(said.encode_to_vec()))
        .mount(&server)
        .await;
    let otlp = Otlp::new(&server.uri(), None, "ops").unwrap();
    let posted = otlp.send(&otlp.nothing()).await;
    assert!(matches!(posted, Posted::BodyRefused { why } if why.contains("2 spans rejected: too many")));
}

#[test]
fn what_no_model_answered_is_no_call_of_one_and_secrets_do_not_pass() {
    let mut incident = healed("password=hunter2");
    incident
        .status
        .as_mut()
        .unwrap()
        .analysis
        .as_mut()
        .unwrap()
        .provider = "builtin".to_owned();
    let otlp = Otlp::new("http://localhost:4318", None, "ops").unwrap();
    let trace = otlp.render(&incident);
    assert!(!String::from_utf8_lossy(&trace).contains("hunter2"));
    assert!(decoded(&trace).iter().all(|span| !span.name.starts_with("chat")));
    assert_eq!(
        trace,
        otlp.render(&incident),
        "the same incident is the same trace"
    );
}

#[test]
fn a_setting_that_is_wrong_is_named_without_the_secret() {
    let headers = SecretString::from("hunter2");
    let error = Otlp::new("http://localhost:4318", Some(&headers), "")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("hunter2"),
        "{error}"
    );
    let error = Otlp::new("localhost:4318", None, "").unwrap_err().to_string();
    assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error}");
}
