//! Readings of every container's counters, taken once an interval and kept for rates. Does I/O through the engine only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::observed::{ContainerState, ContainerSummary, Stats, cpu_percent};
use aegis_api::{ContainerId, Time};
use aegis_docker::Engine;
use futures::StreamExt;

use crate::history::{History, Load};

/// Readings requested at the same time. Older engines answer each only at their next tick, a second apart: requested one
/// after the other, a hundred containers would take minutes.
const AT_ONCE: usize = 128;
/// A reading younger than this gives a rate too coarse to mean anything.
const MIN_GAP: Duration = Duration::from_millis(200);

/// The last readings, by container id, and the history of the load. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    last: Arc<Mutex<HashMap<ContainerId, Stats>>>,
    history: History,
}

impl Samples {
    /// CPU percent of one core between the last kept reading and this one.
    pub fn cpu_percent(&self, id: &str, now: &Stats) -> Option<f64> {
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()?;
        let gap = now.read_at?.0.duration_since(before.read_at?.0);
        (gap >= jiff::SignedDuration::try_from(MIN_GAP).ok()?)
            .then(|| cpu_percent(&before, now))
            .flatten()
    }

    /// The load of the last quarter of an hour.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Adds a round of readings to the history.
    pub fn remember(&self, now: Time, readings: &[Reading]) {
        let loads = readings.iter().filter_map(|reading| {
            let stats = reading.stats.as_ref()?;
            let load = Load {
                at: now,
                cpu_percent: reading.cpu_percent,
                memory_bytes: stats.memory_bytes,
                memory_limit_bytes: stats.memory_limit_bytes,
                net_rx_bytes: stats.net_rx_bytes,
                net_tx_bytes: stats.net_tx_bytes,
            };
            Some((reading.container.name.as_str(), load))
        });
        self.history.add(now, loads);
    }

    fn replace(&self, readings: &[Reading]) {
        let kept = readings
            .iter()
            .filter_map(|reading| Some((reading.container.id.clone(), reading.stats.clone()?)));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = kept.collect();
    }
}

/// One container and its counters.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The container.
    pub container: ContainerSummary,
    /// Its counters, if it runs and answered.
    pub stats: Option<Stats>,
    /// CPU percent of one core since the reading before.
    pub cpu_percent: Option<f64>,
}

/// Reads each of these containers once. One that does not answer has no counters.
pub async fn collect(
    engine: &dyn Engine,
    samples: &Samples,
    containers: Vec<ContainerSummary>,
) -> Vec<Reading> {
    let readings = futures::stream::iter(containers).map(|container| async move {
        let stats = match container.state {
            ContainerState::Running => engine.stats(&container.id).await.ok(),
            _ => None,
        };
        let cpu_percent = stats
            .as_ref()
            .and_then(|stats| samples.cpu_percent(&container.id, stats));
        Reading {
            container,
            stats,
            cpu_percent,
        }
    });
    let mut readings: Vec<Reading> = readings.buffer_unordered(AT_ONCE).collect().await;
    readings.sort_by(|a, b| a.container.name.cmp(&b.container.name));
    samples.replace(&readings);
    readings
}
