//! What an object takes in memory, as near as it can be known without asking the allocator. Pure.

use serde_json::Value;

/// One value, wherever it stands.
const VALUE: usize = size_of::<Value>();
/// A text of its own: what the allocator adds and rounds up by.
const TEXT: usize = 24;
/// A leaf of a map has room for eleven fields, half of which are used where a map has grown.
const LEAF: usize = 11 * (VALUE + size_of::<String>()) + 16;
const USED: usize = 6;

/// Bytes that a JSON value takes, what it consists of included.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
        Value::String(text) => VALUE + TEXT + text.len(),
        Value::Array(items) => items.iter().map(weight).fold(VALUE + TEXT, usize::saturating_add),
        Value::Object(fields) => {
            let leaves = fields.len().div_ceil(USED).saturating_mul(LEAF);
            let fields = fields.iter().map(|(name, value)| {
                // The value's own place is in the leaf already.
                (TEXT + name.len()).saturating_add(weight(value)) - VALUE
            });
            fields.fold(VALUE.saturating_add(leaves), usize::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_names_and_the_maps_themselves_count() {
        assert!(weight(&json!("x".repeat(1000))) >= 1000);
        assert!(weight(&json!({"x".repeat(1000): 1})) >= 1000);
        assert!(
            weight(&json!({"a": 1})) >= 600,
            "a map of one field has a whole leaf"
        );
        let many: Vec<Value> = (0..1000).map(|n| json!(n)).collect();
        assert!(weight(&json!(many)) >= 24_000);
        let nested = json!({"a": [{"b": "x".repeat(500)}, {"b": "x".repeat(500)}]});
        assert!((1000..4000).contains(&weight(&nested)), "{}", weight(&nested));
    }
}
