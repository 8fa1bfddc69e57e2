//! `Stored`: one version of one object, immutable, and the parts it is made of. Pure.

use std::sync::Arc;

use aegis_api::defaults::Defaults;
use aegis_api::kinds::AnyKind;
use aegis_api::meta::ObjectMeta;
use aegis_api::{API_VERSION, Facets, FieldError, Kind, KindInfo, NAMESPACE};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

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
    /// Of that, what its Rust type takes for the status.
    status_weight: usize,
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
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Desired {
    #[serde(default)]
    pub(crate) labels: Value,
    #[serde(default)]
    pub(crate) annotations: Value,
    #[serde(default)]
    pub(crate) owner_references: Value,
    #[serde(default)]
    pub(crate) spec: Value,
}

/// An object's text, taken apart and not decoded.
#[derive(Deserialize)]
pub(crate) struct Text<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    pub(crate) spec: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) status: Option<&'a RawValue>,
}

/// What people attach to an object, likewise; what is empty is not there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attached<'a> {
    #[serde(borrow, default)]
    pub(crate) labels: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) annotations: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) owner_references: Option<&'a RawValue>,
}

impl<'a> Text<'a> {
    pub(crate) fn attached(&self) -> Attached<'a> {
        serde_json::from_str(self.metadata.get()).unwrap_or_default()
    }
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
        check_depth(&whole, DEPTH)?;
        let (value, typed) = info.decode_with(whole, defaults)?;
        let text = value.to_string().into_boxed_str();
        Ok(Self {
            info,
            weight: text.len().saturating_add(typed_weight(&value)),
            status_weight: value.get("status").map_or(0, typed_weight),
            text,
            resource_version,
            typed,
            name: name.to_owned(),
            system,
            defaults: Arc::clone(defaults),
        })
    }

    /// The object with another status, given as its tree and its text, and as its Rust type is from then on.
    pub(crate) fn restated(
        &self,
        system: System,
        (status, status_text): (&Value, &str),
        typed: AnyKind,
    ) -> Result<Self, Vec<FieldError>> {
        check_depth(status, DEPTH - 1)?;
        let broken = || vec![FieldError::invalid("", "the object", "cannot be read")];
        let text = self.apart().ok_or_else(broken)?;
        let mut metadata = decoded(text.metadata);
        if let Some(fields) = metadata.as_object_mut() {
            let version = system.resource_version.to_string();
            fields.insert("resourceVersion".to_owned(), version.into());
        }
        let api_version = Value::from(API_VERSION);
        let kind = Value::from(self.info.kind);
        let spec = text.spec.get();
        // The names of its fields in order, as every object has them.
        let text = format!(
            r#"{{"apiVersion":{api_version},"kind":{kind},"metadata":{metadata},"spec":{spec},"status":{status_text}}}"#
        );
        let status_weight = typed_weight(status);
        let rest = self
            .weight
            .saturating_sub(self.text.len())
            .saturating_sub(self.status_weight);
        Ok(Self {
            info: self.info,
            resource_version: system.resource_version,
            weight: text.len().saturating_add(rest).saturating_add(status_weight),
            status_weight,
            text: text.into_boxed_str(),
            typed,
            name: self.name.clone(),
            system,
            defaults: Arc::clone(&self.defaults),
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

    /// The whole object but its status, which is most of it.
    pub fn without_status(&self) -> Value {
        let Some(text) = self.apart() else {
            return Value::Null;
        };
        json!({"apiVersion": API_VERSION, "kind": self.info.kind, "metadata": decoded(text.metadata), "spec": decoded(text.spec)})
    }

    pub(crate) fn apart(&self) -> Option<Text<'_>> {
        // It was written from a value that has these.
        serde_json::from_str(&self.text).ok()
    }

    /// What people write of it.
    pub(crate) fn desired(&self) -> Desired {
        Desired::of(&self.without_status())
    }

    /// Whether this, as JSON, is its status. The names of an object come in order, so that equal ones are of equal text.
    pub(crate) fn has_status(&self, status: Option<&str>) -> bool {
        let text = self.apart().and_then(|text| text.status);
        text.map(RawValue::get) == status
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

    /// What to say of the later version where it does no more than count: the log of a storm has no pictures.
    pub(crate) fn counted(&self, later: &Self) -> Option<String> {
        self.info.counted(&self.typed, &later.typed)
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
        let status = self.apart().and_then(|text| text.status);
        (self.desired(), status.map(decoded))
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

fn decoded(text: &RawValue) -> Value {
    serde_json::from_str(text.get()).unwrap_or_default()
}

/// What the Rust type of a value takes: about half of what the tree does.
fn typed_weight(value: &Value) -> usize {
    super::weight::weight(value) / 2
}

fn check_depth(value: &Value, levels: usize) -> Result<(), Vec<FieldError>> {
    match is_within(value, levels) {
        true => Ok(()),
        false => {
            let why = format!("must be nested at most {DEPTH} levels deep");
            Err(vec![FieldError::invalid("", "the object", why)])
        }
    }
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
    fn a_status_that_is_written_from_its_type_gives_the_object_that_it_gives_when_it_is_read() {
        let before = workload(&json!({"a": "b"})).unwrap();
        let status = json!({"phase": "Ready", "replicas": 3, "conditions": []});
        let system = System {
            resource_version: 9,
            ..before.system().clone()
        };
        let (info, desired) = (before.info, before.desired());
        let defaults = Arc::clone(before.defaults());
        let read = Stored::build(
            info,
            "web",
            system.clone(),
            desired,
            Some(status.clone()),
            &defaults,
        )
        .unwrap();
        let text = status.to_string();
        let written = before
            .restated(system, (&status, &text), Arc::clone(&read.typed))
            .unwrap();
        assert_eq!(written.text(), read.text());
        assert_eq!(written.resource_version, 9);
        assert!(
            written.weight().abs_diff(read.weight()) < 200,
            "{} {}",
            written.weight(),
            read.weight()
        );
        assert!(written.has_status(Some(&text)) && !before.has_status(Some(&text)));
        let nested = (0..DEPTH).fold(json!("v"), |inner, _| json!({ "a": inner }));
        let text = nested.to_string();
        let typed = Arc::clone(&read.typed);
        assert!(
            before
                .restated(before.system().clone(), (&nested, &text), typed)
                .is_err()
        );
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
