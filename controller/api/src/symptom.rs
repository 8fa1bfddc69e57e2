//! `Symptom`: a condition over a workload's readings that the controller itself found true. Being reported is none, and
//! neither is having been restarted. Data; what decides whether one holds is the brain's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What a person's own rule recognises.
    Rule,
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
    /// What it has in common with others.
    pub fn class(self) -> SymptomClass {
        match self {
            Self::OutOfMemory | Self::Down | Self::ProbeFailing | Self::CrashLoop | Self::ReplicasMissing => {
                SymptomClass::Availability
            }
            Self::MemoryHigh | Self::MemoryGrowing => SymptomClass::Memory,
            Self::CpuHigh => SymptomClass::Cpu,
            Self::ErrorBurst => SymptomClass::Errors,
            Self::Rule => SymptomClass::Rule,
        }
    }
}

/// Human-readable: each symptom's words.
pub fn words(symptoms: &[Symptom]) -> String {
    let words: Vec<&str> = symptoms.iter().map(|symptom| symptom.message.as_str()).collect();
    words.join("; ")
}
