//! What must never happen to a load balancer: I8.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::scalar::Time;
use aegis_api::workload::{Health, InstanceStatus, StrategyType};
use aegis_api::{Kind, LoadBalancer};
use aegis_docker_fake::{Actor, Effect, LoadedConfig, Op};

use super::Evidence;
use crate::world::BALANCER;

/// How long ago the workloads may have been observed when nginx loads what came of it.
const LOOKED: Duration = Duration::from_secs(60);

/// I8, all of it.
pub(crate) fn i8_the_balancer_serves_what_can_serve(evidence: &Evidence) -> Vec<String> {
    let mut broken = never_empty(evidence);
    broken.extend(checked_before_loaded(evidence));
    broken.extend(admitted_healthy(evidence));
    broken.extend(out_before_gone(evidence));
    broken.extend(strangers_served(evidence));
    broken
}

/// How long somebody else may have the address of a server that nginx still sends requests to, where nothing keeps the
/// controller from its work. It is the engine's event that reports it, not the next resync.
const BY_EVENT: Duration = Duration::from_secs(8);
/// The same after something did: events may have been lost, a call may still be waited for, and the resync finds it.
const BY_RESYNC: Duration = Duration::from_secs(50);

/// Requests go to the workload's containers alone: an address that one of them had may be another's by now.
fn strangers_served(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, load) in evidence.loads.iter().enumerate() {
        let next = evidence.loads.get(index + 1).map(|next| next.at);
        let Some(until) = end_of_service(evidence, load.at, next) else {
            continue;
        };
        for (upstream, server) in load
            .upstreams
            .iter()
            .flat_map(|(name, all)| all.iter().map(move |one| (name, one)))
        {
            let strangers = evidence.tenancies.iter().filter(|tenancy| {
                let its_own = tenancy.owner.as_ref() == Some(upstream) || tenancy.container == *upstream;
                tenancy.address.to_string() == host(server) && !its_own
            });
            for stranger in strangers {
                let from = stranger.from.max(load.at);
                let until = stranger.until.map_or(until, |left| left.min(until));
                if let Some(since) = too_long(evidence, from, until) {
                    broken.push(format!(
                        "{} has had {server} since {from} and nginx still sends it requests of {upstream} ({since:?} too long)",
                        stranger.container
                    ));
                }
            }
        }
    }
    broken
}

/// When nginx ceased to serve what it had loaded: at its next load, or when it ended. `None` if it had ended by then.
fn end_of_service(evidence: &Evidence, from: Time, next: Option<Time>) -> Option<Time> {
    let ends = evidence.effects.iter().filter(|effect| {
        effect.container == BALANCER && matches!(effect.op, Op::Die | Op::Remove) && effect.at >= from
    });
    let last = evidence.effects.last().map_or(from, |effect| effect.at);
    let end = ends.map(|effect| effect.at).next();
    let until = [end, next].into_iter().flatten().min().unwrap_or(last);
    (until > from).then_some(until)
}

/// By how much something lasted too long.
fn too_long(evidence: &Evidence, from: Time, until: Time) -> Option<Duration> {
    let excess = evidence.calms.iter().filter_map(|(calm, storm)| {
        let by_event = aegis_api::Duration::from_secs(BY_EVENT.as_secs());
        let by_resync = aegis_api::Duration::from_secs(BY_RESYNC.as_secs());
        let deadline = from.plus(by_event).max(calm.plus(by_resync));
        let end = storm.map_or(until, |storm| storm.min(until));
        (end > deadline).then(|| deadline.age(end))
    });
    excess.max()
}

/// An empty upstream is never loaded.
fn never_empty(evidence: &Evidence) -> Vec<String> {
    let loads = evidence
        .loads
        .iter()
        .flat_map(|load| load.upstreams.iter().map(move |upstream| (load, upstream)));
    // One that has nothing left but servers marked down is what a broken template leaves.
    let empty = loads.filter(|(load, (_, servers))| servers.is_empty() && !load.text.contains(" down;"));
    empty
        .map(|(load, (name, _))| format!("upstream {name} is empty at {}", load.at))
        .collect()
}

