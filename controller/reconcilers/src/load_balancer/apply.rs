//! The only place that changes nginx: stage, check, write, load, prove; and put the last good file back otherwise.

use aegis_api::load_balancer::Reload;
use aegis_api::{Kind, LoadBalancer, Time};
use aegis_docker::Session;
use aegis_planning::load_balancer::membership::{
    only_availability_differs, only_servers_differ, only_tcp_servers_differ,
};
use aegis_planning::load_balancer::observed::Observed;
use aegis_planning::load_balancer::plan::{Prepared, Step};
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::status::Applied;
use aegis_planning::load_balancer::validate::ValidatedLoadBalancer;
use aegis_planning::load_balancer::withdrawal::Withdrawal;

use super::installed_config::InstalledConfig;
use super::memory::Memory;
use super::nginx::{self, Checked, FastReload, Nginx, Proof};
use super::standby::{Place, Standby};
use super::status;
use crate::context::Context;
use crate::fault;

/// Which configuration nginx could not be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The new one. The last good one stays.
    #[error("revision {revision} cannot be brought to nginx")]
    Configure { revision: String, source: nginx::Error },
    /// The last good one, after the new one had failed.
    #[error("last good revision {revision} cannot be put back")]
    PutBack { revision: String, source: nginx::Error },
    /// That there is a file of TCP backends could not be noted before it is written.
    #[error(transparent)]
    Note(#[from] status::Error),
    /// The file of TCP backends, which is to have fewer or none.
    #[error("TCP backends cannot be taken out of {path}")]
    Withdraw { path: String, source: nginx::Error },
    /// The last good one, which an nginx that does not run should find.
    #[error("last good revision {revision} cannot be put where nginx starts with it")]
    Restore { revision: String, source: nginx::Error },
}

impl Error {
    /// What nginx failed at.
    pub(super) fn cause(&self) -> Option<&nginx::Error> {
        match self {
            Self::Configure { source, .. }
            | Self::PutBack { source, .. }
            | Self::Withdraw { source, .. }
            | Self::Restore { source, .. } => Some(source),
            Self::Note(_) => None,
        }
    }

    /// Whether nginx was given nothing that it could have loaded.
    pub(super) fn left_nginx_alone(&self) -> bool {
        match self {
            Self::Configure { source, .. } => match source {
                nginx::Error::Refused { .. } | nginx::Error::Misfit { .. } => true,
                nginx::Error::Engine { .. } | nginx::Error::Unproved { .. } => false,
            },
            Self::Note(_) => true,
            Self::PutBack { .. } | Self::Withdraw { .. } | Self::Restore { .. } => false,
        }
    }
}

/// A configuration that nginx accepts and that lies in its place.
struct Accepted {
    /// What `nginx -t` said of it, and of other servers.
    check: Checked,
    /// When nginx was signalled to load it; `None` if that is still to be done.
    reloaded_at: Option<Time>,
}

pub(super) async fn apply(
    context: &Context,
    memory: &Memory,
    balancer: &ValidatedLoadBalancer,
    plan: Prepared,
) -> Result<Applied, Error> {
    let mut plan = plan;
    let reload = match plan.step.clone() {
        Step::Nothing => None,
        Step::Configure(rendered) => {
            let (reload, workers) = configure(context, memory, balancer, &rendered, &plan).await?;
            if let Some(drain) = &mut plan.leaving {
                drain.workers = workers;
                // Until it was proved, a worker of before may have given them one more.
                drain.since = reload.proved_at;
                drain.deadline = reload.proved_at.plus(balancer.spec.drain_timeout);
            }
            Some(reload)
        }
    };
    Ok(Applied { plan, reload })
}

/// Puts the file back that should lie there where a step that was cut short left another, or where servers have gone that it
/// names, before an nginx that does not run is started with it.
pub(super) async fn restore(
    context: &Context,
    memory: &Memory,
    balancer: &LoadBalancer,
    observed: &Observed,
) -> Result<(), Error> {
    let Some((container, file)) = observed.to_restore(balancer) else {
        return Ok(());
    };
    let nginx = Nginx::new(
        &*context.engine,
        balancer.name(),
        &balancer.spec,
        balancer.status.as_ref(),
        &container.id,
    );
    let put = nginx.restore(file).await;
    put.map_err(|source| Error::Restore {
        revision: file.revision.clone(),
        source,
    })?;
    let installed = InstalledConfig::new(&nginx, &file.revision);
    memory.with(balancer.name(), |known| known.installed = Some(installed));
    Ok(())
}

