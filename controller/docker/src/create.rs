//! What a new container is made from: a faithful clone of an adopted container, or a Workload's template. Pure: the engine
//! is not asked here; [`crate::Engine::create`] is given the result.

mod clone;
mod networks;
mod revision;
mod template;

use aegis_api::meta::{LABEL_INSTANCE, LABEL_REPLICA, LABEL_REVISION, LABEL_WORKLOAD};
use serde_json::{Map, Value};

pub use clone::{clone_revision, clone_spec};
pub use template::{template_revision, template_spec};

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
const OWNERSHIP_LABELS: [&str; 4] = [LABEL_WORKLOAD, LABEL_REVISION, LABEL_INSTANCE, LABEL_REPLICA];

/// Holds the networks that a container has yet to join before its first start, on engines that create it in one only.
/// Written and read by the driver, so that a crash between creating and joining leaves no container that is half connected.
pub(crate) const NETWORKS_LABEL: &str = "io.aegisops.networks";

impl Ownership<'_> {
    fn label(&self, body: &mut Map<String, Value>) {
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
            ];
            for (key, value) in OWNERSHIP_LABELS.into_iter().zip::<[String; 4]>(values) {
                labels.insert(key.to_owned(), Value::String(value));
            }
        }
    }
}
