//! The single writer: everything that changes an object passes through here, one batch after another. Durable first,
//! then published, then answered. Does I/O through [`Disk`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aegis_api::audit::{Actor, Entry};
use aegis_api::{KINDS, Time};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::batch::{Aftermath, Batch, Files, Sealed};
use super::change;
use super::files::Note;
use super::memory::Memory;
use super::vanished::Recheck;
use super::{Change, Clock, Request, Retention, StoreError, retention};
use crate::audit::AuditLog;
use crate::disk::commit::{Placed, Ready};
use crate::disk::folder::{Judged, Misnamed};
use crate::disk::home::Record;
use crate::disk::journal::Segment;
use crate::disk::layout::Key;
use crate::disk::revision::Revisions;
use crate::disk::status_file::StatusFile;
use crate::disk::{Disk, DiskError, blocking};
use crate::events::EventRecorder;
use crate::offload::offload;

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
    /// When retention is seen to next; never while no object has come to its end since it was.
    pub(crate) retire_due: Option<Instant>,
    /// From when on that is tried again where nothing could be removed.
    pub(crate) retire_from: Option<Instant>,
    /// The disk is full: finished objects are to make room.
    pub(crate) squeeze_due: bool,
    /// From when on they may do so again.
    pub(crate) squeeze_from: Option<Instant>,
    /// A file of the journal that is on its way: what it has is made durable.
    pub(crate) settling: Option<Settling>,
    /// When that is next due; never while nothing was written.
    pub(crate) settle_due: Option<(Instant, Instant)>,
    /// Status files that are put in place.
    pub(crate) catching_up: Option<CatchingUp>,
    /// When that is next due; never while none waits.
    pub(crate) catch_up_due: Option<Instant>,
    /// When it was last begun.
    pub(crate) caught_up: Option<Instant>,
}

/// Answers the file, and whether it could be emptied.
pub(crate) type Settling = JoinHandle<(Segment, std::io::Result<()>)>;

/// Answers whether all could be.
pub(crate) type CatchingUp = JoinHandle<Result<(), DiskError>>;

/// How often status files are put in place: the versions between are in the journal alone.
const CATCH_UP_EVERY: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });

/// The same after not all could be.
const CATCH_UP_AGAIN: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5000 });

/// How long nothing must have been written before the journal is emptied …
const QUIET: Duration = Duration::from_secs(2);
/// … or how long it may go on.
const LATEST: Duration = Duration::from_secs(30);

/// A batch that has come to this size takes no further request: what it makes is held in memory until it is durable.
pub(crate) const BATCH_BYTES: usize = 8 << 20;

/// How long what has come to its end waits for others, to be removed with them where it is too many …
const RETIRE_AFTER: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 250 });
/// … and how long after nothing could be removed: each try is a record of the audit log.
const RETIRE_AGAIN: Duration = Duration::from_secs(60);

