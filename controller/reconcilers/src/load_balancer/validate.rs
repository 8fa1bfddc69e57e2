//! Which servers each upstream should have. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_api::load_balancer::{Algorithm, DrainReceipt, LoadBalancerStatus, Server};
use aegis_api::workload::{Health, InstanceStatus, Leaving};
use aegis_api::{Kind, LoadBalancer, LoadBalancerSpec, Time};
use aegis_docker::observed::{ContainerDetails, ContainerState};

use super::Error;
use super::dereference::{Observed, Worker};

/// A container that is not ready this long after its start is not waited for.
const STARTS_UP: Duration = Duration::from_secs(2);

/// One upstream as it should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Upstream {
    pub name: String,
    /// Never empty.
    pub servers: Vec<Server>,
}

/// A LoadBalancer whose parts fit together.
#[derive(Debug, Clone)]
pub(super) struct ValidatedLoadBalancer {
    pub name: String,
    pub spec: LoadBalancerSpec,
    pub generation: i64,
    pub container: ContainerDetails,
    pub address: std::net::SocketAddr,
    pub served: Option<String>,
    /// The last good configuration lies where nginx reads it.
    pub on_disk: bool,
    pub workers: Option<Vec<Worker>>,
    pub template: String,
    pub algorithm: Algorithm,
    /// Upstreams that have a server.
    pub upstreams: Vec<Upstream>,
    /// Names of upstreams that have none and never had.
    pub without_servers: Vec<String>,
    /// Ids kept for want of a ready server, whether or not they should leave.
    pub held: BTreeSet<String>,
    /// Ids of containers that run: others have no request left to finish.
    pub running: BTreeSet<String>,
    /// Ids that their workload marked as draining, and since when.
    pub marked: BTreeMap<String, Option<Time>>,
    /// Containers have just started that are in no rotation yet and may be ready in a moment.
    pub more_to_come: bool,
    /// When a container that is healthy already will have been so for long enough.
    pub ripens_in: Option<Duration>,
    /// Why containers leave, by id.
    pub causes: BTreeMap<String, Leaving>,
    /// Receipts of earlier passes with what nginx's log told of them since.
    pub counted: Vec<DrainReceipt>,
    pub before: LoadBalancerStatus,
    pub now: Time,
}

pub(super) fn validate(balancer: &LoadBalancer, observed: Observed) -> Result<ValidatedLoadBalancer, Error> {
    let spec = &balancer.spec;
    let invalid = |reason, message| Error::Invalid {
        balancer: balancer.name().to_owned(),
        reason,
        message,
    };
    let Some(container) = observed.container else {
        let message = format!(
            "container {} does not exist: start it, and it is configured",
            spec.container
        );
        return Err(invalid("ContainerMissing", message));
    };
    if container.state != ContainerState::Running {
        let message = format!(
            "container {} is {}: start it, and it is configured",
            spec.container,
            container.state.as_str()
        );
        return Err(invalid("ContainerNotRunning", message));
    }
    let Some(address) = observed.address else {
        return Err(invalid(
            "NoAddress",
            format!("container {} has no address on any network", spec.container),
        ));
    };
    let before = balancer.status.clone().unwrap_or_default();
    let mut chosen = Chosen::default();
    let mut by_upstream: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    for (backend, workload) in spec.backends.iter().zip(&observed.workloads) {
        let rows: &[InstanceStatus] = workload
            .as_ref()
            .and_then(|workload| workload.status.as_ref())
            .map_or(&[], |status| status.instances.as_slice());
        let candidates = rows.iter().filter_map(|row| {
            let network_ip = row
                .addresses
                .iter()
                .find(|(network, _)| container.networks.contains_key(*network));
            let address = join(network_ip?.1, backend.port);
            Some((
                row,
                Server {
                    upstream: backend.upstream.to_string(),
                    workload: backend.workload.to_string(),
                    container: row.name.clone(),
                    id: row.id.clone(),
                    address,
                    weight: backend.weight,
                },
            ))
        });
        let candidates: Vec<(&InstanceStatus, Server)> = candidates.collect();
        chosen.more_to_come |= rows.iter().any(|row| starts_up(row, &before, observed.now));
        let min_healthy = workload.as_ref().map_or(Duration::ZERO, |workload| {
            workload.spec.strategy.min_healthy.std()
        });
        let upstream = by_upstream.entry(backend.upstream.as_str()).or_default();
        upstream.extend(candidates.into_iter().map(|(row, server)| Candidate {
            row,
            server,
            ripens_in: ripens_in(row, min_healthy, observed.now),
        }));
        chosen.take_note(rows);
    }
    // In the order of the backends: the first upstream answers `/`.
    let mut names: Vec<&str> = spec
        .backends
        .iter()
        .map(|backend| backend.upstream.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names {
        let candidates = by_upstream.remove(name).unwrap_or_default();
        chosen.choose(name, &candidates, &before);
    }
    for workload in &observed.dismissed {
        let status = workload.status.as_ref();
        chosen.take_note(status.map_or(&[], |status| status.instances.as_slice()));
    }
    if chosen.upstreams.is_empty() {
        // Whatever nginx serves, it goes on with it until there is something else to serve.
        let served = before.servers.iter().map(|server| server.id.clone());
        chosen.held.extend(served);
    }
    Ok(ValidatedLoadBalancer {
        name: balancer.name().to_owned(),
        spec: spec.clone(),
        generation: balancer.generation(),
        address,
        served: observed.served,
        on_disk: observed.on_disk,
        workers: observed.workers,
        template: observed.template,
        algorithm: spec.algorithm,
        upstreams: chosen.upstreams,
        without_servers: chosen.without_servers,
        held: chosen.held,
        running: chosen.running,
        marked: chosen.marked,
        more_to_come: chosen.more_to_come,
        ripens_in: chosen.ripens_in,
        causes: chosen.causes,
        counted: observed.counted,
        before,
        now: observed.now,
        container,
    })
}

#[derive(Default)]
struct Chosen {
    upstreams: Vec<Upstream>,
    without_servers: Vec<String>,
    held: BTreeSet<String>,
    running: BTreeSet<String>,
    marked: BTreeMap<String, Option<Time>>,
    more_to_come: bool,
    ripens_in: Option<Duration>,
    causes: BTreeMap<String, Leaving>,
}

/// A container that an upstream could have.
struct Candidate<'a> {
    row: &'a InstanceStatus,
    server: Server,
    /// How long it must go on being healthy before it counts.
    ripens_in: Duration,
}

