//! Bodies that could not be read, kept to be inspected: in files of their own, bounded in number, bytes and rate. Secrets that are
//! recognised are gone before they are written. All of them are counted, also those that are not kept, and the count outlives a
//! restart: with what is kept it is written at once, else within a second. Does I/O.

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
/// The longest beginning of a body that is kept, bytes; of several alerts, of their texts together.
const BODY: usize = 64 << 10;
/// As much of the text of each of several alerts as is kept where there is room for any, bytes.
const EACH: usize = 1 << 10;
/// Most that are written within [`SPAN`]; what comes beyond is counted and reported alone.
const IN_SPAN: u32 = 20;
const SPAN: Duration = Duration::from_secs(10);
/// How long what is counted alone may be in memory alone.
const COUNT_WRITTEN_WITHIN: Duration = Duration::from_secs(1);
/// The file of the count, beside those of the bodies.
const COUNT: &str = "count";

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
    /// Its beginning; where it had several alerts, those of the ones that could not be read, one after the other.
    pub(crate) body: String,
    /// An address that a person has to open, if they want to hear from the sender: what it holds is for them, and stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open: Option<String>,
    /// How many alerts could not be read until then, since the state directory was made, those of this body among them. Where
    /// there is a gap, some were not kept.
    #[serde(default)]
    pub(crate) counted: u64,
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
    /// Alerts that could not be read, since the state directory was made.
    counted: u64,
    /// How many of them are on disk.
    count_written: u64,
    /// Whether the rest will be written soon.
    count_is_due: bool,
}

impl Unreadable {
    pub(crate) fn new(folder: PathBuf) -> Self {
        let mut inner = Inner {
            folder,
            files: None,
            span: None,
            counted: 0,
            count_written: 0,
            count_is_due: false,
        };
        inner.counted = inner.read_count();
        inner.count_written = inner.counted;
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// How many alerts could not be read, since the state directory was made.
    pub(crate) fn counted(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).counted
    }

