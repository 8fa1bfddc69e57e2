//! The file that the coarse ring survives in: `<state>/.signals/<hour>.jsonl`, a line a minute, a file an hour, the last
//! twenty-five of them. Owns that folder.
//!
//! A line is written by one append, so that at most the last one is torn; a line that cannot be read is logged and
//! passed over. Nothing is synced: a minute that is lost is one reading less. Bounds: 500 containers of some 40
//! bytes a line make 20 KB a minute, 30 MB a day; a hundred make 6 MB. A file of more than [`LARGEST`] is not read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_api::Time;
use serde::{Deserialize, Serialize};

use crate::rings::{Finished, History};

const FOLDER: &str = ".signals";
const ENDING: &str = ".jsonl";
const MINUTES_A_FILE: u32 = 60;
/// How many files are kept: a day, and the hour that is being written.
const FILES: u32 = 25;
/// The largest file that is read, bytes.
const LARGEST: u64 = 16 << 20;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Minutes since 1970.
    minute: u32,
    /// By container: mean CPU in percent of a core, and memory in KiB at its end.
    containers: std::collections::BTreeMap<String, (Option<f32>, u32)>,
}

/// Where minutes are kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<PathBuf>);

impl Journal {
    /// In this state directory; the folder is made with the first minute.
    pub fn new(state: &Path) -> Self {
        Self(Arc::new(state.join(FOLDER)))
    }

    /// Reads back what is not older than a day. What cannot be read is logged, and is no error.
    pub async fn restore(&self, history: &History, now: Time) {
        let (journal, history) = (self.clone(), history.clone());
        let read = tokio::task::spawn_blocking(move || journal.read(&history, minute_of(now)));
        if let Err(error) = read.await {
            tracing::warn!(%error, "the readings of the last day could not be read");
        }
    }

    /// Adds the minute that has just ended, if one has.
    pub async fn keep(&self, history: &History, now: Time) {
        let Some(finished) = history.finished(now) else {
            return;
        };
        let journal = self.clone();
        let written = tokio::task::spawn_blocking(move || journal.write(&finished)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = written {
            tracing::warn!(%error, folder = %self.0.display(), "a minute of readings could not be kept");
        }
    }

    fn read(&self, history: &History, now: u32) {
        for (hour, path) in self.files() {
            if is_old(hour, now) {
                continue;
            }
            match text(&path) {
                Ok(text) => {
                    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
                        match serde_json::from_str::<Line>(line) {
                            Ok(line) => history.restore(line.minute, line.containers, now),
                            Err(error) => {
                                let file = path.display();
                                tracing::warn!(%file, line = number + 1, %error, "a minute of readings is passed over");
                            }
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "an hour of readings is passed over");
                }
            }
        }
    }

    fn write(&self, finished: &Finished) -> io::Result<()> {
        fs::create_dir_all(&*self.0)?;
        let hour = finished.minute / MINUTES_A_FILE;
        let path = self.0.join(format!("{hour}{ENDING}"));
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let mut line = Vec::with_capacity(64 * finished.containers.len().saturating_add(1));
        if !is_new && !ends_well(&mut file)? {
            line.push(b'\n');
        }
        let containers = finished.containers.iter().cloned().collect();
        let minute = finished.minute;
        serde_json::to_writer(&mut line, &Line { minute, containers })?;
        line.push(b'\n');
        file.write_all(&line)?;
        if is_new {
            self.tidy(finished.minute);
        }
        Ok(())
    }

    /// Drops files of more than a day ago.
    fn tidy(&self, now: u32) {
        for (hour, path) in self.files() {
            // One of a time to come is kept: the clock may not be set yet.
            if is_old(hour, now)
                && hour <= now / MINUTES_A_FILE
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(file = %path.display(), %error, "old readings could not be removed");
            }
        }
    }

    /// Files by hour, the oldest first.
    fn files(&self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&*self.0).into_iter().flatten().flatten();
        let mut files: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name();
                let hour = name.to_str()?.strip_suffix(ENDING)?.parse().ok()?;
                Some((hour, entry.path()))
            })
            .collect();
        files.sort_unstable();
        files
    }
}

/// Whether a file of this hour holds nothing of the last day; nor does one of a day to come, before the clock was set.
fn is_old(hour: u32, now: u32) -> bool {
    let this = now / MINUTES_A_FILE;
    hour.saturating_add(FILES) <= this || hour > this
}

fn minute_of(now: Time) -> u32 {
    u32::try_from(now.unix_seconds() / 60).unwrap_or_default()
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the last line is whole: a kill may have torn it.
fn ends_well(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rings::tests::{at, load};

    async fn run(journal: &Journal, history: &History, secs: std::ops::Range<i64>) {
        for now in secs.step_by(3) {
            history.add(at(now), [("web", load(now, 10)), ("db", load(now, 20))]);
            journal.keep(history, at(now)).await;
        }
    }

    #[tokio::test]
    async fn minutes_survive_a_restart_and_a_torn_or_foreign_line_costs_only_itself() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::new(state.path());
        run(&journal, &History::default(), 0..660).await;
        let files: Vec<PathBuf> = journal.files().into_iter().map(|(_, path)| path).collect();
        for path in &files {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"nonsense\n{\"minute\":1,\"cont").unwrap();
        }
        let again = History::default();
        journal.restore(&again, at(660)).await;
        let minutes = again.with(|view| view.minutes("web").to_vec());
        assert!((9..=11).contains(&minutes.len()), "{minutes:?}");
        assert!(
            minutes.iter().all(|minute| minute.memory_kib == 10 << 10),
            "{minutes:?}"
        );
        // It goes on behind the torn line.
        run(&journal, &again, 660..900).await;
        let third = History::default();
        journal.restore(&third, at(900)).await;
        assert!(third.with(|view| view.minutes("db").len()) >= 13);
    }

    #[tokio::test]
    async fn a_day_is_kept_and_no_more() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::new(state.path());
        let history = History::default();
        for hour in 0..30 {
            run(&journal, &history, hour * 3600..hour * 3600 + 180).await;
        }
        assert!(journal.files().len() <= 26, "{:?}", journal.files());
        let again = History::default();
        journal.restore(&again, at(29 * 3600 + 180)).await;
        let minutes = again.with(|view| view.minutes("web").len());
        assert!((48..=75).contains(&minutes), "{minutes}");
        journal.restore(&again, at(1_000_000)).await;
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_costs_nothing_but_the_readings() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FOLDER), "a file").unwrap();
        let history = History::default();
        let journal = Journal::new(state.path());
        run(&journal, &history, 0..120).await;
        journal.restore(&history, at(120)).await;
        assert!(history.with(|view| view.samples("web").len()) > 30);
    }
}
