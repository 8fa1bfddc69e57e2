//! The only place that changes nginx: stage, check, write, load, prove; and put the last good file back otherwise.

use std::time::Duration;

use aegis_api::load_balancer::Reload;
use aegis_api::{Kind, LoadBalancer, Time};
use aegis_docker::EngineError;
use aegis_planning::load_balancer::membership::{only_availability_differs, only_servers_differ};
use aegis_planning::load_balancer::observed::Observed;
use aegis_planning::load_balancer::plan::{Prepared, Step};
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::status::Applied;
use aegis_planning::load_balancer::validate::ValidatedLoadBalancer;
use aegis_planning::load_balancer::{REVISION_PATH, staging};

use super::dereference::{served_revisions, workers};
use super::on_disk::OnDisk;
use super::swap::Swap;
use super::{Error, Memory};
use crate::context::Context;
use crate::fault;

/// How long nginx may take to serve what it was told to load.
const PROOF_WITHIN: Duration = Duration::from_secs(5);
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Whose answers prove that nginx serves a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Those of all that are asked: the workers of before take no request any more.
    Everybody,
    /// One new worker's. Enough where servers only join: the workers of before know none that may not serve, so it does
    /// not matter when they go.
    Anybody,
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
    on_disk: &OnDisk,
    balancer: &LoadBalancer,
    observed: &Observed,
) -> Result<(), Error> {
    let stopped = observed.container.as_ref().filter(|_| !observed.runs());
    let (Some(file), Some(container), false) = (&observed.file, stopped, observed.on_disk) else {
        return Ok(());
    };
    let (folder, name) = split(balancer.spec.config_path.as_str());
    let files = [(name.to_owned(), file.text.as_bytes().to_vec())];
    let put = context.engine.put_files(&container.id, folder, &files).await;
    put.map_err(|source| Error::Apply {
        balancer: balancer.name().to_owned(),
        step: "put the last good configuration back",
        source,
    })?;
    on_disk.holds(balancer.name(), &container.id, &file.revision);
    Ok(())
}

async fn configure(
    context: &Context,
    memory: &Memory,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
    plan: &Prepared,
) -> Result<(Reload, Vec<i64>), Error> {
    memory.on_disk.forget(&balancer.name);
    // Who serves now matters only to a drain: it ends when all of them are gone.
    let before = match plan.leaving {
        Some(_) => workers(&*context.engine, &balancer.container.id).await,
        None => Ok(Vec::new()),
    };
    let before = before.map_err(|source| Error::Apply {
        balancer: balancer.name.clone(),
        step: "list nginx's workers",
        source,
    })?;
    let adjusts = adjusts(balancer, rendered);
    let proof = match adjusts && plan.only_joins(&balancer.before.servers) {
        true => Proof::Anybody,
        false => Proof::Everybody,
    };
    let started = context.clock.now();
    // What the command puts back if nginx refuses is what lies there now: that must be the last good one.
    let swapped = match adjusts && balancer.on_disk {
        true => memory.swaps.swap(context, balancer, &rendered.text).await?,
        false => Swap::Impossible,
    };
    let (check, told_at) = match swapped {
        Swap::Told(check) => (check, Some(started)),
        Swap::Untold(check) => (check, None),
        Swap::Impossible if adjusts => (adjust(context, balancer, rendered).await?, None),
        Swap::Impossible => (replace(context, balancer, rendered).await?, None),
    };
    let at = told_at.unwrap_or_else(|| context.clock.now());
    let loaded = async {
        if told_at.is_none() {
            fault::point("balancer/before-reload");
            reload(context, balancer).await?;
        }
        prove(context, balancer, &rendered.revision, proof).await
    };
    let proved_at = match loaded.await {
        Ok(proved_at) => proved_at,
        Err(error) => {
            put_back(context, balancer).await?;
            return Err(error);
        }
    };
    memory
        .on_disk
        .holds(&balancer.name, &balancer.container.id, &rendered.revision);
    let reload = Reload {
        revision: rendered.revision.clone(),
        at,
        proved_at,
        check,
    };
    Ok((reload, before.into_iter().map(|worker| worker.pid).collect()))
}

/// Whether nginx serves our last configuration and the new one differs from it in servers alone, or in which upstreams have any.
fn adjusts(balancer: &ValidatedLoadBalancer, rendered: &Rendered) -> bool {
    let (Some(config), Some(revision)) = (&balancer.before.config, &balancer.before.revision) else {
        return false;
    };
    let before = (config.as_str(), revision.as_str());
    let after = (rendered.text.as_str(), rendered.revision.as_str());
    let same_spec = balancer.before.observed_generation == Some(balancer.generation);
    let template = balancer.template.as_deref().unwrap_or_default();
    balancer.served.as_ref() == Some(revision)
        && (only_servers_differ(before, after)
            || (same_spec && only_availability_differs(template, before, after)))
}

