//! What `/notifications` answers: where notifications go, and what became of the latest. Ours; the earlier system had none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Where notifications go, and what became of the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationList {
    /// Every configured destination.
    pub destinations: Vec<DestinationView>,
    /// The latest deliveries, newest first: of each destination at most a hundred that were sent and a hundred that were
    /// dropped. A restart forgets them.
    pub deliveries: Vec<Delivery>,
}

/// One destination since the controller's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationView {
    /// `slack`, `slack-app`, `webhook`, `email` or `otlp`.
    pub name: String,
    /// Why nothing is sent any more, until a test succeeds or the controller starts again; absent while it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were taken.
    pub sent: u64,
    /// Attempts that failed; each is tried again.
    pub failures: u64,
    /// Messages that were given up.
    pub dropped: u64,
    /// Messages that a digest stands for: of quiet hours, and of storms.
    pub folded: u64,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// When that was known.
    pub at: Time,
    /// Where it went.
    pub destination: String,
    /// Name of the Incident; empty for what is about none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incident: String,
    /// A stage of the timeline, or `MESSAGE` (an incident's own message in Slack), `DIGEST`, `REMINDER`.
    pub about: String,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeliveryOutcome {
    /// The receiver took it.
    Sent,
    /// It was given up: a dead letter.
    Dropped,
}

/// What became of the test messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationTests {
    /// One row a destination that was tried.
    pub results: Vec<NotificationTest>,
}

/// What became of one test message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationTest {
    /// The destination.
    pub destination: String,
    /// Why it was not taken; absent where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
