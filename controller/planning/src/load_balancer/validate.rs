//! Which servers each upstream should have. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::load_balancer::{
    Algorithm, Backend, DrainReceipt, LoadBalancerStatus, Protocol, Server, Unavailable,
};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::{Health, InstanceStatus, Leaving};
use aegis_api::{ContainerId, Kind, LoadBalancer, LoadBalancerSpec, Reason, Time, Workload};

use super::hold::Hold;
use super::home::{self, Endpoint, is_home};
use super::http2::Http2;
use super::observed::{self, Observed, Taken, Worker};
use super::render::Rendered;
use super::slow_start::{self, Step};
use super::{connections, down, hold, http2, idle, receipts, stream, unavailable, unread};
use crate::Invalid;

/// A container that is not ready this long after its start is not waited for.
const STARTS_UP: Duration = Duration::from_secs(2);

/// One upstream as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    pub name: String,
    /// It is one of TCP.
    pub tcp: bool,
    /// None: its location answers 503 by itself.
    pub servers: Vec<Server>,
    /// Where it has none, one may be there in a moment.
    pub may_be_back: bool,
}

/// A LoadBalancer whose parts fit together.
#[derive(Debug, Clone)]
pub struct ValidatedLoadBalancer {
    pub name: String,
    pub spec: LoadBalancerSpec,
    pub generation: i64,
    pub container: ContainerDetails,
    pub address: SocketAddr,
    pub served: Option<String>,
    /// What is put back where something better turns out not to be: the last good configuration, without `strays`.
    pub good: Option<Rendered>,
    /// The last good configuration lies where nginx reads it.
    pub installed: bool,
    pub workers: Option<Vec<Worker>>,
    pub template: Result<String, Arc<std::io::Error>>,
    /// That of TCP backends; `None` where nginx is to have none.
    pub stream_template: Option<Result<String, Arc<std::io::Error>>>,
    pub algorithm: Algorithm,
    /// nginx may offer its connections.
    pub offers_connections: bool,
    /// Seconds for which nginx keeps idle connections over a reload; `None` where it closes them.
    pub keepalive_min: Option<u64>,
    /// That it closes them, human-readable.
    pub closes_idle: Option<String>,
    /// How requests wait for a server; `None` where none does.
    pub hold: Option<Hold>,
    /// Why none does that should, human-readable.
    pub holds_none: Option<String>,
    /// Which fields of the spec the template does not read, human-readable.
    pub unread: Option<String>,
    /// Why nothing can be brought to nginx but what contains `strays`, human-readable.
    pub refused: Option<String>,
    /// Where nginx takes HTTP/2; `None` where it need not.
    pub http2: Option<Http2>,
    /// All upstreams of the spec, in its order.
    pub upstreams: Vec<Upstream>,
    /// Those that have no server, and why.
    pub unavailable: Vec<Unavailable>,
    /// Whether people want it so: all that is missing is scaled to 0.
    pub as_wanted: bool,
    /// Servers that nginx has, and whose address is not theirs any more: none of these may stay.
    pub strays: Vec<Server>,
    /// Ids kept for lack of a ready server, whether or not they should leave.
    pub held: BTreeSet<ContainerId>,
    /// Which those are, human-readable.
    pub held_words: Vec<String>,
    /// Ids of servers whose container runs at their address: others have no request left to finish.
    pub running: BTreeSet<ContainerId>,
    /// Ids that their workload marked as draining, and since when.
    pub marked: BTreeMap<ContainerId, Option<Time>>,
    /// Containers have just started that are in no rotation yet and may be ready in a moment.
    pub more_to_come: bool,
    /// When a container that is healthy already will have been so for long enough.
    pub min_ready_remaining: Option<Duration>,
    /// When the weight of a server that has become ready lately grows.
    pub next_weights: Option<Duration>,
    /// Why containers leave, by id.
    pub causes: BTreeMap<ContainerId, Leaving>,
    /// Receipts of earlier passes with what nginx's log reported of them since.
    pub counted: Vec<DrainReceipt>,
    /// How long its servers may take to end.
    pub grace: Duration,
    pub before: LoadBalancerStatus,
    pub now: Time,
}

