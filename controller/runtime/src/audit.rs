//! The audit log on disk: `<state>/.audit/<number of its first record>.jsonl`, appended to and never rewritten, and a head
//! beside it that says how far it goes. Owns these files; what a record is, `aegis_api::audit` says. Does I/O.
//!
//! A record is durable before the change that it is about: where the disk is full, the change is refused. A change that
//! then fails all the same is followed by a record which says so. Files are only begun, so a crash leaves at most one line
//! that is not whole; it is cut off at the next start, and a record says so. The oldest files go by size and age, behind
//! a checkpoint: see [`prune`].

mod prune;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_api::audit::{Actor, Chain, Checkpoint, Entry};

use crate::clock::Clock;
use crate::disk::DiskError;
use crate::disk::blocking;
use crate::disk::file::open_private;

/// A file that has grown beyond this is followed by the next, bytes.
const ROTATE: u64 = 16 << 20;
/// Most records of one page.
const PAGE: usize = 1000;
/// Bytes after which a page is full: it is held in memory for each who reads one.
const PAGE_BYTES: usize = 2 << 20;
const KIND: &str = "AuditLog";

/// How much of the log is kept. The file that is written is kept in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRetention {
    /// Bytes of all files, at most.
    pub max_bytes: u64,
    /// Age of the newest record of a file, at most.
    pub max_age: aegis_api::Duration,
}

impl Default for AuditRetention {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_age: aegis_api::Duration::from_secs(365 * 86_400),
        }
    }
}

impl AuditRetention {
    /// How large a file may grow: what is removed is a small part of what is kept.
    fn rotate(self) -> u64 {
        (self.max_bytes / 8).clamp(1, ROTATE)
    }
}

/// The audit log of a state directory. Clones share it.
#[derive(Debug, Clone)]
pub struct AuditLog {
    inner: Arc<Mutex<Inner>>,
    clock: Clock,
}

/// Some records, as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Lines, oldest first.
    pub lines: Vec<String>,
    /// Number of the newest record of the log.
    pub last: u64,
    /// Its hash.
    pub hash: String,
    /// The checkpoint that the log begins at, as it is written; absent where it begins with the first record.
    pub checkpoint: Option<String>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    file: File,
    head: File,
    /// Bytes of the current file that are whole records.
    length: u64,
    chain: Chain,
    retention: AuditRetention,
    rotate: u64,
    checkpoint: Option<Checkpoint>,
}

impl AuditLog {
    /// Opens the log of a state directory whose lock is held; mends what a crash left and notes it.
    /// `lines` are those that the journal has, whether or not the log has them, too.
    pub(crate) async fn open(
        dir: &Path,
        clock: Clock,
        retention: AuditRetention,
        lines: Vec<Arc<[u8]>>,
    ) -> Result<Self, DiskError> {
        Self::open_with(dir, clock, retention, retention.rotate(), lines).await
    }

    async fn open_with(
        dir: &Path,
        clock: Clock,
        retention: AuditRetention,
        rotate: u64,
        lines: Vec<Arc<[u8]>>,
    ) -> Result<Self, DiskError> {
        let folder = dir.join(".audit");
        let path = folder.clone();
        let opened = blocking(move || Inner::open(folder, retention, rotate, &lines)).await?;
        let (inner, notes) = opened.map_err(|source| DiskError::io(path, source))?;
        let log = Self {
            inner: Arc::new(Mutex::new(inner)),
            clock,
        };
        for note in notes {
            tracing::warn!("audit log: {note}");
            let mut entry = Entry::about(Actor::system("controller"), "repair", KIND, "audit");
            entry.note = Some(note);
            match log.append(vec![entry]).await {
                // What is stored is served on a full disk, too; the next start says it.
                Err(error) if error.is_full() => tracing::warn!(%error, "the audit log does not say so yet"),
                appended => appended?,
            }
        }
        Ok(log)
    }

    /// Writes entries; they are durable when this returns. All of them, or none.
    pub async fn append(&self, entries: Vec<Entry>) -> Result<(), DiskError> {
        if entries.is_empty() {
            return Ok(());
        }
        let log = self.clone();
        blocking(move || {
            let now = log.clock.now();
            let mut inner = log.inner();
            let written = inner.append(&entries, now);
            written.map_err(|source| DiskError::io(inner.folder.clone(), source))
        })
        .await?
    }

    /// Writes entries, and has `commit` make their lines durable with something else; [`Self::sync`] makes the log so
    /// later. All of it, or nothing. Blocks, and makes other callers wait meanwhile: the chain has one order.
    pub(crate) fn append_with<T>(
        &self,
        entries: &[Entry],
        commit: impl FnOnce(&[u8]) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let now = self.clock.now();
        let mut inner = self.inner();
        let written = inner
            .make_room(now)
            .and_then(|()| inner.write_with(entries, now, |_, text| commit(text)));
        written
            .map(|(committed, _)| committed)
            .map_err(|source| DiskError::io(inner.folder.clone(), source))
    }

