//! Whether what is wrong is (still) wrong at this moment: asked right before an action and after it. Reads only.

use aegis_api::Workload;
use aegis_api::proposal::Evidence;
use aegis_api::symptom::{Symptom, SymptomKind};
use aegis_docker::EngineError;
use aegis_planning::detection::symptom;
use aegis_planning::incident::aftermath::{After, Aftermath, aftermath as left_of, names};
use aegis_planning::incident::clearing::{target, trusted};
use aegis_planning::incident::measured::Measured;
use aegis_planning::incident::readings::readings;
use aegis_planning::incident::validate::ValidatedIncident;

use super::super::IncidentReconciler;
use super::evidence::CpuReading;
use super::signals::Signals;
use super::{case, evidence, origin, signals};

/// The most symptoms that an incident has.
const MOST_SYMPTOMS: usize = 12;

/// What these readings, the signals and a trusted sender show as wrong, gravest first.
pub(super) fn judge(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
    evidence: &Evidence,
) -> Vec<Symptom> {
    let signals = signals::read(&reconciler.context, incident, workload);
    judge_with(reconciler, incident, evidence, &signals)
}

/// The same with signals that were read.
fn judge_with(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    evidence: &Evidence,
    signals: &Signals,
) -> Vec<Symptom> {
    let outside: Vec<Symptom> = signals
        .iter()
        .filter_map(symptom)
        .chain(trusted(incident))
        .collect();
    let Some(mut case) = case::with(reconciler, incident, evidence.clone()) else {
        return outside;
    };
    // What a rule of one's own argues from is what holds now, not what held at the beginning.
    case.measured = outside;
    let mut found = reconciler.brain.symptoms(&case);
    found.truncate(MOST_SYMPTOMS);
    found
}

/// Measures again.
pub(super) async fn measure(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
) -> Result<Measured, EngineError> {
    let cpu = match names(incident, SymptomKind::CpuHigh) {
        true => CpuReading::Always,
        false => CpuReading::IfNothingElse,
    };
    let read = evidence::readings(&reconciler.context, incident, workload, cpu).await?;
    let symptoms = judge(reconciler, incident, workload, &read);
    Ok(Measured {
        origin: origin::origin(&reconciler.context, incident, workload, &symptoms).await,
        symptoms,
        readings: readings(&read),
        at: reconciler.context.clock.now(),
    })
}

/// Whether the symptom that the plan was to clear is gone. Nothing is measured where the probes are not passed: it is not
/// well.
pub(super) async fn aftermath(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    workload: &Workload,
    passed: bool,
) -> Aftermath {
    let Some(symptom) = target(&incident.status).filter(|_| passed) else {
        return Aftermath::Unasked;
    };
    let context = &reconciler.context;
    let cpu = match symptom.kind {
        SymptomKind::CpuHigh => CpuReading::Always,
        _ => CpuReading::Never,
    };
    let read = match evidence::readings(context, incident, workload, cpu).await {
        Ok(read) => read,
        Err(error) => return Aftermath::Unread(error.to_string()),
    };
    let signals = signals::read(context, incident, workload);
    let now = judge_with(reconciler, incident, &read, &signals);
    let after = After {
        symptoms: &now,
        evidence: &read,
        signals: &signals,
    };
    left_of(incident, symptom, after)
}
