//! `Incident`: something broke. Its spec is what was reported and what humans decide; its status is the
//! remediation, one durable step after another. Pure.

mod aliases;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::defaults::Fill;
use crate::proposal::{Action, Analysis, CouncilDecision, Evidence, Retrieved, Seat, Vote};
use crate::scalar::{ContainerName, ResourceName, Time};
use crate::silence::SilencedBy;
use crate::symptom::Symptom;
use crate::validate::{FieldError, Rules};
use crate::workload::ContainerTemplate;

pub use aliases::Aliases;

/// The alert type of an incident about a container that was restarted too often.
pub const RESTART_LIMIT: &str = "RESTART_LIMIT";
/// The source of incidents that detectors open.
pub const DETECTOR: &str = "detector";
/// The source of incidents that this controller opens by itself.
pub const CONTROLLER: &str = "controller";

/// What was reported, and what humans decided about it.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "aegisops.io",
    version = "v1alpha1",
    kind = "Incident",
    plural = "incidents",
    singular = "incident",
    shortname = "inc",
    category = "all",
    category = "aegis",
    namespaced,
    derive = "PartialEq",
    status = "IncidentStatus",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workloadRef"),
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.alertType"),
    printcolumn(
        name = "Action",
        type_ = "string",
        json_path = ".status.analysis.proposal.action"
    ),
    printcolumn(
        name = "Severity",
        type_ = "string",
        json_path = ".spec.severity",
        priority = 1
    ),
    printcolumn(name = "Seen", type_ = "integer", json_path = ".spec.count", priority = 1),
    printcolumn(
        name = "Silenced",
        type_ = "string",
        json_path = ".status.silenced.silence",
        priority = 1
    ),
    printcolumn(name = "Error", type_ = "string", json_path = ".status.error", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentSpec {
    /// Name of the Workload that is unhealthy. Absent where the sender named only a container that no Workload covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<ResourceName>,
    /// Name of the container the sender spoke of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<ContainerName>,
    /// What kind of alert, in the sender's words. Hostile input: it selects nothing but text.
    #[schemars(length(min = 1, max = 256))]
    pub alert_type: String,
    /// How bad.
    #[serde(default)]
    pub severity: Severity,
    /// Log lines the sender attached, at most 16,384 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16384))]
    pub logs: String,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Source::is_empty")]
    pub source: Source,
    /// When it began, as the sender reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// How often it was reported. A repeat of an open incident raises this instead of opening another.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub count: u32,
    /// A human's decision on the plan that waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// A human's action instead of the proposed one.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_: Option<Override>,
}

/// How bad an incident is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For information.
    Info,
    /// Users may notice.
    #[default]
    Warning,
    /// Users notice.
    Critical,
}

/// Where an incident came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `webhook`, `detector`, `human`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub kind: String,
    /// Equal fingerprints are the same trouble.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub fingerprint: String,
    /// The id the sender gave it, spelled as the sender spelled it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub incident_id: String,
    /// Labels and every further field the sender attached, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where a person can read more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub url: String,
    /// How the sender's words led to the container; absent where `container_name` alone named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming: Option<Naming>,
    /// When the sender said that the trouble is over; absent again once it says that it is not. Nothing is proved by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// The incident, over by then, that the same alert opened before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ResourceName>,
    /// The incident about a workload that depends on this one: its clients get the errors that come from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependent: Option<ResourceName>,
    /// Alerts of other ids about the same trouble, the newest last; at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub joined: Vec<JoinedAlert>,
    /// Hashes of the ids of alerts that joined and are no longer listed, the newest last: the incident is found by these ids,
    /// too. 16 hexadecimal digits of each one's SHA-256; at most 256.
    #[serde(default, skip_serializing_if = "Aliases::is_empty")]
    #[schemars(with = "String", length(max = aliases::LONGEST))]
    pub aliases: Aliases,
}

