//! Everything that a condition over a workload reads: its containers as inspected, how they ended, what their probes say,
//! their readings. Reads only.

use std::sync::Arc;

use aegis_api::lifecycle::{Cause, Death, LastEnd};
use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, WorkloadSignals, bounds};
use aegis_api::workload::{Health, InstanceStatus, Leaving};
use aegis_api::{ConditionType, Kind, LoadBalancer, Time, Workload, WorkloadStatus, condition};
use aegis_planning::detection::{Condition, Finding};
use aegis_planning::set_back;
use futures::future::join_all;

use super::inspections::{Inspected, Inspections};
use super::lines::Lines;
use crate::context::Context;

/// What is surveyed, and with what.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub context: &'a Context,
    pub inspections: &'a Inspections,
    pub lines: &'a Lines,
    pub condition: &'a Condition,
    pub pattern: Option<&'a str>,
    pub balancers: Vec<Arc<LoadBalancer>>,
    pub now: Time,
}

/// One container as it was found.
struct Seen {
    container: Arc<Inspected>,
    health: Health,
    starting: bool,
    by_hand: bool,
    deaths: Vec<Death>,
    errors: Option<u32>,
    matching: Option<u32>,
}

impl Survey<'_> {
    /// Whether the condition holds for a workload.
    pub(super) async fn evaluate(&self, workload: &Workload) -> Finding {
        let default = WorkloadStatus::default();
        let status = workload.status.as_ref().unwrap_or(&default);
        let set_at = self.context.clock.set_at();
        let acted_at = status.demands.last();
        let acted_at = acted_at.map(|demand| set_back::time(demand.at, set_at, self.now));
        // What we take away ourselves is no trouble.
        let stays = |row: &&InstanceStatus| matches!(row.leaving, None | Some(Leaving::Unhealthy));
        let rows = status.instances.iter().filter(stays);
        let seen = join_all(rows.map(|row| self.see(row, acted_at))).await;
        let seen: Vec<Seen> = seen.into_iter().flatten().collect();
        let requests = self.condition.requests_within().and_then(|within| {
            let traffic = self.context.samples.traffic();
            traffic.within(workload.name(), self.now, within)
        });
        self.context.samples.history().with(|view| {
            let containers: Vec<ContainerSignals<'_>> = seen
                .iter()
                .map(|seen| ContainerSignals {
                    name: &seen.container.name,
                    state: seen.container.state,
                    exit_code: Some(seen.container.exit_code),
                    oom_killed: seen.container.oom_killed,
                    started_at: seen.container.started_at,
                    finished_at: seen.container.finished_at,
                    health: seen.health,
                    docker_unhealthy: seen.container.docker_unhealthy,
                    lost_network: seen.container.lost_network.as_deref(),
                    starting: seen.starting,
                    stopped_by_hand: seen.by_hand,
                    memory_limit_bytes: seen.container.memory_limit,
                    samples: view.samples(&seen.container.name),
                    history: view.minutes(&seen.container.name),
                    deaths: &seen.deaths,
                    error_lines: seen.errors,
                    matching_lines: seen.matching,
                })
                .collect();
            self.condition.evaluate(&WorkloadSignals {
                now: self.now,
                containers: &containers,
                desired: workload.spec.replicas,
                ready: status.ready_replicas,
                changing: self.is_changing(workload, status, acted_at),
                acted_at,
                requests: requests.as_deref(),
                in_rotation: self.in_rotation(workload),
                missing: missing(workload, status),
            })
        })
    }

    /// `None` where it is gone, and a container in an unknown state where the engine does not answer.
    async fn see(&self, row: &InstanceStatus, acted_at: Option<Time>) -> Option<Seen> {
        let context = self.context;
        let deaths = self.deaths(&row.id);
        // An engine that is about to start a container answers when it has: an end is on record before that.
        let is_enough = self.condition.reads_only_ends(&deaths, acted_at, self.now);
        let container = match is_enough {
            true => Arc::new(Inspected::listed(row, row.state)),
            false => match self.inspections.of(&*context.engine, &row.id).await {
                Ok(container) => container?,
                Err(_) => Arc::new(Inspected::listed(row, ContainerState::Unknown)),
            },
        };
        let (errors, matching) = self.count_lines(row, &container, acted_at).await;
        Some(Seen {
            health: context.prober.result(&row.id, container.started_at).health,
            starting: row.starting,
            by_hand: row.stopped_by_hand.is_some() || self.is_requested(&row.id),
            deaths,
            container,
            errors,
            matching,
        })
    }

    /// Whether a container's end was requested, or it is too early to know.
    fn is_requested(&self, id: &str) -> bool {
        let reads = matches!(
            self.condition,
            Condition::Down | Condition::OutOfMemory | Condition::ReplicasMissing
        );
        reads
            && match self.context.lifecycle.last_end(id) {
                LastEnd::Open { .. } => true,
                LastEnd::Known(death) => matches!(death.cause, Cause::Human | Cause::Controller),
                LastEnd::Unseen => false,
            }
    }

    /// How it ended lately, for a condition that reads it.
    fn deaths(&self, id: &str) -> Vec<Death> {
        match self.condition.reads_ends() {
            true => self.context.lifecycle.deaths(id, self.context.clock.now()),
            false => Vec::new(),
        }
    }

    /// Lines that report an error, and lines that match: only what the condition reads is read.
    async fn count_lines(
        &self,
        row: &InstanceStatus,
        container: &Inspected,
        acted_at: Option<Time>,
    ) -> (Option<u32>, Option<u32>) {
        let within = bounds::LOG_WITHIN.signed();
        let oldest = Time(self.now.0.checked_sub(within).unwrap_or(jiff::Timestamp::MIN));
        let since = [container.started_at, acted_at]
            .into_iter()
            .flatten()
            .fold(oldest, std::cmp::max);
        let (engine, times) = (&*self.context.engine, (since, acted_at, self.now));
        match self.condition {
            Condition::ErrorBurst { .. } => (self.lines.count(engine, &row.id, None, times).await, None),
            Condition::LogPattern { .. } => {
                (None, self.lines.count(engine, &row.id, self.pattern, times).await)
            }
            _ => (None, None),
        }
    }

    /// Whether replicas that are not ready yet are no trouble.
    fn is_changing(&self, workload: &Workload, status: &WorkloadStatus, acted_at: Option<Time>) -> bool {
        let lately = |at: Time| at.age(self.now) < bounds::STILL_COMING.std();
        status.observed_generation != Some(workload.generation())
            || status.rollout.is_some()
            || acted_at.is_some_and(lately)
            || status.instances.iter().any(|row| row.starting)
    }

    /// Servers of the workload that nginx sends requests to; `None` where no load balancer names it.
    fn in_rotation(&self, workload: &Workload) -> Option<u32> {
        let names = |balancer: &&Arc<LoadBalancer>| {
            let mut backends = balancer.spec.backends.iter();
            backends.any(|backend| backend.workload.as_str() == workload.name())
        };
        let serving: Vec<_> = self.balancers.iter().filter(names).collect();
        if serving.is_empty() {
            return None;
        }
        let servers = serving.iter().filter_map(|balancer| balancer.status.as_ref());
        let servers = servers.flat_map(|status| &status.servers);
        let own = servers.filter(|server| server.workload == workload.name());
        Some(aegis_planning::ledger::count(own.count()))
    }
}

/// The adopted container that is gone, and was not removed by hand. One that was never there is waited for: it has no
/// revision.
fn missing<'a>(workload: &'a Workload, status: &WorkloadStatus) -> Option<&'a str> {
    let name = workload.spec.container.as_ref()?;
    let is_observed = status.observed_generation == Some(workload.generation());
    let was_there = status.revision.is_some();
    let is_there = status.instances.iter().any(|row| row.index == 0);
    let is_theirs = condition::is_true(&status.conditions, ConditionType::StoppedByHand);
    (is_observed && was_there && !is_there && !is_theirs).then(|| name.as_str())
}
