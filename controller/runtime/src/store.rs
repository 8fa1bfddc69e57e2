//! The store: every resource, durable in a directory of YAML files, with one writer and many watchers.
//!
//! Owns the files under `<dir>/<plural>/` and what is in force because of them. Knows kinds as data, never what one
//! means. All writing goes through [`StoreDriver::run`]; reads are from memory. Why it is one of our own, and how it lies
//! on disk: docs/adr/0001-own-store.md and 0002-status-beside-spec.md.
#![expect(
    clippy::mutable_key_type,
    reason = "a key's hash and order are of two names; its kind's validator takes no part"
)]

mod batch;
pub(crate) mod bounds;
mod change;
mod driver;
mod error;
mod files;
mod index;
mod load;
mod memory;
pub(crate) mod object;
mod options;
mod pace;
mod request_queue;
mod retention;
mod sieve;
#[cfg(test)]
mod tests;
mod typed;
mod vanished;
mod weigh;
mod weight;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_api::KindInfo;
use aegis_api::audit::{Actor, Entry};
use aegis_api::defaults::Defaults;
use aegis_api::deletion::HeldDeletion;
use aegis_api::kinds::AnyKind;
use futures::stream::BoxStream;
use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub use driver::StoreDriver;
pub use error::{Expired, StoreError};
pub use object::Stored;
pub use options::{Retention, StoreOptions};

pub use crate::clock::Clock;

use crate::audit::AuditLog;
use crate::automation::Automation;
use crate::disk::faults::Faults;
use crate::disk::home::Record;
use crate::disk::layout::Key;
use crate::disk::revision::Revisions;
use crate::disk::{self, Disk, blocking};
use crate::events::{EventRecorder, EventType, ObjectRef};
use change::Moment;
use memory::Memory;
use request_queue::{RequestQueue, RequestSender};
use writer::Writer;

/// The store. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// On whose behalf; the audit log names them.
    actor: Arc<Actor>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    instance_id: String,
    audit: AuditLog,
    automation: Automation,
    memory: Arc<Memory>,
    requests: RequestSender,
    news: watch::Receiver<u64>,
    defaults: Arc<Defaults>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// It is new.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct StoreEvent {
    /// What happened.
    pub verb: Verb,
    /// The object after it; for a deletion as it last was, with the deletion's version.
    pub object: Arc<Stored>,
    /// The object before it.
    pub old: Option<Arc<Stored>>,
    /// The revision of the store that this change made.
    pub resource_version: u64,
}

/// Which part of an object an edit is about; changes to any other part are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Spec, labels, annotations and owner references: what people write. Rewrites the person's file.
    Spec,
    /// Status: what reconcilers write.
    Status,
    /// Finalizers. An object that is being deleted goes when the last one does, and takes no new ones.
    Finalizers,
}

/// A file of a person that cannot be in force as it is. The last good version stays in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenFile {
    /// The file.
    pub path: PathBuf,
    /// The kind its folder is for, or [`RULES_KIND`].
    pub kind: String,
    /// The object's name, as the file name has it; empty where the folder itself is meant.
    pub name: String,
    /// What is wrong, where, and what is allowed.
    pub message: String,
}

/// What a broken file of the analyst's rules is, in place of a kind.
pub const RULES_KIND: &str = "Rules";

pub(crate) type Edit = Box<dyn FnOnce(&Stored, Moment) -> Result<Edited, StoreError> + Send>;

/// What an edit answers.
pub(crate) enum Edited {
    /// The whole object, of which the part counts that the edit is about. It is validated.
    Whole(Value),
    /// The status that a reconciler wrote, without nulls, and the object with it as its Rust type, at the moment of the edit:
    /// what is written from a type needs no validation.
    Status(Value, AnyKind),
    /// Nothing differs.
    Same,
}

/// What a caller wants of the writer.
pub(crate) enum Change {
    Create {
        object: Value,
    },
    Edit {
        name: String,
        part: Part,
        edit: Edit,
    },
    Delete {
        name: String,
        uid: Option<String>,
        resource_version: Option<u64>,
    },
    /// A held deletion is to be carried out.
    Confirm {
        name: String,
    },
}

