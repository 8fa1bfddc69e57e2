//! The trace of one incident: a span for its whole life, one below it for each entry of the timeline, which lasts until the
//! next, and one for each call of a model, with the GenAI attributes of OpenTelemetry. Pure. Ids follow from the incident's
//! uid, so that a trace which is sent twice is one.
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>

use aegis_api::incident::{IncidentStatus, Phase, TimelineEntry};
use aegis_api::kinds::Kind as _;
use aegis_api::{Incident, Time};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use sha2::{Digest as _, Sha256};

use crate::card::subject;
use crate::story;

/// Providers that are no model.
const NO_MODELS: [&str; 2] = ["builtin", "runbook"];

/// The trace as it is exported.
pub(super) fn trace(incident: &Incident, service: &str) -> ExportTraceServiceRequest {
    request(service, spans(incident))
}

/// An export without spans.
pub(super) fn nothing(service: &str) -> ExportTraceServiceRequest {
    request(service, Vec::new())
}

fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![text("service.name", service), text("service.version", version)],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "aegisops.incident".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn spans(incident: &Incident) -> Vec<Span> {
    let status = incident.status.clone().unwrap_or_default();
    let ids = Ids::of(incident);
    let began = began(incident, &status);
    let ended = ended(&status).max(began);
    let mut spans = vec![root(incident, &status, &ids, (began, ended))];
    let next = status
        .timeline
        .iter()
        .skip(1)
        .map(|entry| entry.ts)
        .chain([ended]);
    for (number, (entry, until)) in status.timeline.iter().zip(next).enumerate() {
        let name = format!("stage-{number}");
        spans.push(stage(entry, until.max(entry.ts), &ids, &name));
    }
    spans.extend(calls(&status, &ids));
    spans
}

fn began(incident: &Incident, status: &IncidentStatus) -> Time {
    let created = incident.metadata.creation_timestamp.as_ref().map(|at| Time(at.0));
    let first = status.timeline.first().map(|entry| entry.ts);
    // The metadata's time has whole seconds.
    first.or(created).unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH))
}

fn ended(status: &IncidentStatus) -> Time {
    let last = status.timeline.last().map(|entry| entry.ts);
    let finished = status.finished_at.into_iter().chain(last).max();
    finished.unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH))
}

fn root(incident: &Incident, status: &IncidentStatus, ids: &Ids, (began, ended): (Time, Time)) -> Span {
    let severity = format!("{:?}", incident.spec.severity).to_lowercase();
    let mut attributes = vec![
        text("aegisops.incident.name", incident.name()),
        text(
            "aegisops.incident.uid",
            incident.metadata.uid.as_deref().unwrap_or_default(),
        ),
        text(
            "aegisops.incident.alert_type",
            &story::line(&incident.spec.alert_type),
        ),
        text("aegisops.incident.severity", &severity),
        text("aegisops.incident.phase", status.phase.as_str()),
        text("aegisops.workload.name", &story::line(&subject(incident))),
        number("aegisops.incident.count", incident.spec.count.into()),
    ];
    if let Some(analysis) = &status.analysis {
        attributes.push(text("aegisops.action", analysis.proposal.action.as_str()));
        attributes.push(text(
            "aegisops.root_cause",
            &story::text(&analysis.proposal.root_cause),
        ));
    }
    if let Some(council) = &status.council {
        attributes.push(text("aegisops.council.verdict", council.final_verdict.as_str()));
    }
    let code = match status.phase {
        Phase::Failed => StatusCode::Error,
        Phase::Resolved => StatusCode::Ok,
        _ => StatusCode::Unset,
    };
    let error = status.error.as_deref().filter(|_| code == StatusCode::Error);
    Span {
        name: format!("incident {}", story::line(&incident.spec.alert_type)),
        attributes,
        status: Some(Status {
            code: code.into(),
            message: error.map(story::text).unwrap_or_default(),
        }),
        ..span(ids, "root", None, began, ended)
    }
}

