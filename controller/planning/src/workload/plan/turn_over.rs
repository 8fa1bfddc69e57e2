//! How containers of yesterday are replaced or restarted without anybody noticing: how many more may exist meanwhile, how
//! many must go on serving, and who goes next. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::ContainerId;
use aegis_api::observed::ContainerState;
use aegis_api::workload::{Leaving, StrategyType};

use super::{Prepared, Step, leave};
use crate::workload::standing::Standing;
use crate::workload::validate::{Instance, Mould, ValidatedWorkload};

/// How long a restart waits for its stand-in to serve before it goes on without.
const STAND_IN_PATIENCE: Duration = Duration::from_secs(15);

/// What a change of containers allows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Leeway {
    /// Replicas beyond the wanted number.
    pub extra: usize,
    /// Containers that must go on serving.
    pub least: usize,
    /// How long a stand-in is still waited for.
    pub patience: Option<Duration>,
}

pub(super) fn leeway(workload: &ValidatedWorkload) -> Leeway {
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
        && !matches!(workload.mould, Mould::Missing);
    let in_place = size(strategy.max_unavailable).max(1);
    let beside = size(strategy.max_unavailable).min(wanted.saturating_sub(1));
    let patience = patience(workload);
    let relieved =
        surges && restarts > 0 && !patience.is_zero() && running().any(|one| workload.is_in_rotation(one));
    let proven = running().any(|one| one.index > 0 && !one.is_outdated() && one.is_proven(workload));
    let unavailable = match (outdated > 0 && surges, relieved) {
        // Nobody knows yet whether the new revision runs at all.
        (true, _) if !proven => 0,
        (true, _) | (false, true) => beside,
        (false, false) => in_place,
    };
    let successors = if surges { max_surge.min(outdated) } else { 0 };
    let stand_in = usize::from(relieved && unavailable == 0);
    Leeway {
        extra: successors.max(stand_in),
        least: wanted.saturating_sub(unavailable),
        patience: (stand_in > 0).then_some(patience),
    }
}

/// What is left of the time for which a restart waits for a stand-in.
fn patience(workload: &ValidatedWorkload) -> Duration {
    let begun = workload
        .before
        .rollout
        .as_ref()
        .filter(|rollout| rollout.restarted_at == workload.spec.restarted_at)
        .map(|rollout| rollout.since);
    let waited = begun.map_or(Duration::ZERO, |begun| begun.age(workload.now));
    STAND_IN_PATIENCE.saturating_sub(waited)
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
pub(super) fn turn_over(
    workload: &ValidatedWorkload,
    staying: &[&Instance],
    lingering: &BTreeSet<ContainerId>,
    leeway: Leeway,
    plan: &mut Prepared,
) {
    let mut available = available(workload, staying.iter().copied());
    let rolling = workload.spec.strategy.kind == StrategyType::RollingUpdate;
    let stale = staying
        .iter()
        .filter(|instance| instance.state == ContainerState::Running)
        // One that goes as soon as others serve carries the load until then: nobody needs it anew.
        .filter(|instance| match instance.standing {
            Standing::Current => false,
            Standing::Outdated => true,
            Standing::RestartDue => !lingering.contains(&instance.id),
        });
    let mut order: Vec<&Instance> = stale.copied().collect();
    // Those already draining go on first, so that a pass never starts a second one in their place.
    order.sort_by_key(|instance| (instance.leaving.is_none(), instance.index));
    for instance in order {
        let serves = instance.may_serve();
        let outdated = instance.is_outdated();
        if let Some(refused) = workload.irreplaceable.as_ref().filter(|_| outdated) {
            plan.note(refused);
            continue;
        }
        let step = match outdated {
            true => Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            },
            false => Step::Restart {
                id: instance.id.clone(),
                name: instance.name.clone(),
            },
        };
        let remaining = match instance.leaving.is_some() {
            true => available,
            false => available.saturating_sub(1),
        };
        if serves && remaining < leeway.least {
            plan.waiting.push(format!(
                "{} waits until {} others serve ({remaining} do)",
                step.words(),
                leeway.least
            ));
            continue;
        }
        let others: Vec<&&Instance> = staying
            .iter()
            .filter(|other| other.id != instance.id && other.may_serve())
            .collect();
        let others_serve = others.iter().any(|other| !plan.draining.contains_key(&other.id));
        // In place a process may restart under its requests; what goes for good leaves first, whatever the strategy.
        if serves && (rolling || outdated) && !others_serve && !others.is_empty() {
            // All others are on their way out: this one carries the load until they are back.
            continue;
        }
        if serves {
            available = remaining;
        }
        if outdated {
            leave(workload, instance, plan, Leaving::Rollout, step);
        } else if others_serve && rolling {
            leave(workload, instance, plan, Leaving::Restart, step);
        } else {
            // The last one that serves cannot be taken out: an empty upstream is never written.
            plan.steps.push(step);
        }
    }
    if let Some(patience) = leeway.patience {
        plan.look_in(patience);
    }
}
