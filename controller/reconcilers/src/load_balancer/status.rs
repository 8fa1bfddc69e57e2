//! The only writer of a LoadBalancer's status, its finalizer and its Events. What the status says is planned.

use aegis_api::condition::Conditions;
use aegis_api::load_balancer::{DrainReceipt, Server, Unavailable};
use aegis_api::meta::LOAD_BALANCER_FINALIZER;
use aegis_api::{ConditionType, Kind, LoadBalancer, LoadBalancerStatus, Reason};
use aegis_planning::load_balancer::plan::Prepared;
use aegis_planning::load_balancer::render::Rendered;
use aegis_planning::load_balancer::status::{Applied, Outcome, next, release_unserved, take};
use aegis_runtime::controller::Action;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::finalizer;
use aegis_runtime::store::StoreError;

use super::{dereference, receipts};
use crate::context::Context;

/// What the store did not take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status or the finalizers.
    #[error("cannot store the state of load balancer {balancer}")]
    Store { balancer: String, source: StoreError },
}

/// Adds the finalizer that keeps the load balancer until its nginx sends no requests to containers any more, however early
/// it is deleted: must be stored before nginx is given the first configuration.
pub(super) async fn claim(context: &Context, balancer: &LoadBalancer, plan: &Prepared) -> Result<(), Error> {
    if balancer.is_deleting() || plan.rendered.is_none() {
        return Ok(());
    }
    match finalizer::with(&balancer.metadata, LOAD_BALANCER_FINALIZER) {
        Some(finalizers) => set_finalizers(context, balancer, finalizers).await,
        None => Ok(()),
    }
}

/// Notes where the file of TCP backends is about to be written: a pass that finds no such backend any more looks for it there,
/// and none writes it elsewhere.
pub(super) async fn note_stream(context: &Context, balancer: &str, path: &str) -> Result<(), Error> {
    let Some(stored) = context.store.get::<LoadBalancer>(balancer) else {
        return Ok(());
    };
    let path = path.to_owned();
    let noted = context.edit_status(&*stored, |stored| LoadBalancerStatus {
        stream_config_path: Some(path),
        ..stored.status.clone().unwrap_or_default()
    });
    noted.await.map_err(|source| Error::Store {
        balancer: balancer.to_owned(),
        source,
    })
}

/// What this very pass may have noted.
fn noted_stream(context: &Context, balancer: &LoadBalancer) -> Option<String> {
    let stored = context.store.get::<LoadBalancer>(balancer.name())?;
    stored.status.as_ref()?.stream_config_path.clone()
}

/// Lets it go. `failure`: why its locations are left to answer 502 instead of 503.
pub(super) async fn finalize(
    context: &Context,
    balancer: &LoadBalancer,
    failure: Option<&str>,
) -> Result<Action, Error> {
    if let Some(finalizers) = finalizer::without(&balancer.metadata, LOAD_BALANCER_FINALIZER) {
        if let Some(why) = failure {
            let text = format!("nginx is left with its last configuration, all servers marked down: {why}");
            let about = ObjectRef::of(balancer);
            context
                .events
                .record(&about, EventType::Warning, "LeftDown", text);
        }
        set_finalizers(context, balancer, finalizers).await?;
    }
    Ok(Action::AwaitChange)
}

async fn set_finalizers(
    context: &Context,
    balancer: &LoadBalancer,
    finalizers: Vec<String>,
) -> Result<(), Error> {
    let uid = balancer.metadata.uid.as_deref().unwrap_or_default();
    let stored = context
        .store
        .set_finalizers::<LoadBalancer>(balancer.name(), uid, finalizers);
    match stored.await {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(source) => Err(Error::Store {
            balancer: balancer.name().to_owned(),
            source,
        }),
    }
}

pub(super) async fn update(
    context: &Context,
    balancer: &LoadBalancer,
    outcome: Outcome,
) -> Result<Action, Error> {
    announce(context, balancer, &outcome);
    let look_again = outcome.applied.plan.look_again;
    let status = next(outcome);
    write(context, balancer, status).await?;
    Ok(look_again.map_or(Action::AwaitChange, Action::Requeue))
}

