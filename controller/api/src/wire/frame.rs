//! The frames of `/ws`: the one table of their types and what each carries. Who publishes, who prints, the schemas and the
//! tests of old clients read it. What stands around the contents (number, incident, time) is the feed's. Pure.

use std::sync::Arc;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    AnalysisView, ContainerMetrics, ContainerRow, CouncilView, IncidentResult, ScaleEvent, Topology, VoteView,
};
use crate::automation::AutomationView;
use crate::incident::Stage;
use crate::proposal::Action;
use crate::scalar::Time;

/// What stands under `data` of a frame of one type.
pub trait Payload: Serialize {
    /// The type that carries it.
    fn frame_type(&self) -> FrameType;
}

/// Makes all that there is to a type of frame from its line in the table: its word, what it carries, its schema, how it is
/// read and written. One macro, however long: a type's spelling and its contents must not be written in two places.
macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $payload:ty;)*) => {
        /// What a frame is about. Serialises to the wire's spelling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FrameType {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl FrameType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As the wire spells it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The type that the wire spells so; `None` for one that is not known here.
            pub fn of(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name of its schema.
            pub fn schema_name(self) -> &'static str {
                match self { $(Self::$name => concat!(stringify!($name), "Frame"),)* }
            }

            /// The schema of what it carries.
            pub(crate) fn schema(self, generator: &mut SchemaGenerator) -> Value {
                match self { $(Self::$name => generator.subschema_for::<$payload>().to_value(),)* }
            }
        }

        /// The contents of a frame of any type. Serialises to what stands under `data`, with its keys sorted.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Frame {
            $($(#[$doc])* $name($payload),)*
        }

        impl Frame {
            /// Its type.
            pub fn kind(&self) -> FrameType {
                match self { $(Self::$name(_) => FrameType::$name,)* }
            }

            /// What stands under `data`.
            pub fn data(&self) -> Value {
                let data = match self { $(Self::$name(data) => serde_json::to_value(data),)* };
                data.unwrap_or_default()
            }

            /// The contents of a frame that came over the wire; `None` for a type that is not known here.
            pub fn read(kind: &str, data: &Value) -> Result<Option<Self>, serde_json::Error> {
                match kind {
                    $($word => <$payload>::deserialize(data).map(Self::$name).map(Some),)*
                    _ => Ok(None),
                }
            }
        }

        $(
            impl Payload for $payload {
                fn frame_type(&self) -> FrameType {
                    FrameType::$name
                }
            }

            impl From<$payload> for Frame {
                fn from(data: $payload) -> Self {
                    Self::$name(data)
                }
            }
        )*
    };
}

frames! {
    /// An incident was opened.
    IncidentNew = "incident.new", IncidentNew;
    /// An incident's status moved.
    StatusUpdate = "status.update", StatusUpdate;
    /// The analyst says what it inspects.
    AiThinking = "ai.thinking", AiThinking;
    /// The analyst's words as they come.
    AiStream = "ai.stream", AiStream;
    /// The analysis is complete.
    AiComplete = "ai.complete", AiComplete;
    /// One seat voted.
    CouncilVote = "council.vote", CouncilVoted;
    /// The council decided.
    CouncilDecision = "council.decision", CouncilDecided;
    /// A container was acted on.
    DockerAction = "docker.action", DockerAction;
    /// Replicas came or went.
    ScaleEvent = "scale.event", ScaleData;
    /// A verification attempt was made.
    HealthCheck = "health.check", HealthCheck;
    /// An incident was resolved.
    Resolved = "resolved", ResolvedData;
    /// An incident failed.
    Failed = "failed", FailedData;
    /// Container metrics.
    Metrics = "metrics", Vec<ContainerMetrics>;
    /// The containers of the host.
    ContainerList = "container.list", Vec<ContainerRow>;
    /// The topology.
    Topology = "topology", Topology;
    /// A sign of life.
    Heartbeat = "heartbeat", Heartbeat;
    /// The reader missed some frames.
    Lagged = "lagged", Lagged;
    /// How things stand, for one that cannot replay.
    Snapshot = "snapshot", Snapshot;
    /// A reconcile ran.
    Reconcile = "reconcile", ReconcileData;
    /// A resource changed.
    Resource = "resource", ResourceData;
    /// Automation was paused or let go on.
    Automation = "automation", AutomationView;
}

impl FrameType {
    /// Whether a newer frame of this type makes an older one worthless: it reports how things stand, not what happened.
    pub fn is_periodic(self) -> bool {
        matches!(
            self,
            Self::Metrics | Self::ContainerList | Self::Topology | Self::Heartbeat | Self::Automation
        )
    }
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.data().serialize(serializer)
    }
}

impl Payload for Frame {
    fn frame_type(&self) -> FrameType {
        self.kind()
    }
}

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
            #[expect(missing_docs, reason = "the names are the contract")]
            pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
        )*
    };
}

