//! RESOLVED, and what was cleared may still come back: it counts once it has stayed away, or has not.

use aegis_api::{ConditionType, Phase, Reason, Time};

use super::super::next::{Effect, Next};
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;

pub(super) fn next(incident: &ValidatedIncident) -> Next {
    let status = &incident.status;
    let Some(mitigated) = status.mitigated_at.filter(|_| status.is_unsettled()) else {
        return Next::Wait(None);
    };
    let until = mitigated.plus(incident.policy.relapse_window);
    match &incident.came_back_in {
        Some(again) => Next::Effect(Effect::Settle {
            relapsed_in: Some(again.clone()),
        }),
        None if incident.now >= until => Next::Effect(Effect::Settle { relapsed_in: None }),
        None => Next::Wait(Some(until.until(incident.now))),
    }
}

/// What it taught counts now.
pub fn after_settling(incident: &ValidatedIncident, relapsed_in: Option<String>, now: Time) -> Transition {
    let transition = Transition::new(What::Settled, Phase::Resolved, now)
        .set(Field::SettledAt(Some(now)))
        .again(None);
    let Some(again) = relapsed_in else {
        return transition;
    };
    let window = incident.policy.relapse_window;
    let message = format!("it came back within {window}, in incident {again}");
    transition
        .condition(ConditionType::SymptomCleared, false, Reason::CameBack, message)
        .set(Field::RelapsedIn(Some(again)))
}
