//! What a Workload's containers need next, as data. Pure: the same spec and observation give the same plan.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::workload::{Health, StrategyType};
use aegis_docker::observed::ContainerState;

use super::dereference::Rotation;
use super::validate::{Instance, Mould, ValidatedWorkload};
use crate::probe::{self, Target};
use crate::reach;

/// The pause before the second restart of a container that keeps ending; it doubles up to [`CRASH_PAUSE_MAX`].
const CRASH_PAUSE: Duration = Duration::from_secs(5);
const CRASH_PAUSE_MAX: Duration = Duration::from_secs(300);
/// A container that ran this long is forgiven its earlier ends.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// One thing to do to one container. Steps of one plan are independent of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make replica `index` and start it.
    Create { index: u32, name: String },
    /// Start a container that was made but never ran, or whose process ended.
    Start { id: String, name: String, crashed: bool },
    /// Stop and start a container that runs since before `spec.restartedAt`.
    Restart { id: String, name: String },
    /// Stop and remove a replica that no load balancer sends requests to.
    Remove { id: String, name: String },
}

impl Step {
    /// For people: `restart buggy-app-v2`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Create { name, .. } => format!("create {name}"),
            Self::Start { name, .. } => format!("start {name}"),
            Self::Restart { name, .. } => format!("restart {name}"),
            Self::Remove { name, .. } => format!("remove {name}"),
        }
    }
}

/// What to do, what to wait for, and what to tell.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Prepared {
    /// To be done now.
    pub steps: Vec<Step>,
    /// Ids that get no new requests: on their way out, or about to restart while others can serve.
    pub draining: BTreeSet<String>,
    /// Why something that should happen waits, for people.
    pub waiting: Vec<String>,
    /// When to look again, if nothing happens before.
    pub look_again: Option<Duration>,
    /// What to probe.
    pub targets: Vec<Target>,
}

pub(super) fn plan(workload: &ValidatedWorkload) -> Prepared {
    let mut plan = Prepared {
        targets: targets(workload),
        ..Prepared::default()
    };
    let surplus = surplus(workload);
    remove_surplus(workload, &surplus, &mut plan);
    if workload.deleting {
        return plan;
    }
    let staying: Vec<&Instance> = workload
        .instances
        .iter()
        .filter(|instance| !surplus.contains(&instance.id))
        .collect();
    revive(workload, &staying, &mut plan);
    turn_over(workload, &staying, &mut plan);
    create_missing(workload, &staying, &mut plan);
    if let Some(later) = workload.spec.restarted_at.filter(|at| *at > workload.now) {
        plan.look_again = Some(later.until(workload.now));
    }
    plan
}

/// Replicas beyond the wanted number: those already draining first, then those that are not ready, then the highest.
fn surplus(workload: &ValidatedWorkload) -> BTreeSet<String> {
    let mut replicas: Vec<&Instance> = workload
        .instances
        .iter()
        .filter(|instance| instance.index > 0)
        .collect();
    replicas.sort_by_key(|instance| {
        let draining = instance.before.as_ref().is_some_and(|row| row.draining);
        (!draining, instance.is_ready(), std::cmp::Reverse(instance.index))
    });
    // A replica that drains for its own replacement is not surplus: only as many as are too many go.
    let surplus = replicas.len().saturating_sub(wanted_replicas(workload));
    replicas
        .into_iter()
        .take(surplus)
        .map(|instance| instance.id.clone())
        .collect()
}

/// How many replicas there should be beside an adopted container.
fn wanted_replicas(workload: &ValidatedWorkload) -> usize {
    if workload.deleting {
        return 0;
    }
    let adopted = u32::from(workload.spec.container.is_some());
    usize::try_from(workload.spec.replicas.saturating_sub(adopted)).unwrap_or(usize::MAX)
}

fn remove_surplus(workload: &ValidatedWorkload, surplus: &BTreeSet<String>, plan: &mut Prepared) {
    for instance in workload
        .instances
        .iter()
        .filter(|instance| surplus.contains(&instance.id))
    {
        leave(
            workload,
            instance,
            plan,
            Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            },
        );
    }
}

