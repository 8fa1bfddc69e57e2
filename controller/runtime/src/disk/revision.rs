//! The revision counter: rises for ever, also across restarts, without a write for every step. Owns `<dir>/.revision`,
//! which holds a number that no revision given out so far exceeds. Does I/O through [`Disk`].

use super::{Disk, DiskError, blocking, file};

/// How many revisions are set aside with one write.
const BLOCK: u64 = 10_000;

/// No counter gets here by counting; a file that says so is wrong.
pub(crate) const LIMIT: u64 = 1 << 53;

/// The counter.
#[derive(Debug)]
pub(crate) struct Revisions {
    last: u64,
    reserved: u64,
}

impl Revisions {
    /// Goes on after every revision that was ever given out: those set aside, and `seen`, the highest one found in any
    /// file, which counts where `.revision` is missing or garbage.
    pub(crate) async fn open(disk: &Disk, seen: u64) -> Result<Self, DiskError> {
        let path = disk.dir.join(".revision");
        let text = blocking(move || std::fs::read_to_string(path).unwrap_or_default()).await?;
        let stored = text
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|stored| *stored <= LIMIT)
            .unwrap_or_default();
        let last = stored.max(seen).max(1);
        Ok(Self { last, reserved: last })
    }

    /// The newest revision given out.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Makes sure that every revision given out so far is set aside. Called before any of them is used.
    pub(crate) async fn reserve(&mut self, disk: &Disk) -> Result<(), DiskError> {
        if self.last <= self.reserved {
            Ok(())
        } else {
            self.set_aside(disk).await
        }
    }

    /// Sets the next block aside.
    pub(crate) async fn set_aside(&mut self, disk: &Disk) -> Result<(), DiskError> {
        let reserved = self.last.saturating_add(BLOCK);
        let path = disk.dir.join(".revision");
        let faults = disk.faults.clone();
        let written = {
            let path = path.clone();
            let lock = disk.lock.clone();
            blocking(move || {
                let written = file::replace(&path, format!("{reserved}\n").as_bytes(), &faults);
                drop(lock);
                written
            })
        };
        written.await?.map_err(|source| DiskError::io(path, source))?;
        self.reserved = reserved;
        Ok(())
    }

    /// The revision that the next change gets.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Gives it out.
    pub(crate) fn take(&mut self) {
        self.last += 1;
    }
}
