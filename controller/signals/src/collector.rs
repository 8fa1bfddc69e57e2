//! Readings of every container's counters, taken once an interval and kept for rates. Does I/O through the engine only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::observed::{ContainerState, ContainerSummary, Stats, cpu_percent, throttled_percent};
use aegis_api::signals::Sample;
use aegis_api::{ContainerId, Time};
use aegis_docker::Engine;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::WatchStream;

use crate::rings::History;
use crate::traffic::Traffic;

/// Readings requested at the same time. Older engines answer each only at their next tick, a second apart: requested one
/// after the other, a hundred containers would take minutes.
const AT_ONCE: usize = 128;
/// How long counters may take to come. An older engine takes up to two seconds, whatever it is asked about.
const WITHIN: Duration = Duration::from_secs(4);
/// How long a container is left out whose counters did not: it must not hold up every round.
const SILENT_FOR: Duration = Duration::from_secs(60);
/// A reading younger than this gives a rate too coarse to mean anything.
const MIN_GAP: Duration = Duration::from_millis(200);

/// The last readings, by container id, and the history of the load. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    last: Arc<Mutex<HashMap<ContainerId, Stats>>>,
    /// Containers whose counters did not come in time, and from when on they are asked again.
    silent: Arc<Mutex<HashMap<ContainerId, Instant>>>,
    history: History,
    traffic: Traffic,
    rounds: watch::Sender<u64>,
}

impl Samples {
    /// CPU percent of one core between the last kept reading and this one.
    pub fn cpu_percent(&self, id: &str, now: &Stats) -> Option<f64> {
        cpu_percent(&self.before(id, now)?, now)
    }

    /// The last kept reading, if it is long enough ago to make a rate.
    fn before(&self, id: &str, now: &Stats) -> Option<Stats> {
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()?;
        let gap = now.read_at?.0.duration_since(before.read_at?.0);
        (gap >= jiff::SignedDuration::try_from(MIN_GAP).ok()?).then_some(before)
    }

    /// The load of the last quarter of an hour, and of the last day.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Adds a round of readings to the history.
    pub fn remember(&self, now: Time, readings: &[Reading]) {
        let loads = readings.iter().filter_map(|reading| {
            let stats = reading.stats.as_ref()?;
            let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let load = Sample {
                at: now,
                cpu_percent: reading.cpu_percent.map(short),
                throttled_percent: reading.throttled_percent.map(short),
                memory_bytes: stats.memory_bytes,
                memory_limit_bytes: stats.memory_limit_bytes,
                net_rx_bytes: stats.net_rx_bytes,
                net_tx_bytes: stats.net_tx_bytes,
                pids: count(stats.pids),
                pids_limit: count(stats.pids_limit),
            };
            Some((reading.container.name.as_str(), load))
        });
        self.history.add(now, loads);
        self.rounds.send_modify(|rounds| *rounds = rounds.wrapping_add(1));
    }

    /// Requests to workloads, while they are counted.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// One item after each round of readings.
    pub fn rounds(&self) -> impl Stream<Item = ()> + Send + 'static {
        WatchStream::from_changes(self.rounds.subscribe()).map(|_| ())
    }

    fn is_silent(&self, id: &ContainerId) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(id).is_some_and(|until| Instant::now() < *until)
    }

    fn fell_silent(&self, id: &ContainerId) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        silent.retain(|_, until| now < *until);
        silent.insert(id.clone(), now + SILENT_FOR);
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
    /// Percent of scheduling periods since then in which its CPU limit held it back.
    pub throttled_percent: Option<f64>,
}

#[expect(
    clippy::as_conversions,
    reason = "a percentage: the rounding of f64 to f32 is below what is shown"
)]
fn short(percent: f64) -> f32 {
    percent as f32
}

/// Reads each of these containers once. One that does not answer has no counters.
pub async fn collect(
    engine: &dyn Engine,
    samples: &Samples,
    containers: Vec<ContainerSummary>,
) -> Vec<Reading> {
    let running = containers
        .iter()
        .filter(|container| container.state == ContainerState::Running);
    let running = running.map(|container| container.id.clone()).collect();
    let at_hand = &engine.stats_at_hand(running).await;
    let readings = futures::stream::iter(containers).map(|container| async move {
        let stats = match container.state {
            ContainerState::Running if at_hand.contains_key(&container.id) => {
                at_hand.get(&container.id).cloned()
            }
            ContainerState::Running if !samples.is_silent(&container.id) => {
                match timeout(WITHIN, engine.stats(&container.id)).await {
                    Ok(stats) => stats.ok(),
                    Err(_) => {
                        samples.fell_silent(&container.id);
                        None
                    }
                }
            }
            _ => None,
        };
        let both = stats
            .as_ref()
            .and_then(|stats| Some((samples.before(&container.id, stats)?, stats)));
        let (cpu_percent, throttled_percent) = match &both {
            Some((before, after)) => (cpu_percent(before, after), throttled_percent(before, after)),
            None => (None, None),
        };
        Reading {
            container,
            stats,
            cpu_percent,
            throttled_percent,
        }
    });
    let mut readings: Vec<Reading> = readings.buffer_unordered(AT_ONCE).collect().await;
    readings.sort_by(|a, b| a.container.name.cmp(&b.container.name));
    samples.replace(&readings);
    readings
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use aegis_docker::ListFilter;
    use aegis_docker_fake::{FakeEngine, FakeOptions, RunSpec, When};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn i9_one_container_whose_counters_hang_does_not_delay_those_of_the_others() {
        let engine = FakeEngine::new(FakeOptions::default());
        for name in ["a", "b", "c"] {
            engine.run_container(&RunSpec::new(name, "app:1")).unwrap();
        }
        let samples = Samples::default();
        let round = async || {
            let containers = engine.list(ListFilter::default()).await.unwrap();
            let begun = Instant::now();
            let readings = collect(&engine, &samples, containers).await;
            let read = readings.iter().filter(|reading| reading.stats.is_some()).count();
            (read, begun.elapsed().as_secs())
        };
        let hangs = AtomicBool::new(true);
        let hook = move |op: &str, when: When| {
            op == "stats" && when == When::Before && hangs.swap(false, Ordering::Relaxed)
        };
        engine.on_operation(Some(Arc::new(hook)));
        assert_eq!(round().await, (2, WITHIN.as_secs()));
        assert_eq!(round().await, (2, 0), "it is left out for a while");
        tokio::time::advance(SILENT_FOR).await;
        assert_eq!(round().await, (3, 0));
    }
}