/// An alert that joined an incident: of a detector about the same, of the burst that it began, or of what depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinedAlert {
    /// The id the sender gave it.
    #[schemars(length(max = 256))]
    pub incident_id: String,
    /// Its fingerprint, or its id where it has none.
    #[schemars(length(max = 256))]
    pub fingerprint: String,
    /// What it reports.
    #[schemars(length(max = 256))]
    pub alert_type: String,
    /// How grave the sender takes it to be.
    pub severity: Severity,
    /// The end of its text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2000))]
    pub logs: String,
    /// When its sender said that it is over; absent while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// The container it is about, where that is another than the incident's: its trouble is taken to follow from the
    /// incident's, on which its workload depends, and it opens an incident of its own only when it outlives that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibited: Option<ContainerName>,
    /// When it was let go to open one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// The Detector that measured it; absent of what a sender reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<ResourceName>,
    /// Of one that is inhibited: where it came in, such as `webhook/alertmanager`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub source: String,
    /// Of one that is inhibited: its labels, of 512 bytes at most each and 4,096 in all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Of one that is inhibited: where a person can read more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub url: String,
    /// Of one that is inhibited: when it began, as its sender reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
}

impl JoinedAlert {
    /// Whether it is inhibited, still fires and was not let go.
    pub fn is_held(&self) -> bool {
        self.inhibited.is_some() && self.resolved_at.is_none() && self.released_at.is_none()
    }
}

/// Alerts that are kept of those that joined.
pub const MOST_JOINED: usize = 20;

impl Source {
    /// Keeps an alert that joined. Where there are too many the oldest goes that is not held: one that is held is to open an
    /// incident of its own, and nothing else knows of it. Of what goes the id is kept.
    pub fn join(&mut self, alert: JoinedAlert) {
        self.joined.retain(|known| known.incident_id != alert.incident_id);
        self.aliases.forget(&alert.incident_id);
        self.joined.push(alert);
        while self.joined.len() > MOST_JOINED {
            let oldest = self.joined.iter().position(|known| !known.is_held());
            let gone = self.joined.remove(oldest.unwrap_or_default());
            // One that was inhibited is about other trouble, which opens an incident of its own when it comes again.
            if gone.inhibited.is_none() {
                self.aliases.add(&gone.incident_id);
            }
        }
    }

    /// Whether one more alert can be held: all that are listed and not held give way to it.
    pub fn can_hold(&self) -> bool {
        self.joined.iter().filter(|known| known.is_held()).count() < MOST_JOINED
    }

    /// Whether alerts that are inhibited still fire.
    pub fn inhibits(&self) -> bool {
        let mut joined = self.joined.iter();
        joined.any(JoinedAlert::is_held)
    }

    /// Whether an alert of this id, or of this fingerprint, joined.
    pub fn has_joined(&self, id: &str) -> bool {
        let mut joined = self.joined.iter();
        joined.any(|alert| alert.incident_id == id || alert.fingerprint == id) || self.aliases.has(id)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How an alert named its container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Naming {
    /// Whether it named none, so that it is about the default target (`TARGET_CONTAINER`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_default: bool,
    /// The field that decided, by its path, such as `labels.container`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub field: String,
    /// What less telling fields say instead, such as `instance says db`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub others: Vec<String>,
}

impl Naming {
    /// Why the incident is about this container, human-readable.
    pub fn message(&self, container: &str) -> String {
        if self.by_default {
            return format!("about {container} by default: the alert names no container");
        }
        let mut message = format!("about {container}, as {} says", self.field);
        for other in &self.others {
            message.push_str("; ");
            message.push_str(other);
        }
        message
    }
}

/// A human's decision on one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// What they say.
    pub decision: ApprovalDecision,
    /// Who they are.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub by: String,
    /// Hash of the plan they reviewed: an approval of another plan does not count.
    #[schemars(length(min = 1, max = 128))]
    pub plan_hash: String,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalDecision {
    /// Carry the plan out.
    Approve,
    /// Do not.
    Reject,
}

/// A human's own action. It skips analysis and council, not the plan, the compare-and-set and the verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// What to do.
    pub action: Action,
    /// For SCALE_UP and SCALE_DOWN: by how many.
    #[serde(default)]
    #[schemars(range(min = 0, max = 200))]
    pub replica_count: u32,
    /// Who decided it.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub by: String,
}

/// Where an incident stands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// Durable; evidence and retrieval come next.
    #[default]
    Received,
    /// Evidence is saved; the analysis is being made.
    Analysing,
    /// There is a proposal; the seats vote.
    CouncilReview,
    /// A human must decide on the plan.
    AwaitingApproval,
    /// Council and policy agree; the plan is durable.
    Approved,
    /// The plan's patch is being applied, and reconcilers converge.
    Executing,
    /// As EXECUTING, for a change of replicas.
    Scaling,
    /// The change is made; probes decide whether it helped.
    Verifying,
    /// Verified.
    Resolved,
    /// Ended without a verified fix; a human is needed.
    Failed,
    /// Ended as a dry run: what would have been done is stated, and nothing was done.
    DryRun,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Analysing,
        Self::CouncilReview,
        Self::AwaitingApproval,
        Self::Approved,
        Self::Executing,
        Self::Scaling,
        Self::Verifying,
        Self::Resolved,
        Self::Failed,
        Self::DryRun,
    ];

    /// Whether nothing comes after it.
    pub const fn is_end(self) -> bool {
        match self {
            Self::Resolved | Self::Failed | Self::DryRun => true,
            Self::Received
            | Self::Analysing
            | Self::CouncilReview
            | Self::AwaitingApproval
            | Self::Approved
            | Self::Executing
            | Self::Scaling
            | Self::Verifying => false,
        }
    }

    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Received => "RECEIVED",
            Phase::Analysing => "ANALYSING",
            Phase::CouncilReview => "COUNCIL_REVIEW",
            Phase::AwaitingApproval => "AWAITING_APPROVAL",
            Phase::Approved => "APPROVED",
            Phase::Executing => "EXECUTING",
            Phase::Scaling => "SCALING",
            Phase::Verifying => "VERIFYING",
            Phase::Resolved => "RESOLVED",
            Phase::Failed => "FAILED",
            Phase::DryRun => "DRY_RUN",
        }
    }
}

