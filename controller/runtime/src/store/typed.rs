//! The store as reconcilers use it: by Rust type. Conveniences over [`Store::edit`]; no I/O of its own.

use std::sync::Arc;

use aegis_api::API_VERSION;
use aegis_api::defaults::Fill;
use aegis_api::kinds::{Kind, KindInfo};
use aegis_api::validate::strip_nulls;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::change::Moment;
use super::{Edited, Part, Store, StoreError, Stored};

fn not_found<K: Kind>(name: &str) -> StoreError {
    StoreError::NotFound {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
    }
}

fn refused(object: &Stored, message: impl std::fmt::Display) -> StoreError {
    StoreError::Refused {
        kind: object.info.kind.to_owned(),
        name: object.name().to_owned(),
        message: message.to_string(),
    }
}

fn same_uid(object: &Stored, uid: &str) -> Result<(), StoreError> {
    if object.uid() == uid {
        return Ok(());
    }
    Err(StoreError::Conflict {
        kind: object.info.kind.to_owned(),
        name: object.name().to_owned(),
        message: format!(
            "it is another object of the same name (uid {}, not {uid})",
            object.uid()
        ),
    })
}

impl Store {
    /// The object of this name, as it is in force.
    pub fn get<K: Kind>(&self, name: &str) -> Option<Arc<K>> {
        self.get_stored(KindInfo::of::<K>(), name)?.typed()
    }

    /// Every object of the kind, sorted by name.
    pub fn list<K: Kind>(&self) -> Vec<Arc<K>> {
        self.list_stored(KindInfo::of::<K>())
            .1
            .iter()
            .filter_map(|object| object.typed())
            .collect()
    }

    /// Those that are found under this key, sorted by name; see [`aegis_api::facets`].
    pub fn find<K: Kind>(&self, key: &str) -> Vec<Arc<K>> {
        let found = self.find_stored(KindInfo::of::<K>(), key);
        found.iter().filter_map(|object| object.typed()).collect()
    }

