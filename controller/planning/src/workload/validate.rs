//! Spec and observation to a Workload that can be planned, or the reason why not. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use aegis_api::create::{clone_revision, has_its_name, template_revision};
use aegis_api::lifecycle::LastEnd;
use aegis_api::meta::{LABEL_REPLICA, LABEL_REVISION, LABEL_WORKLOAD};
use aegis_api::observed::{ContainerDetails, ContainerState, HostFacts};
use aegis_api::restart::CannotRestart;
use aegis_api::workload::{
    ContainerTemplate, DependencyStatus, Health, InstanceStatus, Leaving, RejectedRevision,
};
use aegis_api::{ContainerId, Kind, Reason, RevisionId, Time, Workload, WorkloadSpec, WorkloadStatus};

use super::dependencies::remembered;
use super::ended::{self, Ended};
use super::observed::{NetworkOwner, Observed, Rotation};
use super::standing::{Facts, Standing, restart_asked};
use super::{health, stopped_by_hand, template};
use crate::Invalid;
use crate::addressing;
use crate::hold::Hold;
use crate::host_limit::HostRuling;
use crate::probe::is_on_host_network;
use crate::probe::shares_network;
use crate::restart::{HostState, Refused, owners, replaceable, restartable, startable};

/// What replicas are made from.
#[derive(Debug, Clone)]
pub enum ReplicaSource {
    /// A clone of the adopted container.
    Clone(Box<ContainerDetails>),
    /// A template: the spec's, or the last good one where that does not run.
    Template(Box<ContainerTemplate>),
    /// The adopted container is gone: nothing can be made until it is back.
    Missing,
}

/// One container of the workload with all that planning needs to know of it.
#[derive(Debug, Clone)]
pub struct Instance {
    pub name: String,
    pub id: ContainerId,
    /// 0 for the adopted container.
    pub index: u32,
    pub state: ContainerState,
    pub started_at: Option<Time>,
    pub health: Health,
    pub message: String,
    pub revision: RevisionId,
    pub addresses: BTreeMap<String, IpAddr>,
    /// Where it is probed, the likeliest first.
    pub probed_at: Vec<IpAddr>,
    /// From where this controller is, it cannot be probed.
    pub out_of_reach: bool,
    /// Its probe fails, has not passed in this run, and would fail the same after a restart.
    pub futile: bool,
    /// The restart of the spec that it is not given, since it was paused when that was due.
    pub missed_restart: Option<Time>,
    /// Docker itself is about to restart it.
    pub docker_restarts: bool,
    /// What its end means, if it has ended.
    pub ended: Ended,
    /// When it ended last.
    pub finished_at: Option<Time>,
    /// When its probe first passed in this run.
    pub first_ready_at: Option<Time>,
    /// Until when its failing probe does not count; absent where it counts, or passes.
    pub starts_until: Option<Time>,
    /// Since when its probe passes without a break.
    pub ready_since: Option<Time>,
    /// Since when its probe fails without a break; it may be that no probe has looked yet since this controller started.
    pub unhealthy_since: Option<Time>,
    /// Why it must not be stopped to be started again (while it runs), or cannot be started (while it does not).
    pub obstacle: Option<Refused>,
    /// The spec asks to restart it, whether or not that is possible.
    pub restart_asked: bool,
    /// How it stands to what is desired.
    pub standing: Standing,
    /// Why it is on its way out since an earlier pass, if the reason still holds.
    pub leaving: Option<Leaving>,
    /// Its row of the last status, if it had one.
    pub before: Option<InstanceStatus>,
}

impl Instance {
    /// Whether it is a replica of another revision than the workload's.
    pub fn is_outdated(&self) -> bool {
        self.standing == Standing::Outdated
    }

    /// Whether it is restarted where it is.
    pub(crate) fn is_restart_due(&self) -> bool {
        self.standing == Standing::RestartDue
    }

    pub fn is_ready(&self) -> bool {
        self.state == ContainerState::Running && self.health == Health::Healthy
    }

    /// Whether it lost its network for good: only one that is recreated has one.
    pub(crate) fn is_stranded(&self) -> bool {
        let reason = self.obstacle.as_ref().map(|refused| refused.reason);
        self.state == ContainerState::Running && reason == Some(CannotRestart::NetworkOwnerGone)
    }

