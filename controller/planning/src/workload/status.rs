//! What a Workload's status says after a pass, from what was planned and what became of it. Pure: the reconciler stores it.

use std::collections::BTreeMap;

use aegis_api::redact::bound;
use aegis_api::workload::{Capture, Demand, Health, InstanceStatus, Revision};
use aegis_api::{ContainerId, Time, WorkloadStatus};

use super::plan::{Prepared, Step, counted_restarts, is_counted, is_progressing};
use super::validate::{Instance, ReplicaSource, ValidatedWorkload};
use super::{conditions, restart_limit, rollout};
use crate::ledger::HOUR;
use crate::restart::Refused;

/// How many revisions are remembered.
const REVISIONS: usize = 10;
/// How many changes of what the spec requires are.
const DEMANDS: usize = 20;
/// How many inspections of unhealthy containers are kept.
const CAPTURES: usize = 3;
/// How many restarts of unhealthy containers are reported: more than the actions that a host is usually granted in an
/// hour.
const HEALS: usize = 200;
/// Most characters of what keeps a container from being restarted.
const LONGEST_OBSTACLE: usize = 600;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    pub plan: Prepared,
    pub done: Vec<Step>,
    pub failed: Vec<FailedStep>,
    /// What was found out right before the stop to be impossible to undo; nothing was stopped.
    pub refused: Vec<(Step, Refused)>,
    /// What containers looked like that are about to be healed.
    pub captures: Vec<Capture>,
    /// Incidents that were opened since restarts were too many.
    pub reported: Vec<String>,
}

/// A step that the engine did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    pub step: Step,
    /// The engine's words.
    pub message: String,
    /// Whether the same step may succeed later without anybody changing anything.
    pub is_transient: bool,
}

/// Whether a container is on its way out that was not before: load balancers have to hear of it.
pub fn newly_draining(before: &WorkloadStatus, after: &WorkloadStatus) -> bool {
    let was = |id: &ContainerId| before.instances.iter().any(|row| row.id == *id && row.draining);
    after.instances.iter().any(|row| row.draining && !was(&row.id))
}

/// The status after a pass.
pub fn next(workload: &ValidatedWorkload, outcome: &Outcome) -> WorkloadStatus {
    let removed = |id: &ContainerId| {
        outcome
            .done
            .iter()
            .any(|step| matches!(step, Step::Remove { id: removed, .. } if removed == id))
    };
    let instances: Vec<InstanceStatus> = workload
        .instances
        .iter()
        .filter(|instance| !removed(&instance.id))
        .map(|instance| row(workload, outcome, instance))
        .collect();
    let staying = || instances.iter().filter(|row| !row.draining || row.index == 0);
    let ready = instances
        .iter()
        .filter(|row| row.health == Health::Healthy)
        .count();
    let updated = instances
        .iter()
        .filter(|row| workload.revision.as_ref() == Some(&row.revision))
        .count();
    let mut status = WorkloadStatus {
        observed_generation: Some(workload.generation),
        replicas: count(staying().count()),
        ready_replicas: count(ready),
        updated_replicas: count(updated),
        revision: workload
            .revision
            .clone()
            .or_else(|| workload.before.revision.clone()),
        revisions: workload.before.revisions.clone(),
        conditions: workload.before.conditions.clone(),
        rollout: None,
        rejected: workload.rejected.clone().or_else(|| rollout::verdict(workload)),
        demands: demands(workload),
        captures: captures(workload, outcome),
        heals: heals(workload, outcome),
        dependencies: workload.dependencies.clone(),
        autoscale: workload.before.autoscale.clone(),
        instances,
    };
    let serving = status
        .instances
        .iter()
        .filter(|row| row.health == Health::Healthy && !row.draining)
        .count();
    let settled = count(serving) >= workload.spec.replicas && !is_progressing(workload, &outcome.plan);
    status.rollout = rollout::next(workload, settled);
    remember_revision(workload, &mut status, settled);
    conditions::set(workload, outcome, &mut status, settled);
    status
}

/// The newest, those of this pass among them.
fn captures(workload: &ValidatedWorkload, outcome: &Outcome) -> Vec<Capture> {
    let mut all = workload.before.captures.clone();
    all.extend(outcome.captures.iter().cloned());
    all.drain(..all.len().saturating_sub(CAPTURES));
    all
}

