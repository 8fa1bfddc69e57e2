//! Where tests let the disk fail or the power go, between any two system calls. Outside tests it is nothing at all.

use std::io;
use std::path::Path;

/// The script of faults; shared by everything that writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    script: std::sync::Arc<std::sync::Mutex<Script>>,
}

#[cfg(not(test))]
impl Faults {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the shape that tests need"
    )]
    pub(crate) fn step(&self, _what: &'static str, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Identifies the time since the power came on.
    #[expect(clippy::unused_self, reason = "the shape that tests need")]
    pub(crate) fn boot(&self) -> String {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        match id.trim() {
            "" => uuid::Uuid::new_v4().to_string(),
            id => id.to_owned(),
        }
    }

    /// A file is about to take the place of this one.
    #[expect(clippy::unused_self, reason = "the shape that tests need")]
    pub(crate) fn placing(&self, _path: &Path) {}

    /// What is in this place is durable.
    #[expect(clippy::unused_self, reason = "the shape that tests need")]
    pub(crate) fn synced(&self, _path: &Path) {}

    /// Bytes after which the other file of the journal is written.
    #[expect(clippy::unused_self, reason = "the shape that tests need")]
    pub(crate) fn journal_limit(&self) -> usize {
        super::journal::LIMIT
    }
}

#[cfg(test)]
#[derive(Debug, Default)]
struct Script {
    steps: usize,
    /// How often each step was done.
    counts: std::collections::BTreeMap<&'static str, usize>,
    /// Files that were put in place and may not be durable, and what was in their place when that was durable.
    unsynced: std::collections::BTreeMap<std::path::PathBuf, Option<Vec<u8>>>,
    /// How often the power was lost.
    boots: usize,
    journal_limit: Option<usize>,
    /// Somebody saves this in the place of the file whose path contains the text, right before ours takes it.
    save: Option<(String, Vec<u8>)>,
    /// From this step on nothing reaches the disk: the power is gone.
    crash_at: Option<usize>,
    /// Steps of this name (any, if empty) on paths that contain this text fail with this error.
    failing: Option<(&'static str, String, io::ErrorKind)>,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn step(&self, what: &'static str, path: &Path) -> io::Result<()> {
        let mut script = self.script.lock().unwrap();
        let step = script.steps;
        script.steps += 1;
        *script.counts.entry(what).or_default() += 1;
        if script.crash_at.is_some_and(|at| step >= at) {
            return Err(io::Error::other(format!("no power at step {step}, {what}")));
        }
        match &script.failing {
            Some((step, text, kind))
                if what != "discard"
                    && (step.is_empty() || *step == what)
                    && path.to_string_lossy().contains(text) =>
            {
                Err((*kind).into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn crash_at(&self, step: usize) {
        let mut script = self.script.lock().unwrap();
        script.crash_at = Some(script.steps + step);
    }

    pub(crate) fn fail(&self, step: &'static str, path: &str, kind: io::ErrorKind) {
        self.script.lock().unwrap().failing = Some((step, path.to_owned(), kind));
    }

    pub(crate) fn mend(&self) {
        self.script.lock().unwrap().failing = None;
    }

    pub(crate) fn boot(&self) -> String {
        format!("boot-{}", self.script.lock().unwrap().boots)
    }

    pub(crate) fn placing(&self, path: &Path) {
        let mut script = self.script.lock().unwrap();
        if let Some((_, text)) = script
            .save
            .take_if(|(part, _)| path.to_string_lossy().contains(part.as_str()))
        {
            std::fs::write(path, text).unwrap();
        }
        let before = std::fs::read(path).ok();
        script.unsynced.entry(path.to_owned()).or_insert(before);
    }

    pub(crate) fn synced(&self, path: &Path) {
        self.script.lock().unwrap().unsynced.remove(path);
    }

    pub(crate) fn journal_limit(&self) -> usize {
        let limit = self.script.lock().unwrap().journal_limit;
        limit.unwrap_or(super::journal::LIMIT)
    }

    pub(crate) fn counts(&self) -> std::collections::BTreeMap<&'static str, usize> {
        self.script.lock().unwrap().counts.clone()
    }

    pub(crate) fn save_before(&self, path: &str, text: &str) {
        self.script.lock().unwrap().save = Some((path.to_owned(), text.as_bytes().to_vec()));
    }

    pub(crate) fn limit_journal(&self, bytes: usize) {
        self.script.lock().unwrap().journal_limit = Some(bytes);
    }

    /// What was not durable is gone: of each such file the disk has this instead. Answers faults for the next start.
    pub(crate) fn lose_power(&self, left: Left) -> Self {
        let mut script = self.script.lock().unwrap();
        let unsynced = std::mem::take(&mut script.unsynced);
        let status = |path: &&std::path::PathBuf| path.to_string_lossy().ends_with(".status.yaml");
        let contents: Vec<_> = unsynced
            .keys()
            .filter(status)
            .filter_map(|path| std::fs::read(path).ok())
            .collect();
        let mut anothers = contents.iter().cycle().skip(1);
        for (path, before) in unsynced {
            match (left, before) {
                (Left::Before, Some(before)) => std::fs::write(&path, before).unwrap(),
                (Left::Before, None) => drop(std::fs::remove_file(&path)),
                (Left::Empty, _) if path.exists() => std::fs::write(&path, "").unwrap(),
                (Left::Half, _) if path.exists() => {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let half = bytes.len() / 2;
                    bytes[half..].fill(0);
                    std::fs::write(&path, bytes).unwrap();
                }
                (Left::Anothers, _) if path.exists() && status(&&path) => {
                    std::fs::write(&path, anothers.next().unwrap()).unwrap();
                }
                (Left::Empty | Left::Half | Left::Anothers, _) => {}
            }
        }
        let next = Self::default();
        next.script.lock().unwrap().boots = script.boots + 1;
        next
    }
}

/// What a loss of power leaves of a file that was put in place and not made durable.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left {
    /// What was there before.
    Before,
    /// Its name alone.
    Empty,
    /// Its length, and the first half of its contents.
    Half,
    /// What was written over the file that it replaced: another one's contents.
    Anothers,
}