/// What a reload loads has had its `nginx -t` since the load before, unless it was loaded before.
fn checked_before_loaded(evidence: &Evidence) -> Vec<String> {
    let execs = |command: &'static str| {
        let run = move |effect: &&Effect| effect.op == Op::Exec && effect.detail.starts_with(command);
        let ours = evidence.effects.iter();
        ours.filter(move |effect| effect.container == BALANCER && run(effect))
    };
    let unchecked = execs("nginx -s reload").filter(|reload| {
        // One that was slow loads what has been written since.
        let loaded = evidence.loads.iter().find(|load| load.at >= reload.at);
        let earlier = || evidence.loads.iter().filter(|load| load.at < reload.at);
        let known = loaded.is_some_and(|load| earlier().any(|before| before.revision == load.revision));
        let since = earlier().next_back().map(|load| load.at);
        let until = loaded.map_or(reload.at, |load| load.at);
        let mut checks = execs("nginx -t");
        !known && !checks.any(|check| since.is_none_or(|since| check.at > since) && check.at <= until)
    });
    unchecked
        .map(|reload| format!("the reload at {} loads what nginx -t has not seen", reload.at))
        .collect()
}

/// `address:port` without the port.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// The workload behind an upstream is of the same name in this simulation. A server that was not in rotation is
/// admitted only if an observation of its workload showed it as healthy and not on its way out.
fn admitted_healthy(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut good: BTreeSet<String> = BTreeSet::new();
    for load in &evidence.loads {
        let now: BTreeMap<String, BTreeSet<String>> = load
            .upstreams
            .iter()
            .map(|(name, servers)| (name.clone(), servers.iter().cloned().collect()))
            .collect();
        // Going back to what was served before is no admission, nor is what nginx finds on disk when it starts.
        let known = load
            .revision
            .as_ref()
            .is_some_and(|revision| good.contains(revision));
        if !known {
            for (upstream, servers) in &now {
                let earlier = before.get(upstream).cloned().unwrap_or_default();
                for server in servers.difference(&earlier) {
                    let stayed = was_in_rotation(evidence, upstream, host(server), load.at);
                    if !stayed && !was_fit(evidence, upstream, host(server), load.at) {
                        broken.push(format!(
                            "{server} was admitted to {upstream} at {} and was not healthy",
                            load.at
                        ));
                    }
                }
            }
        }
        good.extend(load.revision.clone());
        before = now;
    }
    broken
}

/// Whether the container behind this address was in rotation already, as far as the load balancer knew: one that is
/// held moves to its new address, and into the nginx of a new container.
fn was_in_rotation(evidence: &Evidence, workload: &str, address: &str, at: Time) -> bool {
    let before = evidence.records.iter().rev().filter(|record| record.at < at);
    let Some(balancer) = before
        .clone()
        .find_map(|record| record.object.typed::<LoadBalancer>())
    else {
        return false;
    };
    let known = balancer.status.iter().flat_map(|status| &status.servers);
    let moved = rows_lately(evidence, workload, at).any(|row| {
        row.addresses.values().any(|ip| ip == address) && known.clone().any(|server| server.id == row.id)
    });
    moved || known.clone().any(|server| host(&server.address) == address)
}

/// The containers of a workload as any observation had them that was the latest at some time within [`LOOKED`] before this one: by
/// the time that nginx loads what came of a look, there may have been another.
fn rows_lately<'a>(
    evidence: &'a Evidence,
    workload: &str,
    at: Time,
) -> impl Iterator<Item = &'a InstanceStatus> {
    let versions = evidence.workloads.get(workload).map_or(&[][..], Vec::as_slice);
    let until = versions.iter().skip(1).map(|(until, _)| Some(*until));
    let lately = versions
        .iter()
        .zip(until.chain([None]))
        .filter(move |((since, _), until)| *since <= at && until.is_none_or(|until| until.age(at) <= LOOKED));
    lately.flat_map(|((_, workload), _)| workload.status.iter().flat_map(|status| &status.instances))
}

fn was_fit(evidence: &Evidence, workload: &str, address: &str, at: Time) -> bool {
    rows_lately(evidence, workload, at).any(|row| {
        row.addresses.values().any(|ip| ip == address)
            && row.health == Health::Healthy
            && row.state == ContainerState::Running
            && !row.draining
    })
}