/// Restarts of unhealthy containers in the last hour: an inspection of one is the first step of each.
fn heals(workload: &ValidatedWorkload, outcome: &Outcome) -> Vec<Time> {
    let before = workload.before.heals.iter().copied();
    let now = outcome.captures.iter().filter_map(|capture| capture.taken_at);
    let mut all: Vec<Time> = before
        .chain(now)
        .filter(|at| at.age(workload.now) <= HOUR)
        .collect();
    all.drain(..all.len().saturating_sub(HEALS));
    all
}

/// The rows of the last status with the restarts counted that the plan is about to make by itself; `None` where it makes
/// none. Stored before they begin: a crash of this controller between the engine and the status loses none of them.
pub fn counted_ahead(workload: &ValidatedWorkload, plan: &Prepared) -> Option<Vec<InstanceStatus>> {
    let ahead = Outcome {
        done: plan.steps.clone(),
        ..Outcome::default()
    };
    let mut rows = workload.before.instances.clone();
    let mut changed = false;
    for row in &mut rows {
        let mut instances = workload.instances.iter();
        let instance = instances.find(|instance| instance.id == row.id);
        let Some(instance) = instance.filter(|instance| !is_counted(instance)) else {
            continue;
        };
        let crashed = restarts_by_itself(&ahead, instance);
        if !crashed && !restarts_for_an_incident(workload, &ahead, instance) {
            continue;
        }
        let counts = counts(workload, &ahead, instance, crashed);
        row.restarts = counts.restarts;
        row.recent_restarts = counts.recent;
        row.fruitless_restarts = counts.fruitless;
        row.last_restart_at = row.last_restart_at.max(crashed.then_some(workload.now));
        row.counted_run = instance.started_at;
        changed = true;
    }
    changed.then_some(rows)
}

/// Whether a container is restarted for its own sake.
fn restarts_by_itself(outcome: &Outcome, instance: &Instance) -> bool {
    outcome.done.iter().any(|step| {
        matches!(step, Step::Start { id, crashed: true, .. } | Step::RestartUnhealthy { id, .. } if *id == instance.id)
    })
}

/// Whether a container is restarted since the spec says so.
fn restarts_as_asked(outcome: &Outcome, instance: &Instance) -> bool {
    outcome.done.iter().any(|step| {
        matches!(step, Step::Start { id, crashed: false, .. } | Step::Restart { id, .. } if *id == instance.id)
    })
}

fn restarts_for_an_incident(workload: &ValidatedWorkload, outcome: &Outcome, instance: &Instance) -> bool {
    workload.restart_is_automatic && restarts_as_asked(outcome, instance)
}

fn row(workload: &ValidatedWorkload, outcome: &Outcome, instance: &Instance) -> InstanceStatus {
    let done = restarts_by_itself(outcome, instance);
    let crashed = done && !is_counted(instance);
    let before = instance.before.as_ref();
    let counts = counts(workload, outcome, instance, crashed);
    let restarts = counts.restarts;
    InstanceStatus {
        name: instance.name.clone(),
        id: instance.id.clone(),
        index: instance.index,
        addresses: instance
            .addresses
            .iter()
            .map(|(network, ip)| (network.clone(), ip.to_string()))
            .collect::<BTreeMap<_, _>>(),
        state: instance.state,
        health: instance.health,
        revision: instance.revision.clone(),
        draining: outcome.plan.draining.contains_key(&instance.id),
        draining_since: outcome.plan.draining.contains_key(&instance.id).then(|| {
            let since = before.and_then(|row| row.draining_since);
            since.unwrap_or(workload.now)
        }),
        leaving: outcome.plan.draining.get(&instance.id).copied(),
        ready_since: instance.ready_since,
        started_at: instance.started_at,
        restarts,
        last_restart_at: if crashed {
            Some(workload.now)
        } else {
            before
                .and_then(|row| row.last_restart_at)
                .filter(|_| restarts > 0)
        },
        recent_restarts: counts.recent,
        counted_run: instance.started_at.filter(|_| {
            done || is_counted(instance) || restarts_for_an_incident(workload, outcome, instance)
        }),
        unhealthy_since: instance.unhealthy_since,
        // A healthy probe's words change with every latency: storing them would be a write a probe.
        message: (instance.health != Health::Healthy && !instance.message.is_empty())
            .then(|| instance.message.clone()),
        first_ready_at: instance.first_ready_at,
        starting: instance.starts_until.is_some(),
        fruitless_restarts: counts.fruitless,
        stopped_by_hand: instance.finished_at.filter(|_| instance.is_stopped_by_hand()),
        missed_restart: instance.missed_restart,
        cannot_restart: instance
            .obstacle
            .as_ref()
            .map(|refused| bound(&refused.to_string(), LONGEST_OBSTACLE)),
    }
}

