//! Whether a plan that was applied has taken effect, and what ends it where it cannot. Pure.

use std::time::Duration;

use aegis_api::incident::Plan;
use aegis_api::observed::ContainerState;
use aegis_api::proposal::Action;
use aegis_api::restart::CannotRestart;
use aegis_api::workload::Health;
use aegis_api::{ConditionType, ContainerId, Kind, Reason, Workload, WorkloadStatus};

use super::super::remedy;
use super::super::validate::ValidatedIncident;
use super::{Step, fail, fall_back, in_rotation, paused_containers};

/// How long a change may take to show in Docker before it counts as failed.
const CONVERGE_WITHIN: Duration = Duration::from_secs(120);
/// How long the engine may refuse what a change needs, or a container be gone, before that is the last word: Compose
/// makes containers anew within a moment.
const REFUSED_FOR: Duration = Duration::from_secs(5);

pub fn converge(incident: &ValidatedIncident, workload: &Workload) -> Step {
    let (Some(plan), Some(execution)) = (&incident.status.plan, &incident.status.execution) else {
        return fail("the plan is missing from the status");
    };
    if !remedy::is_applied(&plan.patch, &workload.spec) {
        return fail(format!(
            "somebody changed workload {} (generation {}) before the plan had taken effect",
            plan.target,
            workload.generation()
        ));
    }
    let status = workload.status.clone().unwrap_or_default();
    if let Some(containers) = converged(incident, plan, execution.generation, &status, workload) {
        let lb = (!incident.balancers.is_empty()).then(|| in_rotation(incident, &status));
        return Step::BeginVerification {
            plan: plan.clone(),
            containers,
            lb,
        };
    }
    if plan.action != Action::Noop
        && let Some(message) = paused_containers(workload)
    {
        return fail(format!("{} did not take effect: {message}", plan.action));
    }
    if plan.action == Action::Restart
        && status.observed_generation >= execution.generation
        && let Some(why) = cannot_restart(&status)
    {
        return fall_back(incident, format!("RESTART cannot be done: {why}"));
    }
    // While this controller was away nobody worked on it.
    let began = execution
        .applied_at
        .unwrap_or(incident.now)
        .max(incident.awake_since);
    if began.age(incident.now) >= REFUSED_FOR
        && let Some(message) = impossible(workload)
    {
        return fall_back(incident, format!("{} cannot take effect: {message}", plan.action));
    }
    let left = CONVERGE_WITHIN.saturating_sub(began.age(incident.now));
    if left.is_zero() {
        let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready)
            .map(|ready| ready.message.clone())
            .unwrap_or_default();
        return fall_back(
            incident,
            format!(
                "{} had not taken effect after {} s: {ready}",
                plan.action,
                CONVERGE_WITHIN.as_secs()
            ),
        );
    }
    Step::Wait(Some(left))
}

/// Whether something outside keeps the change from taking effect: then it says nothing about the fix.
pub fn is_kept_from_effect(workload: &Workload) -> bool {
    let refused = workload.status.as_ref().and_then(cannot_restart);
    paused_containers(workload).is_some() || impossible(workload).is_some() || refused.is_some()
}

/// What the workload says where a stop could not be undone: waiting would not change that.
fn cannot_restart(status: &WorkloadStatus) -> Option<&str> {
    let degraded = aegis_api::condition::find(&status.conditions, ConditionType::Degraded)?;
    CannotRestart::from_reason(&degraded.reason).filter(|_| degraded.status == "True")?;
    Some(&degraded.message)
}

/// What keeps a change from ever taking effect, as long as nobody changes something else.
fn impossible(workload: &Workload) -> Option<String> {
    let ready = aegis_api::condition::find(&workload.status.as_ref()?.conditions, ConditionType::Ready)?;
    let is_final = ready.reason == Reason::StepRefused || ready.reason == Reason::ContainerMissing;
    (is_final && ready.status == "False").then(|| ready.message.clone())
}

/// The containers that the change was about, once all carry it.
fn converged(
    incident: &ValidatedIncident,
    plan: &Plan,
    generation: Option<i64>,
    status: &WorkloadStatus,
    workload: &Workload,
) -> Option<Vec<String>> {
    if status.observed_generation < generation {
        return None;
    }
    let rows = &status.instances;
    let names = || acted_on(incident, plan, status);
    match plan.action {
        Action::Noop => Some(names()),
        Action::Restart => {
            let wanted = plan.patch.restarted_at?;
            let all = rows.iter().all(|row| {
                row.state == ContainerState::Running && row.started_at.is_some_and(|start| start >= wanted)
            });
            (all && !rows.is_empty()).then(names)
        }
        Action::ScaleUp | Action::ScaleDown | Action::Rollback => {
            let wanted = workload.spec.replicas;
            let staying = rows
                .iter()
                .filter(|row| !row.draining && row.health == Health::Healthy)
                .count();
            let exact = rows.len() == staying && u32::try_from(staying).ok() == Some(wanted);
            let updated = plan.action != Action::Rollback || status.updated_replicas == wanted;
            (exact && updated && in_rotation(incident, status)).then(names)
        }
    }
}

/// Names of the containers that a plan which has taken effect made, removed or restarted; of a NOOP, all.
fn acted_on(incident: &ValidatedIncident, plan: &Plan, status: &WorkloadStatus) -> Vec<String> {
    let rows = || status.instances.iter().filter(|row| !row.draining);
    match plan.action {
        Action::ScaleUp => rows()
            .filter(|row| row.started_at.is_some_and(|start| start >= plan.created_at))
            .map(|row| row.name.clone())
            .collect(),
        Action::ScaleDown => {
            let seen = incident
                .status
                .evidence
                .iter()
                .flat_map(|evidence| &evidence.containers);
            seen.filter(|before| !rows().any(|row| row.id == before.id))
                .map(|before| before.name.clone())
                .collect()
        }
        Action::Restart => {
            // A stand-in was made for the restart, not restarted.
            let evidence = incident.status.evidence.as_ref();
            let seen = |id: &ContainerId| {
                evidence.is_none_or(|evidence| evidence.containers.iter().any(|before| before.id == *id))
            };
            rows()
                .filter(|row| seen(&row.id))
                .map(|row| row.name.clone())
                .collect()
        }
        Action::Rollback | Action::Noop => rows().map(|row| row.name.clone()).collect(),
    }
}
