//! The picture of the host as clients get it, from what was read of the engine and what is stored: containers, their load,
//! the topology. Pure but for the reading of the store; the observer that watches the engine draws and publishes it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aegis_api::observed::{ContainerState, ContainerSummary};
use aegis_api::wire::{ContainerMetrics, ContainerRow, LABEL_ROLE, Topology, TopologyContainer};
use aegis_api::{ContainerId, LoadBalancer, Time, Workload};
use aegis_signals::collector::Reading;

use crate::context::Context;

const MIB: f64 = 1_048_576.0;

/// A row for each container.
pub fn rows(containers: &[ContainerSummary]) -> Vec<ContainerRow> {
    containers.iter().map(row).collect()
}

/// The load of those that were read.
pub fn load(readings: &[Reading], starts: &Starts, now: Time) -> Vec<ContainerMetrics> {
    let loads = readings.iter();
    loads
        .filter_map(|reading| load_of(reading, starts, now))
        .collect()
}

fn row(container: &ContainerSummary) -> ContainerRow {
    ContainerRow {
        name: container.name.clone(),
        status: container.state,
        image: container.image.clone(),
        id: container.id.chars().take(12).collect(),
    }
}

#[expect(
    clippy::as_conversions,
    reason = "bytes to MiB for display: the rounding of u64 to f64 is below what is shown"
)]
fn load_of(reading: &Reading, starts: &Starts, now: Time) -> Option<ContainerMetrics> {
    let stats = reading.stats.as_ref()?;
    let (used, limit) = (stats.memory_bytes as f64, stats.memory_limit_bytes as f64);
    Some(ContainerMetrics {
        name: reading.container.name.clone(),
        cpu_percent: reading.cpu_percent.unwrap_or_default(),
        memory_mb: used / MIB,
        memory_limit_mb: limit / MIB,
        memory_percent: if limit > 0.0 { used / limit * 100.0 } else { 0.0 },
        net_rx_bytes: stats.net_rx_bytes,
        net_tx_bytes: stats.net_tx_bytes,
        status: reading.container.state,
        uptime_seconds: starts
            .get(&reading.container.id)
            .map_or(0.0, |start| start.age(now).as_secs_f64()),
        image: reading.container.image.clone(),
    })
}

/// What stands beside what.
pub fn topology(context: &Context, containers: &[ContainerSummary]) -> Topology {
    let own = context.settings.own_container.as_deref();
    let containers: Vec<TopologyContainer> = containers
        .iter()
        .map(|container| {
            let is_own = own.is_some_and(|own| container.id.starts_with(own));
            TopologyContainer {
                name: container.name.clone(),
                status: container.state,
                image: container.image.clone(),
                role: container
                    .labels
                    .get(LABEL_ROLE)
                    .cloned()
                    .or_else(|| is_own.then(|| "agent".to_owned())),
            }
        })
        .collect();
    let workloads = context.store.list::<Workload>();
    let balancers = context.store.list::<LoadBalancer>();
    Topology::derive(
        &containers,
        workloads.iter().map(Arc::as_ref),
        balancers.iter().map(Arc::as_ref),
    )
}

/// When each running container started: read once a run, since a list does not contain it.
#[derive(Debug, Default)]
pub struct Starts {
    known: HashMap<ContainerId, Time>,
    /// Those that changed since they were last requested: the answer may be of before.
    changed: HashSet<ContainerId>,
}

impl Starts {
    fn get(&self, id: &str) -> Option<Time> {
        self.known.get(id).copied()
    }

    /// Forgets a container that started, ended or went; answers whether the picture changed with it.
    pub fn forget(&mut self, id: &str, action: &str) -> bool {
        let changed = matches!(
            action,
            "create" | "start" | "die" | "destroy" | "rename" | "pause" | "unpause"
        );
        if changed {
            self.known.remove(id);
            self.changed.insert(id.into());
        }
        changed
    }

    /// Forgets all of them; the picture changed.
    pub fn forget_all(&mut self) -> bool {
        self.changed.extend(self.known.drain().map(|(id, _)| id));
        true
    }

    /// Ids of running containers whose start is not known yet.
    pub fn unknown(&mut self, containers: &[ContainerSummary]) -> Vec<ContainerId> {
        self.changed.clear();
        let running = containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        running
            .map(|container| container.id.clone())
            .filter(|id| !self.known.contains_key(id))
            .collect()
    }

    /// Adds what was learned and drops what is gone.
    pub fn add(&mut self, learned: Vec<(ContainerId, Time)>, readings: &[Reading]) {
        let current = learned.into_iter().filter(|(id, _)| !self.changed.contains(id));
        self.known.extend(current);
        self.known
            .retain(|id, _| readings.iter().any(|reading| reading.container.id == *id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str) -> ContainerSummary {
        ContainerSummary {
            id: id.into(),
            name: format!("name-{id}"),
            state: ContainerState::Running,
            ..ContainerSummary::default()
        }
    }

    fn reading(id: &str) -> Reading {
        Reading {
            container: container(id),
            stats: None,
            cpu_percent: None,
            throttled_percent: None,
        }
    }

    #[test]
    fn a_start_is_read_once_a_run_and_an_answer_of_before_does_not_count() {
        let second = |second| Time(jiff::Timestamp::from_second(second).unwrap());
        let (containers, readings) = ([container("a"), container("b")], [reading("a"), reading("b")]);
        let mut starts = Starts::default();
        assert_eq!(starts.unknown(&containers), ["a", "b"]);
        starts.add(vec![("a".into(), second(1)), ("b".into(), second(2))], &readings);
        assert!(starts.unknown(&containers).is_empty());
        assert!(
            !starts.forget("a", "exec_create"),
            "nothing that changes the picture"
        );
        assert!(starts.forget("a", "start"));
        // Asked before it was restarted, answered after.
        starts.add(vec![("a".into(), second(1))], &readings);
        assert_eq!(starts.unknown(&containers), ["a"]);
        starts.add(vec![("a".into(), second(9))], &readings);
        assert_eq!(starts.get("a"), Some(second(9)));
        starts.add(Vec::new(), &[reading("b")]);
        assert_eq!(starts.get("a"), None, "what is gone is forgotten");
    }
}
