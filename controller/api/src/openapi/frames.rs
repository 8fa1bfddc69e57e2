//! The frames of `/ws` as schemas: one a type, and `Frame`, which is any of them. Derived from the wire types; which type
//! carries which payload is said here. Pure.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::kubernetes::{reference, schema_name};
use crate::automation::AutomationView;
use crate::kinds::KINDS;
use crate::wire;

/// A frame's type, the name of its schema, and the schema of its data.
type FrameSchema = (&'static str, &'static str, Value);

/// Adds the schema of every frame, and `Frame`.
pub(super) fn add(schemas: &mut Map<String, Value>, generator: &mut SchemaGenerator) {
    let frames = frames(generator);
    let any: Vec<Value> = frames.iter().map(|(_, name, _)| reference(name)).collect();
    for (kind, name, data) in frames {
        schemas.insert(name.to_owned(), frame(kind, &data));
    }
    let description = "One message of `/ws`.";
    schemas.insert(
        "Frame".to_owned(),
        json!({"description": description, "oneOf": any}),
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

fn frames(generator: &mut SchemaGenerator) -> Vec<FrameSchema> {
    macro_rules! of {
        ($type:ty) => {
            generator.subschema_for::<$type>().to_value()
        };
    }
    vec![
        ("incident.new", "IncidentNewFrame", of!(wire::IncidentNew)),
        ("status.update", "StatusUpdateFrame", of!(wire::StatusUpdate)),
        ("ai.thinking", "AiThinkingFrame", of!(wire::AiThinking)),
        ("ai.stream", "AiStreamFrame", stream(&of!(wire::AiRestart))),
        ("ai.complete", "AiCompleteFrame", of!(wire::AiComplete)),
        ("council.vote", "CouncilVoteFrame", of!(wire::CouncilVoted)),
        (
            "council.decision",
            "CouncilDecisionFrame",
            of!(wire::CouncilDecided),
        ),
        ("docker.action", "DockerActionFrame", of!(wire::DockerAction)),
        ("scale.event", "ScaleEventFrame", of!(wire::ScaleData)),
        ("health.check", "HealthCheckFrame", of!(wire::HealthCheck)),
        ("resolved", "ResolvedFrame", of!(wire::ResolvedData)),
        ("failed", "FailedFrame", of!(wire::FailedData)),
        ("metrics", "MetricsFrame", of!(Vec<wire::ContainerMetrics>)),
        (
            "container.list",
            "ContainerListFrame",
            of!(Vec<wire::ContainerRow>),
        ),
        ("topology", "TopologyFrame", of!(wire::Topology)),
        ("heartbeat", "HeartbeatFrame", heartbeat()),
        ("lagged", "LaggedFrame", lagged()),
        ("snapshot", "SnapshotFrame", snapshot(generator)),
        ("reconcile", "ReconcileFrame", of!(wire::ReconcileData)),
        ("resource", "ResourceFrame", resource()),
        ("automation", "AutomationFrame", of!(AutomationView)),
    ]
}

/// `full_text` is left out for clients that asked for that, so it is optional here.
fn stream(restart: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["incident_id", "chunk"],
        "properties": {
            "incident_id": {"type": "string"},
            "chunk": {"type": "string"},
            "full_text": {"type": "string", "description": "Absent with `?full_text=0`."},
            "restart": {"allOf": [restart]},
        },
    })
}

fn heartbeat() -> Value {
    json!({"type": "object", "required": ["status"], "properties": {
        "status": {"type": "string", "enum": ["connected", "alive"]},
        "stream": {"type": "string", "description": "With `connected`, for clients that sent `?stream=`: what `seq` counts \
            in. Another one is another process, whose numbers have nothing to do with those before."},
    }})
}

fn lagged() -> Value {
    json!({"type": "object", "required": ["missed"],
        "properties": {"missed": {"type": "integer", "description": "So many numbers went to frames that were let go of before they could be read."}}})
}

fn snapshot(generator: &mut SchemaGenerator) -> Value {
    let incidents = generator.subschema_for::<Vec<wire::IncidentResult>>();
    let containers = generator.subschema_for::<Vec<wire::ContainerRow>>();
    let metrics = generator.subschema_for::<Vec<wire::ContainerMetrics>>();
    let topology = generator.subschema_for::<wire::Topology>();
    json!({
        "type": "object",
        "required": ["incidents", "containers", "metrics", "topology"],
        "properties": {"incidents": incidents, "containers": containers, "metrics": metrics, "topology": topology},
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
