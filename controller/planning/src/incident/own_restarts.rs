//! An incident that a detector opened about a crash waits while the Workload's reconciler restarts what crashed: that is
//! the same remedy, with a limit of its own. Once the detector has cleared, or no attempts are left, it goes on. Pure.

use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::symptom::SymptomClass;
use aegis_api::workload::{Health, InstanceStatus};
use aegis_api::{ConditionType, Kind, Reason, Time, Workload, WorkloadStatus, condition};

use super::detected::Detected;
use super::transition::HeldFor;
use super::validate::ValidatedIncident;

/// How long what crashed may stay down before the incident no longer waits for its restart.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
/// How long what was started again must be healthy for the incident to go on.
const SETTLES: Duration = Duration::from_secs(10);
/// How often it is asked again; a change of the workload asks at once.
const ASK_AGAIN: aegis_api::Duration = aegis_api::Duration::from_secs(5);

/// Why it waits, if it does.
pub(super) fn hold(incident: &ValidatedIncident, workload: &Workload) -> Option<HeldFor> {
    let detected = incident.detected.as_ref()?;
    let status = workload.status.as_ref()?;
    // Where automation holds still nothing is restarted, or not by itself.
    let is_of_crash = detected.counts_crashes || may_be_of_crash(incident, detected);
    if !is_of_crash || detected.beyond_down || incident.paused.is_some() || is_in_the_way(status) {
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
        at.is_some_and(|at| is_of_now(at, workload, incident.now)) && (detected.crashes || is_idle(row))
    });
    let is_new = detected.crashes && since.age(incident.now) < STARTED_WITHIN;
    let down = rows().find(|row| is_new && is_idle(row));
    let starting = rows().find(|row| is_new && !has_settled(row, incident.now));
    let message = match (restarted, down.or(starting)) {
        (Some(row), _) => format!(
            "spec.restart restarts {} ({} of {} times within {}): it is resolved when detector {} clears, and requires approval when no attempts are left",
            row.name,
            row.recent_restarts.len(),
            workload.spec.restart.most(),
            workload.spec.restart.window,
            detected.detector
        ),
        (None, Some(row)) if is_idle(row) => {
            format!("{} is to be restarted by spec.restart, or by Docker", row.name)
        }
        (None, Some(row)) => format!("{} was restarted, and is not ready yet", row.name),
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

/// Whether it may be about what a crash left: other detectors saw what its clients met, and nothing else is measured.
fn may_be_of_crash(incident: &ValidatedIncident, detected: &Detected) -> bool {
    let mut symptoms = incident.status.symptoms.iter();
    detected.crashes && symptoms.all(|symptom| symptom.kind.class() == SymptomClass::Availability)
}

/// Whether something keeps it from being restarted: the limit, or what the engine refuses.
fn is_in_the_way(status: &WorkloadStatus) -> bool {
    let degraded = condition::find(&status.conditions, ConditionType::Degraded);
    degraded.is_some_and(|degraded| {
        let is_tried_again = [
            Reason::Unhealthy,
            Reason::StepFailed,
            Reason::DependencyDown,
            // The revision before it serves, and is restarted like any other.
            Reason::RolledBack,
        ];
        degraded.status == "True" && !is_tried_again.iter().any(|reason| degraded.reason == *reason)
    })
}

/// Whether a restart still counts against the limit.
fn is_of_now(at: Time, workload: &Workload, now: Time) -> bool {
    at.age(now) < workload.spec.restart.window.std()
}

/// Whether it has been healthy for a moment since it was started again: what crashes at once has not.
fn has_settled(row: &InstanceStatus, now: Time) -> bool {
    let since = row.ready_since.or(row.started_at);
    row.health == Health::Healthy && since.is_none_or(|since| since.age(now) >= SETTLES)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::testing::{NOW, incident, judge, row};
    use super::*;

    /// Why an incident about a crash half a minute ago waits, if the container's row has this beside what is well.
    fn held(
        differs: &serde_json::Value,
        degraded: Option<&str>,
        firing: bool,
        beyond_down: bool,
    ) -> Option<String> {
        let spec = "{workloadRef: web, alertType: CRASHED, startsAt: '2026-11-22T11:59:30Z'}";
        let mut judged = judge(vec![incident(spec, "{phase: RECEIVED}")], "{}");
        judged.detected = Some(Detected {
            detector: "crashed".to_owned(),
            firing,
            counts_crashes: true,
            crashes: firing,
            other: None,
            beyond_down,
        });
        let mut workload = (**judged.target.as_ref().unwrap()).clone();
        let mut instance = serde_json::to_value(row("web-replica-1")).unwrap();
        instance["startedAt"] = json!("2026-11-22T11:59:31Z");
        for (field, value) in differs.as_object().unwrap() {
            instance[field] = value.clone();
        }
        let status = workload.status.get_or_insert_default();
        status.instances = vec![serde_json::from_value(instance).unwrap()];
        if let Some(reason) = degraded {
            let condition = json!({"type": "Degraded", "status": "True", "reason": reason, "message": "m", "lastTransitionTime": NOW});
            status.conditions = vec![serde_json::from_value(condition).unwrap()];
        }
        let workload = Arc::new(workload);
        hold(&judged, &workload).map(|held| {
            assert_eq!(held.reason, Reason::RestartsUnderWay);
            assert!(held.until.is_some(), "it is asked again, whatever is missed");
            held.message
        })
    }

    #[test]
    fn i6_it_waits_only_while_a_restart_of_what_crashed_is_to_be_expected() {
        let restarted =
            json!({"lastRestartAt": "2026-11-22T11:59:31Z", "recentRestarts": ["2026-11-22T11:59:31Z"]});
        let down = json!({"state": "exited", "lastRestartAt": "2026-11-22T11:58:00Z"});
        let first = json!({"state": "exited"});
        let stale = json!({"startedAt": "2026-11-20T00:00:00Z"});
        let by_hand = json!({"state": "exited", "stoppedByHand": "2026-11-22T11:59:30Z"});
        let (crash, over) = ((true, false), (false, false));
        for (differs, degraded, (firing, beyond_down), wanted) in [
            (&restarted, None, crash, Some("1 of 10 times within 1h")),
            (&restarted, Some("Unhealthy"), crash, Some("1 of 10 times")),
            (&restarted, Some("RestartLimit"), crash, None),
            (&restarted, Some("PortTaken"), crash, None),
            (&restarted, Some("DependencyDown"), crash, Some("1 of 10 times")),
            (&restarted, Some("RolledBack"), crash, Some("1 of 10 times")),
            (&restarted, None, over, None),
            (&restarted, None, (true, true), None),
            (&down, Some("Unhealthy"), crash, Some("0 of 10 times")),
            (&down, Some("Unhealthy"), over, Some("0 of 10 times")),
            (&first, Some("Unhealthy"), crash, Some("is to be restarted")),
            (&first, Some("Unhealthy"), over, None),
            (
                &json!({"health": "Unknown"}),
                None,
                crash,
                Some("is not ready yet"),
            ),
            (&json!({"health": "Unknown"}), None, over, None),
            (&stale, None, crash, Some("was not observed since")),
            (&by_hand, None, crash, None),
            (&json!({}), None, crash, None),
        ] {
            let said = held(differs, degraded, firing, beyond_down);
            let case = format!("{differs} {degraded:?} {firing} {beyond_down}: {said:?}");
            match wanted {
                Some(words) => assert!(said.is_some_and(|said| said.contains(words)), "{case}"),
                None => assert_eq!(said, None, "{case}"),
            }
        }
    }
}
