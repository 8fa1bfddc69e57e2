//! Readiness probes: one loop a container, and the latest verdict of each. Does I/O through the engine only.
//!
//! A verdict belongs to one run of a container (id and start time): after a restart it is unknown until the first
//! probe. Losing all verdicts costs nothing but a probe each, so they live in memory alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::workload::Health;
use aegis_api::{ContainerId, Time};
use aegis_docker::Engine;
use aegis_planning::probe::{ProbeRequest, ProbeResult, Target};
use futures::stream::Stream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod answer;
mod asker;

pub use answer::Failure;
use asker::Asker;
pub(crate) use asker::ask;

/// The first pause after a failed probe of a container that is not ready yet.
const FIRST_RETRY: Duration = Duration::from_millis(25);
/// The same of a probe that runs a command inside the container: that costs far more than a connection.
const FIRST_RETRY_INSIDE: Duration = Duration::from_secs(1);
/// Into how many moments an interval is divided. Probes that are due within the same moment go together at its start: a
/// hundred containers wake this process four times a second, and not fifty.
const MOMENTS: u32 = 8;

/// Probes every target it is given, for as long as it is given it. Cheap to clone.
#[derive(Clone)]
pub struct Prober(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    began: Instant,
    state: Mutex<State>,
    targets_changed: Notify,
    results_changed: Notify,
}

#[derive(Default)]
struct State {
    targets: HashMap<ContainerId, (String, Target)>,
    results: HashMap<ContainerId, (Option<Time>, ProbeResult)>,
    /// Which of a run's questions was answered well first.
    reached: HashMap<ContainerId, (Option<Time>, ProbeRequest)>,
    dirty: BTreeSet<String>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prober")
    }
}

