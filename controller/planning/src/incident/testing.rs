//! Incidents and what is around them, for tests of this crate and of those that act on its plans.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "built for tests alone, where what is made up here is right"
)]

use std::sync::Arc;

use aegis_api::incident::Plan;
use aegis_api::workload::InstanceStatus;
use aegis_api::{
    ConditionType, Incident, IncidentStatus, Kind, Reason, RemediationPolicy, Symptom, SymptomKind, Time,
    Workload, WorkloadStatus, kinds, yaml,
};

use super::next::{Effect, Next, Setback};
use super::observed::Observed;
use super::phase::next;
use super::transition::{Field, Transition, What};
use super::validate::{ValidatedIncident, validate};
use crate::host_limit::HostLimits;
use crate::host_reading::HostReading;

pub const NOW: &str = "2026-11-22T12:00:00Z";

pub fn object<K: Kind>(kind: &str, name: &str, spec: &str) -> K {
    let text =
        format!("apiVersion: aegisops.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let document = yaml::parse(&text).unwrap().remove(0);
    let (_, typed) = kinds::find(kind).unwrap().decode(document.value).unwrap();
    (*typed.downcast::<K>().unwrap()).clone()
}

pub fn incident(spec: &str, status: &str) -> Incident {
    let status: IncidentStatus =
        serde_json::from_value(yaml::parse(status).unwrap().remove(0).value).unwrap();
    let mut incident: Incident = object("Incident", "inc", spec);
    incident.status = Some(match status.measured_at {
        Some(_) => status,
        None => found_unhealthy(status),
    });
    incident
}

/// Symptoms of these kinds, of which nothing else matters.
pub fn symptoms(kinds: &[SymptomKind]) -> Vec<Symptom> {
    let symptom = |kind: &SymptomKind| Symptom {
        kind: *kind,
        container: None,
        value: None,
        message: String::new(),
    };
    kinds.iter().map(symptom).collect()
}

/// It was measured just now that the workload's probe fails.
pub fn found_unhealthy(status: IncidentStatus) -> IncidentStatus {
    IncidentStatus {
        symptoms: vec![Symptom {
            kind: SymptomKind::ProbeFailing,
            container: Some("web-replica-1".to_owned()),
            value: None,
            message: "web-replica-1 runs but fails its health check".to_owned(),
        }],
        measured_at: Some(NOW.parse().unwrap()),
        ..status
    }
}

/// What comes next for an incident about a settled workload of three replicas.
pub fn step(incident: Incident, policy: &str) -> Next {
    next(&judge(vec![incident], policy))
}

fn when(next: &Next, what: What) -> Option<&Transition> {
    next.transition().filter(|transition| transition.what == what)
}

/// The plan that is approved, and why.
pub fn approved(next: &Next) -> Option<(&Plan, &str)> {
    let transition = when(next, What::Approved)?;
    let allows = transition
        .conditions
        .iter()
        .find(|it| it.kind == ConditionType::PolicyAllows)?;
    Some((transition.plan()?, &allows.message))
}

/// The plan that a human is asked about, and why.
pub fn asked(next: &Next) -> Option<(&Plan, Reason, &str)> {
    let transition = when(next, What::Asked)?;
    let allows = transition
        .conditions
        .iter()
        .find(|it| it.kind == ConditionType::PolicyAllows)?;
    Some((transition.plan()?, allows.reason, &allows.message))
}

/// The reason for which it is held.
pub fn held(next: &Next) -> Option<Reason> {
    let transition = when(next, What::Held)?;
    let held = transition
        .conditions
        .iter()
        .find(|it| it.kind == ConditionType::Held)?;
    Some(held.reason)
}

/// Why it begins at evidence again.
pub fn started_over(next: &Next) -> Option<&str> {
    let transition = when(next, What::StartedOver)?;
    transition.timeline[0]
        .message
        .strip_prefix("the plan is made again: ")
}

/// Why it fails.
pub fn failed(next: &Next) -> Option<&str> {
    if let Next::Effect(Effect::Unlearn(Setback::Fail { error, .. })) = next {
        return Some(error);
    }
    let mut fields = when(next, What::Failed)?.fields.iter();
    fields.find_map(|field| match field {
        Field::Error(error) => error.as_deref(),
        _ => None,
    })
}

/// A policy that lets automation act, unless it says otherwise.
pub fn acting(policy: &str) -> String {
    match policy.contains("mode:") {
        true => policy.to_owned(),
        false => policy.replacen('{', "{mode: Auto, ", 1),
    }
}

/// The first of these incidents, validated.
pub fn judge(incidents: Vec<Incident>, policy: &str) -> ValidatedIncident {
    judge_of(WorkloadStatus::default(), incidents, policy)
}

/// The same of a workload that has this status.
pub fn judge_of(status: WorkloadStatus, incidents: Vec<Incident>, policy: &str) -> ValidatedIncident {
    let mut workload: Workload = object("Workload", "web", "{replicas: 3, template: {image: 'app:1'}}");
    workload.metadata.generation = Some(1);
    workload.status = Some(status);
    let incidents: Vec<Arc<Incident>> = incidents.into_iter().map(Arc::new).collect();
    let observed = Observed {
        stopped: std::collections::BTreeSet::new(),
        workloads: vec![Arc::new(workload)],
        policies: vec![Arc::new(object::<RemediationPolicy>(
            "RemediationPolicy",
            "all",
            &acting(policy),
        ))],
        broken_policies: Vec::new(),
        incidents: incidents.clone(),
        linked: Vec::new(),
        balancers: Vec::new(),
        detectors: Vec::new(),
        paused: None,
        silences: Vec::new(),
        resumed: None,
        reading: HostReading::default(),
        cooldown: aegis_api::Duration::from_secs(30),
        verification_deadline: aegis_api::Duration::from_secs(30),
        max_replicas: 5,
        limits: HostLimits::default(),
        awake_since: "2026-11-22T00:00:00Z".parse().unwrap(),
        leaps: Vec::new(),
        now: NOW.parse::<Time>().unwrap(),
    };
    validate(&incidents[0], &observed)
}

pub const REPORT: &str = "{workloadRef: web, alertType: odd}";

/// A container that is well.
pub fn row(name: &str) -> InstanceStatus {
    serde_json::from_value(serde_json::json!({
        "name": name, "id": format!("id-{name}"), "index": 0, "state": "running", "health": "Healthy", "revision": "r",
    }))
    .unwrap()
}
