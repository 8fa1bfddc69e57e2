//! Whether a file that is gone only has another name now: a person renamed it, or an editor or a copy put it aside. Does
//! I/O; blocks.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aegis_api::yaml;
use serde_json::Value;

use super::Disk;
use super::file::Signature;
use super::layout::{FileName, Key};
use super::spec_file::MAX_BYTES;

/// How long before a file was missed another one may have taken its contents.
const EARLIER: Duration = Duration::from_secs(10);
/// How many files of a folder are read in search of it.
const READ: usize = 1000;

/// A spec file that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Sought {
    pub(crate) key: Key,
    /// When it was missed first.
    pub(crate) since: Option<SystemTime>,
    /// As it was last seen.
    pub(crate) signature: Option<Signature>,
}

impl Sought {
    /// Whether a file came to be, or got its name, when this one went. A backup of old is not this one.
    fn may_be(&self, metadata: &Metadata) -> bool {
        let changed = u64::try_from(metadata.ctime()).ok().map(|seconds| {
            let nanos = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
            SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
        });
        let since = self.since.and_then(|since| since.checked_sub(EARLIER));
        let fresh = matches!((changed, since), (Some(changed), Some(since)) if changed >= since);
        fresh || self.signature == Some(Signature::of(metadata))
    }
}

#[expect(
    clippy::mutable_key_type,
    reason = "a key is compared by kind and name; what its row of the table compiles lazily takes no part"
)]
impl Disk {
    /// The files whose contents say that they are these objects', by the object.
    pub(crate) fn renamed(&self, sought: Vec<Sought>) -> BTreeMap<Key, String> {
        let mut found = BTreeMap::new();
        let mut folders: BTreeMap<&'static str, Vec<Sought>> = BTreeMap::new();
        for one in sought {
            folders.entry(one.key.info.plural).or_default().push(one);
        }
        for (plural, sought) in folders {
            let entries = std::fs::read_dir(self.dir.join(plural)).into_iter().flatten();
            let mut read = 0;
            for entry in entries.flatten() {
                let file_name = entry.file_name().to_string_lossy().into_owned();
                let Ok(metadata) = entry.metadata() else { continue };
                if !is_candidate(&file_name, &metadata) || !sought.iter().any(|one| one.may_be(&metadata)) {
                    continue;
                }
                read += 1;
                if read > READ {
                    break;
                }
                let path = entry.path();
                let one = sought
                    .iter()
                    .find(|one| one.may_be(&metadata) && says(&path, &one.key));
                if let Some(one) = one {
                    found.insert(one.key.clone(), file_name);
                }
            }
        }
        found
    }

    /// Whether this file of the kind's folder still says that it is this object's.
    pub(crate) fn still_says(&self, key: &Key, file_name: &str) -> bool {
        let path = key.folder(&self.dir).join(file_name);
        let small = |metadata: Metadata| metadata.is_file() && is_small(&metadata);
        std::fs::symlink_metadata(&path).is_ok_and(small) && says(&path, key)
    }
}

/// Names that never are a person's renamed file.
fn is_candidate(file_name: &str, metadata: &Metadata) -> bool {
    let ours = matches!(FileName::of(file_name), FileName::Status(_) | FileName::Temporary);
    !ours && !file_name.ends_with(".rejected") && metadata.is_file() && is_small(metadata)
}

fn is_small(metadata: &Metadata) -> bool {
    usize::try_from(metadata.size()).is_ok_and(|size| size <= MAX_BYTES)
}

/// Whether a file says that it is this object's. Files that are none of ours say nothing.
fn says(path: &Path, key: &Key) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    let Some(document) = yaml::parse(&text)
        .ok()
        .and_then(|documents| documents.into_iter().next())
    else {
        return false;
    };
    let text = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str);
    let ours = text("/kind").is_none_or(|kind| kind == key.info.kind);
    ours && text("/metadata/name") == Some(&key.name) && document.value.get("spec").is_some()
}
