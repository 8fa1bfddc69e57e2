//! Everything a Workload reconcile reads: its containers, the load balancers that send them requests, the probes'
//! results. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use aegis_api::create::{claims, is_ours, template_revision};
use aegis_api::facets::key;
use aegis_api::meta::LABEL_REVISION;
use aegis_api::observed::{ContainerDetails, ContainerState, ContainerSummary, HostFacts, HostQuery};
use aegis_api::{ContainerId, Incident, Kind, Workload};
use aegis_docker::{EngineError, ListFilter};
use aegis_planning::hold;
use aegis_planning::host_limit::{Asker, HostRuling, judge};
use aegis_planning::probe::{self, is_on_host_network};
use aegis_planning::restart::host_query;
use aegis_planning::workload::dependencies::{dependencies, network_owner};
use aegis_planning::workload::observed::{NetworkOwner, Observed, adopted_by, rotations};
use aegis_planning::workload::{restart_limit, template};
use futures::future::try_join_all;

use crate::context::Context;
use crate::turns;

/// What the engine could not tell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Which containers there are, or what one of them is like.
    #[error("cannot observe the containers of workload {workload}")]
    Containers { workload: String, source: EngineError },
    /// What a start of one of them would meet.
    #[error("cannot observe what the containers of workload {workload} need")]
    HostFacts { workload: String, source: EngineError },
    /// Whether the image of the template is there.
    #[error("cannot observe the image of workload {workload}")]
    Image { workload: String, source: EngineError },
}

pub(super) async fn dereference(context: &Context, workload: &Workload) -> Result<Observed, Error> {
    let name = workload.name();
    let asked = context.clock.now();
    let (all, base) = tokio::try_join!(
        context.engine.list(ListFilter::default()),
        base(context, workload)
    )
    .map_err(|source| Error::Containers {
        workload: name.to_owned(),
        source,
    })?;
    context.lifecycle.engine_answered(asked);
    let instance = context.store.instance_id();
    let rows = Rows::sorted(&all, name, instance);
    let seen = inspect(context, workload, &all, &rows, base).await?;
    let mine: Vec<&ContainerDetails> = seen.base.iter().chain(&seen.replicas).collect();
    let probe_results = mine.iter().map(|container| {
        let result = context.prober.result(&container.id, container.started_at);
        (container.id.clone(), result)
    });
    let ends = mine.iter().map(|container| {
        let end = context.lifecycle.last_end(&container.id);
        (container.id.clone(), end)
    });
    let ids: BTreeSet<&str> = mine.iter().map(|container| container.id.as_str()).collect();
    let incidents = context.store.find::<Incident>(&key::workload(name));
    let workloads = context.store.list::<Workload>();
    Ok(Observed {
        probe_results: probe_results.collect(),
        ends: ends.collect(),
        heard_since: context.lifecycle.up_since(),
        restarts_reported: restart_limit::is_reported(&incidents, name),
        restart_is_automatic: restart_limit::is_automatic(&incidents, workload),
        rotations: rotations(&context.store.list(), name, &ids, &running(&all)),
        no_restarts: hold::no_restarts(
            workload,
            context.store.automation().paused().as_ref(),
            &context.store.list(),
            context.clock.now(),
        ),
        host: host(context, workload),
        dependencies: dependencies(&workloads, workload, seen.base.as_ref(), &all),
        network_owner: seen.network_owner,
        adopted_by: adopted_by(&workloads, workload),
        host_address: seen.host_address,
        own_networks: own_networks(context, &all),
        own_container: context.settings.own_container.clone(),
        taken_names: rows.taken_names(&seen.replicas),
        instance: instance.to_owned(),
        now: context.clock.now(),
        removed_by_hand: removed_by_hand(context, workload),
        vanishing: rows.vanishing.len(),
        strangers: rows.strangers(name, instance),
        base: seen.base,
        replicas: seen.replicas,
        host_facts: seen.host_facts,
        has_image: seen.has_image,
        containers: all,
    })
}

/// What the engine shows of a Workload's containers one by one. See [`Observed`] for each.
struct Seen {
    base: Option<ContainerDetails>,
    replicas: Vec<ContainerDetails>,
    network_owner: Option<NetworkOwner>,
    host_facts: HashMap<ContainerId, HostFacts>,
    has_image: Option<bool>,
    host_address: Option<IpAddr>,
}

async fn inspect(
    context: &Context,
    workload: &Workload,
    all: &[ContainerSummary],
    rows: &Rows<'_>,
    mut base: Option<ContainerDetails>,
) -> Result<Seen, Error> {
    let name = || workload.name().to_owned();
    let failed = |source| Error::Containers {
        workload: name(),
        source,
    };
    let replicas = replicas(context, &rows.ours).await.map_err(failed)?;
    let owner = base.as_ref().and_then(|base| network_owner(base, all));
    let inspected = match owner {
        Some(owner) => context.engine.inspect(&owner.id).await.map_err(failed)?,
        None => None,
    };
    if let (Some(base), Some(owner)) = (&mut base, owner) {
        // It has no address of its own: it is reached where its network's owner is.
        base.networks.clone_from(&owner.networks);
    }
    let mine: Vec<&ContainerDetails> = base.iter().chain(&replicas).collect();
    let host_address = host_address(context, &mine).await.map_err(failed)?;
    let host_facts = host_facts(context, &mine).await;
    let host_facts = host_facts.map_err(|source| Error::HostFacts {
        workload: name(),
        source,
    })?;
    let has_image = has_image(context, workload, &replicas).await;
    let has_image = has_image.map_err(|source| Error::Image {
        workload: name(),
        source,
    })?;
    Ok(Seen {
        base,
        replicas,
        network_owner: inspected.map(as_owner),
        host_facts,
        has_image,
        host_address,
    })
}

