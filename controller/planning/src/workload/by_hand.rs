//! How a Workload tells that a person stopped its container: the condition. Pure.

use aegis_api::Time;
use aegis_api::condition::{self, Condition};

use super::validate::ValidatedWorkload;
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
