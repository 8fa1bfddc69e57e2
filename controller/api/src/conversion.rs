//! Statuses that an earlier version stored, as this version would have written them. Files stay as they are until their
//! object changes. Pure.

use serde_json::Value;

use crate::alert_source::AlertSourceStatus;
use crate::condition::{ConditionType, Reason};
use crate::detector::DetectorStatus;
use crate::incident::{IncidentStatus, Phase, Stage};
use crate::load_balancer::LoadBalancerStatus;
use crate::policy::RemediationPolicyStatus;
use crate::runbook::RunbookEntryStatus;
use crate::silence::SilenceStatus;
use crate::workload::WorkloadStatus;

/// A status that may have been stored by an earlier version.
pub trait Convert {
    /// Brings it to its present form.
    fn convert(status: &mut Value) {
        let _ = status;
    }
}

impl Convert for WorkloadStatus {}
impl Convert for LoadBalancerStatus {}
impl Convert for RemediationPolicyStatus {}
impl Convert for DetectorStatus {}
impl Convert for AlertSourceStatus {}
impl Convert for SilenceStatus {}
impl Convert for RunbookEntryStatus {}

impl Convert for IncidentStatus {
    /// Dry runs ended in the phase in which the real run would have stopped or gone on.
    fn convert(status: &mut Value) {
        if !is_early_dry_run(status) {
            return;
        }
        let Some(fields) = status.as_object_mut() else {
            return;
        };
        fields.insert("phase".to_owned(), Phase::DryRun.as_str().into());
        // What would have been refused has not failed; the words are in the condition and on the timeline.
        fields.remove("error");
        let timeline = fields.get_mut("timeline").and_then(Value::as_array_mut);
        let last = timeline.and_then(|timeline| timeline.last_mut());
        if let Some(stage) = last.and_then(|entry| entry.get_mut("status")) {
            *stage = Stage::DryRun.as_str().into();
        }
    }
}

fn is_early_dry_run(status: &Value) -> bool {
    const ENDS: [Phase; 3] = [Phase::Approved, Phase::CouncilReview, Phase::Failed];
    let phase = status.get("phase").and_then(Value::as_str);
    let ended = status.get("finishedAt").is_some() && ENDS.iter().any(|end| phase == Some(end.as_str()));
    let conditions = status.get("conditions").and_then(Value::as_array);
    let is_dry_run = |condition: &Value| {
        let is = |field: &str, word: &str| condition.get(field).and_then(Value::as_str) == Some(word);
        is("type", ConditionType::Executed.as_str())
            && is("status", "False")
            && is("reason", Reason::DryRun.as_str())
    };
    ended && conditions.is_some_and(|conditions| conditions.iter().any(is_dry_run))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Incident, kinds};

    fn stored(phase: &str, finished: bool, reason: &str) -> Value {
        let mut status = json!({
            "phase": phase,
            "conditions": [{"type": "Executed", "status": "False", "reason": reason, "message": "dry run: would RESTART web; nothing was done",
                "lastTransitionTime": "2026-01-31T12:00:00Z"}],
            "timeline": [
                {"ts": "2026-01-31T12:00:00Z", "status": "RECEIVED", "message": "m"},
                {"ts": "2026-01-31T12:00:01Z", "status": "APPROVED", "message": "dry run: would RESTART web; nothing was done"},
            ],
            "error": "dry run: would have been refused",
        });
        if finished {
            status["finishedAt"] = json!("2026-01-31T12:00:01Z");
        }
        status
    }

    fn read(status: &Value) -> (Value, std::sync::Arc<Incident>) {
        let object = json!({"metadata": {"name": "one"}, "spec": {"workloadRef": "web", "alertType": "odd"}, "status": status});
        let (value, typed) = kinds::find("Incident").unwrap().decode(object).unwrap();
        (value, typed.downcast().unwrap())
    }

    #[test]
    fn a_dry_run_that_an_earlier_version_ended_is_one_wherever_it_ended() {
        for phase in ["APPROVED", "COUNCIL_REVIEW", "FAILED"] {
            let (value, incident) = read(&stored(phase, true, "DryRun"));
            assert_eq!(value["status"]["phase"], "DRY_RUN", "{phase}");
            assert_eq!(value["status"]["timeline"][1]["status"], "DRY_RUN", "{phase}");
            assert_eq!(value["status"]["timeline"][0]["status"], "RECEIVED", "{phase}");
            let status = incident.status.as_ref().unwrap();
            assert_eq!((status.phase, &status.error), (Phase::DryRun, &None), "{phase}");
            assert!(incident.is_finished() && status.phase.is_end(), "{phase}");
            assert!(status.conditions[0].message.contains("would RESTART web"));
        }
    }

    #[test]
    fn what_is_no_dry_run_stays_as_it_is() {
        for status in [
            stored("APPROVED", false, "DryRun"),
            stored("FAILED", true, "Applied"),
            stored("RESOLVED", true, "DryRun"),
            stored("DRY_RUN", true, "DryRun"),
        ] {
            let (value, _) = read(&status);
            assert_eq!(value["status"], status);
        }
    }
}
