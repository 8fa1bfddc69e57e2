//! Whether each kind's folder is still the one that was loaded: a folder that was moved, unmounted or replaced says
//! nothing about what people want of the objects in it. Owns the folders' identities and `<dir>/.folders`, by which
//! the next start knows what must be there. Does I/O; blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aegis_api::deletion::HeldDeletion;
use aegis_api::{KINDS, KindInfo};
use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::{Disk, DiskError, file};

/// The name of the record.
const RECORD: &str = ".folders";

/// What distinguishes one folder from another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderId {
    device: u64,
    inode: u64,
    /// Inodes are given out again at once; where the file system knows a birth time, that decides.
    born: Option<SystemTime>,
}

impl FolderId {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            born: metadata.created().ok(),
        }
    }
}

/// How a kind's folder was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Folder {
    /// As it was loaded.
    Same,
    /// There is another one in its place.
    Other(FolderId),
    /// There is none.
    Missing,
    /// There is something that cannot be listed, and why.
    Unusable(String),
    /// The state directory itself is not the one that was opened.
    Away,
}

/// Which folder was loaded, by the plural of its kind; the state directory itself by "".
#[derive(Debug, Clone, Default)]
pub(crate) struct Homes(Arc<Mutex<BTreeMap<&'static str, FolderId>>>);

impl Homes {
    fn get(&self, plural: &str) -> Option<FolderId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(plural).copied()
    }

    fn set(&self, plural: &'static str, id: FolderId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(plural, id);
    }
}

impl Disk {
    /// Takes the folders as they are now for the ones that are loaded.
    pub(crate) fn settle_in(&self) -> Result<(), DiskError> {
        let root = std::fs::metadata(self.dir.as_path());
        let root = root.map_err(|source| DiskError::io(self.dir.as_path(), source))?;
        self.homes.set("", FolderId::of(&root));
        for info in KINDS.iter() {
            let path = self.dir.join(info.plural);
            let found = std::fs::metadata(&path);
            let metadata = found.map_err(|source| DiskError::io(&path, source))?;
            if !metadata.is_dir() {
                let source = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(DiskError::io(path, source));
            }
            self.homes.set(info.plural, FolderId::of(&metadata));
        }
        Ok(())
    }

    /// How this kind's folder is found now.
    pub(crate) fn folder(&self, info: &KindInfo) -> Folder {
        let root = std::fs::metadata(self.dir.as_path()).map(|metadata| FolderId::of(&metadata));
        // On some file systems inodes change by themselves: the lock is asked, too.
        if root.as_ref().ok() != self.homes.get("").as_ref() && !self.is_in_place() {
            return Folder::Away;
        }
        match std::fs::metadata(self.dir.join(info.plural)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Folder::Missing,
            Err(error) => Folder::Unusable(format!("the folder cannot be read: {error}")),
            Ok(metadata) if !metadata.is_dir() => {
                Folder::Unusable("it is not a folder: put the folder back".to_owned())
            }
            Ok(metadata) => {
                let id = FolderId::of(&metadata);
                match self.homes.get(info.plural) == Some(id) {
                    true => Folder::Same,
                    false => Folder::Other(id),
                }
            }
        }
    }

    /// From now on this is the kind's folder.
    pub(crate) fn adopt(&self, info: &'static KindInfo, id: FolderId) {
        self.homes.set(info.plural, id);
    }

    /// Makes the folder of a kind of which nothing is known.
    pub(crate) fn make_home(&self, info: &'static KindInfo) -> io::Result<()> {
        let path = self.dir.join(info.plural);
        file::make_folder(&path)?;
        self.adopt(info, FolderId::of(&std::fs::metadata(path)?));
        Ok(())
    }
}

impl Folder {
    /// What is reported of it, and what a person should do; `None` where all is well.
    pub(crate) fn fault(&self, dir: &Path, plural: &str) -> Option<(&'static str, String)> {
        let kept = "nothing is deleted, the last good versions stay in force, changes are refused";
        match self {
            Self::Same => None,
            Self::Missing => Some((
                "FolderMissing",
                format!("the folder is not there: {kept} until it is back; put it back with its files"),
            )),
            Self::Other(_) => Some((
                "FolderReplaced",
                format!(
                    "another folder is in its place, and files are missing in it: {kept}; put the folder or the files back, \
                     or `aegisctl confirm {plural}` to delete what is missing"
                ),
            )),
            Self::Unusable(why) => Some(("FolderUnusable", format!("{why} ({kept})"))),
            Self::Away => Some((
                "StateDirectoryAway",
                format!(
                    "the state directory {} is not the one that was opened: {kept}; mount or move it back, or restart the \
                     controller",
                    dir.display()
                ),
            )),
        }
    }

    /// The error of a write to it.
    pub(crate) fn error(&self, dir: &Path, plural: &str) -> Option<DiskError> {
        let (_, message) = self.fault(dir, plural)?;
        Some(DiskError::io(dir.join(plural), io::Error::other(message)))
    }
}

/// What the next start must know: `<dir>/.folders`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Plurals of the kinds whose folders hold objects.
    #[serde(default)]
    pub(crate) occupied: BTreeSet<String>,
    /// Deletions that wait for somebody to confirm them.
    #[serde(default)]
    pub(crate) held: Vec<HeldDeletion>,
}

impl Record {
    /// As it was last written. One that cannot be read says nothing.
    pub(crate) fn read(dir: &Path) -> Self {
        let text = std::fs::read(dir.join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        text.push(b'\n');
        file::replace(&dir.join(RECORD), &text, &Faults::default())
    }

    /// Refuses to start without a folder that held objects: without them their containers would belong to no object.
    pub(crate) fn check(&self, dir: &Path) -> Result<(), DiskError> {
        let gone = |plural: &&String| {
            std::fs::metadata(dir.join(plural)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        match self.occupied.iter().find(gone) {
            None => Ok(()),
            Some(plural) => Err(DiskError::io(
                dir.join(plural),
                io::Error::new(
                    io::ErrorKind::NotFound,
                    "the folder held objects when the controller last ran, and is gone: put it back, or make an empty folder \
                     there to begin without them",
                ),
            )),
        }
    }
}
