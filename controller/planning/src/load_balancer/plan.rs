//! What nginx needs next, as data. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::load_balancer::{Drain, DrainReceipt, Release, Server};
use aegis_api::workload::Leaving;
use aegis_api::{ContainerId, LoadBalancerStatus, Time};

use super::observed::{Worker, last_good};
use super::render::{RenderError, Rendered, render};
use super::validate::ValidatedLoadBalancer;
use super::{down, receipts, stream};

/// Why there is nothing to bring to nginx.
#[derive(Debug, thiserror::Error)]
pub enum Unplanned {
    /// The template file could not be read.
    #[error("cannot read template {template}")]
    Template {
        template: String,
        source: Arc<std::io::Error>,
    },
    /// The template cannot be rendered.
    #[error("cannot render template {template}")]
    Render { template: String, source: RenderError },
    /// nginx, or another load balancer of it, rules it out.
    #[error("{message}")]
    Refused { message: String },
}

/// Pause until workers that still finish requests are inspected again: a part of what the drain has lasted, within these
/// bounds. Most have nothing to finish and are gone at once; and a look costs the engine a process.
const DRAIN_LOOK_PART: u32 = 4;
const FIRST_DRAIN_LOOK: Duration = Duration::from_millis(5);
const LAST_DRAIN_LOOK: Duration = Duration::from_millis(500);

/// What to do about the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// nginx serves what it should.
    Nothing,
    /// Check, write, load and prove this configuration.
    Configure(Rendered),
}

/// What to do and what the status will say once it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub step: Step,
    pub rendered: Option<Rendered>,
    pub servers: Vec<Server>,
    /// Drains that are open once the step is done.
    pub draining: Vec<Drain>,
    /// The drain that the step opens.
    pub leaving: Option<Drain>,
    /// Drains that ended.
    pub receipts: Vec<DrainReceipt>,
    pub releases: Vec<Release>,
    pub look_again: Option<Duration>,
}

impl Prepared {
    /// Whether every server of before stays in rotation.
    pub fn only_joins(&self, before: &[Server]) -> bool {
        before.iter().all(|server| self.servers.contains(server))
    }

    /// Whether the plan puts further servers into rotation and changes nothing else.
    pub fn only_adds(&self, balancer: &ValidatedLoadBalancer) -> bool {
        let before = &balancer.before;
        matches!(self.step, Step::Configure(_))
            && !before.servers.is_empty()
            && self.only_joins(&before.servers)
            && self.servers.len() > before.servers.len()
            && self.draining.is_empty()
            && self.receipts.is_empty()
            && balancer.marked.is_empty()
            && balancer.served == before.revision
    }

    /// Whether no server has requests left that it got before it was taken out.
    pub fn is_quiet(&self) -> bool {
        self.draining.is_empty() && self.leaving.is_none()
    }
}

pub fn plan(balancer: &ValidatedLoadBalancer) -> Result<Prepared, Unplanned> {
    if let Some(message) = balancer.refused.clone() {
        return Err(Unplanned::Refused { message });
    }
    let before = &balancer.before;
    let rendered = match balancer.keeps_what_it_has() {
        true => None,
        false => Some(rendered(balancer)?),
    };
    let servers: Vec<Server> = match rendered {
        None => before.servers.clone(),
        Some(_) => balancer
            .upstreams
            .iter()
            .flat_map(|upstream| upstream.servers.clone())
            .collect(),
    };
    let ids: BTreeSet<&ContainerId> = servers.iter().map(|server| &server.id).collect();
    let (draining, receipts) = continued(balancer, &ids);
    let leaving = leaving(balancer, &ids);
    let still: BTreeSet<&ContainerId> = draining
        .iter()
        .chain(&leaving)
        .flat_map(|drain| &drain.ids)
        .collect();
    let released = balancer
        .marked
        .iter()
        .filter(|(id, _)| !ids.contains(id) && !still.contains(id));
    let release = |(id, since): (&ContainerId, &Option<Time>)| Release {
        id: id.clone(),
        since: *since,
    };
    let step = match (&rendered, &balancer.served) {
        (None, _) => Step::Nothing,
        (Some(rendered), Some(served))
            if *served == rendered.revision
                && balancer.installed
                // TCP servers may have been taken out since: the revision is answered by the other file.
                && rendered.listening() == before.stream_config.as_deref() =>
        {
            Step::Nothing
        }
        (Some(rendered), _) => Step::Configure(rendered.clone()),
    };
    let waits = [
        draining
            .iter()
            .chain(&leaving)
            .map(|drain| drain_look(drain, balancer.now))
            .min(),
        balancer.min_ready_remaining,
        balancer.next_weights,
        receipts::look_again(&balancer.counted, &receipts, balancer.grace, balancer.now),
    ];
    Ok(Prepared {
        releases: released.map(release).collect(),
        look_again: waits.into_iter().flatten().min(),
        rendered,
        step,
        servers,
        draining,
        leaving,
        receipts,
    })
}

fn rendered(balancer: &ValidatedLoadBalancer) -> Result<Rendered, Unplanned> {
    let (name, stream_name) = (balancer.spec.template.as_str(), balancer.spec.stream_template());
    let template = read(name, &balancer.template)?;
    let stream = balancer.stream_template.as_ref();
    let stream = stream.map(|template| read(stream_name, template)).transpose()?;
    let failed = |template: &str| {
        let template = template.to_owned();
        move |source| Unplanned::Render { template, source }
    };
    let stream = stream::render(balancer, stream).map_err(failed(stream_name))?;
    render(balancer, template, stream).map_err(failed(name))
}

