//! What a Workload's containers need next, as data. Pure: the same spec and observation give the same plan.

mod restarts;
mod rolling_update;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_api::ContainerId;
use aegis_api::observed::ContainerState;
use aegis_api::restart::CannotRestart;
use aegis_api::workload::{Health, Leaving};

use super::observed::Rotation;
use super::restart_limit::Report;
use super::rollout;
use super::standing::Standing;
use super::validate::{Instance, ReplicaSource, ValidatedWorkload};
use crate::probe::{self, Target};
use crate::restart::Refused;

pub(super) use restarts::{counted_restarts, is_counted};

/// One thing to do to one container. Steps of one plan are independent of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make replica `index` and start it.
    Create { index: u32, name: String },
    /// Start a container that was made but never ran, or whose process ended.
    Start {
        id: ContainerId,
        name: String,
        crashed: bool,
    },
    /// Stop and start a container that runs since before `spec.restartedAt`.
    Restart { id: ContainerId, name: String },
    /// Keep what a container looks like that is about to be healed.
    Capture { id: ContainerId, name: String },
    /// Stop and start a container that runs and has been unhealthy for too long.
    RestartUnhealthy { id: ContainerId, name: String },
    /// Stop and start a container whose network's owner started after it.
    RestartDetached { id: ContainerId, name: String },
    /// Stop and remove a replica that no load balancer sends requests to.
    Remove { id: ContainerId, name: String },
}

impl Step {
    /// Human-readable: `restart buggy-app-v2`.
    pub fn words(&self) -> String {
        match self {
            Self::Create { name, .. } => format!("create {name}"),
            Self::Start { name, .. } => format!("start {name}"),
            Self::Restart { name, .. }
            | Self::RestartUnhealthy { name, .. }
            | Self::RestartDetached { name, .. } => {
                format!("restart {name}")
            }
            Self::Capture { name, .. } => format!("inspect {name} before its restart"),
            Self::Remove { name, .. } => format!("remove {name}"),
        }
    }

    /// The container that it is about, unless that is to be made.
    pub fn id(&self) -> Option<&ContainerId> {
        match self {
            Self::Create { .. } => None,
            Self::Start { id, .. }
            | Self::Restart { id, .. }
            | Self::RestartUnhealthy { id, .. }
            | Self::RestartDetached { id, .. }
            | Self::Capture { id, .. }
            | Self::Remove { id, .. } => Some(id),
        }
    }
}

/// A step that must not be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub step: Step,
    pub reason: String,
}

/// What to do, what to wait for, and what to report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prepared {
    /// To be done now.
    pub steps: Vec<Step>,
    /// Ids that get no new requests: on their way out, or about to restart while others can serve.
    pub draining: BTreeMap<ContainerId, Leaving>,
    /// Why something that should happen waits, human-readable.
    pub waiting: Vec<String>,
    /// What people or the spec require and cannot be done, since a stop could not be undone or a start would fail.
    pub cannot: Vec<Refused>,
    /// What must not be done, though it was planned.
    pub refused: Vec<Refusal>,
    /// Incidents that ask a human, since restarts have an end.
    pub reports: Vec<Report>,
    /// When to look again, if nothing happens before.
    pub look_again: Option<Duration>,
    /// Why all automation on the host must stop.
    pub pause_all: Option<String>,
    /// What to probe.
    pub targets: Vec<Target>,
}

impl Prepared {
    /// Looks again after this time, or earlier if that was planned.
    fn look_in(&mut self, pause: Duration) {
        self.look_again = Some(self.look_again.map_or(pause, |earlier| earlier.min(pause)));
    }

    /// Whether nothing speaks against stopping or starting a container; notes what does.
    fn is_possible(&mut self, instance: &Instance) -> bool {
        let Some(refused) = &instance.obstacle else {
            return true;
        };
        self.note(refused);
        false
    }

    fn note(&mut self, refused: &Refused) {
        if !self.cannot.contains(refused) {
            self.cannot.push(refused.clone());
        }
    }
}

