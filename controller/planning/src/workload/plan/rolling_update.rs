//! How containers of yesterday are replaced or restarted without anybody noticing: how many more may exist meanwhile, how
//! many must go on serving, and who goes next. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::ContainerId;
use aegis_api::observed::ContainerState;
use aegis_api::workload::{Leaving, StrategyType};

use super::{Prepared, Step, leave};
use crate::workload::standing::Standing;
use crate::workload::validate::{Instance, ReplicaSource, ValidatedWorkload};

/// How long a restart waits for its stand-in to serve before it goes on without.
const STAND_IN_WITHIN: Duration = Duration::from_secs(15);

/// What a change of containers allows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DisruptionBudget {
    /// Replicas beyond the wanted number.
    pub surge: usize,
    /// Containers that must go on serving.
    pub min_available: usize,
    /// How long a stand-in is still waited for.
    pub stand_in_left: Option<Duration>,
}

pub(super) fn disruption_budget(workload: &ValidatedWorkload) -> DisruptionBudget {
    let running = || {
        let instances = workload.instances.iter();
        instances.filter(|instance| instance.state == ContainerState::Running)
    };
    let outdated = running().filter(|instance| instance.is_outdated()).count();
    let restarts = running().filter(|instance| instance.is_restart_due()).count();
    let strategy = &workload.spec.strategy;
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let (wanted, max_surge) = (size(workload.spec.replicas), size(strategy.max_surge));
    let surges = strategy.kind == StrategyType::RollingUpdate
        && max_surge > 0
        && workload.may_double
        && !workload.deleting
        && !matches!(workload.source, ReplicaSource::Missing);
    let in_place = size(strategy.max_unavailable).max(1);
    let beside = size(strategy.max_unavailable).min(wanted.saturating_sub(1));
    let left = stand_in_left(workload);
    let relieved =
        surges && restarts > 0 && !left.is_zero() && running().any(|one| workload.is_in_rotation(one));
    let proven = running().any(|one| one.index > 0 && !one.is_outdated() && one.is_proven(workload));
    let unavailable = match (outdated > 0 && surges, relieved) {
        // It is not known yet whether the new revision runs at all.
        (true, _) if !proven => 0,
        (true, _) | (false, true) => beside,
        (false, false) => in_place,
    };
    let successors = if surges { max_surge.min(outdated) } else { 0 };
    let stand_in = usize::from(relieved && unavailable == 0);
    DisruptionBudget {
        surge: successors.max(stand_in),
        min_available: wanted.saturating_sub(unavailable),
        stand_in_left: (stand_in > 0).then_some(left),
    }
}

/// What is left of the time for which a restart waits for a stand-in.
fn stand_in_left(workload: &ValidatedWorkload) -> Duration {
    let begun = workload
        .before
        .rollout
        .as_ref()
        .filter(|rollout| rollout.restarted_at == workload.spec.restarted_at)
        .map(|rollout| rollout.since);
    let waited = begun.map_or(Duration::ZERO, |begun| begun.age(workload.now));
    STAND_IN_WITHIN.saturating_sub(waited)
}

/// How many of these serve and are not on their way out.
pub(super) fn available<'a>(
    workload: &ValidatedWorkload,
    instances: impl Iterator<Item = &'a Instance>,
) -> usize {
    instances
        .filter(|instance| counts(workload, instance) && instance.leaving.is_none())
        .count()
}

/// Whether a container can be relied on: one of yesterday while nothing is known against it, a new one once proven.
pub(super) fn counts(workload: &ValidatedWorkload, instance: &Instance) -> bool {
    let stale = instance.standing != Standing::Current;
    (stale && instance.may_serve()) || instance.is_proven(workload)
}

/// Restarts and replaces what is of yesterday, as far as enough others serve.
pub(super) fn rolling_update(
    workload: &ValidatedWorkload,
    staying: &[&Instance],
    pending_removal: &BTreeSet<ContainerId>,
    budget: DisruptionBudget,
    plan: &mut Prepared,
) {
    let mut available = available(workload, staying.iter().copied());
    for instance in stale(staying, pending_removal) {
        let refused = workload.irreplaceable.as_ref();
        if let Some(refused) = refused.filter(|_| instance.is_outdated()) {
            plan.note(refused);
            continue;
        }
        let step = step(instance);
        let serves = instance.may_serve();
        let remaining = match instance.leaving.is_some() {
            true => available,
            false => available.saturating_sub(1),
        };
        if serves && remaining < budget.min_available {
            plan.waiting.push(format!(
                "{} waits until {} others serve ({remaining} do)",
                step.words(),
                budget.min_available
            ));
            continue;
        }
        if turn_one(workload, staying, instance, step, plan) && serves {
            available = remaining;
        }
    }
    if let Some(left) = budget.stand_in_left {
        plan.look_in(left);
    }
}

/// What runs and is of yesterday, in the order in which it is turned over.
fn stale<'a>(staying: &[&'a Instance], pending_removal: &BTreeSet<ContainerId>) -> Vec<&'a Instance> {
    let stale = staying
        .iter()
        .filter(|instance| instance.state == ContainerState::Running)
        // One that goes as soon as others serve carries the load until then: it needs no replacement.
        .filter(|instance| match instance.standing {
            Standing::Current => false,
            Standing::Outdated => true,
            Standing::RestartDue => !pending_removal.contains(&instance.id),
        });
    let mut order: Vec<&Instance> = stale.copied().collect();
    // Those already draining go on first, so that a pass never starts a second one in their place.
    order.sort_by_key(|instance| (instance.leaving.is_none(), instance.index));
    order
}

fn step(instance: &Instance) -> Step {
    let (id, name) = (instance.id.clone(), instance.name.clone());
    match instance.is_outdated() {
        true => Step::Remove { id, name },
        false => Step::Restart { id, name },
    }
}

/// Takes the step, or has the container leave first; `false` where it has to wait for others.
fn turn_one(
    workload: &ValidatedWorkload,
    staying: &[&Instance],
    instance: &Instance,
    step: Step,
    plan: &mut Prepared,
) -> bool {
    let (serves, outdated) = (instance.may_serve(), instance.is_outdated());
    let rolling = workload.spec.strategy.kind == StrategyType::RollingUpdate;
    let others: Vec<&&Instance> = staying
        .iter()
        .filter(|other| other.id != instance.id && other.may_serve())
        .collect();
    let others_serve = others.iter().any(|other| !plan.draining.contains_key(&other.id));
    // In place a process may restart under its requests; what goes for good leaves first, whatever the strategy.
    if serves && (rolling || outdated) && !others_serve && !others.is_empty() {
        // All others are on their way out: this one carries the load until they are back.
        return false;
    }
    if outdated {
        leave(workload, instance, plan, Leaving::Rollout, step);
    } else if others_serve && rolling {
        leave(workload, instance, plan, Leaving::Restart, step);
    } else {
        // The last one that serves cannot be taken out: an empty upstream is never written.
        plan.steps.push(step);
    }
    true
}
