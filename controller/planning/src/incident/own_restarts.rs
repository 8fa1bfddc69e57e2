//! An incident that a detector opened about a crash waits while the Workload's reconciler restarts what crashed: that is
//! the same remedy, with a limit of its own. Once the detector has cleared, or no attempts are left, it goes on. Pure.

use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::workload::InstanceStatus;
use aegis_api::{ConditionType, Kind, Reason, Time, Workload, WorkloadStatus, condition};

use super::transition::HeldFor;
use super::validate::ValidatedIncident;

/// How long what crashed may stay down before the incident no longer waits for its restart.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked again; a change of the workload asks at once.
const ASK_AGAIN: aegis_api::Duration = aegis_api::Duration::from_secs(5);

/// Why it waits, if it does.
pub(super) fn hold(incident: &ValidatedIncident, workload: &Workload) -> Option<HeldFor> {
    let detected = incident.detected.as_ref()?;
    let status = workload.status.as_ref()?;
    // Where automation holds still nothing is restarted, or not by itself.
    if !detected.of_ends || incident.paused.is_some() || is_limited(status) {
        return None;
    }
    let since = incident.incident.spec.starts_at?;
    let rows = || {
        status
            .instances
            .iter()
            .filter(|row| row.stopped_by_hand.is_none())
    };
    // Down between two restarts it waits, too, however long the pause.
    let restarted = rows().find(|row| {
        let at = row.last_restart_at;
        at.is_some_and(|at| is_of_now(at, workload, incident.now)) && (detected.firing || is_idle(row))
    });
    let is_new = detected.firing && since.age(incident.now) < STARTED_WITHIN;
    let down = rows().find(|row| is_new && is_idle(row));
    let message = match (restarted, down) {
        (Some(row), _) => format!(
            "spec.restart restarts {} ({} of {} times within {}): it is resolved when detector {} clears, and requires approval when no attempts are left",
            row.name,
            row.recent_restarts.len(),
            workload.spec.restart.most(),
            workload.spec.restart.window,
            detected.detector
        ),
        (None, Some(row)) => format!("{} is to be restarted by spec.restart, or by Docker", row.name),
        (None, None) if is_new && is_stale(status, since) => {
            format!("workload {} was not observed since {since}", workload.name())
        }
        (None, None) => return None,
    };
    Some(HeldFor {
        reason: Reason::RestartsUnderWay,
        message,
        until: Some(incident.now.plus(ASK_AGAIN)),
    })
}

/// Whether automatic restarts have ended.
fn is_limited(status: &WorkloadStatus) -> bool {
    condition::is_true_for(&status.conditions, ConditionType::Degraded, Reason::RestartLimit)
}

/// Whether a restart still counts against the limit.
fn is_of_now(at: Time, workload: &Workload, now: Time) -> bool {
    at.age(now) < workload.spec.restart.window.std()
}

fn is_idle(row: &InstanceStatus) -> bool {
    matches!(
        row.state,
        ContainerState::Created | ContainerState::Exited | ContainerState::Restarting
    )
}

/// Whether the status is of before the crash: it says that all run, since long.
fn is_stale(status: &WorkloadStatus, crashed: Time) -> bool {
    let before = |row: &InstanceStatus| {
        let moment = Duration::from_secs(2);
        row.started_at
            .is_none_or(|started| started < crashed && started.age(crashed) > moment)
    };
    !status.instances.is_empty() && status.instances.iter().all(before)
}