/// Takes TCP backends out of the file that has them, where the one of requests is not this load balancer's to write: both go live
/// together otherwise. Answers what is to be said of it; `None` where nothing is new.
pub(super) async fn withdraw_tcp(
    context: &Context,
    memory: &Memory,
    balancer: &LoadBalancer,
    observed: &Observed,
    withdrawal: &Withdrawal,
) -> Result<Option<Applied>, Error> {
    let (Some(container), Some(status)) = (&observed.container, &balancer.status) else {
        return Ok(None);
    };
    let nginx = Nginx::new(
        &*context.engine,
        balancer.name(),
        &balancer.spec,
        Some(status),
        &container.id,
    )
    .with_globals(memory.with(balancer.name(), |known| known.globals.clone()));
    let proved = memory.with(balancer.name(), |known| known.withdrawn.take());
    let proved = proved
        .filter(|(id, _)| id == nginx.container())
        .map(|(_, text)| text);
    let (runs, texts) = (observed.runs(), &withdrawal.texts);
    let revision = status.revision.as_deref().unwrap_or_default();
    let withdrawn = nginx.withdraw_tcp(runs, texts, proved.as_deref(), revision);
    let text = withdrawn.await.map_err(|source| Error::Withdraw {
        path: nginx.stream_path().to_owned(),
        source,
    })?;
    if runs {
        let proved = Some((nginx.container().to_owned(), text.to_owned()));
        memory.with(balancer.name(), |known| known.withdrawn = proved);
    }
    Ok(withdrawal.applied(status, text))
}

async fn configure(
    context: &Context,
    memory: &Memory,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
    plan: &Prepared,
) -> Result<(Reload, Vec<i64>), Error> {
    let nginx = Nginx::new(
        &*context.engine,
        &balancer.name,
        &balancer.spec,
        Some(&balancer.before),
        &balancer.container.id,
    )
    .with_globals(memory.with(&balancer.name, |known| known.globals.clone()));
    let failed = |source| Error::Configure {
        revision: rendered.revision.clone(),
        source,
    };
    memory.with(&balancer.name, |known| {
        (known.installed, known.withdrawn) = (None, None);
    });
    let without_tcp = Rendered {
        stream: None,
        ..rendered.clone()
    };
    let rendered = match nginx.see_stream_file(rendered).await {
        // What contains strays leaves a file of somebody else as it is, and goes on with the rest.
        Err(nginx::Error::Misfit { .. }) if contains(balancer, rendered) => &without_tcp,
        seen => seen.map(|()| rendered).map_err(failed)?,
    };
    // nginx answers with this revision already: that it reads the file of TCP backends again is to be seen at its workers.
    let repairs = rendered.stream.is_some() && balancer.served.as_ref() == Some(&rendered.revision);
    // Else who serves now matters only to a drain: it ends when all of them are gone.
    let before = match repairs || plan.leaving.is_some() {
        true => nginx.workers().await.map_err(failed)?,
        false => Vec::new(),
    };
    let adjusts = adjusts(balancer, rendered);
    let proof = match adjusts && plan.only_joins(&balancer.before.servers) {
        true => Proof::Anybody,
        false => Proof::Everybody,
    };
    let accepted = match adjusts {
        true => adjust(context, memory, &nginx, balancer, rendered).await,
        false => {
            let staged = stage(&nginx, balancer, rendered).await.map_err(failed)?;
            if rendered.listening().is_some() && balancer.before.stream_config_path.is_none() {
                status::note_stream(context, &balancer.name, nginx.stream_path()).await?;
            }
            replace(&nginx, balancer, rendered, staged).await
        }
    };
    let Accepted { check, reloaded_at } = accepted.map_err(failed)?;
    let at = reloaded_at.unwrap_or_else(|| context.clock.now());
    let loaded = async {
        if reloaded_at.is_none() {
            fault::point("balancer/before-reload");
            nginx.reload().await?;
        }
        nginx.prove(balancer.address, &rendered.revision, proof).await?;
        match repairs {
            true => nginx.prove_workers(&rendered.revision, &before).await,
            false => Ok(()),
        }
    };
    if let Err(error) = loaded.await {
        // Before it is loaded again.
        let error = nginx.with_unbound_port(error, at).await;
        put_back(&nginx, balancer, rendered).await?;
        return Err(failed(error));
    }
    let proved_at = context.clock.now();
    let installed = InstalledConfig::new(&nginx, &rendered.revision);
    memory.with(&balancer.name, |known| known.installed = Some(installed));
    let reload = Reload {
        revision: rendered.revision.clone(),
        at,
        proved_at,
        check: check.said,
        shadowed: check.shadowed,
        shutdown_timeout: check.shutdown_timeout,
    };
    Ok((reload, before.into_iter().map(|worker| worker.pid).collect()))
}

