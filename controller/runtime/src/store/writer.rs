//! The single writer: everything that changes an object passes through here, one batch after another. Durable first,
//! then published, then answered. Does I/O through [`Disk`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::KINDS;
use aegis_api::audit::{Actor, Entry};
use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::{Aftermath, Batch, Files, Sealed};
use super::change;
use super::files::Note;
use super::memory::Memory;
use super::vanished::Recheck;
use super::{Change, Clock, Request, Retention, StoreError, retention};
use crate::audit::AuditLog;
use crate::disk::Disk;
use crate::disk::commit::{Placed, Write};
use crate::disk::folder::{Judged, Misnamed};
use crate::disk::home::Record;
use crate::disk::layout::Key;
use crate::disk::revision::Revisions;
use crate::disk::status_file::StatusFile;
use crate::events::EventRecorder;

/// What the writer alone knows.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) disk: Disk,
    pub(crate) audit: AuditLog,
    pub(crate) memory: Arc<Memory>,
    pub(crate) announce: watch::Sender<u64>,
    pub(crate) events: EventRecorder,
    pub(crate) clock: Clock,
    pub(crate) retention: Retention,
    pub(crate) revisions: Revisions,
    pub(crate) files: Files,
    pub(crate) dormant: HashMap<Key, StatusFile>,
    /// Files that may not be what is known about them: to be read again soon.
    pub(crate) unverified: BTreeSet<Key>,
    /// Files that were gone or bad at first sight, and when they are read once more.
    pub(crate) recheck: BTreeMap<Key, Recheck>,
    /// Those of them that are read just now.
    pub(crate) judging: BTreeMap<Key, Recheck>,
    /// How long a file must be gone before that is a deletion.
    pub(crate) hold: Duration,
    /// Kinds of objects that were deleted by file a moment ago, and when.
    pub(crate) deleted: Vec<(&'static str, Instant)>,
    /// What the next start must know, as it was last written down.
    pub(crate) record: Record,
    /// Whether that may not be true any more.
    pub(crate) held_changed: bool,
    /// Whether an object has come to its end since retention was last seen to.
    pub(crate) finished: bool,
}