/// Marks a container as draining and does `step` once every load balancer has let go of it.
fn leave(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared, step: Step) {
    plan.draining.insert(instance.id.clone());
    let marked = instance.before.as_ref().is_some_and(|row| row.draining);
    let serves = instance.state == ContainerState::Running;
    let holding: Vec<&Rotation> = workload
        .rotations
        .iter()
        .filter(|rotation| serves && !(marked && rotation.lets_go(&instance.id)))
        .collect();
    if holding.is_empty() {
        plan.steps.push(step);
        return;
    }
    let names: Vec<&str> = holding.iter().map(|rotation| rotation.name.as_str()).collect();
    let trouble = holding.iter().find_map(|rotation| rotation.trouble.as_deref());
    let why = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    plan.waiting.push(format!(
        "{} waits for load balancer {} to let go of it{why}",
        step.words(),
        names.join(", ")
    ));
}

/// Starts what does not run, with a growing pause for what keeps ending; makes room where it is of another revision.
fn revive(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    for instance in staying {
        let start = |crashed| Step::Start {
            id: instance.id.clone(),
            name: instance.name.clone(),
            crashed,
        };
        let idle = matches!(
            instance.state,
            ContainerState::Created
                | ContainerState::Exited
                | ContainerState::Restarting
                | ContainerState::Dead
        );
        if idle && is_outdated(workload, instance) {
            // It serves nobody: one of the right revision takes its place, however often this one failed to run.
            plan.steps.push(Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            });
            continue;
        }
        match instance.state {
            ContainerState::Created => plan.steps.push(start(false)),
            ContainerState::Exited if !instance.docker_restarts => {
                let restarting = needs_restart(workload, instance);
                let pause = if restarting {
                    Duration::ZERO
                } else {
                    crash_pause(instance, workload.now)
                };
                if pause.is_zero() {
                    plan.steps.push(start(!restarting));
                } else {
                    plan.waiting.push(format!(
                        "{} keeps ending ({}): next start in {} s",
                        instance.name,
                        instance.message,
                        pause.as_secs() + 1
                    ));
                    plan.look_again = Some(plan.look_again.map_or(pause, |earlier| earlier.min(pause)));
                }
            }
            ContainerState::Dead if instance.index > 0 => {
                plan.steps.push(Step::Remove {
                    id: instance.id.clone(),
                    name: instance.name.clone(),
                });
            }
            _ => {}
        }
    }
}

/// What is left of the pause before the next start after a crash; zero before the first.
fn crash_pause(instance: &Instance, now: Time) -> Duration {
    let Some(row) = &instance.before else {
        return Duration::ZERO;
    };
    let (Some(last), false) = (row.last_restart_at, row.restarts == 0) else {
        return Duration::ZERO;
    };
    let doublings = row.restarts.saturating_sub(1).min(16);
    let pause = CRASH_PAUSE.saturating_mul(1 << doublings).min(CRASH_PAUSE_MAX);
    last.plus(aegis_api::Duration::from_millis(
        u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
    ))
    .until(now)
}

/// How often a container was restarted after a crash, with long healthy runs forgiven.
pub(super) fn counted_restarts(instance: &Instance, now: Time) -> u32 {
    let Some(row) = &instance.before else { return 0 };
    let steady = instance.is_ready()
        && instance
            .started_at
            .is_some_and(|start| start.age(now) >= FORGIVEN_AFTER);
    if steady { 0 } else { row.restarts }
}

/// Whether a container still runs from before the instant at which all were to be restarted.
pub(super) fn needs_restart(workload: &ValidatedWorkload, instance: &Instance) -> bool {
    match (workload.spec.restarted_at, instance.started_at) {
        (Some(wanted), Some(started)) => started < wanted && wanted <= workload.now,
        _ => false,
    }
}

/// Whether a replica is of another revision than the workload's.
fn is_outdated(workload: &ValidatedWorkload, instance: &Instance) -> bool {
    instance.index > 0
        && workload
            .revision
            .as_ref()
            .is_some_and(|revision| *revision != instance.revision)
}

