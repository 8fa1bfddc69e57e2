//! Group commit: the files of a whole batch of changes, durable together. Does I/O on tokio's blocking threads.
//!
//! The order is what makes a crash harmless. Contents first, each made durable under a temporary name; then spec files
//! are put in place or removed, then status files, then each folder is made durable once. So a status file without a
//! spec file always means a deletion, and a spec file that differs from what its status file accepted always means a
//! change that was not acknowledged, or a person's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;

use super::digest::Digest;
use super::file::{self, Found, Prepared, Signature};
use super::layout::Key;
use super::spec_file;
use super::status_file::StatusFile;
use super::{Disk, DiskError, blocking};
use crate::store::object::Stored;

/// How many files are made durable at once. More than this only queue up in the file system's journal.
const PARALLEL: usize = 8;

/// What one object's files become.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) contents: Contents,
}

#[derive(Debug, Clone)]
pub(crate) enum Contents {
    /// Both files, from this object. The spec file that is replaced must be as known, or the write is refused.
    Both { object: Arc<Stored>, replaces: Replaces },
    /// The status file only; the spec file that it accepts has this digest.
    Status {
        object: Arc<Stored>,
        accepted: Option<Digest>,
    },
    /// The object is gone. Its spec file stays if it is no longer this object's.
    Gone { spec: bool },
}

/// The spec file that a write expects in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Replaces {
    /// None.
    Nothing,
    /// One with this digest, which said what the object says.
    Sound(Digest),
    /// One with this digest, which is broken: it is kept beside, for it is somebody's work.
    Broken(Digest),
}

/// A spec file as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) digest: Digest,
    pub(crate) signature: Signature,
}

/// A batch on its way: what is durable, but not in place.
struct Ready {
    key: Key,
    contents: Contents,
    spec: Option<(Prepared, Digest)>,
    status: Option<Prepared>,
}