impl Writer {
    /// What loading leaves to do: differences between the files and what was in force are acted on at once, for what
    /// was half written when an earlier process died is not going to be completed. On a full disk that waits: what is
    /// stored is served all the same, and files are read again with each rescan.
    pub(crate) async fn settle(
        &mut self,
        judged: Vec<(Key, Judged)>,
        orphaned: Vec<Key>,
        misnamed: &[Misnamed],
        notes: Vec<Note>,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.revisions.set_aside(&self.disk).await {
            put_off(error.into())?;
        }
        for note in notes {
            self.note(note);
        }
        self.compare_misnamed(misnamed);
        let mut batch = Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            self.clock.now(),
        );
        for key in &orphaned {
            batch.forget(key);
        }
        let sealed = batch.seal();
        let failures = self.carry_out(sealed).await?.failures;
        let failed = failures.into_values().next();
        let is_gone =
            |(key, judged): &(Key, Judged)| matches!(judged, Judged::Missing) && self.is_in_force(key);
        let (gone, mut judged): (Vec<_>, Vec<_>) = judged.into_iter().partition(is_gone);
        let gone = self
            .weigh_at_start(gone.into_iter().map(|(key, _)| key).collect())
            .await?;
        judged.extend(gone.into_iter().map(|key| (key, Judged::Missing)));
        match failed.or(self.take_over(judged).await?) {
            Some(error) => put_off(error),
            None => Ok(()),
        }
    }

    /// Carries out what callers request, as one batch.
    pub(crate) async fn requests(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<(), StoreError> {
        let requests: Vec<Request> = requests.into_iter().collect();
        let confirmed: Vec<Key> = requests.iter().filter_map(confirmed_key).collect();
        for key in confirmed {
            if self.memory.is_held(&key) {
                self.accept_folder(key.info).await?;
            }
        }
        let mut batch = Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            self.clock.now(),
        );
        for request in requests {
            batch.request(request);
        }
        let sealed = batch.seal();
        let aftermath = self.carry_out(sealed).await?;
        self.unverified.extend(aftermath.failures.into_keys());
        Ok(())
    }

    /// Makes a batch durable, publishes and answers it. The audit log has it before: what it cannot hold is refused.
    pub(crate) async fn carry_out(&mut self, mut sealed: Sealed) -> Result<Aftermath, StoreError> {
        let audited = sealed.take_audit();
        if let Err(error) = self.revisions.reserve(&self.disk).await {
            return Ok(sealed.fail(&error.into()));
        }
        let entries = audited.iter().map(|(_, entry)| entry.clone()).collect();
        if let Err(error) = self.audit.append(entries).await {
            return Ok(sealed.fail(&error.into()));
        }
        let results = self.commit(&sealed).await?;
        let aftermath = sealed.finish(results, &self.memory, &mut self.files, |revision| {
            self.announce.send_replace(revision);
        });
        self.audit_undone(audited, &aftermath).await;
        for key in &aftermath.placed {
            self.mark_sound(key, "");
            self.dormant.remove(key);
        }
        self.unverified.extend(aftermath.gone.iter().cloned());
        self.finished |= aftermath.finished;
        Ok(aftermath)
    }

    /// Writes a batch's files, but none into a folder that is not the one that was loaded.
    async fn commit(
        &mut self,
        sealed: &Sealed,
    ) -> Result<Vec<Result<Option<Placed>, StoreError>>, StoreError> {
        let kinds = sealed.kinds();
        let faults = match kinds.is_empty() {
            true => BTreeMap::new(),
            false => self.folders_in_order(kinds).await?,
        };
        let writes = sealed.writes(&self.files);
        if faults.is_empty() {
            return Ok(self.place(writes).await);
        }
        let why: Vec<Option<StoreError>> = writes
            .iter()
            .map(|write| faults.get(write.key.info.plural).cloned())
            .collect();
        let sound = writes
            .into_iter()
            .filter(|write| !faults.contains_key(write.key.info.plural));
        let mut written = self.place(sound.collect()).await.into_iter();
        let result = |why: Option<StoreError>| match why {
            Some(error) => Err(error),
            None => written.next().unwrap_or(Err(StoreError::Closed)),
        };
        Ok(why.into_iter().map(result).collect())
    }

    async fn place(&self, writes: Vec<Write>) -> Vec<Result<Option<Placed>, StoreError>> {
        let results = self.disk.commit(writes).await.into_iter();
        results.map(|result| result.map_err(StoreError::from)).collect()
    }

    /// Records in the audit log which of its changes did not come to be.
    async fn audit_undone(&self, audited: Vec<(Key, Entry)>, aftermath: &Aftermath) {
        let undone = audited.into_iter().filter_map(|(key, entry)| {
            let error = aftermath.failures.get(&key)?;
            let mut undone = Entry::about(entry.actor, "undone", &entry.kind, &entry.name);
            undone.resource_version = entry.resource_version;
            undone.note = Some(error.to_string());
            Some(undone)
        });
        if let Err(error) = self.audit.append(undone.collect()).await {
            tracing::error!(%error, "the audit log has changes that were not made, and cannot say so");
        }
    }

    /// Removes finished objects that are too many or, if `by_age`, too old.
    pub(crate) async fn retire(&mut self, by_age: bool) -> Result<(), StoreError> {
        self.finished = false;
        let now = self.clock.now();
        let mut overdue = Vec::new();
        for info in KINDS.iter() {
            let names = self.memory.overdue(info, self.retention, now, by_age);
            overdue.extend(names.into_iter().map(|name| Key::new(info, name)));
        }
        for some in overdue.chunks(retention::AT_ONCE) {
            let mut batch = Batch::new(
                &self.memory,
                &self.files,
                &mut self.revisions,
                &self.disk.defaults,
                now,
            );
            for key in some {
                let moment = batch.moment();
                let current = batch.current(key);
                if let Some(Ok(outcome)) = current.map(|current| change::mark_deleted(&current, moment)) {
                    batch.record(&Actor::system("retention"), key, &outcome);
                    batch.stage(key, outcome);
                }
            }
            let sealed = batch.seal();
            self.carry_out(sealed).await?;
        }
        Ok(())
    }

    /// Writes the status files of these objects again: somebody has removed them.
    pub(crate) async fn rewrite(&mut self, keys: Vec<Key>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            self.clock.now(),
        );
        for key in &keys {
            batch.rewrite(key);
        }
        let sealed = batch.seal();
        self.carry_out(sealed).await.map(|_| ())
    }

    /// When the next recheck is due.
    pub(crate) fn next_recheck(&self) -> Option<Instant> {
        self.recheck.values().map(|recheck| recheck.due).min()
    }

    /// The files that are due for a recheck. If one of them is missing, every other missing file is rechecked with it.
    pub(crate) fn take_recheck(&mut self) -> Vec<Key> {
        let now = Instant::now();
        let (due, waiting): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.recheck)
            .into_iter()
            .partition(|(_, recheck)| recheck.due <= now);
        self.recheck = waiting;
        let any_gone = due.values().any(|recheck| recheck.gone.is_some());
        let others = self
            .recheck
            .iter()
            .filter(|(_, recheck)| any_gone && recheck.gone.is_some());
        let keys = due.keys().chain(others.map(|(key, _)| key)).cloned().collect();
        self.judging = due;
        keys
    }

    pub(crate) fn note(&self, note: Note) {
        self.events
            .record(&note.about, note.kind, note.reason, note.message);
    }
}

/// The object whose held deletion the request confirms.
fn confirmed_key(request: &Request) -> Option<Key> {
    match &request.change {
        Change::Confirm { name } => Some(Key::new(request.info, name)),
        _ => None,
    }
}

/// What fails only because the disk is full is done later.
fn put_off(error: StoreError) -> Result<(), StoreError> {
    if !error.is_full() {
        return Err(error);
    }
    tracing::warn!(%error, "the disk is full: what is stored is served, no change is taken until there is space");
    Ok(())
}