/// How often a full disk takes finished objects, and which part of them each time.
const SQUEEZE_EVERY: Duration = Duration::from_secs(10);
const SQUEEZED: usize = 8;

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
        let mut batch = self.new_batch();
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

    /// A batch of what is in force now.
    fn new_batch(&mut self) -> Batch<'_> {
        Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            self.clock.now(),
        )
    }

    /// Carries out what callers request, in as few batches as their size allows.
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
        let mut waiting = requests.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut batch = self.new_batch();
            for request in waiting.by_ref() {
                batch.request(request);
                if batch.weight() >= BATCH_BYTES {
                    break;
                }
            }
            let sealed = batch.seal();
            let aftermath = self.carry_out(sealed).await?;
            self.unverified.extend(aftermath.failures.into_keys());
        }
        Ok(())
    }

    /// Makes a batch durable, publishes and answers it. What the audit log cannot hold is refused.
    pub(crate) async fn carry_out(&mut self, mut sealed: Sealed) -> Result<Aftermath, StoreError> {
        let mut audited = sealed.take_audit();
        if let Err(error) = self.revisions.reserve(&self.disk).await {
            return Ok(self.refuse(sealed, &error.into()));
        }
        let (ready, mut results) = self.prepare(&sealed).await?;
        let failed: HashSet<&Key> = sealed
            .keys()
            .zip(&results)
            .filter(|(_, result)| result.is_err())
            .map(|(key, _)| key)
            .collect();
        audited.retain(|(key, _)| !failed.contains(key));
        let entries: Vec<Entry> = audited.iter().map(|(_, entry)| entry.clone()).collect();
        if let Err(error) = self.make_room(Disk::weight(&ready, entries.len())).await {
            self.disk.discard_all(ready).await?;
            return Ok(self.refuse(sealed, &error));
        }
        match self.disk.commit(ready, entries, &self.audit).await {
            Ok(written) => {
                let mut written = written.into_iter();
                for result in results.iter_mut().filter(|result| result.is_ok()) {
                    *result = written
                        .next()
                        .unwrap_or(Err(DiskError::Closed))
                        .map_err(StoreError::from);
                }
            }
            Err(error) => return Ok(self.refuse(sealed, &error.into())),
        }
        self.put_off_settling();
        self.put_off_catching_up();
        let aftermath = sealed.finish(results, &self.memory, &mut self.files, |revision| {
            self.announce.send_replace(revision);
        });
        self.audit_undone(audited, &aftermath).await;
        for key in &aftermath.placed {
            self.mark_sound(key, "");
            self.dormant.remove(key);
        }
        self.unverified.extend(aftermath.gone.iter().cloned());
        if aftermath.finished && self.retire_due.is_none() {
            let due = Instant::now() + RETIRE_AFTER;
            self.retire_due = Some(self.retire_from.map_or(due, |from| from.max(due)));
        }
        self.squeeze_due |= aftermath.failures.values().any(StoreError::is_full);
        Ok(aftermath)
    }

    fn refuse(&mut self, sealed: Sealed, error: &StoreError) -> Aftermath {
        self.squeeze_due |= error.is_full();
        sealed.fail(error)
    }

    /// Writes a batch's files under temporary names, but none into a folder that is not the one that was loaded. Answers
    /// those that are ready, and for each write why it is not.
    async fn prepare(&mut self, sealed: &Sealed) -> Result<(Vec<Ready>, Vec<Written>), StoreError> {
        let kinds = sealed.kinds();
        let faults = match kinds.is_empty() {
            true => BTreeMap::new(),
            false => self.folders_in_order(kinds).await?,
        };
        let writes = sealed.writes(&self.files);
        let mut results: Vec<Written> = writes
            .iter()
            .map(|write| faults.get(write.key.info.plural).cloned().map_or(Ok(None), Err))
            .collect();
        let sound = writes
            .into_iter()
            .filter(|write| !faults.contains_key(write.key.info.plural));
        let mut prepared = self.disk.prepare(sound.collect()).await?.into_iter();
        let mut ready = Vec::new();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            match prepared.next().unwrap_or(Err(DiskError::Closed)) {
                Ok(one) => ready.push(one),
                Err(error) => *result = Err(error.into()),
            }
        }
        Ok((ready, results))
    }

    /// Makes sure that a record of so many bytes finds room in the journal.
    async fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        if !self.disk.journal().is_full(bytes) {
            return Ok(());
        }
        self.journal_settled().await;
        let unsettled = self.disk.journal().unsettled();
        if let Some(segment) = unsettled {
            // It has failed before: now something waits for it.
            self.settling = Some(self.settle_journal(segment));
            self.journal_settled().await;
        }
        if self.turn_journal() || !self.disk.journal().is_full(bytes) {
            return Ok(());
        }
        let journal = self.disk.dir.join(".journal");
        let why = std::io::Error::other("the journal is full, and what it has cannot be made durable");
        Err(DiskError::io(journal, why).into())
    }

    /// Begins to make durable what the journal has: first what could not be so before.
    pub(crate) fn settle_soon(&mut self) {
        self.settle_due = None;
        if self.settling.is_some() {
            return;
        }
        let unsettled = self.disk.journal().unsettled();
        match unsettled {
            Some(segment) => {
                self.settling = Some(self.settle_journal(segment));
                self.put_off_settling();
            }
            None => {
                self.turn_journal();
            }
        }
    }

    /// Goes on in the other file of the journal, and makes durable what the one has. Whether that was possible.
    pub(crate) fn turn_journal(&mut self) -> bool {
        let Some(segment) = self.disk.journal().turn() else {
            return false;
        };
        self.settle_due = None;
        self.settling = Some(self.settle_journal(segment));
        true
    }

    fn settle_journal(&self, mut segment: Segment) -> Settling {
        let (disk, audit) = (self.disk.clone(), self.audit.clone());
        offload(move || {
            let settled = audit.sync().and_then(|()| disk.settle(&mut segment));
            (segment, settled)
        })
    }

    /// Waits until what is on its way has ended.
    pub(crate) async fn journal_settled(&mut self) {
        if let Some(settling) = self.settling.as_mut() {
            let settled = settling.await;
            self.settling = None;
            self.give_back(settled);
        }
    }

    pub(crate) fn give_back(&self, settled: Result<(Segment, std::io::Result<()>), JoinError>) {
        // A task fails only by a panic (there is none) or because the runtime shuts down.
        let Ok((segment, result)) = settled else { return };
        if let Err(error) = result {
            tracing::warn!(%error, "what the journal has is not durable in its place yet: it is tried again");
        }
        self.disk.journal().give_back(segment);
    }

    pub(crate) fn put_off_settling(&mut self) {
        if self.disk.journal().is_behind() {
            let now = Instant::now();
            let (latest, _) = self.settle_due.unwrap_or((now + LATEST, now));
            self.settle_due = Some((latest, latest.min(now + QUIET)));
        }
    }

    /// Puts status files in place that wait for it.
    pub(crate) fn catch_up_soon(&mut self) {
        let disk = self.disk.clone();
        self.catch_up_due = None;
        self.caught_up = Some(Instant::now());
        self.catching_up = Some(offload(move || disk.catch_up()));
    }

    pub(crate) fn caught_up(&mut self, result: Result<Result<(), DiskError>, JoinError>) {
        self.catching_up = None;
        if let Ok(Err(error)) = result {
            tracing::warn!(%error, "status files are in the journal alone: they are tried again");
            self.squeeze_due |= error.is_full();
            self.catch_up_due = Some(Instant::now() + CATCH_UP_AGAIN);
        }
        self.put_off_catching_up();
    }

    pub(crate) fn put_off_catching_up(&mut self) {
        if self.catching_up.is_none() && self.catch_up_due.is_none() && !self.disk.behind.is_empty() {
            let now = Instant::now();
            let next = self.caught_up.map_or(now, |last| last + CATCH_UP_EVERY);
            self.catch_up_due = Some(next.max(now));
        }
    }

    /// Empties the journal: the files are all there is, and durable.
    pub(crate) async fn close_journal(&mut self) {
        if let Some(catching_up) = self.catching_up.take() {
            // What it could not place is tried once more below.
            drop(catching_up.await);
        }
        self.journal_settled().await;
        let unsettled = self.disk.journal().unsettled();
        if let Some(segment) = unsettled {
            self.settling = Some(self.settle_journal(segment));
            self.journal_settled().await;
        }
        if self.disk.journal().is_behind() && self.turn_journal() {
            self.journal_settled().await;
        }
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
        self.retire_due = None;
        let retention = self.retention;
        self.retire_to(|_| retention, by_age).await
    }

    /// Removes some of what is too many, and comes back for the rest: requests go on between, of which there were so many the
    /// last time.
    pub(crate) async fn retire_some_now(&mut self, requests: usize) -> Result<(), StoreError> {
        (self.retire_due, self.retire_from) = (None, None);
        let now = self.clock.now();
        for info in KINDS.iter() {
            let wanted = |all| retention::at_once(all, requests);
            let (all, names) = self.memory.overdue(info, self.retention, now, false, wanted);
            let keys: Vec<Key> = names.into_iter().map(|name| Key::new(info, name)).collect();
            if keys.is_empty() {
                continue;
            }
            let is_some_gone = self.retire_or_squeeze(&keys, now).await?;
            let at = Instant::now();
            if !is_some_gone {
                self.retire_from = Some(at + RETIRE_AGAIN);
            }
            if all > keys.len() || !is_some_gone {
                self.retire_due = Some(self.retire_from.unwrap_or(at));
            }
        }
        Ok(())
    }

    /// The disk is full: a part of what is finished goes before its time, what did nothing first. Nothing that something
    /// decides by, and not again at once.
    pub(crate) async fn squeeze(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if !std::mem::take(&mut self.squeeze_due) || self.squeeze_from.is_some_and(|from| now < from) {
            return Ok(());
        }
        self.squeeze_from = Some(now + SQUEEZE_EVERY);
        let spares = self.disk.spares.clone();
        blocking(move || spares.clear(true)).await?;
        let retention = self.retention;
        let lesser = |finished: usize| Retention {
            max_finished: finished.saturating_sub(finished.div_ceil(SQUEEZED)),
            ..retention
        };
        self.retire_to(lesser, false).await
    }

    /// `retention` answers how much of a kind is kept of so many that are finished.
    async fn retire_to(
        &mut self,
        retention: impl Fn(usize) -> Retention,
        by_age: bool,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut overdue = Vec::new();
        for info in KINDS.iter() {
            let retention = retention(self.memory.finished(info));
            let (_, names) = self.memory.overdue(info, retention, now, by_age, |all| all);
            overdue.extend(names.into_iter().map(|name| Key::new(info, name)));
        }
        for some in overdue.chunks(retention::AT_ONCE) {
            self.retire_or_squeeze(some, now).await?;
        }
        Ok(())
    }

    /// Whether any of them is gone.
    async fn retire_or_squeeze(&mut self, some: &[Key], now: Time) -> Result<bool, StoreError> {
        let mut aftermath = self.retire_some(some, now, true).await?;
        if aftermath.failures.values().any(StoreError::is_full) {
            // Their removal is what mends that; it goes without a record, which is said.
            tracing::warn!(
                count = some.len(),
                "finished objects are removed from a full disk without a record of each"
            );
            aftermath = self.retire_some(some, now, false).await?;
        }
        Ok(aftermath.failures.len() < some.len())
    }

    async fn retire_some(
        &mut self,
        keys: &[Key],
        now: Time,
        recorded: bool,
    ) -> Result<Aftermath, StoreError> {
        let mut batch = Batch::new(
            &self.memory,
            &self.files,
            &mut self.revisions,
            &self.disk.defaults,
            now,
        );
        for key in keys {
            let moment = batch.moment();
            let current = batch.current(key);
            if let Some(Ok(outcome)) = current.map(|current| change::mark_deleted(&current, moment)) {
                if recorded {
                    batch.record(&Actor::system("retention"), key, &outcome);
                }
                batch.stage(key, outcome);
            }
        }
        let sealed = batch.seal();
        self.carry_out(sealed).await
    }

    /// Writes the status files of these objects again: somebody has removed them.
    pub(crate) async fn rewrite(&mut self, keys: Vec<Key>) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut batch = self.new_batch();
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

/// What became of one write of a batch.
type Written = Result<Option<Placed>, StoreError>;

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