    /// Whether it runs and nothing is known against it. Until the first probe after a restart of this controller nothing
    /// is known at all, and what served before still does.
    pub fn may_serve(&self) -> bool {
        self.state == ContainerState::Running
            && self.health != Health::Unhealthy
            && self.starts_until.is_none()
            && !self.out_of_reach
    }

    /// Whether a person, or a tool, stopped it, and it is to be left so.
    pub(crate) fn is_stopped_by_hand(&self) -> bool {
        self.ended == Ended::ByHand
    }

    /// Whether it has been ready for as long as the workload asks. What was before a restart of this controller still is
    /// until the first probe says otherwise.
    pub fn is_proven(&self, workload: &ValidatedWorkload) -> bool {
        let min_healthy = workload.spec.strategy.min_healthy.std();
        self.may_serve()
            && self
                .ready_since
                .is_some_and(|since| since.age(workload.now) >= min_healthy)
    }

    /// Whether this load balancer has drained it, after the last pass had it on its way out.
    pub fn is_released_by(&self, rotation: &Rotation) -> bool {
        let row = self.before.as_ref().filter(|row| row.draining);
        row.is_some_and(|row| rotation.has_released(&self.id, row.draining_since))
    }

    /// Whether the last pass had it on its way out.
    pub(crate) fn was_draining(&self) -> bool {
        self.before.as_ref().is_some_and(|row| row.draining)
    }
}

/// A Workload whose spec and world fit together.
#[derive(Debug, Clone)]
pub struct ValidatedWorkload {
    pub name: String,
    pub spec: WorkloadSpec,
    pub deleting: bool,
    pub generation: i64,
    pub source: ReplicaSource,
    /// The revision replicas should have; `None` while the source is missing.
    pub revision: Option<RevisionId>,
    pub image: Option<String>,
    /// The spec's revision, where it was rolled back and another one runs in its place.
    pub rejected: Option<RejectedRevision>,
    /// Whether two copies of one container can run side by side without harm.
    pub may_double: bool,
    pub instances: Vec<Instance>,
    /// The adopted container is gone, and somebody removed it.
    pub removed_by_hand: bool,
    /// Replicas that the engine is removing just now.
    pub vanishing: usize,
    pub taken_names: BTreeSet<String>,
    pub rotations: Vec<Rotation>,
    pub own_networks: BTreeSet<String>,
    pub dependencies: Vec<DependencyStatus>,
    /// What keeps the host from one more restart of something unhealthy.
    pub host: Option<HostRuling>,
    /// Why nothing of it is restarted by itself.
    pub no_restarts: Option<Hold>,
    pub network_owner: Option<NetworkOwner>,
    /// Why no replica may be removed to be replaced.
    pub irreplaceable: Option<Refused>,
    /// Containers that look like replicas and are none of ours.
    pub strangers: Vec<String>,
    /// An incident about restarts that were too many is open already.
    pub restarts_reported: bool,
    /// The restart in the spec is an incident's, that no human ordered.
    pub restart_is_automatic: bool,
    pub instance_id: String,
    pub before: WorkloadStatus,
    pub now: Time,
}

pub fn validate(workload: &Workload, observed: Observed) -> Result<ValidatedWorkload, Invalid> {
    let spec = &workload.spec;
    if let Some((reason, message)) = refusal(workload, &observed) {
        return Err(Invalid { reason, message });
    }
    let before = workload.status.clone().unwrap_or_default();
    let (source, rejected) = source(spec, observed.base.as_ref(), &before);
    let (revision, image) = match &source {
        ReplicaSource::Template(template) => (
            Some(template_revision(template)),
            Some(template.image.to_string()),
        ),
        ReplicaSource::Clone(base) => (Some(clone_revision(base)), Some(base.image.clone())),
        ReplicaSource::Missing => (None, None),
    };
    let instances = instances(workload, &observed, &before, revision.as_ref());
    Ok(ValidatedWorkload {
        name: workload.name().to_owned(),
        spec: spec.clone(),
        deleting: workload.is_deleting(),
        generation: workload.generation(),
        instances,
        removed_by_hand: matches!(source, ReplicaSource::Missing)
            && (observed.removed_by_hand || stopped_by_hand::was_removed(&before)),
        vanishing: observed.vanishing,
        taken_names: observed.taken_names,
        rotations: observed.rotations,
        own_networks: observed.own_networks,
        dependencies: observed.dependencies,
        no_restarts: observed.no_restarts,
        host: observed.host,
        network_owner: observed.network_owner,
        irreplaceable: irreplaceable(workload, image.as_deref(), observed.has_image),
        strangers: observed.strangers,
        restarts_reported: observed.restarts_reported,
        restart_is_automatic: observed.restart_is_automatic,
        instance_id: observed.instance,
        now: observed.now,
        may_double: spec.replicas > 1 || can_double(&source),
        source,
        revision,
        image,
        rejected,
        before,
    })
}

