//! `Detector`: a condition over a signal that opens an Incident. Pure.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::defaults::Fill;
use crate::incident::Severity;
use crate::policy::WorkloadSelector;
use crate::scalar::{Duration, Time};
use crate::validate::{FieldError, Rules};

/// What to watch for: exactly one of `signal` (with `threshold` or `pattern` where it needs one) and `slo`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "Detector",
    plural = "detectors",
    singular = "detector",
    shortname = "det",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "DetectorStatus",
    printcolumn(name = "Signal", type_ = "string", json_path = ".spec.signal"),
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.alertType"),
    printcolumn(name = "Opened", type_ = "integer", json_path = ".status.incidentsOpened"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetectorSpec {
    /// Which workloads it watches.
    #[serde(default)]
    pub workloads: WorkloadSelector,
    /// What is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// The bound: percent for `Cpu`, `Memory` and `HttpErrorRatio`, milliseconds for `HttpLatency`, a count for `Restarts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub threshold: Option<f64>,
    /// For `LogPattern`: a regular expression (RE2 syntax) over one log line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
    /// How long the condition must hold.
    #[serde(default = "no_time", rename = "for")]
    pub for_: Duration,
    /// A service level objective with multi-window burn rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Severity of the incidents it opens.
    #[serde(default)]
    pub severity: Severity,
    /// Alert type of the incidents it opens.
    #[schemars(length(min = 1, max = 256))]
    pub alert_type: String,
}

/// What a detector can inspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Signal {
    /// A container died, or was OOM-killed.
    ContainerEvent,
    /// The probe fails.
    Health,
    /// CPU, percent of the limit.
    Cpu,
    /// Memory, percent of the limit.
    Memory,
    /// Restarts in the window.
    Restarts,
    /// A log line matches.
    LogPattern,
    /// 95th percentile from the load balancer, in milliseconds.
    HttpLatency,
    /// Share of 5xx from the load balancer, in percent.
    HttpErrorRatio,
}

/// A service level objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// Percent of requests that must succeed, such as 99.9.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub objective: f64,
    /// Burn rates; all windows of one must be above it.
    #[schemars(length(min = 1, max = 8))]
    pub burn_rates: Vec<BurnRate>,
}

/// One burn rate over a long and a short window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BurnRate {
    /// How many times faster than allowed the budget burns.
    #[schemars(range(min = 0.0))]
    pub factor: f64,
    /// The long window.
    pub long: Duration,
    /// The short window.
    pub short: Duration,
}

/// Observed state of a detector; only its reconciler writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DetectorStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One row a workload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<DetectorWorkload>,
    /// Incidents it has opened.
    pub incidents_opened: u64,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a detector sees of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectorWorkload {
    /// The Workload's name.
    pub workload: String,
    /// Whether the condition holds.
    pub firing: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

impl Fill for DetectorSpec {}

impl Rules for DetectorSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        match (&self.signal, &self.slo) {
            (None, None) => out.push(FieldError::required(path, "set `signal` or `slo`")),
            (Some(_), Some(_)) => {
                out.push(FieldError::forbidden(
                    format!("{path}.slo"),
                    "`signal` and `slo` exclude each other: keep one",
                ));
            }
            _ => {}
        }
        match self.signal {
            Some(Signal::LogPattern) if self.pattern.is_none() => {
                out.push(FieldError::required(
                    format!("{path}.pattern"),
                    "LogPattern needs a pattern",
                ));
            }
            Some(
                Signal::Cpu
                | Signal::Memory
                | Signal::Restarts
                | Signal::HttpLatency
                | Signal::HttpErrorRatio,
            ) if self.threshold.is_none() => {
                out.push(FieldError::required(
                    format!("{path}.threshold"),
                    "this signal needs a threshold",
                ));
            }
            _ => {}
        }
    }
}

const fn no_time() -> Duration {
    Duration::from_millis(0)
}
