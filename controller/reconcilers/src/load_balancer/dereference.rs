//! Everything a LoadBalancer reconcile reads: nginx's container, what it serves now, its backends' containers, the
//! template. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::{ContainerId, Kind, LoadBalancer, LoadBalancerSpec, LoadBalancerStatus, Time, Workload};
use aegis_docker::EngineError;
use aegis_planning::load_balancer::home;
use aegis_planning::load_balancer::observed::{NginxBuild, Observed, candidates, claimed_by, file, taken};
use aegis_planning::load_balancer::receipts::grace;
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::serving;

use super::installed_config::InstalledConfig;
use super::memory::Memory;
use super::nginx::{self, Nginx};
use super::receipts;
use crate::addressing;
use crate::context::Context;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// nginx's container.
    #[error("cannot observe the container of load balancer {balancer}")]
    Container { balancer: String, source: EngineError },
    /// The containers that are served, or could be.
    #[error("cannot observe the servers of load balancer {balancer}")]
    Servers { balancer: String, source: EngineError },
    /// The container that the spec names runs something else.
    #[error("container {container} of load balancer {balancer} does not run nginx")]
    NotNginx { balancer: String, container: String },
    /// What is in nginx's container.
    #[error(transparent)]
    Nginx(#[from] nginx::Error),
}

pub(super) async fn dereference(
    context: &Context,
    memory: &Memory,
    balancer: &LoadBalancer,
) -> Result<Observed, Error> {
    let spec = &balancer.spec;
    let status = balancer.status.as_ref();
    let failed = |source| Error::Container {
        balancer: balancer.name().to_owned(),
        source,
    };
    let container = context.engine.inspect(spec.container.as_str()).await;
    let container = container.map_err(failed)?;
    let container = container.filter(|container| container.name == spec.container.as_str());
    let nginx = container
        .as_ref()
        .map(|container| Nginx::new(&*context.engine, balancer.name(), spec, status, &container.id));
    let running = container
        .as_ref()
        .filter(|container| container.state == ContainerState::Running);
    if let (Some(nginx), Some(container)) = (&nginx, running) {
        see_nginx(memory, nginx, container).await?;
    }
    let address = match running {
        Some(container) => {
            let own = addressing::own_networks(context).await.map_err(failed)?;
            addressing::reachable(container, &own, spec.port)
                .or_else(|| on_the_host(context, container, &own, spec.port))
        }
        None => None,
    };
    let proved = status.and_then(|status| status.revision.as_deref());
    let served = match (&nginx, address) {
        (Some(nginx), Some(address)) => nginx.served(address, proved).await,
        _ => None,
    };
    let unproved_tcp =
        |status: &LoadBalancerStatus| status.stream_config_path.is_some() && status.stream_config.is_none();
    let leftover = match (&nginx, running) {
        (Some(nginx), Some(_)) if proved.is_none() => nginx.may_have_ours().await,
        (Some(nginx), Some(_)) if status.is_some_and(unproved_tcp) => nginx.may_have_tcp().await,
        _ => false,
    };
    let workloads = workloads(context, balancer);
    let ids = candidates(balancer, workloads.iter().flatten());
    let endpoints = context.endpoints.inspect(&*context.engine, &ids).await;
    let endpoints = endpoints.map_err(|source| Error::Servers {
        balancer: balancer.name().to_owned(),
        source,
    })?;
    let file = file(balancer, container.as_ref(), &endpoints);
    let installed = installed(memory, nginx.as_ref(), running.is_some(), file.as_ref()).await?;
    let nginx = nginx.as_ref().filter(|_| running.is_some());
    let template = read_template(context, spec.template.as_str()).await;
    let stream_template = match spec.has_tcp() {
        true => Some(read_template(context, spec.stream_template()).await),
        false => None,
    };
    let build = build(memory, nginx, spec, template.as_deref().ok()).await;
    let draining = status.is_some_and(|status| !status.draining.is_empty());
    let workers = match nginx.filter(|_| draining) {
        Some(nginx) => Some(nginx.workers().await?),
        None => None,
    };
    let grace = grace(workloads.iter().flatten());
    let counted = receipts::count(context, balancer, grace, nginx).await;
    let all = context.store.list::<LoadBalancer>();
    Ok(Observed {
        counted,
        address,
        served,
        leftover,
        file,
        installed,
        endpoints,
        workers,
        workloads,
        removed_backends: removed_backends(context, balancer),
        template,
        stream_template,
        nginx: build,
        claimed_by: claimed_by(balancer, &all),
        taken: taken(balancer, &all),
        now: context.clock.now(),
        container,
    })
}

