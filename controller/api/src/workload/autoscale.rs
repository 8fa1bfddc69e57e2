//! Scaling by load, as a Workload's spec has it: what is measured, the bounds, and how fast. The meaning of every field is
//! that of the HorizontalPodAutoscaler `autoscaling/v2` where it has one. Pure.

mod rules;
mod status;

use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value_source::ValueSource;
use super::{five_minutes, is_default, no_time, thirty_seconds};
use crate::scalar::Duration;

pub(crate) use rules::why_no_fewer;
pub use status::{
    AutoscaleHold, AutoscaleStatus, AutoscaleTargetStatus, HoldBy, Known, Saturation, ScaleChange,
};

/// Scaling by load. While it is set, it owns `spec.replicas`, unless that is 0: then the workload is switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscale {
    /// Fewest replicas.
    #[schemars(range(min = 1, max = 200))]
    pub min: u32,
    /// Most replicas.
    #[schemars(range(min = 1, max = 200))]
    pub max: u32,
    /// What to hold; the largest answer wins.
    #[schemars(length(min = 1, max = 8))]
    pub targets: Vec<AutoscaleTarget>,
    /// How far back to look before scaling out: the lowest answer of that time is followed. At most 1h.
    #[serde(default = "no_time", skip_serializing_if = "is_no_time")]
    pub scale_up_window: Duration,
    /// How far back to look before scaling in: the highest answer of that time is followed. At most 1h.
    #[serde(default = "five_minutes")]
    pub scale_down_window: Duration,
    /// How fast it scales out. Without policies: by 4 replicas or to the double within 15 s, whichever is more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_up: ScaleBehavior,
    /// How fast it scales in. Without policies: as far as the targets allow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_down: ScaleBehavior,
    /// The time over which what is measured is averaged: 6s to 10m.
    #[serde(default = "thirty_seconds", skip_serializing_if = "is_thirty_seconds")]
    pub metric_window: Duration,
    /// How long after its probe first passes a replica does not count for Cpu, Memory and LatencyP95 yet. At most 10m.
    #[serde(default = "no_time", skip_serializing_if = "is_no_time")]
    pub warm_up: Duration,
    /// How long `replicas` as a person set it are held. At most 24h; 0s holds nothing.
    #[serde(default = "ten_minutes", skip_serializing_if = "is_ten_minutes")]
    pub hold_after_manual: Duration,
    /// What a target answers that could not be measured for a while. Without it: nothing, and nothing is scaled in meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<AutoscaleFallback>,
    /// Holds while many requests are answered with 5xx. The share of errors is never a target: more replicas do not cure them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_brake: Option<ErrorBrake>,
    /// Other bounds at certain times. Where several are in force the highest `min` and the highest `max` of them are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub schedule: Vec<ScheduledBounds>,
    /// Scales out for the requests that there will be so much later, if they go on growing as they did within
    /// `metricWindow` (RequestsPerSecond and InFlight only). Off without it; at most 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_start: Option<Duration>,
}

/// One target of an autoscaled workload. Each metric has its own fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutoscaleTarget {
    /// What is measured.
    pub metric: AutoscaleMetric,
    /// Cpu, Memory: percent of the container's limit to hold, mean over the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u32>,
    /// RequestsPerSecond, InFlight, External: how much of it one replica is to have; above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub value: Option<f64>,
    /// LatencyP95: milliseconds within which 95 of 100 requests are to be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub milliseconds: Option<u32>,
    /// External: an http or https address that answers a number, or JSON with the number at `field`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
    /// External: where in the JSON that `url` answers the number is, as a JSON pointer such as `/queue/length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub field: Option<String>,
    /// External: base address of a Prometheus server, such as `http://prometheus:9090`; with `query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub prometheus: Option<String>,
    /// External: a PromQL expression whose answer is one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
    /// External: where the bearer token stands that the request is sent with. No place for the token itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_value_from: Option<ValueSource>,
}