/// Whether this is nothing but the last good configuration without servers that are none any more.
fn contains(balancer: &ValidatedLoadBalancer, rendered: &Rendered) -> bool {
    !balancer.strays.is_empty() && balancer.good.as_ref() == Some(rendered)
}

/// Whether nginx has and serves our last configuration and the new one differs from it in servers alone, or in which upstreams have any.
fn adjusts(balancer: &ValidatedLoadBalancer, rendered: &Rendered) -> bool {
    let (Some(config), Some(revision)) = (&balancer.before.config, &balancer.before.revision) else {
        return false;
    };
    let before = (config.as_str(), revision.as_str());
    let after = (rendered.text.as_str(), rendered.revision.as_str());
    let same_spec = balancer.before.observed_generation == Some(balancer.generation);
    let template = balancer.template.as_deref().unwrap_or_default();
    let tcp_template = balancer
        .stream_template
        .as_ref()
        .and_then(|read| read.as_deref().ok());
    balancer.installed
        && balancer.served.as_ref() == Some(revision)
        && only_tcp_servers_differ(
            tcp_template.unwrap_or_default(),
            balancer.before.stream_config.as_deref(),
            rendered.stream.as_deref(),
        )
        && (only_servers_differ(before, after)
            || (same_spec && only_availability_differs(template, before, after)))
}

