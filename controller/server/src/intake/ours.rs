//! Bodies with several of our own alerts: a list of them. (Objects line by line are a list by then.) Pure.

use aegis_api::Time;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::Content;
use crate::compat::{Alert, Known};
use crate::refusal::Fault;

/// The alerts of a body with several; of each that cannot be read, why. `None` for a body that is one alert, or none.
pub(super) fn several(
    content: &Content,
    target: &str,
    known: Known<'_>,
    now: Time,
) -> Option<Vec<Result<Alert, String>>> {
    let is_several = |items: &Vec<Value>| items.iter().any(Value::is_object);
    content.value.as_array().filter(|items| is_several(items))?;
    // Each by itself: a key that is there twice makes its own alert ambiguous, and no other.
    let items: Vec<&RawValue> = serde_json::from_str(&content.text).ok()?;
    let read = |(at, item): (usize, &RawValue)| {
        if !item.get().starts_with('{') {
            return Err(format!("[{at}] is no JSON object"));
        }
        let alert = Alert::read(item.get().as_bytes(), target, known, now);
        alert.map_err(|faults| format!("[{at}]: {}", words(&faults)))
    };
    Some(items.into_iter().enumerate().map(read).collect())
}

/// The texts of these of several alerts, as they were written: a key that is there twice is in them twice.
pub(super) fn texts(body: &str, these: &[usize]) -> Vec<String> {
    if these.is_empty() {
        return Vec::new();
    }
    let items: Vec<&RawValue> = serde_json::from_str(body).unwrap_or_default();
    // A line that is no JSON stands in the list as a string.
    let text = |item: &RawValue| {
        let line = serde_json::from_str::<String>(item.get());
        line.unwrap_or_else(|_| item.get().to_owned())
    };
    let found = these.iter().filter_map(|at| items.get(*at));
    found.map(|item| text(item)).collect()
}

/// What is wrong, field by field.
pub(super) fn words(faults: &[Fault]) -> String {
    let each = faults.iter().map(|fault| match &*fault.field {
        "" => fault.message.clone(),
        field => format!("{field}: {}", fault.message),
    });
    each.collect::<Vec<_>>().join("; ")
}
