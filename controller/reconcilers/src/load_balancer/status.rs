//! The only writer of a LoadBalancer's status and its Events.

use aegis_api::condition;
use aegis_api::load_balancer::DrainReceipt;
use aegis_api::{Kind, LoadBalancer, LoadBalancerStatus};
use aegis_runtime::controller::Action;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::store::StoreError;

use super::apply::Applied;
use super::validate::ValidatedLoadBalancer;
use super::{Error, dereference, receipts};
use crate::context::Context;
use crate::fault;

/// A pass that went through.
#[derive(Debug)]
pub(super) struct Outcome {
    pub validated: ValidatedLoadBalancer,
    pub applied: Applied,
}

pub(super) async fn update(
    context: &Context,
    balancer: &LoadBalancer,
    outcome: Outcome,
) -> Result<Action, Error> {
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
            servers.join(", ")
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
    for receipt in newly_counted(balancer, &outcome.validated.counted) {
        let (kind, text) = receipts::words(receipt);
        context.events.record(&about, kind, "DrainReceipt", text);
    }
    let look_again = outcome.applied.plan.look_again;
    let status = next(outcome);
    write(context, balancer, status).await?;
    Ok(look_again.map_or(Action::AwaitChange, Action::Requeue))
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

/// Stores why the last good configuration had to stay.
pub(super) async fn failed(
    context: &Context,
    balancer: &LoadBalancer,
    error: Error,
) -> Result<Action, Error> {
    let (reason, message) = match &error {
        Error::Invalid { reason, message, .. } => (*reason, message.clone()),
        Error::Observe { source, .. } => ("EngineUnavailable", source.to_string()),
        Error::Template { template, source, .. } => {
            ("TemplateError", format!("template {template}: {source}"))
        }
        Error::Apply { step, source, .. } => ("StepFailed", format!("cannot {step}: {source}")),
        Error::Refused { output, .. } => (
            "ConfigRefused",
            format!("nginx -t refuses the new configuration, the last good one stays: {output}"),
        ),
        Error::Unproved { .. } => (
            "ReloadUnproved",
            format!("{error}; the last good configuration was put back"),
        ),
        Error::Store { .. } => ("Failed", error.to_string()),
    };
    let mut status = balancer.status.clone().unwrap_or_default();
    let (generation, now) = (Some(balancer.generation()), context.clock.now());
    status.observed_generation = generation;
    // Who is the last of an upstream, and who is out of rotation for good, was said of a world that has moved on: as
    // long as nginx cannot follow it, nobody more is let go.
    status.held.clear();
    let marked = dereference::marked(context, balancer);
    status
        .releases
        .retain(|release| marked.get(&release.id) == Some(&release.since));
    condition::set(
        &mut status.conditions,
        "Ready",
        false,
        reason,
        message.clone(),
        generation,
        now,
    );
    condition::set(
        &mut status.conditions,
        "Degraded",
        true,
        reason,
        message.clone(),
        generation,
        now,
    );
    context
        .events
        .record(&ObjectRef::of(balancer), EventType::Warning, reason, message);
    write(context, balancer, status).await?;
    Err(error)
}

async fn write(context: &Context, balancer: &LoadBalancer, status: LoadBalancerStatus) -> Result<(), Error> {
    if balancer.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let uid = balancer.metadata.uid.as_deref().unwrap_or_default();
    fault::point("balancer/before-status");
    let stored = context
        .store
        .set_status::<LoadBalancer>(balancer.name(), uid, status)
        .await;
    fault::point("balancer/after-status");
    match stored {
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(source) => Err(Error::Store {
            balancer: balancer.name().to_owned(),
            source,
        }),
    }
}

/// The status after a pass that went through. Pure.
pub(super) fn next(outcome: Outcome) -> LoadBalancerStatus {
    let Outcome {
        validated: balancer,
        applied: Applied { plan, reload },
    } = outcome;
    let before = balancer.before;
    let (generation, now) = (Some(balancer.generation), balancer.now);
    let mut conditions = before.conditions;
    let servers = plan.servers.len();
    let (ready, reason, message) = if plan.rendered.is_none() {
        (
            false,
            "NoReadyServers",
            "no backend has a ready container yet: nginx keeps its present configuration".to_owned(),
        )
    } else if !balancer.held.is_empty() {
        (
            false,
            "LastServersHeld",
            "no ready server is left in an upstream: its last servers stay configured".to_owned(),
        )
    } else if !balancer.without_servers.is_empty() {
        (
            true,
            "Partial",
            format!(
                "{servers} servers; no ready server yet for {}",
                balancer.without_servers.join(", ")
            ),
        )
    } else {
        let word = if servers == 1 { "server" } else { "servers" };
        (true, "Ready", format!("{servers} {word} in rotation"))
    };
    condition::set(&mut conditions, "Ready", ready, reason, message, generation, now);
    condition::set(
        &mut conditions,
        "Degraded",
        false,
        "Configured",
        String::new(),
        generation,
        now,
    );
    let (revision, config) = match plan.rendered {
        Some(rendered) => (Some(rendered.revision), Some(rendered.text)),
        None => (before.revision, before.config),
    };
    LoadBalancerStatus {
        observed_generation: generation,
        server_count: u32::try_from(servers).unwrap_or(u32::MAX),
        servers: plan.servers,
        revision,
        config,
        last_reload: reload.or(before.last_reload),
        draining: plan.draining.into_iter().chain(plan.leaving).collect(),
        receipts: receipts::kept(balancer.counted, plan.receipts),
        held: balancer
            .held
            .into_iter()
            .filter(|id| balancer.marked.contains_key(id))
            .collect(),
        releases: plan.releases,
        conditions,
    }
}