    /// Makes durable what was written. Blocks.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let file = self.inner().file.try_clone()?;
        file.sync_data()
    }

    /// Removes what is too much and, if `by_age`, too old.
    pub(crate) async fn prune(&self, by_age: bool) -> Result<(), DiskError> {
        let log = self.clone();
        blocking(move || {
            let now = log.clock.now();
            let mut inner = log.inner();
            let pruned = inner.prune(now, by_age);
            pruned.map_err(|source| DiskError::io(inner.folder.clone(), source))
        })
        .await?
    }

    /// At most `limit` records after this number; without one, the newest. Fewer where they are large, one at least.
    pub async fn page(&self, after: Option<u64>, limit: usize) -> Result<Page, DiskError> {
        let log = self.clone();
        blocking(move || {
            let (folder, chain, checkpoint) = {
                let inner = log.inner();
                let checkpoint = inner
                    .checkpoint
                    .as_ref()
                    .map(|checkpoint| checkpoint.line.clone());
                (inner.folder.clone(), inner.chain.clone(), checkpoint)
            };
            let limit = limit.min(PAGE);
            let last = chain.next.saturating_sub(1);
            let newest = last.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
            let lines = read(&folder, after.unwrap_or(newest), limit, last);
            let lines = lines.map_err(|source| DiskError::io(folder, source))?;
            Ok(Page {
                lines,
                last,
                hash: chain.prev,
                checkpoint,
            })
        })
        .await?
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic under this lock would leave lengths as they were, which the next append goes by.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open(
        folder: PathBuf,
        retention: AuditRetention,
        rotate: u64,
        lines: &[Arc<[u8]>],
    ) -> io::Result<(Self, Vec<String>)> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
        let mut notes = Vec::new();
        let checkpoint = prune::checkpoint(&folder, &mut notes)?;
        let newest = segments(&folder)?.pop();
        let (first, path) = newest.unwrap_or_else(|| (1, segment(&folder, 1)));
        let (file, length, last) = mended(&path, first, lines, &mut notes)?;
        File::open(&folder)?.sync_all()?;
        let head = open_private(&folder.join("head"))?;
        let recorded = read_head(&head)?;
        let mut chain = match last.as_deref().map(Chain::after) {
            Some(Ok(chain)) => chain,
            Some(Err(why)) => {
                notes.push(format!(
                    "the last record cannot be read ({why}); aegisctl audit verify says more"
                ));
                recorded.clone().unwrap_or_default()
            }
            None => recorded.clone().unwrap_or_default(),
        };
        if let Some(recorded) = recorded
            && recorded.next > chain.next
        {
            let (first, last) = (chain.next, recorded.next.saturating_sub(1));
            notes.push(format!("records {first} to {last} are missing at the end"));
            chain = recorded;
        }
        let inner = Self {
            folder,
            file,
            head,
            length,
            chain,
            retention,
            rotate,
            checkpoint,
        };
        Ok((inner, notes))
    }

    fn append(&mut self, entries: &[Entry], now: aegis_api::Time) -> io::Result<()> {
        self.make_room(now)?;
        self.write(entries, now).map(|_| ())
    }

    fn make_room(&mut self, now: aegis_api::Time) -> io::Result<()> {
        if self.length >= self.rotate {
            self.begin_next()?;
            if let Err(error) = self.prune(now, false) {
                tracing::warn!(%error, "the audit log is larger than it should be: the oldest records stay for now");
            }
        }
        Ok(())
    }

    /// Answers the last line.
    fn write(&mut self, entries: &[Entry], now: aegis_api::Time) -> io::Result<String> {
        let ((), last) = self.write_with(entries, now, |file, _| file.sync_data())?;
        Ok(last)
    }

    /// Answers what `commit`, which sees the file and what was written to it, does, and the last line.
    fn write_with<T>(
        &mut self,
        entries: &[Entry],
        now: aegis_api::Time,
        commit: impl FnOnce(&File, &[u8]) -> io::Result<T>,
    ) -> io::Result<(T, String)> {
        let mut chain = self.chain.clone();
        let (mut text, mut last) = (String::new(), String::new());
        for entry in entries {
            let (line, hash) = entry.seal(chain.next, now, &chain.prev);
            text.push_str(&line);
            text.push('\n');
            last = line;
            chain.next = chain.next.saturating_add(1);
            chain.prev = hash;
        }
        let written = self.file.write_all_at(text.as_bytes(), self.length);
        let committed = match written.and_then(|()| commit(&self.file, text.as_bytes())) {
            Ok(committed) => committed,
            Err(error) => {
                // What is left of it would be written over by the next append; cut off, no reader sees it meanwhile.
                if let Err(error) = self.file.set_len(self.length) {
                    tracing::warn!(%error, "a part of an audit record stays until the next one");
                }
                return Err(error);
            }
        };
        if entries.is_empty() {
            return Ok((committed, last));
        }
        self.length = self
            .length
            .saturating_add(u64::try_from(text.len()).unwrap_or_default());
        self.chain = chain;
        // Behind after a power cut; ahead only where the journal has the records.
        let head = format!("{:020} {}\n", self.chain.next.saturating_sub(1), self.chain.prev);
        if let Err(error) = self.head.write_all_at(head.as_bytes(), 0) {
            tracing::warn!(%error, "the head of the audit log is not written");
        }
        Ok((committed, last))
    }

    fn begin_next(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let path = segment(&self.folder, self.chain.next);
        let file = open_private(&path)?;
        File::open(&self.folder)?.sync_all()?;
        self.file = file;
        self.length = 0;
        Ok(())
    }
}

