//! `Stored`: one version of one object, immutable, and the parts it is made of. Pure.

use std::sync::Arc;

use aegis_api::defaults::Defaults;
use aegis_api::kinds::AnyKind;
use aegis_api::{API_VERSION, Facets, FieldError, Kind, KindInfo, NAMESPACE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One version of one object.
#[derive(Clone)]
pub struct Stored {
    /// Its kind.
    pub info: &'static KindInfo,
    /// The whole object: apiVersion, kind, metadata (complete), spec, status.
    pub value: Arc<Value>,
    /// Its version.
    pub resource_version: u64,
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
        let (value, typed) = info.decode_with(assemble(info, name, &system, desired, status), defaults)?;
        Ok(Self {
            info,
            value: Arc::new(value),
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

    /// As its Rust type; `None` if `K` is another kind.
    pub fn typed<K: Kind>(&self) -> Option<Arc<K>> {
        Arc::clone(&self.typed).downcast::<K>().ok()
    }

    /// Whether its deletion was requested and a finalizer still holds it.
    pub fn is_deleting(&self) -> bool {
        self.system.deletion_timestamp.is_some()
    }

    /// What is kept beside it. One whose deletion was requested does not count as ended: retention is through with it.
    pub(crate) fn facets(&self) -> Facets {
        let mut facets = self.info.facets(&self.typed);
        facets.ended = facets.ended.filter(|_| !self.is_deleting());
        facets
    }

    /// Bytes that it takes in memory: as a value and, about half as much again, as its Rust type.
    pub(crate) fn weight(&self) -> usize {
        let value = super::weight::weight(&self.value);
        value.saturating_add(value / 2)
    }

    /// What it was read with where it is silent.
    pub fn defaults(&self) -> &Arc<Defaults> {
        &self.defaults
    }

    pub(crate) fn system(&self) -> &System {
        &self.system
    }

    pub(crate) fn desired(&self) -> Desired {
        Desired::of(&self.value)
    }

    pub(crate) fn status(&self) -> Option<&Value> {
        self.value.get("status")
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
