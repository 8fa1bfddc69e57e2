//! The file that the controller writes beside a person's: system metadata, the last good version of what the person
//! wrote, and the status. Pure; the format is JSON, which is YAML and reads many times faster.

use aegis_api::API_VERSION;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::digest::Digest;
use super::layout::Key;
use super::revision::LIMIT;
use crate::store::object::{Desired, Stored, System};

/// The largest status file that is written or read, in bytes.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// The contents of `<name>.status.yaml`, as they are read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusFile {
    kind: String,
    name: String,
    /// What the controller alone knows about the object.
    pub(crate) metadata: System,
    /// SHA-256 of the spec file that `accepted` was read from; absent once that file was deleted by hand.
    #[serde(default)]
    pub(crate) accepted_file: Option<Digest>,
    /// The last good version of what people wrote.
    pub(crate) accepted: Desired,
    /// What reconcilers wrote.
    #[serde(default)]
    pub(crate) status: Option<Value>,
}

/// The same as it is written: what people and reconcilers wrote is copied from the object's text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    metadata: &'a System,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_file: Option<Digest>,
    accepted: Accepted<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a RawValue>,
}

/// As [`Desired`] is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_references: Option<&'a RawValue>,
    spec: &'a RawValue,
}

impl StatusFile {
    /// Reads the status file of this object. One that was copied from another object is refused: two objects never
    /// have one uid.
    pub(crate) fn parse(key: &Key, bytes: &[u8]) -> Result<Self, String> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err("it is empty".to_owned());
        }
        let file: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.kind != key.info.kind || file.name != key.name {
            return Err(format!("it belongs to {} {:?}", file.kind, file.name));
        }
        let metadata = &file.metadata;
        if metadata.resource_version > LIMIT || u64::try_from(metadata.generation).is_ok_and(|n| n > LIMIT) {
            return Err("its numbers are not ones that were ever given out".to_owned());
        }
        Ok(file)
    }

    /// What the file of this object is to have.
    pub(crate) fn render(object: &Stored, accepted_file: Option<Digest>) -> Result<Vec<u8>, String> {
        let text = object.apart().ok_or("it cannot be read")?;
        let attached = text.attached();
        let written = Written {
            api_version: API_VERSION,
            kind: object.info.kind,
            name: object.name(),
            metadata: object.system(),
            accepted_file,
            accepted: Accepted {
                labels: attached.labels,
                annotations: attached.annotations,
                owner_references: attached.owner_references,
                spec: text.spec,
            },
            status: text.status,
        };
        let mut bytes = serde_json::to_vec_pretty(&written).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        if bytes.len() > MAX_BYTES {
            return Err(format!(
                "the status is too large: {} bytes; {MAX_BYTES} at most are kept",
                bytes.len()
            ));
        }
        Ok(bytes)
    }
}
