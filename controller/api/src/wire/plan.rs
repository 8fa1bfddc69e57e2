//! What a change of a Workload would do, as the server answers it before anything is done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the containers of a Workload would go through until they are as its spec asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadPlan {
    /// The Workload.
    pub workload: String,
    /// Its `spec.replicas` after that.
    pub replicas: u32,
    /// What would be done, in order.
    pub steps: Vec<PlannedStep>,
    /// Containers that nothing would be done to.
    pub untouched: Vec<String>,
    /// What those who use it would notice.
    pub clients: ClientImpact,
    /// What would be waited for; empty where all of it can be done.
    pub waiting: Vec<String>,
    /// What cannot be done, and why.
    pub refused: Vec<String>,
    /// Whether all would be as the spec asks in the end.
    pub complete: bool,
}

/// One thing done to one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// In which pass: steps of one pass are taken at the same time.
    pub pass: u32,
    /// What.
    pub action: PlannedAction,
    /// Name of the container.
    pub container: String,
}

/// What is done to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlannedAction {
    /// It is made and started.
    Create,
    /// It is started.
    Start,
    /// It is stopped and started.
    Restart,
    /// It is stopped and removed.
    Remove,
}

impl PlannedAction {
    /// `create`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Remove => "remove",
        }
    }
}

/// What those who use a Workload notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientImpact {
    /// How many containers serve now.
    pub serving_before: u32,
    /// How few serve at the same time meanwhile.
    pub serving_least: u32,
    /// How many serve in the end.
    pub serving_after: u32,
    /// In words.
    pub message: String,
}
