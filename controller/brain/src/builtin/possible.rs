//! Whether an action is possible at all, and by how many replicas: within the bounds, and not what failed already. Pure.

use aegis_api::proposal::Action;
use aegis_api::symptom::SymptomKind;

use crate::facts::Facts;

/// Of the replicas that are `wanted`, how many SCALE_UP may add or SCALE_DOWN remove, 0 for any other action; or why the
/// action is not possible.
pub(super) fn possible(action: Action, wanted: u32, facts: Facts<'_>) -> Result<u32, String> {
    if action == Action::Noop {
        return Ok(0);
    }
    if facts.is_tried_out(action) {
        return Err(match facts.times_tried(action) {
            1 => format!("{action} was tried in this incident and did not help"),
            times => format!("{action} was tried {times} times in this incident and did not help"),
        });
    }
    let failures = facts.failures(action);
    if failures >= 2 {
        return Err(format!("{action} failed {failures} times here lately"));
    }
    let bounds = facts.case.replicas;
    let count = match action {
        Action::ScaleUp => wanted.min(bounds.room_up()),
        Action::ScaleDown => wanted.min(bounds.room_down()),
        Action::Rollback if !facts.evidence().can_roll_back => {
            return Err("there is no earlier revision".to_owned());
        }
        Action::Restart | Action::Rollback | Action::Noop => return Ok(0),
    };
    if count == 0 {
        let (current, min, max) = (bounds.current, bounds.min, bounds.max);
        return Err(format!(
            "{action} is not possible: it has {current}, and {min} to {max} are allowed"
        ));
    }
    Ok(count)
}

/// Where nothing is measured and the policy trusts the sender, the first possible action of those that it allows.
pub(super) fn first_trusted(facts: Facts<'_>) -> Option<Action> {
    let symptoms = facts.symptoms();
    let only_trusted = symptoms
        .iter()
        .all(|symptom| symptom.kind == SymptomKind::Trusted);
    if symptoms.is_empty() || !only_trusted {
        return None;
    }
    let mut allowed = facts.case.trusted.iter().copied();
    allowed.find(|action| *action != Action::Noop && possible(*action, 1, facts).is_ok())
}
