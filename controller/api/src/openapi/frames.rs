//! The frames of `/ws` as schemas: one a type, and `Frame`, which is any of them. Derived from the table of the wire. Pure.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::kubernetes::{reference, schema_name};
use crate::kinds::KINDS;
use crate::wire::FrameType;

/// Adds the schema of every frame, and `Frame`.
pub(super) fn add(schemas: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    for kind in FrameType::ALL {
        let data = match kind {
            FrameType::Resource => resource(),
            kind => kind.schema(generator),
        };
        schemas.insert(kind.schema_name().to_owned(), frame(kind.as_str(), &data));
    }
    let any = FrameType::ALL.iter().map(|kind| reference(kind.schema_name()));
    let description = "One message of `/ws`.";
    schemas.insert(
        "Frame".to_owned(),
        json!({"description": description, "oneOf": any.collect::<Vec<_>>()}),
    );
}

fn frame(kind: &str, data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["seq", "type", "incident_id", "data", "timestamp"],
        "properties": {
            "seq": {"type": "integer", "format": "uint64",
                "description": "Rises from frame to frame, from 1 at the start of the controller; a replay leaves out the \
                                numbers of metrics, containers and topologies that newer ones have replaced. In messages of \
                                the connection itself that of the last frame that was sent."},
            "type": {"type": "string", "enum": [kind]},
            "incident_id": {"type": "string", "nullable": true, "description": "The incident it belongs to."},
            "data": data,
            "timestamp": {"type": "string", "format": "date-time"},
        },
    })
}

/// One alternative a kind, so that `kind` tells what the object is.
fn resource() -> Value {
    let of_kind = |kind: &str| {
        json!({
            "type": "object",
            "required": ["verb", "kind", "name", "resourceVersion", "object"],
            "properties": {
                "verb": {"type": "string", "enum": ["ADDED", "MODIFIED", "DELETED"]},
                "kind": {"type": "string", "enum": [kind]},
                "name": {"type": "string"},
                "resourceVersion": {"type": "string", "description": "The store's revision that the change made."},
                "object": reference(&schema_name(kind)),
            },
        })
    };
    let kinds: Vec<Value> = KINDS.iter().map(|info| of_kind(info.kind)).collect();
    json!({"oneOf": kinds})
}
