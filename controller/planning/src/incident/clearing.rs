//! Which of the measured symptoms an action is to clear: what is verified after it is that one. Pure.

use aegis_api::proposal::Action;
use aegis_api::symptom::{SymptomKind, cleared_by, words};
use aegis_api::{IncidentStatus, Symptom};

use super::validate::ValidatedIncident;

/// The gravest symptom that the action can clear; `None` where it can clear none of them.
pub(super) fn to_clear(incident: &ValidatedIncident, action: Action) -> Option<&Symptom> {
    let spec = &incident.incident.spec;
    let trusted = || incident.policy.trusts(&spec.source.kind, &spec.alert_type);
    let mut symptoms = incident.status.symptoms.iter();
    symptoms.find(|symptom| match symptom.kind {
        SymptomKind::Trusted => trusted().is_some_and(|alert| alert.actions.contains(&action)),
        kind => kind.is_cleared_by(action),
    })
}

/// What the plan that was carried out was to clear; `None` where it was to clear nothing, such as what a human ordered.
pub fn target(status: &IncidentStatus) -> Option<&Symptom> {
    let plan = status.plan.as_ref().filter(|plan| plan.action != Action::Noop)?;
    // A status that an earlier version left does not name it.
    status
        .clears
        .as_ref()
        .or_else(|| cleared_by(&status.symptoms, plan.action))
}

/// A sender that the policy trusts reports it, and has not said that it is over.
pub fn trusted(incident: &ValidatedIncident) -> Option<Symptom> {
    let spec = &incident.incident.spec;
    if spec.source.resolved_at.is_some() {
        return None;
    }
    let alert = incident.policy.trusts(&spec.source.kind, &spec.alert_type)?;
    Some(Symptom {
        kind: SymptomKind::Trusted,
        container: None,
        value: None,
        message: format!(
            "{} fires {}, which policy {} trusts",
            alert.source, alert.alert_type, incident.policy_name
        ),
    })
}

/// Why a human decides where no symptom can be cleared by the action.
pub(super) fn cannot_clear(incident: &ValidatedIncident, action: Action) -> Option<String> {
    let symptoms = &incident.status.symptoms;
    let is_wrong = !symptoms.is_empty() && to_clear(incident, action).is_none();
    is_wrong.then(|| {
        format!(
            "{action} clears nothing of what is measured ({})",
            words(symptoms)
        )
    })
}