impl ValidatedLoadBalancer {
    /// Nothing was ever configured here, and there is nothing to balance yet: nginx keeps what it has, or what its image
    /// came with. Where it serves a revision, that is from an earlier life, and it is unknown whose addresses it names.
    pub(crate) fn keeps_what_it_has(&self) -> bool {
        let empty = self.upstreams.iter().all(|upstream| upstream.servers.is_empty());
        let before = &self.before;
        let never =
            before.revision.is_none() && before.servers.is_empty() && before.stream_config_path.is_none();
        empty && never && self.served.is_none()
    }
}

pub fn validate(balancer: &LoadBalancer, observed: Observed) -> Result<ValidatedLoadBalancer, Invalid> {
    let spec = &balancer.spec;
    let (container, address) = nginx(balancer, &observed)?;
    let before = balancer.status.clone().unwrap_or_default();
    let deleting = balancer.is_deleting();
    let chosen = choose(balancer, &observed, &container, &before);
    let is_home = |server: &&Server| is_home(server, &observed.endpoints, &container);
    let (home, strays): (Vec<&Server>, Vec<&Server>) = before.servers.iter().partition(is_home);
    let running = home.iter().map(|server| server.id.clone()).collect();
    let strays: Vec<Server> = match deleting {
        true => before.servers.clone(),
        false => strays.into_iter().cloned().collect(),
    };
    let good = good(&before, &strays);
    let (unavailable, as_wanted) =
        unavailable::unavailable(spec, &chosen.upstreams, &observed, &container, &before);
    let built_in = observed.nginx.map(|nginx| nginx.counts_connections);
    let offers_connections = connections::may_be_offered(spec, &container, built_in, &before);
    let version = observed.nginx.and_then(|nginx| nginx.version);
    let keepalive_min = idle::kept(spec, version, observed.nginx.is_some(), &before);
    let http2 = match observed.nginx {
        Some(nginx) => http2::wanted(spec, nginx.http2),
        // A template of somebody's own that does not depend on it, or an nginx that cannot be asked: nginx judges it.
        None => http2::wanted(spec, Some(Http2::On)),
    };
    let (http2, no_http2) = match http2 {
        Ok(http2) => (http2, None),
        Err(why) => (None, Some(why)),
    };
    let refused = refused(balancer, &observed, &before)
        .or(no_http2)
        .filter(|_| !deleting);
    let holds = observed.nginx.map(|nginx| nginx.holds);
    let (hold, holds_none) = hold::held(spec, &container, holds, &before);
    let template = observed.template.as_deref().ok();
    let stream = observed.stream_template.as_ref();
    let stream = stream.and_then(|read| read.as_deref().ok());
    let unread = template.and_then(|template| unread::unread(spec, hold.is_some(), template, stream));
    Ok(ValidatedLoadBalancer {
        name: balancer.name().to_owned(),
        spec: spec.clone(),
        generation: balancer.generation(),
        address,
        served: observed.served,
        good,
        installed: observed.installed,
        workers: observed.workers,
        template: observed.template,
        stream_template: observed.stream_template.filter(|_| !deleting),
        algorithm: spec.algorithm,
        offers_connections,
        keepalive_min,
        closes_idle: version.and_then(idle::closed_by),
        hold,
        holds_none,
        unread,
        refused,
        http2,
        upstreams: chosen.upstreams,
        unavailable,
        as_wanted,
        strays,
        held: chosen.held,
        held_words: chosen.held_words,
        running,
        marked: chosen.marked,
        more_to_come: chosen.more_to_come,
        min_ready_remaining: chosen.min_ready_remaining,
        next_weights: chosen.next_weights,
        causes: chosen.causes,
        counted: observed.counted,
        grace: receipts::grace(observed.workloads.iter().flatten()),
        before,
        now: observed.now,
        container,
    })
}