/// Where the host is, if any of these containers is on its network.
async fn host_address(context: &Context, mine: &[&ContainerDetails]) -> Result<Option<IpAddr>, EngineError> {
    if !mine.iter().any(|container| is_on_host_network(container)) {
        return Ok(None);
    }
    let own = match context.settings.own_container.as_deref() {
        Some(own) => context.engine.inspect(own).await?,
        None => None,
    };
    Ok(probe::host_address(own.as_ref()))
}

/// The containers of the host as they stand to one Workload.
struct Rows<'a> {
    /// Replicas of it.
    ours: Vec<&'a ContainerSummary>,
    /// Replicas of it that the engine is removing. Asked about one of these, it answers only when that is done.
    vanishing: Vec<&'a ContainerSummary>,
    others: Vec<&'a ContainerSummary>,
}

impl<'a> Rows<'a> {
    fn sorted(all: &'a [ContainerSummary], workload: &str, instance: &str) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|row| is_ours(&row.name, &row.labels, workload, instance));
        let (vanishing, ours) = ours
            .into_iter()
            .partition(|row| row.state == ContainerState::Removing);
        Self {
            ours,
            vanishing,
            others,
        }
    }

    /// See [`Observed::strangers`].
    fn strangers(&self, workload: &str, instance: &str) -> Vec<String> {
        let strangers = self.others.iter();
        let strangers = strangers.filter(|row| claims(&row.labels, workload, instance));
        let mut strangers: Vec<String> = strangers.map(|row| row.name.clone()).collect();
        strangers.sort_unstable();
        strangers
    }

    /// See [`Observed::taken_names`]. A replica that went between the list and its inspection has left its name, too.
    fn taken_names(&self, replicas: &[ContainerDetails]) -> BTreeSet<String> {
        let taken = self.others.iter().chain(&self.vanishing).map(|row| &row.name);
        let taken = taken.chain(replicas.iter().map(|replica| &replica.name));
        taken.cloned().collect()
    }
}

/// What these replicas are like that are still there, by name.
async fn replicas(
    context: &Context,
    rows: &[&ContainerSummary],
) -> Result<Vec<ContainerDetails>, EngineError> {
    let details = try_join_all(rows.iter().map(|row| context.engine.inspect(&row.id))).await?;
    let mut replicas: Vec<ContainerDetails> = details.into_iter().flatten().collect();
    replicas.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(replicas)
}

/// The container that the workload adopts, if it does and there is one.
async fn base(context: &Context, workload: &Workload) -> Result<Option<ContainerDetails>, EngineError> {
    let Some(name) = &workload.spec.container else {
        return Ok(None);
    };
    let found = context.engine.inspect(name.as_str()).await?;
    // An id prefix would match too: only the exact name is the one that was meant.
    Ok(found.filter(|found| found.name == name.as_str()))
}

/// What a start of these would meet, by id.
async fn host_facts(
    context: &Context,
    containers: &[&ContainerDetails],
) -> Result<HashMap<ContainerId, HostFacts>, EngineError> {
    let mut facts = HashMap::new();
    for container in containers {
        // The list of containers is there already.
        let query = HostQuery {
            containers: false,
            ..host_query(container)
        };
        if !query.is_empty() {
            let answer = context.engine.host_facts(&query).await?;
            facts.insert(container.id.clone(), answer);
        }
    }
    Ok(facts)
}

/// Whether somebody removed the container that the workload adopts.
fn removed_by_hand(context: &Context, workload: &Workload) -> bool {
    let name = workload.spec.container.as_ref();
    name.is_some_and(|name| context.lifecycle.is_removed_by_hand(name.as_str()))
}

/// Which containers run, by name.
fn running(all: &[ContainerSummary]) -> BTreeMap<&str, bool> {
    let rows = all.iter();
    rows.map(|row| (row.name.as_str(), row.state == ContainerState::Running))
        .collect()
}

fn as_owner(container: ContainerDetails) -> NetworkOwner {
    let runs = container.state == ContainerState::Running;
    NetworkOwner {
        started_at: container.started_at.filter(|_| runs),
        name: container.name,
    }
}

/// The networks of the container that this controller runs in, if it runs in one.
fn own_networks(context: &Context, all: &[ContainerSummary]) -> BTreeSet<String> {
    let own = context.settings.own_container.as_deref();
    let own = all
        .iter()
        .filter(|row| own.is_some_and(|own| row.id.starts_with(own)));
    own.flat_map(|row| row.networks.keys().cloned()).collect()
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
    let (template, _) = template::to_run(template, &before);
    let revision = template_revision(template);
    let mut labels = replicas.iter().map(|replica| replica.labels.get(LABEL_REVISION));
    if labels.all(|label| label.is_some_and(|label| *label == revision)) {
        return Ok(None);
    }
    let query = HostQuery {
        image: Some(template.image.to_string()),
        ..HostQuery::default()
    };
    Ok(context.engine.host_facts(&query).await?.has_image)
}

/// Judged only where it matters: what ends is started again in any case.
fn host(context: &Context, workload: &Workload) -> Option<HostRuling> {
    workload.spec.restart.unhealthy_after?;
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let asker = Asker::for_unhealthy(workload.name(), rows.map(|row| row.unhealthy_since));
    judge(
        &context.settings.limits,
        &turns::seen(context, asker),
        workload.name(),
    )
}
