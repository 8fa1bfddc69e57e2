//! CloudEvents 1.0 over HTTP: structured (one JSON object with everything), binary (attributes as `ce-` headers, the body
//! is the data) and batches. <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>. Pure.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::report::{Report, State, made_id, object, text};
use super::{body, bytes};

/// Longest attribute that is kept of a header, bytes.
const LONGEST: usize = 2048;
/// Words at the end of a type that say that trouble is over.
const OVER: &[&str] = &["resolved", "resolve", "recovered", "cleared", "closed", "ok"];

/// Whether headers say that the body is the data of an event in binary mode.
pub(super) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// Whether a body is an event, or a batch of them.
pub(super) fn is_one(body: &Value) -> bool {
    match body {
        Value::Object(event) => event.contains_key("specversion") && event.contains_key("type"),
        Value::Array(events) => {
            let mut objects = events.iter().map(|event| event.is_object() && is_one(event));
            !events.is_empty() && objects.all(|is| is)
        }
        _ => false,
    }
}

/// An event of binary mode as if it were structured.
pub(super) fn structured(headers: &HeaderMap, data: Option<Value>) -> Value {
    let mut event = Map::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let text = percent_decoded(value.as_bytes());
        event.insert(
            name.to_owned(),
            text.chars().take(LONGEST).collect::<String>().into(),
        );
    }
    event.extend(data.map(|data| ("data".to_owned(), data)));
    Value::Object(event)
}

/// Attributes in headers are UTF-8 with `%` before what a header cannot carry, in quotes or not.
fn percent_decoded(value: &[u8]) -> String {
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    };
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex
            .filter(|pair| *first == b'%' && pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() {
            after.get(2..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The alerts of a body; of each event that is none, what is wrong with it.
pub(super) fn read(body: &Value) -> Result<Vec<Result<Report, String>>, String> {
    match body {
        Value::Object(event) => Ok(vec![report(event)]),
        Value::Array(events) => Ok(events
            .iter()
            .enumerate()
            .map(|(at, event)| match event {
                Value::Object(event) => report(event).map_err(|why| format!("[{at}]: {why}")),
                _ => Err(format!("[{at}] is no object")),
            })
            .collect()),
        _ => Err("the body is neither an event nor a list of events".to_owned()),
    }
}

fn report(event: &Map<String, Value>) -> Result<Report, String> {
    let needed = |name: &str| text(event, name).ok_or_else(|| format!("the attribute {name} is missing"));
    let version = needed("specversion")?;
    if !version.starts_with("1.") {
        let version: String = version.chars().take(20).collect();
        return Err(format!("specversion is {version:?}: 1.0 is understood"));
    }
    let (kind, source) = (needed("type")?, needed("source")?);
    let subject = text(event, "subject").unwrap_or_default();
    let data = data(event);
    let fields = match &data {
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    let last = kind
        .rsplit(['.', '/', '_', '-'])
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let state = if OVER.contains(&last.as_str()) {
        State::Resolved(format!("type: {}", kind.chars().take(80).collect::<String>()))
    } else {
        State::Firing
    };
    // The end of the trouble has another type than its beginning, and is about the same.
    let stem = match &state {
        State::Firing => kind
            .strip_suffix(".firing")
            .or_else(|| kind.strip_suffix(".triggered")),
        _ => kind.get(..kind.len().saturating_sub(last.len() + 1)),
    };
    let stem = stem.unwrap_or(&kind);
    // What an application calls its trouble says more than the event around it.
    let alert_type = text(&fields, "alert_type").or_else(|| text(&fields, "alertType"));
    let own_id = text(&fields, "incident_id").or_else(|| text(&fields, "fingerprint"));
    let alert_type = alert_type.unwrap_or_else(|| stem.to_owned());
    let about = made_id("event", &[&source, stem, &subject]);
    let mut labels = object(&fields, "labels");
    if !subject.is_empty() {
        // A container, unless none is called like it.
        labels.entry("component").or_insert(subject.into());
    }
    let mut annotations = fields.clone();
    annotations.remove("labels");
    for name in ["id", "source", "subject"] {
        annotations.extend(
            event
                .get(name)
                .map(|value| (format!("event_{name}"), value.clone())),
        );
    }
    let mut logs = text(&fields, "logs").or_else(|| text(&fields, "message"));
    if let (None, Value::String(text)) = (&logs, &data) {
        logs = Some(text.clone());
    }
    Ok(Report {
        id: own_id.unwrap_or(about),
        alert_type,
        state,
        severity: text(event, "severity").or_else(|| text(&fields, "severity")),
        starts_at: event.get("time").cloned().unwrap_or_default(),
        ends_at: event.get("time").cloned().unwrap_or_default(),
        url: text(&fields, "url"),
        logs: logs.unwrap_or_default(),
        labels,
        annotations,
        ..Report::default()
    })
}

/// About how many bytes the data in base64 takes once it is unpacked: nothing of it shows in the body.
pub(super) fn packed_bytes(body: &Value) -> usize {
    let events = match body {
        Value::Array(events) => events.as_slice(),
        other => std::slice::from_ref(other),
    };
    let packed = events
        .iter()
        .filter_map(|event| event.get("data_base64")?.as_str());
    let unpacked = packed.filter_map(|packed| STANDARD.decode(packed).ok());
    unpacked.map(|data| body::tree_bytes(&bytes::text(&data))).sum()
}

/// The data, unpacked where it is a text of JSON or base64.
fn data(event: &Map<String, Value>) -> Value {
    let packed = event.get("data_base64").and_then(Value::as_str);
    let unpacked = packed.and_then(|packed| STANDARD.decode(packed).ok());
    let data = match unpacked {
        Some(data) => Value::from(bytes::text(&data)),
        None => event.get("data").cloned().unwrap_or_default(),
    };
    match data {
        Value::String(text) => {
            // A text in JSON is that text; of a number alone no digit is to change.
            let quoted = || serde_json::from_str(&text).ok().map(Value::String);
            let read = body::inner(&text).or_else(quoted);
            read.unwrap_or(Value::String(text))
        }
        other => other,
    }
}