/// Which servers each upstream is to have, and what is known of containers that leave.
fn choose(
    balancer: &LoadBalancer,
    observed: &Observed,
    container: &ContainerDetails,
    before: &LoadBalancerStatus,
) -> Chosen {
    let backends = &balancer.spec.backends;
    let mut chosen = Chosen::default();
    let mut by_upstream: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut back: BTreeSet<&str> = BTreeSet::new();
    for (backend, workload) in backends.iter().zip(&observed.workloads) {
        let rows = rows(workload.as_deref());
        chosen.observe(rows);
        let upstream = by_upstream.entry(backend.upstream.as_str()).or_default();
        if !balancer.is_deleting() && hold::may_be_back(workload.as_deref()) {
            back.insert(backend.upstream.as_str());
        }
        if let Some(workload) = workload.as_ref().filter(|_| !balancer.is_deleting()) {
            chosen.more_to_come |= rows.iter().any(|row| starts_up(row, before, observed.now));
            upstream.extend(candidates(backend, workload, observed, container, before));
        }
    }
    // In the order of the backends: the first upstream answers `/`.
    let mut names: Vec<&str> = backends.iter().map(|backend| backend.upstream.as_str()).collect();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names {
        let candidates = by_upstream.remove(name).unwrap_or_default();
        chosen.choose(name, &candidates, before);
        if let Some(upstream) = chosen.upstreams.last_mut() {
            let first = balancer.spec.first_of(name);
            upstream.tcp = first.is_some_and(|backend| backend.protocol == Protocol::Tcp);
            upstream.may_be_back = back.contains(name);
        }
    }
    for workload in &observed.removed_backends {
        chosen.observe(rows(Some(workload)));
    }
    chosen
}

/// The last good configuration without these servers.
fn good(before: &LoadBalancerStatus, strays: &[Server]) -> Option<Rendered> {
    let good = observed::last_good(before)?;
    let gone = strays.iter().map(|server| server.address.as_str()).collect();
    Some(down::without(&good, &gone))
}

/// nginx's container and where it answers, or why it cannot be configured.
fn nginx(balancer: &LoadBalancer, observed: &Observed) -> Result<(ContainerDetails, SocketAddr), Invalid> {
    let name = &balancer.spec.container;
    let invalid = |reason, message| Invalid { reason, message };
    let Some(container) = observed.container.clone() else {
        let message = format!("container {name} does not exist: start it, and it is configured");
        return Err(invalid(Reason::ContainerMissing, message));
    };
    if container.state != ContainerState::Running {
        let state = container.state.as_str();
        let message = format!("container {name} is {state}: start it, and it is configured");
        return Err(invalid(Reason::ContainerNotRunning, message));
    }
    if let Some(message) = observed.refuses_path(balancer) {
        return Err(invalid(Reason::NotConfigurable, message));
    }
    match observed.address {
        Some(address) => Ok((container, address)),
        None => {
            let message = match container.networks.contains_key(home::HOST) {
                true => format!(
                    "container {name} is on the host's network, which this controller does not reach from its own: put it on a \
                     network of its servers and of this controller, or run this controller on the host's network, too"
                ),
                false => format!("container {name} has no address on any network"),
            };
            Err(invalid(Reason::NoAddress, message))
        }
    }
}

/// See [`ValidatedLoadBalancer::refused`].
fn refused(balancer: &LoadBalancer, observed: &Observed, before: &LoadBalancerStatus) -> Option<String> {
    let spec = &balancer.spec;
    let taken = observed.taken.as_ref().map(|Taken { field, what, by }| {
        let name = &spec.container;
        format!("load balancer {by} has {what} of container {name}: give {field} another one")
    });
    let built_in = observed.nginx.map(|nginx| nginx.has_stream);
    taken
        .or_else(|| stream::moved(spec, before))
        .or_else(|| stream::refused(spec, built_in))
}

