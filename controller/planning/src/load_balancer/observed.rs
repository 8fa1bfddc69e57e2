//! The world as one LoadBalancer sees it, as data, and what of it is worth inspecting. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use aegis_api::load_balancer::{DrainReceipt, Server};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::Health;
use aegis_api::{ContainerId, Kind, LoadBalancer, Time, Workload};

use super::home::{Endpoints, is_home};
use super::render::Rendered;
use super::{connections, down, idle, staging};

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
}

impl NginxBuild {
    /// From what `nginx -V` prints.
    pub fn parse(said: &str) -> Self {
        Self {
            version: idle::Version::parse(said),
            counts_connections: connections::is_built_in(said),
        }
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
    /// What nginx says of itself, where the template depends on it; `None` where that is not known.
    pub nginx: Option<NginxBuild>,
    /// Another load balancer that has the same file of the same container, and had it first.
    pub claimed_by: Option<String>,
    /// Now.
    pub now: Time,
}

/// Of load balancers that have the same file of the same container, the one that was made first keeps it.
pub fn claimed_by(balancer: &LoadBalancer, all: &[Arc<LoadBalancer>]) -> Option<String> {
    let order = |one: &LoadBalancer| {
        let made = one.metadata.creation_timestamp.as_ref().map(|at| at.0);
        (made, one.name().to_owned())
    };
    let shares = |other: &&Arc<LoadBalancer>| {
        other.spec.container == balancer.spec.container
            && staging::is_same_path(
                other.spec.config_path.as_str(),
                balancer.spec.config_path.as_str(),
            )
    };
    let first = all.iter().filter(shares).min_by_key(|other| order(other))?;
    (order(first) < order(balancer)).then(|| first.name().to_owned())
}

impl Observed {
    /// Whether nginx's container runs.
    pub fn runs(&self) -> bool {
        let container = self.container.as_ref();
        container.is_some_and(|container| container.state == ContainerState::Running)
    }

    /// The file that must be put in its place before an nginx that does not run is started, and the container it belongs in.
    pub fn to_restore(&self) -> Option<(&ContainerDetails, &Rendered)> {
        let stopped = self
            .container
            .as_ref()
            .filter(|_| !self.runs() && self.claimed_by.is_none());
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

/// See [`Observed::file`].
pub fn file(
    balancer: &LoadBalancer,
    container: Option<&ContainerDetails>,
    endpoints: &Endpoints,
) -> Option<Rendered> {
    let (status, container) = (balancer.status.as_ref()?, container?);
    let (text, revision) = (status.config.clone()?, status.revision.clone()?);
    let good = Rendered { revision, text };
    if container.state == ContainerState::Running {
        return Some(good);
    }
    let stays = |server: &Server| !balancer.is_deleting() && is_home(server, endpoints, &container.networks);
    let gone = status.servers.iter().filter(|server| !stays(server));
    let gone = gone.map(|server| server.address.as_str()).collect();
    Some(idle::without(down::without(&good, &gone), container.exit_code))
}
