//! Everything a LoadBalancer reconcile reads: nginx's container, what it serves now, its backends' containers, the
//! template. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::{ContainerId, Kind, LoadBalancer, Time, Workload};
use aegis_docker::{Engine, EngineResult};
use aegis_planning::load_balancer::REVISION_PATH;
use aegis_planning::load_balancer::observed::{Observed, Worker, candidates, file};
use aegis_planning::serving;

use super::on_disk::OnDisk;
use super::{Error, receipts};
use crate::context::Context;
use crate::reach;

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const WORKER: &str = "nginx: worker process";
const SHUTTING_DOWN: &str = "worker process is shutting down";
/// For a moment after a reload workers of the old configuration answer, too, and a kernel gives one connection after the
/// other to the worker that had the last: several at once reach several.
const ASK_AT_ONCE: usize = 4;
/// The word of an old worker is not taken for nginx's.
const ASK_AGAIN: u32 = 8;
const ASK_PAUSE: Duration = Duration::from_millis(20);

/// nginx's workers as the container's process titles tell.
pub(super) async fn workers(engine: &dyn Engine, id: &str) -> EngineResult<Vec<Worker>> {
    let rows = engine.processes(id).await?;
    let workers = rows.into_iter().filter(|row| row.command.contains(WORKER));
    Ok(workers
        .map(|row| Worker {
            pid: row.pid,
            shutting_down: row.command.contains(SHUTTING_DOWN),
        })
        .collect())
}

pub(super) async fn dereference(
    context: &Context,
    on_disk: &OnDisk,
    balancer: &LoadBalancer,
) -> Result<Observed, Error> {
    let name = balancer.name();
    let spec = &balancer.spec;
    let observe = |source| Error::Observe {
        balancer: name.to_owned(),
        source,
    };
    let container = context
        .engine
        .inspect(spec.container.as_str())
        .await
        .map_err(observe)?;
    let container = container.filter(|container| container.name == spec.container.as_str());
    let running = container
        .as_ref()
        .filter(|container| container.state == ContainerState::Running);
    let address = match running {
        Some(container) => reachable(context, container)
            .await
            .map_err(observe)?
            .map(|ip| SocketAddr::new(ip, spec.port)),
        None => None,
    };
    let proved = balancer
        .status
        .as_ref()
        .and_then(|status| status.revision.as_deref());
    let mut served = None;
    for attempt in 0..ASK_AGAIN {
        let Some(address) = address else { break };
        if attempt > 0 {
            tokio::time::sleep(ASK_PAUSE).await;
        }
        let mut answers = served_revisions(context, address).await;
        let known = answers.iter().position(|answer| answer.as_deref() == proved);
        served = answers.swap_remove(known.unwrap_or_default());
        if known.is_some() || proved.is_none() {
            break;
        }
    }
    let workloads = spec
        .backends
        .iter()
        .map(|backend| context.store.get::<Workload>(backend.workload.as_str()));
    let workloads: Vec<Option<Arc<Workload>>> = workloads.collect();
    let ids = candidates(balancer, workloads.iter().flatten());
    let endpoints = context.endpoints.look(&*context.engine, &ids).await;
    let endpoints = endpoints.map_err(observe)?;
    let file = file(balancer, container.as_ref(), &endpoints);
    let on_disk = match (&container, &file) {
        (Some(container), Some(file)) => {
            let path = spec.config_path.as_str();
            let same = on_disk.is(&*context.engine, name, &container.id, path, file);
            match same.await {
                // One that is on its way out, for example, shows its files no more.
                Err(_) if running.is_none() => true,
                looked => looked.map_err(observe)?,
            }
        }
        _ => true,
    };
    let draining = balancer
        .status
        .as_ref()
        .is_some_and(|status| !status.draining.is_empty());
    let workers = match running {
        Some(container) if draining => Some(workers(&*context.engine, &container.id).await.map_err(observe)?),
        _ => None,
    };
    let counted = receipts::count(context, balancer, running).await;
    Ok(Observed {
        counted,
        address,
        served,
        file,
        on_disk,
        endpoints,
        workers,
        workloads,
        dismissed: dismissed(context, balancer),
        template: template(context, balancer).await,
        now: context.clock.now(),
        container,
    })
}

/// Ids of containers that their workload marks as draining at this moment, and since when.
pub(super) fn marked(context: &Context, balancer: &LoadBalancer) -> BTreeMap<ContainerId, Option<Time>> {
    let backends = balancer.spec.backends.iter();
    let asked = backends.filter_map(|backend| context.store.get::<Workload>(backend.workload.as_str()));
    let all = asked.chain(dismissed(context, balancer));
    all.filter_map(|workload| workload.status.clone())
        .flat_map(|status| status.instances)
        .filter(|row| row.draining)
        .map(|row| (row.id, row.draining_since))
        .collect()
}

fn dismissed(context: &Context, balancer: &LoadBalancer) -> Vec<Arc<Workload>> {
    let served = balancer.status.iter().flat_map(|status| &status.servers);
    let names: BTreeSet<&str> = served.map(|server| server.workload.as_str()).collect();
    let names = names
        .into_iter()
        .filter(|workload| !serving::names(balancer, workload));
    names
        .filter_map(|name| context.store.get::<Workload>(name))
        .collect()
}

async fn template(context: &Context, balancer: &LoadBalancer) -> Result<String, Arc<std::io::Error>> {
    let path = context.settings.templates.join(balancer.spec.template.as_str());
    let shown = path.display().to_string();
    let read = aegis_runtime::offload::offload(move || std::fs::read_to_string(path));
    let read = read.await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map_err(|error| Arc::new(std::io::Error::new(error.kind(), format!("{shown}: {error}"))))
}

/// The revisions that nginx answers several requests at once with, each if it answers with one. There is at least one.
pub(super) async fn served_revisions(context: &Context, address: SocketAddr) -> Vec<Option<String>> {
    let ask = async || {
        let answer = context.engine.http_get(address, REVISION_PATH, ANSWER_WITHIN);
        let answer = answer.await.ok()?;
        (answer.status == 200).then(|| answer.body.trim().to_owned())
    };
    futures::future::join_all((0..ASK_AT_ONCE).map(|_| ask())).await
}

/// The container's address on a network that this controller shares, else on any.
async fn reachable(context: &Context, container: &ContainerDetails) -> EngineResult<Option<IpAddr>> {
    let own = reach::own_networks(context).await?;
    let addresses = container.networks.iter();
    Ok(aegis_planning::reach::address(
        addresses.filter_map(|(network, ip)| Some((network, (*ip)?))),
        &own,
    ))
}