/// What a timeline entry reports. The wire spells these as the earlier system's clients look for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the contract")]
pub enum Stage {
    Received,
    Held,
    EvidenceCollected,
    RagRetrieval,
    Analysing,
    AiComplete,
    CouncilReview,
    CouncilVote,
    CouncilDecision,
    PolicyGate,
    AwaitingApproval,
    Approved,
    Executing,
    Scaling,
    Scaled,
    LbConfigured,
    Restarted,
    ScaledDown,
    RolledBack,
    Noop,
    Verifying,
    Fallback,
    Resolved,
    Failed,
    DryRun,
}

impl Stage {
    /// As it is spelled on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Received => "RECEIVED",
            Stage::Held => "HELD",
            Stage::EvidenceCollected => "EVIDENCE_COLLECTED",
            Stage::RagRetrieval => "RAG_RETRIEVAL",
            Stage::Analysing => "ANALYSING",
            Stage::AiComplete => "AI_COMPLETE",
            Stage::CouncilReview => "COUNCIL_REVIEW",
            Stage::CouncilVote => "COUNCIL_VOTE",
            Stage::CouncilDecision => "COUNCIL_DECISION",
            Stage::PolicyGate => "POLICY_GATE",
            Stage::AwaitingApproval => "AWAITING_APPROVAL",
            Stage::Approved => "APPROVED",
            Stage::Executing => "EXECUTING",
            Stage::Scaling => "SCALING",
            Stage::Scaled => "SCALED",
            Stage::LbConfigured => "LB_CONFIGURED",
            Stage::Restarted => "RESTARTED",
            Stage::ScaledDown => "SCALED_DOWN",
            Stage::RolledBack => "ROLLED_BACK",
            Stage::Noop => "NOOP",
            Stage::Verifying => "VERIFYING",
            Stage::Fallback => "FALLBACK",
            Stage::Resolved => "RESOLVED",
            Stage::Failed => "FAILED",
            Stage::DryRun => "DRY_RUN",
        }
    }
}

/// One line of an incident's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// When.
    pub ts: Time,
    /// What.
    pub status: Stage,
    /// Human-readable.
    pub message: String,
    /// The council seat it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Seat>,
}

