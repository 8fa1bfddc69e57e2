//! What must never happen to containers: I2 and I3.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_api::Kind;
use aegis_api::scalar::Time;
use aegis_api::workload::StrategyType;
use aegis_docker_fake::{Actor, Effect, Op};

use super::Evidence;
use crate::world::BALANCER;

/// How long a step that was planned may still be under way: slow calls, lost answers, a grace period.
const IN_FLIGHT: Duration = Duration::from_secs(60);

/// Effects on each container, by id.
fn by_container(evidence: &Evidence) -> BTreeMap<&str, Vec<&Effect>> {
    let mut all: BTreeMap<&str, Vec<&Effect>> = BTreeMap::new();
    for effect in &evidence.effects {
        all.entry(&effect.id).or_default().push(effect);
    }
    all
}

/// The workload that a container belongs to: by its label, or by the name it is adopted under.
fn workload_of(evidence: &Evidence, effect: &Effect) -> Option<String> {
    let adopted = || {
        evidence
            .workloads
            .contains_key(&effect.container)
            .then(|| effect.container.clone())
    };
    effect.owner.clone().or_else(adopted)
}

/// I2: a running container is stopped and started again only for a `restartedAt` that lies after its start, so once
/// for each, however often the controller dies in between.
pub(crate) fn i2_one_restart_a_plan(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for effects in by_container(evidence).values() {
        let mut started: Option<Time> = None;
        let mut stopped: Option<&Effect> = None;
        for effect in effects.iter().copied() {
            match (effect.op, effect.actor) {
                (Op::Stop, Actor::Client) => stopped = Some(effect),
                (Op::Die, Actor::Human | Actor::Engine) => stopped = None,
                (Op::Start, actor) => {
                    if let (Actor::Client, Some(began), Some(stop)) = (actor, started, stopped)
                        && !has_reason(evidence, effect, began, stop)
                    {
                        broken.push(format!(
                            "{} was running since {began}, was stopped at {} and started again at {}: no restartedAt requests that",
                            effect.container, stop.at, effect.at
                        ));
                    }
                    started = Some(effect.at);
                    stopped = None;
                }
                _ => {}
            }
        }
    }
    broken.extend(lost_restarts(evidence));
    broken
}

/// Whether stopping and starting was requested: by a `restartedAt` in between, or by a removal that people withdrew.
fn has_reason(evidence: &Evidence, start: &Effect, began: Time, stop: &Effect) -> bool {
    // A person may have renamed it in between: what is stopped to be started again is started.
    let name = workload_of(evidence, start).or_else(|| workload_of(evidence, stop));
    let Some(versions) = name.and_then(|name| evidence.workloads.get(&name)) else {
        return false;
    };
    // What was about to go may stand in for others instead.
    let asked = versions
        .iter()
        .filter_map(|(_, workload)| workload.spec.restarted_at)
        .any(|wanted| began < wanted && wanted <= start.at);
    let since = |at: Time| at <= start.at && at.age(stop.at) <= IN_FLIGHT;
    let mut shapes = versions.iter().filter(|(at, _)| since(*at)).map(|(_, workload)| {
        (
            workload.metadata.uid.clone(),
            workload.spec.replicas,
            workload.spec.template.clone(),
        )
    });
    let first = shapes.next();
    let reverted = shapes.any(|shape| Some(shape) != first);
    asked || reverted
}

/// A RESTART that was found to have converged restarted every container it names.
fn lost_restarts(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for versions in evidence.incidents.values() {
        let Some((_, last)) = versions.last() else {
            continue;
        };
        let Some(status) = &last.status else { continue };
        let (Some(plan), Some(execution)) = (&status.plan, &status.execution) else {
            continue;
        };
        let (Some(wanted), Some(converged)) = (plan.patch.restarted_at, execution.converged_at) else {
            continue;
        };
        for name in &execution.containers {
            // A person may have renamed it since it was started.
            let was_called = |effect: &&Effect| {
                effect.container == *name || (effect.op == Op::Rename && effect.detail == *name)
            };
            let named = evidence.effects.iter().filter(was_called);
            let ids: BTreeSet<&str> = named.map(|effect| effect.id.as_str()).collect();
            let started = evidence.effects.iter().any(|effect| {
                effect.op == Op::Start
                    && ids.contains(effect.id.as_str())
                    && effect.at >= wanted
                    && effect.at <= converged
            });
            if !started {
                broken.push(format!(
                    "incident {} counts {name} as restarted since {wanted}; it was not",
                    last.name()
                ));
            }
        }
    }
    broken
}

