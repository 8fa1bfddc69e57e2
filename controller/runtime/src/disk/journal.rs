//! The journal: a log in front of the files, so that a whole batch of changes (audit log, specs, statuses) is durable with
//! one sync. Owns `<dir>/.journal/`; does I/O; blocks.
//!
//! The files stay the truth that people read and edit: they are put in place right after the record that has them (status
//! files a moment later: [`behind`](super::behind)), and made durable later, many at once ([`Disk::settle`](super::Disk)).
//! Until then the journal has their contents; [`replay`] puts right what a loss of power left of them. Two files take turns:
//! one is written while what the other has is made durable, so the journal is bounded by [`LIMIT`] and the largest batch,
//! twice. Their bytes are written ahead: overwriting them syncs without the file system's own journal.

pub(crate) mod frame;
pub(crate) mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::faults::Faults;
use super::file;
use frame::{ALIGN, Draft, Epoch};

/// Bytes after which the other file is written.
pub(crate) const LIMIT: usize = 8 << 20;
/// By how much a file grows, bytes.
const STEP: usize = 256 << 10;
/// Threads that make files durable: the file system commits for several at once.
const PARALLEL: usize = 4;
/// More files than these are made durable with the whole file system: in one go, and not one after the other.
const MANY: usize = if cfg!(test) { 8 } else { 256 };
/// But not where more than this waits to be written on the whole host, kB.
const CALM_KB: u64 = 512 << 10;
const FOLDER: &str = ".journal";
const FILES: [&str; 2] = ["a", "b"];
/// Says up to which record everything is in place.
const MARK: &str = "placed";

/// Paths, compared as the bytes that they are: as paths they would be taken apart each time.
pub(crate) type Touched = BTreeSet<OsString>;

/// The journal of an open state directory.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    faults: Faults,
    epoch: Epoch,
    /// The number of the next record.
    next: u64,
    active: Segment,
    /// `None` while what it has is made durable.
    other: Option<Segment>,
    mark: Option<File>,
    /// Whether its files were removed, and are new ones.
    renewed: bool,
    /// The newest record whose status files were all in place.
    statuses: u64,
    /// Since when the power is on.
    boot: String,
}

/// One of the two files.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that are written ahead.
    size: usize,
    /// Bytes of records.
    used: usize,
    /// Files that were put in place and may not be durable.
    pub(crate) touched: Touched,
}

impl Journal {
    /// An empty one; nothing is written before the first record.
    pub(crate) fn new(dir: &Path, faults: Faults) -> Self {
        let folder = dir.join(FOLDER);
        let [active, other] = FILES.map(|name| Segment::new(folder.join(name)));
        Self {
            folder,
            boot: faults.boot(),
            faults,
            epoch: uuid::Uuid::new_v4().into_bytes(),
            next: 1,
            active,
            other: Some(other),
            mark: None,
            renewed: false,
            statuses: 0,
        }
    }

    /// Goes on after the records that an earlier process left in these files, the newest of that number and in the last of
    /// them; `touched` are the files that they are about, which are all in place, or all but status files.
    fn adopt(
        &mut self,
        segments: Vec<Segment>,
        (epoch, newest): (Epoch, u64),
        touched: &Touched,
        is_whole: bool,
    ) {
        self.epoch = epoch;
        self.next = newest.saturating_add(1);
        for mut segment in segments {
            if segment.used > 0 {
                segment.touched.clone_from(touched);
            }
            let before = std::mem::replace(&mut self.active, segment);
            self.other = Some(before);
        }
        if let Err(error) = self.mark_placed(is_whole) {
            tracing::debug!(%error, "the next start inspects these files again");
        }
    }

    /// Writes a record; it is durable when this returns its number.
    pub(crate) fn append(&mut self, draft: &Draft) -> io::Result<u64> {
        let record = draft.seal(&self.epoch, self.next).map_err(io::Error::other)?;
        if !self.active.is_in_place() {
            // It was removed: what it had is in place, but for status files that wait, and is made durable with what follows.
            self.renewed |= self.active.file.take().is_some();
        }
        if self.active.file.is_none() {
            if make_folder(&self.folder)? {
                self.mark = None;
            }
            self.active.open()?;
            File::open(&self.folder)?.sync_all()?;
        }
        self.active.write(&record, &self.faults)?;
        let number = self.next;
        self.next = self.next.saturating_add(1);
        Ok(number)
    }

    /// Whether its files were removed since this was last asked.
    pub(crate) fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.renewed)
    }

    /// These files were put in place, by the newest record.
    pub(crate) fn touched(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let paths = paths.into_iter().map(PathBuf::into_os_string);
        self.active.touched.extend(paths);
    }

    /// All that the records say is in place; if it is not `is_whole`, but for status files that wait. A note only: it is not
    /// durable, and does not count after a loss of power.
    pub(crate) fn mark_placed(&mut self, is_whole: bool) -> io::Result<()> {
        let number = self.next.saturating_sub(1);
        if is_whole && std::mem::replace(&mut self.statuses, number) == number {
            return Ok(());
        }
        if self.mark.is_none() {
            self.mark = Some(file::open_private(&self.folder.join(MARK))?);
        }
        let text = replay::Mark {
            boot: self.boot.clone(),
            epoch: self.epoch,
            number,
            statuses: self.statuses,
        };
        self.faults.step("journal mark", &self.folder)?;
        match &self.mark {
            Some(mark) => mark.write_all_at(text.render().as_bytes(), 0),
            None => Ok(()),
        }
    }

    /// Whether a record of so many bytes belongs into the other file.
    pub(crate) fn is_full(&self, bytes: usize) -> bool {
        self.active.used > 0 && self.active.used.saturating_add(bytes) > self.faults.journal_limit()
    }

    /// Whether there is anything that may not be durable in its place.
    pub(crate) fn is_behind(&self) -> bool {
        self.active.used > 0 || self.other.as_ref().is_some_and(|other| other.used > 0)
    }

    /// Takes the file that is written, so that what it has can be made durable, and goes on in the other one. `None` while
    /// that one is not given back.
    pub(crate) fn turn(&mut self) -> Option<Segment> {
        let other = self.other.take_if(|other| other.used == 0)?;
        if self.active.used == 0 {
            self.other = Some(other);
            return None;
        }
        Some(std::mem::replace(&mut self.active, other))
    }

    /// The other file again: empty, or as it was where that has failed.
    pub(crate) fn give_back(&mut self, segment: Segment) {
        self.other = Some(segment);
    }

    /// Takes the other file, if it is there and still has something to be made durable.
    pub(crate) fn unsettled(&mut self) -> Option<Segment> {
        self.other.take_if(|other| other.used > 0)
    }
}