/// The remediation so far; only the incident reconciler writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IncidentStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    pub phase: Phase,
    /// The workload it is about, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<ResourceName>,
    /// `Held`, `PolicyAllows`, `SymptomCleared`, `HealthVerified`, …
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The silence that keeps people from being notified of it; of one that has ended, the one it ended under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<SilencedBy>,
    /// What the controller saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What was measured as wrong at `measuredAt`, gravest first, at most twelve. Without one nothing is done by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub symptoms: Vec<Symptom>,
    /// Where errors or slow answers come from, as far as that shows; absent where none are measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Of these, the one that the plan is to clear, as it was when the plan was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clears: Option<Symptom>,
    /// When the symptoms were last measured before an action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_at: Option<Time>,
    /// How often it began at evidence again since what it was about to do was not of this moment any more.
    #[serde(rename = "begunAnew", skip_serializing_if = "is_zero")]
    pub started_over: u32,
    /// Since when it waits for a human.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Similar entries of the runbook, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retrieved: Vec<Retrieved>,
    /// The proposal and who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Votes that have landed while the council sits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
    /// The council's decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub council: Option<CouncilDecision>,
    /// The plan, durable before anything is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What became of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// The proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Actions tried before the current plan, oldest first: the rungs of the fallback ladder already used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// What happened, oldest first, at most 200 entries.
    pub timeline: Vec<TimelineEntry>,
    /// When it was verified as resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// When the symptom that the plan was to clear was measured as gone; absent where nothing was cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<Time>,
    /// When that had held for the policy's `relapseWindow`, or had not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Time>,
    /// The incident in which the symptom came back before it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relapsed_in: Option<String>,
    /// The earlier incident whose symptom this is again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relapse_of: Option<String>,
    /// How often in a row it has come back, this time counted.
    #[serde(skip_serializing_if = "is_zero")]
    pub relapses: u32,
    /// When it ended, well or badly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// RunbookEntry this incident taught or confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
}

/// Where errors or slow answers come from: the workload itself, or one that it depends on, directly or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Origin {
    /// The workload; absent where none can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<ResourceName>,
    /// What speaks for it, or why none is named; human-readable.
    #[schemars(length(max = 600))]
    pub message: String,
    /// Whether its log reports errors of its own, which an action on it may end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own_errors: bool,
    /// Whom logs blame that is no workload, as those logs call them; at most eight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub blamed: Vec<String>,
    /// The incident about it, where one was opened for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<ResourceName>,
}

impl Origin {
    /// Where the errors come from, in a sentence.
    pub fn words(&self) -> String {
        match &self.workload {
            Some(workload) => format!("the errors come from {workload}: {}", self.message),
            None => format!("the origin of the errors is not known: {}", self.message),
        }
    }
}

/// A change of one Workload's spec with absolute values: applying it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// SHA-256 over everything below as it was planned, 16 hex characters.
    pub hash: String,
    /// What it does.
    pub action: Action,
    /// The Workload it changes.
    pub target: ResourceName,
    /// The Workload's generation it was made for: on another one it does not apply.
    pub parent_generation: i64,
    /// What the spec becomes.
    pub patch: Patch,
    /// When it was made.
    pub created_at: Time,
}

/// The fields a plan sets; absent ones stay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Patch {
    /// `spec.restartedAt`; in a plan that a human approved, when that became its execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted_at: Option<Time>,
    /// `spec.replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// `spec.template`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<ContainerTemplate>,
}

/// What became of a plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Execution {
    /// When the patch was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// The Workload's generation that carries the patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// When Docker had what the patch changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converged_at: Option<Time>,
    /// Containers that were restarted, made or removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// Whether a LoadBalancer serves the result; absent where none names the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lb_configured: Option<bool>,
    /// `spec.restartedAt` as it was before the plan, so that a restart which could not take effect can be withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Time>,
    /// The Workload's generation that took the patch back, where it could not take effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<i64>,
}

/// The proof that it helped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Verification {
    /// When verification began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it times out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The latest attempts, oldest first, at most 100.
    pub attempts: Vec<Attempt>,
    /// When the first of the attempts that have passed without a break was made; absent while the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_since: Option<Time>,
    /// How many have passed without a break, also of those that are not listed any more.
    pub passes: u32,
    /// Whether the symptom that the plan was to clear is measured as false after the action; absent where there was none,
    /// or where it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symptom_cleared: Option<bool>,
    /// Why it could not be measured, or what was read; human-readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600))]
    pub after: Option<String>,
    /// Whether the workload's own probe passed as often as policy asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_verified: Option<bool>,
}

/// One inspection of every container of the workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When.
    pub at: Time,
    /// Whether every container passed.
    pub healthy: bool,
    /// What the probes said.
    pub message: String,
}

