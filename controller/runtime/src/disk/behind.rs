//! Status files that the journal has and that are not in their place yet. In a storm an object's status changes many times
//! a second: each version is durable by the journal, and the last one of a moment is put in place. Does I/O; blocks.
//!
//! Nothing reads a status file but the next start, and that puts in place first what the journal has.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::digest::Digest;
use super::journal::frame::{Draft, SpecPart};
use super::journal::{self, Journal, Segment, Touched};
use super::layout::Key;
use super::{Disk, DiskError, file};

/// The last version of a status file that the journal has.
#[derive(Debug, Clone)]
pub(crate) struct Behind {
    pub(crate) key: Key,
    pub(crate) bytes: Arc<[u8]>,
    /// The version of the spec file that is in force by it.
    pub(crate) accepted: Option<Digest>,
}

/// Which those are, by the path of each (as bytes: a path would be taken apart each time). Clones share them. What they take
/// is what two files of the journal may hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct BehindFiles(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<Files>,
    placed: Condvar,
}

#[derive(Debug, Default)]
struct Files {
    waiting: HashMap<OsString, Behind>,
    /// Those that are put in place just now.
    placing: HashSet<OsString>,
}

impl BehindFiles {
    /// This version is to be put in place, instead of an earlier one that is not yet.
    pub(crate) fn put(&self, path: PathBuf, behind: Behind) {
        self.lock().waiting.insert(path.into_os_string(), behind);
    }

    /// Whether this file is not in its place yet.
    pub(crate) fn has(&self, path: &Path) -> bool {
        let (files, path) = (self.lock(), path.as_os_str());
        files.waiting.contains_key(path) || files.placing.contains(path)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let files = self.lock();
        files.waiting.is_empty() && files.placing.is_empty()
    }

    /// Takes one out, for `place`, while no other thread places it; where that fails it waits again, unless there is a newer
    /// version by then. `None`: there was none.
    pub(crate) fn take<T, E>(
        &self,
        path: &Path,
        place: impl FnOnce(Option<&Behind>) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = path.as_os_str();
        let mut files = self.while_not_placing(path);
        let taken = files.waiting.remove(path);
        files.placing.insert(path.to_owned());
        drop(files);
        let placed = place(taken.as_ref());
        let mut files = self.lock();
        files.placing.remove(path);
        if let (Err(_), Some(behind)) = (&placed, taken)
            && let Entry::Vacant(entry) = files.waiting.entry(path.to_owned())
        {
            entry.insert(behind);
        }
        drop(files);
        self.0.placed.notify_all();
        placed
    }

    /// As it waits now; what is being put in place meanwhile has ended by then.
    pub(crate) fn waiting(&self, path: &Path) -> Option<Behind> {
        let path = path.as_os_str();
        self.while_not_placing(path).waiting.get(path).cloned()
    }