/// What autoscaling can measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AutoscaleMetric {
    /// CPU of the container's limit, or of one core without one.
    Cpu,
    /// Memory of the container's limit.
    Memory,
    /// Requests that load balancers sent to it, a second.
    RequestsPerSecond,
    /// Requests under way at load balancers: rate times mean time.
    InFlight,
    /// Within how many milliseconds 95 of 100 requests were answered, as load balancers saw it.
    LatencyP95,
    /// A number that another system knows, such as the length of a queue.
    External,
}

impl AutoscaleMetric {
    /// As it is spelled on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "Cpu",
            Self::Memory => "Memory",
            Self::RequestsPerSecond => "RequestsPerSecond",
            Self::InFlight => "InFlight",
            Self::LatencyP95 => "LatencyP95",
            Self::External => "External",
        }
    }

    /// Whether it is counted from the logs of load balancers.
    pub const fn is_of_requests(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::InFlight | Self::LatencyP95)
    }
}

/// How fast it scales in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScaleBehavior {
    /// How much may change within a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
    /// Which policy counts where they differ. `Disabled` pauses this direction.
    #[serde(default, skip_serializing_if = "is_default")]
    pub select_policy: SelectPolicy,
    /// By how many percent the reading may differ from the target before anything changes.
    #[serde(default = "ten")]
    #[schemars(range(min = 0, max = 100))]
    pub tolerance_percent: u32,
}

impl Default for ScaleBehavior {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            select_policy: SelectPolicy::default(),
            tolerance_percent: ten(),
        }
    }
}

/// How much may change within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalingPolicy {
    /// What `value` counts.
    #[serde(rename = "type")]
    pub kind: ScalingPolicyType,
    /// How much.
    #[schemars(range(min = 1, max = 10000))]
    pub value: u32,
    /// Within which time: 1s to 30m.
    pub period: Duration,
}

/// What a scaling policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingPolicyType {
    /// Replicas.
    Pods,
    /// Percent of the replicas that there were when the time began.
    Percent,
}

/// Which policy counts where they differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the greatest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: this direction is paused.
    Disabled,
}

/// What a target answers that could not be measured for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutoscaleFallback {
    /// After how long: 10s to 24h.
    #[serde(default = "two_minutes")]
    pub after: Duration,
    /// How many replicas.
    #[schemars(range(min = 1, max = 200))]
    pub replicas: u32,
    /// What that is compared with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub behavior: FallbackBehavior,
}

/// What a fallback is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FallbackBehavior {
    /// Nothing: that many replicas.
    #[default]
    Static,
    /// The current number, where that is higher.
    CurrentReplicasIfHigher,
    /// The current number, where that is lower.
    CurrentReplicasIfLower,
}

/// Holds while many requests are answered with 5xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErrorBrake {
    /// From how many percent of at least 20 answers within `metricWindow`.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u32,
    /// What is held.
    #[serde(default, skip_serializing_if = "is_default")]
    pub holds: BrakeHolds,
}

/// What a brake holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BrakeHolds {
    /// Scaling in: what is overloaded answers 5xx, too, and is still scaled out.
    #[default]
    ScaleDown,
    /// Both directions.
    Both,
}

/// Bounds at certain times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduledBounds {
    /// When they begin to be in force, as five fields of cron: `0 8 * * 1-5`.
    #[schemars(length(min = 9, max = 128))]
    pub start: String,
    /// When they cease to be, in the same way.
    #[schemars(length(min = 9, max = 128))]
    pub end: String,
    /// Name of the time zone, as the IANA has it: `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Fewest replicas meanwhile; without it that of `autoscale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub min: Option<u32>,
    /// Most replicas meanwhile; without it that of `autoscale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub max: Option<u32>,
    /// Its times, once they were read. No part of what it says.
    #[serde(skip)]
    #[schemars(skip)]
    read: ReadOnce,
}

