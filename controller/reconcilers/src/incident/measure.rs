//! Whether what is wrong is (still) wrong at this moment: asked right before an action and after it. Reads only.

use aegis_api::proposal::{Action, ContainerEvidence, Evidence};
use aegis_api::symptom::{Symptom, SymptomKind, words};
use aegis_api::{Time, Workload};
use aegis_docker::EngineError;
use aegis_planning::incident::readings::readings;
use aegis_planning::incident::validate::ValidatedIncident;

use super::{IncidentReconciler, apply, evidence};

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// What is wrong, gravest first.
    pub symptoms: Vec<Symptom>,
    /// What was read, for people.
    pub readings: String,
    pub at: Time,
}

/// What of the symptom is left after an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// There was none, or it is not for automation to judge.
    Unasked,
    Cleared,
    Persists(String),
    /// Its reading is not to be had.
    Unknown,
}

impl Aftermath {
    /// As the status records it.
    pub(super) fn cleared(&self) -> Option<bool> {
        match self {
            Self::Cleared => Some(true),
            Self::Persists(_) => Some(false),
            Self::Unasked | Self::Unknown => None,
        }
    }
}

/// What these readings show as wrong.
pub(super) fn judge(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    evidence: &Evidence,
) -> Vec<Symptom> {
    let case = apply::case(reconciler, incident, evidence.clone());
    case.map(|case| reconciler.brain.symptoms(&case))
        .unwrap_or_default()
}

/// Measures anew.
pub(super) async fn measure(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
) -> Result<Measured, EngineError> {
    let with_cpu = names(incident, SymptomKind::CpuHigh);
    let read = evidence::readings(&reconciler.context, incident, workload, with_cpu).await?;
    Ok(Measured {
        symptoms: judge(reconciler, incident, &read),
        readings: readings(&read),
        at: reconciler.context.clock.now(),
    })
}

/// Whether the gravest symptom that there was is gone.
pub(super) async fn aftermath(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
) -> Result<Aftermath, EngineError> {
    let plan = incident.status.plan.as_ref().map(|plan| plan.action);
    let Some(symptom) = incident
        .status
        .symptoms
        .first()
        .filter(|_| plan.is_some_and(|action| action != Action::Noop))
    else {
        return Ok(Aftermath::Unasked);
    };
    let with_cpu = symptom.kind == SymptomKind::CpuHigh;
    let read = evidence::readings(&reconciler.context, incident, workload, with_cpu).await?;
    let left: Vec<Symptom> = judge(reconciler, incident, &read)
        .into_iter()
        .filter(|left| left.kind == symptom.kind)
        .collect();
    Ok(match left.is_empty() {
        true if is_known(symptom.kind, &read) => Aftermath::Cleared,
        true => Aftermath::Unknown,
        false => Aftermath::Persists(words(&left)),
    })
}

fn names(incident: &ValidatedIncident, kind: SymptomKind) -> bool {
    incident
        .status
        .symptoms
        .iter()
        .any(|symptom| symptom.kind == kind)
}

/// Whether what decides about a symptom of this kind could be read of every container.
fn is_known(kind: SymptomKind, evidence: &Evidence) -> bool {
    let every = |known: fn(&ContainerEvidence) -> bool| evidence.containers.iter().all(known);
    match kind {
        SymptomKind::MemoryHigh | SymptomKind::MemoryGrowing => every(|it| it.memory_bytes.is_some()),
        SymptomKind::CpuHigh => every(|it| it.cpu_percent.is_some()),
        SymptomKind::ErrorBurst => every(|it| it.recent_error_lines.is_some()),
        SymptomKind::Rule
        | SymptomKind::OutOfMemory
        | SymptomKind::Down
        | SymptomKind::ProbeFailing
        | SymptomKind::CrashLoop => true,
        SymptomKind::ReplicasMissing => evidence.ready_replicas >= evidence.desired_replicas,
    }
}
