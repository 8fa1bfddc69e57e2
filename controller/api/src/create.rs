//! What a new container is made from: a faithful clone of an adopted container, or a Workload's template. Pure: the engine
//! is not asked here; the driver is given the result.

mod clone;
mod networks;
mod revision;
mod template;

use std::collections::BTreeMap;

use crate::meta::{LABEL_INSTANCE, LABEL_NAME, LABEL_REPLICA, LABEL_REVISION, LABEL_WORKLOAD};
use serde_json::{Map, Value};

pub use clone::{clone_revision, clone_spec};
pub use template::{template_revision, template_spec};

/// Everything a new container is made from: the engine's own configuration as opaque JSON (in the shape of the body of
/// `POST /containers/create`), since a faithful clone must keep fields that we do not know.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSpec {
    /// Its name.
    pub name: String,
    /// Body of `POST /containers/create`, `NetworkingConfig` included.
    pub body: serde_json::Value,
    /// Networks to join after creation and before the start, beyond those in `body` (engines before API 1.44 take one only):
    /// name → `EndpointSettings`.
    pub extra_networks: BTreeMap<String, serde_json::Value>,
    /// The exact image (`sha256:…`). The name in `body` is used as long as it means this image, so that people read a
    /// name in `docker ps`; if it has moved on, the image is named by this id. `None`: whatever the name means.
    pub image_id: Option<String>,
}

/// Whom a new container belongs to; becomes its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership<'a> {
    /// Name of the Workload.
    pub workload: &'a str,
    /// Revision it is made from.
    pub revision: &'a str,
    /// Id of the controller's state directory.
    pub instance: &'a str,
    /// Which replica it is, counted from 1.
    pub index: u32,
}

/// The labels by which the controller finds its own containers again. A clone inherits none of them.
const OWNERSHIP_LABELS: [&str; 5] = [
    LABEL_WORKLOAD,
    LABEL_REVISION,
    LABEL_INSTANCE,
    LABEL_REPLICA,
    LABEL_NAME,
];

/// Whether a container is one that this controller made for a workload: its labels say so, and it has the name that it was
/// made under. Labels alone prove nothing, since an image brings its own: one that `docker commit` makes of a replica, or
/// that somebody built, has all of them, and what a person runs from it is that person's.
pub fn is_ours(name: &str, labels: &BTreeMap<String, String>, workload: &str, instance: &str) -> bool {
    claims(labels, workload, instance) && has_its_name(name, labels, workload)
}

/// Whether the labels of a container say that this controller made it for a workload.
pub fn claims(labels: &BTreeMap<String, String>, workload: &str, instance: &str) -> bool {
    let says = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    says(LABEL_WORKLOAD, workload) && says(LABEL_INSTANCE, instance)
}

/// Whether a container has the name that its labels give it. Those made by earlier versions have no label for it: their
/// names are `WORKLOAD-replica-N`.
pub fn has_its_name(name: &str, labels: &BTreeMap<String, String>, workload: &str) -> bool {
    if let Some(made_as) = labels.get(LABEL_NAME) {
        return made_as == name;
    }
    let index = name
        .strip_prefix(workload)
        .and_then(|rest| rest.strip_prefix("-replica-"))
        .filter(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
    let labelled = labels.get(LABEL_REPLICA).map(String::as_str);
    index.is_some_and(|index| labelled.is_none_or(|labelled| labelled == index))
}

impl Ownership<'_> {
    fn label(&self, body: &mut Map<String, Value>, name: &str) {
        let labels = body.entry("Labels").or_insert_with(|| Value::Object(Map::new()));
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        if let Some(labels) = labels.as_object_mut() {
            let values = [
                self.workload.into(),
                self.revision.into(),
                self.instance.into(),
                self.index.to_string(),
                name.to_owned(),
            ];
            for (key, value) in OWNERSHIP_LABELS.into_iter().zip::<[String; 5]>(values) {
                labels.insert(key.to_owned(), Value::String(value));
            }
        }
    }
}