fn stage(entry: &TimelineEntry, until: Time, ids: &Ids, name: &str) -> Span {
    let mut attributes = vec![text("aegisops.message", &story::text(&entry.message))];
    attributes.extend(
        entry
            .agent
            .map(|seat| text("aegisops.council.seat", seat.as_str())),
    );
    Span {
        name: entry.status.as_str().to_owned(),
        attributes,
        ..span(ids, name, Some("root"), entry.ts, until)
    }
}

/// One call of a model.
struct Call<'a> {
    what: &'static str,
    provider: &'a str,
    model: &'a str,
    /// Of the prompt and of the answer, where they are known apart.
    tokens: Option<(u64, u64)>,
    latency_ms: u64,
    at: Time,
}

fn calls(status: &IncidentStatus, ids: &Ids) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Some(analysis) = &status.analysis {
        let call = Call {
            what: "analysis",
            provider: &analysis.provider,
            model: &analysis.model,
            tokens: Some((analysis.prompt_tokens, analysis.completion_tokens)),
            latency_ms: analysis.latency_ms,
            at: analysis.at,
        };
        spans.extend(chat(&call, analysis.tokens, ids, "analysis"));
    }
    let votes = status
        .council
        .as_ref()
        .map_or(&status.votes, |council| &council.votes);
    for vote in votes {
        let Some(asked) = &vote.asked else { continue };
        let call = Call {
            what: vote.role.as_str(),
            provider: asked.provider.as_deref().unwrap_or_default(),
            model: asked.model.as_deref().unwrap_or_default(),
            tokens: None,
            latency_ms: asked.latency_ms,
            at: vote.timestamp,
        };
        let name = format!("vote-{}", vote.role.as_str());
        spans.extend(chat(&call, asked.tokens, ids, &name));
    }
    spans
}

fn chat(call: &Call<'_>, total: u64, ids: &Ids, name: &str) -> Option<Span> {
    if call.provider.is_empty() || NO_MODELS.contains(&call.provider) {
        return None;
    }
    let mut attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", call.provider),
        text("gen_ai.request.model", call.model),
        text("aegisops.call", call.what),
        number("aegisops.tokens", total),
    ];
    if let Some((input, output)) = call.tokens {
        attributes.push(number("gen_ai.usage.input_tokens", input));
        attributes.push(number("gen_ai.usage.output_tokens", output));
    }
    let took = i64::try_from(call.latency_ms).unwrap_or(i64::MAX);
    let began = call.at.0.checked_sub(jiff::SignedDuration::from_millis(took));
    Some(Span {
        name: format!("chat {}", call.model),
        kind: SpanKind::Client.into(),
        attributes,
        ..span(ids, name, Some("root"), Time(began.unwrap_or(call.at.0)), call.at)
    })
}

/// Where ids come from.
struct Ids {
    uid: String,
    trace: Vec<u8>,
}

impl Ids {
    fn of(incident: &Incident) -> Self {
        let uid = incident.metadata.uid.clone().unwrap_or_default();
        let trace = hash(&uid, "trace", 16);
        Self { uid, trace }
    }

    fn span(&self, name: &str) -> Vec<u8> {
        hash(&self.uid, name, 8)
    }
}

fn hash(uid: &str, name: &str, bytes: usize) -> Vec<u8> {
    let digest = Sha256::new()
        .chain_update(uid)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    digest.iter().copied().take(bytes).collect()
}

fn span(ids: &Ids, name: &str, parent: Option<&str>, began: Time, ended: Time) -> Span {
    Span {
        trace_id: ids.trace.clone(),
        span_id: ids.span(name),
        parent_span_id: parent.map(|parent| ids.span(parent)).unwrap_or_default(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanoseconds(began),
        end_time_unix_nano: nanoseconds(ended),
        ..Span::default()
    }
}

fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.0.as_nanosecond()).unwrap_or_default()
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
