//! How the audit log is kept within a size and an age: its oldest files go. A record of the log says up to where, durable
//! before anything is removed, and a copy of it is the checkpoint that the log is verified from. Does I/O.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aegis_api::Time;
use aegis_api::audit::{Chain, Checkpoint};

use super::{Inner, segments};
use crate::disk::faults::Faults;
use crate::disk::file;

/// The file of the checkpoint.
const NAME: &str = "checkpoint";
/// A checkpoint is one short record.
const LONGEST: u64 = 64 << 10;

/// A file of the log, before it is known whether it goes.
struct Segment {
    first: u64,
    path: PathBuf,
    bytes: u64,
    written: SystemTime,
}

impl Inner {
    /// Removes the oldest files that are too many or, if `by_age`, too old. Never the one that is written.
    pub(super) fn prune(&mut self, now: Time, by_age: bool) -> io::Result<()> {
        let mut all = Vec::new();
        for (first, path) in segments(&self.folder)? {
            let metadata = std::fs::metadata(&path)?;
            all.push(Segment {
                first,
                path,
                bytes: metadata.len(),
                written: metadata.modified()?,
            });
        }
        let mut left: u64 = all.iter().map(|segment| segment.bytes).sum();
        let now_wall = SystemTime::from(now.0);
        let is_old = |segment: &Segment| {
            let age = now_wall.duration_since(segment.written).unwrap_or_default();
            by_age && age > self.retention.max_age.std()
        };
        let mut going = 0_usize;
        for segment in all.iter().take(all.len().saturating_sub(1)) {
            if left <= self.retention.max_bytes && !is_old(segment) {
                break;
            }
            left = left.saturating_sub(segment.bytes);
            going += 1;
        }
        let Some(next) = all.get(going).filter(|_| going > 0) else {
            return Ok(());
        };
        let begins = Chain {
            next: next.first,
            prev: names_before(&next.path)?,
        };
        let line = self.write(&[Checkpoint::entry(&begins)], now)?;
        file::replace(
            &self.folder.join(NAME),
            format!("{line}\n").as_bytes(),
            &Faults::default(),
        )?;
        self.checkpoint = Some(Checkpoint { begins, line });
        remove(
            &self.folder,
            all.iter().take(going).map(|segment| segment.path.as_path()),
        )
    }
}

/// The hash that the first record of a file names as the one before it.
fn names_before(path: &Path) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open(path)?).read_line(&mut line)?;
    let record: serde_json::Value = serde_json::from_str(&line).map_err(io::Error::other)?;
    let prev = record.get("prev").and_then(serde_json::Value::as_str);
    prev.map(str::to_owned).ok_or_else(|| {
        io::Error::other(format!(
            "{}: its first record names none before it",
            path.display()
        ))
    })
}

/// The checkpoint of a folder. What a crash left of the records before it is removed; one that cannot be read is noted,
/// and verifying will say that records are missing.
pub(super) fn checkpoint(folder: &Path, notes: &mut Vec<String>) -> io::Result<Option<Checkpoint>> {
    let mut text = String::new();
    match File::open(folder.join(NAME)) {
        Ok(file) => file.take(LONGEST).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let checkpoint = match Checkpoint::read(&text) {
        Ok(checkpoint) => checkpoint,
        Err(why) => {
            notes.push(format!("the checkpoint cannot be read ({why})"));
            return Ok(None);
        }
    };
    let all = segments(folder)?;
    let before = all.iter().filter(|(first, _)| *first < checkpoint.begins.next);
    // Only whole files go, so that the next one must be there.
    let is_whole = all.iter().any(|(first, _)| *first == checkpoint.begins.next);
    if is_whole {
        remove(folder, before.map(|(_, path)| path.as_path()))?;
    }
    Ok(Some(checkpoint))
}

fn remove<'a>(folder: &Path, paths: impl Iterator<Item = &'a Path>) -> io::Result<()> {
    for path in paths {
        std::fs::remove_file(path)?;
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use aegis_api::audit::{Actor, Entry};

    use super::super::{AuditLog, AuditRetention};
    use super::*;
    use crate::clock::Clock;

    const SMALL: AuditRetention = AuditRetention {
        max_bytes: 8000,
        max_age: aegis_api::Duration::from_secs(86_400),
    };

    async fn filled(dir: &Path, count: usize) -> AuditLog {
        let log = AuditLog::open(dir, Clock::default(), SMALL, Vec::new())
            .await
            .unwrap();
        for number in 0..count {
            let entry = Entry::about(Actor::system("test"), "update", "Workload", &format!("w{number}"));
            log.append(vec![entry]).await.unwrap();
        }
        log
    }

    fn bytes(dir: &Path) -> u64 {
        let all = segments(&dir.join(".audit")).unwrap();
        all.iter()
            .map(|(_, path)| std::fs::metadata(path).unwrap().len())
            .sum()
    }

    /// The log from its checkpoint on, verified: the number of its first record, and how many there are.
    async fn verified(log: &AuditLog) -> (u64, usize) {
        let page = log.page(Some(0), 1000).await.unwrap();
        let line = page.checkpoint.expect("a checkpoint");
        let checkpoint = Checkpoint::read(&line).unwrap();
        let mut chain = checkpoint.begins.clone();
        for line in &page.lines {
            chain.check(line).unwrap();
        }
        assert!(
            page.lines.contains(&line),
            "the checkpoint is a record of the log"
        );
        assert_eq!((chain.next, &chain.prev), (page.last + 1, &page.hash));
        (checkpoint.begins.next, page.lines.len())
    }

    #[tokio::test]
    async fn i12_the_audit_log_stays_within_its_bytes_and_verifies_from_its_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path(), 500).await;
        // The file that is written, and the record of the removal, may exceed it by a file.
        assert!(bytes(dir.path()) <= 8000 + 2000, "{} bytes", bytes(dir.path()));
        let (first, count) = verified(&log).await;
        assert!(first > 400 && count > 10, "{count} from {first}");
        drop(log);
        let log = filled(dir.path(), 5).await;
        assert!(verified(&log).await.0 >= first, "also after a restart");
    }

    #[tokio::test]
    async fn records_that_a_crash_left_behind_the_checkpoint_go_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let log = filled(dir.path(), 200).await;
        let (first, _) = verified(&log).await;
        drop(log);
        let left = super::super::segment(&dir.path().join(".audit"), 1);
        std::fs::write(&left, "{}\n").unwrap();
        let log = filled(dir.path(), 0).await;
        assert!(!left.exists());
        assert_eq!(verified(&log).await.0, first);
    }

    #[tokio::test]
    async fn what_is_old_goes_by_age_only_where_that_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let now = std::sync::Arc::new(std::sync::Mutex::new(Time(jiff::Timestamp::now())));
        let shown = std::sync::Arc::clone(&now);
        let clock = Clock::new(move || *shown.lock().unwrap());
        let log = AuditLog::open(dir.path(), clock, SMALL, Vec::new())
            .await
            .unwrap();
        let entry = || Entry::about(Actor::system("test"), "update", "Workload", "w");
        for _ in 0..12 {
            log.append(vec![entry()]).await.unwrap();
        }
        let before = bytes(dir.path());
        let later = now
            .lock()
            .unwrap()
            .plus(aegis_api::Duration::from_secs(2 * 86_400));
        *now.lock().unwrap() = later;
        log.prune(false).await.unwrap();
        assert_eq!(bytes(dir.path()), before);
        log.prune(true).await.unwrap();
        assert!(bytes(dir.path()) < before);
        assert!(verified(&log).await.0 > 1);
    }
}
