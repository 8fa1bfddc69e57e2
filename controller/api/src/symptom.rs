//! `Symptom`: a condition over a workload's readings that the controller itself found true. Being reported is none, and
//! neither is having been restarted. Data; what decides whether one holds is the brain's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::proposal::Action;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SymptomKind {
    /// A condition of a person's own rule holds.
    Rule,
    /// The kernel OOM-killed it, and it has not come back since.
    OutOfMemory,
    /// Memory is near its limit.
    MemoryHigh,
    /// Its process does not run.
    Down,
    /// It runs, and its probe or Docker's health check fails.
    ProbeFailing,
    /// It is connected to no network, and was made for one.
    NetworkLost,
    /// It crashed again and again within the last minutes.
    CrashLoop,
    /// Memory grows steadily and will soon be full.
    MemoryGrowing,
    /// CPU is near one core.
    CpuHigh,
    /// Its log reports errors in a burst, now.
    ErrorBurst,
    /// Fewer replicas are ready than desired.
    ReplicasMissing,
    /// The load balancer's clients get too many 5xx answers.
    HttpErrors,
    /// The load balancer's clients wait too long.
    HttpSlow,
    /// It has nearly as many processes and threads as it may.
    ProcessLimit,
    /// A sender that the policy trusts reports it, and has not said that it is over.
    Trusted,
}

/// What symptoms of one class have in common: one of them may turn into another while the trouble is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymptomClass {
    /// It does not serve.
    Availability,
    /// It needs more memory than it has.
    Memory,
    /// It needs more CPU than it has.
    Cpu,
    /// It serves errors.
    Errors,
    /// Its clients wait.
    Latency,
    /// It has more processes and threads than it may.
    Processes,
    /// It is cut off from those that it serves.
    Network,
    /// What a person's own rule recognises.
    Rule,
    /// What a trusted sender says.
    External,
}

/// One condition that holds, and what was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Symptom {
    /// What is wrong.
    pub kind: SymptomKind,
    /// The container; absent where it is the workload's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The reading, in the unit of its kind: percent of the limit, of a core, restarts, lines, replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Human-readable: container and reading.
    #[schemars(length(max = 300))]
    pub message: String,
}

impl SymptomKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Rule,
        Self::OutOfMemory,
        Self::MemoryHigh,
        Self::Down,
        Self::ProbeFailing,
        Self::NetworkLost,
        Self::CrashLoop,
        Self::MemoryGrowing,
        Self::CpuHigh,
        Self::ErrorBurst,
        Self::ReplicasMissing,
        Self::HttpErrors,
        Self::HttpSlow,
        Self::ProcessLimit,
        Self::Trusted,
    ];

    /// What it has in common with others.
    pub fn class(self) -> SymptomClass {
        match self {
            Self::OutOfMemory | Self::Down | Self::ProbeFailing | Self::CrashLoop | Self::ReplicasMissing => {
                SymptomClass::Availability
            }
            Self::MemoryHigh | Self::MemoryGrowing => SymptomClass::Memory,
            Self::CpuHigh => SymptomClass::Cpu,
            Self::ErrorBurst | Self::HttpErrors => SymptomClass::Errors,
            Self::HttpSlow => SymptomClass::Latency,
            Self::ProcessLimit => SymptomClass::Processes,
            Self::NetworkLost => SymptomClass::Network,
            Self::Rule => SymptomClass::Rule,
            Self::Trusted => SymptomClass::External,
        }
    }

    /// Actions that can clear it. What a person's rule or policy names, any action may: that person chose it.
    pub fn remedies(self) -> &'static [Action] {
        match self {
            // Memory may be needed for the load, which more replicas share.
            Self::MemoryHigh => &[Action::Restart, Action::Rollback, Action::ScaleUp],
            Self::Rule | Self::Trusted => &[
                Action::Restart,
                Action::Rollback,
                Action::ScaleUp,
                Action::ScaleDown,
            ],
            // Who disconnected it is not known, and neither is by which names others called it there.
            Self::NetworkLost => &[],
            _ => match self.class() {
                SymptomClass::Cpu | SymptomClass::Latency => &[Action::ScaleUp, Action::Rollback],
                _ => &[Action::Restart, Action::Rollback],
            },
        }
    }

    /// Whether this action can clear it.
    pub fn is_cleared_by(self, action: Action) -> bool {
        self.remedies().contains(&action)
    }
}

impl SymptomClass {
    /// The class under which it is one episode: answers that are slow become errors where somebody gives up on them.
    pub fn episode(self) -> Self {
        match self {
            Self::Latency => Self::Errors,
            other => other,
        }
    }

    /// What is tried in turn after an action that did not help, where the policy names no ladder: after the last one a
    /// human decides. A step that is named twice is tried twice. The rollback is for a revision that is new.
    ///
    /// A saturated workload is never restarted: that would drop the load on the others.
    pub fn ladder(self) -> &'static [Action] {
        match self {
            Self::Cpu | Self::Latency => &[Action::ScaleUp, Action::ScaleUp],
            Self::Availability | Self::Memory | Self::Errors | Self::Processes => {
                &[Action::Restart, Action::Rollback]
            }
            Self::Rule | Self::External | Self::Network => &[],
        }
    }
}

/// Of these, gravest first, the one that the action is to clear; `None` where it can clear none of them.
pub fn cleared_by(symptoms: &[Symptom], action: Action) -> Option<&Symptom> {
    symptoms.iter().find(|symptom| symptom.kind.is_cleared_by(action))
}

/// Human-readable: each symptom's words.
pub fn words(symptoms: &[Symptom]) -> String {
    let words: Vec<&str> = symptoms.iter().map(|symptom| symptom.message.as_str()).collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_ladder_can_clear_every_symptom_of_its_class_and_saturation_is_never_restarted() {
        for kind in SymptomKind::ALL {
            for action in kind.class().ladder() {
                assert!(kind.is_cleared_by(*action), "{kind:?} {action}");
            }
            assert!(!kind.is_cleared_by(Action::Noop), "{kind:?}");
        }
        for kind in [SymptomKind::CpuHigh, SymptomKind::HttpSlow] {
            assert!(!kind.is_cleared_by(Action::Restart), "{kind:?}");
            assert!(!kind.class().ladder().contains(&Action::Restart), "{kind:?}");
        }
    }
}
