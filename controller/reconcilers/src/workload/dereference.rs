//! Everything a Workload reconcile reads: its containers, the load balancers that send them requests, the probes'
//! opinions. Reads only.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aegis_api::create::{claims, is_ours, template_revision};
use aegis_api::meta::LABEL_REVISION;
use aegis_api::observed::{ContainerDetails, ContainerState, Questions};
use aegis_api::{Incident, Kind, Workload};
use aegis_docker::{EngineError, ListFilter};
use aegis_planning::hold;
use aegis_planning::host_limit::{Asker, HostRuling, judge};
use aegis_planning::restart::questions;
use aegis_planning::workload::dependencies::{dependencies, network_owner};
use aegis_planning::workload::observed::{NetworkOwner, Observed, adopted_by, rotations};
use aegis_planning::workload::{restart_limit, rollout};
use futures::future::try_join_all;

use super::Error;
use crate::context::Context;
use crate::turns;

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
    let incidents = context.store.list::<Incident>();
    let workloads = context.store.list::<Workload>();
    Ok(Observed {
        opinions: opinions.collect(),
        ends: ends.collect(),
        heard_since: context.lifecycle.up_since(),
        restarts_reported: restart_limit::is_reported(&incidents, name),
        restart_is_automatic: restart_limit::is_automatic(&incidents, workload),
        rotations: rotations(&context.store.list(), name, &ids, &running),
        no_restarts: hold::no_restarts(
            workload,
            context.store.automation().paused().as_ref(),
            context.clock.now(),
        ),
        host: host(context, workload),
        dependencies: dependencies(&workloads, workload, base.as_ref(), &all),
        network_owner: inspected.map(|owner| NetworkOwner {
            started_at: owner
                .started_at
                .filter(|_| owner.state == ContainerState::Running),
            name: owner.name,
        }),
        adopted_by: adopted_by(&workloads, workload),
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
    if labels.all(|label| label.is_some_and(|label| *label == revision)) {
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
