//! Which changes of an object are worth a reconcile. Each predicate compares the object before and after (before is `None`
//! for a new one), so it fits a `filter` on a stream of changes. Pure.
//!
//! They save work, nothing more: a reconcile that was not needed does nothing, and the resync makes up for one missed.

use crate::store::Stored;

/// What is desired differs: the object is new, its generation changed as it does with its spec, or its deletion was
/// requested. A write of its status alone is none of these.
pub fn generation_changed(old: Option<&Stored>, new: &Stored) -> bool {
    let Some(old) = old else { return true };
    let (old, new) = (old.system(), new.system());
    old.uid != new.uid || old.generation != new.generation || old.deletion_timestamp != new.deletion_timestamp
}

/// What people attach differs: labels, annotations or owner references.
pub fn metadata_changed(old: Option<&Stored>, new: &Stored) -> bool {
    let Some(old) = old else { return true };
    let attached = |object: &Stored| {
        let meta = object.meta()?;
        Some((
            meta.labels.clone(),
            meta.annotations.clone(),
            meta.owner_references.clone(),
        ))
    };
    attached(old) != attached(new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_api::defaults::Defaults;
    use aegis_api::kinds::find;
    use serde_json::{Value, json};

    use super::*;
    use crate::store::object::{Desired, System};

    /// A Workload of one replica: of this uid and generation, with these labels and this status.
    fn object(uid: &str, generation: i64, labels: &Value, status: Option<Value>, deleted: bool) -> Stored {
        let system = System {
            uid: uid.to_owned(),
            creation_timestamp: "2026-01-31T12:00:00Z".to_owned(),
            generation,
            resource_version: 1,
            deletion_timestamp: deleted.then(|| "2026-01-31T12:00:00Z".to_owned()),
            finalizers: Vec::new(),
        };
        let desired =
            json!({"metadata": {"labels": labels}, "spec": {"container": "web", "replicas": generation}});
        let info = find("Workload").unwrap();
        let defaults = Arc::<Defaults>::default();
        Stored::build(info, "web", system, Desired::of(&desired), status, &defaults).unwrap()
    }

    fn first() -> Stored {
        object("u", 1, &json!({}), None, false)
    }

    #[test]
    fn a_new_object_passes_every_predicate() {
        for predicate in [generation_changed, metadata_changed] {
            assert!(predicate(None, &first()));
        }
    }

    #[test]
    fn a_status_write_is_no_change_of_what_is_desired() {
        let new = object("u", 1, &json!({}), Some(json!({"replicas": 1})), false);
        assert!(!generation_changed(Some(&first()), &new));
        assert!(!metadata_changed(Some(&first()), &new));
    }

    #[test]
    fn asking_for_deletion_is_a_change_although_the_spec_stays() {
        let new = object("u", 1, &json!({}), None, true);
        assert!(generation_changed(Some(&first()), &new));
    }

    #[test]
    fn an_object_recreated_under_its_old_name_is_a_change() {
        let new = object("v", 1, &json!({}), None, false);
        assert!(generation_changed(Some(&first()), &new));
    }

    #[test]
    fn labels_count_as_metadata_only() {
        let new = object("u", 1, &json!({"team": "a"}), None, false);
        assert!(metadata_changed(Some(&first()), &new));
        assert!(!generation_changed(Some(&first()), &new));
    }
}
