//! `Stored`: one version of one object, immutable, and the parts it is made of. Pure.

use std::sync::Arc;

use aegis_api::defaults::Defaults;
use aegis_api::kinds::AnyKind;
use aegis_api::meta::ObjectMeta;
use aegis_api::{API_VERSION, Facets, FieldError, Kind, KindInfo, NAMESPACE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How deep an object may be nested: deeper than 128 levels, its text could not be read again.
const DEPTH: usize = 100;

/// One version of one object.
#[derive(Clone)]
pub struct Stored {
    /// Its kind.
    pub info: &'static KindInfo,
    /// Its version.
    pub resource_version: u64,
    /// The whole object as JSON: a tree of maps takes ten times as much, for as long as the object is stored.
    text: Box<str>,
    weight: usize,
    typed: AnyKind,
    name: String,
    system: System,
    defaults: Arc<Defaults>,
}

/// Metadata that the controller alone writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct System {
    pub(crate) uid: String,
    pub(crate) creation_timestamp: String,
    pub(crate) generation: i64,
    #[serde(with = "text_number")]
    pub(crate) resource_version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) finalizers: Vec<String>,
}

/// What people write: the whole of a spec file but its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Desired {
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) labels: Value,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) annotations: Value,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) owner_references: Value,
    #[serde(default)]
    pub(crate) spec: Value,
}

impl Stored {
    /// Puts an object together and decodes it; the errors name what does not validate.
    pub(crate) fn build(
        info: &'static KindInfo,
        name: &str,
        system: System,
        desired: Desired,
        status: Option<Value>,
        defaults: &Arc<Defaults>,
    ) -> Result<Self, Vec<FieldError>> {
        let resource_version = system.resource_version;
        let whole = assemble(info, name, &system, desired, status);
        if !is_within(&whole, DEPTH) {
            let why = format!("must be nested at most {DEPTH} levels deep");
            return Err(vec![FieldError::invalid("", "the object", why)]);
        }
        let (value, typed) = info.decode_with(whole, defaults)?;
        let text = value.to_string().into_boxed_str();
        // Its Rust type takes about half of what the tree does.
        let typed_weight = super::weight::weight(&value) / 2;
        Ok(Self {
            info,
            weight: text.len().saturating_add(typed_weight),
            text,
            resource_version,
            typed,
            name: name.to_owned(),
            system,
            defaults: Arc::clone(defaults),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.system.uid
    }

    /// The whole object: apiVersion, kind, metadata (complete), spec, status. Decoded at each call: ask once.
    pub fn value(&self) -> Value {
        // It was written from a value.
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// [`value`](Self::value) as JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its generation.
    pub fn generation(&self) -> i64 {
        self.system.generation
    }

    /// As its Rust type; `None` if `K` is another kind.
    pub fn typed<K: Kind>(&self) -> Option<Arc<K>> {
        Arc::clone(&self.typed).downcast::<K>().ok()
    }

    /// Whether its deletion was requested and a finalizer still holds it.
    pub fn is_deleting(&self) -> bool {
        self.system.deletion_timestamp.is_some()
    }

    /// What people attach to it.
    pub(crate) fn meta(&self) -> Option<&ObjectMeta> {
        self.info.meta(&self.typed)
    }

    /// What is kept beside it. One whose deletion was requested does not count as ended: retention is through with it.
    pub(crate) fn facets(&self) -> Facets {
        let mut facets = self.info.facets(&self.typed);
        facets.ended = facets.ended.filter(|_| !self.is_deleting());
        facets
    }

    /// Bytes that it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// What it was read with where it is silent.
    pub fn defaults(&self) -> &Arc<Defaults> {
        &self.defaults
    }

    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    /// What people write of it, and its status.
    pub(crate) fn parts(&self) -> (Desired, Option<Value>) {
        let mut value = self.value();
        let status = value.as_object_mut().and_then(|fields| fields.remove("status"));
        (Desired::of(&value), status)
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {:?} at {}",
            self.info.kind, self.name, self.resource_version
        )
    }
}

impl Desired {
    /// What people write of a whole object.
    pub(crate) fn of(object: &Value) -> Self {
        let meta = |field: &str| match object.get("metadata").and_then(|metadata| metadata.get(field)) {
            Some(value) if !is_empty(value) => value.clone(),
            _ => Value::Null,
        };
        Self {
            labels: meta("labels"),
            annotations: meta("annotations"),
            owner_references: meta("ownerReferences"),
            spec: object.get("spec").cloned().unwrap_or_default(),
        }
    }

    /// As a spec file has it.
    pub(crate) fn to_file(&self, info: &KindInfo, name: &str) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), name.into());
        self.add_metadata(&mut metadata);
        serde_json::json!({"apiVersion": API_VERSION, "kind": info.kind, "metadata": metadata, "spec": self.spec})
    }

    fn add_metadata(&self, metadata: &mut Map<String, Value>) {
        let fields = [
            ("labels", &self.labels),
            ("annotations", &self.annotations),
            ("ownerReferences", &self.owner_references),
        ];
        for (field, value) in fields {
            if !is_empty(value) {
                metadata.insert(field.to_owned(), value.clone());
            }
        }
    }
}

