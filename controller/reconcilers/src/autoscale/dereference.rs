//! Everything that a decision reads: the replicas, their readings, what load balancers counted, other systems' numbers,
//! incidents and pauses. Reads only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::facets::key;
use aegis_api::workload::autoscale::{Autoscale, AutoscaleMetric};
use aegis_api::{ContainerId, Incident, Kind, LoadBalancer, Time, Workload, WorkloadStatus};
use aegis_planning::autoscale::{
    Reading, Replica, Replicas, Requested, Situation, cores, errors, held_by_incident, incident_generations,
    measure, needs_requests, pause, set_apart,
};
use aegis_planning::load_balancer::access_log::FORMAT;
use aegis_planning::serving::gets_requests;
use aegis_planning::set_back;
use futures::future::join_all;

use super::external::Externals;
use crate::context::Context;

/// How much further back than a window spans are read: they are whole, and late.
const MARGIN: Duration = Duration::from_secs(15);

/// What there is to decide on.
pub(super) async fn situation(
    context: &Context,
    workload: &Workload,
    spec: &Autoscale,
    externals: &Externals,
    limits: &Limits,
) -> Situation {
    let (name, now) = (workload.name(), context.clock.now());
    let default = WorkloadStatus::default();
    let status = workload.status.as_ref().unwrap_or(&default);
    let balancers = serving(context, name);
    let in_rotation = in_rotation(&balancers, name);
    let replicas = set_apart(
        status,
        workload.spec.replicas,
        in_rotation.as_deref(),
        spec.warm_up,
        now,
    );
    let containers = limits.of(context, spec, status, &replicas).await;
    let requested = match needs_requests(spec) {
        true => requested(context, name, &balancers, spec, now),
        false => Requested::Unknown(String::new()),
    };
    let outside = externals.read(context, spec);
    let mut readings: Vec<Reading> = context.samples.history().with(|view| {
        let measured: Vec<Replica<'_>> = containers
            .iter()
            .map(|(name, limit)| Replica {
                // A share of an unknown limit is unknown, too.
                samples: limit.map_or(&[], |_| view.samples(name)),
                cores: limit.and_then(|limit| limit.cores),
                memory_limit: limit.and_then(|limit| limit.memory),
            })
            .collect();
        let targets = 0..spec.targets.len();
        targets
            .map(|index| measure(spec, index, &measured, &replicas, &requested, now))
            .collect()
    });
    for (index, reading) in outside {
        if let Some(place) = readings.get_mut(index) {
            *place = reading;
        }
    }
    let set_at = context.clock.set_at();
    let incidents = context.store.find::<Incident>(&key::workload(name)).into_iter();
    let incidents: Vec<Arc<Incident>> = incidents
        .map(|incident| set_back::incident(incident, set_at, now))
        .collect();
    Situation {
        serving: aegis_planning::ledger::count(replicas.serving.len()),
        warming: replicas.warming,
        readings,
        errors: errors(spec, &requested, now),
        incident_generations: incident_generations(&incidents, name),
        incident: held_by_incident(&incidents, name, now),
        pause: pause(
            workload,
            context.store.automation().paused().as_ref(),
            &context.store.list(),
            now,
        ),
    }
}

/// The load balancers that send requests to a workload.
pub(super) fn serving(context: &Context, workload: &str) -> Vec<Arc<LoadBalancer>> {
    let mut all = context.store.list::<LoadBalancer>();
    all.retain(|balancer| {
        let mut backends = balancer.spec.backends.iter();
        !balancer.is_deleting() && backends.any(|backend| backend.workload.as_str() == workload)
    });
    all
}

/// Names of the containers that they send requests to; `None` where there are none of them.
fn in_rotation(balancers: &[Arc<LoadBalancer>], workload: &str) -> Option<Vec<String>> {
    if balancers.is_empty() {
        return None;
    }
    let servers = balancers.iter().filter_map(|balancer| balancer.status.as_ref());
    let servers = servers.flat_map(|status| &status.servers);
    let own = servers.filter(|server| server.workload == workload);
    Some(own.map(|server| server.container.clone()).collect())
}

/// What was counted; unknown as soon as one of the load balancers is not counted.
pub(super) fn requested(
    context: &Context,
    workload: &str,
    balancers: &[Arc<LoadBalancer>],
    spec: &Autoscale,
    now: Time,
) -> Requested {
    let traffic = context.samples.traffic();
    let mut since: Option<Time> = None;
    for balancer in balancers
        .iter()
        .filter(|balancer| gets_requests(balancer, workload))
    {
        let name = balancer.name();
        let Some(followed) = traffic.followed_since(name) else {
            return Requested::Unknown(unknown(context, balancer));
        };
        since = Some(since.map_or(followed, |since| since.max(followed)));
    }
    let Some(since) = since else {
        return Requested::Unknown("no load balancer sends requests to it".to_owned());
    };
    let within = spec.metric_window.std().saturating_add(MARGIN);
    Requested::Since(since, traffic.within(workload, now, within).unwrap_or_default())
}

fn unknown(context: &Context, balancer: &LoadBalancer) -> String {
    let name = balancer.name();
    let config = balancer.status.as_ref().and_then(|status| status.config.as_ref());
    if config.is_some_and(|config| !config.contains(FORMAT)) {
        return format!("the configuration of load balancer {name} logs nothing in the format {FORMAT}");
    }
    match context.samples.traffic().unreadable(name) {
        Some(why) => format!("the log of load balancer {name} cannot be read: {why}"),
        None => format!("the log of load balancer {name} is not read yet"),
    }
}

/// The limits of a container.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit {
    cores: Option<f64>,
    memory: Option<u64>,
}

/// Limits of containers, inspected once and again after a while: `docker update` changes them. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits(Arc<Mutex<HashMap<ContainerId, (Time, Limit)>>>);

/// Containers that are kept.
const MOST: usize = 4096;
/// How long a limit is believed.
const KEPT: Duration = Duration::from_secs(60);

impl Limits {
    /// The containers that serve, with their limits where a target is about them.
    async fn of(
        &self,
        context: &Context,
        spec: &Autoscale,
        status: &WorkloadStatus,
        replicas: &Replicas,
    ) -> Vec<(String, Option<Limit>)> {
        let is_used = |metric| matches!(metric, AutoscaleMetric::Cpu | AutoscaleMetric::Memory);
        let used = spec.targets.iter().any(|target| is_used(target.metric));
        let rows = status
            .instances
            .iter()
            .filter(|row| replicas.serving.contains(&row.name));
        let limits = rows.map(|row| async {
            let limit = match used {
                true => self.one(context, &row.id).await,
                false => Some(Limit::default()),
            };
            (row.name.clone(), limit)
        });
        join_all(limits).await
    }

    /// `None` where it cannot be read.
    async fn one(&self, context: &Context, id: &ContainerId) -> Option<Limit> {
        let now = context.clock.now();
        let known = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(id).copied()
        };
        if let Some((_, limit)) = known.filter(|(at, _)| at.apart(now) < KEPT) {
            return Some(limit);
        }
        let Ok(Some(details)) = context.engine.inspect(id).await else {
            return known.map(|(_, limit)| limit);
        };
        let limit = Limit {
            cores: cores(&details.host_config),
            memory: Some(details.memory_limit).filter(|limit| *limit > 0),
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(id.clone(), (now, limit));
        Some(limit)
    }
}