/// Writes the file and lets nginx judge it in its place; the last good one is put back if it refuses.
async fn adjust(
    context: &Context,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<String, Error> {
    write(context, balancer, &rendered.text).await?;
    let checked = test(context, balancer, balancer.spec.main_config_path.as_str()).await;
    if let (Err(_), Some(good)) = (&checked, &balancer.good) {
        write(context, balancer, &good.text).await?;
    }
    checked
}

/// Lets nginx judge the whole configuration with the new file in it, and only then touches the live file.
async fn replace(
    context: &Context,
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
) -> Result<String, Error> {
    let engine = &context.engine;
    let id = &balancer.container.id;
    let failed = |step| {
        move |source: EngineError| Error::Apply {
            balancer: balancer.name.clone(),
            step,
            source,
        }
    };
    let main_path = balancer.spec.main_config_path.as_str();
    let (folder, file) = split(balancer.spec.config_path.as_str());
    let (main, beside) = tokio::try_join!(engine.read_files(id, main_path), engine.read_files(id, folder))
        .map_err(failed("read nginx's configuration"))?;
    let main = main
        .into_iter()
        .next()
        .map(|(_, content)| String::from_utf8_lossy(&content).into_owned())
        .unwrap_or_default();
    let present: Vec<String> = beside.into_iter().map(|(name, _)| name).collect();
    let staged_main = staging::main_with_staged(&main, folder, file, &present);
    let files = [
        (
            format!("{}/{file}", staging::FOLDER),
            rendered.text.clone().into_bytes(),
        ),
        (
            format!("{}/nginx.conf", staging::FOLDER),
            staged_main.into_bytes(),
        ),
    ];
    engine
        .put_files(id, folder, &files)
        .await
        .map_err(failed("stage the new configuration"))?;
    let staged = format!("{folder}/{}/nginx.conf", staging::FOLDER);
    let output = test(context, balancer, &staged).await?;
    write(context, balancer, &rendered.text).await?;
    Ok(output)
}

/// What `nginx -t` says of a main configuration that it accepts.
async fn test(context: &Context, balancer: &ValidatedLoadBalancer, main: &str) -> Result<String, Error> {
    let command = ["nginx", "-t", "-c", main];
    let answer = context.engine.exec(&balancer.container.id, &command, &[]).await;
    let answer = answer.map_err(|source| Error::Apply {
        balancer: balancer.name.clone(),
        step: "run nginx -t",
        source,
    })?;
    let output = answer.output.split_whitespace().collect::<Vec<_>>().join(" ");
    if answer.exit_code != 0 {
        return Err(Error::Refused {
            balancer: balancer.name.clone(),
            output,
        });
    }
    Ok(output)
}

async fn write(context: &Context, balancer: &ValidatedLoadBalancer, text: &str) -> Result<(), Error> {
    let (folder, file) = split(balancer.spec.config_path.as_str());
    let files = [(file.to_owned(), text.as_bytes().to_vec())];
    fault::point("balancer/before-write");
    let put = context
        .engine
        .put_files(&balancer.container.id, folder, &files)
        .await;
    fault::point("balancer/after-write");
    put.map_err(|source| Error::Apply {
        balancer: balancer.name.clone(),
        step: "write the configuration",
        source,
    })
}

/// Tells nginx to load its files. Not by a signal from the engine: one who sends a container any signal is taken to have
/// stopped it by hand, and an engine or host that restarts would leave nginx stopped
/// (<https://github.com/moby/moby/issues/41302>).
async fn reload(context: &Context, balancer: &ValidatedLoadBalancer) -> Result<(), Error> {
    let main = balancer.spec.main_config_path.as_str();
    let failed = |source: EngineError| Error::Apply {
        balancer: balancer.name.clone(),
        step: "reload nginx",
        source,
    };
    let engine = &context.engine;
    let id = &balancer.container.id;
    let answer = engine.exec(id, &["nginx", "-s", "reload", "-c", main], &[]).await;
    let answer = answer.map_err(failed)?;
    if answer.exit_code == 0 {
        return Ok(());
    }
    test(context, balancer, main).await?;
    // The configuration is good, so its master could not be found: its process id may lie where the command line says.
    tracing::warn!(
        balancer = balancer.name,
        output = answer.output,
        "nginx -s reload failed, so the engine signals nginx: a restart policy of unless-stopped no longer applies to it"
    );
    engine.signal(id, "HUP").await.map_err(failed)
}

/// Waits until nginx, told to load its files, serves this revision.
async fn prove(
    context: &Context,
    balancer: &ValidatedLoadBalancer,
    revision: &str,
    proof: Proof,
) -> Result<Time, Error> {
    fault::point("balancer/before-proof");
    let start = tokio::time::Instant::now();
    let mut pause = FIRST_LOOK;
    loop {
        let served = served_revisions(context, balancer.address).await;
        let mut others = served.iter().filter(|served| served.as_deref() != Some(revision));
        let (count, other) = (others.clone().count(), others.next_back());
        let proved = match proof {
            Proof::Everybody => count == 0,
            Proof::Anybody => count < served.len(),
        };
        if proved {
            return Ok(context.clock.now());
        }
        if start.elapsed() >= PROOF_WITHIN {
            return Err(Error::Unproved {
                balancer: balancer.name.clone(),
                revision: revision.to_owned(),
                message: match other.cloned().flatten() {
                    Some(other) => format!("it still serves {other} after {} s", PROOF_WITHIN.as_secs()),
                    None => format!(
                        "GET {} does not answer with it; does the template have that location?",
                        REVISION_PATH
                    ),
                },
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_LOOK);
    }
}

/// Puts the last good file back, without servers that are none any more, and lets nginx load it.
async fn put_back(context: &Context, balancer: &ValidatedLoadBalancer) -> Result<(), Error> {
    let Some(good) = &balancer.good else {
        return Ok(());
    };
    write(context, balancer, &good.text).await?;
    if balancer.before.revision.as_ref() != Some(&good.revision) {
        // As it is now, without some of its servers, nginx has not seen it.
        test(context, balancer, balancer.spec.main_config_path.as_str()).await?;
    }
    reload(context, balancer).await?;
    prove(context, balancer, &good.revision, Proof::Everybody).await?;
    Ok(())
}

/// Folder and file name of an absolute path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("/", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_splits_into_folder_and_file() {
        assert_eq!(
            split("/etc/nginx/conf.d/upstream.conf"),
            ("/etc/nginx/conf.d", "upstream.conf")
        );
    }
}
