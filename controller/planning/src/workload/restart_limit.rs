//! When automatic restarts end, and the incident that then asks a human: one for a workload at a time. Pure.

use std::sync::Arc;

use aegis_api::observed::ContainerState;
use aegis_api::symptom::SymptomClass;
use aegis_api::workload::InstanceStatus;
use aegis_api::{Incident, Kind as _, Time, Workload, naming};

use super::validate::{Instance, ValidatedWorkload};
use crate::detection::episode;
use crate::host_limit::is_ordered;

/// Restarts in a row of a container that never was healthy in between: another one cannot help.
const FRUITLESS: u32 = 3;

/// Why a container is not restarted any more without a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It was restarted so often that it is left alone until then.
    Until(Time),
    /// It never was healthy in so many runs in a row.
    Fruitless(u32),
    /// It was not healthy in this run, and what its probe finds would be the same in the next.
    Futile,
}

/// What the incident says.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The same for the same last restart: it is opened once.
    pub name: String,
    /// The container that it is about.
    pub container: String,
    /// Human-readable.
    pub text: String,
}

/// Restarts of a container that count against the limit.
pub fn recent_restarts(workload: &ValidatedWorkload, instance: &Instance) -> Vec<Time> {
    let window = workload.spec.restart.window.std();
    let recent = instance.before.iter().flat_map(|row| &row.recent_restarts);
    recent
        .copied()
        .filter(|at| at.age(workload.now) < window)
        .collect()
}

/// How many runs in a row that a restart of ours ended were never healthy.
pub(crate) fn fruitless(instance: &Instance) -> u32 {
    match (&instance.before, instance.first_ready_at) {
        (Some(row), None) => row.fruitless_restarts,
        _ => 0,
    }
}

/// Why a container is left to a human, if it was restarted too often.
pub fn reached(workload: &ValidatedWorkload, instance: &Instance) -> Option<Limit> {
    let policy = &workload.spec.restart;
    if instance.futile {
        return Some(Limit::Futile);
    }
    let in_vain = fruitless(instance);
    if instance.state == ContainerState::Running && in_vain >= FRUITLESS.min(policy.most()) {
        return Some(Limit::Fruitless(in_vain));
    }
    let attempts = usize::try_from(policy.most()).unwrap_or(usize::MAX);
    let recent = recent_restarts(workload, instance);
    let counted = recent.len().checked_sub(attempts)?;
    recent
        .get(counted)
        .map(|oldest| Limit::Until(oldest.plus(policy.window)))
}

/// Human-readable.
pub fn words(workload: &ValidatedWorkload, instance: &Instance, limit: Limit) -> String {
    let (name, message) = (&instance.name, &instance.message);
    let ask = format!("`aegisctl restart workload/{}`", workload.name);
    match limit {
        Limit::Until(until) => format!(
            "{name} was restarted {} times within {} ({message}): it is left to a human ({ask}), or until {until}",
            workload.spec.restart.most(),
            workload.spec.restart.window,
        ),
        Limit::Futile => format!(
            "{name} runs and answers its probe so that a restart cannot change it ({message}): it is not restarted but left to a human (check spec.health and the log; then {ask})"
        ),
        Limit::Fruitless(times) => format!(
            "{name} was restarted {times} times and never became healthy ({message}): another restart cannot help, it is left to a human (check spec.health and the log; then {ask})"
        ),
    }
}

/// Whether the restart in a spec was decided by automation: it counts like any other of its restarts.
pub fn is_automatic(incidents: &[Arc<Incident>], workload: &Workload) -> bool {
    let Some(asked) = workload.spec.restarted_at else {
        return false;
    };
    incidents.iter().any(|incident| {
        let status = incident.status.as_ref();
        let plan = status.and_then(|status| status.plan.as_ref());
        let is_it = plan.is_some_and(|plan| {
            plan.target.as_str() == workload.name() && plan.patch.restarted_at == Some(asked)
        });
        is_it && !is_ordered(incident)
    })
}

/// The incident about a container whose limit is reached.
pub fn report(workload: &ValidatedWorkload, instance: &Instance, limit: Limit) -> Report {
    let last = |row: &InstanceStatus| row.last_restart_at.map(|at| at.to_string());
    let last = instance.before.as_ref().and_then(last).unwrap_or_default();
    let id = format!("restart-limit-{} {} {last}", workload.name, instance.id);
    Report {
        name: naming::own_incident("restart-limit", &id),
        container: instance.name.clone(),
        text: words(workload, instance, limit),
    }
}

/// Of the incident about a workload's restarts: the same for all of them.
pub fn fingerprint(workload: &str) -> String {
    format!("restart-limit/{workload}")
}

/// Whether an incident about this is open already: one of its own, or that of a detector about the same crashes.
pub fn is_reported(incidents: &[Arc<Incident>], workload: &str) -> bool {
    let own = fingerprint(workload);
    let detected = episode::fingerprint(workload, SymptomClass::Availability);
    incidents.iter().any(|incident| {
        let fingerprint = &incident.spec.source.fingerprint;
        !incident.is_finished() && (*fingerprint == own || *fingerprint == detected)
    })
}