/// What replicas are made from, and which revision of the template is not taken since it was rejected.
fn source(
    spec: &WorkloadSpec,
    base: Option<&ContainerDetails>,
    before: &WorkloadStatus,
) -> (ReplicaSource, Option<RejectedRevision>) {
    match (&spec.template, base) {
        (Some(template), _) => {
            let (template, rejected) = template::to_run(template, before);
            (ReplicaSource::Template(Box::new(template.clone())), rejected)
        }
        (None, Some(base)) => (ReplicaSource::Clone(Box::new(base.clone())), None),
        (None, None) => (ReplicaSource::Missing, None),
    }
}

fn irreplaceable(workload: &Workload, image: Option<&str>, has_image: Option<bool>) -> Option<Refused> {
    let facts = HostFacts {
        has_image,
        ..HostFacts::default()
    };
    replaceable(&format!("workload {}", workload.name()), image?, &facts).err()
}

/// Whether a second container of this source does no harm to the first: both would write to one volume, or listen on one
/// port of the host.
fn can_double(source: &ReplicaSource) -> bool {
    let base = match source {
        ReplicaSource::Template(template) => return template.volumes.iter().all(|volume| volume.read_only),
        ReplicaSource::Missing => return false,
        ReplicaSource::Clone(base) => base,
    };
    let mounts = base.mounts.as_array().map_or(&[][..], Vec::as_slice);
    let writes = mounts.iter().any(|mount| {
        let is = |key: &str, value: &str| mount.get(key).and_then(|found| found.as_str()) == Some(value);
        !is("Type", "tmpfs") && mount.get("RW").and_then(serde_json::Value::as_bool) != Some(false)
    });
    !writes && !shares_network(base)
}

impl ValidatedWorkload {
    /// What the workload waits for before an unhealthy container of it is restarted.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let troubles = self.dependencies.iter().filter_map(|dependency| {
            let trouble = dependency.trouble.as_ref()?;
            Some(format!("{} ({trouble})", dependency.name))
        });
        let troubles: Vec<String> = troubles.collect();
        (!troubles.is_empty()).then(|| troubles.join(", "))
    }

    /// Whether an adopted container lost its network: its owner has restarted, and it has not.
    pub(crate) fn is_cut_off(&self, instance: &Instance) -> bool {
        let owner = self.network_owner.as_ref().and_then(|owner| owner.started_at);
        let runs = instance.index == 0 && instance.state == ContainerState::Running;
        runs && owner
            .zip(instance.started_at)
            .is_some_and(|(owner, started)| started < owner)
    }

    /// Whether some load balancer sends a container requests.
    pub(crate) fn is_in_rotation(&self, instance: &Instance) -> bool {
        let mut rotations = self.rotations.iter();
        rotations.any(|rotation| rotation.serving && rotation.servers.contains(&instance.id))
    }
}

