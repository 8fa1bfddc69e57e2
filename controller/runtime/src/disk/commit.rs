//! Group commit: the files of a whole batch of changes, durable with one sync. Does I/O; blocks.
//!
//! The order is what makes a crash harmless. Contents are written under temporary names first: a full disk shows there.
//! Then one record of the journal has them all, with the lines of the audit log; from then on the batch has happened. Then
//! spec files are put in place or removed, and status files a moment later ([`behind`](super::behind)); what becomes of them
//! in a loss of power, the journal mends. So, once the journal is replayed, a status file without a spec file always means
//! a deletion, and a spec file that differs from what its status file accepted always means a change that was not
//! acknowledged, or a person's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_api::audit::Entry;
use futures::StreamExt as _;

use super::behind::Behind;
use super::digest::Digest;
use super::file::{self, Exchanged, Found, Prepared, Signature};
use super::journal::Journal;
use super::journal::frame::{Draft, SpecPart};
use super::layout::Key;
use super::spec_file;
use super::status_file::StatusFile;
use super::{Disk, DiskError, blocking, briefly};
use crate::audit::AuditLog;
use crate::store::object::Stored;

/// On how many threads spec files are written, and how many each takes.
const PARALLEL: (usize, usize) = (4, 8);

/// Where objects are put that are too many to be loaded.
pub(crate) const ASIDE: &str = ".aside";

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
    /// The object is gone, and its spec file if it is this version. Without one it is no longer this object's.
    Gone { spec: Option<Digest> },
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

/// One write on its way: under temporary names, so that it fails where it would not fit.
#[derive(Debug)]
pub(crate) struct Ready {
    key: Key,
    contents: Contents,
    spec: Option<(Prepared, Digest, String)>,
    status: Option<Vec<u8>>,
}

/// What became of one write: its spec file, if it has written one.
pub(crate) type Written = Result<Option<Placed>, DiskError>;

