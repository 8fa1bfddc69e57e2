//! What the store refuses or cannot do. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use aegis_api::FieldError;

use crate::disk::DiskError;

/// Why the store did not do as asked. Display names the object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{kind} \"{name}\" not found")]
    NotFound { kind: String, name: String },
    /// The name is taken.
    #[error("{kind} \"{name}\" already exists")]
    AlreadyExists { kind: String, name: String },
    /// The object is not the one, or not in the state, that the caller meant.
    #[error("{kind} \"{name}\" has changed: {message}")]
    Conflict {
        kind: String,
        name: String,
        message: String,
    },
    /// The object does not validate; every error names its field.
    #[error("{kind} \"{name}\" is invalid: {}", listed(.errors))]
    Invalid {
        kind: String,
        name: String,
        errors: Vec<FieldError>,
    },
    /// There are as many objects of the kind as there may be.
    #[error(
        "{kind} \"{name}\": there are {most} objects of this kind, the most there may be: delete some first"
    )]
    TooMany { kind: String, name: String, most: usize },
    /// The caller's own edit, or a rule of the store, says no.
    #[error("{kind} \"{name}\": {message}")]
    Refused {
        kind: String,
        name: String,
        message: String,
    },
    /// The state directory cannot be read or written; nothing was changed.
    #[error("cannot use {}", .path.display())]
    Disk {
        path: PathBuf,
        source: Arc<std::io::Error>,
    },
    /// Another controller has the state directory.
    #[error("{} is in use by {holder}: stop that one, or give this one its own --state-dir", .dir.display())]
    Locked { dir: PathBuf, holder: String },
    /// The store is shutting down, or its driver is gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk is full and nothing else is wrong: what failed will succeed when there is space again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Disk { source, .. } if full.contains(&source.kind()))
    }
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Io { path, source } => Self::Disk { path, source },
            DiskError::Locked { dir, holder } => Self::Locked { dir, holder },
            DiskError::Changed { kind, name, message } => Self::Conflict { kind, name, message },
            DiskError::Refused { kind, name, message } => Self::Refused { kind, name, message },
            DiskError::Closed => Self::Closed,
        }
    }
}

/// The requested revision is not kept (too old, or from the future): list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {since} ({oldest})")]
pub struct Expired {
    /// The requested revision.
    pub since: u64,
    /// The oldest revision from which a watch can start.
    pub oldest: u64,
}

fn listed(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
