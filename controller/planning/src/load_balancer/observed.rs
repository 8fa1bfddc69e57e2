//! The world as one LoadBalancer sees it, as data, and what of it is worth inspecting. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use aegis_api::load_balancer::{DrainReceipt, Server, is_same_path, is_same_upstream};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::Health;
use aegis_api::{ContainerId, Kind, LoadBalancer, LoadBalancerSpec, LoadBalancerStatus, Time, Workload};

use super::home::{Endpoints, is_home};
use super::http2::Http2;
use super::render::Rendered;
use super::{connections, down, hold, http2, idle, neighbours, stream};

/// One nginx worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Process id on the host.
    pub pid: i64,
    /// It finishes the requests it has and takes no new ones.
    pub shutting_down: bool,
}

/// What nginx says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NginxBuild {
    /// Its version; `None` of its relatives.
    pub version: Option<idle::Version>,
    /// It can count its connections.
    pub counts_connections: bool,
    /// It can hold requests.
    pub holds: bool,
    /// Where it can take HTTP/2.
    pub http2: Option<Http2>,
    /// It can have TCP upstreams.
    pub has_stream: bool,
}

impl NginxBuild {
    /// From what `nginx -V` prints.
    pub fn parse(said: &str) -> Self {
        let version = idle::Version::parse(said);
        Self {
            version,
            counts_connections: connections::is_built_in(said),
            holds: hold::is_built_in(version, said),
            http2: http2::offered_by(version, said),
            has_stream: stream::is_built_in(said),
        }
    }

    /// Whether a load balancer with this template depends on any of it.
    pub fn matters_to(spec: &LoadBalancerSpec, template: &str) -> bool {
        let knows = [
            connections::is_known_to,
            idle::is_known_to,
            hold::is_known_to,
            http2::is_known_to,
        ]
        .iter()
        .any(|is_known_to| is_known_to(template));
        knows || spec.has_tcp()
    }
}

/// The world as one LoadBalancer sees it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// nginx's container, if there is one.
    pub container: Option<ContainerDetails>,
    /// Where nginx answers this controller.
    pub address: Option<SocketAddr>,
    /// The revision nginx serves now; `None` if it does not answer with one.
    pub served: Option<String>,
    /// A configuration of ours lies where nginx reads it, or may, and the status speaks of none, or of none of TCP backends: nginx may
    /// serve its servers.
    pub leftover: bool,
    /// What should lie where nginx reads it until there is something better: the last good configuration; while nginx does
    /// not run, without servers whose addresses are not theirs any more, for it would start with them.
    pub file: Option<Rendered>,
    /// It does.
    pub installed: bool,
    /// Where the containers are that nginx serves or could serve.
    pub endpoints: Endpoints,
    /// nginx's workers; read only while a drain is open.
    pub workers: Option<Vec<Worker>>,
    /// The backends' Workloads, in the order of the backends; `None` where there is no such Workload.
    pub workloads: Vec<Option<Arc<Workload>>>,
    /// Workloads that no backend names any more and nginx serves all the same.
    pub removed_backends: Vec<Arc<Workload>>,
    /// Receipts of earlier passes with what nginx's log reported of them since.
    pub counted: Vec<DrainReceipt>,
    /// The template, or why it cannot be read.
    pub template: Result<String, Arc<std::io::Error>>,
    /// That of TCP backends, where there are any.
    pub stream_template: Option<Result<String, Arc<std::io::Error>>>,
    /// What nginx says of itself, where the template depends on it; `None` where that is not known.
    pub nginx: Option<NginxBuild>,
    /// Another load balancer that has the same file of the same container, and had it first.
    pub claimed_by: Option<String>,
    /// What another load balancer of the same container has, and had first, that nginx can have once.
    pub taken: Option<Taken>,
    /// Now.
    pub now: Time,
}

/// What only one load balancer of an nginx can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The field that says so, such as `spec.backends[0].upstream`.
    pub field: String,
    /// What it says, with its kind: `upstream web`, `port 80`.
    pub what: String,
    /// The load balancer that has it.
    pub by: String,
}

