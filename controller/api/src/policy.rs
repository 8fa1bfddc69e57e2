//! `RemediationPolicy`: what automation may do to which workloads. Deterministic and stronger than any model. Pure.

mod analysis;
mod known;
mod notify;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::defaults::{Defaults, Fill, add};
use crate::proposal::{Action, Seat};
use crate::scalar::{Duration, ResourceName};
use crate::validate::{FieldError, Rules};

pub use analysis::{AnalysisPolicy, BUILTIN, SeatProviders};
pub use known::{RUNBOOK, RunbookTerms};
pub use notify::{NotifyPolicy, NotifyStages, NotifyTo};

/// What automation may do.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "RemediationPolicy",
    plural = "remediationpolicies",
    singular = "remediationpolicy",
    shortname = "rp",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "RemediationPolicyStatus",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Actions", type_ = "integer", json_path = ".status.actionsInWindow"),
    printcolumn(name = "Budget", type_ = "integer", json_path = ".spec.actionsPerHour"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.paused", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemediationPolicySpec {
    /// Which workloads it governs. Where several policies match, one that names the workload wins over one that
    /// selects by label, and that over one that selects all; among equals the first by name.
    #[serde(default)]
    pub workloads: WorkloadSelector,
    /// How far automation may go.
    #[serde(default)]
    pub mode: Mode,
    /// Actions that are allowed. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_actions: Vec<Action>,
    /// Bounds on replicas, the adopted container counted.
    #[serde(default)]
    pub replicas: ReplicaBounds,
    /// Least time between two actions on one workload.
    #[serde(default = "thirty_seconds")]
    pub cooldown: Duration,
    /// Most actions on one workload in a sliding hour; past it a human must approve.
    #[serde(default = "six")]
    #[schemars(range(min = 0, max = 1000))]
    pub actions_per_hour: u32,
    /// Which models analyse and review, where the controller's own order will not do.
    #[serde(default, skip_serializing_if = "AnalysisPolicy::is_empty")]
    pub analysis: AnalysisPolicy,
    /// Who votes, and how many must approve.
    #[serde(default)]
    pub council: Council,
    /// When automation holds still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze_windows: Vec<FreezeWindow>,
    /// What counts as proof.
    #[serde(default)]
    pub verification: VerificationPolicy,
    /// Actions to try in turn when the proposed one does not help; those that cannot clear what is measured are passed
    /// over. Empty: the ladder of the symptom's class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Action>,
    /// How long a report is watched of which nothing can be measured, before it ends without an action.
    #[serde(default = "ten_seconds", skip_serializing_if = "is_ten_seconds")]
    pub confirm_within: Duration,
    /// What becomes of it then.
    #[serde(default, skip_serializing_if = "Unconfirmed::is_default")]
    pub unconfirmed: Unconfirmed,
    /// How long a cleared symptom must stay away for the action to count as its cure.
    #[serde(default = "quarter_of_an_hour", skip_serializing_if = "is_quarter_of_an_hour")]
    pub relapse_window: Duration,
    /// Alerts whose firing is taken for a symptom that is measured, and whose resolve message clears it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub trusted_alerts: Vec<TrustedAlert>,
    /// Who is notified of the incidents of its workloads, of what, and when.
    #[serde(default, skip_serializing_if = "NotifyPolicy::is_empty")]
    pub notify: NotifyPolicy,
}

/// An alert that is believed without measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedAlert {
    /// `spec.source.kind` of its incidents, such as `webhook`.
    #[schemars(length(min = 1, max = 64))]
    pub source: String,
    /// Their `spec.alertType`.
    #[schemars(length(min = 1, max = 256))]
    pub alert_type: String,
    /// What may be done about it, the first choice first.
    #[schemars(length(min = 1, max = 4))]
    pub actions: Vec<Action>,
}

/// What becomes of a report of which nothing could be measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unconfirmed {
    /// It ends as NOOP, and says what could not be measured.
    #[default]
    NoAction,
    /// A human decides.
    RequireApproval,
}

impl Unconfirmed {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl RemediationPolicySpec {
    /// What this policy believes of an incident from such a source and of such a type; `None` where it believes nothing.
    pub fn trusts(&self, source: &str, alert_type: &str) -> Option<&TrustedAlert> {
        let mut trusted = self.trusted_alerts.iter();
        trusted.find(|alert| alert.source == source && alert.alert_type == alert_type)
    }
}

impl Default for RemediationPolicySpec {
    fn default() -> Self {
        Self {
            workloads: WorkloadSelector::default(),
            mode: Mode::default(),
            allowed_actions: Vec::new(),
            replicas: ReplicaBounds::default(),
            cooldown: thirty_seconds(),
            actions_per_hour: six(),
            analysis: AnalysisPolicy::default(),
            council: Council::default(),
            freeze_windows: Vec::new(),
            verification: VerificationPolicy::default(),
            fallback: Vec::new(),
            confirm_within: ten_seconds(),
            unconfirmed: Unconfirmed::default(),
            relapse_window: quarter_of_an_hour(),
            trusted_alerts: Vec::new(),
            notify: NotifyPolicy::default(),
        }
    }
}

/// Which workloads. Empty: all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSelector {
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<ResourceName>,
    /// By labels of the Workload; all must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

impl WorkloadSelector {
    /// How closely this selects a workload: `None` if it does not, else 0 (all), 1 (labels), 2 (name).
    pub fn rank(&self, name: &str, labels: &BTreeMap<String, String>) -> Option<u8> {
        if self.names.iter().any(|wanted| wanted.as_str() == name) {
            return Some(2);
        }
        let by_label = self
            .match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        match (self.names.is_empty(), self.match_labels.is_empty()) {
            (true, true) => Some(0),
            (_, false) if by_label => Some(1),
            _ => None,
        }
    }
}

/// How far automation may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Acts by itself within this policy.
    Auto,
    /// Plans, then waits for a human. What a policy that does not say means.
    #[default]
    Approve,
    /// Plans and says what `Auto` would do, refusals and questions to a human among it; never acts.
    DryRun,
    /// Does nothing; incidents wait.
    Off,
}

