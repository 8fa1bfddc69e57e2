//! The case as the brain is given it: text and numbers, nothing that acts. Reads the store.

use aegis_api::proposal::Evidence;
use aegis_api::{Kind, RunbookEntry};
use aegis_brain::{Case, Recalled, ReplicaBounds};
use aegis_planning::incident::validate::ValidatedIncident;

use super::super::IncidentReconciler;

/// With the evidence that was collected first.
pub(super) fn known(reconciler: &IncidentReconciler, incident: &ValidatedIncident) -> Option<Case> {
    with(reconciler, incident, incident.status.evidence.clone()?)
}

/// With this evidence.
pub(super) fn with(
    reconciler: &IncidentReconciler,
    incident: &ValidatedIncident,
    evidence: Evidence,
) -> Option<Case> {
    let workload = incident.target.as_ref().ok()?;
    let spec = &incident.incident.spec;
    let recalled = incident.status.retrieved.iter().filter_map(|hit| {
        let entry = reconciler.context.store.get::<RunbookEntry>(&hit.entry)?;
        Some(Recalled {
            name: hit.entry.clone(),
            entry: entry.spec.clone(),
            score: hit.score,
            trust: hit.trust,
        })
    });
    Some(Case {
        incident: incident.name().to_owned(),
        alert_type: spec.alert_type.clone(),
        severity: spec.severity,
        logs: spec.logs.clone(),
        details: spec.source.labels.clone(),
        workload: workload.name().to_owned(),
        container: spec.container_name.as_ref().map(ToString::to_string),
        evidence,
        recalled: recalled.collect(),
        replicas: ReplicaBounds {
            min: incident.policy.replicas.min,
            max: incident.max_replicas,
            current: workload.spec.replicas,
        },
        protected: incident.protected,
        tried: incident.status.tried.clone(),
        terms: incident.policy.analysis.runbook,
        now: reconciler.context.clock.now(),
    })
}
