//! What the brain speaks in: evidence in, proposal and votes out. All of it is data; none of it acts. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::ContainerId;
use crate::lifecycle::Death;
use crate::scalar::Time;
use crate::signals::Growth;
use crate::workload::Health;

/// The closed set of things a remediation can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Action {
    /// Restart the workload's containers once.
    Restart,
    /// More replicas.
    ScaleUp,
    /// Fewer replicas.
    ScaleDown,
    /// Back to the previous revision's template.
    Rollback,
    /// Nothing is wrong, and the evidence shows it.
    Noop,
}

impl Action {
    /// Every action, in the order in which documentation names them.
    pub const ALL: [Action; 5] = [
        Action::Restart,
        Action::ScaleUp,
        Action::ScaleDown,
        Action::Rollback,
        Action::Noop,
    ];

    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Restart => "RESTART",
            Action::ScaleUp => "SCALE_UP",
            Action::ScaleDown => "SCALE_DOWN",
            Action::Rollback => "ROLLBACK",
            Action::Noop => "NOOP",
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an analysis proposes. Immutable once made; `replicaCount` is how many replicas SCALE_UP adds or SCALE_DOWN removes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proposal {
    /// What is wrong, in one sentence.
    #[schemars(length(min = 1, max = 2000))]
    pub root_cause: String,
    /// What to do.
    pub action: Action,
    /// Why that, naming the decisive evidence.
    #[schemars(length(min = 1, max = 4000))]
    pub justification: String,
    /// 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// For SCALE_UP and SCALE_DOWN: by how many; 0 otherwise.
    #[serde(default)]
    #[schemars(range(min = 0, max = 200))]
    pub replica_count: u32,
}

/// A proposal and who made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// The proposal.
    pub proposal: Proposal,
    /// The reasoning as it was streamed, at most 16,000 characters.
    pub reasoning: String,
    /// The provider's configured name, such as `fastrouter` or `ollama`; `builtin` for the built-in analyst, `runbook`
    /// where an entry of the runbook decided and no model was asked.
    pub provider: String,
    /// The model's name; for the built-in analyst the name of the rule that decided, for the runbook that of the entry.
    pub model: String,
    /// Tokens in and out, those of failed attempts included; 0 where no model was asked.
    #[serde(default)]
    pub tokens: u64,
    /// Of those, tokens of the prompts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prompt_tokens: u64,
    /// Of those, tokens of the answers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub completion_tokens: u64,
    /// Wall time of the analysis.
    pub latency_ms: u64,
    /// SHA-256 of the prompt that was answered, in hexadecimal; absent for the built-in analyst, which reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prompt_hash: Option<String>,
    /// Providers that were asked before and gave no usable answer, in the order in which they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<FailedAttempt>,
    /// When it was made.
    pub at: Time,
}

/// A provider that was asked, or would have been, and why its answer does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedAttempt {
    /// The provider's configured name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// What went wrong.
    pub reason: String,
    /// Tokens it cost, in and out, as far as they are known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tokens: u64,
    /// How long it took.
    #[serde(default)]
    pub latency_ms: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The three seats of the council.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Seat {
    /// The proposer.
    SreAgent,
    /// Reviews what could go wrong.
    SecurityOfficer,
    /// Reviews whether the evidence carries the proposal.
    Auditor,
}

impl Seat {
    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Seat::SreAgent => "SRE_AGENT",
            Seat::SecurityOfficer => "SECURITY_OFFICER",
            Seat::Auditor => "AUDITOR",
        }
    }

    /// Human-readable.
    pub fn title(self) -> &'static str {
        match self {
            Seat::SreAgent => "SRE Agent",
            Seat::SecurityOfficer => "Security Officer",
            Seat::Auditor => "Auditor",
        }
    }
}

/// What a seat, or the council, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Do it.
    Approved,
    /// Do not.
    Rejected,
    /// Requires approval by a human; also what a failed reviewer counts as.
    NeedsReview,
}

impl Verdict {
    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Approved => "APPROVED",
            Verdict::Rejected => "REJECTED",
            Verdict::NeedsReview => "NEEDS_REVIEW",
        }
    }
}

/// One seat's vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    /// Who votes.
    pub role: Seat,
    /// What they say.
    pub verdict: Verdict,
    /// Why.
    pub reasoning: String,
    /// When.
    pub timestamp: Time,
    /// What a model had to do with it; absent where none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// The model behind a vote, and what asking it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The provider's configured name; absent where none gave a usable answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's name; absent where none gave a usable answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens in and out, those of failed attempts included.
    pub tokens: u64,
    /// Wall time.
    pub latency_ms: u64,
    /// SHA-256 of the prompt that was answered, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub prompt_hash: Option<String>,
    /// Providers that were asked before and gave no usable answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<FailedAttempt>,
}

/// The council's votes and what they amount to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouncilDecision {
    /// One vote a seat, in the order in which they landed.
    pub votes: Vec<Vote>,
    /// What follows.
    pub final_verdict: Verdict,
    /// Human-readable: `3/3 approved`.
    pub consensus: String,
    /// Human-readable: why, in one or two sentences.
    pub summary: String,
}