pub fn rows(workload: Option<&Workload>) -> &[InstanceStatus] {
    workload
        .and_then(|workload| workload.status.as_ref())
        .map_or(&[], |status| status.instances.as_slice())
}

#[derive(Default)]
struct Chosen {
    upstreams: Vec<Upstream>,
    held: BTreeSet<ContainerId>,
    held_words: Vec<String>,
    marked: BTreeMap<ContainerId, Option<Time>>,
    more_to_come: bool,
    min_ready_remaining: Option<Duration>,
    next_weights: Option<Duration>,
    causes: BTreeMap<ContainerId, Leaving>,
}

/// A container that an upstream could have: it runs, and nginx reaches it at this address.
struct Candidate<'a> {
    row: &'a InstanceStatus,
    server: Server,
    /// How long it must go on being healthy before it counts.
    min_ready_remaining: Duration,
    /// How far its slow start is.
    step: Step,
}

impl Candidate<'_> {
    fn is_server(&self, server: &Server) -> bool {
        self.server.id == server.id && self.server.address == server.address
    }
}

/// What a backend's Workload has to offer. Its status may be older than what the engine says: a container that has
/// restarted since is none of these until its Workload knows it as healthy.
fn candidates<'a>(
    backend: &Backend,
    workload: &'a Workload,
    observed: &Observed,
    nginx: &ContainerDetails,
    before: &LoadBalancerStatus,
) -> Vec<Candidate<'a>> {
    rows(Some(workload))
        .iter()
        .filter_map(|row| candidate(row, backend, workload, observed, nginx, before))
        .collect()
}

fn candidate<'a>(
    row: &'a InstanceStatus,
    backend: &Backend,
    workload: &Workload,
    observed: &Observed,
    nginx: &ContainerDetails,
    before: &LoadBalancerStatus,
) -> Option<Candidate<'a>> {
    let endpoint = observed.endpoints.get(&row.id)?;
    let host = home::host(endpoint, nginx)?;
    let is_known = is_same_run(row, endpoint) || stays(&row.id, endpoint, &host, before);
    if !endpoint.is_running() || !is_known || is_renamed(workload, row, endpoint) {
        return None;
    }
    let min_healthy = workload.spec.strategy.min_healthy.std();
    Some(Candidate {
        row,
        server: Server {
            upstream: backend.upstream.to_string(),
            workload: backend.workload.to_string(),
            container: row.name.clone(),
            id: row.id.clone(),
            address: format!("{host}:{}", backend.port),
            weight: backend.weight,
        },
        min_ready_remaining: min_ready_remaining(row, min_healthy, observed.now),
        step: Step::at(backend, ready_for(row, observed.now)),
    })
}

/// Whether a server stays where it is. Of which run the engine speaks it does not always say: enough for this, not to
/// admit one.
fn stays(id: &ContainerId, endpoint: &Endpoint, host: &str, before: &LoadBalancerStatus) -> bool {
    let mut servers = before.servers.iter();
    endpoint.started_at.is_none()
        && servers.any(|server| server.id == *id && home::host_of(&server.address) == host)
}

/// Whether a row of a Workload's status is about this run of its container.
pub(crate) fn is_same_run(row: &InstanceStatus, endpoint: &Endpoint) -> bool {
    row.started_at.is_none() || row.started_at == endpoint.started_at
}

/// Whether an adopted container has another name by now: a Workload means the one of its name.
pub(crate) fn is_renamed(workload: &Workload, row: &InstanceStatus, endpoint: &Endpoint) -> bool {
    let adopted = workload.spec.container.as_ref().filter(|_| row.index == 0);
    adopted.is_some_and(|name| name.as_str() != endpoint.name)
}

fn min_ready_remaining(row: &InstanceStatus, min_healthy: Duration, now: Time) -> Duration {
    ready_for(row, now).map_or(Duration::ZERO, |ready| min_healthy.saturating_sub(ready))
}

fn ready_for(row: &InstanceStatus, now: Time) -> Option<Duration> {
    row.ready_since.or(row.started_at).map(|since| since.age(now))
}

