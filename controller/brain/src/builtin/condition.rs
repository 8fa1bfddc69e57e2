//! What a rule can ask of the evidence. Owns the closed set of conditions and how each is written in the table; what
//! each sees in a case is in `check`. Pure.

mod check;

use serde::Deserialize;

use aegis_api::proposal::Action;
use aegis_api::symptom::SymptomKind;

/// One condition of a rule, as it is written in the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Condition {
    /// A container was OOM-killed.
    OomKilled(bool),
    /// Memory of the container that uses most of its limit, in percent.
    MemoryPercent(Range),
    /// Minutes until the first container's memory is full, if it goes on growing as steadily as it does. Does not hold
    /// where none grows.
    MemoryFullInMinutes(Range),
    /// Whether a container on the workload's networks is in trouble itself.
    NeighbourInTrouble(bool),
    /// Whether a load balancer in front of the workload is down, or has no server of it, although all its replicas pass.
    LoadBalancerDown(bool),
    /// Whether current log lines, a health check, an event or the engine report that no space is left on a disk.
    DiskFull(bool),
    /// Whether the containers' last log lines report connections that could not be made.
    ConnectionErrors(bool),
    /// CPU of the busiest container, in percent of one core.
    CpuPercent(Range),
    /// How many containers run.
    Running(Share),
    /// How many containers are paused.
    Paused(Share),
    /// How many containers run and fail their probe or Docker's health check.
    Unhealthy(Share),
    /// Whether every replica is there, runs and passes.
    AllHealthy(bool),
    /// A container ended with a failure, or Docker is restarting it.
    Crashed(bool),
    /// Whether anything is a symptom, what a person's own rules recognise left out.
    Symptoms(bool),
    /// One of these symptoms is measured, such as `HttpErrors`, `HttpSlow` or `ProcessLimit`.
    Measured(Vec<SymptomKind>),
    /// None of these symptoms is measured, be it that the reading is good or that there is none.
    NotMeasured(Vec<SymptomKind>),
    /// Nothing is measured, the policy trusts the sender of this alert, and of what it allows this is the first action
    /// that is possible.
    Trusted(Action),
    /// How often the container that was restarted most ever was, no matter by whom: it says nothing about today.
    RestartCount(Range),
    /// Crashed again and again within the last ten minutes: what was stopped, or restarted by people or by this
    /// controller, did not crash.
    RestartLoop(bool),
    /// Crashes within the last ten minutes of the container that crashed most.
    RecentCrashes(Range),
    /// Seconds since the current revision was first seen.
    RevisionAgeSecs(Range),
    /// Whether there is an earlier revision to go back to.
    CanRollBack(bool),
    /// Whether another revision of it was seen before the current one.
    RolledOut(bool),
    /// Replicas the workload desires.
    DesiredReplicas(Range),
    /// Error lines that the containers logged within the last five minutes, since they last started.
    ErrorLines(Range),
    /// Lines of the containers' last log lines that hold one of these plain lower-case texts.
    LogLines(LogLines),
    /// The alert's type holds one of these words. A hint: the table refuses a rule that has nothing else.
    Alert(Vec<String>),
    /// Whether evidence was collected at all.
    Collected(bool),
    /// Whether something could not be collected.
    Gaps(bool),
    /// One of these was tried in this incident, or failed twice lately.
    Failed(Vec<Action>),
    /// Whether SCALE_UP was tried in this incident, did not help lately, or helped until the load came back.
    Overloaded(bool),
    /// At least one of these holds.
    AnyOf(Vec<Condition>),
    /// All of these hold.
    AllOf(Vec<Condition>),
}

/// From `atLeast` (inclusive) up to `below` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// The least value that holds.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The least value that does not.
    #[serde(default)]
    pub below: Option<f64>,
}

/// How many of the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Share {
    /// None, although there are containers.
    None,
    /// At least one, but not all.
    Part,
    /// At least one.
    Some,
    /// All, and there is at least one.
    All,
}

/// Lines that hold one of several texts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogLines {
    /// Plain texts in lower case.
    pub any_of: Vec<String>,
    /// How many lines must hold one.
    pub at_least: u32,
}

impl Condition {
    /// Whether this says anything about the evidence, or only about the alert's words or the past.
    pub(super) fn is_evidence(&self) -> bool {
        match self {
            Self::Alert(_) | Self::Failed(_) | Self::Overloaded(_) => false,
            Self::Collected(_)
            | Self::Gaps(_)
            | Self::CanRollBack(_)
            | Self::RolledOut(_)
            | Self::NotMeasured(_) => false,
            Self::Measured(kinds) => !kinds.is_empty(),
            Self::AnyOf(inner) => !inner.is_empty() && inner.iter().all(Self::is_evidence),
            Self::AllOf(inner) => inner.iter().any(Self::is_evidence),
            _ => true,
        }
    }

    /// Whether this waits for a first choice to fail, or for a policy to trust a sender.
    pub(super) fn is_second_choice(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Overloaded(_) | Self::Trusted(_))
    }
}
