//! `Detector`: a condition over a signal that opens an Incident. Pure.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::defaults::Fill;
use crate::incident::Severity;
use crate::policy::WorkloadSelector;
use crate::scalar::{Duration, ResourceName, Time};
use crate::signals::bounds;
use crate::validate::{FieldError, Rules};

/// What to watch for: exactly one of `signal` and `slo`.
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
    printcolumn(name = "Firing", type_ = "integer", json_path = ".status.firing"),
    printcolumn(name = "Value", type_ = "number", json_path = ".status.value"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
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
    /// From which value the condition holds, in the unit of the signal; each that has a bound has a default. Percent of the
    /// limit for `Memory` and `Pids`, of one core for `Cpu` and `Spin`, of scheduling periods for `Throttling`, of requests
    /// for `HttpErrorRatio`, of what there is for `HostDisk`, `HostInodes` and `HostMemory`; minutes, at most, until memory
    /// is full for `MemoryGrowth`; milliseconds for `HttpLatency`; robust standard deviations for `CpuAnomaly` and
    /// `MemoryAnomaly`; a count for `Restarts`, `LogErrors` and `LogPattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub threshold: Option<f64>,
    /// For `LogPattern`: a regular expression (RE2 syntax) over one log line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
    /// How long the condition must hold before the detector fires.
    #[serde(default = "no_time", rename = "for")]
    pub for_: Duration,
    /// How long it must not hold before that is over.
    #[serde(default = "one_minute")]
    pub clear: Duration,
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
    /// A container crashed, or was OOM-killed; what people, this controller or the engine stopped did not.
    ContainerEvent,
    /// A container was OOM-killed.
    OutOfMemory,
    /// A container does not run, and was not stopped on purpose.
    Down,
    /// Crashes of one container within ten minutes.
    Restarts,
    /// The probe, or Docker's health check, fails.
    Health,
    /// A container is connected to no network, and was made for one.
    NetworkLost,
    /// Busy, and the probe fails.
    Spin,
    /// CPU, percent of one core.
    Cpu,
    /// Held back by the CPU limit, percent of scheduling periods.
    Throttling,
    /// Memory, percent of the limit.
    Memory,
    /// Memory surely grows and will be full within so many minutes.
    MemoryGrowth,
    /// Processes and threads, percent of the limit.
    Pids,
    /// Log lines of the last five minutes that report an error.
    LogErrors,
    /// Log lines of the last five minutes that match.
    LogPattern,
    /// Fewer replicas are ready than desired.
    ReplicasMissing,
    /// 95th percentile from the load balancer, in milliseconds.
    HttpLatency,
    /// Share of 5xx from the load balancer, in percent.
    HttpErrorRatio,
    /// No server is in rotation at the load balancer.
    NoServer,
    /// CPU, in robust standard deviations from the container's own last day.
    CpuAnomaly,
    /// Memory, in robust standard deviations from the container's own last day.
    MemoryAnomaly,
    /// The file system of the engine, or of the state directory, whichever is fuller, percent.
    HostDisk,
    /// The same of its inodes.
    HostInodes,
    /// Memory of the host that is in use, percent.
    HostMemory,
    /// The Docker engine does not answer.
    EngineAway,
}

impl Signal {
    /// From which value it is trouble where the spec sets no threshold; `None` for one that has no bound.
    pub fn default_threshold(self) -> Option<f64> {
        Some(match self {
            Self::Restarts => bounds::CRASH_LOOP.into(),
            Self::Cpu | Self::Spin => bounds::CPU_PERCENT,
            Self::Throttling => bounds::THROTTLED_PERCENT,
            Self::Memory => bounds::MEMORY_PERCENT,
            Self::MemoryGrowth => bounds::LEAK_MINUTES,
            Self::Pids => bounds::PIDS_PERCENT,
            Self::LogErrors => bounds::ERROR_BURST.into(),
            Self::LogPattern => 1.0,
            Self::HttpLatency => bounds::HTTP_LATENCY_MS,
            Self::HttpErrorRatio => bounds::HTTP_ERROR_PERCENT,
            Self::CpuAnomaly | Self::MemoryAnomaly => bounds::ANOMALY_FACTOR,
            Self::HostDisk => bounds::DISK_PERCENT,
            Self::HostInodes => bounds::INODES_PERCENT,
            Self::HostMemory => bounds::HOST_MEMORY_PERCENT,
            Self::ContainerEvent
            | Self::OutOfMemory
            | Self::Down
            | Self::Health
            | Self::NetworkLost
            | Self::ReplicasMissing
            | Self::NoServer
            | Self::EngineAway => return None,
        })
    }

    /// Whether it is the host's, not a workload's.
    pub fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::HostDisk | Self::HostInodes | Self::HostMemory | Self::EngineAway
        )
    }
}

