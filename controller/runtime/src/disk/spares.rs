//! Status files that were replaced or removed, kept under their temporary names to be written over. A file system is slow to
//! find a new file's place among those that were removed a moment ago, and a storm replaces and removes thousands. Only
//! status files: of a spec file an editor may still hold the old one, and after a loss of power a name may lead to what was
//! written over the file that it had, which of a spec file would count as a person's work. Does I/O; blocks.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::faults::Faults;
use super::file;

/// Most of them in one folder, and the largest of them in bytes.
const KEPT: usize = 4096;
const LARGEST: u64 = 16 << 10;
/// How long one is left as it is: who opened it while it had its name, such as a backup, has read it by then.
const REST: Duration = Duration::from_secs(2);
/// How long one is kept that nothing was written over.
const UNUSED: Duration = Duration::from_secs(60);

/// Which they are, by folder. Clones share them; the next start removes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spares(Arc<Mutex<HashMap<PathBuf, VecDeque<Spare>>>>);

#[derive(Debug)]
struct Spare {
    path: PathBuf,
    device: u64,
    inode: u64,
    since: Instant,
}

impl Spares {
    /// One in the folder of this file, opened, if there is one that is ours alone.
    pub(crate) fn take(&self, beside: &Path) -> Option<(PathBuf, File)> {
        let folder = beside.parent()?;
        loop {
            let spare = {
                let mut spares = self.lock();
                let spares = spares.get_mut(folder)?;
                if spares.front()?.since.elapsed() < rest() {
                    return None;
                }
                spares.pop_front()?
            };
            // Others may be able to write the folder: what a link leads to, or another file, is not written over.
            let file = OpenOptions::new()
                .write(true)
                .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                .open(&spare.path);
            let Ok(file) = file else { continue };
            let found = file
                .metadata()
                .ok()
                .filter(|found| found.is_file() && (found.dev(), found.ino()) == (spare.device, spare.inode));
            match found {
                Some(found) if found.nlink() == 1 => return Some((spare.path, file)),
                // One with a second name is a copy that somebody keeps, under that name.
                Some(_) => drop(std::fs::remove_file(&spare.path)),
                None => {}
            }
        }
    }

    /// Removes a file from its place and keeps it; that there is none is as good.
    pub(crate) fn take_away(&self, path: &Path, faults: &Faults) -> io::Result<()> {
        faults.placing(path);
        faults.step("unlink", path)?;
        if let Some(aside) = file::move_aside(path)? {
            self.keep(&aside, faults);
        }
        Ok(())
    }

    /// Removes those that nothing was written over for a while, or all: the disk is full.
    pub(crate) fn clear(&self, all: bool) {
        let mut unused = Vec::new();
        for spares in self.lock().values_mut() {
            let is_unused = |spare: &Spare| all || spare.since.elapsed() >= UNUSED;
            let count = spares.iter().take_while(|spare| is_unused(spare)).count();
            unused.extend(spares.drain(..count).map(|spare| spare.path));
            if spares.is_empty() {
                spares.shrink_to_fit();
            }
        }
        for path in unused {
            drop(std::fs::remove_file(path));
        }
    }