/// Records Events of what was done, of what ended, and of what is new.
fn announce(context: &Context, balancer: &LoadBalancer, outcome: &Outcome) {
    let about = ObjectRef::of(balancer);
    if let Some(reload) = &outcome.applied.reload {
        let servers: Vec<&str> = outcome
            .applied
            .plan
            .servers
            .iter()
            .map(|server| server.container.as_str())
            .collect();
        let took = reload.at.age(reload.proved_at).as_millis();
        let text = format!(
            "nginx serves revision {} with {} (proved {took} ms after the reload)",
            reload.revision,
            match servers.is_empty() {
                true => "no server".to_owned(),
                false => servers.join(", "),
            }
        );
        context.events.record(&about, EventType::Normal, "Reloaded", text);
    }
    for receipt in &outcome.applied.plan.receipts {
        let how = if receipt.drained {
            "finished all requests"
        } else {
            "ran into the drain deadline"
        };
        let took = receipt.started_at.age(receipt.finished_at).as_millis();
        let text = format!("{} {how} after {took} ms", receipt.containers.join(", "));
        let kind = if receipt.drained {
            EventType::Normal
        } else {
            EventType::Warning
        };
        context.events.record(&about, kind, "Drained", text);
    }
    for upstream in newly_unavailable(balancer, &outcome.validated.unavailable) {
        let kind = match outcome.validated.as_wanted {
            true => EventType::Normal,
            false => EventType::Warning,
        };
        let (name, answer) = (&upstream.upstream, upstream.answer());
        let text = format!("upstream {name} {answer}: {}", upstream.reason);
        context.events.record(&about, kind, "Unavailable", text);
    }
    for receipt in newly_counted(balancer, &outcome.validated.counted) {
        let (kind, text) = receipts::words(receipt);
        context.events.record(&about, kind, "DrainReceipt", text);
    }
}

/// Upstreams that have had a server until this pass.
fn newly_unavailable<'a>(balancer: &LoadBalancer, unavailable: &'a [Unavailable]) -> Vec<&'a Unavailable> {
    let before = balancer.status.iter().flat_map(|status| &status.unavailable);
    let known: Vec<&str> = before.map(|upstream| upstream.upstream.as_str()).collect();
    let new = unavailable
        .iter()
        .filter(|upstream| !known.contains(&upstream.upstream.as_str()));
    new.collect()
}

/// Receipts whose requests were counted in this pass.
fn newly_counted<'a>(balancer: &LoadBalancer, counted: &'a [DrainReceipt]) -> Vec<&'a DrainReceipt> {
    let before = balancer
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.receipts);
    let pairs = counted.iter().zip(before);
    let new = pairs.filter(|(now, before)| now.requests.is_some() && before.requests.is_none());
    new.map(|(now, _)| now).collect()
}

/// Whose addresses they are not, for display.
pub(super) fn names(servers: &[Server]) -> String {
    let words = servers.iter().map(|server| {
        let Server {
            upstream,
            address,
            container,
            ..
        } = server;
        format!("upstream {upstream} to {address}, which is not {container}'s any more")
    });
    words.collect::<Vec<_>>().join(", ")
}

/// A pass that did not go through.
pub(super) struct Failed {
    pub reason: Reason,
    pub message: String,
    /// What was taken out of the last good configuration.
    pub contained: Option<Applied>,
    /// nginx is known to have no other servers than the status names.
    pub releases_unserved: bool,
}

/// Stores why the last good configuration had to stay, and what of it was `contained` since it must not.
pub(super) async fn failed(context: &Context, balancer: &LoadBalancer, failed: Failed) -> Result<(), Error> {
    let Failed {
        reason,
        mut message,
        contained,
        releases_unserved,
    } = failed;
    let mut status = balancer.status.clone().unwrap_or_default();
    status.stream_config_path = noted_stream(context, balancer);
    let (generation, now) = (Some(balancer.generation()), context.clock.now());
    status.observed_generation = generation;
    if let Some(Applied { plan, reload }) = contained {
        let stay = |server: &&Server| !plan.servers.contains(server);
        let gone: Vec<Server> = status.servers.iter().filter(stay).cloned().collect();
        if !gone.is_empty() {
            let gone = names(&gone);
            message = format!("taken out of the last good configuration: {gone}; {message}");
        }
        let listens = plan.rendered.as_ref().and_then(Rendered::listening).is_some();
        if status.stream_config.is_some() && !listens {
            message = format!("nginx listens for no TCP backend until this is mended; {message}");
        }
        take(&mut status, plan, reload);
    }
    // Who is the last of an upstream, and who is out of rotation for good, was said of a world that has moved on: as
    // long as nginx cannot follow it, no further server is drained.
    status.held.clear();
    let marked = dereference::marked(context, balancer);
    status
        .releases
        .retain(|release| marked.get(&release.id) == Some(&release.since));
    if releases_unserved {
        release_unserved(&mut status, &marked);
    }
    Conditions::at(&mut status.conditions, generation, now)
        .set(ConditionType::Ready, false, reason, message.clone())
        .set(ConditionType::Degraded, true, reason, message.clone());
    let about = ObjectRef::of(balancer);
    context
        .events
        .record(&about, EventType::Warning, reason.as_str(), message);
    write(context, balancer, status).await
}

async fn write(context: &Context, balancer: &LoadBalancer, status: LoadBalancerStatus) -> Result<(), Error> {
    let written = context.write_status(balancer, status).await;
    written.map_err(|source| Error::Store {
        balancer: balancer.name().to_owned(),
        source,
    })
}
