//! Everything the server offers in one document: the REST routes, the resources, the frames of `/ws`. Clients are
//! generated from it; the page's copy is `cockpit-web/src/api/openapi.json`. Pure.

use serde_json::{Map, Value, json};

use super::kubernetes::{kubernetes_document, list_schema};
use super::{frames, rest};
use crate::condition::{ConditionType, Reason};
use crate::detector::Signal;

/// The document; `version` is the controller's.
pub fn whole_document(version: &str) -> Value {
    let (mut document, mut generator) = rest::with_generator(version);
    let mut added = Map::new();
    frames::add(&mut added, &mut generator);
    // Nothing refers to these two: the fields themselves are open strings in every document, so that a client that knows
    // fewer words than the server takes its objects. They are there to name what is known.
    generator.subschema_for::<ConditionType>();
    generator.subschema_for::<Reason>();
    added.extend(generator.take_definitions(true));
    added.insert("Event".to_owned(), event_schema());
    added.insert("EventList".to_owned(), list_schema("Event", "Event"));
    added.insert("Status".to_owned(), status_schema());
    let resources = kubernetes_document();
    merge(&mut document, "/components/schemas", added);
    for pointer in ["/components/schemas", "/paths"] {
        if let Some(Value::Object(more)) = resources.pointer(pointer) {
            merge(&mut document, pointer, more.clone());
        }
    }
    if let Value::Object(fields) = &mut document {
        fields.insert("x-default-thresholds".to_owned(), default_thresholds(&resources));
    }
    document
}

/// What each signal goes by where a detector sets no threshold, by its name. No schema can say it, since it depends on
/// another field; the page's table is tested against it.
fn default_thresholds(resources: &Value) -> Value {
    let signals = "/components/schemas/io.aegisops.v1alpha1.Detector/properties/spec/properties/signal/enum";
    let names = resources.pointer(signals).and_then(Value::as_array);
    let bounded = names.into_iter().flatten().filter_map(|name| {
        let signal: Signal = serde_json::from_value(name.clone()).ok()?;
        Some((name.as_str()?.to_owned(), signal.default_threshold()?.into()))
    });
    Value::Object(bounded.collect())
}

/// Adds what is not there yet.
fn merge(document: &mut Value, pointer: &str, more: Map<String, Value>) {
    if let Some(Value::Object(fields)) = document.pointer_mut(pointer) {
        for (name, value) in more {
            fields.entry(name).or_insert(value);
        }
    }
}

/// Why a request was refused, as the Kubernetes-shaped routes report it.
fn status_schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["code", "message", "reason"],
        "properties": {
            "code": {"type": "integer"},
            "message": text,
            "reason": text,
            "details": {"type": "object", "properties": {
                "kind": text,
                "name": text,
                "causes": {"type": "array", "items": {"type": "object", "required": ["message"],
                    "properties": {"field": text, "message": text, "reason": text}}},
            }},
        },
    })
}

/// What `/api/v1/events` lists.
fn event_schema() -> Value {
    let (text, time) = (
        json!({"type": "string"}),
        json!({"type": "string", "format": "date-time"}),
    );
    json!({
        "type": "object",
        "required": ["metadata", "involvedObject", "reason", "message", "type", "count", "firstTimestamp", "lastTimestamp"],
        "properties": {
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": text}},
            "involvedObject": {"type": "object", "required": ["kind", "name"], "properties": {"kind": text, "name": text}},
            "reason": text,
            "message": text,
            "type": {"type": "string", "enum": ["Normal", "Warning"]},
            "count": {"type": "integer"},
            "firstTimestamp": time,
            "lastTimestamp": time,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_no_frame_is_without_its_schema() {
        fn references(value: &Value, out: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    out.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, out));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, out)),
                _ => {}
            }
        }
        let document = whole_document("1");
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            assert!(
                document.pointer(reference.trim_start_matches('#')).is_some(),
                "{reference}"
            );
        }
        let schemas = &document["components"]["schemas"];
        assert!(schemas["ConditionType"].is_object() && schemas["Reason"].is_object());
        let any = schemas["Frame"]["oneOf"].as_array().unwrap();
        assert_eq!(any.len(), 21);
    }
}
