//! What goes first where places are few: see [`aegis_api::precedence`]. Pure.

use aegis_api::Incident;
use aegis_api::precedence::Urgency;

use crate::host_limit::is_ordered;

/// In which line an incident waits: a critical one goes first, and so does what a human decided. One that has ended is in no
/// hurry.
pub fn of_incident(incident: &Incident) -> Urgency {
    if incident.is_finished() {
        return Urgency::Ordinary;
    }
    match is_ordered(incident) {
        true => Urgency::Urgent,
        false => incident.spec.severity.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn urgency(spec: &Value, status: &Value) -> Urgency {
        let mut whole = json!({"workloadRef": "web", "alertType": "x"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        let incident = json!({"metadata": {"name": "i"}, "spec": whole, "status": status});
        of_incident(&serde_json::from_value(incident).unwrap())
    }

    #[test]
    fn what_is_critical_or_ordered_by_a_human_goes_first_until_it_ends() {
        let critical = json!({"severity": "critical"});
        assert_eq!(urgency(&critical, &Value::Null), Urgency::Urgent);
        assert_eq!(
            urgency(&json!({"severity": "warning"}), &Value::Null),
            Urgency::Ordinary
        );
        let ordered = json!({"severity": "info", "override": {"action": "RESTART", "by": "ada"}});
        assert_eq!(urgency(&ordered, &Value::Null), Urgency::Urgent);
        let ended = json!({"phase": "RESOLVED", "finishedAt": "2026-01-31T12:00:00Z"});
        assert_eq!(urgency(&critical, &ended), Urgency::Ordinary);
    }
}
