//! The Detector reconciler: evaluates a detector over what is measured, keeps where it stands with each workload, and opens
//! the Incident of an episode. What holds is planned (`aegis_planning::detection`).
//!
//! That a detector fires, and since when, is stored before its incident is opened, and the incident's name follows from
//! both: after a restart the same incident is opened, once. That its incident has ended while the condition holds is
//! stored, too: nothing fires again at once because this controller was restarted. How long a condition has held that does
//! not fire yet, or not held that still does, is no progress but a reading: nothing watched it meanwhile, so it is measured
//! from the start again.

pub mod defaults;
mod episode;
mod inhibited;
mod inspections;
mod lines;
mod status;
mod survey;
#[cfg(test)]
mod tests;
mod triggers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::detector::DetectorWorkload;
use aegis_api::facets::key;
use aegis_api::{Detector, Incident, Kind, LoadBalancer, Time, Workload};
use aegis_planning::detection::{
    Condition, Finding, HostCondition, State, Watch, advance, episode as rule, hysteresis,
};
use aegis_planning::set_back;
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler, Trigger};
use aegis_runtime::store::StoreError;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use crate::context::Context;
use crate::docker_events::DockerEvents;
use inspections::Inspections;
use lines::Lines;
use survey::Survey;

/// Workloads that one detector surveys at a time: one that answers slowly keeps few others waiting.
const AT_A_TIME: usize = 16;
/// How soon a detector evaluates again that waits for time to pass, or watches the host.
const EVALUATE_AGAIN: Duration = Duration::from_secs(3);

/// What the detector found could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store {what} of detector {detector}")]
pub struct Error {
    detector: String,
    what: &'static str,
    source: StoreError,
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        "store"
    }
    fn on_error(&self) -> OnError {
        OnError::Backoff
    }
}

/// Reconciles Detectors.
#[derive(Debug, Clone)]
pub struct DetectorReconciler {
    context: Context,
    inspections: Inspections,
    lines: Lines,
    states: Arc<Mutex<HashMap<String, Standing>>>,
    /// One episode is opened at a time: two detectors that fire on the same trouble have one incident.
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// The state that a row keeps: what fires, and what must hold for longer since its incident ended.
fn stored(row: &DetectorWorkload, now: Time) -> State {
    match (row.firing, row.since, row.ended_at) {
        (true, Some(since), _) => State::stored(since, now),
        (false, _, Some(ended)) => State::default().after_end(ended),
        _ => State::default(),
    }
}

/// Where one detector stands.
#[derive(Debug, Clone, Default)]
struct Standing {
    generation: i64,
    /// By workload; the host has none.
    states: HashMap<Option<String>, State>,
    written: Option<Time>,
}

impl DetectorReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            inspections: Inspections::default(),
            lines: Lines::default(),
            states: Arc::default(),
            opening: Arc::default(),
        }
    }

    /// What makes it evaluate: people's changes, every round of readings, and the engine's events.
    pub(crate) fn triggers(&self, events: &DockerEvents) -> Vec<BoxStream<'static, Trigger>> {
        triggers::all(&self.context, events, &self.inspections)
    }

    /// What the detector watches, measured now: each workload that it selects, or the host.
    async fn measure(&self, detector: &Detector, watch: &Watch, now: Time) -> Vec<(Option<String>, Finding)> {
        match watch {
            Watch::Host(condition) => vec![(None, self.of_host(*condition, now).await)],
            Watch::Workloads(condition) => self.of_workloads(detector, condition, now).await,
        }
    }

    async fn of_host(&self, condition: HostCondition, now: Time) -> Finding {
        let mut host = self.context.read_host().await;
        host.engine_away_since = self.context.lifecycle.away_since();
        condition.evaluate(&host, now)
    }

    async fn of_workloads(
        &self,
        detector: &Detector,
        condition: &Condition,
        now: Time,
    ) -> Vec<(Option<String>, Finding)> {
        let survey = Survey {
            context: &self.context,
            inspections: &self.inspections,
            lines: &self.lines,
            condition,
            pattern: detector.spec.pattern.as_deref(),
            balancers: self.context.store.list::<LoadBalancer>(),
            now,
        };
        let mut selected = self.context.store.list::<Workload>();
        let none = BTreeMap::new();
        selected.retain(|workload| {
            let labels = workload.metadata.labels.as_ref().unwrap_or(&none);
            let selects = detector.spec.workloads.rank(workload.name(), labels).is_some();
            selects && !workload.is_deleting()
        });
        let survey = &survey;
        let evaluations = selected.into_iter().map(|workload| {
            async move {
                let name = workload.name().to_owned();
                (Some(name), survey.evaluate(&workload).await)
            }
            .boxed()
        });
        futures::stream::iter(evaluations)
            .buffered(AT_A_TIME)
            .collect()
            .await
    }

    /// Moves every state on; answers the rows of the status, and whether anything waits for time to pass.
    fn advance(
        &self,
        detector: &Detector,
        found: Vec<(Option<String>, Finding)>,
        now: Time,
    ) -> (Vec<DetectorWorkload>, bool) {
        let rows = detector.status.iter().flat_map(|status| &status.workloads);
        let rows: HashMap<Option<&str>, &DetectorWorkload> =
            rows.map(|row| (row.workload.as_deref(), row)).collect();
        let times = hysteresis(&detector.spec);
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = all.entry(detector.name().to_owned()).or_default();
        if standing.generation != detector.generation() {
            // It may be another condition now: what waits starts again; what fires is stored.
            standing.states.clear();
            standing.generation = detector.generation();
        }
        // Who is selected no more is forgotten.
        let mut before = std::mem::take(&mut standing.states);
        let set_at = self.context.clock.set_at();
        let mut waits = false;
        let mut next_rows = Vec::with_capacity(found.len());
        for (workload, finding) in found {
            let row = rows.get(&workload.as_deref());
            let stored = || row.map_or_else(State::default, |row| stored(row, now));
            let state = before.remove(&workload).unwrap_or_else(stored);
            let incident = row.and_then(|row| row.incident.clone()).filter(|_| state.firing);
            let ended =
                incident
                    .as_ref()
                    .and_then(|name| match self.context.store.get::<Incident>(name.as_str()) {
                        Some(incident) => {
                            let fingerprint = key::fingerprint(&incident.spec.source.fingerprint);
                            let settled = |one| set_back::incident(one, set_at, now);
                            let same = || {
                                let same = self.context.store.find::<Incident>(&fingerprint);
                                same.into_iter().map(settled).collect()
                            };
                            rule::ended_at(&settled(incident), state.since, same, now)
                        }
                        // Deleted: that is the end of it.
                        None => Some(now),
                    });
            let state = ended.map_or(state, |at| state.after_end(at));
            let (next, _) = advance(state, finding.verdict, times, now);
            waits |= next.firing == next.clearing.is_some() && next.since.is_some();
            standing.states.insert(workload.clone(), next);
            next_rows.push(status::row(
                workload,
                next,
                &finding,
                incident.filter(|_| ended.is_none()),
            ));
        }
        (next_rows, waits)
    }

    /// Sees to it that every episode of a workload has its incident, or is listed on the one that inhibits it.
    async fn open(
        &self,
        detector: &Detector,
        watch: &Watch,
        rows: &mut [DetectorWorkload],
        now: Time,
    ) -> Result<Opened, StoreError> {
        let condition = match watch {
            Watch::Workloads(condition) => Some(condition),
            Watch::Host(_) => None,
        };
        let mut opened = Opened::default();
        for row in rows.iter_mut().filter(|row| is_to_open(row)) {
            let Some(episode) = episode::Episode::of(detector, condition, row) else {
                continue;
            };
            let _turn = self.opening.lock().await;
            if inhibited::is_inhibited(&self.context, &episode, now).await? {
                opened.held.push(episode.name());
                continue;
            }
            let (incident, is_new) = episode
                .incident(&self.context.store, now, self.context.clock.set_at())
                .await?;
            opened.new += u64::from(is_new);
            opened.names.push(episode.name());
            row.incident = Some(incident);
        }
        inhibited::note(
            &self.context.store,
            detector.name(),
            &opened.held,
            &opened.names,
            now,
        )
        .await?;
        Ok(opened)
    }
}