fn segment(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.jsonl"))
}

/// The files of the log and the numbers of their first records, in order.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jsonl")?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// Opens a file of the log, cuts off what is no whole line, appends what the journal has and it has not, and answers where
/// it ends and its last line. Its first record has the number `first`.
fn mended(
    path: &Path,
    first: u64,
    lines: &[Arc<[u8]>],
    notes: &mut Vec<String>,
) -> io::Result<(File, u64, Option<String>)> {
    let mut file = open_private(path)?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let whole = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut length = u64::try_from(whole).unwrap_or_default();
    let torn = bytes.len() - whole;
    if torn > 0 {
        file.set_len(length)?;
    }
    let last = bytes
        .get(..whole.saturating_sub(1))
        .unwrap_or_default()
        .rsplit(|byte| *byte == b'\n')
        .next()
        .filter(|line| !line.is_empty());
    let mut last = last.map(|line| String::from_utf8_lossy(line).into_owned());
    let next = match last.as_deref().map(Chain::after) {
        None => Some(first),
        Some(Ok(chain)) => Some(chain.next),
        // What follows a line that cannot be read cannot be known.
        Some(Err(_)) => None,
    };
    let missing = next.map_or_else(Vec::new, |next| missing(next, lines));
    if torn > 0 && missing.is_empty() {
        notes.push(format!(
            "{torn} bytes of a record that was not whole were cut off; its change was not made"
        ));
    }
    for line in missing {
        file.write_all_at(line.as_bytes(), length)?;
        length = length.saturating_add(u64::try_from(line.len()).unwrap_or_default());
        last = Some(line.trim_end().to_owned());
    }
    if torn > 0 || !lines.is_empty() {
        file.sync_all()?;
    }
    Ok((file, length, last))
}

/// Those of the journal's lines, with their ends, from this number on.
fn missing(mut next: u64, lines: &[Arc<[u8]>]) -> Vec<String> {
    let mut missing = Vec::new();
    for line in lines
        .iter()
        .flat_map(|lines| lines.split_inclusive(|byte| *byte == b'\n'))
    {
        let line = String::from_utf8_lossy(line).into_owned();
        if let Ok(after) = Chain::after(line.trim_end())
            && next.checked_add(1) == Some(after.next)
        {
            next = after.next;
            missing.push(line);
        }
    }
    missing
}

fn read_head(mut head: &File) -> io::Result<Option<Chain>> {
    let mut text = String::new();
    head.seek(SeekFrom::Start(0))?;
    head.take(200).read_to_string(&mut text)?;
    let chain = text.trim().split_once(' ').and_then(|(seq, hash)| {
        let seq: u64 = seq.parse().ok()?;
        Some(Chain {
            next: seq.checked_add(1)?,
            prev: hash.to_owned(),
        })
    });
    Ok(chain)
}