/// The times of scheduled bounds, read.
#[derive(Debug)]
pub struct ScheduledTimes {
    /// When they begin, by the clock on the wall: as if its time zone were UTC.
    pub start: cronexpr::Crontab,
    /// When they end, in the same way.
    pub end: cronexpr::Crontab,
    /// Where that wall is.
    pub time_zone: jiff::tz::TimeZone,
}

/// The field of a schedule that cannot be read, and what is allowed.
pub type NotATime = (&'static str, &'static str);

/// The times of scheduled bounds, with the text that they were read from.
type Read = ([String; 3], Result<Arc<ScheduledTimes>, NotATime>);

/// Times that are read once.
#[derive(Debug, Clone, Default)]
struct ReadOnce(OnceLock<Arc<Read>>);

impl PartialEq for ReadOnce {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ReadOnce {}

/// What a schedule's time may be.
const CRON: &str = "five fields of cron, minute, hour, day of month, month and day of week, of a time that comes within \
                    four years, such as '0 8 * * 1-5'";

impl ScheduledBounds {
    /// Start, end and time zone: read the first time, and kept with this version of the spec and its copies.
    ///
    /// # Errors
    ///
    /// The field that cannot be read, and what is allowed.
    pub fn times(&self) -> Result<Arc<ScheduledTimes>, NotATime> {
        let text = [&self.start, &self.end, &self.time_zone];
        let (of, times) = self
            .read
            .0
            .get_or_init(|| Arc::new((text.map(String::clone), self.parse().map(Arc::new))))
            .as_ref();
        // A copy whose text was changed.
        if of.each_ref() != text {
            return self.parse().map(Arc::new);
        }
        times.clone()
    }

    fn parse(&self) -> Result<ScheduledTimes, NotATime> {
        let time_zone = jiff::tz::TimeZone::get(&self.time_zone);
        Ok(ScheduledTimes {
            start: cron(&self.start).ok_or(("start", CRON))?,
            end: cron(&self.end).ok_or(("end", CRON))?,
            time_zone: time_zone.map_err(|_| {
                (
                    "timeZone",
                    "a name of the IANA's database, such as UTC or Europe/Berlin",
                )
            })?,
        })
    }
}

fn cron(text: &str) -> Option<cronexpr::Crontab> {
    // A sixth field would be a time zone.
    if text.split_whitespace().count() != 5 {
        return None;
    }
    let cron = cronexpr::parse_crontab(&format!("{text} UTC")).ok()?;
    cron.find_next(jiff::Timestamp::UNIX_EPOCH).ok()?;
    Some(cron)
}

const fn ten() -> u32 {
    10
}
const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}
const fn two_minutes() -> Duration {
    Duration::from_secs(120)
}
fn utc() -> String {
    "UTC".to_owned()
}
fn is_no_time(duration: &Duration) -> bool {
    duration.std().is_zero()
}
fn is_thirty_seconds(duration: &Duration) -> bool {
    *duration == thirty_seconds()
}
fn is_ten_minutes(duration: &Duration) -> bool {
    *duration == ten_minutes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_once_for_a_spec_and_its_copies_and_again_where_its_text_is_another() {
        let text = "{start: '0 8 * * 1-5', end: '0 18 * * 1-5', timeZone: Europe/Berlin, min: 2}";
        let bounds: ScheduledBounds = serde_saphyr::from_str(text).unwrap();
        let first = bounds.times().unwrap();
        assert!(Arc::ptr_eq(&first, &bounds.times().unwrap()));
        let mut copy = bounds.clone();
        assert!(Arc::ptr_eq(&first, &copy.times().unwrap()));
        assert_eq!(
            copy,
            serde_saphyr::from_str(text).unwrap(),
            "what was read is no part of it"
        );
        copy.end = "0 25 * * *".to_owned();
        assert_eq!(copy.times().unwrap_err().0, "end");
        assert!(!serde_json::to_string(&bounds).unwrap().contains("read"));
    }
}