/// Writes the file and lets nginx judge it in its place, in one command where that can be done; the last good one is put
/// back if it refuses.
async fn adjust(
    context: &Context,
    memory: &Memory,
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<Accepted, nginx::Error> {
    let started = context.clock.now();
    // What the command puts back if nginx refuses is what lies there now: the last good one. It brings one file.
    let reloaded = match rendered.stream == balancer.before.stream_config {
        true => fast_reload(memory, nginx, balancer, &rendered.text).await?,
        false => None,
    };
    let (check, reloaded_at) = match reloaded {
        Some(FastReload::Reloaded(check)) => (check, Some(started)),
        Some(FastReload::NotReloaded(check)) => (check, None),
        Some(FastReload::Untouched | FastReload::Ended(_)) | None => {
            (write_and_test(nginx, balancer, rendered).await?, None)
        }
    };
    let before = balancer.before.last_reload.as_ref();
    let check = Checked {
        said: check,
        shadowed: before.and_then(|reload| reload.shadowed.clone()),
        shutdown_timeout: before.and_then(|reload| reload.shutdown_timeout.clone()),
    };
    Ok(Accepted { check, reloaded_at })
}

/// Tries a container that is not known to need the steps one by one: by the command of the last time, and where that has
/// ended, by another. `None` where it was not tried.
async fn fast_reload(
    memory: &Memory,
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    text: &str,
) -> Result<Option<FastReload>, nginx::Error> {
    let needs_steps = |container: &Option<String>| container.as_deref() == Some(nginx.container());
    if memory.with(nginx.balancer(), |known| needs_steps(&known.needs_steps)) {
        return Ok(None);
    }
    let place = nginx.place(balancer.container.started_at);
    let standby = memory.with(nginx.balancer(), |known| known.standby.take());
    if let Some(command) = standby.and_then(|standby| standby.at(&place)) {
        match ask(memory, nginx, &place, command, text).await? {
            FastReload::Untouched => {}
            // Killed at work, it may have left the text behind: the steps put the last good one back if nginx refuses it.
            reloaded => return Ok(Some(reloaded)),
        }
    }
    let command = nginx.open_reloads().await?;
    let reloaded = ask(memory, nginx, &place, command, text).await?;
    if reloaded.is_of_container() {
        let container = nginx.container().to_owned();
        memory.with(nginx.balancer(), |known| known.needs_steps = Some(container));
    }
    Ok(Some(reloaded))
}

/// Has a command bring nginx this text, and keeps the command where it can be asked again.
async fn ask(
    memory: &Memory,
    nginx: &Nginx<'_>,
    place: &Place,
    mut command: Box<dyn Session>,
    text: &str,
) -> Result<FastReload, nginx::Error> {
    let reloaded = nginx.fast_reload(&mut *command, text).await;
    let waits = match &reloaded {
        Ok(reloaded) => matches!(reloaded, FastReload::Reloaded(_) | FastReload::NotReloaded(_)),
        Err(error) => matches!(error, nginx::Error::Refused { .. }),
    };
    if waits {
        let standby = Standby::new(place.clone(), command);
        memory.with(nginx.balancer(), |known| known.standby = Some(standby));
    }
    reloaded
}

/// The same in steps.
async fn write_and_test(
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<String, nginx::Error> {
    nginx.write(rendered).await?;
    let mut checked = nginx.test().await;
    // What answers with the revision is not the file of TCP backends: that nginx reads that one is seen here. But an address
    // that is no server's any more has to go, whatever nginx reads.
    if checked.is_ok()
        && rendered.listening().is_some()
        && balancer.strays.is_empty()
        && nginx.reads_live(rendered).await == Some(false)
    {
        checked = Err(nginx.unread());
    }
    if let (Err(_), Some(good)) = (&checked, &balancer.good) {
        nginx.write(&good.instead_of(rendered)).await?;
    }
    checked
}

/// Lets nginx judge the whole configuration with the new file in it; no live file is touched.
///
/// `None` where no copy can be made that includes it, as through an include of an include, and nginx can judge it in its place:
/// it reads it there, and the last good one can be put back.
async fn stage(
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<Option<Checked>, nginx::Error> {
    let is_first = balancer.before.stream_config_path.is_none();
    let live = match is_first {
        // The file of TCP backends is not there yet.
        true => &Rendered {
            stream: None,
            ..rendered.clone()
        },
        false => rendered,
    };
    match nginx.test_staged(rendered).await {
        Err(nginx::Error::Misfit { .. })
            if balancer.good.is_some() && nginx.reads_live(live).await == Some(true) =>
        {
            nginx.see_stream(rendered, is_first).await?;
            Ok(None)
        }
        staged => staged.map(Some),
    }
}

/// Puts in its place what was staged, or has nginx judge it there.
async fn replace(
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
    staged: Option<Checked>,
) -> Result<Accepted, nginx::Error> {
    let check = match staged {
        Some(check) => {
            nginx.write(rendered).await?;
            check
        }
        None => Checked {
            said: write_and_test(nginx, balancer, rendered).await?,
            ..Checked::default()
        },
    };
    Ok(Accepted {
        check,
        reloaded_at: None,
    })
}

/// Puts the last good file back, without servers that are none any more, and lets nginx load it.
async fn put_back(
    nginx: &Nginx<'_>,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<(), Error> {
    let Some(good) = &balancer.good else {
        return Ok(());
    };
    let put = async {
        nginx.write(&good.instead_of(rendered)).await?;
        if balancer.before.revision.as_ref() != Some(&good.revision) {
            // As it is now, without some of its servers, nginx has not seen it.
            nginx.test().await?;
        }
        nginx.reload().await?;
        nginx
            .prove(balancer.address, &good.revision, Proof::Everybody)
            .await
    };
    put.await.map_err(|source| Error::PutBack {
        revision: good.revision.clone(),
        source,
    })
}