    fn while_not_placing(&self, path: &OsStr) -> MutexGuard<'_, Files> {
        let mut files = self.lock();
        while files.placing.contains(path) {
            files = self.0.placed.wait(files).unwrap_or_else(PoisonError::into_inner);
        }
        files
    }

    fn paths(&self) -> Vec<OsString> {
        self.lock().waiting.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// Puts in place what waits for it; of what could not be, answers the last error. Blocks.
    pub(crate) fn catch_up(&self) -> Result<(), DiskError> {
        let placed = self.place_behind(&self.behind.paths());
        let mut journal = self.journal();
        // No change is under way under this lock.
        if self.behind.is_empty()
            && let Err(error) = journal.mark_placed(true)
        {
            tracing::debug!(%error, "the next start inspects more files than it had to");
        }
        placed
    }

    fn place_behind<'a>(&self, paths: impl IntoIterator<Item = &'a OsString>) -> Result<(), DiskError> {
        let mut folders: BTreeMap<&'static str, Option<DiskError>> = BTreeMap::new();
        let mut result = Ok(());
        for path in paths.into_iter().map(Path::new) {
            let placed = self.behind.take(path, |behind| {
                let Some(behind) = behind else { return Ok(()) };
                let info = behind.key.info;
                // Nothing is put into a folder that is not the one that was loaded.
                let fault = folders
                    .entry(info.plural)
                    .or_insert_with(|| self.folder(info).error(&self.dir, info.plural));
                match fault {
                    Some(error) => Err(error.clone()),
                    None => self.place_one(path, behind),
                }
            });
            if placed.is_err() {
                result = placed;
            }
        }
        result
    }

    pub(crate) fn place_one(&self, path: &Path, behind: &Behind) -> Result<(), DiskError> {
        let prepared = file::prepare_over(path, &behind.bytes, &self.spares, &self.faults);
        let placed = prepared.and_then(|prepared| prepared.place_over(&self.spares, &self.faults));
        placed.map(drop).map_err(|source| DiskError::io(path, source))
    }

    /// Makes durable what a file of the journal has, and empties it. What cannot be put in its place is written to the
    /// other file once more. Where that fails, too, this one stays as it is. Blocks.
    pub(crate) fn settle(&self, segment: &mut Segment) -> std::io::Result<()> {
        let has = |path: &&OsString| self.behind.has(Path::new(path));
        let waiting: Touched = segment.touched.iter().filter(has).cloned().collect();
        let placed = self.place_behind(&waiting);
        segment.sync(&self.faults)?;
        if let Err(error) = placed {
            self.carry_over(&waiting, &mut self.journal(), &error)?;
            // What another thread has put in place since then was not made durable with the rest.
            journal::sync_each(&waiting, &self.faults)?;
        }
        self.spares.clear(false);
        segment.empty(&self.faults)
    }

    /// The journal is a new one: the files of the other were removed.
    pub(super) fn carry_all_over(&self, journal: &mut Journal) -> std::io::Result<()> {
        let why = DiskError::io(
            self.dir.join(".journal"),
            std::io::Error::other("its files were removed"),
        );
        self.carry_over(&self.behind.paths(), journal, &why)
    }

    fn carry_over<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a OsString>,
        journal: &mut Journal,
        why: &DiskError,
    ) -> std::io::Result<()> {
        let mut draft = Draft::default();
        let mut carried = Vec::new();
        for path in paths.into_iter().map(Path::new) {
            if let Some(behind) = self.behind.waiting(path) {
                let kept = (SpecPart::Kept, &[][..]);
                draft.object(&behind.key, kept, Some(&behind.bytes), behind.accepted);
                carried.push(path.to_owned());
            }
        }
        if carried.is_empty() {
            return Ok(());
        }
        tracing::warn!(error = %why, files = carried.len(), "status files that are not in their place are written to the journal once more");
        journal.append(&draft)?;
        journal.touched(carried);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(text: &str) -> Behind {
        Behind {
            key: Key::new(aegis_api::kinds::find("wl").unwrap(), "web"),
            bytes: text.as_bytes().into(),
            accepted: None,
        }
    }

    #[test]
    fn what_fails_waits_again_unless_a_newer_version_does() {
        let (files, path) = (BehindFiles::default(), Path::new("web.status.yaml"));
        files.put(path.to_owned(), behind("1"));
        let failed = files.take(path, |taken| {
            assert_eq!(&*taken.unwrap().bytes, b"1");
            assert!(files.has(path), "it is on its way");
            Err::<(), _>(())
        });
        assert!(failed.is_err() && files.has(path));
        let failed = files.take(path, |_| {
            files.put(path.to_owned(), behind("2"));
            Err::<(), _>(())
        });
        assert!(failed.is_err());
        let placed = files.take(path, |taken| Ok::<_, ()>(taken.unwrap().bytes.to_vec()));
        assert_eq!(placed.unwrap(), b"2");
        assert!(files.is_empty());
    }

    #[test]
    fn an_older_version_is_never_put_over_a_newer_one() {
        let (files, path) = (BehindFiles::default(), Path::new("web.status.yaml"));
        let last = Mutex::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=2000 {
                    files.put(path.to_owned(), behind(&n.to_string()));
                }
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    while *last.lock().unwrap() < 2000 {
                        let placed = files.take(path, |taken| {
                            if let Some(taken) = taken {
                                let n: u32 = std::str::from_utf8(&taken.bytes).unwrap().parse().unwrap();
                                std::thread::yield_now();
                                let before = std::mem::replace(&mut *last.lock().unwrap(), n);
                                assert!(before < n, "{n} after {before}");
                            }
                            Ok::<_, ()>(())
                        });
                        placed.unwrap();
                    }
                });
            }
        });
        assert!(files.is_empty());
    }
}