/// When a load balancer was made; of those of one moment the first by name came first.
fn order(balancer: &LoadBalancer) -> (Option<jiff::Timestamp>, String) {
    let made = balancer.metadata.creation_timestamp.as_ref().map(|at| at.0);
    (made, balancer.name().to_owned())
}

/// The first name of an upstream, port, or file of TCP backends that an earlier load balancer of the same container has. nginx
/// would refuse the file for it with the name of a file that people did not write.
pub fn taken(balancer: &LoadBalancer, all: &[Arc<LoadBalancer>]) -> Option<Taken> {
    let mut earlier: Vec<&Arc<LoadBalancer>> = all
        .iter()
        .filter(|other| other.spec.container == balancer.spec.container && order(other) < order(balancer))
        .collect();
    earlier.sort_by_key(|other| order(other));
    let revision = |status: &LoadBalancerStatus| status.revision.is_some();
    let is_new = !balancer.status.as_ref().is_some_and(revision);
    let of = |other: &LoadBalancer| {
        let backends = balancer.spec.backends.iter().enumerate();
        let upstreams = backends.map(|(index, backend)| {
            let mut theirs = other.spec.backends.iter();
            let is_theirs = theirs.any(|their| is_same_upstream(&their.upstream, &backend.upstream));
            let field = format!("spec.backends[{index}].upstream");
            (is_theirs, field, format!("upstream {}", backend.upstream))
        });
        let theirs = other.spec.ports();
        let of_tcp = other.spec.tcp_ports();
        let ports = balancer.spec.ports();
        let ports = ports.into_iter().map(|(field, port)| {
            // One of TCP that nginx was not proved to listen on takes it from no load balancer that serves.
            let is_theirs = match of_tcp.iter().any(|(_, their)| *their == port) {
                true => is_new || listens(other, port),
                false => theirs.iter().any(|(_, their)| *their == port),
            };
            (is_theirs, field, format!("port {port}"))
        });
        let mut both = upstreams.chain(ports).filter(|(is_theirs, ..)| *is_theirs);
        both.next().map(|(_, field, what)| Taken {
            field,
            what,
            by: other.name().to_owned(),
        })
    };
    let clash = earlier.into_iter().find_map(|other| of(other));
    clash.or_else(|| {
        let path = balancer.spec.stream_config_path();
        let by = balancer
            .spec
            .has_tcp()
            .then(|| holder(&path, balancer, all))
            .flatten()?;
        Some(Taken {
            field: "spec.streamConfigPath".to_owned(),
            what: format!("file {path}"),
            by,
        })
    })
}

/// Whether nginx was proved to listen on this port for its TCP backends.
fn listens(balancer: &LoadBalancer, port: u16) -> bool {
    let status = balancer.status.as_ref();
    let file = status.and_then(|status| status.stream_config.as_deref());
    file.is_some_and(|file| neighbours::listens(file, port))
}

/// The load balancer of the same container whose file this is, as far as it is another one's: who has TCP backends in it, or
/// else who was made first of those whose spec names it, for requests before TCP. What is only named keeps no requests
/// from its file.
fn holder(path: &str, balancer: &LoadBalancer, all: &[Arc<LoadBalancer>]) -> Option<String> {
    let is_written = |lb: &LoadBalancer| {
        let written = lb
            .status
            .as_ref()
            .and_then(|status| status.stream_config_path.as_ref());
        written.is_some_and(|written| is_same_path(written, path))
    };
    let is_of_requests = |lb: &LoadBalancer| is_same_path(lb.spec.config_path.as_str(), path);
    let names = |lb: &LoadBalancer| {
        is_of_requests(lb) || (lb.spec.has_tcp() && is_same_path(&lb.spec.stream_config_path(), path))
    };
    // What is written comes first.
    let rank = |lb: &LoadBalancer| (!is_written(lb), !is_of_requests(lb), order(lb));
    let others = all.iter().filter(|other| {
        other.spec.container == balancer.spec.container && (is_written(other) || names(other))
    });
    let first = others.min_by_key(|other| rank(other))?;
    (rank(first) < rank(balancer)).then(|| first.name().to_owned())
}

