//! Who approved, rejected or chose an action is who sent the request: `by` is written by the server, whatever it says. It
//! is written over, not refused, since earlier clients send the name of the user on their own machine. What changes
//! nothing else keeps the name it has. Pure.

use aegis_api::{Incident, Kind as _, KindInfo};
use serde_json::Value;

/// What a person decides about an incident.
const DECISIONS: [&str; 2] = ["approval", "override"];

/// Puts the sender's name to every decision of `wanted` that is not in `current` already.
pub(super) fn stamp(info: &KindInfo, current: &Value, wanted: &mut Value, user: &str) {
    if info.plural != Incident::PLURAL {
        return;
    }
    for decision in DECISIONS {
        let before = current.pointer(&format!("/spec/{decision}"));
        let by = before.and_then(|before| before.get("by")).cloned();
        let now = wanted.pointer_mut(&format!("/spec/{decision}"));
        let Some(now) = now.and_then(Value::as_object_mut) else {
            continue;
        };
        now.remove("by");
        let same = before.and_then(Value::as_object).is_some_and(|before| {
            let mut before = before.clone();
            before.remove("by");
            before == *now
        });
        let by = if same { by } else { Some(user.into()) };
        now.extend(by.map(|by| ("by".to_owned(), by)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stamped(before: &Value, wanted: &Value) -> Value {
        let mut wanted = json!({"spec": wanted});
        let info = KindInfo::of::<Incident>();
        stamp(info, &json!({"spec": before}), &mut wanted, "anna");
        wanted["spec"].take()
    }

    #[test]
    fn a_decision_is_its_senders_whatever_name_it_bears() {
        for by in [json!("ada"), json!(""), json!(7), Value::Null] {
            let wanted = json!({"approval": {"decision": "Approve", "planHash": "1", "by": by},
                "override": {"action": "RESTART", "by": by}});
            let after = stamped(&json!({}), &wanted);
            assert_eq!(
                (&after["approval"]["by"], &after["override"]["by"]),
                (&json!("anna"), &json!("anna"))
            );
        }
        let after = stamped(
            &json!({}),
            &json!({"approval": {"decision": "Reject", "planHash": "1"}}),
        );
        assert_eq!(after["approval"]["by"], "anna");
    }

    #[test]
    fn a_decision_that_stays_keeps_its_name_and_another_takes_its_place_under_another() {
        let ada = json!({"approval": {"decision": "Approve", "planHash": "1", "by": "ada"}});
        assert_eq!(stamped(&ada, &ada), ada);
        let claimed = json!({"approval": {"decision": "Approve", "planHash": "1", "by": "anna"}});
        assert_eq!(stamped(&ada, &claimed), ada);
        let other = json!({"approval": {"decision": "Reject", "planHash": "1", "by": "ada"}});
        assert_eq!(stamped(&ada, &other)["approval"]["by"], "anna");
    }

    #[test]
    fn other_kinds_and_what_is_no_decision_stay_as_they_are() {
        for odd in [json!({"approval": "yes"}), json!({"approval": null}), json!(3)] {
            assert_eq!(stamped(&json!({}), &odd), odd);
        }
        let mut workload = json!({"spec": {"override": {"by": "ada"}}});
        let same = workload.clone();
        stamp(
            KindInfo::of::<aegis_api::Workload>(),
            &Value::Null,
            &mut workload,
            "anna",
        );
        assert_eq!(workload, same);
    }
}
