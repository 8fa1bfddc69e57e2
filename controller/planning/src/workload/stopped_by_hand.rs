//! How a Workload reports that a person stopped its container: the condition. Pure.

use aegis_api::condition::Conditions;
use aegis_api::{ConditionType, Reason, WorkloadStatus, condition};

use super::validate::ValidatedWorkload;

/// What people stopped, and how to hand it back; nothing while nothing is.
pub(super) fn message(workload: &ValidatedWorkload) -> Option<String> {
    let stopped = workload
        .instances
        .iter()
        .filter(|instance| instance.is_stopped_by_hand());
    let removed = workload
        .spec
        .container
        .as_ref()
        .filter(|_| workload.removed_by_hand);
    let removed = removed
        .map(|name| format!("{name}: removed by hand, and left so: it is adopted again when there is one"));
    let messages: Vec<String> = stopped
        .map(|instance| format!("{}: {}", instance.name, instance.message))
        .chain(removed)
        .collect();
    (!messages.is_empty()).then(|| messages.join("; "))
}

/// Whether the last status says that the adopted container was removed by hand: it stays so while there is none.
pub(super) fn was_removed(before: &WorkloadStatus) -> bool {
    condition::is_true_for(&before.conditions, ConditionType::StoppedByHand, Reason::Removed)
}

/// Sets the condition; a workload that was never stopped has none.
pub(super) fn condition(conditions: &mut Conditions<'_>, message: Option<String>, removed: bool) {
    let kind = ConditionType::StoppedByHand;
    match message {
        Some(text) => {
            let reason = if removed { Reason::Removed } else { Reason::Stopped };
            conditions.set(kind, true, reason, text);
        }
        None if conditions.find(kind).is_some() => {
            conditions.set(kind, false, Reason::Started, "it was started again");
        }
        None => {}
    }
}