pub fn plan(workload: &ValidatedWorkload) -> Prepared {
    let mut plan = Prepared {
        targets: targets(workload),
        ..Prepared::default()
    };
    let budget = rolling_update::disruption_budget(workload);
    let surplus = surplus(workload, budget.surge);
    remove_surplus(workload, &surplus.gone, &mut plan);
    if workload.deleting {
        return plan;
    }
    let staying: Vec<&Instance> = workload
        .instances
        .iter()
        .filter(|instance| !surplus.gone.contains(&instance.id))
        .collect();
    for instance in &staying {
        if let Some(refused) = missed_restart(workload, instance) {
            plan.note(&refused);
        }
        let asked = instance.restart_asked && instance.state == ContainerState::Running;
        if asked || instance.is_stranded() {
            plan.is_possible(instance);
        }
    }
    restarts::restart_ended(workload, &staying, &mut plan);
    rolling_update::rolling_update(workload, &staying, &surplus.pending_removal, budget, &mut plan);
    restarts::restart_detached(workload, &staying, &mut plan);
    restarts::restart_unhealthy(workload, &staying, &mut plan);
    create_missing(workload, &staying, budget.surge, &mut plan);
    if let Some(later) = workload.spec.restarted_at.filter(|at| *at > workload.now) {
        plan.look_in(later.until(workload.now));
    }
    if let Some(pause) = rollout::look_again(workload) {
        plan.look_in(pause);
    }
    for until in staying.iter().filter_map(|instance| instance.starts_until) {
        plan.look_in(until.until(workload.now));
    }
    plan
}

/// What is said while a container is paused of the restart that it is not given.
fn missed_restart(workload: &ValidatedWorkload, instance: &Instance) -> Option<Refused> {
    instance
        .missed_restart
        .filter(|_| instance.state == ContainerState::Paused)?;
    let name = &instance.name;
    Some(Refused {
        reason: CannotRestart::ContainerPaused,
        message: format!("{name} is paused, so it is not restarted, also not once it goes on"),
        remedy: format!(
            "docker unpause {name}, then aegisctl restart workload/{} again",
            workload.name
        ),
    })
}

/// Ids of replicas that are too many.
#[derive(Debug, Default)]
struct Surplus {
    /// They go now.
    gone: BTreeSet<ContainerId>,
    /// They go once those serve that are to stay.
    pending_removal: BTreeSet<ContainerId>,
}

/// Replicas beyond the wanted number and those that a change allows itself: those already draining first, then those of
/// another revision, then those that are not ready, then the highest. What stands in for others stays until they are back.
fn surplus(workload: &ValidatedWorkload, extra: usize) -> Surplus {
    let relied_on = workload.before.rollout.is_some() && !workload.deleting;
    let mut replicas: Vec<&Instance> = workload
        .instances
        .iter()
        .filter(|instance| instance.index > 0)
        .collect();
    replicas.sort_by_key(|instance| {
        (
            instance.leaving.is_none(),
            !instance.is_outdated(),
            // What is paused serves no client and stays so until a person acts.
            instance.state != ContainerState::Paused,
            // What a change has just restarted is not ready yet and stays all the same.
            relied_on || instance.is_ready(),
            std::cmp::Reverse(instance.index),
        )
    });
    // A replica that drains for its own replacement is not surplus: only as many as are too many go.
    let too_many = replicas
        .len()
        .saturating_sub(wanted_replicas(workload).saturating_add(extra));
    let wanted = usize::try_from(workload.spec.replicas).unwrap_or(usize::MAX);
    let mut available = rolling_update::available(workload, workload.instances.iter());
    let mut surplus = Surplus::default();
    for instance in replicas.into_iter().take(too_many) {
        if relied_on && rolling_update::counts(workload, instance) {
            let remaining = match instance.leaving.is_some() {
                true => available,
                false => available.saturating_sub(1),
            };
            if remaining < wanted {
                let row = instance.before.as_ref().filter(|row| row.draining);
                // One that was taken out to be restarted goes on with that, or it would be taken out for ever.
                if row.is_none_or(|row| row.leaving != Some(Leaving::Restart)) {
                    surplus.pending_removal.insert(instance.id.clone());
                }
                continue;
            }
            available = remaining;
        }
        surplus.gone.insert(instance.id.clone());
    }
    surplus
}