/// Where an nginx on the host's network answers: this host, unless this controller is in a network of containers.
fn on_the_host(
    context: &Context,
    container: &ContainerDetails,
    own: &BTreeSet<String>,
    port: u16,
) -> Option<SocketAddr> {
    let is_here = context.settings.own_container.is_none() || own.contains(home::HOST);
    let is_on_host = container.networks.contains_key(home::HOST);
    (is_here && is_on_host).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Before anything is written to a container or run in it: nginx is seen to run there. Once in the life of a controller, a
/// container and its run.
async fn see_nginx(memory: &Memory, nginx: &Nginx<'_>, container: &ContainerDetails) -> Result<(), Error> {
    let run = Some((nginx.container().to_owned(), container.started_at));
    if memory.with(nginx.balancer(), |known| known.seen == run) {
        return Ok(());
    }
    let Some(globals) = nginx.running().await? else {
        return Err(Error::NotNginx {
            balancer: nginx.balancer().to_owned(),
            container: container.name.clone(),
        });
    };
    memory.with(nginx.balancer(), |known| {
        (known.seen, known.globals) = (run, globals);
    });
    Ok(())
}

/// Whether this file lies where nginx reads it; so where there is none that should, or no nginx.
async fn installed(
    memory: &Memory,
    nginx: Option<&Nginx<'_>>,
    running: bool,
    file: Option<&Rendered>,
) -> Result<bool, nginx::Error> {
    let (Some(nginx), Some(file)) = (nginx, file) else {
        return Ok(true);
    };
    match is_installed(memory, nginx, file).await {
        // One that is on its way out, for example, shows its files no more.
        Err(_) if !running => Ok(true),
        looked => looked,
    }
}

/// Whether nginx has this file; read once in the life of a controller, and again after something went wrong.
pub(super) async fn is_installed(
    memory: &Memory,
    nginx: &Nginx<'_>,
    file: &Rendered,
) -> Result<bool, nginx::Error> {
    let wanted = InstalledConfig::new(nginx, &file.revision);
    if memory.with(nginx.balancer(), |known| {
        known.installed.as_ref() == Some(&wanted)
    }) {
        return Ok(true);
    }
    let same = nginx.has(file).await?;
    if same {
        memory.with(nginx.balancer(), |known| known.installed = Some(wanted));
    }
    Ok(same)
}

/// What nginx says of itself; run once in the life of a controller and a container, where the template depends on it.
/// `None` where that is not known.
async fn build(
    memory: &Memory,
    nginx: Option<&Nginx<'_>>,
    spec: &LoadBalancerSpec,
    template: Option<&str>,
) -> Option<NginxBuild> {
    let nginx = nginx.filter(|_| template.is_some_and(|text| NginxBuild::matters_to(spec, text)))?;
    let known = memory.with(nginx.balancer(), |known| known.build.clone());
    if let Some((container, build)) = known
        && container == nginx.container()
    {
        return Some(build);
    }
    let build = NginxBuild::parse(&nginx.version().await.ok()?);
    memory.with(nginx.balancer(), |known| {
        known.build = Some((nginx.container().to_owned(), build));
    });
    Some(build)
}

/// Ids of containers that their workload marks as draining at this moment, and since when.
pub(super) fn marked(context: &Context, balancer: &LoadBalancer) -> BTreeMap<ContainerId, Option<Time>> {
    let backends = balancer.spec.backends.iter();
    let asked = backends.filter_map(|backend| context.store.get::<Workload>(backend.workload.as_str()));
    let all = asked.chain(removed_backends(context, balancer));
    all.filter_map(|workload| workload.status.clone())
        .flat_map(|status| status.instances)
        .filter(|row| row.draining)
        .map(|row| (row.id, row.draining_since))
        .collect()
}

/// See [`Observed::workloads`].
fn workloads(context: &Context, balancer: &LoadBalancer) -> Vec<Option<Arc<Workload>>> {
    let backends = balancer.spec.backends.iter();
    backends
        .map(|backend| context.store.get::<Workload>(backend.workload.as_str()))
        .collect()
}

/// See [`Observed::removed_backends`].
fn removed_backends(context: &Context, balancer: &LoadBalancer) -> Vec<Arc<Workload>> {
    let served = balancer.status.iter().flat_map(|status| &status.servers);
    let names: BTreeSet<&str> = served.map(|server| server.workload.as_str()).collect();
    let names = names
        .into_iter()
        .filter(|workload| !serving::names(balancer, workload));
    names
        .filter_map(|name| context.store.get::<Workload>(name))
        .collect()
}

async fn read_template(context: &Context, name: &str) -> Result<String, Arc<std::io::Error>> {
    let path = context.settings.templates.join(name);
    let shown = path.display().to_string();
    let read = aegis_runtime::offload::offload(move || std::fs::read_to_string(path));
    let read = read.await;
    let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    read.map_err(|error| Arc::new(std::io::Error::new(error.kind(), format!("{shown}: {error}"))))
}
