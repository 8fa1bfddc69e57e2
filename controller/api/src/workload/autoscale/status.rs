//! What autoscaling says of itself in a Workload's status. Only its loop writes it. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AutoscaleMetric;
use crate::scalar::Time;

/// What autoscaling measures, wants and does, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoscaleStatus {
    /// `spec.replicas` when it decided.
    pub current: u32,
    /// How many replicas there are to be.
    pub desired: u32,
    /// How many the targets alone need; absent where none could be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Fewest replicas that may be, by the schedule.
    pub min: u32,
    /// Most replicas that may be, by the schedule.
    pub max: u32,
    /// Replicas that serve.
    pub serving: u32,
    /// Why, in one word: a reason of the condition `AutoscalingActive`.
    pub decision: String,
    /// Why, human-readable.
    pub message: String,
    /// Since when that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// One row a target, in the order of the spec.
    #[schemars(length(max = 8))]
    pub targets: Vec<AutoscaleTargetStatus>,
    /// Lowest answer within `scaleUpWindow`: scaling out follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_in_window: Option<u32>,
    /// Highest answer within `scaleDownWindow`: scaling in follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_in_window: Option<u32>,
    /// What holds it, if something does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<AutoscaleHold>,
    /// Until when replicas that a person set are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manual_until: Option<Time>,
    /// The replicas that it takes as given: those that it set, or found and took over. Others are somebody's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// Its own changes, newest last, at most twenty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub changes: Vec<ScaleChange>,
    /// The rate at which replicas were last too slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
}

/// Where one target stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleTargetStatus {
    /// What is measured.
    pub metric: AutoscaleMetric,
    /// What is to be held: percent, milliseconds, or so much a replica.
    pub target: f64,
    /// What was measured, in the same unit; absent where it could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<f64>,
    /// How many replicas it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// Why, human-readable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it cannot be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Time>,
}

/// What holds autoscaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutoscaleHold {
    /// Who.
    pub by: HoldBy,
    /// When it ends by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why, human-readable.
    pub message: String,
}

/// Who holds autoscaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HoldBy {
    /// A person set `spec.replicas`.
    Manual,
    /// An incident's plan is carried out or proved.
    Incident,
    /// Automation is paused, or the workload protected.
    Pause,
}

/// Replicas that are taken as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// The generation of the spec in which they were read.
    pub generation: i64,
    /// How many.
    pub replicas: u32,
}

/// A change of `spec.replicas`. Stored before it is made: on a generation that the Workload still has, it is yet to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleChange {
    /// When.
    pub at: Time,
    /// The Workload's generation that it was decided on.
    pub generation: i64,
    /// From how many.
    pub from: u32,
    /// To how many.
    pub to: u32,
}

/// At which load replicas were too slow: scaling in does not lead back there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Saturation {
    /// Requests a second of one replica.
    pub requests_per_second: f64,
    /// When.
    pub at: Time,
}