impl Segment {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            size: 0,
            used: 0,
            touched: BTreeSet::new(),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let file = file::open_private(&self.path)?;
        self.size = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        self.used = 0;
        self.file = Some(file);
        Ok(())
    }

    fn is_in_place(&self) -> bool {
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        let there = std::fs::symlink_metadata(&self.path).ok();
        matches!((ours, there), (Some(ours), Some(there)) if (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    fn write(&mut self, record: &[u8], faults: &Faults) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let end = self.used.saturating_add(record.len());
        if end > self.size {
            let size = end.div_ceil(STEP).saturating_mul(STEP);
            faults.step("journal extend", &self.path)?;
            let ahead = vec![0; size.saturating_sub(self.size)];
            file.write_all_at(&ahead, offset(self.size))?;
            self.size = size;
        }
        let (first, second) = record.split_at_checked(record.len() / 2).unwrap_or((record, &[]));
        let middle = offset(self.used.saturating_add(first.len()));
        let written = faults
            .step("journal write", &self.path)
            .and_then(|()| file.write_all_at(first, offset(self.used)))
            .and_then(|()| faults.step("journal write", &self.path))
            .and_then(|()| file.write_all_at(second, middle))
            .and_then(|()| faults.step("journal fsync", &self.path))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // It must not come to be at the next start: its caller learns that nothing happened.
            let blank = faults.step("journal blank", &self.path);
            let blank = blank.and_then(|()| file.write_all_at(&[0; ALIGN], offset(self.used)));
            if let Err(error) = blank {
                tracing::warn!(%error, "a change that was refused may come to be at the next start");
            }
            return Err(error);
        }
        self.used = end;
        Ok(())
    }

    /// Makes durable what its records put in place.
    pub(crate) fn sync(&self, faults: &Faults) -> io::Result<()> {
        sync_files(self.path.parent().unwrap_or(&self.path), &self.touched, faults)
    }

    pub(crate) fn empty(&mut self, faults: &Faults) -> io::Result<()> {
        if let Some(file) = &self.file {
            faults.step("journal empty", &self.path)?;
            file.write_all_at(&[0; ALIGN], 0)?;
            if self.size > LIMIT {
                file.set_len(offset(LIMIT))?;
                self.size = LIMIT;
            }
            file.sync_data()?;
        }
        self.used = 0;
        self.touched.clear();
        Ok(())
    }
}

/// Makes these files durable, and their names: many on the file system of `folder` at once with all that is on it.
fn sync_files(folder: &Path, paths: &Touched, faults: &Faults) -> io::Result<()> {
    if paths.len() <= MANY || !is_calm() {
        return sync_each(paths, faults);
    }
    let device = |folder: &Path| Some(std::fs::metadata(folder).ok()?.dev());
    let here = device(folder);
    let mut devices: BTreeMap<&Path, Option<u64>> = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    for path in paths {
        let parent = Path::new(path).parent().unwrap_or(folder);
        if *devices.entry(parent).or_insert_with(|| device(parent)) != here {
            elsewhere.insert(path.clone());
        }
    }
    faults.step("fsync all", folder)?;
    rustix::fs::syncfs(File::open(folder)?)?;
    for path in paths.difference(&elsewhere) {
        faults.synced(Path::new(path));
    }
    sync_each(&elsewhere, faults)
}

/// Whether little else on this host waits to be written: the journal may fill up meanwhile.
fn is_calm() -> bool {
    let known = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let waiting = known
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Dirty:")
                .or_else(|| line.strip_prefix("Writeback:"))
        })
        .filter_map(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    waiting.sum::<u64>() <= CALM_KB
}

/// One after the other; one that is gone needs no more than its folder.
pub(super) fn sync_each(paths: &Touched, faults: &Faults) -> io::Result<()> {
    let all: Vec<&Path> = paths.iter().map(Path::new).collect();
    let sync = |path: &Path| -> io::Result<()> {
        faults.step("fsync", path)?;
        match File::open(path) {
            Ok(file) => file.sync_data()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        faults.synced(path);
        Ok(())
    };
    let share = all.len().div_ceil(PARALLEL).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = all
            .chunks(share)
            .map(|some| scope.spawn(move || some.iter().try_for_each(|path| sync(path))))
            .collect();
        let joined = parts.into_iter().map(|part| {
            part.join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread that syncs panicked")))
        });
        joined.collect::<Vec<_>>().into_iter().collect::<io::Result<()>>()
    })?;
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| Path::new(path).parent()).collect();
    folders
        .into_iter()
        .try_for_each(|folder| match file::sync_folder(folder, faults) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        })
}

/// Answers whether it was missing.
fn make_folder(folder: &Path) -> io::Result<bool> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        made => made?,
    }
    if let Some(parent) = folder.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(true)
}

fn offset(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
