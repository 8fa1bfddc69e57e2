//! Everything a Workload reconcile reads: its containers, the load balancers that send them requests, the probes'
//! opinions. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aegis_api::lifecycle::LastEnd;
use aegis_api::meta::LABEL_REVISION;
use aegis_api::workload::DependencyStatus;
use aegis_api::{Kind, LoadBalancer, Time, Workload};
use aegis_docker::create::{claims, is_ours, template_revision};
use aegis_docker::observed::{ContainerDetails, ContainerState, ContainerSummary};
use aegis_docker::restart::{Known, Questions, questions};
use aegis_docker::{EngineError, ListFilter};
use futures::future::try_join_all;

use super::dependencies::{NetworkOwner, dependencies, network_owner};
use super::{Error, restart_limit, rollout};
use crate::context::Context;
use crate::hold::{self, Hold};
use crate::host_limit::{Asker, HostRuling, judge};
use crate::probe::Opinion;
use crate::turns;

/// The world as one Workload sees it.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    /// The container of `spec.container`, if there is one.
    pub base: Option<ContainerDetails>,
    /// Containers this controller made for the workload.
    pub replicas: Vec<ContainerDetails>,
    /// How many more of them the engine is removing just now.
    pub vanishing: usize,
    /// Names of all containers on the host: none of them may be taken twice.
    pub taken_names: BTreeSet<String>,
    /// The probes' opinions, by container id.
    pub opinions: HashMap<String, Opinion>,
    /// Load balancers that name the workload.
    pub rotations: Vec<Rotation>,
    /// Why nothing of it is restarted by itself.
    pub no_restarts: Option<Hold>,
    /// What keeps the host from one more restart of something sick.
    pub host: Option<HostRuling>,
    /// What the workload needs.
    pub dependencies: Vec<DependencyStatus>,
    /// The container whose network the adopted one shares.
    pub network_owner: Option<NetworkOwner>,
    /// Containers whose labels say that this controller made them for the workload, and whose names do not: run by
    /// somebody from an image that was committed from a replica, or renamed. They are nobody's.
    pub strangers: Vec<String>,
    /// All containers of the host.
    pub containers: Vec<ContainerSummary>,
    /// What a start of a container of the workload would meet, by container id.
    pub known: HashMap<String, Known>,
    /// Whether the image is there that replicas are to have; `None` where none is to be replaced.
    pub has_image: Option<bool>,
    /// Another Workload that adopts the same container and is older.
    pub adopted_by: Option<String>,
    /// Networks that this controller itself is on, if it runs in a container: those it can reach.
    pub own_networks: BTreeSet<String>,
    /// Id of the container this controller runs in.
    pub own_container: Option<String>,
    /// Id of this controller's state directory.
    pub instance: String,
    /// How containers' last runs ended, by id, where events told.
    pub ends: HashMap<String, LastEnd>,
    /// Since when events are heard without a break.
    pub heard_since: Option<Time>,
    /// An incident about restarts that were too many is open already.
    pub restarts_reported: bool,
    /// The restart that the spec asks for is an incident's, that no human ordered.
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
    pub servers: BTreeSet<String>,
    /// Ids it keeps since they are the last of their upstream.
    pub held: BTreeSet<String>,
    /// Ids it has let go of, and the mark of which pass that answers.
    pub released: BTreeMap<String, Option<Time>>,
    /// Its complaint, if it cannot do its work.
    pub trouble: Option<String>,
}

impl Rotation {
    /// Whether it gives no more requests to a container, marked as on its way out since then.
    pub(super) fn has_released(&self, id: &str, since: Option<Time>) -> bool {
        self.released.get(id) == Some(&since)
    }
}