fn assemble(info: &KindInfo, name: &str, system: &System, desired: Desired, status: Option<Value>) -> Value {
    let mut metadata = Map::new();
    desired.add_metadata(&mut metadata);
    let mut text = |field: &str, text: &str| metadata.insert(field.to_owned(), text.into());
    text("name", name);
    text("namespace", NAMESPACE);
    text("uid", &system.uid);
    text("creationTimestamp", &system.creation_timestamp);
    text("resourceVersion", &system.resource_version.to_string());
    if let Some(at) = &system.deletion_timestamp {
        text("deletionTimestamp", at);
    }
    metadata.insert("generation".to_owned(), system.generation.into());
    if !system.finalizers.is_empty() {
        metadata.insert("finalizers".to_owned(), system.finalizers.clone().into());
    }
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), API_VERSION.into());
    object.insert("kind".to_owned(), info.kind.into());
    object.insert("metadata".to_owned(), metadata.into());
    object.insert("spec".to_owned(), desired.spec);
    if let Some(status) = status.filter(|status| !status.is_null()) {
        object.insert("status".to_owned(), status);
    }
    object.into()
}

/// Whether a value is nested no deeper than so many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(items) => items.iter().all(|item| is_within(item, below)),
        Value::Object(fields) => fields.values().all(|field| is_within(field, below)),
        _ => true,
    }
}

/// Null, `{}` and `[]` say the same.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A `u64` as text, as the Kubernetes API has it.
mod text_number {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(labels: &Value) -> Result<Stored, Vec<FieldError>> {
        let object = json!({"metadata": {"labels": labels}, "spec": {"container": "web"}});
        let moment = crate::store::change::Moment {
            revision: 7,
            now: aegis_api::Time(jiff::Timestamp::UNIX_EPOCH),
        };
        let system = crate::store::change::new_system(moment);
        let info = aegis_api::kinds::find("Workload").unwrap();
        let status = Some(json!({"replicas": 1}));
        Stored::build(info, "web", system, Desired::of(&object), status, &Arc::default())
    }

    #[test]
    fn an_object_is_read_from_its_text_as_it_was_put_together() {
        let stored = workload(&json!({"a": "b"})).unwrap();
        let value = stored.value();
        assert_eq!(value.to_string(), stored.text());
        assert_eq!(value["metadata"]["labels"]["a"], "b");
        assert_eq!(value["metadata"]["resourceVersion"], "7");
        let (desired, status) = stored.parts();
        assert_eq!(
            (desired.spec["container"].clone(), status),
            (json!("web"), Some(json!({"replicas": 1})))
        );
        assert!(stored.weight() > stored.text().len());
    }

    #[test]
    fn what_is_nested_deeper_than_it_could_be_read_again_is_refused() {
        let nested = |levels: usize| (0..levels).fold(json!("v"), |inner, _| json!({ "a": inner }));
        let errors = workload(&nested(DEPTH)).unwrap_err();
        assert!(errors[0].to_string().contains("at most 100 levels"), "{errors:?}");
        assert!(is_within(&nested(DEPTH - 1), DEPTH) && !is_within(&nested(DEPTH), DEPTH));
        let text = nested(DEPTH).to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
