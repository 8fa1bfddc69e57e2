//! What `POST /autoscale/simulate` takes and answers: recorded signals, and what autoscaling would have done. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Duration;
use crate::workload::Autoscale;

/// Most rows of a trace.
pub const MOST_TRACE_ROWS: usize = 5_000;

/// What is to be simulated. Reads only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SimulationRequest {
    /// A Workload: its `spec.autoscale` and its recorded signals, where those are not given here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// What to try instead of its `spec.autoscale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<Autoscale>,
    /// The signals, in order of time. Without them: those of the workload that the controller keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MOST_TRACE_ROWS))]
    pub trace: Option<Vec<TraceRow>>,
    /// Replicas at the beginning; without it those of the first row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub replicas: Option<u32>,
    /// How long a replica takes until it serves; 5s without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_up: Option<Duration>,
}

/// The signals of a workload at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TraceRow {
    /// Seconds since the trace began, or since 1970.
    pub at: i64,
    /// Replicas that served.
    pub replicas: u32,
    /// Requests a second, of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// Requests under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,
    /// Milliseconds within which 95 of 100 were answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_milliseconds: Option<f64>,
    /// Percent of the answers that were 5xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<f64>,
    /// Percent of its CPU limit that a replica used, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Percent of its memory limit that a replica used, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_percent: Option<f64>,
    /// What External targets read, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<f64>,
}

/// What was decided at a moment of a trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Simulated {
    /// As the trace has it.
    pub at: i64,
    /// Replicas before the decision.
    pub replicas: u32,
    /// Of those, how many served.
    pub serving: u32,
    /// What the targets requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Replicas after it.
    pub desired: u32,
    /// Why, in one word.
    pub decision: String,
    /// Why.
    pub message: String,
}

/// A trace, summed up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SimulationSummary {
    /// Moments at which there was something new to say.
    pub rows: Vec<Simulated>,
    /// How often it scaled out.
    pub outs: u32,
    /// How often it scaled in.
    pub ins: u32,
    /// How often a change went the other way than the one before.
    pub turns: u32,
    /// Fewest replicas.
    pub fewest: u32,
    /// Most replicas.
    pub most: u32,
    /// Replica-seconds: what it would have cost.
    pub replica_seconds: u64,
}