/// A replica that is removed was taken out of nginx before it was stopped, if another server could serve.
fn out_before_gone(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, stop) in evidence.effects.iter().enumerate() {
        if stop.op != Op::Stop || stop.actor != Actor::Client {
            continue;
        }
        let Some(workload) = stop
            .owner
            .clone()
            .filter(|_| is_removed_next(evidence, index, stop))
        else {
            continue;
        };
        let Some(serving) = serving_at(evidence, stop.at) else {
            continue;
        };
        let Some(servers) = serving
            .upstreams
            .get(&workload)
            .filter(|_| is_backend(evidence, &workload, stop.at))
        else {
            continue;
        };
        let mine = addresses(evidence, &workload, &stop.id, stop.at);
        let (mine, others): (Vec<&String>, Vec<&String>) =
            servers.iter().partition(|server| mine.contains(host(server)));
        let excused =
            held_at(evidence, &stop.id, stop.at) || restarts_in_place(evidence, &workload, &stop.id, stop.at);
        if !mine.is_empty() && !others.is_empty() && !excused {
            broken.push(format!(
                "{} was stopped for good at {} while nginx still gave it requests ({servers:?})",
                stop.container, stop.at
            ));
        }
    }
    broken
}

/// Whether the next thing the controller does to it is to remove it.
fn is_removed_next(evidence: &Evidence, index: usize, stop: &Effect) -> bool {
    let later = evidence
        .effects
        .iter()
        .skip(index + 1)
        .filter(|effect| effect.id == stop.id);
    let mut decisive = later.filter(|effect| matches!(effect.op, Op::Start | Op::Remove));
    decisive
        .next()
        .is_some_and(|effect| effect.op == Op::Remove && effect.actor == Actor::Client)
}

/// Whether a container was stopped only to be started again under its requests, as InPlace asks. Where that start fails
/// and people take the workload back by then, its removal comes next all the same.
fn restarts_in_place(evidence: &Evidence, workload: &str, id: &str, at: Time) -> bool {
    let Some(workload) = evidence.workload_at(workload, at) else {
        return false;
    };
    let (spec, status) = (&workload.spec, workload.status.clone().unwrap_or_default());
    let surplus = status.instances.len() > usize::try_from(spec.replicas).unwrap_or(usize::MAX);
    let due = |row: &InstanceStatus| {
        let wanted = spec.restarted_at.filter(|wanted| *wanted <= at);
        row.id == id
            && status.revision.as_ref() == Some(&row.revision)
            && wanted
                .zip(row.started_at)
                .is_some_and(|(wanted, started)| started < wanted)
    };
    spec.strategy.kind == StrategyType::InPlace && !surplus && status.instances.iter().any(due)
}

/// What nginx serves, if it runs.
fn serving_at(evidence: &Evidence, at: Time) -> Option<&LoadedConfig> {
    let of = evidence
        .effects
        .iter()
        .filter(|effect| effect.container == BALANCER && effect.at <= at);
    let mut runs = of.filter(|effect| matches!(effect.op, Op::Start | Op::Die | Op::Remove));
    let last = runs.next_back()?;
    (last.op == Op::Start)
        .then(|| evidence.loads.iter().rev().find(|load| load.at <= at))
        .flatten()
}

fn is_backend(evidence: &Evidence, workload: &str, at: Time) -> bool {
    let balancers = evidence.records.iter().rev().filter(|record| record.at <= at);
    let balancer = balancers
        .filter_map(|record| record.object.typed::<LoadBalancer>())
        .next();
    balancer.is_some_and(|lb| {
        lb.spec
            .backends
            .iter()
            .any(|backend| backend.workload.as_str() == workload)
    })
}

/// The addresses a container had at an instant, as its workload's status reports.
fn addresses(evidence: &Evidence, workload: &str, id: &str, at: Time) -> BTreeSet<String> {
    let workload = evidence.workload_at(workload, at);
    let rows = workload
        .iter()
        .flat_map(|workload| &workload.status)
        .flat_map(|status| &status.instances);
    rows.filter(|row| row.id == id)
        .flat_map(|row| row.addresses.values().cloned())
        .collect()
}

/// Whether the load balancer said of a container lately that it is held: the last of its upstream.
fn held_at(evidence: &Evidence, id: &str, at: Time) -> bool {
    let lately = evidence
        .records
        .iter()
        .filter(|record| record.at <= at && record.at.age(at) <= LOOKED);
    lately
        .filter_map(|record| record.object.typed::<LoadBalancer>())
        .any(|lb| {
            let status = lb.status.clone().unwrap_or_default();
            lb.name() == BALANCER && status.held.iter().any(|held| held == id)
        })
}