impl Disk {
    /// Writes what a batch needs under temporary names. Answers for each write, in order; what has failed has left no
    /// trace.
    pub(crate) async fn prepare(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Ready, DiskError>>, DiskError> {
        let (threads, each) = PARALLEL;
        let specs = writes
            .iter()
            .filter(|write| matches!(write.contents, Contents::Both { .. }));
        if specs.count() <= each {
            let disk = self.clone();
            return briefly(move || writes.into_iter().map(|write| disk.ready(write)).collect()).await;
        }
        let mut writes = writes.into_iter().peekable();
        let mut parts: Vec<Vec<Write>> = Vec::new();
        while writes.peek().is_some() {
            parts.push(writes.by_ref().take(each).collect());
        }
        let tasks = parts.into_iter().map(|some| {
            let disk = self.clone();
            blocking(move || {
                some.into_iter()
                    .map(|write| disk.ready(write))
                    .collect::<Vec<_>>()
            })
        });
        let prepared: Vec<_> = futures::stream::iter(tasks).buffered(threads).collect().await;
        Ok(prepared
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// About how many bytes of the journal a batch takes, with these entries of the audit log.
    pub(crate) fn weight(batch: &[Ready], entries: usize) -> usize {
        let of = |ready: &Ready| {
            let spec = ready.spec.as_ref().map_or(0, |(_, _, text)| text.len());
            spec.saturating_add(ready.status.as_ref().map_or(0, Vec::len))
        };
        // A picture of before and one of after, which are no larger than what is written.
        batch
            .iter()
            .map(of)
            .fold(entries.saturating_mul(8 << 10), usize::saturating_add)
    }

    /// Makes a batch durable, with the entries of the audit log about it, and puts it in place. Answers for each write, in
    /// order. An error: nothing has happened.
    pub(crate) async fn commit(
        &self,
        batch: Vec<Ready>,
        entries: Vec<Entry>,
        audit: &AuditLog,
    ) -> Result<Vec<Written>, DiskError> {
        let (disk, audit) = (self.clone(), audit.clone());
        briefly(move || disk.commit_now(batch, &entries, &audit)).await?
    }

    /// Gives a batch up.
    pub(crate) async fn discard_all(&self, batch: Vec<Ready>) -> Result<(), DiskError> {
        let disk = self.clone();
        blocking(move || batch.into_iter().for_each(|ready| disk.discard(ready))).await
    }

    fn commit_now(
        &self,
        batch: Vec<Ready>,
        entries: &[Entry],
        audit: &AuditLog,
    ) -> Result<Vec<Written>, DiskError> {
        let mut draft = Draft::default();
        for ready in &batch {
            ready.describe(&mut draft);
        }
        if draft.is_empty() && entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut journal = self.journal();
        let appended = audit.append_with(entries, |lines| {
            draft.audit(lines);
            journal.append(&draft)
        });
        let number = match appended {
            Ok(number) => number,
            Err(error) => {
                for ready in batch {
                    self.discard(ready);
                }
                return Err(error);
            }
        };
        drop(draft);
        journal.touched(batch.iter().flat_map(|ready| ready.paths(&self.dir)));
        let mut undone = Draft::default();
        let mut placed = Vec::with_capacity(batch.len());
        for ready in batch {
            placed.push((ready.key.clone(), self.place_spec(ready)));
        }
        let mut results = Vec::with_capacity(placed.len());
        for (key, ready) in placed {
            let result = ready.and_then(|(ready, spec)| self.place_status(ready, spec));
            if result.is_err() {
                undone.undone(number, &key);
            }
            results.push(result);
        }
        // Of what waits the newest versions, those of this batch among them.
        if journal.take_renewed()
            && let Err(error) = self.carry_all_over(&mut journal)
        {
            tracing::warn!(%error, "the journal was removed: status files that wait are lost if this process is killed");
        }
        self.close(&mut journal, &undone);
        Ok(results)
    }

    /// Records what did not come to be, and that all else is in place.
    fn close(&self, journal: &mut Journal, undone: &Draft) {
        if !undone.is_empty()
            && let Err(error) = journal.append(undone)
        {
            tracing::warn!(%error, "a change that failed may come to be at the next start");
            return;
        }
        if let Err(error) = journal.mark_placed(self.behind.is_empty()) {
            tracing::debug!(%error, "the next start inspects more files than it had to");
        }
    }

    /// Removes both files of an object, the spec file first, as [`commit`](Self::commit) does. Blocks.
    pub(crate) fn remove_files(&self, key: &Key) -> Result<(), DiskError> {
        let spec = key.spec_path(&self.dir);
        file::remove(&spec, &self.faults).map_err(|source| DiskError::io(&spec, source))?;
        let status = key.status_path(&self.dir);
        self.behind
            .take(&status, |_| file::remove(&status, &self.faults))
            .map_err(|source| DiskError::io(&status, source))
    }

    /// Moves both files of an object to `<dir>/.aside/<plural>/`, the spec file first. Blocks.
    pub(crate) fn put_aside(&self, key: &Key) -> Result<(), DiskError> {
        let aside = self.dir.join(ASIDE);
        for folder in [aside.clone(), aside.join(key.info.plural)] {
            file::make_folder(&folder).map_err(|source| DiskError::io(folder, source))?;
        }
        let place = |path: &Path| {
            aside
                .join(key.info.plural)
                .join(path.file_name().unwrap_or_default())
        };
        let (spec, status) = (key.spec_path(&self.dir), key.status_path(&self.dir));
        let move_away = |path: &Path| {
            self.faults.step("rename", path)?;
            std::fs::rename(path, place(path))
        };
        move_away(&spec).map_err(|source| DiskError::io(&spec, source))?;
        let moved = self.behind.take(&status, |behind| match behind {
            // It is in the journal alone.
            Some(behind) => {
                file::prepare(&place(&status), &behind.bytes, &self.faults)?.place(&self.faults)?;
                file::remove(&status, &self.faults)
            }
            None => move_away(&status),
        });
        moved.map_err(|source| DiskError::io(&status, source))
    }

    /// Makes durable what became of the folders of these kinds. Blocks.
    pub(crate) fn sync_folders(&self, kinds: impl Iterator<Item = &'static str>) -> Result<(), DiskError> {
        for info in kinds.filter_map(aegis_api::kinds::find) {
            let folder = self.dir.join(info.plural);
            file::sync_folder(&folder, &self.faults).map_err(|source| DiskError::io(folder, source))?;
        }
        Ok(())
    }

    fn ready(&self, write: Write) -> Result<Ready, DiskError> {
        let Write { key, contents } = write;
        let mut ready = Ready {
            key,
            contents,
            spec: None,
            status: None,
        };
        match self.write_contents(&mut ready) {
            Ok(()) => Ok(ready),
            Err(error) => {
                self.discard(ready);
                Err(error)
            }
        }
    }

    fn write_contents(&self, ready: &mut Ready) -> Result<(), DiskError> {
        let (object, accepted) = match &ready.contents {
            Contents::Both { object, replaces } => {
                let text = spec_file::render(&ready.key, &object.desired())
                    .map_err(|message| refused(&ready.key, message))?;
                if text.len() > spec_file::MAX_BYTES {
                    return Err(refused(&ready.key, spec_file::too_large(text.len())));
                }
                let digest = Digest::of(text.as_bytes());
                let path = ready.key.spec_path(&self.dir);
                self.check_replaced(&ready.key, *replaces)?;
                let prepared = file::writable(&path, &self.dir)
                    .and_then(|path| file::prepare(&path, text.as_bytes(), &self.faults));
                ready.spec = Some((
                    prepared.map_err(|source| DiskError::io(path, source))?,
                    digest,
                    text,
                ));
                (object, Some(digest))
            }
            Contents::Status { object, accepted } => (object, *accepted),
            Contents::Gone { .. } => return Ok(()),
        };
        let bytes = StatusFile::render(object, accepted);
        ready.status = Some(bytes.map_err(|message| refused(&ready.key, message))?);
        Ok(())
    }

    fn place_spec(&self, mut ready: Ready) -> Result<(Ready, Option<Placed>), DiskError> {
        let path = ready.key.spec_path(&self.dir);
        match &ready.contents {
            Contents::Status { .. } | Contents::Gone { spec: None } => Ok((ready, None)),
            Contents::Gone { spec } => {
                file::remove_version(&path, *spec, spec_file::MAX_BYTES, &self.dir, &self.faults)
                    .map_err(|source| DiskError::io(&path, source))?;
                Ok((ready, None))
            }
            Contents::Both { replaces, .. } => {
                let replaces = *replaces;
                let Some((spec, digest, _)) = ready.spec.take() else {
                    return Ok((ready, None));
                };
                match spec.exchange(replaces.digest(), spec_file::MAX_BYTES, &self.dir, &self.faults) {
                    Ok(Exchanged::Placed(signature)) => Ok((ready, Some(Placed { digest, signature }))),
                    Ok(Exchanged::Changed) => {
                        let error = changed(&ready.key, replaces);
                        self.discard(ready);
                        Err(error)
                    }
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
            return Err(changed(key, replaces));
        }
        if matches!(replaces, Replaces::Broken(_)) {
            file::keep_beside(&path, &self.dir, &self.faults)
                .map_err(|source| DiskError::io(path, source))?;
        }
        Ok(())
    }

    /// The spec file is in its place: its status file follows. That of an object that is gone goes.
    fn place_status(&self, ready: Ready, spec: Option<Placed>) -> Result<Option<Placed>, DiskError> {
        let path = ready.key.status_path(&self.dir);
        let accepted = spec.map(|spec| spec.digest).or_else(|| ready.accepted());
        match ready.status {
            Some(bytes) => {
                let behind = Behind {
                    key: ready.key,
                    bytes: bytes.into(),
                    accepted,
                };
                self.behind.put(path, behind);
            }
            None => self
                .behind
                .take(&path, |_| self.spares.take_away(&path, &self.faults))
                .map_err(|source| DiskError::io(path, source))?,
        }
        Ok(spec)
    }

    fn discard(&self, ready: Ready) {
        if let Some((spec, ..)) = ready.spec {
            spec.discard(&self.faults);
        }
    }
}

impl Ready {
    /// What the journal is to have of it.
    fn describe(&self, draft: &mut Draft) {
        let (spec, text) = match (&self.contents, &self.spec) {
            (Contents::Both { replaces, .. }, Some((_, digest, text))) => {
                let put = SpecPart::Put {
                    replaces: replaces.digest(),
                    digest: *digest,
                    bytes: text.len(),
                };
                (put, text.as_bytes())
            }
            (Contents::Gone { spec: Some(known) }, _) => {
                let known = Some(*known);
                (SpecPart::Removed { known }, &[][..])
            }
            _ => (SpecPart::Kept, &[][..]),
        };
        draft.object(&self.key, (spec, text), self.status.as_deref(), self.accepted());
    }

    /// The version of the spec file that is in force by it.
    fn accepted(&self) -> Option<Digest> {
        match &self.contents {
            Contents::Status { accepted, .. } => *accepted,
            Contents::Both { .. } | Contents::Gone { .. } => self.spec.as_ref().map(|(_, digest, _)| *digest),
        }
    }

    /// The files that it puts in place or removes.
    fn paths(&self, dir: &std::path::Path) -> Vec<PathBuf> {
        let spec = match (&self.contents, &self.spec) {
            (_, Some((spec, ..))) => Some(spec.path.clone()),
            (Contents::Gone { spec: Some(_) }, None) => Some(self.key.spec_path(dir)),
            _ => None,
        };
        spec.into_iter().chain([self.key.status_path(dir)]).collect()
    }
}

impl Replaces {
    fn digest(self) -> Option<Digest> {
        match self {
            Self::Nothing => None,
            Self::Sound(digest) | Self::Broken(digest) => Some(digest),
        }
    }
}

fn changed(key: &Key, replaces: Replaces) -> DiskError {
    let file = key.spec_file();
    let message = match replaces {
        Replaces::Nothing => format!("{file} is there, written by hand: repair or remove it if it is broken"),
        Replaces::Sound(_) | Replaces::Broken(_) => format!("{file} was changed by hand just now: try again"),
    };
    DiskError::Changed {
        kind: key.info.kind.to_owned(),
        name: key.name.clone(),
        message,
    }
}

fn refused(key: &Key, message: String) -> DiskError {
    DiskError::Refused {
        kind: key.info.kind.to_owned(),
        name: key.name.clone(),
        message,
    }
}
