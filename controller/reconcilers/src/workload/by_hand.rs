//! How a Workload tells that a person stopped its container: the condition, and the Event that comes with it.

use aegis_api::condition::{self, Condition};
use aegis_api::{Time, Workload, WorkloadStatus};
use aegis_runtime::events::{EventType, ObjectRef};

use super::validate::ValidatedWorkload;
use crate::context::Context;
use crate::hold::STOPPED_BY_HAND;

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
pub(super) fn condition(
    conditions: &mut Vec<Condition>,
    told: Option<String>,
    generation: Option<i64>,
    now: Time,
) {
    match told {
        Some(text) => condition::set(
            conditions,
            STOPPED_BY_HAND,
            true,
            "Stopped",
            text,
            generation,
            now,
        ),
        None if condition::find(conditions, STOPPED_BY_HAND).is_some() => {
            let text = "it was started again";
            condition::set(
                conditions,
                STOPPED_BY_HAND,
                false,
                "Started",
                text,
                generation,
                now,
            );
        }
        None => {}
    }
}

/// Tells once of a stop, and once of its end.
pub(super) fn announce(context: &Context, workload: &Workload, status: &WorkloadStatus) {
    let before = workload.status.as_ref();
    let was = before.is_some_and(|before| condition::is_true(&before.conditions, STOPPED_BY_HAND));
    let now = condition::find(&status.conditions, STOPPED_BY_HAND);
    let (reason, text) = match now {
        Some(now) if now.status == "True" && !was => (STOPPED_BY_HAND, now.message.clone()),
        Some(now) if now.status != "True" && was => {
            ("HandedBack", "what was stopped by hand runs again".to_owned())
        }
        _ => return,
    };
    context
        .events
        .record(&ObjectRef::of(workload), EventType::Normal, reason, text);
}
