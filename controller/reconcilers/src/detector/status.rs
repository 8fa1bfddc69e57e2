//! The only writer of a Detector's status. It is written when something fires or does no more, and else at most once a
//! minute, where a value has moved so much that people would see it: readings come every few seconds.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aegis_api::condition::{self, Conditions};
use aegis_api::detector::DetectorWorkload;
use aegis_api::redact::bound;
use aegis_api::scalar::ResourceName;
use aegis_api::{ConditionType, Detector, DetectorStatus, Kind, Reason, Time};
use aegis_planning::detection::{Finding, State};
use aegis_planning::ledger::count;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::store::StoreError;

use super::DetectorReconciler;
use crate::context::Context;

/// Rows that are kept; those that fire come first.
const MOST_ROWS: usize = 200;
/// Characters of a row's message.
const WORDS: usize = 300;
/// How long what only moved waits until it is stored.
const SELDOM: Duration = Duration::from_secs(60);

pub(super) fn row(
    workload: Option<String>,
    state: State,
    finding: &Finding,
    incident: Option<ResourceName>,
) -> DetectorWorkload {
    DetectorWorkload {
        workload,
        firing: state.firing,
        condition: finding.verdict.as_str().to_owned(),
        since: state.since.filter(|_| state.firing),
        ended_at: state.since.filter(|_| state.ended && !state.firing),
        value: finding.value.map(|value| (value * 100.0).round() / 100.0),
        container: finding.container.clone(),
        message: bound(&finding.message, WORDS),
        incident: incident.filter(|_| state.firing),
    }
}

/// The rows that are kept.
pub(super) fn listed(rows: &[DetectorWorkload]) -> Vec<DetectorWorkload> {
    let mut rows = rows.to_vec();
    let is_at_rest = |row: &DetectorWorkload| (!row.firing, row.ended_at.is_none());
    rows.sort_by(|a, b| {
        let order = is_at_rest(a).cmp(&is_at_rest(b));
        order.then_with(|| a.workload.cmp(&b.workload))
    });
    rows.truncate(MOST_ROWS);
    rows
}

/// The status that follows.
pub(super) fn next(detector: &Detector, rows: &[DetectorWorkload], now: Time) -> DetectorStatus {
    let before = detector.status.as_ref();
    let generation = Some(detector.generation());
    let mut status = DetectorStatus {
        observed_generation: generation,
        workloads: listed(rows),
        firing: count(rows.iter().filter(|row| row.firing).count()),
        value: rows.iter().filter_map(|row| row.value).reduce(f64::max),
        incidents_opened: before.map_or(0, |before| before.incidents_opened),
        conditions: before.map(|before| before.conditions.clone()).unwrap_or_default(),
    };
    let blind = !rows.is_empty() && rows.iter().all(|row| row.condition == "Unknown");
    let (reason, message) = match rows.first().filter(|_| blind) {
        Some(row) => (Reason::NotMeasured, row.message.clone()),
        None => (Reason::Evaluated, String::new()),
    };
    Conditions::at(&mut status.conditions, generation, now).set(
        ConditionType::Ready,
        !blind,
        reason,
        message,
    );
    status
}

/// Reports by Events what fires from now on, and what does no more.
pub(super) fn report(context: &Context, detector: &Detector, next: &DetectorStatus) {
    let before = detector.status.as_ref();
    let fired = |row: &DetectorWorkload| {
        let mut rows = before.into_iter().flat_map(|status| &status.workloads);
        rows.any(|old| old.workload == row.workload && old.firing)
    };
    for row in next.workloads.iter().filter(|row| row.firing != fired(row)) {
        let about = row.workload.as_deref().unwrap_or("the host");
        let (kind, reason, word) = if row.firing {
            (EventType::Warning, "Firing", "fires")
        } else {
            (EventType::Normal, "Cleared", "is over")
        };
        let message = format!("{} of {about} {word}: {}", detector.spec.alert_type, row.message);
        context
            .events
            .record(&ObjectRef::of(detector), kind, reason, message);
    }
}

/// Whether the difference is one that must be stored at once.
fn is_news(before: &DetectorStatus, next: &DetectorStatus) -> bool {
    fn key(row: &DetectorWorkload) -> impl PartialEq {
        (&row.workload, row.firing, row.since, row.ended_at, &row.incident)
    }
    before.observed_generation != next.observed_generation
        || before.firing != next.firing
        || before.incidents_opened != next.incidents_opened
        || !before
            .workloads
            .iter()
            .map(key)
            .eq(next.workloads.iter().map(key))
}

/// What is said of whether the detector could be evaluated: it may change with every round.
fn ready(status: &DetectorStatus) -> Option<(&str, &str)> {
    let ready = condition::find(&status.conditions, ConditionType::Ready)?;
    Some((&ready.status, &ready.reason))
}

/// Whether it says that nothing could be measured.
fn is_blind(status: &DetectorStatus) -> bool {
    let ready = condition::find(&status.conditions, ConditionType::Ready);
    ready.is_some_and(|ready| ready.reason == Reason::NotMeasured)
}

/// Whether a value has moved so much that people would see it: by a tenth, and by one.
fn has_moved(before: &DetectorStatus, next: &DetectorStatus) -> bool {
    let pairs = before.workloads.iter().zip(&next.workloads);
    ready(before) != ready(next)
        || pairs.into_iter().any(|(old, new)| {
            let moved = match (old.value, new.value) {
                (Some(old), Some(new)) => (new - old).abs() >= (old.abs() / 10.0).max(1.0),
                (old, new) => old.is_some() != new.is_some(),
            };
            moved || old.condition != new.condition
        })
}

impl DetectorReconciler {
    /// Stores a status, if there is a reason to.
    pub(super) async fn store(
        &self,
        detector: &Detector,
        next: &DetectorStatus,
        now: Time,
    ) -> Result<(), StoreError> {
        let current = self.context.store.get::<Detector>(detector.name());
        let is_same = |current: &Arc<Detector>| current.metadata.uid == detector.metadata.uid;
        let Some(current) = current.filter(is_same) else {
            return Ok(());
        };
        let none = DetectorStatus::default();
        let before = current.status.as_ref().unwrap_or(&none);
        let written = self.written(detector.name(), None);
        // That nothing could be measured is no news for a minute once something is: a start, a restart.
        let is_measured_again = is_blind(before) && !is_blind(next);
        let is_due = is_measured_again || written.is_none_or(|at| at.apart(now) >= SELDOM);
        if !(is_news(before, next) || is_due && has_moved(before, next)) {
            return Ok(());
        }
        self.context.write_status(&*current, next.clone()).await?;
        self.written(detector.name(), Some(now));
        Ok(())
    }

    /// When the status of a detector was last stored; sets it, where that is now.
    fn written(&self, name: &str, at: Option<Time>) -> Option<Time> {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = all.get_mut(name)?;
        standing.written = at.or(standing.written);
        standing.written
    }
}