/// I2: no replica is made twice: there are never more than some spec desired while the step may have been planned.
pub(crate) fn i2_no_container_too_many(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut present: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for effect in &evidence.effects {
        let Some(owner) = effect
            .owner
            .clone()
            .filter(|_| effect.container != "another-replica")
        else {
            continue;
        };
        let ours = present.entry(owner.clone()).or_default();
        match effect.op {
            Op::Remove => {
                ours.remove(effect.id.as_str());
            }
            // Ours is what has the name that we gave it: what a person renames is theirs, reported and left alone.
            Op::Rename if effect.actor == Actor::Human => {
                ours.remove(effect.id.as_str());
            }
            Op::Create => {
                ours.insert(&effect.id);
                let versions = evidence.workloads.get(&owner).map_or(&[][..], Vec::as_slice);
                let wanted = versions
                    .iter()
                    .zip(
                        versions
                            .iter()
                            .skip(1)
                            .map(|(until, _)| Some(*until))
                            .chain([None]),
                    )
                    .filter(|((since, _), until)| {
                        *since <= effect.at && until.is_none_or(|until| until.age(effect.at) <= IN_FLIGHT)
                    })
                    .map(|((_, workload), _)| {
                        let strategy = &workload.spec.strategy;
                        let surge = match strategy.kind {
                            StrategyType::RollingUpdate => strategy.max_surge,
                            StrategyType::InPlace => 0,
                        };
                        let adopted = workload.spec.container.is_some() && workload.spec.replicas > 0;
                        workload.spec.replicas + surge - u32::from(adopted)
                    })
                    .max()
                    .unwrap_or(0);
                if u32::try_from(ours.len()).unwrap_or(u32::MAX) > wanted {
                    broken.push(format!(
                        "{} was made at {} although {wanted} replicas are the most that may be: {} are there",
                        effect.container,
                        effect.at,
                        ours.len()
                    ));
                }
            }
            _ => {}
        }
    }
    broken
}

/// I3: nothing is done to a container but to those the controller made, to adopted ones (started and stopped, never
/// removed), and to nginx inside the load balancer's.
pub(crate) fn i3_bystanders_are_left_alone(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for effect in &evidence.effects {
        names.entry(&effect.id).or_default().push(&effect.container);
        if effect.op == Op::Create && effect.actor == Actor::Client {
            made.insert(&effect.id);
        }
        if effect.actor != Actor::Client {
            continue;
        }
        // A container may have been renamed while a step was under way: any of its names counts.
        let called = |wanted: &str| {
            names
                .get(effect.id.as_str())
                .is_some_and(|names| names.contains(&wanted))
        };
        let adopts = evidence.workloads.values().flatten().any(|(_, workload)| {
            workload
                .spec
                .container
                .as_ref()
                .is_some_and(|container| called(container.as_str()))
        });
        let allowed = match effect.op {
            _ if effect.bystander => false,
            Op::Create | Op::Remove | Op::Rename => made.contains(effect.id.as_str()),
            Op::Start | Op::Stop | Op::Die => made.contains(effect.id.as_str()) || adopts,
            Op::Exec | Op::PutFiles => called(BALANCER),
            // What the engine signals it no longer restarts.
            Op::Signal => false,
            _ => true,
        };
        if !allowed {
            let all: Vec<String> = evidence
                .workloads
                .values()
                .flatten()
                .map(|(_, w)| w.name().to_owned())
                .collect();
            broken.push(format!(
                "{:?} {} at {} ({}): not ours; workloads {:?}",
                effect.op,
                effect.container,
                effect.at,
                effect.detail,
                all.into_iter().collect::<BTreeSet<_>>()
            ));
        }
    }
    broken
}
