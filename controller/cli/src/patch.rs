//! JSON merge patches (RFC 7386) as `apply`, `edit` and `rollback` need them. Pure.

use serde_json::{Map, Value};

/// The patch that makes `to` out of `from`; an empty object where they are equal.
pub(crate) fn difference(from: &Value, to: &Value) -> Value {
    three_way(from, from, to)
}

/// The patch that brings `live` to what `wanted` says: fields of `wanted` are set, fields that the `last` wanted state had
/// and this one has not are removed, and what neither names is left as it is, for it belongs to somebody else.
pub(crate) fn three_way(last: &Value, live: &Value, wanted: &Value) -> Value {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else {
        return if live == wanted {
            Value::Object(Map::new())
        } else {
            wanted.clone()
        };
    };
    let empty = Map::new();
    let last = last.as_object().unwrap_or(&empty);
    let mut patch = Map::new();
    for (key, want) in wanted {
        match live.get(key) {
            Some(have) if have == want => {}
            Some(have) if have.is_object() && want.is_object() => {
                let inner = three_way(last.get(key).unwrap_or(&Value::Null), have, want);
                if !is_empty(&inner) {
                    patch.insert(key.clone(), inner);
                }
            }
            _ => {
                patch.insert(key.clone(), want.clone());
            }
        }
    }
    for key in last
        .keys()
        .filter(|key| !wanted.contains_key(*key) && live.contains_key(*key))
    {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// Whether a patch changes nothing.
pub(crate) fn is_empty(patch: &Value) -> bool {
    patch.as_object().is_some_and(Map::is_empty)
}

/// A patch of one field: `["spec", "replicas"]` and 3 make `{"spec": {"replicas": 3}}`.
pub(crate) fn of(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| {
        let mut map = Map::new();
        map.insert((*key).to_owned(), inner);
        Value::Object(map)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_removed_from_the_file_is_removed_and_others_stay() {
        let last = json!({"spec": {"replicas": 2, "health": {"tcp": {"port": 1}}}});
        let live = json!({"spec": {"replicas": 2, "health": {"tcp": {"port": 1}}, "restartedAt": "t"}});
        let wanted = json!({"spec": {"replicas": 3}});
        assert_eq!(
            three_way(&last, &live, &wanted),
            json!({"spec": {"replicas": 3, "health": null}})
        );
    }

    #[test]
    fn nothing_to_do_is_an_empty_patch() {
        let live = json!({"spec": {"replicas": 2, "restartedAt": "t"}, "status": {"x": 1}});
        assert!(is_empty(&three_way(
            &Value::Null,
            &live,
            &json!({"spec": {"replicas": 2}})
        )));
        assert!(is_empty(&difference(&live, &live)));
    }

    #[test]
    fn a_field_that_is_gone_already_is_not_removed_again() {
        let last = json!({"spec": {"a": 1}});
        assert!(is_empty(&three_way(
            &last,
            &json!({"spec": {}}),
            &json!({"spec": {}})
        )));
    }

    #[test]
    fn a_probe_changed_from_tcp_to_http_loses_tcp() {
        let last = json!({"health": {"tcp": {"port": 1}}});
        let wanted = json!({"health": {"http": {"port": 1}}});
        assert_eq!(
            three_way(&last, &last, &wanted),
            json!({"health": {"http": {"port": 1}, "tcp": null}})
        );
        assert_eq!(
            difference(&last, &wanted),
            json!({"health": {"http": {"port": 1}, "tcp": null}})
        );
    }

    #[test]
    fn lists_are_replaced_whole() {
        let live = json!({"a": [1, 2]});
        assert_eq!(three_way(&live, &live, &json!({"a": [1]})), json!({"a": [1]}));
    }

    #[test]
    fn a_single_field_patch_is_nested() {
        assert_eq!(
            of(&["spec", "replicas"], json!(3)),
            json!({"spec": {"replicas": 3}})
        );
    }
}
