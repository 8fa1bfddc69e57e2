//! The revision of a container's configuration: a short hash that is equal exactly when a replica need not be replaced. Pure.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Fields where zero or false says something else than absence: a stop without grace, no swapping, no init process.
const ZERO_MATTERS: [&str; 3] = ["StopTimeout", "MemorySwappiness", "Init"];

/// 10 hex characters over what `value` says. Key order does not matter, nor do empty values: an engine of another version
/// reports further fields with empty values, which must not replace every replica on the host.
pub(super) fn hash(value: &Value, image_id: &str) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    hasher.update([0]);
    hasher.update(image_id.as_bytes());
    hasher
        .finalize()
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map
                .iter()
                .filter(|(key, value)| says_something(key, value))
                .collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            hasher.update(b"{");
            for (key, value) in fields {
                text(hasher, key);
                feed(hasher, value);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
            }
            hasher.update(b"]");
        }
        Value::String(content) => text(hasher, content),
        Value::Number(number) => {
            hasher.update(b"n");
            text(hasher, &number.to_string());
        }
        Value::Bool(value) => hasher.update([b'b', u8::from(*value)]),
        Value::Null => hasher.update(b"0"),
    }
}

/// Length first, so that no two different sequences of texts feed the same bytes.
fn text(hasher: &mut Sha256, content: &str) {
    hasher.update(b"s");
    hasher.update(content.len().to_string().as_bytes());
    hasher.update(b":");
    hasher.update(content.as_bytes());
}

fn says_something(key: &str, value: &Value) -> bool {
    if value.is_null() {
        return false;
    }
    ZERO_MATTERS.contains(&key) || !is_empty(value)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(content) => content.is_empty(),
        // `[0, 0]` is how an engine writes an unset console size; `[""]` is an entrypoint that was emptied on purpose.
        Value::Array(items) => items.iter().all(|item| item.is_number() && is_empty(item)),
        // The keys of `{"8000/tcp": {}}` say something, whatever is behind them.
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_fields_of_another_engine_version_change_nothing() {
        let old = json!({"Cmd": ["serve"], "HostConfig": {"Memory": 5, "KernelMemory": 0, "Binds": null}});
        let new = json!({"HostConfig": {"Binds": [], "Annotations": {}, "ConsoleSize": [0, 0], "Memory": 5}, "Cmd": ["serve"]});
        assert_eq!(hash(&old, "sha256:1"), hash(&new, "sha256:1"));
        assert_eq!(hash(&old, "sha256:1").len(), 10);
    }

    #[test]
    fn what_means_something_changes_it() {
        let base = json!({"Cmd": ["serve"]});
        for other in [
            json!({"Cmd": ["serve", ""]}),
            json!({"Cmd": ["ser", "ve"]}),
            json!({"Cmd": ["serve"], "StopTimeout": 0}),
            json!({"Cmd": ["serve"], "Entrypoint": [""]}),
            json!({"Cmd": ["serve"], "ExposedPorts": {"80/tcp": {}}}),
        ] {
            assert_ne!(hash(&base, "sha256:1"), hash(&other, "sha256:1"), "{other}");
        }
        assert_ne!(hash(&base, "sha256:1"), hash(&base, "sha256:2"));
    }
}