/// The load balancer of the same container that has the file of requests of this one.
pub fn claimed_by(balancer: &LoadBalancer, all: &[Arc<LoadBalancer>]) -> Option<String> {
    holder(balancer.spec.config_path.as_str(), balancer, all)
}

impl Observed {
    /// Whether nginx's container runs.
    pub fn runs(&self) -> bool {
        let container = self.container.as_ref();
        container.is_some_and(|container| container.state == ContainerState::Running)
    }

    /// Whether a file of TCP backends was noted, and nginx neither answers with a revision nor was ever proved to serve one.
    pub fn is_unproved(&self, balancer: &LoadBalancer) -> bool {
        let is_noted =
            |status: &LoadBalancerStatus| status.stream_config_path.is_some() && status.revision.is_none();
        self.served.is_none() && balancer.status.as_ref().is_some_and(is_noted)
    }

    /// Why the file of requests cannot be where the spec says, human-readable.
    pub fn refuses_path(&self, balancer: &LoadBalancer) -> Option<String> {
        let (path, name) = (&balancer.spec.config_path, &balancer.spec.container);
        if let Some(claimed_by) = &self.claimed_by {
            return Some(format!(
                "load balancer {claimed_by} has {path} of container {name}: give this one another spec.configPath and another spec.port"
            ));
        }
        let written = balancer.status.as_ref()?.stream_config_path.as_ref()?;
        is_same_path(written, path.as_str())
            .then(|| format!("its TCP backends are in {path} of nginx: give spec.configPath another file"))
    }

    /// The files that must be put in their place before an nginx that does not run is started, and the container they belong in.
    pub fn to_restore(&self, balancer: &LoadBalancer) -> Option<(&ContainerDetails, &Rendered)> {
        let stopped = self
            .container
            .as_ref()
            .filter(|_| !self.runs() && self.refuses_path(balancer).is_none());
        stopped.zip(self.file.as_ref()).filter(|_| !self.installed)
    }
}

/// Ids of containers that nginx serves, or that could be admitted.
pub fn candidates<'a>(
    balancer: &LoadBalancer,
    workloads: impl Iterator<Item = &'a Arc<Workload>>,
) -> BTreeSet<ContainerId> {
    let served = balancer.status.iter().flat_map(|status| &status.servers);
    let rows = workloads.filter_map(|workload| workload.status.as_ref());
    let rows = rows.flat_map(|status| &status.instances);
    let healthy = rows.filter(|row| row.health == Health::Healthy);
    let ids = served.map(|server| &server.id);
    ids.chain(healthy.map(|row| &row.id)).cloned().collect()
}

/// Whether a file where nginx reads it is a configuration that a controller wrote: each answers its revision.
pub fn is_configuration(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).contains(super::REVISION_PATH)
}

/// The configuration that nginx was last proved to serve.
pub(crate) fn last_good(status: &LoadBalancerStatus) -> Option<Rendered> {
    Some(Rendered {
        revision: status.revision.clone()?,
        text: status.config.clone()?,
        stream: status.stream_config.clone().or_else(|| {
            // One that was written and never proved must not stay.
            let written = status.stream_config_path.as_ref();
            written.map(|_| stream::NONE.to_owned())
        }),
    })
}

/// See [`Observed::file`].
pub fn file(
    balancer: &LoadBalancer,
    container: Option<&ContainerDetails>,
    endpoints: &Endpoints,
) -> Option<Rendered> {
    let (status, container) = (balancer.status.as_ref()?, container?);
    let good = last_good(status)?;
    if container.state == ContainerState::Running {
        return Some(good);
    }
    let stays = |server: &Server| !balancer.is_deleting() && is_home(server, endpoints, container);
    let gone = status.servers.iter().filter(|server| !stays(server));
    let gone = gone.map(|server| server.address.as_str()).collect();
    Some(idle::without(down::without(&good, &gone), container.exit_code))
}
