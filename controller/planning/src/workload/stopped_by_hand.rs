//! How a Workload reports that a person stopped its container: the condition. Pure.

use aegis_api::condition::Conditions;
use aegis_api::{ConditionType, Reason};

use super::validate::ValidatedWorkload;

/// What people stopped, and how to hand it back; nothing while nothing is.
pub(super) fn message(workload: &ValidatedWorkload) -> Option<String> {
    let stopped = workload
        .instances
        .iter()
        .filter(|instance| instance.is_stopped_by_hand());
    let messages: Vec<String> = stopped
        .map(|instance| format!("{}: {}", instance.name, instance.message))
        .collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

/// Sets the condition; a workload that was never stopped has none.
pub(super) fn condition(conditions: &mut Conditions<'_>, message: Option<String>) {
    let kind = ConditionType::StoppedByHand;
    match message {
        Some(text) => {
            conditions.set(kind, true, Reason::Stopped, text);
        }
        None if conditions.find(kind).is_some() => {
            conditions.set(kind, false, Reason::Started, "it was started again");
        }
        None => {}
    }
}