/// What became of the episodes that had no incident.
#[derive(Debug, Default)]
struct Opened {
    /// Incidents that were opened.
    new: u64,
    /// Episodes that have an incident now, by name.
    names: Vec<String>,
    /// Episodes that are inhibited, by name.
    held: Vec<String>,
}

/// Whether an episode has no incident yet.
fn is_to_open(row: &DetectorWorkload) -> bool {
    row.firing && row.incident.is_none()
}

impl Reconciler for DetectorReconciler {
    type Error = Error;
    const KIND: &'static str = "Detector";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let failed = |what: &'static str| {
            move |source: StoreError| Error {
                detector: name.to_owned(),
                what,
                source,
            }
        };
        let found = self.context.store.get::<Detector>(name);
        let now = self.context.clock.now();
        let Some(detector) = found.filter(|detector| !detector.is_deleting()) else {
            self.states
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(name);
            let noted = inhibited::note(&self.context.store, name, &[], &[], now).await;
            noted.map_err(failed("what it inhibited"))?;
            return Ok(Action::AwaitChange);
        };
        let Some(watch) = Watch::of(&detector.spec) else {
            return Ok(Action::AwaitChange);
        };
        let found = self.measure(&detector, &watch, now).await;
        let (mut rows, waits) = self.advance(&detector, found, now);
        // What fires is stored before anything follows from it.
        let mut next = status::next(&detector, &rows, now);
        self.store(&detector, &next, now)
            .await
            .map_err(failed("the state"))?;
        status::report(&self.context, &detector, &next);
        let mut is_held = false;
        if rows.iter().any(is_to_open) || inhibited::follows(&self.context.store, &detector) {
            let opened = self
                .open(&detector, &watch, &mut rows, now)
                .await
                .map_err(failed("an incident"))?;
            is_held = !opened.held.is_empty();
            next.workloads = status::listed(&rows);
            next.incidents_opened = next.incidents_opened.saturating_add(opened.new);
            self.store(&detector, &next, now)
                .await
                .map_err(failed("the incidents"))?;
        }
        let again = waits || is_held || matches!(watch, Watch::Host(_));
        Ok(if again {
            Action::Requeue(EVALUATE_AGAIN)
        } else {
            Action::AwaitChange
        })
    }
}
