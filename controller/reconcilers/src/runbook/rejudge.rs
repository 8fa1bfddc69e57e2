//! Judges again what an earlier version learned: a success counts only where the incident's record shows something that
//! was measured as wrong. Once for each entry, and recorded in it. Pure.
//!
//! What people wrote or imported, and what this version learned, is not judged: the first is theirs, the second has its
//! proof in `spec.symptom`.

use aegis_api::runbook::RunbookEntrySpec;
use aegis_api::symptom::{Symptom, words};
use aegis_api::{Incident, Phase};
use aegis_brain::redact::bound;
use aegis_brain::symptoms_of;

use crate::incident::entry_name;

/// The longest account of what was wrong, in characters.
const SYMPTOM: usize = 2000;

/// Whether an entry is still to be judged: an incident wrote it, and nothing says what was wrong then.
pub(super) fn is_due(name: &str, spec: &RunbookEntrySpec) -> bool {
    let learned = spec
        .outcomes
        .counted
        .iter()
        .any(|incident| entry_name(incident) == name);
    learned && spec.symptom.is_empty() && spec.unproven.is_none()
}

/// The entry, judged. `find` answers the incident of a name, where it is still kept.
pub(super) fn judged<'a>(
    spec: &RunbookEntrySpec,
    find: impl Fn(&str) -> Option<&'a Incident>,
) -> RunbookEntrySpec {
    let mut judged = spec.clone();
    let kept = spec.outcomes.counted.iter().filter_map(|name| find(name));
    let proved: Vec<Vec<Symptom>> = kept
        .filter(|incident| acted(incident, spec))
        .map(found)
        .filter(|symptoms| !symptoms.is_empty())
        .collect();
    let before = spec.outcomes.successes;
    judged.outcomes.successes = u32::try_from(proved.len()).unwrap_or(u32::MAX).min(before);
    match proved.first() {
        Some(symptoms) => judged.symptom = bound(&words(symptoms), SYMPTOM),
        None => {
            judged.unproven = Some(format!(
                "{before} success(es) had been counted by an earlier version, and no incident that is still kept shows what was measured as wrong before"
            ));
        }
    }
    judged
}

/// Whether an incident was resolved by what the entry recommends.
fn acted(incident: &Incident, spec: &RunbookEntrySpec) -> bool {
    incident.status.as_ref().is_some_and(|status| {
        let plan = status.plan.as_ref();
        status.phase == Phase::Resolved && plan.is_some_and(|plan| plan.action == spec.action)
    })
}

/// What its record shows as wrong.
fn found(incident: &Incident) -> Vec<Symptom> {
    let Some(status) = &incident.status else {
        return Vec::new();
    };
    match (&status.evidence, status.symptoms.is_empty()) {
        (_, false) => status.symptoms.clone(),
        (Some(evidence), true) => symptoms_of(evidence),
        (None, true) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(counted: &[&str], successes: u32) -> RunbookEntrySpec {
        let spec = json!({
            "incidentId": "A-1", "alertType": "odd", "rootCause": "it restarts again and again", "action": "RESTART",
            "confidence": 0.8, "outcomes": {"successes": successes, "failures": 1, "counted": counted},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn incident(name: &str, container: &serde_json::Value) -> Incident {
        let incident = json!({
            "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": name},
            "spec": {"workloadRef": "web", "alertType": "odd"},
            "status": {
                "phase": "RESOLVED", "timeline": [],
                "plan": {"hash": "1", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {}, "createdAt": "2026-11-22T11:00:00Z"},
                "evidence": {"collectedAt": "2026-11-22T11:00:00Z", "desiredReplicas": 1, "readyReplicas": 1, "containers": [container]},
            },
        });
        serde_json::from_value(incident).unwrap()
    }

    #[test]
    fn only_what_an_incident_wrote_without_a_measurement_is_judged_and_once() {
        let learned = entry(&["odd-1"], 6);
        assert!(is_due("rb-odd-1", &learned));
        assert!(
            !is_due("rb-imported", &learned),
            "an imported entry that helped since"
        );
        assert!(!is_due("rb-odd-1", &entry(&[], 1)), "a person's own");
        let proved = RunbookEntrySpec {
            symptom: "memory".to_owned(),
            ..learned.clone()
        };
        assert!(!is_due("rb-odd-1", &proved));
        let judged = judged(&learned, |_| None);
        assert!(!is_due("rb-odd-1", &judged));
    }

    #[test]
    fn a_success_counts_only_where_the_incidents_record_shows_what_was_wrong() {
        let well = json!({"name": "web", "state": "running", "health": "Healthy", "restartCount": 9, "startedAt": "2026-11-22T10:59:00Z",
            "logTail": "error: a\n".repeat(9), "memoryBytes": 10, "memoryLimitBytes": 100});
        let mut sick = well.clone();
        sick["memoryBytes"] = json!(91);
        let incidents = [
            incident("odd-1", &well),
            incident("odd-2", &sick),
            incident(
                "odd-3",
                &json!({"name": "web", "state": "running", "health": "Unhealthy"}),
            ),
            incident("odd-4", &json!({"name": "web", "state": "exited", "exitCode": 1})),
        ];
        let find = |name: &str| {
            incidents
                .iter()
                .find(|it| it.metadata.name.as_deref() == Some(name))
        };
        for (counted, successes, unproven) in [
            (&["odd-1"][..], 0, true),
            (&["odd-1", "odd-1b"], 0, true),
            (&["gone"], 0, true),
            (&["odd-2"], 1, false),
            (&["odd-1", "odd-2", "odd-3", "odd-4", "gone"], 3, false),
        ] {
            let judged = judged(&entry(counted, 6), find);
            assert_eq!(
                (
                    judged.outcomes.successes,
                    judged.unproven.is_some(),
                    judged.symptom.is_empty()
                ),
                (successes, unproven, unproven),
                "{counted:?}"
            );
            assert_eq!(judged.outcomes.failures, 1, "what did not help did not help");
            assert_eq!(judged.is_recommended(), !unproven);
        }
    }
}
