//! What the state directory cannot do. Pure.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the state directory did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    /// It cannot be read or written; nothing was changed.
    #[error("cannot use {}", .path.display())]
    Io {
        path: PathBuf,
        source: Arc<std::io::Error>,
    },
    /// Another controller has it.
    #[error("{} is in use by {holder}: stop that one, or give this one its own --state-dir", .dir.display())]
    Locked { dir: PathBuf, holder: String },
    /// A person has written, changed or removed the object's file, and their work is not written over.
    #[error("{kind} \"{name}\" has changed: {message}")]
    Changed {
        kind: String,
        name: String,
        message: String,
    },
    /// The object makes no file, or what lies in its file's place is none.
    #[error("{kind} \"{name}\": {message}")]
    Refused {
        kind: String,
        name: String,
        message: String,
    },
    /// The runtime shuts down.
    #[error("the store is closed")]
    Closed,
}

impl DiskError {
    /// Whether there is no space left.
    pub(crate) fn is_full(&self) -> bool {
        let full = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source: Arc::new(source),
        }
    }
}