pub(crate) struct Request {
    info: &'static KindInfo,
    actor: Arc<Actor>,
    change: Change,
    dry_run: bool,
    answer: oneshot::Sender<Result<Arc<Stored>, StoreError>>,
}

impl Request {
    /// Whether it is what a reconciler notes down, which is no change of anybody's.
    fn is_status_write(&self) -> bool {
        let beside_the_spec = matches!(&self.change, Change::Edit { part, .. } if *part != Part::Spec);
        beside_the_spec && self.actor.role.is_none()
    }
}

impl Store {
    /// Opens a state directory: takes its lock, loads every object, takes over what people changed meanwhile, reports
    /// every file that is broken. Nothing more is written until the driver runs.
    pub async fn open(
        options: StoreOptions,
        events: EventRecorder,
    ) -> Result<(Store, StoreDriver), StoreError> {
        Self::open_with(options, events, Faults::default()).await
    }

    async fn open_with(
        options: StoreOptions,
        events: EventRecorder,
        faults: Faults,
    ) -> Result<(Store, StoreDriver), StoreError> {
        let (dir, clock) = (options.dir.clone(), options.clock.clone());
        let defaults = Arc::new(options.defaults.clone());
        let disk = Disk::open(dir.clone(), Arc::clone(&defaults), faults).await?;
        let instance_id = disk.instance_id().await?;
        let replay = {
            let disk = disk.clone();
            blocking(move || disk.replay()).await??
        };
        for note in &replay.notes {
            tracing::warn!("{note}");
        }
        let audit = AuditLog::open(&dir, clock.clone(), options.audit, replay.audit).await?;
        let automation = Automation::open(&dir, clock, audit.clone()).await?;
        let (requests, request_queue) = RequestQueue::new();
        let (rescan, watch_files) = (options.rescan, options.watch_files);
        let (writer, news) = Self::load(options, disk, audit.clone(), events).await?;
        let inner = Inner {
            dir,
            instance_id,
            audit,
            automation,
            memory: Arc::clone(&writer.memory),
            requests,
            news,
            defaults,
        };
        Ok((
            Store {
                inner: Arc::new(inner),
                actor: Arc::new(Actor::system("controller")),
            },
            StoreDriver {
                request_queue,
                writer,
                rescan,
                watch_files,
            },
        ))
    }

    /// Loads what lies in the directory, settles what does not fit together, and publishes each revision from then on.
    async fn load(
        options: StoreOptions,
        disk: Disk,
        audit: AuditLog,
        events: EventRecorder,
    ) -> Result<(Writer, watch::Receiver<u64>), StoreError> {
        let loaded = {
            let (disk, retention, now) = (disk.clone(), options.retention, options.clock.now());
            blocking(move || load::load(&disk, retention, now)).await??
        };
        let record = {
            let disk = disk.clone();
            blocking(move || Record::read(&disk.dir)).await?
        };
        note_retired(&audit, &loaded.retired).await;
        note_aside(&audit, &events, &loaded.aside).await;
        let revisions = Revisions::open(&disk, loaded.revision).await?;
        let (announce, news) = watch::channel(revisions.last());
        let mut writer = Writer {
            disk,
            audit,
            memory: Arc::new(Memory::loaded(revisions.last(), loaded.objects)),
            announce,
            events,
            clock: options.clock,
            retention: options.retention,
            revisions,
            files: loaded.facts.into_iter().collect(),
            dormant: loaded.dormant.into_iter().collect(),
            unverified: BTreeSet::new(),
            recheck: BTreeMap::new(),
            judging: BTreeMap::new(),
            hold: options.deletion_hold,
            deleted: Vec::new(),
            record,
            held_changed: false,
            retire_due: None,
            retire_from: None,
            squeeze_due: false,
            squeeze_from: None,
            settling: None,
            settle_due: None,
            catching_up: None,
            catch_up_due: None,
            caught_up: None,
        };
        writer.put_off_settling();
        writer.put_off_catching_up();
        writer
            .settle(loaded.judged, loaded.orphaned, &loaded.misnamed, loaded.notes)
            .await?;
        Ok((writer, news))
    }

