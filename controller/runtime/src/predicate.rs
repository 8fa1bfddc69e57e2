//! Which changes of an object are worth a reconcile. Each predicate compares the object before and after (whole, as
//! JSON; before is `None` for a new one), so it fits a `filter` on a stream of changes. Pure.
//!
//! They save work, nothing more: a reconcile that was not needed does nothing, and the resync makes up for one missed.

use serde_json::Value;

/// Anything at all differs.
pub fn changed(old: Option<&Value>, new: &Value) -> bool {
    old != Some(new)
}

/// What is desired differs: the object is new, its generation or spec changed, or its deletion was requested.
/// A write of its status alone is none of these.
pub fn generation_changed(old: Option<&Value>, new: &Value) -> bool {
    let Some(old) = old else { return true };
    [
        "/metadata/generation",
        "/metadata/uid",
        "/metadata/deletionTimestamp",
        "/spec",
    ]
    .iter()
    .any(|pointer| old.pointer(pointer) != new.pointer(pointer))
}

/// What people attach differs: labels, annotations or owner references.
pub fn metadata_changed(old: Option<&Value>, new: &Value) -> bool {
    let Some(old) = old else { return true };
    [
        "/metadata/labels",
        "/metadata/annotations",
        "/metadata/ownerReferences",
    ]
    .iter()
    .any(|pointer| old.pointer(pointer) != new.pointer(pointer))
}

/// What the controller observed differs.
pub fn status_changed(old: Option<&Value>, new: &Value) -> bool {
    old.and_then(|old| old.get("status")) != new.get("status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(generation: i64, ready: u32) -> Value {
        json!({"metadata": {"name": "web", "uid": "u", "generation": generation}, "spec": {"replicas": generation}, "status": {"ready": ready}})
    }

    #[test]
    fn a_new_object_passes_every_predicate() {
        for predicate in [changed, generation_changed, metadata_changed, status_changed] {
            assert!(predicate(None, &object(1, 0)));
        }
    }

    #[test]
    fn a_status_write_is_no_change_of_generation() {
        let (old, new) = (object(1, 0), object(1, 1));
        assert!(!generation_changed(Some(&old), &new));
        assert!(status_changed(Some(&old), &new));
        assert!(changed(Some(&old), &new));
        assert!(!changed(Some(&old), &old));
    }

    #[test]
    fn asking_for_deletion_is_a_change_although_the_spec_stays() {
        let (old, mut new) = (object(1, 0), object(1, 0));
        new["metadata"]["deletionTimestamp"] = json!("2026-01-31T12:00:00Z");
        assert!(generation_changed(Some(&old), &new));
    }

    #[test]
    fn an_object_recreated_under_its_old_name_is_a_change() {
        let (old, mut new) = (object(1, 0), object(1, 0));
        new["metadata"]["uid"] = json!("v");
        assert!(generation_changed(Some(&old), &new));
    }

    #[test]
    fn labels_count_as_metadata_only() {
        let (old, mut new) = (object(1, 0), object(1, 0));
        new["metadata"]["labels"] = json!({"team": "a"});
        assert!(metadata_changed(Some(&old), &new));
        assert!(!generation_changed(Some(&old), &new));
    }
}
