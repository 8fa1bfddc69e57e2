//! What a click on a button amounts to: the decision on one plan of one incident, once. Pure.

use aegis_api::incident::{Approval, ApprovalDecision, IncidentSpec, Phase};
use aegis_api::{Incident, Kind as _};

/// The incident's spec with the decision of a person who saw the plan `plan_hash` of the incident `uid`. The same decision
/// by the same person again changes nothing.
///
/// # Errors
///
/// Why it does not count, for the person.
pub fn decided(
    incident: &Incident,
    uid: &str,
    plan_hash: &str,
    decision: ApprovalDecision,
    by: &str,
) -> Result<IncidentSpec, String> {
    let name = incident.name();
    if incident.metadata.uid.as_deref() != Some(uid) {
        return Err(format!("incident {name} is another one of the same name now"));
    }
    let known = incident.spec.approval.as_ref();
    if let Some(known) = known.filter(|known| known.plan_hash == plan_hash) {
        if known.decision == decision && known.by == by {
            return Ok(incident.spec.clone());
        }
        let did = match known.decision {
            ApprovalDecision::Approve => "approved",
            ApprovalDecision::Reject => "rejected",
        };
        return Err(format!(
            "{} has {did} plan {plan_hash} of incident {name} already",
            known.by
        ));
    }
    let status = incident.status.as_ref();
    let phase = status.map(|status| status.phase).unwrap_or_default();
    if phase != Phase::AwaitingApproval {
        return Err(format!(
            "incident {name} does not wait for approval any more: its phase is {}",
            phase.as_str()
        ));
    }
    let plan = status.and_then(|status| status.plan.as_ref());
    match plan {
        Some(plan) if plan.hash == plan_hash => {}
        Some(plan) => {
            return Err(format!(
                "incident {name} has another plan now: {} ({} on {}), not {plan_hash}",
                plan.hash, plan.action, plan.target
            ));
        }
        None => return Err(format!("incident {name} has no plan to decide on")),
    }
    Ok(IncidentSpec {
        approval: Some(Approval {
            decision,
            by: by.to_owned(),
            plan_hash: plan_hash.to_owned(),
        }),
        ..incident.spec.clone()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting() -> Incident {
        serde_json::from_value(json!({
            "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident",
            "metadata": {"name": "inc-a", "uid": "u-1"},
            "spec": {"workloadRef": "web", "alertType": "oom"},
            "status": {"phase": "AWAITING_APPROVAL", "timeline": [], "plan": {"hash": "abc", "action": "RESTART",
                "target": "web", "parentGeneration": 1, "patch": {}, "createdAt": "2026-05-01T10:00:00Z"}},
        }))
        .unwrap()
    }

    fn approve(incident: &Incident, uid: &str, plan: &str, by: &str) -> Result<IncidentSpec, String> {
        decided(incident, uid, plan, ApprovalDecision::Approve, by)
    }

    #[test]
    fn a_click_decides_on_exactly_the_plan_that_was_seen_and_once() {
        let mut incident = waiting();
        incident.spec = approve(&incident, "u-1", "abc", "slack:U1 (ada)").unwrap();
        let approval = incident.spec.approval.clone().unwrap();
        assert_eq!(
            (approval.by.as_str(), approval.plan_hash.as_str()),
            ("slack:U1 (ada)", "abc")
        );
        // Sent again, also once the incident went on.
        incident.status.as_mut().unwrap().phase = Phase::Executing;
        assert_eq!(
            approve(&incident, "u-1", "abc", "slack:U1 (ada)").unwrap(),
            incident.spec
        );
        let second = approve(&incident, "u-1", "abc", "slack:U2 (bob)").unwrap_err();
        assert!(second.contains("slack:U1 (ada) has approved"), "{second}");
        let other = decided(
            &incident,
            "u-1",
            "abc",
            ApprovalDecision::Reject,
            "slack:U1 (ada)",
        );
        assert!(other.unwrap_err().contains("already"));
    }

    #[test]
    fn a_stale_plan_another_incident_and_one_that_went_on_are_not_decided_on() {
        let mut incident = waiting();
        let stale = approve(&incident, "u-1", "old", "slack:U1").unwrap_err();
        assert!(stale.contains("another plan now: abc"), "{stale}");
        let other = approve(&incident, "u-2", "abc", "slack:U1").unwrap_err();
        assert!(other.contains("another one of the same name"), "{other}");
        incident.status.as_mut().unwrap().phase = Phase::Verifying;
        let late = approve(&incident, "u-1", "abc", "slack:U1").unwrap_err();
        assert!(late.contains("its phase is VERIFYING"), "{late}");
        incident.status.as_mut().unwrap().phase = Phase::AwaitingApproval;
        incident.status.as_mut().unwrap().plan = None;
        assert!(approve(&incident, "u-1", "abc", "slack:U1").is_err());
    }
}