    /// The same store on behalf of somebody: the audit log names them for every change they make.
    #[must_use]
    pub fn acting(&self, actor: Actor) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            actor: Arc::new(actor),
        }
    }

    /// What objects mean where they are silent.
    pub fn defaults(&self) -> &Defaults {
        &self.inner.defaults
    }

    /// The log of all changes.
    pub fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The brake: whether automation is paused on the whole host.
    pub fn automation(&self) -> &Automation {
        &self.inner.automation
    }

    /// On whose behalf changes are made.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The object of this name, as it is in force.
    pub fn get_stored(&self, info: &'static KindInfo, name: &str) -> Option<Arc<Stored>> {
        self.inner.memory.get(info, name)
    }

    /// Every object of the kind, sorted by name, and the store's revision at that moment: a watch from there misses
    /// nothing.
    pub fn list_stored(&self, info: &'static KindInfo) -> (u64, Vec<Arc<Stored>>) {
        self.inner.memory.list(info)
    }

    /// The same as it was at a revision, for as long as what has changed since is known.
    pub fn list_stored_at(
        &self,
        info: &'static KindInfo,
        revision: u64,
    ) -> Result<Vec<Arc<Stored>>, Expired> {
        self.inner.memory.list_at(info, revision)
    }

    /// Those of the kind that are found under this key, sorted by name; see [`aegis_api::facets`].
    pub fn find_stored(&self, info: &'static KindInfo, key: &str) -> Vec<Arc<Stored>> {
        self.inner.memory.under(info, key, key)
    }

    /// Those found under any key from the one to the other, each once.
    pub fn find_stored_between(&self, info: &'static KindInfo, from: &str, to: &str) -> Vec<Arc<Stored>> {
        self.inner.memory.under(info, from, to)
    }

    /// How many of the kind are found under this key.
    pub fn count(&self, info: &'static KindInfo, key: &str) -> usize {
        self.inner.memory.count(info, key)
    }

    /// The resource version of the newest change of any object.
    pub fn revision(&self) -> u64 {
        self.inner.memory.revision()
    }

    /// Bytes of changes that are kept for watchers, as near as that can be known.
    pub fn watch_bytes(&self) -> usize {
        self.inner.memory.ring_bytes()
    }

    /// Identifies the state directory, for ever.
    pub fn instance_id(&self) -> &str {
        &self.inner.instance_id
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Whether a change would still find space on the state directory's disk.
    pub async fn has_room(&self) -> Result<(), StoreError> {
        Ok(disk::has_room(self.inner.dir.clone()).await?)
    }

    /// Files of people that are not in force as they are.
    pub fn broken_files(&self) -> Vec<BrokenFile> {
        self.inner.memory.broken()
    }

    /// Deletions that files request and that wait for somebody to confirm them, by kind and name.
    pub fn held_deletions(&self) -> Vec<HeldDeletion> {
        self.inner
            .memory
            .held()
            .into_iter()
            .map(|(_, held)| held)
            .collect()
    }

    /// Whether this object's deletion is held.
    pub fn is_held(&self, info: &'static KindInfo, name: &str) -> bool {
        self.inner.memory.is_held(&Key::new(info, name))
    }

    /// Carries out a deletion that is held. A file that has come back meanwhile is left alone.
    pub async fn confirm_deletion(
        &self,
        info: &'static KindInfo,
        name: &str,
    ) -> Result<Arc<Stored>, StoreError> {
        let name = name.to_owned();
        self.ask(info, Change::Confirm { name }, false).await
    }

    /// Reports a file of the state directory that the store itself does not read; answers whether that is news.
    pub fn report_broken(&self, file: BrokenFile) -> bool {
        self.inner.memory.mark_broken(file)
    }

    /// Takes such a report back; answers whether there was one.
    pub fn forget_broken(&self, path: &Path) -> bool {
        self.inner.memory.mark_sound(path)
    }

    /// Makes an object. Status and system metadata in `object` are ignored.
    pub async fn create(
        &self,
        info: &'static KindInfo,
        object: Value,
        dry_run: bool,
    ) -> Result<Arc<Stored>, StoreError> {
        self.ask(info, Change::Create { object }, dry_run).await
    }

    /// Changes one part of an object. `edit` sees the current object and answers the whole new one; it runs inside the
    /// single writer, so it is a compare-and-set by construction. If nothing differs, nothing happens.
    pub async fn edit<F>(
        &self,
        info: &'static KindInfo,
        name: &str,
        part: Part,
        dry_run: bool,
        edit: F,
    ) -> Result<Arc<Stored>, StoreError>
    where
        F: FnOnce(&Stored) -> Result<Value, StoreError> + Send + 'static,
    {
        self.ask(
            info,
            Change::Edit {
                name: name.to_owned(),
                part,
                edit: Box::new(move |current, _| edit(current).map(Edited::Whole)),
            },
            dry_run,
        )
        .await
    }

    /// Writes a status that is typed; see [`Edited::Status`].
    async fn restate<F>(
        &self,
        info: &'static KindInfo,
        name: &str,
        edit: F,
    ) -> Result<Arc<Stored>, StoreError>
    where
        F: FnOnce(&Stored, Moment) -> Result<Edited, StoreError> + Send + 'static,
    {
        let change = Change::Edit {
            name: name.to_owned(),
            part: Part::Status,
            edit: Box::new(edit),
        };
        self.ask(info, change, false).await
    }

    /// Deletes an object, if uid and version are the given ones. With finalizers it is only marked, and goes with the
    /// last of them. Answers the object as it then is.
    pub async fn delete(
        &self,
        info: &'static KindInfo,
        name: &str,
        uid: Option<String>,
        resource_version: Option<u64>,
        dry_run: bool,
    ) -> Result<Arc<Stored>, StoreError> {
        self.ask(
            info,
            Change::Delete {
                name: name.to_owned(),
                uid,
                resource_version,
            },
            dry_run,
        )
        .await
    }

    /// Changes of all kinds in order: those after revision `since`, then new ones; without `since` only new ones. The
    /// stream ends when its reader falls too far behind (list again) or the store closes.
    pub fn watch(&self, since: Option<u64>) -> Result<BoxStream<'static, StoreEvent>, Expired> {
        self.inner.memory.watch(since, self.inner.news.clone())
    }

    async fn ask(
        &self,
        info: &'static KindInfo,
        change: Change,
        dry_run: bool,
    ) -> Result<Arc<Stored>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            info,
            actor: Arc::clone(&self.actor),
            change,
            dry_run,
            answer,
        };
        self.inner.requests.send(request).await?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Records what was put aside before the start, and says so to people.
