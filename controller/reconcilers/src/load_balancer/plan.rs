//! What nginx needs next, as data. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::load_balancer::{Drain, DrainReceipt, Server};

use super::Error;
use super::dereference::Worker;
use super::render::{Rendered, render};
use super::validate::ValidatedLoadBalancer;

/// Pause between two looks at workers that still finish requests.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// What to do about the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// nginx serves what it should.
    Nothing,
    /// Check, write, load and prove this configuration.
    Configure(Rendered),
}

/// What to do and what the status will say once it is done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    pub step: Step,
    pub rendered: Option<Rendered>,
    pub servers: Vec<Server>,
    pub draining: Option<Drain>,
    pub receipt: Option<DrainReceipt>,
    pub released: BTreeSet<String>,
    pub look_again: Option<Duration>,
}

pub(super) fn plan(balancer: &ValidatedLoadBalancer) -> Result<Prepared, Error> {
    let before = &balancer.before;
    if balancer.upstreams.is_empty() {
        // There is nothing to balance and never was: nginx keeps what its image came with.
        return Ok(Prepared {
            step: Step::Nothing,
            rendered: None,
            servers: Vec::new(),
            draining: None,
            receipt: None,
            released: balancer.marked.clone(),
            look_again: None,
        });
    }
    let rendered = render(balancer).map_err(|message| Error::Invalid {
        balancer: balancer.name.clone(),
        reason: "TemplateError",
        message: format!("template {}: {message}", balancer.spec.template),
    })?;
    let servers: Vec<Server> = balancer
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.servers.clone())
        .collect();
    let ids: BTreeSet<&str> = servers.iter().map(|server| server.id.as_str()).collect();
    let left: Vec<&Server> = before
        .servers
        .iter()
        .filter(|server| !ids.contains(server.id.as_str()) && balancer.running.contains(&server.id))
        .collect();
    let (draining, receipt) = drain(balancer, &left, &ids);
    let still: BTreeSet<&str> = draining
        .iter()
        .flat_map(|drain| drain.ids.iter().map(String::as_str))
        .collect();
    let released = balancer
        .marked
        .iter()
        .filter(|id| !ids.contains(id.as_str()) && !still.contains(id.as_str()));
    let step = match &balancer.served {
        Some(served) if *served == rendered.revision => Step::Nothing,
        _ => Step::Configure(rendered.clone()),
    };
    Ok(Prepared {
        released: released.cloned().collect(),
        look_again: draining.as_ref().map(|_| DRAIN_LOOK),
        rendered: Some(rendered),
        step,
        servers,
        draining,
        receipt,
    })
}

/// The drain that is open after this pass, and the receipt of one that ended with it.
fn drain(
    balancer: &ValidatedLoadBalancer,
    left: &[&Server],
    ids: &BTreeSet<&str>,
) -> (Option<Drain>, Option<DrainReceipt>) {
    let open = balancer.before.draining.clone();
    if !left.is_empty() {
        // What leaves with this pass joins the drain that is open; its time begins anew for all.
        let mut drain = Drain {
            containers: Vec::new(),
            ids: Vec::new(),
            since: balancer.now,
            deadline: balancer.now.plus(balancer.spec.drain_timeout),
            workers: Vec::new(),
        };
        let earlier = open
            .iter()
            .flat_map(|drain| drain.containers.iter().cloned().zip(drain.ids.iter().cloned()));
        let now = left
            .iter()
            .map(|server| (server.container.clone(), server.id.clone()));
        for (container, id) in earlier.chain(now).filter(|(_, id)| !ids.contains(id.as_str())) {
            if !drain.ids.contains(&id) {
                drain.containers.push(container);
                drain.ids.push(id);
            }
        }
        return (Some(drain), None);
    }
    let Some(drain) = open else { return (None, None) };
    let finished = balancer
        .workers
        .as_ref()
        .is_some_and(|workers| has_drained(&drain, workers));
    if !finished && balancer.now < drain.deadline {
        return (Some(drain), None);
    }
    let receipt = DrainReceipt {
        containers: drain.containers,
        started_at: drain.since,
        finished_at: balancer.now,
        drained: finished,
    };
    (None, Some(receipt))
}

/// Whether no worker is left that could still give a leaving server a request. Titles alone would not do: a worker
/// that has not yet seen the reload looks like a new one.
fn has_drained(drain: &Drain, workers: &[Worker]) -> bool {
    if drain.workers.is_empty() {
        return !workers.iter().any(|worker| worker.shutting_down);
    }
    !workers.iter().any(|worker| drain.workers.contains(&worker.pid))
}
