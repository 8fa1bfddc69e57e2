//! One alert in words that all senders share, before it is one of ours. Plain data.

use serde_json::{Map, Value};

/// What one message says about one alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Report {
    /// What the sender calls it: the same for each message about it.
    pub(crate) id: String,
    /// What kind of alert.
    pub(crate) alert_type: String,
    /// How it stands.
    pub(crate) state: State,
    /// What messages about the same trouble have in common, where that is not the id.
    pub(crate) fingerprint: Option<String>,
    /// The container, where the sender's way of saying so is known.
    pub(crate) container: Option<String>,
    /// How bad, in the sender's word.
    pub(crate) severity: Option<String>,
    /// When it began, as written.
    pub(crate) starts_at: Value,
    /// When it ended, as written.
    pub(crate) ends_at: Value,
    /// Where a person can read more.
    pub(crate) url: Option<String>,
    /// What people read.
    pub(crate) logs: String,
    /// Labels, in which a container may be named.
    pub(crate) labels: Map<String, Value>,
    /// Annotations and other fields, which are kept.
    pub(crate) annotations: Map<String, Value>,
}

/// How an alert stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// There is trouble.
    #[default]
    Firing,
    /// It is over; the words say how the sender put it.
    Resolved(String),
    /// Somebody took notice; opens nothing and ends nothing.
    Noted(String),
    /// About no trouble, such as the button Test.
    Test,
}

/// A text field of an object, if it is one and not empty.
pub(crate) fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match fields.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// An object below a field; none is an empty one.
pub(crate) fn object(fields: &Map<String, Value>, name: &str) -> Map<String, Value> {
    match fields.get(name) {
        Some(Value::Object(inner)) => inner.clone(),
        _ => Map::new(),
    }
}

/// Whether an id is one of [`made_id`] with this prefix: it has it already.
pub(crate) fn is_made(prefix: &str, id: &str) -> bool {
    let rest = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An id made of what tells one alert from another, for senders that give none.
pub(crate) fn made_id(prefix: &str, parts: &[&str]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{prefix}-{hex}")
}

/// An id made of labels, in their order by name.
pub(crate) fn id_of_labels(prefix: &str, labels: &Map<String, Value>) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort();
    let parts: Vec<&str> = pairs.iter().map(String::as_str).collect();
    made_id(prefix, &parts)
}