async fn note_aside(audit: &AuditLog, events: &EventRecorder, aside: &BTreeMap<&'static str, usize>) {
    let mut entries = Vec::new();
    for (kind, count) in aside {
        let note = format!(
            "{count} open ones were more than are loaded, and put aside before the start, in .aside of the state directory: \
             move their files back to have them again"
        );
        tracing::warn!(kind, "{note}");
        let about = ObjectRef {
            kind: (*kind).to_owned(),
            name: String::new(),
            uid: String::new(),
        };
        events.record(&about, EventType::Warning, "TooManyOpen", note.clone());
        let mut entry = Entry::about(Actor::system("retention"), "aside", kind, "");
        entry.note = Some(note);
        entries.push(entry);
    }
    if let Err(error) = audit.append(entries).await {
        tracing::warn!(%error, "the audit log does not say what was put aside before the start");
    }
}

/// Records what was removed before the start: one record a kind, as it may be very many. They are gone already, and a
/// full disk is what their removal is to mend, so a record that cannot be written is only reported.
async fn note_retired(audit: &AuditLog, retired: &BTreeMap<&'static str, usize>) {
    let entries = retired.iter().map(|(kind, count)| {
        let mut entry = Entry::about(Actor::system("retention"), "delete", kind, "");
        entry.note = Some(format!(
            "{count} finished ones were more than are kept, and removed before the start"
        ));
        entry
    });
    let entries: Vec<Entry> = entries.collect();
    for entry in &entries {
        tracing::info!(kind = entry.kind, note = entry.note, "retention before the start");
    }
    if let Err(error) = audit.append(entries).await {
        tracing::warn!(%error, "the audit log does not say what was removed before the start");
    }
}
