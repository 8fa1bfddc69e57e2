//! Whether what is wrong is (still) wrong at this moment: asked right before an action and after it. Reads only.

use aegis_api::Workload;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence};
use aegis_api::symptom::{Symptom, SymptomKind, words};
use aegis_docker::EngineError;
use aegis_planning::incident::measured::Measured;
use aegis_planning::incident::phase::Aftermath;
use aegis_planning::incident::readings::readings;
use aegis_planning::incident::validate::ValidatedIncident;

use super::super::IncidentReconciler;
use super::{case, evidence};

/// What these readings show as wrong.
pub(super) fn judge(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    evidence: &Evidence,
) -> Vec<Symptom> {
    let case = case::with(reconciler, incident, evidence.clone());
    case.map(|case| reconciler.brain.symptoms(&case))
        .unwrap_or_default()
}

/// Measures again.
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

/// Whether the gravest symptom that there was is gone. Nothing is measured where the probes are not passed: it is not well.
pub(super) async fn aftermath(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
    passed: bool,
) -> Aftermath {
    let plan = incident.status.plan.as_ref().map(|plan| plan.action);
    let acted = plan.is_some_and(|action| action != Action::Noop);
    let symptom = incident.status.symptoms.first();
    let Some(symptom) = symptom.filter(|_| passed && acted) else {
        return Aftermath::Unasked;
    };
    let with_cpu = symptom.kind == SymptomKind::CpuHigh;
    let read = match evidence::readings(&reconciler.context, incident, workload, with_cpu).await {
        Ok(read) => read,
        Err(error) => return Aftermath::Unread(error.to_string()),
    };
    let left: Vec<Symptom> = judge(reconciler, incident, &read)
        .into_iter()
        .filter(|left| left.kind == symptom.kind)
        .collect();
    match left.is_empty() {
        true if is_known(symptom.kind, &read) => Aftermath::Cleared,
        true => Aftermath::Unknown,
        false => Aftermath::Persists(words(&left)),
    }
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
        // Of those who ask the load balancer's clients, or a sender, silence is no answer.
        SymptomKind::HttpErrors | SymptomKind::HttpSlow | SymptomKind::Trusted => false,
        SymptomKind::Throttled | SymptomKind::ProcessLimit => false,
        SymptomKind::Rule
        | SymptomKind::OutOfMemory
        | SymptomKind::Down
        | SymptomKind::ProbeFailing
        | SymptomKind::CrashLoop => true,
        SymptomKind::ReplicasMissing => evidence.ready_replicas >= evidence.desired_replicas,
    }
}
