//! When what was decided is stored, and which Events tell of it. A status is stored at once where it says something new, and
//! seldom where only what was measured has moved.

use std::time::Duration;

use aegis_api::condition;
use aegis_api::workload::autoscale::{AutoscaleStatus, ScaleChange};
use aegis_api::{ConditionType, Reason, Time, Workload, WorkloadStatus};
use aegis_planning::autoscale::Decision;
use aegis_runtime::events::{EventType, ObjectRef};

use crate::context::Context;

/// How long what only moved waits until it is stored.
const SELDOM: Duration = Duration::from_secs(15);

/// Whether a status says something of autoscaling.
pub(super) fn says_something(status: &WorkloadStatus) -> bool {
    status.autoscale.is_some()
        || condition::find(&status.conditions, ConditionType::AutoscalingActive).is_some()
}

/// Whether there is a reason to store a status.
pub(super) fn is_to_be_stored(
    before: Option<&AutoscaleStatus>,
    next: &AutoscaleStatus,
    written: Option<Time>,
    now: Time,
) -> bool {
    let Some(before) = before else {
        return true;
    };
    let is_due = written.is_none_or(|at| at.apart(now) >= SELDOM);
    is_news(before, next) || is_due && has_moved(before, next)
}

fn is_news(before: &AutoscaleStatus, next: &AutoscaleStatus) -> bool {
    fn key(status: &AutoscaleStatus) -> impl PartialEq {
        let held = status.held.as_ref().map(|held| (held.by, held.message.as_str()));
        let lost: Vec<_> = status
            .targets
            .iter()
            .map(|row| (row.metric, row.lost_since))
            .collect();
        (
            (status.current, status.desired, status.min, status.max),
            (
                &status.decision,
                status.known,
                &status.changes,
                status.manual_until,
            ),
            (held, lost),
        )
    }
    key(before) != key(next)
}

/// Whether something moved that people would see: by a tenth, or in whole numbers.
fn has_moved(before: &AutoscaleStatus, next: &AutoscaleStatus) -> bool {
    let pairs = before.targets.iter().zip(&next.targets);
    let mut moved = pairs.map(|(old, new)| match (old.current, new.current) {
        (Some(old), Some(new)) => (new - old).abs() > old.abs() / 10.0,
        (old, new) => old.is_some() != new.is_some(),
    });
    let windows = |status: &AutoscaleStatus| (status.lowest_in_window, status.highest_in_window);
    before.wanted != next.wanted
        || before.serving != next.serving
        || before.saturation.map(|known| known.requests_per_second)
            != next.saturation.map(|known| known.requests_per_second)
        || windows(before) != windows(next)
        || moved.any(|moved| moved)
}

/// Records why nothing changes, where that is of note and new.
pub(super) fn announce(
    context: &Context,
    workload: &Workload,
    before: &AutoscaleStatus,
    decision: &Decision,
) {
    let reason = decision.reason;
    if decision.change.is_some() || before.decision == reason.as_str() {
        return;
    }
    let kind = match reason {
        Reason::MetricUnavailable | Reason::AtMaximum | Reason::ErrorBrake => EventType::Warning,
        Reason::DirectionPaused
        | Reason::ManualHold
        | Reason::RemediationUnderWay
        | Reason::Paused
        | Reason::Protected
        | Reason::RateLimited
        | Reason::ScaledToZero => EventType::Normal,
        _ => return,
    };
    let text = format!(
        "{} replicas stay: {}",
        decision.status.current, decision.status.message
    );
    context
        .events
        .record(&ObjectRef::of(workload), kind, reason.as_str(), text);
}

/// Records a change.
pub(super) fn announce_change(
    context: &Context,
    workload: &Workload,
    change: ScaleChange,
    decision: &Decision,
) {
    let (reason, word) = match change.to > change.from {
        true => (Reason::ScaledOut, "out"),
        false => (Reason::ScaledIn, "in"),
    };
    let text = format!(
        "scaled {word} from {} to {}: {}",
        change.from, change.to, decision.status.message
    );
    let about = ObjectRef::of(workload);
    context
        .events
        .record(&about, EventType::Normal, reason.as_str(), text);
}