/// Restarts and replaces what is of yesterday, never more than `maxUnavailable` of those that serve at once.
fn turn_over(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    let stale: Vec<&Instance> = staying
        .iter()
        .filter(|instance| instance.state == ContainerState::Running)
        .filter(|instance| needs_restart(workload, instance) || is_outdated(workload, instance))
        .copied()
        .collect();
    let unready_fresh = staying
        .iter()
        .filter(|instance| !instance.is_ready() && !stale.iter().any(|stale| stale.id == instance.id))
        .count();
    let idle_stale = stale.iter().filter(|instance| !instance.may_serve()).count();
    // The place of a replica that went and is not made yet serves nobody either.
    let unavailable = unready_fresh + idle_stale + missing(workload, staying);
    let allowed = usize::try_from(workload.spec.strategy.max_unavailable.max(1)).unwrap_or(1);
    let mut room = allowed.saturating_sub(unavailable);
    let rolling = workload.spec.strategy.kind == StrategyType::RollingUpdate;
    let mut order = stale;
    // Those already draining go on first, so that a pass never starts a second one in their place.
    order.sort_by_key(|instance| {
        (
            !instance.before.as_ref().is_some_and(|row| row.draining),
            instance.index,
        )
    });
    for instance in order {
        let serves = instance.may_serve();
        if serves && room == 0 {
            continue;
        }
        let others: Vec<&&Instance> = staying
            .iter()
            .filter(|other| other.id != instance.id && other.may_serve())
            .collect();
        let others_serve = others.iter().any(|other| !plan.draining.contains(&other.id));
        // In place a process may restart under its requests; what goes for good leaves first, whatever the strategy.
        let outdated = is_outdated(workload, instance);
        if serves && (rolling || outdated) && !others_serve && !others.is_empty() {
            // All others are on their way out: this one carries the load until they are back.
            continue;
        }
        if serves {
            room -= 1;
        }
        let step = if outdated {
            Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            }
        } else {
            Step::Restart {
                id: instance.id.clone(),
                name: instance.name.clone(),
            }
        };
        if outdated || (others_serve && rolling) {
            leave(workload, instance, plan, step);
        } else {
            // The last one that serves cannot be taken out: an empty upstream is never written.
            plan.steps.push(step);
        }
    }
}

/// How many replicas are still to be made; none while there is nothing to make them from.
fn missing(workload: &ValidatedWorkload, staying: &[&Instance]) -> usize {
    if matches!(workload.mould, Mould::Missing) {
        return 0;
    }
    let present = staying.iter().filter(|instance| instance.index > 0).count();
    wanted_replicas(workload).saturating_sub(present)
}

/// Makes replicas under the lowest free names.
fn create_missing(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    let names = (1..u32::MAX)
        .map(|index| (index, format!("{}-replica-{index}", workload.name)))
        .filter(|(_, name)| !workload.taken_names.contains(name));
    // Those that vanish leave their names in a moment, which their replacements then take.
    let now = missing(workload, staying).saturating_sub(workload.vanishing);
    plan.steps
        .extend(names.take(now).map(|(index, name)| Step::Create { index, name }));
}

/// What to probe: every running container with an address, unless Docker probes it or it needs no probe.
fn targets(workload: &ValidatedWorkload) -> Vec<Target> {
    let Some(probe) = workload.spec.probe() else {
        return Vec::new();
    };
    let running = workload
        .instances
        .iter()
        .filter(|instance| instance.state == ContainerState::Running);
    running
        .filter_map(|instance| {
            probe::target(
                &instance.id,
                instance.started_at,
                address(workload, instance)?,
                probe,
            )
        })
        .collect()
}

/// The address at which this controller reaches a container: on a network it shares, else on any.
pub(super) fn address(workload: &ValidatedWorkload, instance: &Instance) -> Option<std::net::IpAddr> {
    let addresses = instance.addresses.iter().map(|(network, ip)| (network, *ip));
    reach::address(addresses, &workload.own_networks)
}

/// Whether any container is not yet what it should be.
pub(super) fn is_progressing(workload: &ValidatedWorkload, plan: &Prepared) -> bool {
    let stale = workload
        .instances
        .iter()
        .any(|instance| needs_restart(workload, instance) || is_outdated(workload, instance));
    let unknown = workload
        .instances
        .iter()
        .any(|instance| instance.health == Health::Unknown);
    stale || unknown || !plan.steps.is_empty() || !plan.draining.is_empty()
}