    /// Counts so many alerts, and keeps their texts; answers whether they are written. Durable when they are. The sender may be
    /// gone before this ends: they are counted and kept all the same.
    pub(super) async fn keep(&self, mut kept: Kept, texts: Vec<String>, alerts: u64, now: Instant) -> bool {
        let shared = Arc::clone(&self.inner);
        let write = tokio::task::spawn_blocking(move || {
            let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            inner.counted = inner.counted.saturating_add(alerts);
            let written = match inner.has_room(now) {
                true => {
                    kept.counted = inner.counted;
                    kept.body = beginnings(&texts);
                    inner.write(&kept).map(|()| true)
                }
                false => Ok(false),
            };
            if !matches!(written, Ok(true)) {
                count_soon(&mut inner, &shared);
            }
            written
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

/// Has the count written within [`COUNT_WRITTEN_WITHIN`], once for all that come until then; where that fails, again. Only a
/// thread that may wait for the disk holds `inner`.
fn count_soon(inner: &mut Inner, shared: &Arc<Mutex<Inner>>) {
    if std::mem::replace(&mut inner.count_is_due, true) {
        return;
    }
    let shared = Arc::clone(shared);
    // It ends with the runtime, which drops the count, and that writes it.
    tokio::spawn(async move {
        tokio::time::sleep(COUNT_WRITTEN_WITHIN).await;
        let write = tokio::task::spawn_blocking(move || {
            let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            inner.count_is_due = false;
            inner.write_count();
            if inner.count_written != inner.counted {
                count_soon(&mut inner, &shared);
            }
        });
        drop(write.await);
    });
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

    /// What the file of the count says, or the newest body where that says more: after a kill between the two, or in a folder of
    /// an earlier version.
    fn read_count(&mut self) -> u64 {
        let file = std::fs::read_to_string(self.folder.join(COUNT)).unwrap_or_default();
        let newest = self.files().back().and_then(|file| std::fs::read(file).ok());
        let newest = newest.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let newest = newest.map(|kept| kept.counted).unwrap_or_default();
        file.trim().parse::<u64>().unwrap_or_default().max(newest)
    }

    /// Writes the count, where it is not written.
    fn write_count(&mut self) {
        if self.counted == self.count_written {
            return;
        }
        let counted = self.counted;
        match self.put(&self.folder.join(COUNT), &format!("{counted}\n")) {
            Ok(()) => self.count_written = counted,
            Err(error) => tracing::warn!(%error, "the count of unreadable alerts could not be written"),
        }
    }

    /// Writes a file whole, or not at all. Durable when it returns.
    fn put(&self, path: &Path, text: &str) -> std::io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.as_file_mut().write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }

    fn write(&mut self, kept: &Kept) -> std::io::Result<()> {
        let number = self
            .files()
            .back()
            .and_then(|last| number(last))
            .unwrap_or_default();
        // By number, so that their order is that in which they came, whatever the clock says.
        let path = self.folder.join(format!("{:012}.json", number.saturating_add(1)));
        self.put(&path, &format!("{}\n", serde_json::to_string(kept)?))?;
        self.count_written = kept.counted;
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.write_count();
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The beginnings of texts, a line or more each, without secrets: together [`BODY`] bytes at most, and none of them at the cost of all
/// others. What a short one leaves is for those behind it.
fn beginnings(texts: &[String]) -> String {
    let mut all = String::new();
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            all.push('\n');
        }
        let room = BODY.saturating_sub(all.len());
        if room == 0 {
            break;
        }
        let left = texts.len().saturating_sub(at).max(1);
        let share = (room / left).saturating_sub(1).max(EACH).min(room);
        let share = if left == 1 { room } else { share };
        // Cut a little later than it is kept, so that no secret is cut in two before it is recognised.
        all.push_str(&beginning(&redact(&beginning(text, share + 4096)), share));
    }
    beginning(&all, BODY)
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
            body: String::new(),
            open: None,
            counted: 0,
        }
    }

    fn body() -> Vec<String> {
        vec!["é".repeat(BODY) + " password=hunter2hunter2"]
    }

    #[test]
    fn i12_of_several_texts_each_is_kept_by_its_beginning_and_no_secret_of_any() {
        let text = |n: usize| format!("<{n}> {} password=hunter2hunter2 ", "é".repeat(n));
        let one = beginnings(&[text(BODY)]);
        assert!(one.len() <= BODY && one.len() > BODY - 2, "{}", one.len());
        // A long one leaves room for those behind it, short ones for a long one.
        let both = beginnings(&[text(BODY), text(3), text(BODY)]);
        assert!(both.len() <= BODY && both.len() > BODY * 9 / 10, "{}", both.len());
        assert!(both.contains("\n<3> ééé password=") && both.contains(&format!("\n<{BODY}> é")));
        let many: Vec<String> = (0..3000).map(|n| text(2 * EACH + n)).collect();
        let many = beginnings(&many);
        assert!(many.len() <= BODY && many.lines().count() > BODY / EACH / 2);
        for cut in 0..80 {
            let kept = beginnings(&[text(EACH - 80 + cut), text(BODY), text(EACH / 2 - cut)]);
            assert!(!kept.contains("hunter2"), "{cut}");
        }
        assert_eq!(beginnings(&[]), "");
    }

    #[tokio::test(start_paused = true)]
    async fn every_unreadable_alert_is_counted_over_restarts_also_those_that_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u");
        let begun = Instant::now();
        let unreadable = Unreadable::new(path.clone());
        for n in 0..25 {
            unreadable
                .keep(kept(n), body(), 1 + u64::from(n == 3), begun)
                .await;
        }
        assert_eq!(unreadable.counted(), 26);
        // As a kill -9 leaves it: what was kept is counted, what came past the rate within the last second is not.
        let killed = Unreadable::new(path.clone());
        assert_eq!(killed.counted(), 21);
        std::mem::forget(killed);
        tokio::time::sleep(COUNT_WRITTEN_WITHIN * 2).await;
        while std::fs::read_to_string(path.join(COUNT)).is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            Unreadable::new(path.clone()).counted(),
            26,
            "written within a second"
        );
        unreadable.keep(kept(26), body(), 4, begun).await;
        drop(unreadable);
        // An orderly end loses none. The task that would have written it holds it until its time has come.
        tokio::time::sleep(COUNT_WRITTEN_WITHIN * 2).await;
        let counted = async || Unreadable::new(path.clone()).counted();
        while counted().await != 30 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            Unreadable::new(path).list().await[0].counted,
            21,
            "the newest that is kept"
        );
    }

    #[tokio::test]
    async fn i12_unreadable_bodies_are_bounded_in_number_bytes_and_rate_and_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let unreadable = Unreadable::new(folder.path().join("u"));
        let begun = Instant::now();
        for n in 0..150_u32 {
            let written = unreadable
                .keep(
                    kept(usize::try_from(n).unwrap()),
                    body(),
                    1,
                    begun + SPAN * (n / IN_SPAN),
                )
                .await;
            assert!(written, "{n}");
        }
        assert!(unreadable.keep(kept(150), body(), 1, begun + SPAN * 7).await);
        for _ in 0..9 {
            unreadable.keep(kept(151), body(), 1, begun + SPAN * 7).await;
        }
        assert!(
            !unreadable.keep(kept(999), body(), 1, begun + SPAN * 7).await,
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
        let files = std::fs::read_dir(folder.path().join("u")).unwrap().flatten();
        let bodies = files.filter(|file| file.path().extension().is_some_and(|it| it == "json"));
        assert_eq!(bodies.count(), MOST);
    }
}