pub(super) async fn dereference(context: &Context, workload: &Workload) -> Result<Observed, Error> {
    let name = workload.name();
    let observe = |source: EngineError| Error::Observe {
        workload: name.to_owned(),
        source,
    };
    let asked = context.clock.now();
    let all = context
        .engine
        .list(ListFilter::default())
        .await
        .map_err(observe)?;
    context.lifecycle.engine_answered(asked);
    let instance = context.store.instance_id();
    let (ours, others): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|row| is_ours(&row.name, &row.labels, name, instance));
    let strangers = others.iter().filter(|row| claims(&row.labels, name, instance));
    let mut strangers: Vec<String> = strangers.map(|row| row.name.clone()).collect();
    strangers.sort_unstable();
    // Asked about a container that it is removing, the engine answers only when that is done.
    let (vanishing, ours): (Vec<_>, Vec<_>) = ours
        .into_iter()
        .partition(|row| row.state == ContainerState::Removing);
    let details = try_join_all(ours.iter().map(|row| context.engine.inspect(&row.id)))
        .await
        .map_err(observe)?;
    // One that went between the list and its inspection has left its name, too.
    let mut replicas: Vec<ContainerDetails> = details.into_iter().flatten().collect();
    let taken_names = others.iter().chain(&vanishing).map(|row| &row.name);
    let taken_names = taken_names.chain(replicas.iter().map(|replica| &replica.name));
    let taken_names = taken_names.cloned().collect();
    replicas.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    let base = match &workload.spec.container {
        Some(container) => context
            .engine
            .inspect(container.as_str())
            .await
            .map_err(observe)?,
        None => None,
    };
    // An id prefix would match too: only the exact name is the one that was meant.
    let base = base.filter(|base| {
        workload
            .spec
            .container
            .as_ref()
            .is_some_and(|name| name.as_str() == base.name)
    });
    let owner = base.as_ref().and_then(|base| network_owner(base, &all));
    let inspected = match owner {
        Some(owner) => context.engine.inspect(&owner.id).await.map_err(observe)?,
        None => None,
    };
    let mut base = base;
    if let (Some(base), Some(owner)) = (&mut base, owner) {
        // It has no address of its own: it is reached where its network's owner is.
        base.networks.clone_from(&owner.networks);
    }
    let mut known = HashMap::new();
    for container in base.iter().chain(&replicas) {
        // The list of containers is there already.
        let asked = Questions {
            containers: false,
            ..questions(container)
        };
        if !asked.is_empty() {
            let answer = context.engine.look_around(&asked).await.map_err(observe)?;
            known.insert(container.id.clone(), answer);
        }
    }
    let has_image = has_image(context, workload, &replicas).await.map_err(observe)?;
    let opinions = base.iter().chain(&replicas).map(|container| {
        (
            container.id.clone(),
            context.prober.opinion(&container.id, container.started_at),
        )
    });
    let ends = base.iter().chain(&replicas).map(|container| {
        let end = context.lifecycle.last_end(&container.id);
        (container.id.clone(), end)
    });
    let running: BTreeMap<&str, bool> = all
        .iter()
        .map(|row| (row.name.as_str(), row.state == ContainerState::Running))
        .collect();
    let own = context.settings.own_container.as_deref();
    let own_networks = all
        .iter()
        .filter(|row| own.is_some_and(|own| row.id.starts_with(own)));
    let ids = base
        .iter()
        .chain(&replicas)
        .map(|container| container.id.as_str());
    let ids: BTreeSet<&str> = ids.collect();
    Ok(Observed {
        opinions: opinions.collect(),
        ends: ends.collect(),
        heard_since: context.lifecycle.up_since(),
        restarts_reported: restart_limit::is_reported(&context.store, name),
        restart_is_automatic: restart_limit::is_automatic(&context.store, workload),
        rotations: rotations(context, name, &ids, &running),
        no_restarts: hold::no_restarts(
            workload,
            context.store.automation().paused().as_ref(),
            context.clock.now(),
        ),
        host: host(context, workload),
        dependencies: dependencies(&context.store, workload, base.as_ref(), &all),
        network_owner: inspected.map(|owner| NetworkOwner {
            started_at: owner
                .started_at
                .filter(|_| owner.state == ContainerState::Running),
            name: owner.name,
        }),
        adopted_by: adopted_by(context, workload),
        own_networks: own_networks
            .flat_map(|row| row.networks.keys().cloned())
            .collect(),
        own_container: own.map(str::to_owned),
        taken_names,
        instance: instance.to_owned(),
        now: context.clock.now(),
        base,
        replicas,
        vanishing: vanishing.len(),
        strangers,
        known,
        has_image,
        containers: all,
    })
}

/// Whether the image of the template is there, where some replica has to be replaced by one of it.
async fn has_image(
    context: &Context,
    workload: &Workload,
    replicas: &[ContainerDetails],
) -> Result<Option<bool>, EngineError> {
    let Some(template) = &workload.spec.template else {
        return Ok(None);
    };
    let before = workload.status.clone().unwrap_or_default();
    let (template, _) = rollout::template(template, &before);
    let revision = template_revision(template);
    let mut labels = replicas.iter().map(|replica| replica.labels.get(LABEL_REVISION));
    if labels.all(|label| label == Some(&revision)) {
        return Ok(None);
    }
    let questions = Questions {
        image: Some(template.image.to_string()),
        ..Questions::default()
    };
    Ok(context.engine.look_around(&questions).await?.has_image)
}

/// Judged only where it matters: what ends is started again in any case.
fn host(context: &Context, workload: &Workload) -> Option<HostRuling> {
    workload.spec.restart.unhealthy_after?;
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let asker = Asker::for_sick(workload.name(), rows.map(|row| row.unhealthy_since));
    judge(
        &context.settings.limits,
        &turns::seen(context, asker),
        workload.name(),
    )
}

fn rotations(
    context: &Context,
    workload: &str,
    ids: &BTreeSet<&str>,
    running: &BTreeMap<&str, bool>,
) -> Vec<Rotation> {
    let balancers = context.store.list::<LoadBalancer>();
    let naming = balancers.iter().filter(|lb| {
        // One whose backends name it no more may still serve it.
        let asked = |lb: &LoadBalancer| {
            let mut backends = lb.spec.backends.iter();
            backends.any(|backend| backend.workload.as_str() == workload)
        };
        let uses = lb
            .status
            .as_ref()
            .is_some_and(|status| status.uses(workload, ids));
        // One that is being deleted lets go of what it serves, and takes up nothing more.
        uses || (asked(lb) && !lb.is_deleting())
    });
    naming
        .map(|lb| {
            let status = lb.status.clone().unwrap_or_default();
            let ready = aegis_api::condition::find(&status.conditions, "Ready");
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
fn adopted_by(context: &Context, workload: &Workload) -> Option<String> {
    let container = workload.spec.container.as_ref()?;
    let age = |workload: &Workload| {
        (
            workload.metadata.creation_timestamp.clone().map(|time| time.0),
            workload.name().to_owned(),
        )
    };
    let others = context.store.list::<Workload>();
    let rivals = others.iter().filter(|other| {
        other.name() != workload.name()
            && other.spec.container.as_ref() == Some(container)
            && age(other) < age(workload)
    });
    rivals.map(|rival| rival.name().to_owned()).next()
}
