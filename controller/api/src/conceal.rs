//! What readers who may not change a spec are shown of it: the values of environment variables are hidden, names stay.
//! Owns where such values stand in an object. Pure.

use std::borrow::Cow;

use serde_json::Value;

use crate::meta::LAST_APPLIED;

/// What stands where a value is hidden. It is no value: what holds it is refused.
pub const CONCEALED: &str = "•••";
/// The field of a template, wherever a template is part of something: a spec, a revision, an incident's plan.
const FIELD: &str = "env";

/// The object without the values of its environment variables; borrowed where it has none.
pub fn conceal(object: &Value) -> Cow<'_, Value> {
    if !holds_values(object) {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    hide(&mut object);
    Cow::Owned(object)
}

/// Whether anything of it is hidden.
pub fn holds_values(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| match (name.as_str(), value) {
            (FIELD, Value::Object(_) | Value::Array(_)) | (LAST_APPLIED, Value::String(_)) => true,
            (_, value) => holds_values(value),
        }),
        Value::Array(items) => items.iter().any(holds_values),
        _ => false,
    }
}

/// Whether anything of an object may be hidden, by its text as it is stored: false is certain, and spares decoding it.
pub fn may_hold_values(text: &str) -> bool {
    text.contains("\"env\"") || text.contains(LAST_APPLIED)
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match (name.as_str(), &mut *value) {
                    (FIELD, Value::Object(variables)) => variables.values_mut().for_each(hide_value),
                    // As an engine writes it: NAME=value.
                    (FIELD, Value::Array(variables)) => variables.iter_mut().for_each(hide_pair),
                    (LAST_APPLIED, Value::String(text)) => *text = applied(text),
                    (_, value) => hide(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

/// Nothing stays nothing: that a variable is empty is no secret.
fn hide_value(value: &mut Value) {
    if !value.is_null() && value.as_str() != Some("") {
        *value = CONCEALED.into();
    }
}

fn hide_pair(pair: &mut Value) {
    match pair.as_str().and_then(|pair| pair.split_once('=')) {
        Some((name, _)) => *pair = format!("{name}={CONCEALED}").into(),
        None => hide_value(pair),
    }
}

fn applied(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut object) => {
            hide(&mut object);
            object.to_string()
        }
        Err(_) => CONCEALED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_go_wherever_a_template_is_and_everything_else_stays() {
        let template = |value: &str, token: &str| json!({"image": "web:1", "env": {"MODE": value, "TOKEN": token, "NONE": ""}});
        let object = |one: &str, other: &str| {
            json!({
                "metadata": {"name": "web", "labels": {"env": "prod"}},
                "spec": {"template": template(one, other)},
                "status": {
                    "revisions": [{"revision": "a1", "template": template(one, other)}],
                    "plan": {"patch": {"template": template(one, other)}},
                },
            })
        };
        let (open, hidden) = (object("fast", "hunter2"), object(CONCEALED, CONCEALED));
        assert_eq!(*conceal(&open), hidden);
        assert!(!conceal(&open).to_string().contains("hunter2"));
        assert!(may_hold_values(&open.to_string()));
        assert_eq!(*conceal(&hidden), hidden, "again changes nothing");
    }

    #[test]
    fn what_was_applied_last_is_the_object_again_and_is_hidden_again() {
        let text = r#"{"spec":{"template":{"env":{"A":"hunter2"},"image":"web:1"}}}"#;
        for text in [text.to_owned(), "hunter2 {".to_owned()] {
            let object = json!({"metadata": {"annotations": {LAST_APPLIED: text}}});
            let shown = conceal(&object).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(may_hold_values(&object.to_string()));
        }
    }

    #[test]
    fn an_object_without_values_is_not_even_copied() {
        for object in [
            json!({"spec": {"container": "web"}, "metadata": {"labels": {"env": "prod"}}}),
            json!([1, null, "env"]),
        ] {
            assert!(matches!(conceal(&object), Cow::Borrowed(same) if *same == object));
        }
        assert_eq!(
            *conceal(&json!({"env": ["A=b", "C"]})),
            json!({"env": ["A=•••", "•••"]})
        );
    }
}
