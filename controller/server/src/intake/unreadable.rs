//! Bodies that could not be read, kept to be inspected: in files of their own, bounded in number, bytes and rate. Secrets that are
//! recognised are gone before they are written. Does I/O.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use aegis_api::redact::redact;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Most that are kept; the oldest goes.
const MOST: usize = 100;
/// The longest beginning of a body that is kept, bytes.
const BODY: usize = 64 << 10;
/// Most that are written within [`SPAN`]; what comes beyond is counted and reported alone.
const IN_SPAN: u32 = 20;
const SPAN: Duration = Duration::from_secs(10);

/// A body that could not be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When it came.
    pub(crate) at: Time,
    /// Where: `webhook`, `webhook/<name>`.
    pub(crate) source: String,
    /// Who was taken for the sender.
    pub(crate) sender: String,
    /// Why it could not be read.
    pub(crate) reason: String,
    /// How large it was, bytes; 0 where it was larger than may be read.
    pub(crate) bytes: usize,
    /// Its beginning.
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct Unreadable {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Files, the oldest first; `None` before the folder was read.
    files: Option<VecDeque<PathBuf>>,
    span: Option<(Instant, u32)>,
}

impl Unreadable {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let inner = Inner {
            folder,
            files: None,
            span: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Keeps one; answers whether it is written. Durable when it is.
    pub(super) async fn keep(&self, mut kept: Kept, now: Instant) -> bool {
        let inner = Arc::clone(&self.inner);
        let write = tokio::task::spawn_blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            if !inner.has_room(now) {
                return Ok(false);
            }
            // Cut a little later than it is kept, so that no secret is cut in two before it is recognised.
            kept.body = beginning(&redact(&beginning(&kept.body, BODY + 4096)), BODY);
            inner.write(&kept).map(|()| true)
        });
        match write.await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) => {
                tracing::warn!(%error, "an unreadable alert could not be kept");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "an unreadable alert could not be kept");
                false
            }
        }
    }

    /// Those that are kept, the newest first.
    pub(super) async fn list(&self) -> Vec<Kept> {
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let files: Vec<PathBuf> = inner.files().iter().rev().cloned().collect();
            let texts = files.iter().filter_map(|file| std::fs::read(file).ok());
            texts
                .filter_map(|text| serde_json::from_slice(&text).ok())
                .collect()
        });
        read.await.unwrap_or_default()
    }
}

impl Inner {
    fn has_room(&mut self, now: Instant) -> bool {
        let (began, count) = self
            .span
            .filter(|(began, _)| now.duration_since(*began) < SPAN)
            .unwrap_or((now, 0));
        self.span = Some((began, count.saturating_add(1)));
        count < IN_SPAN
    }

    fn files(&mut self) -> &mut VecDeque<PathBuf> {
        let folder = &self.folder;
        self.files.get_or_insert_with(|| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = entries
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
                .collect();
            files.sort();
            files.into()
        })
    }

    fn write(&mut self, kept: &Kept) -> std::io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(file.as_file_mut(), kept)?;
        file.as_file_mut().write_all(b"\n")?;
        file.as_file().sync_all()?;
        let number = self
            .files()
            .back()
            .and_then(|last| number(last))
            .unwrap_or_default();
        // By number, so that their order is that in which they came, whatever the clock says.
        let path = self.folder.join(format!("{:012}.json", number.saturating_add(1)));
        file.persist(&path)?;
        std::fs::File::open(&self.folder)?.sync_all()?;
        let files = self.files();
        files.push_back(path);
        while files.len() > MOST {
            if let Some(oldest) = files.pop_front() {
                std::fs::remove_file(oldest)?;
            }
        }
        Ok(())
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The first bytes of a text, cut at a character.
fn beginning(text: &str, longest: usize) -> String {
    let ends = (0..=longest.min(text.len())).rev();
    let cut = ends.into_iter().find(|end| text.is_char_boundary(*end));
    text.get(..cut.unwrap_or_default()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(n: usize) -> Kept {
        Kept {
            at: "2026-11-29T10:00:00Z".parse().unwrap(),
            source: "webhook".to_owned(),
            sender: "aegisops".to_owned(),
            reason: format!("{n}"),
            bytes: 3,
            body: "é".repeat(BODY) + " password=hunter2hunter2",
        }
    }

    #[tokio::test]
    async fn i12_unreadable_bodies_are_bounded_in_number_bytes_and_rate_and_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let unreadable = Unreadable::new(folder.path().join("u"));
        let begun = Instant::now();
        for n in 0..150_u32 {
            let written = unreadable
                .keep(kept(usize::try_from(n).unwrap()), begun + SPAN * (n / IN_SPAN))
                .await;
            assert!(written, "{n}");
        }
        assert!(unreadable.keep(kept(150), begun + SPAN * 7).await);
        for _ in 0..9 {
            unreadable.keep(kept(151), begun + SPAN * 7).await;
        }
        assert!(
            !unreadable.keep(kept(999), begun + SPAN * 7).await,
            "past the rate"
        );
        let again = Unreadable::new(folder.path().join("u"));
        let all = again.list().await;
        assert_eq!(all.len(), MOST);
        assert!(
            all.iter()
                .all(|kept| kept.body.len() <= BODY && kept.reason != "999")
        );
        assert_eq!(all[0].reason, "151", "the newest first");
        assert_eq!(std::fs::read_dir(folder.path().join("u")).unwrap().count(), MOST);
    }
}
