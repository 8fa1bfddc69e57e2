//! Policy files that are not in force as they are. Reads them, and decides nothing.

use std::path::Path;

use aegis_api::{Kind, RemediationPolicy, kinds};
use aegis_planning::governing::{BrokenPolicy, selectors};
use aegis_runtime::store::{BrokenFile, Store};

/// The largest policy file that is looked into for its selector, bytes.
const LARGEST: u64 = 1 << 20;

/// The broken files of policies that there are.
pub(crate) async fn broken_policies(store: &Store) -> Vec<BrokenPolicy> {
    let files: Vec<BrokenFile> = store
        .broken_files()
        .into_iter()
        .filter(|file| kinds::find(RemediationPolicy::PLURAL).is_some_and(|info| info.kind == file.kind))
        .collect();
    if files.is_empty() {
        return Vec::new();
    }
    let read = tokio::task::spawn_blocking(move || {
        let broken = files.into_iter().map(|file| BrokenPolicy {
            selects: read(&file.path).as_deref().and_then(selectors),
            name: file.name,
            message: file.message,
        });
        broken.collect()
    });
    read.await.unwrap_or_else(|error| {
        vec![BrokenPolicy {
            name: String::new(),
            message: format!("broken policy files cannot be read: {error}"),
            selects: None,
        }]
    })
}

fn read(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= LARGEST).then(|| std::fs::read_to_string(path).ok())?
}