    /// Keeps a file that was replaced, or removes it.
    pub(crate) fn keep(&self, path: &Path, faults: &Faults) {
        let found = std::fs::symlink_metadata(path).ok();
        let found = found.filter(|found| found.is_file() && found.nlink() == 1 && found.len() <= LARGEST);
        if let (Some(found), Some(folder)) = (found, path.parent()) {
            let mut spares = self.lock();
            let spares = spares.entry(folder.to_owned()).or_default();
            if spares.len() < KEPT {
                spares.push_back(Spare {
                    path: path.to_owned(),
                    device: found.dev(),
                    inode: found.ino(),
                    since: Instant::now(),
                });
                return;
            }
        }
        file::discard_at(path, faults);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, VecDeque<Spare>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`REST`]; a test says how long.
fn rest() -> Duration {
    #[cfg(test)]
    if let Some(rest) = tests::REST_OF_TEST.get() {
        return rest;
    }
    REST
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::disk::file::prepare_over;
    use std::cell::Cell;
    use std::io::Read as _;

    thread_local! {
        pub(super) static REST_OF_TEST: Cell<Option<Duration>> = const { Cell::new(None) };
    }

    /// Writes a file; answers its inode and how many files the folder has.
    fn written(path: &Path, text: &str, spares: &Spares) -> (u64, usize) {
        let faults = Faults::default();
        let prepared = prepare_over(path, text.as_bytes(), spares, &faults).unwrap();
        let signature = prepared.place_over(spares, &faults).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), text);
        assert_eq!(file::Signature::at(path), Some(signature));
        let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        (fs::metadata(path).unwrap().ino(), files)
    }

    #[test]
    fn what_was_replaced_is_written_over_by_the_next() {
        REST_OF_TEST.set(Some(Duration::ZERO));
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.status.yaml"), dir.path().join("b.status.yaml"));
        let spares = Spares::default();
        let first = written(&a, "the first version of a, a long one", &spares);
        assert_eq!(first.1, 1);
        let second = written(&a, "second", &spares);
        assert!(second.0 != first.0 && second.1 == 2);
        assert_eq!(
            written(&b, "of b", &spares),
            (first.0, 2),
            "the inode that a had at first"
        );
        for n in 0..200 {
            written(&a, &format!("{n}"), &spares);
            written(&b, &"x".repeat(n), &spares);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_was_removed_is_written_over_by_the_next_or_cleared() {
        REST_OF_TEST.set(Some(Duration::ZERO));
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a.status.yaml");
        let (spares, faults) = (Spares::default(), Faults::default());
        let first = written(&a, "the first", &spares);
        spares.take_away(&a, &faults).unwrap();
        spares.take_away(&a, &faults).unwrap();
        assert!(!a.exists());
        assert_eq!(written(&a, "again", &spares), (first.0, 1));
        spares.take_away(&a, &faults).unwrap();
        spares.clear(false);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "not for long");
        spares.clear(true);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn who_has_opened_a_file_reads_it_to_its_end_however_often_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a.status.yaml");
        let spares = Spares::default();
        written(&a, "the first version", &spares);
        let mut backup = File::open(&a).unwrap();
        for n in 0..100 {
            written(&a, &format!("{n}"), &spares);
        }
        let mut read = String::new();
        backup.read_to_string(&mut read).unwrap();
        assert_eq!(read, "the first version");
    }

    #[test]
    fn what_has_a_second_name_or_is_another_file_by_now_is_left_as_it_is() {
        REST_OF_TEST.set(Some(Duration::ZERO));
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a.status.yaml");
        let spares = Spares::default();
        written(&a, "kept by a backup", &spares);
        fs::hard_link(&a, dir.path().join("backup")).unwrap();
        written(&a, "2", &spares);
        written(&a, "3", &spares);
        assert_eq!(
            fs::read_to_string(dir.path().join("backup")).unwrap(),
            "kept by a backup"
        );
        let temporary = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let temporary = temporary.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.'));
        let temporary: Vec<PathBuf> = temporary.collect();
        assert_eq!(temporary.len(), 1);
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        fs::remove_file(&temporary[0]).unwrap();
        symlink(&victim, &temporary[0]).unwrap();
        written(&a, "4", &spares);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn few_are_kept_and_none_that_is_large() {
        let dir = tempfile::tempdir().unwrap();
        let spares = Spares::default();
        let name = |n: usize| dir.path().join(format!("{n}.status.yaml"));
        for n in 0..KEPT + 50 {
            fs::write(name(n), "1").unwrap();
        }
        let faults = Faults::default();
        let prepared: Vec<_> = (0..KEPT + 50)
            .map(|n| prepare_over(&name(n), b"2", &spares, &faults).unwrap())
            .collect();
        for prepared in prepared {
            prepared.place_over(&spares, &faults).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEPT + 50 + KEPT);
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large.status.yaml");
        written(&large, &"x".repeat(100_000), &spares);
        assert_eq!(written(&large, "small", &spares).1, 1);
    }
}