/// Lines `after + 1` to `last`, at most `limit`, and no more once they are of [`PAGE_BYTES`]. Lines are counted, not read: a damaged one is handed out as it is.
fn read(folder: &Path, after: u64, limit: usize, last: u64) -> io::Result<Vec<String>> {
    let (mut lines, mut bytes) = (Vec::new(), 0_usize);
    let segments = segments(folder)?;
    for (index, (first, path)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map_or(u64::MAX, |(next, _)| *next);
        if next <= after.saturating_add(1) || *first > last {
            continue;
        }
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(*first)).unwrap_or(usize::MAX);
        for line in BufReader::new(File::open(path)?).split(b'\n').skip(skip) {
            if lines.len() >= limit || bytes >= PAGE_BYTES {
                return Ok(lines);
            }
            let line = String::from_utf8_lossy(&line?).into_owned();
            bytes = bytes.saturating_add(line.len());
            lines.push(line);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry::about(Actor::system("test"), "update", "Workload", name)
    }

    async fn filled(dir: &Path, count: usize, rotate: u64) -> AuditLog {
        let log = AuditLog::open_with(
            dir,
            Clock::default(),
            AuditRetention::default(),
            rotate,
            Vec::new(),
        )
        .await
        .unwrap();
        for number in 0..count {
            log.append(vec![entry(&format!("w{number}"))]).await.unwrap();
        }
        log
    }

    async fn names(log: &AuditLog) -> Vec<String> {
        let page = log.page(Some(0), 1000).await.unwrap();
        let mut chain = Chain::default();
        let name = |line: &String| {
            let record = chain.check(line).unwrap();
            format!(
                "{} {}",
                record["verb"].as_str().unwrap(),
                record["name"].as_str().unwrap()
            )
        };
        page.lines.iter().map(name).collect()
    }

    #[tokio::test]
    async fn the_chain_goes_on_over_restarts_and_files() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 5, 400).await;
        let log = filled(folder.path(), 5, 400).await;
        assert_eq!(names(&log).await.len(), 10);
        assert!(segments(&folder.path().join(".audit")).unwrap().len() > 2);
        let page = log.page(Some(7), 2).await.unwrap();
        assert!(page.lines[0].contains("\"seq\":8,") && page.lines.len() == 2 && page.last == 10);
        let newest = log.page(None, 3).await.unwrap();
        assert!(newest.lines[0].contains("\"seq\":8,"));
    }

    #[tokio::test]
    async fn i12_a_page_of_large_records_is_bounded_by_its_bytes_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let log = filled(folder.path(), 0, ROTATE).await;
        let mut large = entry("w");
        large.before = Some(serde_json::json!("x".repeat(100_000)));
        log.append(vec![large; 100]).await.unwrap();
        let page = log.page(Some(0), 1000).await.unwrap();
        let bytes: usize = page.lines.iter().map(String::len).sum();
        assert!(page.lines.len() < 100 && bytes <= PAGE_BYTES + 101_000, "{bytes}");
        let next = u64::try_from(page.lines.len()).unwrap();
        let page = log.page(Some(next), 1).await.unwrap();
        assert!(page.lines[0].contains(&format!("\"seq\":{},", next + 1)));
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_is_mended_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 2, ROTATE).await;
        let path = segment(&folder.path().join(".audit"), 1);
        let sound = std::fs::read(&path).unwrap();
        let (next, _) = entry("late").seal(3, Clock::default().now(), "x");
        for cut in [1, next.len() / 2, next.len()] {
            let torn = [&sound[..], &next.as_bytes()[..cut]].concat();
            std::fs::write(&path, torn).unwrap();
            let log = filled(folder.path(), 0, ROTATE).await;
            assert_eq!(
                names(&log).await,
                ["update w0", "update w1", "repair audit"],
                "{cut}"
            );
            std::fs::write(&path, &sound).unwrap();
            std::fs::remove_file(folder.path().join(".audit/head")).unwrap();
        }
    }

    #[tokio::test]
    async fn records_that_are_gone_from_the_end_are_missed() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 4, ROTATE).await;
        let path = segment(&folder.path().join(".audit"), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        let kept: String = text.split_inclusive('\n').take(2).collect();
        std::fs::write(&path, kept).unwrap();
        let log = filled(folder.path(), 0, ROTATE).await;
        let page = log.page(Some(2), 10).await.unwrap();
        assert!(page.lines[0].contains("records 3 to 4 are missing"), "{page:?}");
        let mut chain = Chain::after(kept_last(&text, 1)).unwrap();
        assert!(chain.check(&page.lines[0]).unwrap_err().contains("removed"));
    }

    fn kept_last(text: &str, index: usize) -> &str {
        text.lines().nth(index).unwrap()
    }

    #[tokio::test]
    async fn what_cannot_be_written_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let log = filled(folder.path(), 2, 1).await;
        let next = segment(&folder.path().join(".audit"), 3);
        std::fs::create_dir(&next).unwrap();
        assert!(matches!(
            log.append(vec![entry("no")]).await,
            Err(DiskError::Io { .. })
        ));
        std::fs::remove_dir(&next).unwrap();
        log.append(vec![entry("yes")]).await.unwrap();
        assert_eq!(names(&log).await, ["update w0", "update w1", "update yes"]);
    }
}
