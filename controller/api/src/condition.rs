//! Conditions in the Kubernetes convention: one row a type, `lastTransitionTime` moves only with `status`. Pure.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::scalar::Time;

/// The longest message a condition carries, in characters; the rest is cut with an ellipsis.
const MESSAGE_LIMIT: usize = 1024;

/// Sets the condition `kind` in place. `lastTransitionTime` is kept unless the status changes.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Time,
) {
    let status = if status { "True" } else { "False" };
    let mut message: String = message.into();
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
        message.truncate(cut);
        message.push('…');
    }
    let existing = conditions.iter_mut().find(|condition| condition.type_ == kind);
    match existing {
        Some(condition) => {
            if condition.status != status {
                status.clone_into(&mut condition.status);
                condition.last_transition_time = now.meta();
            }
            reason.clone_into(&mut condition.reason);
            condition.message = message;
            condition.observed_generation = generation;
        }
        None => conditions.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: now.meta(),
        }),
    }
}

/// The condition of this type, if it was ever set.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of this type is `True` for this reason.
pub fn is_true_for(conditions: &[Condition], kind: &str, reason: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True" && condition.reason == reason)
}

/// Whether the condition of this type is `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}