/// How many replicas there should be beside an adopted container.
fn wanted_replicas(workload: &ValidatedWorkload) -> usize {
    if workload.deleting {
        return 0;
    }
    let adopted = u32::from(workload.spec.container.is_some());
    usize::try_from(workload.spec.replicas.saturating_sub(adopted)).unwrap_or(usize::MAX)
}

fn remove_surplus(workload: &ValidatedWorkload, surplus: &BTreeSet<ContainerId>, plan: &mut Prepared) {
    for instance in workload
        .instances
        .iter()
        .filter(|instance| surplus.contains(&instance.id))
    {
        leave(
            workload,
            instance,
            plan,
            Leaving::ScaleIn,
            Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            },
        );
    }
}

/// Marks a container as draining and does `step` once every load balancer has drained it.
fn leave(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared, why: Leaving, step: Step) {
    plan.draining.insert(instance.id.clone(), why);
    let marked = instance.was_draining();
    let serves = instance.state == ContainerState::Running;
    // What a load balancer holds as the last of all it held when it looked: while another can take over, it will look again.
    let is_last = !workload.instances.iter().any(|other| {
        let leaves = other.was_draining() || plan.draining.contains_key(&other.id);
        other.id != instance.id && other.may_serve() && !leaves
    });
    let is_drained = |rotation: &Rotation| {
        let done = !rotation.serving || instance.is_released_by(rotation);
        done || (is_last && rotation.held.contains(&instance.id))
    };
    let holding: Vec<&Rotation> = workload
        .rotations
        .iter()
        .filter(|rotation| serves && !(marked && is_drained(rotation)))
        .collect();
    if holding.is_empty() {
        plan.steps.push(step);
        return;
    }
    let names: Vec<&str> = holding.iter().map(|rotation| rotation.name.as_str()).collect();
    let trouble = holding.iter().find_map(|rotation| rotation.trouble.as_deref());
    let why = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    plan.waiting.push(format!(
        "{}: waiting for load balancer {} to drain it{why}",
        step.words(),
        names.join(", ")
    ));
}

/// How many replicas are still to be made; none while there is nothing to make them from.
fn missing(workload: &ValidatedWorkload, staying: &[&Instance], extra: usize) -> usize {
    if matches!(workload.source, ReplicaSource::Missing) {
        return 0;
    }
    let present = staying.iter().filter(|instance| instance.index > 0).count();
    wanted_replicas(workload)
        .saturating_add(extra)
        .saturating_sub(present)
}

/// Makes replicas under the lowest free names.
fn create_missing(workload: &ValidatedWorkload, staying: &[&Instance], extra: usize, plan: &mut Prepared) {
    let names = (1..u32::MAX)
        .map(|index| (index, format!("{}-replica-{index}", workload.name)))
        .filter(|(_, name)| !workload.taken_names.contains(name));
    // Those that vanish leave their names in a moment, which their replacements then take.
    let now = missing(workload, staying, extra).saturating_sub(workload.vanishing);
    // What is on its way out counts until it is gone.
    let present = workload
        .instances
        .iter()
        .filter(|instance| instance.index > 0)
        .count();
    let room = wanted_replicas(workload)
        .saturating_add(extra)
        .saturating_sub(present);
    let now = now.min(room);
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
        .filter_map(|instance| probe::target(&instance.id, instance.started_at, &instance.probed_at, probe))
        .collect()
}

/// Whether any container is not yet what it should be.
pub(crate) fn is_progressing(workload: &ValidatedWorkload, plan: &Prepared) -> bool {
    let stale = workload
        .instances
        .iter()
        .any(|instance| instance.standing != Standing::Current);
    let unknown = workload
        .instances
        .iter()
        .any(|instance| instance.health == Health::Unknown);
    stale || unknown || !plan.steps.is_empty() || !plan.draining.is_empty()
}