impl Prober {
    /// A prober without targets; [`Prober::run`] does the work.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self(Arc::new(Inner {
            engine,
            began: Instant::now(),
            state: Mutex::default(),
            targets_changed: Notify::new(),
            results_changed: Notify::new(),
        }))
    }

    /// Replaces the targets of one workload.
    pub fn set_targets(&self, workload: &str, targets: &[Target]) {
        let changed = self.with(|state| {
            let wanted: BTreeMap<&str, &Target> = targets
                .iter()
                .map(|target| (target.id.as_str(), target))
                .collect();
            let before = state.targets.len();
            state
                .targets
                .retain(|id, (owner, _)| owner != workload || wanted.contains_key(id.as_str()));
            let mut changed = state.targets.len() != before;
            for target in targets {
                let entry = (workload.to_owned(), target.clone());
                if state.targets.get(&target.id) != Some(&entry) {
                    state.targets.insert(target.id.clone(), entry);
                    changed = true;
                }
            }
            let State {
                targets,
                results,
                reached,
                ..
            } = state;
            results.retain(|id, _| targets.contains_key(id));
            reached.retain(|id, _| targets.contains_key(id));
            changed
        });
        if changed {
            self.0.targets_changed.notify_one();
        }
    }

    /// The latest result for this run of a container.
    pub fn result(&self, id: &str, started_at: Option<Time>) -> ProbeResult {
        self.with(|state| match state.results.get(id) {
            Some((run, result)) if *run == started_at => result.clone(),
            _ => ProbeResult::default(),
        })
    }

    /// What is asked of this run of a container: where it was found to be, else everywhere it may be. `None` where it is
    /// not probed.
    pub(crate) fn questions(&self, id: &str, started_at: Option<Time>) -> Option<Vec<ProbeRequest>> {
        self.with(|state| {
            let (_, target) = state
                .targets
                .get(id)
                .filter(|(_, target)| target.started_at == started_at)?;
            match state.reached.get(id) {
                Some((run, question)) if *run == started_at && target.questions.contains(question) => {
                    Some(vec![question.clone()])
                }
                _ => Some(target.questions.clone()),
            }
        })
    }

    /// Names of workloads one of whose containers changed its health.
    pub fn changes(&self) -> impl Stream<Item = String> + Send + 'static {
        let prober = self.clone();
        futures::stream::unfold(prober, |prober| async move {
            loop {
                let next = prober.with(|state| state.dirty.pop_first());
                if let Some(name) = next {
                    return Some((name, prober));
                }
                // A change in between has left a permit: it is not missed.
                prober.0.results_changed.notified().await;
            }
        })
    }

    /// Runs the probe loops until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut running: HashMap<ContainerId, (Target, tokio::task::AbortHandle)> = HashMap::new();
        let mut loops = JoinSet::new();
        loop {
            let notified = self.0.targets_changed.notified();
            let wanted = self.with(|state| state.targets.clone());
            running.retain(|id, (target, handle)| {
                let keep = wanted.get(id).is_some_and(|(_, wanted)| wanted == target);
                if !keep {
                    handle.abort();
                }
                keep
            });
            for (id, (workload, target)) in wanted {
                running.entry(id).or_insert_with(|| {
                    let handle = loops.spawn(self.clone().probe_for_ever(workload, target.clone()));
                    (target, handle)
                });
            }
            tokio::select! {
                () = notified => {}
                Some(_) = loops.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn probe_for_ever(self, workload: String, target: Target) {
        let mut tally = Tally::default();
        let mut asker = Asker::new(&target);
        let inside = matches!(target.questions.first(), Some(ProbeRequest::Exec(..)));
        let first = if inside { FIRST_RETRY_INSIDE } else { FIRST_RETRY };
        let mut pause = first.min(target.interval);
        loop {
            let answer = asker.ask(&self.0.engine).await;
            if let (Some(question), true) = (asker.found(), answer.is_ok()) {
                self.found(&target, question);
            }
            let health = tally.count(answer.is_ok(), target.successes, target.failures);
            let (message, failing) = match answer {
                Ok(message) => (message, None),
                Err(Failure { failing, text }) => (text, Some(failing)),
            };
            let result = ProbeResult {
                health,
                message,
                failing,
            };
            self.record(&workload, &target, result);
            if health == Health::Healthy {
                pause = first.min(target.interval);
                tokio::time::sleep_until(self.next(target.interval)).await;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(target.interval);
            }
        }
    }

    /// When a probe is due that comes this long after the last: at most a moment earlier, never later.
    fn next(&self, interval: Duration) -> Instant {
        let now = Instant::now();
        let due = now.duration_since(self.0.began).saturating_add(interval);
        let into_moment = due.as_nanos().checked_rem((interval / MOMENTS).as_nanos());
        let early = into_moment.and_then(|nanos| u64::try_from(nanos).ok());
        now + interval.saturating_sub(Duration::from_nanos(early.unwrap_or_default()))
    }

    /// Remembers where a container was found.
    fn found(&self, target: &Target, question: &ProbeRequest) {
        self.with(|state| {
            let found = (target.started_at, question.clone());
            if state.targets.contains_key(&target.id) && state.reached.get(&target.id) != Some(&found) {
                state.reached.insert(target.id.clone(), found);
            }
        });
    }

    fn record(&self, workload: &str, target: &Target, result: ProbeResult) {
        let changed = self.with(|state| {
            if !state
                .targets
                .get(&target.id)
                .is_some_and(|(_, wanted)| wanted == target)
            {
                return false;
            }
            let health = result.health;
            let before = state
                .results
                .insert(target.id.clone(), (target.started_at, result));
            let changed =
                before.is_none_or(|(run, before)| run != target.started_at || before.health != health);
            if changed {
                state.dirty.insert(workload.to_owned());
            }
            changed
        });
        if changed {
            self.0.results_changed.notify_one();
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts answers into a health: thresholds in a row, and no result before the first threshold is reached.
#[derive(Debug, Default)]
struct Tally {
    health: Health,
    successes: u32,
    failures: u32,
}

impl Tally {
    fn count(&mut self, healthy: bool, successes: u32, failures: u32) -> Health {
        if healthy {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
            if self.successes >= successes {
                self.health = Health::Healthy;
            }
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
            if self.failures >= failures {
                self.health = Health::Unhealthy;
            }
        }
        self.health
    }
}

#[cfg(test)]
mod tests {
    use aegis_docker_fake::FakeEngine;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn probes_of_one_interval_go_together_and_none_comes_late() {
        let prober = Prober::new(Arc::new(FakeEngine::default()));
        let began = Instant::now();
        let mut due = std::collections::BTreeSet::new();
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(17)).await;
            let (now, next) = (Instant::now(), prober.next(Duration::from_secs(2)));
            let pause = next - now;
            assert!(
                pause <= Duration::from_secs(2) && pause > Duration::from_millis(1750),
                "{pause:?}"
            );
            due.insert((next - began).as_millis());
        }
        // Within 1.7 s.
        assert_eq!(due.len(), 7, "{due:?}");
        assert!(due.iter().all(|at| at % 250 == 0), "{due:?}");
        // From then on it comes as often as it is to.
        tokio::time::sleep_until(prober.next(Duration::from_secs(2))).await;
        tokio::time::advance(Duration::from_millis(3)).await;
        let pause = prober.next(Duration::from_secs(2)) - Instant::now();
        assert_eq!(pause, Duration::from_millis(1997));
        assert_eq!(
            prober.next(Duration::ZERO),
            Instant::now(),
            "an interval that has no moments"
        );
    }

    #[test]
    fn thresholds_count_answers_in_a_row() {
        let mut tally = Tally::default();
        assert_eq!(tally.count(false, 2, 3), Health::Unknown);
        assert_eq!(tally.count(true, 2, 3), Health::Unknown);
        assert_eq!(tally.count(true, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(true, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Healthy);
        assert_eq!(tally.count(false, 2, 3), Health::Unhealthy);
    }
}
