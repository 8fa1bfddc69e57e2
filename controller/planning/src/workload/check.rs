//! A second check of every plan before anything is done: decides nothing that the planner decides, knows only what must
//! never happen, and takes out each step that would. Pure.

use std::collections::BTreeSet;

use aegis_api::ContainerId;
use aegis_api::observed::ContainerState;
use aegis_api::workload::StrategyType;

use super::plan::{Prepared, Refusal, Step};
use super::restart_limit;
use super::validate::{Instance, ValidatedWorkload};

/// Takes the steps that break a rule out of the plan, and says which.
pub fn check(workload: &ValidatedWorkload, mut plan: Prepared) -> Prepared {
    let mut allowed: Vec<Step> = Vec::new();
    for step in std::mem::take(&mut plan.steps) {
        match objection(workload, &allowed, &step) {
            None => allowed.push(step),
            Some(reason) => {
                plan.waiting
                    .push(format!("{} is refused: {reason}", step.words()));
                plan.refused.push(Refusal { step, reason });
            }
        }
    }
    plan.steps = allowed;
    plan
}

/// What speaks against a step, given those before it.
fn objection(workload: &ValidatedWorkload, before: &[Step], step: &Step) -> Option<String> {
    let (id, ends) = match step {
        Step::Create { index, name } => return creation(workload, before, *index, name),
        Step::Start { id, .. } | Step::Capture { id, .. } => (id, false),
        Step::Restart { id, .. }
        | Step::RestartUnhealthy { id, .. }
        | Step::RestartDetached { id, .. }
        | Step::Remove { id, .. } => (id, true),
    };
    let Some(target) = workload.instances.iter().find(|instance| instance.id == *id) else {
        return Some("the container is none of this workload's".to_owned());
    };
    if before.iter().any(|earlier| earlier.id() == Some(id)) {
        return Some("the plan does something else to the same container".to_owned());
    }
    match step {
        Step::Remove { .. } if target.index == 0 => {
            Some("the container was adopted: it is not ours to remove".to_owned())
        }
        Step::Restart { .. } | Step::RestartUnhealthy { .. } | Step::RestartDetached { .. }
            if workload.deleting =>
        {
            Some("the workload is being deleted".to_owned())
        }
        Step::Restart { .. } | Step::RestartUnhealthy { .. } | Step::RestartDetached { .. }
            if target.obstacle.is_some() =>
        {
            target
                .obstacle
                .as_ref()
                .map(|refused| format!("it could not be started again: {}", refused.message))
        }
        Step::Restart { .. } if !target.restart_asked => {
            Some("it has started since spec.restartedAt already".to_owned())
        }
        Step::RestartDetached { .. } if !workload.is_cut_off(target) => Some("it has its network".to_owned()),
        // No client reaches it.
        Step::RestartDetached { .. } => None,
        Step::RestartUnhealthy { .. } if workload.waits_for().is_some() => {
            Some("what it needs is not well itself".to_owned())
        }
        Step::RestartUnhealthy { .. } if target.may_serve() => {
            Some("nothing is wrong with it any more".to_owned())
        }
        Step::RestartUnhealthy { .. } if restart_limit::reached(workload, target).is_some() => {
            Some("it was restarted as often as is allowed without a human".to_owned())
        }
        Step::Start { .. } if target.is_stopped_by_hand() && !target.restart_asked => {
            Some("a person stopped it".to_owned())
        }
        _ if ends => serving(workload, before, target),
        _ => None,
    }
}

fn creation(workload: &ValidatedWorkload, before: &[Step], index: u32, name: &str) -> Option<String> {
    if workload.deleting {
        return Some("the workload is being deleted".to_owned());
    }
    if index == 0 || name != format!("{}-replica-{index}", workload.name) {
        return Some(format!(
            "{name} is no name of a replica of workload {}",
            workload.name
        ));
    }
    let twice = before
        .iter()
        .any(|step| matches!(step, Step::Create { name: other, .. } if other == name));
    if twice || workload.taken_names.contains(name) {
        return Some(format!("the name {name} is taken"));
    }
    let surge = match workload.spec.strategy.kind {
        StrategyType::RollingUpdate => workload.spec.strategy.max_surge,
        StrategyType::InPlace => 0,
    };
    let most = u64::from(workload.spec.replicas) + u64::from(surge);
    let adopted = u64::from(workload.spec.container.is_some());
    let replicas = workload
        .instances
        .iter()
        .filter(|instance| instance.index > 0)
        .count();
    let made = before
        .iter()
        .filter(|step| matches!(step, Step::Create { .. }))
        .count();
    let after = u64::try_from(replicas + made + 1).unwrap_or(u64::MAX) + adopted;
    (after > most)
        .then(|| format!("{after} containers would be more than replicas and maxSurge allow ({most})"))
}

/// Whether enough others serve once a container has ended.
fn serving(workload: &ValidatedWorkload, before: &[Step], target: &Instance) -> Option<String> {
    if !target.may_serve() || target.state != ContainerState::Running {
        return None;
    }
    let holds: Vec<&str> = workload
        .rotations
        .iter()
        .filter(|rotation| rotation.serving && rotation.servers.contains(&target.id))
        .filter(|rotation| !target.is_released_by(rotation))
        .map(|rotation| rotation.name.as_str())
        .collect();
    let rolling = workload.spec.strategy.kind == StrategyType::RollingUpdate;
    let others: Vec<&Instance> = workload
        .instances
        .iter()
        .filter(|other| other.id != target.id && other.may_serve())
        .collect();
    let relief = others
        .iter()
        .any(|other| other.is_ready() && !other.was_draining());
    if rolling && !holds.is_empty() && relief {
        return Some(format!(
            "load balancer {} still sends it requests",
            holds.join(", ")
        ));
    }
    let ended: BTreeSet<&ContainerId> = before
        .iter()
        .filter(|step| {
            !matches!(
                step,
                Step::Create { .. } | Step::Start { .. } | Step::Capture { .. }
            )
        })
        .filter_map(Step::id)
        .collect();
    let left = others.iter().filter(|other| !ended.contains(&other.id)).count();
    let wanted = usize::try_from(workload.spec.replicas).unwrap_or(usize::MAX);
    let spare = usize::try_from(workload.spec.strategy.max_unavailable.max(1)).unwrap_or(usize::MAX);
    let least = if workload.deleting {
        0
    } else {
        wanted.saturating_sub(spare)
    };
    (left < least).then(|| format!("{left} would be left serving, {least} must be"))
}
