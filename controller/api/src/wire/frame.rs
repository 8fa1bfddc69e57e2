//! What the frames of `/ws` carry, one struct a type. Pure.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{AnalysisView, CouncilView, ScaleEvent, VoteView};
use crate::incident::Stage;
use crate::proposal::Action;
use crate::scalar::Time;

macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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
        incident_id: String, chunk: String, full_text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
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
    /// `scale.event`; without an incident for a change that a person asked for.
    ScaleData { incident_id: Option<String>, event: ScaleEvent }
    /// `health.check`, one a real attempt.
    HealthCheck { incident_id: String, attempt: u32, healthy: bool }
    /// `resolved`.
    ResolvedData { incident_id: String, resolved_at: Option<Time> }
    /// `failed`.
    FailedData { incident_id: String, error: Option<String> }
}

/// In `ai.stream`: what was streamed so far does not count, as its model failed; what follows is another answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AiRestart {
    /// The provider that failed.
    pub provider: String,
    /// Why.
    pub reason: String,
}

/// `reconcile`: one run of a reconciler.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReconcileData {
    /// The kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The object's generation, where it still exists.
    pub generation: Option<i64>,
    /// What caused the run.
    pub trigger: String,
    /// `success`, `requeue` or `error`.
    pub result: String,
    /// How long it took, milliseconds.
    pub duration_ms: f64,
    /// When the next run is due, milliseconds from now.
    pub requeue_after_ms: Option<u64>,
}

/// `resource`: one change of one object.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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
    /// The whole object after the change; for a deletion as it last was. Shared with whoever holds it.
    pub object: Arc<Value>,
}
