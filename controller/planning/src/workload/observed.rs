//! The world as one Workload sees it, as data, and what is read off other objects for it: which load balancers have a say,
//! and who else adopts its container. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use aegis_api::lifecycle::LastEnd;
use aegis_api::observed::{ContainerDetails, ContainerSummary, HostFacts};
use aegis_api::workload::DependencyStatus;
use aegis_api::{ConditionType, ContainerId, Kind, LoadBalancer, Time, Workload};

use crate::hold::Hold;
use crate::host_limit::HostRuling;
use crate::probe::ProbeResult;
use crate::serving::names;

/// The world as one Workload sees it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The container of `spec.container`, if there is one.
    pub base: Option<ContainerDetails>,
    /// Whether it is known that somebody removed that container.
    pub removed_by_hand: bool,
    /// Containers this controller made for the workload.
    pub replicas: Vec<ContainerDetails>,
    /// How many more of them the engine is removing just now.
    pub vanishing: usize,
    /// Names of all containers on the host: none of them may be taken twice.
    pub taken_names: BTreeSet<String>,
    /// The probes' results, by container id.
    pub probe_results: HashMap<ContainerId, ProbeResult>,
    /// Load balancers that name the workload.
    pub rotations: Vec<Rotation>,
    /// Why nothing of it is restarted by itself.
    pub no_restarts: Option<Hold>,
    /// What keeps the host from one more restart of something unhealthy.
    pub host: Option<HostRuling>,
    /// What the workload needs.
    pub dependencies: Vec<DependencyStatus>,
    /// The container whose network the adopted one shares.
    pub network_owner: Option<NetworkOwner>,
    /// Containers whose labels say that this controller made them for the workload, and whose names do not: run by
    /// somebody from an image that was committed from a replica, or renamed. They belong to no workload.
    pub strangers: Vec<String>,
    /// All containers of the host.
    pub containers: Vec<ContainerSummary>,
    /// What a start of a container of the workload would meet, by container id.
    pub host_facts: HashMap<ContainerId, HostFacts>,
    /// Whether the image is there that replicas are to have; `None` where none is to be replaced.
    pub has_image: Option<bool>,
    /// Another Workload that adopts the same container and is older.
    pub adopted_by: Option<String>,
    /// Where this controller reaches what is on the host's network; only where something of the workload is on it.
    pub host_address: Option<IpAddr>,
    /// Networks that this controller itself is on, if it runs in a container: those it can reach.
    pub own_networks: BTreeSet<String>,
    /// Id of the container this controller runs in.
    pub own_container: Option<String>,
    /// Id of this controller's state directory.
    pub instance: String,
    /// How containers' last runs ended, by id, where events showed it.
    pub ends: HashMap<ContainerId, LastEnd>,
    /// Since when events are heard without a break.
    pub heard_since: Option<Time>,
    /// An incident about restarts that were too many is open already.
    pub restarts_reported: bool,
    /// The restart in the spec is an incident's, that no human ordered.
    pub restart_is_automatic: bool,
    /// Now.
    pub now: Time,
}

/// What a load balancer says of a workload's containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// The LoadBalancer.
    pub name: String,
    /// The container that nginx runs in.
    pub container: String,
    /// nginx runs: it may be sending requests.
    pub serving: bool,
    /// Ids in the serving configuration.
    pub servers: BTreeSet<ContainerId>,
    /// Ids it keeps since they are the last of their upstream.
    pub held: BTreeSet<ContainerId>,
    /// Ids it has drained, and the mark of which pass that answers.
    pub released: BTreeMap<ContainerId, Option<Time>>,
    /// Its complaint, if it cannot do its work.
    pub trouble: Option<String>,
}

impl Rotation {
    /// Whether it gives no more requests to a container, marked as on its way out since then.
    pub(crate) fn has_released(&self, id: &ContainerId, since: Option<Time>) -> bool {
        self.released.get(id) == Some(&since)
    }
}

/// The container whose network another one shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOwner {
    /// Its name.
    pub name: String,
    /// When it started; `None` while it does not run.
    pub started_at: Option<Time>,
}

/// What the load balancers that send requests to a workload's containers, or are asked to, say of them. `running`: which
/// containers of the host run, by name.
pub fn rotations(
    balancers: &[Arc<LoadBalancer>],
    workload: &str,
    ids: &BTreeSet<&str>,
    running: &BTreeMap<&str, bool>,
) -> Vec<Rotation> {
    let naming = balancers.iter().filter(|lb| {
        // One whose backends name it no more may still serve it.
        let uses = lb
            .status
            .as_ref()
            .is_some_and(|status| status.uses(workload, ids));
        // One that is being deleted drains what it serves, and takes up nothing more.
        uses || (names(lb, workload) && !lb.is_deleting())
    });
    naming
        .map(|lb| {
            let status = lb.status.clone().unwrap_or_default();
            let ready = aegis_api::condition::find(&status.conditions, ConditionType::Ready);
            Rotation {
                name: lb.name().to_owned(),
                container: lb.spec.container.to_string(),
                serving: running.get(lb.spec.container.as_str()).copied().unwrap_or(false),
                servers: status.servers.into_iter().map(|server| server.id).collect(),
                held: status.held.into_iter().collect(),
                released: status
                    .releases
                    .into_iter()
                    .map(|release| (release.id, release.since))
                    .collect(),
                trouble: ready
                    .filter(|ready| ready.status != "True")
                    .map(|ready| ready.message.clone()),
            }
        })
        .collect()
}

/// The older of two Workloads that adopt one container owns it; the younger must not touch it.
pub fn adopted_by(workloads: &[Arc<Workload>], workload: &Workload) -> Option<String> {
    let container = workload.spec.container.as_ref()?;
    let age = |workload: &Workload| {
        (
            workload.metadata.creation_timestamp.clone().map(|time| time.0),
            workload.name().to_owned(),
        )
    };
    let others = workloads.iter().filter(|other| {
        other.name() != workload.name()
            && other.spec.container.as_ref() == Some(container)
            && age(other) < age(workload)
    });
    others.map(|other| other.name().to_owned()).next()
}