/// A rung of the fallback ladder that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// What was done.
    pub action: Action,
    /// The plan's hash.
    pub plan_hash: String,
    /// Why it did not help.
    pub error: String,
    /// When its patch was applied: it counts against the budget from then on. Absent if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Time>,
    /// The Workload's generation that carried the patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The Workload's generation that took the patch back, where it could not take effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<i64>,
}

impl IncidentStatus {
    /// Whether what it cleared may still come back within the policy's window.
    pub fn is_unsettled(&self) -> bool {
        self.mitigated_at.is_some() && self.settled_at.is_none()
    }
}

impl Verification {
    const MOST_ATTEMPTS: usize = 100;

    /// Adds an attempt. What it says of the run it belongs to outlasts its place in the list.
    pub fn record(&mut self, attempt: Attempt) {
        if attempt.healthy {
            self.healthy_since.get_or_insert(attempt.at);
            self.passes = self.passes.saturating_add(1);
        } else {
            self.healthy_since = None;
            self.passes = 0;
        }
        self.health_verified = Some(attempt.healthy);
        self.attempts.push(attempt);
        let excess = self.attempts.len().saturating_sub(Self::MOST_ATTEMPTS);
        self.attempts.drain(..excess);
    }
}

impl Incident {
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.finished_at.is_some())
    }

    /// The Workload that it is about: the one that was found, else the one that its sender named.
    pub fn workload(&self) -> Option<&ResourceName> {
        let found = self.status.as_ref().and_then(|status| status.workload.as_ref());
        found.or(self.spec.workload_ref.as_ref())
    }
}

impl Fill for IncidentSpec {}

impl Rules for IncidentSpec {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        // What a detector finds may be about the host.
        let needs_one = self.source.kind != DETECTOR;
        if needs_one && self.workload_ref.is_none() && self.container_name.is_none() {
            out.push(FieldError::required(
                path,
                "set `workloadRef` (the unhealthy Workload) or `containerName` (a container that a Workload covers)",
            ));
        }
        if let Some(override_) = &self.override_
            && matches!(override_.action, Action::ScaleUp | Action::ScaleDown)
            && override_.replica_count == 0
        {
            out.push(FieldError::invalid(
                format!("{path}.override.replicaCount"),
                0,
                "say by how many replicas: 1 or more",
            ));
        }
    }
}

fn one() -> u32 {
    1
}
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: usize, inhibited: Option<&str>) -> JoinedAlert {
        JoinedAlert {
            incident_id: format!("i-{id}"),
            inhibited: inhibited.map(|name| name.parse().unwrap()),
            ..JoinedAlert::default()
        }
    }

    fn ids(source: &Source) -> Vec<&str> {
        source
            .joined
            .iter()
            .map(|alert| alert.incident_id.as_str())
            .collect()
    }

    #[test]
    fn of_too_many_alerts_the_oldest_goes_that_is_not_held() {
        let mut source = Source::default();
        source.join(alert(0, Some("web")));
        (1..=30).for_each(|id| source.join(alert(id, None)));
        assert_eq!(source.joined.len(), MOST_JOINED);
        assert_eq!(ids(&source)[..2], ["i-0", "i-12"]);
        source.joined[0].released_at = Some("2026-11-29T10:00:00Z".parse().unwrap());
        source.join(alert(31, None));
        assert_eq!(ids(&source)[..2], ["i-12", "i-13"], "it opened its own");
        assert!(
            source.has_joined("i-1") && !source.has_joined("i-0"),
            "and will again"
        );
    }

    #[test]
    fn what_is_held_takes_the_place_of_what_is_not_and_the_bound_stays() {
        let mut source = Source::default();
        (0..MOST_JOINED).for_each(|id| source.join(alert(id, None)));
        for id in 100..100 + MOST_JOINED {
            assert!(source.can_hold());
            source.join(alert(id, Some("web")));
        }
        assert!(!source.can_hold());
        source.join(alert(200, None));
        assert_eq!((source.joined.len(), ids(&source)[0]), (MOST_JOINED, "i-100"));
        let is_listed = source.joined.iter().any(|alert| alert.incident_id == "i-200");
        assert!(!is_listed, "nothing that is held makes room for it");
        assert!(source.has_joined("i-200"), "its id is an alias all the same");
    }
}
