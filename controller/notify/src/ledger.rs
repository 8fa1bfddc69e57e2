//! What people have been notified of: one mark for each open incident, in a file beside the resources, so that a
//! restart repeats no card and loses none. Owns the file; bounded by the number of open incidents and by [`MOST`].

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::posted::MessageRef;
use crate::stage::Mark;

/// Most incidents that are remembered; beyond that those first seen longest ago are forgotten.
const MOST: usize = 4_096;
/// A file larger than this is not one of ours.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The ledger could not be read or written. What was posted may be posted again after a restart.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep {} up to date", path.display())]
pub struct LedgerError {
    path: PathBuf,
    source: std::io::Error,
}

/// The file's contents.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    /// Counts up; the order in which incidents were first seen.
    next: u64,
    incidents: BTreeMap<String, Line>,
    /// What was folded and not reported yet.
    #[serde(default, skip_serializing_if = "Digest::is_empty")]
    digest: Digest,
    /// What is being reported: folded again if that does not succeed.
    #[serde(default, skip_serializing_if = "Digest::is_empty")]
    reporting: Digest,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    since: u64,
    mark: Option<Mark>,
    /// The incident's own message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Root>,
    /// How often people were reminded that it failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    reminded: u64,
}

/// An incident's own message: where it stands, and the hash of what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub(crate) at: MessageRef,
    pub(crate) says: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What people have been notified of.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: Option<PathBuf>,
    contents: Contents,
    dirty: bool,
}

impl Ledger {
    /// A ledger that a restart forgets.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self {
            path: None,
            contents: Contents::default(),
            dirty: false,
        }
    }

    /// The ledger in this file; an empty one where there is none or it cannot be understood.
    pub(crate) async fn open(path: PathBuf) -> Self {
        let read = path.clone();
        let contents = tokio::task::spawn_blocking(move || load(&read)).await;
        let contents = match contents.map_err(std::io::Error::other).and_then(|read| read) {
            Ok(contents) => contents,
            Err(error) => {
                tracing::warn!(
                    "{} cannot be read: {error}; notifications of open incidents may be repeated",
                    path.display()
                );
                Contents::default()
            }
        };
        let mut ledger = Self {
            path: Some(path),
            contents,
            dirty: false,
        };
        ledger.fold_again();
        ledger
    }

    /// Whether the incident is known; otherwise it is noted, as one of which nothing has been posted.
    pub(crate) fn note(&mut self, uid: &str) -> bool {
        if self.contents.incidents.contains_key(uid) {
            return true;
        }
        while self.contents.incidents.len() >= MOST {
            let oldest = self.contents.incidents.iter().min_by_key(|(_, line)| line.since);
            let Some(oldest) = oldest.map(|(uid, _)| uid.clone()) else {
                break;
            };
            self.contents.incidents.remove(&oldest);
        }
        let since = self.contents.next;
        self.contents.next += 1;
        self.contents.incidents.insert(
            uid.to_owned(),
            Line {
                since,
                ..Line::default()
            },
        );
        self.dirty = true;
        false
    }

    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.contents.incidents.contains_key(uid)
    }

    pub(crate) fn mark(&self, uid: &str) -> Option<&Mark> {
        self.contents.incidents.get(uid)?.mark.as_ref()
    }

    /// This entry, and all before it, are settled.
    pub(crate) fn settle(&mut self, uid: &str, mark: Mark) {
        if let Some(line) = self.contents.incidents.get_mut(uid) {
            line.mark = Some(mark);
            self.dirty = true;
        }
    }

    /// The incident's own message.
    pub(crate) fn root(&self, uid: &str) -> Option<&Root> {
        self.contents.incidents.get(uid)?.root.as_ref()
    }

    pub(crate) fn set_root(&mut self, uid: &str, root: Root) {
        if let Some(line) = self.contents.incidents.get_mut(uid) {
            line.root = Some(root);
            self.dirty = true;
        }
    }

    /// How often people were reminded of this incident.
    pub(crate) fn reminded(&self, uid: &str) -> u64 {
        self.contents.incidents.get(uid).map_or(0, |line| line.reminded)
    }

    pub(crate) fn remind(&mut self, uid: &str, count: u64) {
        if let Some(line) = self.contents.incidents.get_mut(uid) {
            line.reminded = count;
            self.dirty = true;
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.contents.digest
    }

    pub(crate) fn digest_mut(&mut self) -> &mut Digest {
        self.dirty = true;
        &mut self.contents.digest
    }

    /// What `take` takes out of the digest is being reported from now on.
    pub(crate) fn take_folded(&mut self, take: impl FnOnce(&mut Digest) -> Option<Digest>) -> Option<Digest> {
        let taken = take(&mut self.contents.digest)?;
        let earlier = std::mem::replace(&mut self.contents.reporting, taken.clone());
        self.contents.reporting.merge(&earlier);
        self.dirty = true;
        Some(taken)
    }

    /// What was being reported is.
    pub(crate) fn set_reported(&mut self) {
        self.dirty |= !self.contents.reporting.is_empty();
        self.contents.reporting = Digest::default();
    }

    /// What was being reported is not.
    pub(crate) fn fold_again(&mut self) {
        let unreported = std::mem::take(&mut self.contents.reporting);
        self.dirty |= !unreported.is_empty();
        self.contents.digest.merge(&unreported);
    }

    /// Nothing more will be posted about this incident.
    pub(crate) fn close(&mut self, uid: &str) {
        self.dirty |= self.contents.incidents.remove(uid).is_some();
    }

    /// Writes what has changed.
    pub(crate) async fn save(&mut self) -> Result<(), LedgerError> {
        let Some(path) = self.path.clone().filter(|_| self.dirty) else {
            return Ok(());
        };
        self.dirty = false;
        let bytes = serde_json::to_vec(&self.contents).unwrap_or_default();
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || store(&target, &bytes)).await;
        written
            .map_err(std::io::Error::other)
            .and_then(|written| written)
            .map_err(|source| LedgerError { path, source })
    }
}