fn ripens_in(row: &InstanceStatus, min_healthy: Duration, now: Time) -> Duration {
    let since = row.ready_since.or(row.started_at);
    since.map_or(Duration::ZERO, |since| min_healthy.saturating_sub(since.age(now)))
}

/// Whether a container started so lately that it may well be ready in a moment.
fn starts_up(row: &InstanceStatus, before: &LoadBalancerStatus, now: Time) -> bool {
    row.state == ContainerState::Running.as_str()
        && row.health != Health::Healthy
        && !row.draining
        && !before.servers.iter().any(|server| server.id == row.id)
        && row.started_at.is_some_and(|start| start.age(now) < STARTS_UP)
}

impl Chosen {
    /// Which of these containers run, and which are on their way out.
    fn take_note(&mut self, rows: &[InstanceStatus]) {
        let running = rows
            .iter()
            .filter(|row| row.state == ContainerState::Running.as_str());
        self.running.extend(running.map(|row| row.id.clone()));
        let marked = rows.iter().filter(|row| row.draining);
        self.marked
            .extend(marked.map(|row| (row.id.clone(), row.draining_since)));
        let causes = rows.iter().filter_map(|row| {
            let sick = (row.health == Health::Unhealthy).then_some(Leaving::Unhealthy);
            Some((row.id.clone(), row.leaving.or(sick)?))
        });
        self.causes.extend(causes);
    }

    /// Admits what is healthy and not leaving. A server already in rotation stays while nothing is known against it.
    fn choose(&mut self, upstream: &str, candidates: &[Candidate<'_>], before: &LoadBalancerStatus) {
        let served: Vec<&Server> = before
            .servers
            .iter()
            .filter(|server| server.upstream == upstream)
            .collect();
        let in_rotation = |id: &str| served.iter().any(|server| server.id == id);
        let fit = |row: &InstanceStatus| {
            let known_good =
                row.health == Health::Healthy || (row.health == Health::Unknown && in_rotation(&row.id));
            row.state == ContainerState::Running.as_str() && known_good && !row.draining
        };
        let fit: Vec<&Candidate<'_>> = candidates.iter().filter(|candidate| fit(candidate.row)).collect();
        let ripe =
            |candidate: &&&Candidate<'_>| candidate.ripens_in.is_zero() || in_rotation(&candidate.row.id);
        let mut servers: Vec<Server> = fit.iter().filter(ripe).map(|one| one.server.clone()).collect();
        if servers.is_empty() {
            // Better one that has just become healthy than none.
            servers = fit.iter().map(|one| one.server.clone()).collect();
        } else {
            let later = fit.iter().filter(|one| !ripe(one)).map(|one| one.ripens_in);
            self.ripens_in = self.ripens_in.into_iter().chain(later).min();
        }
        if servers.is_empty() {
            // Nothing fit is left: what serves now stays, at its present address where it has one.
            servers = served
                .iter()
                .map(|old| {
                    candidates
                        .iter()
                        .find(|candidate| candidate.row.id == old.id)
                        .map_or_else(|| (*old).clone(), |candidate| candidate.server.clone())
                })
                .collect();
            self.held.extend(servers.iter().map(|server| server.id.clone()));
        }
        servers.sort();
        servers.dedup();
        if servers.is_empty() {
            self.without_servers.push(upstream.to_owned());
        } else {
            self.upstreams.push(Upstream {
                name: upstream.to_owned(),
                servers,
            });
        }
    }
}

/// `address:port`, with an IPv6 address in brackets.
fn join(ip: &str, port: u16) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}