/// What counts against the limit of automatic restarts.
struct Counts {
    restarts: u32,
    recent: Vec<Time>,
    fruitless: u32,
}

/// A person who restarts a container, or starts what was stopped by hand, gives it all its attempts again; an incident's
/// restart is one more attempt.
fn counts(workload: &ValidatedWorkload, outcome: &Outcome, instance: &Instance, crashed: bool) -> Counts {
    let asked = restarts_as_asked(outcome, instance);
    let before = instance.before.as_ref();
    let handed_back =
        before.is_some_and(|row| row.stopped_by_hand.is_some()) && !instance.is_stopped_by_hand();
    let automatic = asked && workload.restart_is_automatic;
    if (asked && !automatic) || handed_back {
        return Counts {
            restarts: 0,
            recent: Vec::new(),
            fruitless: 0,
        };
    }
    let healed = outcome
        .done
        .iter()
        .any(|step| matches!(step, Step::RestartUnhealthy { id, .. } if *id == instance.id));
    let counts = !is_counted(instance);
    let crashed = crashed || (automatic && counts);
    let in_vain = (healed || automatic) && counts && instance.first_ready_at.is_none();
    let mut recent = restart_limit::recent_restarts(workload, instance);
    recent.extend(crashed.then_some(workload.now));
    Counts {
        restarts: counted_restarts(instance, workload.now).saturating_add(u32::from(crashed)),
        recent,
        fruitless: restart_limit::fruitless(instance).saturating_add(u32::from(in_vain)),
    }
}

/// What the spec requires now, after what it required before.
fn demands(workload: &ValidatedWorkload) -> Vec<Demand> {
    let mut demands = workload.before.demands.clone();
    let now = Demand {
        generation: workload.generation,
        at: workload.now,
        replicas: workload.spec.replicas,
        restarted_at: workload.spec.restarted_at,
    };
    let asks = |demand: &Demand| (demand.replicas, demand.restarted_at);
    if demands.last().is_none_or(|last| asks(last) != asks(&now)) {
        demands.push(now);
        demands.drain(..demands.len().saturating_sub(DEMANDS));
    }
    demands
}

fn remember_revision(workload: &ValidatedWorkload, status: &mut WorkloadStatus, settled: bool) {
    let (Some(revision), Some(image)) = (&workload.revision, &workload.image) else {
        return;
    };
    let last = status.revisions.last();
    if last.is_none_or(|last| last.revision != *revision) {
        let again = status
            .revisions
            .iter()
            .position(|known| known.revision == *revision);
        let again = again.map(|position| status.revisions.remove(position));
        status.revisions.push(again.unwrap_or_else(|| Revision {
            revision: revision.clone(),
            template: match &workload.source {
                ReplicaSource::Template(template) => Some((**template).clone()),
                ReplicaSource::Clone(_) | ReplicaSource::Missing => None,
            },
            image: image.clone(),
            created_at: workload.now,
            was_ready: false,
        }));
        let excess = status.revisions.len().saturating_sub(REVISIONS);
        status.revisions.drain(..excess);
    }
    // No containers prove nothing.
    if settled
        && workload.spec.replicas > 0
        && let Some(current) = status.revisions.last_mut()
    {
        current.was_ready = true;
    }
}

/// What was requested and is impossible, as the plan or the last observation found.
pub fn cannot(outcome: &Outcome) -> Vec<&Refused> {
    let late = outcome.refused.iter().map(|(_, refused)| refused);
    outcome.plan.cannot.iter().chain(late).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
