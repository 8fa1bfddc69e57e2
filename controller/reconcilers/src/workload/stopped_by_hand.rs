//! The Events that report that a person stopped a Workload's container, and that it was handed back.

use aegis_api::{ConditionType, Workload, WorkloadStatus, condition};
use aegis_runtime::events::{EventType, ObjectRef};

use crate::context::Context;

/// Reports a stop once, and its end once.
pub(super) fn announce(context: &Context, workload: &Workload, status: &WorkloadStatus) {
    let kind = ConditionType::StoppedByHand;
    let before = workload.status.as_ref();
    let was = before.is_some_and(|before| condition::is_true(&before.conditions, kind));
    let now = condition::find(&status.conditions, kind);
    let (reason, text) = match now {
        Some(now) if now.status == "True" && !was => (kind.as_str(), now.message.clone()),
        Some(now) if now.status != "True" && was => {
            ("HandedBack", "what was stopped by hand runs again".to_owned())
        }
        _ => return,
    };
    context
        .events
        .record(&ObjectRef::of(workload), EventType::Normal, reason, text);
}
