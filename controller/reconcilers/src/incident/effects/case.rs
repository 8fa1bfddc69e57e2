//! The case as the brain is given it: text and numbers, nothing that acts. Reads the store.

use std::sync::Arc;

use aegis_api::proposal::Evidence;
use aegis_api::{Kind, LoadBalancer, RunbookEntry};
use aegis_brain::{Balancer, Case, MEASURED_OUTSIDE, Recalled, ReplicaBounds};
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
    let measured = incident.status.symptoms.iter();
    let trusted = incident.policy.trusts(&spec.source.kind, &spec.alert_type);
    Some(Case {
        incident: incident.name().to_owned(),
        alert_type: spec.alert_type.clone(),
        severity: spec.severity,
        logs: spec.logs.clone(),
        details: spec.source.labels.clone(),
        workload: workload.name().to_owned(),
        container: spec.container_name.as_ref().map(ToString::to_string),
        evidence,
        measured: measured
            .filter(|symptom| MEASURED_OUTSIDE.contains(&symptom.kind))
            .cloned()
            .collect(),
        trusted: trusted.map(|alert| alert.actions.clone()).unwrap_or_default(),
        balancers: in_front_of(reconciler, workload.name()),
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

fn in_front_of(reconciler: &IncidentReconciler, workload: &str) -> Vec<Balancer> {
    let balancers = reconciler.context.store.list::<LoadBalancer>();
    let in_front = balancers.iter().filter(|balancer| {
        let mut backends = balancer.spec.backends.iter();
        backends.any(|backend| backend.workload.as_str() == workload)
    });
    let view = |balancer: &Arc<LoadBalancer>| {
        let mut served = balancer.status.iter().flat_map(|status| &status.servers);
        Balancer {
            container: balancer.spec.container.to_string(),
            routes: served.any(|server| server.workload == workload),
        }
    };
    in_front.map(view).collect()
}