    /// Makes an object of this name and spec.
    pub async fn add<K: Kind>(&self, name: &str, spec: &K::Spec) -> Result<Arc<K>, StoreError> {
        let info = KindInfo::of::<K>();
        let spec = serde_json::to_value(spec).map_err(|error| StoreError::Refused {
            kind: info.kind.to_owned(),
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        let object =
            json!({"apiVersion": API_VERSION, "kind": info.kind, "metadata": {"name": name}, "spec": spec});
        let stored = self.create(info, object, false).await?;
        stored.typed().ok_or_else(|| not_found::<K>(name))
    }

    /// Sets the status of the object with this uid; the same status again changes nothing.
    pub async fn set_status<K: Kind>(
        &self,
        name: &str,
        uid: &str,
        status: K::Status,
    ) -> Result<Arc<K>, StoreError> {
        let uid = uid.to_owned();
        let stored = self.restate(KindInfo::of::<K>(), name, move |current, moment| {
            same_uid(current, &uid)?;
            with_status::<K>(current, |_| status, moment)
        });
        stored.await?.typed().ok_or_else(|| not_found::<K>(name))
    }

    /// Sets the status of the object with this uid to what follows from the one it has: of two writers, each keeps what is
    /// the other's. The same status again changes nothing.
    pub async fn edit_status<K: Kind>(
        &self,
        name: &str,
        uid: &str,
        edit: impl FnOnce(&K) -> K::Status + Send + 'static,
    ) -> Result<Arc<K>, StoreError> {
        let uid = uid.to_owned();
        let stored = self.restate(KindInfo::of::<K>(), name, move |current, moment| {
            same_uid(current, &uid)?;
            with_status::<K>(current, edit, moment)
        });
        stored.await?.typed().ok_or_else(|| not_found::<K>(name))
    }

    /// Changes the spec. Fields that the edit leaves alone stay as they are written, also where they are not written
    /// because their default is meant.
    pub async fn edit_spec<K: Kind, F>(&self, name: &str, edit: F) -> Result<Arc<K>, StoreError>
    where
        F: FnOnce(&K) -> Result<K::Spec, StoreError> + Send + 'static,
    {
        let stored = self.edit(KindInfo::of::<K>(), name, Part::Spec, false, move |current| {
            let typed = current
                .typed::<K>()
                .ok_or_else(|| not_found::<K>(current.name()))?;
            let wanted = edit(&typed)?;
            let object = current.without_status();
            if wanted == *typed.spec() {
                return Ok(object);
            }
            let before = serde_json::to_value(typed.spec()).map_err(|error| refused(current, error))?;
            let after = serde_json::to_value(&wanted).map_err(|error| refused(current, error))?;
            let mut spec = object.get("spec").cloned().unwrap_or_default();
            carry_over(&before, &after, &mut spec);
            if !says(current, &spec, &wanted) {
                spec = after;
            }
            Ok(with(object, "spec", spec))
        });
        stored.await?.typed().ok_or_else(|| not_found::<K>(name))
    }

    /// Sets the finalizers of the object with this uid. If it is being deleted and none are left, it goes.
    pub async fn set_finalizers<K: Kind>(
        &self,
        name: &str,
        uid: &str,
        finalizers: Vec<String>,
    ) -> Result<(), StoreError> {
        let uid = uid.to_owned();
        let edit = self.edit(
            KindInfo::of::<K>(),
            name,
            Part::Finalizers,
            false,
            move |current| {
                same_uid(current, &uid)?;
                let mut object = current.value();
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.insert("finalizers".to_owned(), finalizers.into());
                }
                Ok(object)
            },
        );
        edit.await.map(|_| ())
    }
}

/// The object with the status that follows from the one it has.
fn with_status<K: Kind>(
    current: &Stored,
    edit: impl FnOnce(&K) -> K::Status,
    moment: Moment,
) -> Result<Edited, StoreError> {
    let typed = current
        .typed::<K>()
        .ok_or_else(|| not_found::<K>(current.name()))?;
    let status = edit(&typed);
    if typed.status() == Some(&status) {
        return Ok(Edited::Same);
    }
    let mut value = serde_json::to_value(&status).map_err(|error| refused(current, error))?;
    strip_nulls(&mut value);
    // As it will be read: some of what a type holds is finer than what is written of it, such as times.
    let read = K::Status::deserialize(&value).map_err(|error| refused(current, error))?;
    let mut object = K::clone(&typed);
    *object.status_mut() = Some(read);
    object.meta_mut().resource_version = Some(moment.revision.to_string());
    Ok(Edited::Status(value, Arc::new(object)))
}

fn with(mut object: Value, part: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(part.to_owned(), value);
    }
    object
}

/// Whether a spec, as it is read, is the one that is wanted.
fn says<S: DeserializeOwned + PartialEq + Fill>(current: &Stored, spec: &Value, wanted: &S) -> bool {
    let mut spec = spec.clone();
    S::fill(&mut spec, current.defaults());
    serde_json::from_value::<S>(spec).is_ok_and(|spec| spec == *wanted)
}

/// Makes in `written` the changes that lead from `before` to `after`, and no others.
fn carry_over(before: &Value, after: &Value, written: &mut Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        written.clone_from(after);
        return;
    };
    let Value::Object(written) = written else { return };
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        written.remove(name);
    }
    for (name, value) in after {
        match (before.get(name), written.get_mut(name)) {
            (Some(same), _) if same == value => {}
            (Some(earlier), Some(inner)) if inner.is_object() => carry_over(earlier, value, inner),
            _ => {
                written.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_carried_over_without_writing_out_what_was_left_to_its_default() {
        let before = json!({"a": 1, "default": 5, "nested": {"x": 1, "y": 2}, "list": [1], "old": true});
        let after = json!({"a": 2, "default": 5, "nested": {"x": 1, "y": 3}, "list": [1, 2], "new": {}});
        let mut written = json!({"a": 1, "nested": {"y": 2}, "list": [1], "old": true});
        carry_over(&before, &after, &mut written);
        assert_eq!(
            written,
            json!({"a": 2, "nested": {"y": 3}, "list": [1, 2], "new": {}})
        );
    }
}