payloads! {
    /// `incident.new`; the first 200 characters of the logs.
    IncidentNew { incident_id: String, alert_type: String, logs: String }
    /// `status.update`.
    StatusUpdate { incident_id: String, status: Stage, message: String }
    /// `ai.thinking`.
    AiThinking { incident_id: String, message: String }
    /// `ai.stream`; clients that do not want the quadratic `full_text` say `?full_text=0`.
    AiStream {
        incident_id: String, chunk: String,
        /// Absent with `?full_text=0`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        full_text: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "AiRestart")]
        restart: Option<AiRestart>,
    }
    /// `ai.complete`.
    AiComplete { incident_id: String, analysis: AnalysisView }
    /// `council.vote`.
    CouncilVoted { incident_id: String, vote: VoteView }
    /// `council.decision`.
    CouncilDecided { incident_id: String, decision: CouncilView }
    /// `docker.action`.
    DockerAction { incident_id: String, action: Action, container: String }
    /// `scale.event`; without an incident for a change that a person requested.
    ScaleData { incident_id: Option<String>, event: ScaleEvent }
    /// `health.check`, one a real attempt.
    HealthCheck { incident_id: String, attempt: u32, healthy: bool }
    /// `resolved`.
    ResolvedData {
        incident_id: String, resolved_at: Option<Time>,
        /// Whether it was a dry run: nothing was done. Absent where it was not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
    }
    /// `failed`.
    FailedData { incident_id: String, error: Option<String> }
    /// `heartbeat`.
    Heartbeat {
        status: HeartbeatStatus,
        /// With `connected`, for clients that sent `?stream=`: what `seq` counts in. Another one is another process, whose
        /// numbers have nothing to do with those before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        stream: Option<String>,
    }
    /// `snapshot`: the newest incidents, and the host.
    Snapshot {
        incidents: Vec<IncidentResult>, containers: Arc<Vec<ContainerRow>>, metrics: Arc<Vec<ContainerMetrics>>,
        topology: Arc<Topology>,
    }
}

/// `lagged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lagged {
    /// So many numbers went to frames that were dropped before they could be read.
    pub missed: u64,
}

/// Why a sign of life is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatStatus {
    /// The connection is open.
    Connected,
    /// It answers `ping`.
    Alive,
}

/// In `ai.stream`: what was streamed so far does not count, as its model failed; what follows is another answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AiRestart {
    /// The provider that failed.
    pub provider: String,
    /// Why.
    pub reason: String,
}

/// `reconcile`: one run of a reconciler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
// In the order in which they have always been sent.
pub struct ReconcileData {
    /// How long it took, milliseconds.
    pub duration_ms: f64,
    /// Why it failed.
    pub error: Option<ReconcileError>,
    /// The object's generation, where it still exists.
    pub generation: Option<i64>,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// When the next run is due, milliseconds from now.
    pub requeue_after_ms: Option<u64>,
    /// `success`, `requeue` or `error`.
    pub result: String,
    /// What caused the run.
    pub trigger: String,
}

/// In `reconcile`: why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconcileError {
    /// One word, as in the metrics.
    pub category: String,
    /// The error and its causes.
    pub message: String,
}

/// `resource`: one change of one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceData {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub verb: String,
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The store's revision that the change made.
    #[serde(rename = "resourceVersion")]
    pub resource_version: String,
    /// The whole object after the change; for a deletion as it last was. Shared with every holder.
    pub object: Arc<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_has_one_spelling() {
        for kind in FrameType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(FrameType::of(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let vote = json!({"role": "AUDITOR", "verdict": "APPROVED", "reasoning": "r", "timestamp": "2026-01-31T12:00:00Z"});
        let event = json!({"container_base": "web", "replica_count": 1, "replicas": ["web-replica-1"],
            "lb_configured": true, "timestamp": "2026-01-31T12:00:00Z"});
        for (kind, data) in [
            (
                "incident.new",
                json!({"incident_id": "i", "alert_type": "OOM", "logs": "l"}),
            ),
            ("ai.stream", json!({"incident_id": "i", "chunk": "c"})),
            (
                "ai.stream",
                json!({"incident_id": "i", "chunk": "c", "full_text": "abc",
                "restart": {"provider": "p", "reason": "r"}}),
            ),
            ("council.vote", json!({"incident_id": "i", "vote": vote})),
            ("scale.event", json!({"incident_id": null, "event": event})),
            ("failed", json!({"incident_id": "i", "error": null})),
            ("metrics", json!([])),
            ("heartbeat", json!({"status": "alive"})),
            ("heartbeat", json!({"status": "connected", "stream": "s"})),
            ("lagged", json!({"missed": 3})),
            (
                "snapshot",
                json!({"incidents": [], "containers": [], "metrics": [], "topology": {"nodes": [], "edges": []}}),
            ),
            (
                "reconcile",
                json!({"kind": "Workload", "name": "web", "generation": null, "trigger": "store",
                "result": "error", "error": {"category": "engine", "message": "m"}, "duration_ms": 1.5,
                "requeue_after_ms": 3}),
            ),
            (
                "resource",
                json!({"verb": "ADDED", "kind": "Workload", "name": "web", "resourceVersion": "7",
                "object": {"kind": "Workload"}}),
            ),
            ("automation", json!({"workloads": {}})),
        ] {
            let frame = Frame::read(kind, &data).unwrap().unwrap();
            assert_eq!((frame.kind().as_str(), frame.data()), (kind, data));
        }
    }

    #[test]
    fn a_type_of_a_later_version_is_not_known_and_contents_that_do_not_fit_are_an_error() {
        assert_eq!(Frame::read("weather", &json!({})).unwrap(), None);
        assert!(Frame::read("lagged", &json!({"missed": "many"})).is_err());
    }
}
