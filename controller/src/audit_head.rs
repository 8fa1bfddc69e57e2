//! The head of the audit log, noted where who writes the state directory may not reach it: in this program's own
//! log, and in a file that the arguments name. `aegisctl audit verify --head` takes what is noted. Does I/O.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

/// Pause between two notes, as long as there is something to note.
const EVERY: Duration = Duration::from_secs(300);
/// The largest head, bytes.
const LARGEST: u64 = 200;

/// What was noted last, and where it is to be noted.
pub(crate) struct HeadNotes {
    head: PathBuf,
    file: Option<PathBuf>,
    last: Option<String>,
}

impl HeadNotes {
    /// Of the audit log in this state directory. The file is opened now, so that a wrong name is noticed at the start.
    pub(crate) fn of(state_dir: &Path, file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = file {
            append(path, "")
                .with_context(|| format!("AEGIS_AUDIT_HEAD_FILE: cannot append to {}", path.display()))?;
        }
        Ok(Self {
            head: state_dir.join(".audit").join("head"),
            file: file.map(Path::to_owned),
            last: None,
        })
    }

    /// Notes the head now and then, and at the shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut ends = false;
        while !ends {
            ends = tokio::time::timeout(EVERY, shutdown.cancelled()).await.is_ok();
            let noted = tokio::task::spawn_blocking(move || {
                self.note();
                self
            });
            match noted.await {
                Ok(notes) => self = notes,
                Err(error) => {
                    tracing::error!(%error, "the head of the audit log is noted no more");
                    return;
                }
            }
        }
    }

    fn note(&mut self) {
        let Some(head) = read(&self.head).filter(|head| self.last.as_ref() != Some(head)) else {
            return;
        };
        tracing::info!(target: "audit_head", "the audit log ends at {head}");
        if let Some(path) = &self.file
            && let Err(error) = append(path, &format!("{head}\n"))
        {
            // It is tried again with the next one.
            tracing::warn!(%error, "the head of the audit log cannot be appended to {}", path.display());
            return;
        }
        self.last = Some(head);
    }
}

/// `SEQ:HASH`; `None` where there is none, or it is just being written.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    let (seq, hash) = text.trim().split_once(' ')?;
    let seq: u64 = seq.parse().ok()?;
    let whole = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| format!("{seq}:{hash}"))
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data().or_else(|error| {
        // A pipe has nothing to sync.
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        if is_file { Err(error) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_is_noted_once_and_half_a_head_never() {
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("elsewhere.log");
        std::fs::create_dir(folder.path().join(".audit")).unwrap();
        let mut notes = HeadNotes::of(folder.path(), Some(&noted)).unwrap();
        let mut after = |head: &str| {
            std::fs::write(folder.path().join(".audit/head"), head).unwrap();
            notes.note();
            notes.note();
            std::fs::read_to_string(&noted).unwrap()
        };
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(after("00000000000000000007 abc"), "");
        let first = format!("7:{one}\n");
        assert_eq!(after(&format!("00000000000000000007 {one}\n")), first);
        assert_eq!(
            after(&format!("00000000000000000009 {two}\n")),
            format!("{first}9:{two}\n")
        );
    }

    #[test]
    fn a_file_that_cannot_be_appended_to_is_an_error_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let error = HeadNotes::of(folder.path(), Some(&folder.path().join("missing/file"))).err();
        assert!(format!("{:#}", error.unwrap()).contains("missing/file"));
    }

    #[tokio::test]
    async fn the_last_head_is_noted_at_the_shutdown() {
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("elsewhere.log");
        std::fs::create_dir(folder.path().join(".audit")).unwrap();
        let notes = HeadNotes::of(folder.path(), Some(&noted)).unwrap();
        let hash = "c".repeat(64);
        std::fs::write(folder.path().join(".audit/head"), format!("1 {hash}\n")).unwrap();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        notes.run(shutdown).await;
        assert_eq!(std::fs::read_to_string(&noted).unwrap(), format!("1:{hash}\n"));
    }
}
