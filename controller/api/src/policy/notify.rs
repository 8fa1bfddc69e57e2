//! Who is notified of the incidents of a policy's workloads, of what, and when. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FreezeWindow;
use crate::incident::Severity;

/// Who is notified of what becomes of incidents, and when. Empty: every configured destination, of what the configuration
/// says, at any time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotifyPolicy {
    /// Destinations; empty: all that are configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub to: Vec<NotifyTo>,
    /// Incidents of less severity than this are not reported.
    #[serde(default = "info", skip_serializing_if = "is_info")]
    pub min_severity: Severity,
    /// Which stages are reported; absent: as the controller is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<NotifyStages>,
    /// Weekly hours in which only what is critical or requires approval is reported at once; the rest is counted, and
    /// reported as one digest after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub quiet_hours: Vec<FreezeWindow>,
}

/// A kind of destination; the controller's configuration says where each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NotifyTo {
    /// Slack's incoming webhook (`SLACK_WEBHOOK_URL`).
    Slack,
    /// The Slack app (`SLACK_BOT_TOKEN`).
    SlackApp,
    /// The generic webhook (`NOTIFY_WEBHOOK_URL`).
    Webhook,
    /// Mail (`NOTIFY_SMTP_URL`).
    Email,
}

/// Which stages of an incident are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NotifyStages {
    /// Every entry of the timeline.
    All,
    /// Received, the council's decision, a plan that requires approval, what was done, and the end.
    Important,
    /// A plan that requires approval, and the end.
    End,
}

impl Default for NotifyPolicy {
    fn default() -> Self {
        Self {
            to: Vec::new(),
            min_severity: info(),
            stages: None,
            quiet_hours: Vec::new(),
        }
    }
}

impl NotifyPolicy {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn info() -> Severity {
    Severity::Info
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_info(severity: &Severity) -> bool {
    *severity == Severity::Info
}
