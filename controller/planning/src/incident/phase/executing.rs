//! EXECUTING and SCALING: whether a plan that was applied has taken effect, and what ends it where it cannot.

use std::time::Duration;

use aegis_api::incident::{Execution, Plan, Stage, Verification};
use aegis_api::observed::ContainerState;
use aegis_api::proposal::Action;
use aegis_api::restart::CannotRestart;
use aegis_api::workload::Health;
use aegis_api::{ConditionType, ContainerId, Kind, Phase, Reason, Workload, WorkloadStatus};

use super::super::gate::paused_containers;
use super::super::ladder::{fail, fall_back};
use super::super::next::Next;
use super::super::remedy;
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;
use crate::serving::is_in_rotation;

/// How long a change may take to show in Docker before it counts as failed.
const CONVERGE_WITHIN: Duration = Duration::from_secs(120);
/// How long the engine may refuse what a change needs, or a container be gone, before that is the last word: Compose
/// recreates containers within a moment.
const REFUSED_FOR: Duration = Duration::from_secs(5);

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let (Some(plan), Some(execution)) = (&incident.status.plan, &incident.status.execution) else {
        return fail(incident, "the plan is missing from the status");
    };
    if !remedy::is_applied(&plan.patch, &workload.spec) {
        let error = format!(
            "somebody changed workload {} (generation {}) before the plan had taken effect",
            plan.target,
            workload.generation()
        );
        return fail(incident, error);
    }
    let status = workload.status.clone().unwrap_or_default();
    if let Some(containers) = converged(incident, plan, execution.generation, &status, workload) {
        let lb = (!incident.balancers.is_empty()).then(|| in_rotation(incident, &status));
        return begin_verification(incident, plan, containers, lb).into();
    }
    not_converged(incident, workload, plan, execution)
}

/// It waits, for as long as the plan may still take effect.
fn not_converged(
    incident: &ValidatedIncident,
    workload: &Workload,
    plan: &Plan,
    execution: &Execution,
) -> Next {
    let action = plan.action;
    // While this controller was away nothing worked on it.
    let began = execution
        .applied_at
        .unwrap_or(incident.now)
        .max(incident.awake_since);
    let waits = began.age(incident.now);
    let status = workload.status.clone().unwrap_or_default();
    if action != Action::Noop
        && let Some(message) = paused_containers(workload)
    {
        return fail(incident, format!("{action} did not take effect: {message}"));
    }
    if action == Action::Restart
        && status.observed_generation >= execution.generation
        && let Some(why) = cannot_restart(&status)
    {
        return fall_back(incident, format!("RESTART cannot be done: {why}"));
    }
    if waits >= REFUSED_FOR
        && let Some(message) = impossible(workload)
    {
        return fall_back(incident, format!("{action} cannot take effect: {message}"));
    }
    let left = CONVERGE_WITHIN.saturating_sub(waits);
    if left.is_zero() {
        let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready);
        let ready = ready.map(|ready| ready.message.clone()).unwrap_or_default();
        let secs = CONVERGE_WITHIN.as_secs();
        return fall_back(
            incident,
            format!("{action} had not taken effect after {secs} s: {ready}"),
        );
    }
    Next::Wait(Some(left))
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

/// What keeps a change from ever taking effect, until somebody changes something else.
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

/// Whether every load balancer that names the workload sends requests to just its present containers.
pub(super) fn in_rotation(incident: &ValidatedIncident, status: &WorkloadStatus) -> bool {
    let target = incident.target.as_ref();
    let target = target.map(|workload| workload.name()).unwrap_or_default();
    is_in_rotation(&incident.balancers, target, &status.instances)
}

fn begin_verification(
    incident: &ValidatedIncident,
    plan: &Plan,
    containers: Vec<String>,
    lb: Option<bool>,
) -> Transition {
    let now = incident.now;
    let names = containers.join(", ");
    let (stage, text) = match plan.action {
        Action::Restart => (Stage::Restarted, format!("restarted {names}")),
        Action::ScaleUp => (Stage::Scaled, format!("made {names}")),
        Action::ScaleDown => (Stage::ScaledDown, format!("removed {names}")),
        Action::Rollback => (Stage::RolledBack, format!("rolled back {names}")),
        Action::Noop => (Stage::Noop, format!("{names} left as it is")),
    };
    let mut transition = Transition::new(What::VerificationBegun, Phase::Verifying, now).log(stage, text);
    if lb == Some(true) {
        transition = transition.log(Stage::LbConfigured, rotation(incident, plan.action, &names));
    }
    let execution = Execution {
        converged_at: Some(now),
        containers,
        lb_configured: lb,
        ..incident.status.execution.clone().unwrap_or_default()
    };
    let verification = Verification {
        started_at: Some(now),
        deadline: Some(now.plus(incident.policy.verification.deadline)),
        ..Verification::default()
    };
    transition
        .log(Stage::Verifying, "probing every container of the workload")
        .set(Field::Execution(Some(execution)))
        .set(Field::Verification(Some(verification)))
}

/// Tells that every load balancer serves what the action left.
pub(super) fn rotation(incident: &ValidatedIncident, action: Action, names: &str) -> String {
    let balancers: Vec<&str> = incident.balancers.iter().map(|lb| lb.name()).collect();
    let verb = match action {
        Action::ScaleDown => "no longer sends requests to",
        Action::Restart | Action::ScaleUp | Action::Rollback | Action::Noop => "sends requests to",
    };
    format!("{} {verb} {names}", balancers.join(", "))
}