/// Bounds on replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicaBounds {
    /// Fewest.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 200))]
    pub min: u32,
    /// Most. Absent: `MAX_REPLICAS` of the environment (5) beside the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub max: Option<u32>,
}

impl Default for ReplicaBounds {
    fn default() -> Self {
        Self { min: 1, max: None }
    }
}

/// The council's make-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Council {
    /// Seats that vote.
    #[serde(default = "all_seats")]
    #[schemars(length(min = 1, max = 3))]
    pub seats: Vec<Seat>,
    /// Approvals needed, at least one of them from a reviewer.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 3))]
    pub quorum: u32,
}

impl Default for Council {
    fn default() -> Self {
        Self {
            seats: all_seats(),
            quorum: 2,
        }
    }
}

/// A weekly window in which automation holds still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeWindow {
    /// Days on which it begins. Empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// When it begins, `HH:MM` UTC.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// When it ends, `HH:MM` UTC; before `start` means the next day.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub end: String,
    /// Why, human-readable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "days need no words")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// What counts as proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationPolicy {
    /// Passing attempts in a row.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub successes: u32,
    /// How long it must stay healthy after the first passing attempt; shorter than `deadline`.
    #[serde(default = "no_time")]
    pub soak: Duration,
    /// When verification times out.
    #[serde(default = "verification_deadline")]
    pub deadline: Duration,
}

impl Default for VerificationPolicy {
    fn default() -> Self {
        Self {
            successes: 1,
            soak: no_time(),
            deadline: verification_deadline(),
        }
    }
}

/// Observed state of a policy; only its reconciler writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemediationPolicyStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Actions in the last hour on the one workload under it that had the most of them.
    pub actions_in_window: u32,
    /// Why automation holds still now; absent when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl Fill for RemediationPolicySpec {
    fn fill(spec: &mut Value, defaults: &Defaults) {
        let Some(fields) = spec.as_object_mut() else {
            return;
        };
        add(fields, "verification", Map::new());
        let verification = fields.get_mut("verification").and_then(Value::as_object_mut);
        if let Some(verification) = verification {
            add(verification, "deadline", defaults.verification_deadline);
        }
    }
}

impl Rules for RemediationPolicySpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        self.analysis.rules(&format!("{path}.analysis"), out);
        if let Some(max) = self.replicas.max
            && self.replicas.min > max
        {
            out.push(FieldError::invalid(
                format!("{path}.replicas.min"),
                self.replicas.min,
                format!("must not be above replicas.max, {max}"),
            ));
        }
        let verification = &self.verification;
        if verification.soak.std() >= verification.deadline.std() {
            out.push(FieldError::invalid(
                format!("{path}.verification.soak"),
                verification.soak,
                format!(
                    "must be shorter than verification.deadline, {}",
                    verification.deadline
                ),
            ));
        }
        for (at, alert) in self.trusted_alerts.iter().enumerate() {
            if alert.actions.contains(&Action::Noop) {
                out.push(FieldError::invalid(
                    format!("{path}.trustedAlerts[{at}].actions"),
                    "NOOP",
                    "name what may be done: RESTART, SCALE_UP, SCALE_DOWN or ROLLBACK",
                ));
            }
        }
        let seats = u32::try_from(self.council.seats.len()).unwrap_or(u32::MAX);
        if self.council.quorum > seats {
            out.push(FieldError::invalid(
                format!("{path}.council.quorum"),
                self.council.quorum,
                format!("there are only {seats} seats"),
            ));
        }
        let duplicate = self
            .council
            .seats
            .iter()
            .enumerate()
            .any(|(i, seat)| self.council.seats.iter().take(i).any(|s| s == seat));
        if duplicate {
            out.push(FieldError::invalid(
                format!("{path}.council.seats"),
                "",
                "name each seat once",
            ));
        }
        if self.council.seats.iter().all(|seat| *seat == Seat::SreAgent) {
            out.push(FieldError::invalid(
                format!("{path}.council.seats"),
                "SRE_AGENT",
                "at least one reviewer (SECURITY_OFFICER or AUDITOR) must sit: no seat approves its own proposal alone",
            ));
        }
    }
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
fn is_ten_seconds(duration: &Duration) -> bool {
    *duration == ten_seconds()
}
fn quarter_of_an_hour() -> Duration {
    Duration::from_secs(15 * 60)
}
fn is_quarter_of_an_hour(duration: &Duration) -> bool {
    *duration == quarter_of_an_hour()
}
fn one() -> u32 {
    1
}
fn two() -> u32 {
    2
}
fn six() -> u32 {
    6
}
fn all_seats() -> Vec<Seat> {
    vec![Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor]
}
const fn no_time() -> Duration {
    Duration::from_millis(0)
}
fn verification_deadline() -> Duration {
    Defaults::default().verification_deadline
}
const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_that_no_verification_could_outlast_is_refused() {
        let refused = |verification: &str| {
            let spec: RemediationPolicySpec =
                serde_json::from_str(&format!(r#"{{"verification": {verification}}}"#)).unwrap();
            let mut errors = Vec::new();
            spec.rules("spec", &mut errors);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(refused(r#"{"soak": "59s", "deadline": "1m"}"#).is_empty());
        assert_eq!(
            refused(r#"{"soak": "60s", "deadline": "1m"}"#),
            ["spec.verification.soak: Invalid value: 1m: must be shorter than verification.deadline, 1m"]
        );
    }
}
