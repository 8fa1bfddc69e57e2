//! File events: which files in the kinds' folders have changed. Owns the kernel's watches; reads no file. Only a hint:
//! events are lost on some file systems and in overflows, so a periodic rescan stands behind it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::KINDS;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::disk::layout::{FileName, Key};

/// How many changed files are remembered one by one; beyond that, everything counts as changed.
const REMEMBERED: usize = 1024;

/// What has changed since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// These files.
    pub(crate) keys: BTreeSet<Key>,
    /// Anything may have: list the folders.
    pub(crate) anything: bool,
}

/// The watch over a state directory.
#[derive(Debug)]
pub(crate) struct FileWatch {
    noted: Arc<Noted>,
    watcher: Option<RecommendedWatcher>,
}

#[derive(Debug, Default)]
struct Noted {
    changed: Mutex<Changed>,
    news: Notify,
}

impl FileWatch {
    /// A watch that never reports anything.
    pub(crate) fn none() -> Self {
        Self {
            noted: Arc::default(),
            watcher: None,
        }
    }

    /// Watches the folder of each kind, and the state directory for the folders. The events are gathered on a thread of the `notify` crate.
    pub(crate) fn start(dir: &Path) -> notify::Result<Self> {
        let noted = Arc::<Noted>::default();
        let handler = Arc::clone(&noted);
        let watcher = notify::recommended_watcher(move |event| handler.note(event))?;
        let mut watch = Self {
            noted,
            watcher: Some(watcher),
        };
        watch.renew(dir)?;
        Ok(watch)
    }

    /// Watches again folders that were removed and recreated; the others stay watched.
    pub(crate) fn renew(&mut self, dir: &Path) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else {
            return Ok(());
        };
        if dir.is_dir() {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
        }
        for info in KINDS.iter() {
            let folder = dir.join(info.plural);
            if folder.is_dir() {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(())
    }

    /// Ends when something has changed since [`Self::take`].
    pub(crate) async fn changed(&self) {
        self.noted.news.notified().await;
    }

    /// These count as changed once more.
    pub(crate) fn again(&self, keys: impl IntoIterator<Item = Key>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let mut changed = self.noted.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.keys.extend(keys);
        drop(changed);
        self.noted.news.notify_one();
    }

    /// What has changed; it counts as known from now on.
    pub(crate) fn take(&self) -> Changed {
        std::mem::take(&mut *self.noted.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Noted {
    fn note(&self, event: notify::Result<notify::Event>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(event) if event.need_rescan() => changed.anything = true,
            Ok(event) if event.kind.is_access() => return,
            Ok(event) => {
                let before = changed.keys.len();
                let anything = changed.anything;
                for path in &event.paths {
                    changed.note(path);
                }
                if changed.keys.len() == before && changed.anything == anything {
                    return;
                }
            }
            Err(_) => changed.anything = true,
        }
        drop(changed);
        self.news.notify_one();
    }
}

impl Changed {
    fn note(&mut self, path: &Path) {
        if path
            .file_name()
            .is_some_and(|name| KINDS.iter().any(|info| name == info.plural))
        {
            self.anything = true;
            return;
        }
        let folder = path.parent().and_then(Path::file_name);
        let info = KINDS
            .iter()
            .find(|info| folder.is_some_and(|folder| folder == info.plural));
        let (Some(info), Some(file_name)) = (info, path.file_name().and_then(|name| name.to_str())) else {
            return;
        };
        match FileName::of(file_name) {
            FileName::Spec(name) if self.keys.len() < REMEMBERED => {
                self.keys.insert(Key::new(info, name));
            }
            FileName::Spec(_) | FileName::Misnamed { .. } => self.anything = true,
            FileName::Status(_) | FileName::Temporary | FileName::Foreign => {}
        }
    }
}