/// Whether a container started so lately that it may well be ready in a moment.
fn starts_up(row: &InstanceStatus, before: &LoadBalancerStatus, now: Time) -> bool {
    row.state == ContainerState::Running
        && row.health != Health::Healthy
        && !row.draining
        && !before.servers.iter().any(|server| server.id == row.id)
        && row.started_at.is_some_and(|start| start.age(now) < STARTS_UP)
}

impl Chosen {
    /// Which of these containers are on their way out, and why.
    fn observe(&mut self, rows: &[InstanceStatus]) {
        let marked = rows.iter().filter(|row| row.draining);
        self.marked
            .extend(marked.map(|row| (row.id.clone(), row.draining_since)));
        let causes = rows.iter().filter_map(|row| {
            let unhealthy = (row.health == Health::Unhealthy || row.starting).then_some(Leaving::Unhealthy);
            Some((row.id.clone(), row.leaving.or(unhealthy)?))
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
        let in_rotation = |id: &ContainerId| served.iter().any(|server| server.id == *id);
        let fit = |row: &InstanceStatus| {
            let known_good = row.health == Health::Healthy
                || (row.health == Health::Unknown && !row.starting && in_rotation(&row.id));
            row.state == ContainerState::Running && known_good && !row.draining
        };
        let fit: Vec<&Candidate<'_>> = candidates.iter().filter(|candidate| fit(candidate.row)).collect();
        let ripe = |candidate: &&&Candidate<'_>| {
            candidate.min_ready_remaining.is_zero() || in_rotation(&candidate.row.id)
        };
        let mut servers: Vec<Server> = fit.iter().filter(ripe).map(|one| one.server.clone()).collect();
        if servers.is_empty() {
            // Better one that has just become healthy than none.
            servers = fit.iter().map(|one| one.server.clone()).collect();
        } else {
            let later = fit
                .iter()
                .filter(|one| !ripe(one))
                .map(|one| one.min_ready_remaining);
            self.min_ready_remaining = self.min_ready_remaining.into_iter().chain(later).min();
        }
        if servers.is_empty() {
            let held: Vec<&Candidate<'_>> = candidates.iter().filter(|one| is_held(one, &served)).collect();
            servers = held.iter().map(|one| one.server.clone()).collect();
            self.held.extend(servers.iter().map(|server| server.id.clone()));
            self.held_words
                .extend(held.iter().map(|one| unavailable::held(upstream, one.row)));
        }
        servers.sort();
        servers.dedup();
        self.step_weights(&mut servers, candidates);
        self.upstreams.push(Upstream {
            name: upstream.to_owned(),
            servers,
            tcp: false,
            may_be_back: false,
        });
    }

    /// Gives servers that have just become ready a part of their share.
    fn step_weights(&mut self, servers: &mut [Server], candidates: &[Candidate<'_>]) {
        let steps: Vec<(u32, Step)> = servers
            .iter()
            .filter_map(|server| {
                let mut candidates = candidates.iter();
                let candidate = candidates.find(|candidate| candidate.is_server(server))?;
                Some((server.weight, candidate.step))
            })
            .collect();
        let (weights, next) = slow_start::weights(&steps);
        for (server, weight) in servers.iter_mut().zip(weights) {
            server.weight = weight;
        }
        self.next_weights = self.next_weights.into_iter().chain(next).min();
    }
}

/// Whether a server may stay for lack of a better one: it is merely unhealthy or about to be restarted, and still runs
/// where nginx sends its requests. One that is to go for good leaves first, and its address with it.
fn is_held(candidate: &Candidate<'_>, served: &[&Server]) -> bool {
    let Candidate { row, server, .. } = candidate;
    let goes = row.draining && row.leaving == Some(Leaving::ScaleIn);
    let stays =
        |old: &&Server| old.id == server.id && home::host_of(&old.address) == home::host_of(&server.address);
    row.state == ContainerState::Running && !goes && served.iter().any(stays)
}