/// Why the workload must not be touched as things stand.
fn refusal(workload: &Workload, observed: &Observed) -> Option<(Reason, String)> {
    if workload.is_deleting() {
        return None;
    }
    let container = workload.spec.container.as_ref()?;
    if let Some(owner) = &observed.adopted_by {
        return Some((
            Reason::AlreadyAdopted,
            format!("container {container} is adopted by workload {owner} already: delete one of the two"),
        ));
    }
    let base = observed.base.as_ref()?;
    if observed
        .own_container
        .as_ref()
        .is_some_and(|own| base.id.starts_with(own))
    {
        return Some((
            Reason::AdoptsItself,
            format!("container {container} is the one this controller runs in: it cannot restart itself"),
        ));
    }
    let owner = base.labels.get(LABEL_WORKLOAD)?;
    if !has_its_name(&base.name, &base.labels, owner) {
        // Its image brought the label: it was never made for anybody.
        return None;
    }
    Some((
        Reason::NotAdoptable,
        format!("container {container} was made for workload {owner}: name that workload instead"),
    ))
}

/// Which replica a container is, from its label; its name decides where the label is missing.
fn replica_index(container: &ContainerDetails, workload: &str) -> u32 {
    let label = container
        .labels
        .get(LABEL_REPLICA)
        .and_then(|label| label.parse().ok());
    let from_name = || {
        container
            .name
            .strip_prefix(&format!("{workload}-replica-"))
            .and_then(|index| index.parse().ok())
    };
    label
        .or_else(from_name)
        .filter(|index| *index > 0)
        .unwrap_or(u32::MAX)
}

/// All containers of the workload. `wanted`: the revision that they should have.
fn instances(
    workload: &Workload,
    observed: &Observed,
    before: &WorkloadStatus,
    wanted: Option<&RevisionId>,
) -> Vec<Instance> {
    let mut names = remembered(workload);
    names.retain(|id, _| !observed.containers.iter().any(|row| row.id == *id));
    let base = observed.base.iter().map(|base| (0, base));
    let replicas = observed
        .replicas
        .iter()
        .map(|replica| (replica_index(replica, workload.name()), replica));
    let all = base.chain(replicas);
    all.map(|(index, container)| instance(container, index, wanted, workload, observed, before, &names))
        .collect()
}

/// Long because it is one list: each field from what is seen of the container.
fn instance(
    container: &ContainerDetails,
    index: u32,
    wanted: Option<&RevisionId>,
    workload: &Workload,
    observed: &Observed,
    before: &WorkloadStatus,
    names: &BTreeMap<ContainerId, String>,
) -> Instance {
    let revision = match (index, wanted) {
        (0, Some(wanted)) => wanted.clone(),
        _ => {
            let label = container.labels.get(LABEL_REVISION);
            label.map(|label| label.as_str().into()).unwrap_or_default()
        }
    };
    let none = HostFacts::default();
    let host = HostState {
        containers: &observed.containers,
        facts: observed.host_facts.get(&container.id).unwrap_or(&none),
        names,
    };
    let obstacle = obstacle(container, host);
    let row = before.instances.iter().find(|row| row.id == container.id);
    let this_run = row.filter(|row| row.started_at == container.started_at);
    let asked = restart_asked(&workload.spec, container.started_at, observed.now);
    let missed = missed_restart(container, this_run, workload.spec.restarted_at.filter(|_| asked));
    let facts = Facts {
        restart_asked: asked && missed.is_none(),
        restart_possible: obstacle.is_none() || container.state != ContainerState::Running,
        is_outdated: index > 0 && wanted.is_some_and(|wanted| *wanted != revision),
    };
    let was_ready = this_run.and_then(|row| row.first_ready_at.or(row.ready_since));
    let view = match unreachable(container, host) {
        Some(refused) => health::View {
            health: Health::Unhealthy,
            message: refused.message,
            starts_until: None,
            out_of_reach: false,
            futile: false,
        },
        None => health::view(container, &workload.spec, observed, was_ready.is_some()),
    };
    let health = view.health;
    let ended = ended(container, index, row, observed);
    let addresses = container
        .networks
        .iter()
        .filter_map(|(network, ip)| Some((network.clone(), (*ip)?)));
    Instance {
        name: container.name.clone(),
        id: container.id.clone(),
        index,
        state: container.state,
        started_at: container.started_at,
        health,
        message: message(container, workload, ended, view.message),
        revision,
        probed_at: probed_at(container, workload, observed),
        addresses: addresses.collect(),
        out_of_reach: view.out_of_reach,
        futile: view.futile,
        missed_restart: missed,
        obstacle,
        ended,
        restart_asked: facts.restart_asked,
        standing: facts.standing(),
        leaving: facts.leaving(row),
        finished_at: container.finished_at,
        first_ready_at: was_ready.or((health == Health::Healthy).then_some(observed.now)),
        starts_until: view.starts_until,
        docker_restarts: container.state == ContainerState::Restarting,
        ready_since: ready_since(health, this_run, observed.now),
        unhealthy_since: unhealthy_since(container.state, health, this_run, observed.now),
        before: row.cloned(),
    }
}

