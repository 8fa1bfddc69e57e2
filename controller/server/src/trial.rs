//! What is tried without being stored is held to what could be stored: the bounds of its kind's schema, and its rules. Without
//! the bounds a trial could take as long as its sender likes. Pure.

use aegis_api::{API_VERSION, FieldError, KindInfo};
use serde_json::{Value, json};

/// The first thing that keeps a spec from being stored, of what stands in this part of it, such as `spec.autoscale`.
pub(crate) fn refusal(info: &KindInfo, spec: &Value, part: &str) -> Option<FieldError> {
    let object =
        json!({"apiVersion": API_VERSION, "kind": info.kind, "metadata": {"name": "tried"}, "spec": spec});
    let errors = info.decode(object).err()?;
    errors.into_iter().find(|error| error.field.starts_with(part))
}