/// What the controller itself saw when the incident came in. Texts are bounded and redacted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// When it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<Time>,
    /// One row a container of the workload.
    pub containers: Vec<ContainerEvidence>,
    /// `spec.replicas` of the workload.
    pub desired_replicas: u32,
    /// Of those, how many passed their probe.
    pub ready_replicas: u32,
    /// Revisions of the workload, oldest first: `<revision> <image> <createdAt>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Whether there is a previous revision's template to go back to.
    pub can_roll_back: bool,
    /// Seconds since the current revision was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_age_secs: Option<u64>,
    /// The workload's generation: it grows with every change of its spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Other containers on the workload's networks, those in trouble first, at most twelve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
    /// Recent Events of the workload, newest last: `<time> <reason> <message>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Actions this controller took on the workload lately, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent_actions: Vec<RecentAction>,
    /// What could not be collected, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// A container that shares a network with the workload's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Neighbour {
    /// Container name.
    pub name: String,
    /// Docker's words for its state, such as `Exited (1) 2 minutes ago`.
    pub status: String,
    /// Whether it is in trouble: not running although it did not end well, restarting, or unhealthy to Docker.
    pub in_trouble: bool,
    /// The Workload it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Whether that Workload is `Ready`; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
}

/// How a container's load has gone since its process started, at most a quarter of an hour back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricTrend {
    /// Readings.
    pub samples: u32,
    /// From the first to the last, in seconds.
    pub over_secs: u64,
    /// Memory in use, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<Trend>,
    /// CPU, percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<Trend>,
}

/// Where a reading began, where it is, and how it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Trend {
    /// The oldest reading.
    pub first: f64,
    /// The newest.
    pub last: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Slope of the least-squares line, a minute.
    pub per_minute: f64,
    /// The least that it grows a minute with 99 % confidence, its teeth left out; absent where there are too few readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_minute_at_least: Option<f64>,
}

/// Something done to the same workload earlier, for an incident or by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecentAction {
    /// The incident for which it was done; absent where somebody requested it outside of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Its alert type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_type: Option<String>,
    /// What was done.
    pub action: Action,
    /// The replicas that it requested, where it scaled by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// When.
    pub at: Time,
    /// Whether verification passed; absent while it is under way, and where it came to no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Whether what it had cleared came back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub relapsed: bool,
}

/// A network that a container was made for, and is not connected to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LostNetwork {
    /// Its name, or id.
    pub network: String,
    /// What connects the container to it again; absent where a name is unfit for a command. Further aliases that it had there are
    /// not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// One container as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerEvidence {
    /// Container name.
    pub name: String,
    /// Container id.
    pub id: ContainerId,
    /// Image reference.
    pub image: String,
    /// `sha256:…` of the image it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_id: String,
    /// Docker's word for its state.
    pub state: String,
    /// Exit code of the last run, if it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The kernel OOM-killed it.
    pub oom_killed: bool,
    /// How often it was restarted, by Docker and by this controller.
    pub restart_count: u64,
    /// When this controller did so lately, since it had ended or was unhealthy, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restarted_at: Vec<Time>,
    /// How it ended in the last quarter of an hour, oldest first, at most twenty, each with who made it end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<Death>,
    /// When its process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it last ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// What the controller's own probe last said.
    pub health: Health,
    /// The probe's words and latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// What Docker's health check says, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_health: Option<String>,
    /// Outputs of Docker's health check, newest last, at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_log: Vec<String>,
    /// CPU, percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Memory in use, page cache left out, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its memory limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// How its load has gone; absent where there are too few readings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<MetricTrend>,
    /// Processes inside, each by id and command line, at most twenty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<String>,
    /// What differs from its image, as `docker diff` shows it, at most forty paths; volumes are no part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filesystem: Vec<String>,
    /// Where it is connected to no network, and was made for one: that network, and the command that connects it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_network: Option<LostNetwork>,
    /// Lines that report an error, of those that its present process logged within the last five minutes; absent where
    /// they could not be dated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_error_lines: Option<u32>,
    /// The last log lines, at most `LOG_TRUNCATE_CHARS` characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log_tail: String,
}

impl ContainerEvidence {
    /// Minutes until memory reaches the limit if it goes on as it did; `None` where it does not surely grow (see
    /// [`Growth::full_in_minutes`]), or has no limit.
    #[expect(
        clippy::as_conversions,
        reason = "bytes to MiB: the rounding of u64 to f64 is below what is shown"
    )]
    pub fn memory_full_in_minutes(&self) -> Option<f64> {
        let limit = self.memory_limit_bytes.filter(|limit| *limit > 0)? as f64 / f64::from(1 << 20);
        self.memory_growth()?.full_in_minutes(limit)
    }

    /// How memory has gone, in MiB.
    fn memory_growth(&self) -> Option<Growth> {
        let trend = self.trend.as_ref()?;
        let memory = trend.memory_mb?;
        Some(Growth {
            samples: usize::try_from(trend.samples).unwrap_or(usize::MAX),
            over_secs: trend.over_secs,
            first: memory.first,
            last: memory.last,
            min: memory.min,
            max: memory.max,
            per_minute: memory.per_minute,
            at_least: memory.per_minute_at_least,
        })
    }

    /// Memory in use as percent of the limit, where both are known.
    #[expect(
        clippy::as_conversions,
        reason = "bytes to a percentage: the rounding of u64 to f64 is below what is shown"
    )]
    pub fn memory_percent(&self) -> Option<f64> {
        match (self.memory_bytes, self.memory_limit_bytes) {
            (Some(used), Some(limit)) if limit > 0 => Some(used as f64 / limit as f64 * 100.0),
            _ => None,
        }
    }
}

/// A runbook entry that retrieval found similar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retrieved {
    /// The RunbookEntry's name.
    pub entry: String,
    /// Cosine similarity, 0 to 1.
    pub score: f64,
    /// What was done then.
    pub action: Action,
    /// What it was then.
    pub root_cause: String,
    /// The entry's trust, 0 to 1.
    pub trust: f64,
    /// Whether its fix may still be recommended: one that keeps failing is shown as a warning.
    #[serde(default = "yes")]
    pub recommended: bool,
}

fn yes() -> bool {
    true
}