/// A restart that is due while a container is paused is not given to it, also not once it goes on: the person who paused it
/// would not expect that any more.
fn missed_restart(
    container: &ContainerDetails,
    this_run: Option<&InstanceStatus>,
    due: Option<Time>,
) -> Option<Time> {
    let paused = container.state == ContainerState::Paused;
    let missed = this_run.and_then(|row| row.missed_restart);
    due.filter(|due| paused || missed == Some(*due))
}

/// Where it is probed: on its networks, or where the host is if it is on the host's.
fn probed_at(container: &ContainerDetails, workload: &Workload, observed: &Observed) -> Vec<IpAddr> {
    if is_on_host_network(container) {
        return observed.host_address.into_iter().collect();
    }
    let named = workload.spec.probe().and_then(|probe| probe.network.as_ref());
    let addresses = container.networks.iter();
    let addresses = addresses.filter_map(|(network, ip)| Some((network, (*ip)?)));
    addressing::candidates(addresses, &observed.own_networks, named.map(AsRef::as_ref))
}

/// Why it must not be stopped to be started again, or cannot be started.
fn obstacle(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    match container.state {
        ContainerState::Running | ContainerState::Paused => restartable(container, host).err(),
        _ => startable(container, host).err(),
    }
}

/// What its end means, if it has ended.
fn ended(
    container: &ContainerDetails,
    index: u32,
    row: Option<&InstanceStatus>,
    observed: &Observed,
) -> Ended {
    let known = ended::Known {
        last_end: observed.ends.get(&container.id).unwrap_or(&LastEnd::Unseen),
        heard_since: observed.heard_since,
        before: row,
        now: observed.now,
    };
    ended::judge(container, index == 0, known)
}

/// What is reported of its health, and how it is handed back where a person stopped it.
fn message(container: &ContainerDetails, workload: &Workload, ended: Ended, seen: String) -> String {
    match ended {
        Ended::ByHand => format!(
            "stopped by hand ({seen}): `docker start {}` or `aegisctl restart workload/{}` hands it back",
            container.name,
            workload.name()
        ),
        Ended::Open { .. } | Ended::Ours | Ended::Startable => seen,
    }
}

/// No client reaches a container whose network's owner has ended, whatever Docker's health check says inside it.
fn unreachable(container: &ContainerDetails, host: HostState<'_>) -> Option<Refused> {
    let lost = owners(container, host).filter(|_| container.state == ContainerState::Running)?;
    let network = [CannotRestart::NetworkOwnerGone, CannotRestart::NetworkOwnerDown];
    network.contains(&lost.reason).then_some(lost)
}

/// Since when a container is ready, by its row of this run; a new start resets it.
fn ready_since(health: Health, this_run: Option<&InstanceStatus>, now: Time) -> Option<Time> {
    let earlier = this_run.and_then(|row| row.ready_since);
    match health {
        Health::Healthy => Some(earlier.unwrap_or(now)),
        Health::Unknown => earlier,
        Health::Unhealthy => None,
    }
}

/// Since when a container is unhealthy, by its row of this run. Until the first probe after a restart of this controller
/// that is not forgotten: what was known when somebody resumed automation stays known.
fn unhealthy_since(
    state: ContainerState,
    health: Health,
    this_run: Option<&InstanceStatus>,
    now: Time,
) -> Option<Time> {
    if state == ContainerState::Paused {
        // A pause is no sickness: what is wrong once it goes on counts from then on.
        return None;
    }
    let earlier = this_run.and_then(|row| row.unhealthy_since);
    match health {
        Health::Unhealthy => Some(earlier.unwrap_or(now)),
        Health::Unknown => earlier,
        Health::Healthy => None,
    }
}