/// A service level objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// Percent of requests that must succeed, such as 99.9.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub objective: f64,
    /// Burn rates; both windows of one must be above it. Absent: 14.4 over 1h and 5m, and 6 over 6h and 30m.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
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
    /// One row a workload, or one for the host; those that fire first, at most two hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub workloads: Vec<DetectorWorkload>,
    /// For how many workloads it fires.
    pub firing: u32,
    /// The greatest of the last values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Incidents it has opened.
    pub incidents_opened: u64,
    /// `Ready`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a detector sees of one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectorWorkload {
    /// The Workload's name; absent where it is about the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Whether the detector fires.
    pub firing: bool,
    /// Whether the condition holds: `True`, `False`, or `Unknown` where it could not be measured.
    pub condition: String,
    /// Since when the condition holds, while the detector fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When its last incident ended while the condition still held: to fire again, the condition must hold from then on
    /// for as long as `for`, and as `clear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The container that decides, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What was read, human-readable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 300))]
    pub message: String,
    /// The Incident that it opened or joined, while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<ResourceName>,
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
            (None, Some(slo)) => slo.rules(&format!("{path}.slo"), out),
            (Some(_), None) => {}
        }
        self.threshold_rules(path, out);
        self.pattern_rules(&format!("{path}.pattern"), out);
        let selects = self.workloads != WorkloadSelector::default();
        if selects && self.signal.is_some_and(Signal::is_of_host) {
            out.push(FieldError::forbidden(
                format!("{path}.workloads"),
                "this signal is the host's: it selects no workloads",
            ));
        }
    }
}

impl DetectorSpec {
    fn threshold_rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let bounded = self
            .signal
            .is_some_and(|signal| signal.default_threshold().is_some());
        if self.threshold.is_some() && !bounded {
            out.push(FieldError::forbidden(
                format!("{path}.threshold"),
                "it has no bound: leave it out (an `slo` has burnRates)",
            ));
        }
    }

    fn pattern_rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let is_pattern = self.signal == Some(Signal::LogPattern);
        match &self.pattern {
            None if is_pattern => out.push(FieldError::required(path, "LogPattern needs a pattern")),
            Some(_) if !is_pattern => out.push(FieldError::forbidden(path, "only LogPattern has a pattern")),
            Some(pattern) => {
                let Err(error) = compiled(pattern) else { return };
                let last = error.to_string();
                let last = last.lines().last().unwrap_or_default().trim().to_owned();
                out.push(FieldError::invalid(
                    path,
                    pattern,
                    format!("use a regular expression: {last}"),
                ));
            }
            _ => {}
        }
    }
}

/// A pattern, ready to be matched; one whose program would take more than 1 MiB is refused.
pub fn compiled(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build()
}

impl Rules for Slo {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if self.objective >= 100.0 || self.objective <= 0.0 {
            out.push(FieldError::invalid(
                format!("{path}.objective"),
                self.objective,
                "use a percentage above 0 and below 100, such as 99.9: at 100 nothing may ever fail",
            ));
        }
        for (index, rate) in self.burn_rates.iter().enumerate() {
            if rate.short.std().is_zero() || rate.short.std() > rate.long.std() {
                out.push(FieldError::invalid(
                    format!("{path}.burnRates[{index}].short"),
                    rate.short,
                    format!("use 1s or more, and no more than the long window, {}", rate.long),
                ));
            }
        }
    }
}

const fn no_time() -> Duration {
    Duration::from_millis(0)
}
const fn one_minute() -> Duration {
    Duration::from_secs(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(spec: &str) -> Vec<String> {
        let spec: DetectorSpec =
            serde_json::from_value(crate::yaml::parse(spec).unwrap().remove(0).value).unwrap();
        let mut out = Vec::new();
        spec.rules("spec", &mut out);
        out.iter().map(|fault| fault.field.clone()).collect()
    }

    #[test]
    fn what_makes_no_sense_together_is_refused_by_name() {
        for (spec, wanted) in [
            ("{signal: Cpu, alertType: x}", vec![]),
            (
                "{signal: Cpu, threshold: 50, for: 1m, clear: 2m, alertType: x}",
                vec![],
            ),
            ("{slo: {objective: 99.9}, alertType: x}", vec![]),
            ("{alertType: x}", vec!["spec"]),
            (
                "{signal: Cpu, slo: {objective: 99}, alertType: x}",
                vec!["spec.slo"],
            ),
            (
                "{signal: Health, threshold: 1, alertType: x}",
                vec!["spec.threshold"],
            ),
            (
                "{slo: {objective: 99}, threshold: 1, alertType: x}",
                vec!["spec.threshold"],
            ),
            ("{signal: LogPattern, alertType: x}", vec!["spec.pattern"]),
            (
                "{signal: LogPattern, pattern: '(', alertType: x}",
                vec!["spec.pattern"],
            ),
            ("{signal: Cpu, pattern: a, alertType: x}", vec!["spec.pattern"]),
            (
                "{signal: HostDisk, workloads: {names: [a]}, alertType: x}",
                vec!["spec.workloads"],
            ),
            (
                "{slo: {objective: 100}, alertType: x}",
                vec!["spec.slo.objective"],
            ),
            (
                "{slo: {objective: 99, burnRates: [{factor: 2, long: 1m, short: 1h}]}, alertType: x}",
                vec!["spec.slo.burnRates[0].short"],
            ),
        ] {
            assert_eq!(faults(spec), wanted, "{spec}");
        }
    }
}