fn load(path: &Path) -> std::io::Result<Contents> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Contents::default()),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(std::io::Error::other("it is no regular file of a sensible size"));
    }
    serde_json::from_slice(&std::fs::read(path)?).map_err(std::io::Error::other)
}

fn store(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use aegis_api::Time;
    use aegis_api::incident::{Stage, TimelineEntry};

    use super::*;

    #[test]
    fn of_two_that_are_being_reported_the_newer_stage_is_folded_again() {
        let mut ledger = Ledger::in_memory();
        for stage in [Stage::Received, Stage::Resolved] {
            ledger.digest_mut().add("a", "web", stage);
            ledger.take_folded(|digest| Some(std::mem::take(digest)));
        }
        assert!(ledger.digest().is_empty());
        ledger.fold_again();
        let words = ledger.digest().words();
        assert!(words.contains("2 messages about 1 incidents"), "{words}");
        assert!(words.contains("1 resolved"), "{words}");
    }

    fn mark() -> Mark {
        Mark::of(&TimelineEntry {
            ts: Time(jiff::Timestamp::UNIX_EPOCH),
            status: Stage::Received,
            message: String::new(),
            agent: None,
        })
    }

    #[tokio::test]
    async fn what_was_posted_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify/slack.json");
        let mut ledger = Ledger::open(path.clone()).await;
        assert!(!ledger.note("a"));
        ledger.note("b");
        ledger.settle("a", mark());
        ledger.close("b");
        ledger.save().await.unwrap();
        let ledger = Ledger::open(path).await;
        assert_eq!(ledger.mark("a"), Some(&mark()));
        assert!(!ledger.knows("b"));
    }

    #[tokio::test]
    async fn a_file_of_garbage_is_an_empty_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slack.json");
        std::fs::write(&path, "garbage").unwrap();
        assert!(!Ledger::open(path).await.knows("a"));
    }

    #[test]
    fn it_remembers_a_bounded_number_of_incidents() {
        let mut ledger = Ledger::in_memory();
        for number in 0..MOST + 10 {
            ledger.note(&number.to_string());
        }
        assert_eq!(ledger.contents.incidents.len(), MOST);
        assert!(!ledger.knows("0") && ledger.knows(&(MOST + 9).to_string()));
    }
}