fn read<'a>(name: &str, template: &'a Result<String, Arc<std::io::Error>>) -> Result<&'a str, Unplanned> {
    template.as_deref().map_err(|source| Unplanned::Template {
        template: name.to_owned(),
        source: source.clone(),
    })
}

/// What to do where nothing else can be loaded: the last good configuration without the servers that are none any more.
/// `None` where it has none of those.
pub fn contain(balancer: &ValidatedLoadBalancer) -> Option<Prepared> {
    let good = balancer.good.clone()?;
    let strays = &balancer.strays;
    if strays.is_empty() || balancer.before.revision.as_ref() == Some(&good.revision) {
        return None;
    }
    Some(without_strays(&balancer.before, good, strays))
}

/// The same of the file of requests alone, for where that of TCP backends cannot be written: what that one has stays.
pub fn contain_requests(balancer: &ValidatedLoadBalancer) -> Option<Prepared> {
    let before = &balancer.before;
    before.stream_config_path.as_ref()?;
    let good = Rendered {
        stream: None,
        ..last_good(before)?
    };
    let gone = balancer.strays.iter().map(|server| server.address.as_str());
    let requests = down::without(&good, &gone.collect());
    if requests.revision == good.revision {
        return None;
    }
    let stays = |server: &&Server| {
        let stream = before.stream_config.as_ref();
        stream.is_some_and(|stream| down::names(stream, &server.address))
    };
    let strays = balancer.strays.iter().filter(|server| !stays(server)).cloned();
    let mut plan = without_strays(before, requests.clone(), &strays.collect::<Vec<_>>());
    plan.rendered = Some(Rendered {
        stream: before.stream_config.clone(),
        ..requests
    });
    Some(plan)
}

/// The last good configuration, and nothing but these servers has left.
pub(super) fn without_strays(before: &LoadBalancerStatus, good: Rendered, strays: &[Server]) -> Prepared {
    let mut servers = before.servers.clone();
    servers.retain(|server| !strays.contains(server));
    Prepared {
        step: Step::Configure(good.clone()),
        rendered: Some(good),
        servers,
        draining: before.draining.clone(),
        leaving: None,
        receipts: Vec::new(),
        releases: Vec::new(),
        look_again: None,
    }
}

/// The drain of what leaves with this pass: each container that runs and is in no upstream any more.
fn leaving(balancer: &ValidatedLoadBalancer, ids: &BTreeSet<&ContainerId>) -> Option<Drain> {
    let left = balancer
        .before
        .servers
        .iter()
        .filter(|server| !ids.contains(&server.id) && balancer.running.contains(&server.id));
    // One container may have been in several upstreams.
    let left: BTreeMap<&ContainerId, &String> = left.map(|server| (&server.id, &server.container)).collect();
    let gone = |server: &&Server| left.contains_key(&server.id);
    let addresses: BTreeSet<&String> = balancer
        .before
        .servers
        .iter()
        .filter(gone)
        .map(|server| &server.address)
        .collect();
    let causes: BTreeSet<Leaving> = left
        .keys()
        .filter_map(|id| balancer.causes.get(*id).copied())
        .collect();
    (!left.is_empty()).then(|| Drain {
        addresses: addresses.into_iter().cloned().collect(),
        causes: causes.into_iter().collect(),
        containers: left.values().map(ToString::to_string).collect(),
        ids: left.keys().copied().cloned().collect(),
        since: balancer.now,
        deadline: balancer.now.plus(balancer.spec.drain_timeout),
        workers: Vec::new(),
    })
}

/// When to look again whether a drain is over.
fn drain_look(drain: &Drain, now: Time) -> Duration {
    let part = drain.since.age(now) / DRAIN_LOOK_PART;
    // Not later than its end.
    let left = drain.deadline.until(now).clamp(FIRST_DRAIN_LOOK, LAST_DRAIN_LOOK);
    part.clamp(FIRST_DRAIN_LOOK, left)
}

/// The drains of earlier passes that are still open, and the receipts of those that are over.
fn continued(
    balancer: &ValidatedLoadBalancer,
    ids: &BTreeSet<&ContainerId>,
) -> (Vec<Drain>, Vec<DrainReceipt>) {
    let (mut open, mut receipts) = (Vec::new(), Vec::new());
    for drain in &balancer.before.draining {
        // What is back in rotation leaves again, if it does.
        let away = drain.containers.iter().zip(&drain.ids);
        let (containers, away): (Vec<String>, Vec<ContainerId>) = away
            .filter(|(_, id)| !ids.contains(id))
            .map(|(container, id)| (container.clone(), id.clone()))
            .unzip();
        if away.is_empty() {
            continue;
        }
        let finished = balancer
            .workers
            .as_ref()
            .is_some_and(|workers| has_drained(drain, workers));
        if !finished && balancer.now < drain.deadline {
            open.push(Drain {
                containers,
                ids: away,
                ..drain.clone()
            });
        } else {
            receipts.push(DrainReceipt {
                containers,
                ids: away,
                addresses: drain.addresses.clone(),
                causes: drain.causes.clone(),
                started_at: drain.since,
                finished_at: balancer.now,
                drained: finished,
                requests: None,
                uncounted: None,
            });
        }
    }
    (open, receipts)
}

/// Whether no worker is left that could still give a leaving server a request. Titles alone would not do: a worker
/// that has not yet seen the reload looks like a new one.
fn has_drained(drain: &Drain, workers: &[Worker]) -> bool {
    if drain.workers.is_empty() {
        return !workers.iter().any(|worker| worker.shutting_down);
    }
    !workers.iter().any(|worker| drain.workers.contains(&worker.pid))
}