impl Disk {
    /// Writes a batch. Answers for each write, in order, its spec file if it has written one. What has failed has left
    /// no trace, except where an error of the disk itself came between two renames.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Vec<Result<Option<Placed>, DiskError>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let tasks = writes.into_iter().map(|write| {
            let disk = self.clone();
            blocking(move || disk.prepare(write))
        });
        let prepared: Vec<_> = futures::stream::iter(tasks).buffered(PARALLEL).collect().await;
        let disk = self.clone();
        let prepared = prepared
            .into_iter()
            .map(|ready| ready.and_then(|ready| ready))
            .collect();
        match blocking(move || disk.place(prepared)).await {
            Ok(results) => results,
            Err(error) => vec![Err(error)],
        }
    }

    /// Removes both files of an object, the spec file first, as [`commit`](Self::commit) does. Blocks.
    pub(crate) fn remove_files(&self, key: &Key) -> Result<(), DiskError> {
        for path in [key.spec_path(&self.dir), key.status_path(&self.dir)] {
            file::remove(&path, &self.faults).map_err(|source| DiskError::io(&path, source))?;
        }
        Ok(())
    }

    /// Makes durable what became of the folders of these kinds. Blocks.
    pub(crate) fn sync_folders(&self, kinds: impl Iterator<Item = &'static str>) -> Result<(), DiskError> {
        for info in kinds.filter_map(aegis_api::kinds::find) {
            let folder = self.dir.join(info.plural);
            file::sync_folder(&folder, &self.faults).map_err(|source| DiskError::io(folder, source))?;
        }
        Ok(())
    }

    fn prepare(&self, write: Write) -> Result<Ready, DiskError> {
        let Write { key, contents } = write;
        let mut ready = Ready {
            key,
            contents,
            spec: None,
            status: None,
        };
        let (object, accepted) = match &ready.contents {
            Contents::Both { object, .. } => {
                let text = spec_file::render(&ready.key, &object.desired())
                    .map_err(|message| refused(&ready.key, message))?;
                if text.len() > spec_file::MAX_BYTES {
                    return Err(refused(&ready.key, spec_file::too_large(text.len())));
                }
                let digest = Digest::of(text.as_bytes());
                let path = ready.key.spec_path(&self.dir);
                let prepared = file::writable(&path, &self.dir)
                    .and_then(|path| file::prepare(&path, text.as_bytes(), &self.faults));
                ready.spec = Some((prepared.map_err(|source| DiskError::io(path, source))?, digest));
                (object, Some(digest))
            }
            Contents::Status { object, accepted } => (object, *accepted),
            Contents::Gone { .. } => return Ok(ready),
        };
        let path = ready.key.status_path(&self.dir);
        let status = StatusFile::of(object, accepted)
            .render()
            .map_err(|message| refused(&ready.key, message))
            .and_then(|bytes| {
                file::prepare(&path, &bytes, &self.faults).map_err(|source| DiskError::io(path, source))
            });
        match status {
            Ok(status) => ready.status = Some(status),
            Err(error) => {
                self.discard(ready);
                return Err(error);
            }
        }
        Ok(ready)
    }

    fn place(&self, batch: Vec<Result<Ready, DiskError>>) -> Vec<Result<Option<Placed>, DiskError>> {
        let mut folders: BTreeMap<PathBuf, Option<DiskError>> = BTreeMap::new();
        let mut results = Vec::with_capacity(batch.len());
        let mut placed = Vec::with_capacity(batch.len());
        for ready in batch {
            placed.push(ready.and_then(|ready| self.place_spec(ready)));
        }
        for ready in placed {
            let result = ready.and_then(|(ready, spec)| {
                folders.insert(ready.key.folder(&self.dir), None);
                self.place_status(ready, spec)
            });
            results.push(result);
        }
        for (folder, failure) in &mut folders {
            if let Err(source) = file::sync_folder(folder, &self.faults) {
                *failure = Some(DiskError::io(folder, source));
            }
        }
        let folder_failed = |key: &Key| folders.get(&key.folder(&self.dir)).cloned().flatten();
        results
            .into_iter()
            .map(|result| {
                let (key, spec) = result?;
                folder_failed(&key).map_or(Ok(spec), Err)
            })
            .collect()
    }

    fn place_spec(&self, mut ready: Ready) -> Result<(Ready, Option<Placed>), DiskError> {
        let path = ready.key.spec_path(&self.dir);
        match &ready.contents {
            Contents::Status { .. } | Contents::Gone { spec: false } => Ok((ready, None)),
            Contents::Gone { spec: true } => {
                file::remove(&path, &self.faults).map_err(|source| DiskError::io(&path, source))?;
                Ok((ready, None))
            }
            Contents::Both { replaces, .. } => {
                if let Err(error) = self.check_replaced(&ready.key, *replaces) {
                    self.discard(ready);
                    return Err(error);
                }
                let Some((spec, digest)) = ready.spec.take() else {
                    return Ok((ready, None));
                };
                let linked = spec
                    .path
                    .parent()
                    .filter(|_| spec.path != path)
                    .map(PathBuf::from);
                let placed = spec.place(&self.faults).and_then(|signature| match linked {
                    Some(folder) => file::sync_folder(&folder, &self.faults).map(|()| signature),
                    None => Ok(signature),
                });
                match placed {
                    Ok(signature) => Ok((ready, Some(Placed { digest, signature }))),
                    Err(source) => {
                        self.discard(ready);
                        Err(DiskError::io(path, source))
                    }
                }
            }
        }
    }

    /// A person may have changed the file since it was last read; their work is not written over.
    fn check_replaced(&self, key: &Key, replaces: Replaces) -> Result<(), DiskError> {
        let path = key.spec_path(&self.dir);
        let found = file::read(&path, spec_file::MAX_BYTES, &self.dir)
            .map_err(|source| DiskError::io(&path, source))?;
        if let Found::Unfit(why) = &found
            && !path.is_symlink()
        {
            return Err(refused(
                key,
                format!("{}: {why}; move it away first", key.spec_file()),
            ));
        }
        let digest = found.digest();
        let as_known = match (replaces, &found) {
            (Replaces::Nothing, Found::Missing) => true,
            (Replaces::Sound(known) | Replaces::Broken(known), _) => digest == Some(known),
            (Replaces::Nothing, _) => false,
        };
        if !as_known {
            let file = key.spec_file();
            let message = match replaces {
                Replaces::Nothing => {
                    format!("{file} is there, written by hand: repair or remove it if it is broken")
                }
                Replaces::Sound(_) | Replaces::Broken(_) => {
                    format!("{file} was changed by hand just now: try again")
                }
            };
            return Err(DiskError::Changed {
                kind: key.info.kind.to_owned(),
                name: key.name.clone(),
                message,
            });
        }
        if matches!(replaces, Replaces::Broken(_)) {
            file::keep_beside(&path, &self.dir, &self.faults)
                .map_err(|source| DiskError::io(path, source))?;
        }
        Ok(())
    }

    fn place_status(&self, ready: Ready, spec: Option<Placed>) -> Result<(Key, Option<Placed>), DiskError> {
        let Ready {
            key,
            contents,
            status,
            ..
        } = ready;
        let Some(status) = status else {
            let path = key.status_path(&self.dir);
            file::remove(&path, &self.faults).map_err(|source| DiskError::io(path, source))?;
            return Ok((key, spec));
        };
        let path = status.path.clone();
        match status.place(&self.faults) {
            Ok(_) => Ok((key, spec)),
            Err(source) => {
                if matches!(
                    contents,
                    Contents::Both {
                        replaces: Replaces::Nothing,
                        ..
                    }
                ) {
                    // A new object that is not there after all. If this fails too, its file counts as a person's.
                    drop(file::remove(&key.spec_path(&self.dir), &self.faults));
                }
                Err(DiskError::io(path, source))
            }
        }
    }

    fn discard(&self, ready: Ready) {
        if let Some((spec, _)) = ready.spec {
            spec.discard(&self.faults);
        }
        if let Some(status) = ready.status {
            status.discard(&self.faults);
        }
    }
}

fn refused(key: &Key, message: String) -> DiskError {
    DiskError::Refused {
        kind: key.info.kind.to_owned(),
        name: key.name.clone(),
        message,
    }
}
