//! How a Workload tells that a person stopped its container: the condition. Pure.

use aegis_api::condition::Conditions;
use aegis_api::{ConditionType, Reason};

use super::validate::ValidatedWorkload;

/// What people stopped, and how to hand it back; nothing while nothing is.
pub(super) fn told(workload: &ValidatedWorkload) -> Option<String> {
    let stopped = workload
        .instances
        .iter()
        .filter(|instance| instance.is_stopped_by_hand());
    let told: Vec<String> = stopped
        .map(|instance| format!("{}: {}", instance.name, instance.message))
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Sets the condition; a workload that nobody ever stopped has none.
pub(super) fn condition(conditions: &mut Conditions<'_>, told: Option<String>) {
    let kind = ConditionType::StoppedByHand;
    match told {
        Some(text) => {
            conditions.set(kind, true, Reason::Stopped, text);
        }
        None if conditions.find(kind).is_some() => {
            conditions.set(kind, false, Reason::Started, "it was started again");
        }
        None => {}
    }
}
