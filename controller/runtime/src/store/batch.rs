//! One batch of the writer: changes upon changes in memory order, first staged, then durable, then published. No I/O
//! of its own; what the files become is data for [`crate::disk::commit`].

mod sealed;

use std::collections::HashMap;
use std::sync::Arc;

use aegis_api::audit::{Actor, Entry, picture};
use aegis_api::defaults::Defaults;
use aegis_api::{KindInfo, Time};
use tokio::sync::oneshot;

use super::bounds;
use super::change::{self, Moment, Outcome};
use super::memory::Memory;
use super::{Change, Request, StoreError, StoreEvent, Stored, Verb};
use crate::disk::digest::Digest;
use crate::disk::file::Signature;
use crate::disk::folder::{Judged, Known};
use crate::disk::layout::Key;
use crate::disk::revision::Revisions;

pub(crate) use sealed::{Aftermath, Sealed};

/// What the writer knows about an object's spec file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// The file as it was last judged; `None`: there is none.
    pub(crate) spec_file: Option<SpecFile>,
    /// The version of the file that the object in force was read from; `None` once it was deleted by hand.
    pub(crate) accepted: Option<Digest>,
}

/// A spec file as it was last judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpecFile {
    pub(crate) digest: Digest,
    /// Absent where it is not known: the next rescan reads the contents.
    pub(crate) signature: Option<Signature>,
    pub(crate) sound: bool,
}

impl SpecFile {
    pub(crate) fn known(self) -> Known {
        Known {
            digest: self.digest,
            signature: self.signature,
        }
    }
}

impl Judged {
    /// The file as it is known from now on.
    pub(crate) fn spec_file(&self) -> Option<SpecFile> {
        match self {
            Judged::Missing | Judged::Same(_) => None,
            Judged::Good {
                digest, signature, ..
            } => Some(SpecFile {
                digest: *digest,
                signature: Some(*signature),
                sound: true,
            }),
            Judged::Bad {
                digest, signature, ..
            } => Some(SpecFile {
                digest: *digest,
                signature: *signature,
                sound: false,
            }),
        }
    }
}

pub(crate) type Files = HashMap<Key, Facts>;

type Answer = oneshot::Sender<Result<Arc<Stored>, StoreError>>;

/// What became of an object in this batch.
struct Staged {
    /// `None`: gone.
    object: Option<Arc<Stored>>,
    spec: SpecPlan,
}

/// What becomes of a spec file.
#[derive(Debug, Clone, Copy)]
enum SpecPlan {
    /// It stays as it is.
    Keep,
    /// It is written.
    Put,
    /// It stays as it is, and this version of it is the accepted one.
    Accept(Option<Digest>),
}

/// A batch while it grows.
pub(crate) struct Batch<'a> {
    memory: &'a Memory,
    files: &'a Files,
    revisions: &'a mut Revisions,
    defaults: &'a Arc<Defaults>,
    now: Time,
    staged: HashMap<Key, Staged>,
    events: Vec<(Key, StoreEvent)>,
    answers: Vec<(Key, Answer, Result<Arc<Stored>, StoreError>)>,
    audit: Vec<(Key, Entry)>,
    /// Bytes of the versions that it makes.
    weight: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        memory: &'a Memory,
        files: &'a Files,
        revisions: &'a mut Revisions,
        defaults: &'a Arc<Defaults>,
        now: Time,
    ) -> Self {
        Self {
            memory,
            files,
            revisions,
            defaults,
            now,
            staged: HashMap::new(),
            events: Vec::new(),
            answers: Vec::new(),
            audit: Vec::new(),
            weight: 0,
        }
    }

    /// About how many bytes the versions take that it makes.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// What a new object means where it is silent.
    pub(crate) fn defaults(&self) -> &'a Arc<Defaults> {
        self.defaults
    }

    /// The object as this batch has it so far.
    pub(crate) fn current(&self, key: &Key) -> Option<Arc<Stored>> {
        match self.staged.get(key) {
            Some(staged) => staged.object.clone(),
            None => self.memory.get(key.info, &key.name),
        }
    }

    /// How many objects of the kind there are with what this batch makes of it so far.
    fn count(&self, info: &KindInfo) -> usize {
        let made = self.staged.iter().filter(|(key, staged)| {
            std::ptr::eq(key.info, info)
                && staged.object.is_some()
                && self.memory.get(info, &key.name).is_none()
        });
        let gone = self.staged.iter().filter(|(key, staged)| {
            std::ptr::eq(key.info, info)
                && staged.object.is_none()
                && self.memory.get(info, &key.name).is_some()
        });
        let count = self.memory.objects_of(info).saturating_add(made.count());
        count.saturating_sub(gone.count())
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            revision: self.revisions.next(),
            now: self.now,
        }
    }

    /// Whether the object's file was deleted by hand, or never was.
    pub(crate) fn is_orphan(&self, key: &Key) -> bool {
        self.files.get(key).is_none_or(|facts| facts.accepted.is_none())
    }

    /// Takes one caller's request in; the answer waits until all is durable.
    pub(crate) fn request(&mut self, request: Request) {
        let own = request.is_status_write();
        let confirmed = matches!(request.change, Change::Confirm { .. });
        let Request {
            info,
            actor,
            change,
            dry_run,
            answer,
        } = request;
        let name = match &change {
            Change::Create { object } => change::name_of(info, object),
            Change::Edit { name, .. } | Change::Delete { name, .. } | Change::Confirm { name } => {
                Ok(name.clone())
            }
        };
        let key = match name {
            Ok(name) => Key::new(info, name),
            Err(error) => {
                answered(answer, Err(error));
                return;
            }
        };
        let outcome = self.judge(&key, change, dry_run);
        if let Ok(outcome) = &outcome
            && !dry_run
            && !own
        {
            self.record(&actor, &key, outcome);
        }
        let result = match outcome {
            Ok(Outcome::Put { object, .. } | Outcome::Gone(object)) if dry_run => Ok(Arc::new(object)),
            Ok(outcome) if confirmed => Ok(self.accept(&key, outcome, None)),
            Ok(outcome) => Ok(self.stage(&key, outcome)),
            Err(error) => Err(error),
        };
        self.answers.push((key, answer, result));
    }

    /// Notes for the audit log what is about to become of an object.
    pub(crate) fn record(&mut self, actor: &Actor, key: &Key, outcome: &Outcome) {
        let before = self.current(key);
        let (after, gone) = match outcome {
            Outcome::Same(_) => return,
            Outcome::Put { object, .. } => {
                let marked =
                    object.is_deleting() && before.as_ref().is_some_and(|before| !before.is_deleting());
                (object, marked)
            }
            Outcome::Gone(object) => (object, true),
        };
        let verb = match (&before, gone) {
            (_, true) => "delete",
            (None, false) => "create",
            (Some(_), false) => "update",
        };
        let mut entry = Entry::about(actor.clone(), verb, key.info.kind, &key.name);
        entry.resource_version = Some(after.resource_version);
        let counted = before.as_ref().filter(|_| !gone);
        match counted.and_then(|before| before.counted(after)) {
            Some(note) => entry.note = Some(note),
            None => {
                entry.before = before.map(|before| picture(&before.without_status()));
                entry.after = (!gone).then(|| picture(&after.without_status()));
            }
        }
        self.audit.push((key.clone(), entry));
    }

    fn judge(&self, key: &Key, change: Change, dry_run: bool) -> Result<Outcome, StoreError> {
        let current = self.current(key);
        let mut moment = self.moment();
        if dry_run {
            // A version that never comes to be has no number of its own.
            moment.revision = current
                .as_ref()
                .map_or(self.revisions.last(), |current| current.resource_version);
        }
        let found = || {
            let missing = || StoreError::NotFound {
                kind: key.info.kind.to_owned(),
                name: key.name.clone(),
            };
            current.as_ref().ok_or_else(missing)
        };
        match change {
            Change::Create { object } => {
                if current.is_none() {
                    bounds::room(key.info, &key.name, self.count(key.info))?;
                }
                let (info, name) = (key.info, key.name.as_str());
                change::create(info, name, object, current.as_ref(), moment, self.defaults)
            }
            Change::Edit { part, edit, .. } => change::edit(found()?, part, edit, moment),
            Change::Delete {
                uid,
                resource_version,
                ..
            } => change::delete(found()?, uid.as_deref(), resource_version, moment),
            Change::Confirm { .. } if self.memory.is_held(key) => {
                change::delete(found()?, None, None, moment)
            }
            Change::Confirm { .. } => Err(StoreError::Conflict {
                kind: key.info.kind.to_owned(),
                name: key.name.clone(),
                message: "its deletion is not held any more".to_owned(),
            }),
        }
    }

    /// Takes an outcome in whose spec, if it changed, must be written.
    pub(crate) fn stage(&mut self, key: &Key, outcome: Outcome) -> Arc<Stored> {
        match outcome {
            Outcome::Same(object) => object,
            Outcome::Put { object, verb, spec } => {
                // A file that was deleted by hand is not brought back by an edit of the object that goes.
                let orphan = object.is_deleting() && self.is_orphan(key);
                let plan = if spec && !orphan {
                    SpecPlan::Put
                } else {
                    SpecPlan::Keep
                };
                self.put(key, object, verb, plan)
            }
            Outcome::Gone(object) => self.gone(key, object, SpecPlan::Keep),
        }
    }

    /// Takes an outcome in that a person's file of this version made; `None`: that its absence made.
    pub(crate) fn stage_from_file(&mut self, key: &Key, outcome: Outcome, accepted: Option<Digest>) {
        self.record(&Actor::system("file"), key, &outcome);
        self.accept(key, outcome, accepted);
    }

    fn accept(&mut self, key: &Key, outcome: Outcome, accepted: Option<Digest>) -> Arc<Stored> {
        let plan = SpecPlan::Accept(accepted);
        match outcome {
            // Only comments have changed. The status file may go on naming the earlier version: it is read as the same.
            Outcome::Same(object) if accepted.is_some() => object,
            Outcome::Same(object) => {
                self.staged.insert(
                    key.clone(),
                    Staged {
                        object: Some(Arc::clone(&object)),
                        spec: plan,
                    },
                );
                object
            }
            Outcome::Put { object, verb, .. } => self.put(key, object, verb, plan),
            Outcome::Gone(object) => self.gone(key, object, plan),
        }
    }

    /// Writes an object's status file again though nothing has changed.
    pub(crate) fn rewrite(&mut self, key: &Key) {
        if let Some(object) = self.current(key) {
            self.staged.insert(
                key.clone(),
                Staged {
                    object: Some(object),
                    spec: SpecPlan::Keep,
                },
            );
        }
    }

    /// Removes the status file of an object that is not there.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.staged.insert(
            key.clone(),
            Staged {
                object: None,
                spec: SpecPlan::Accept(None),
            },
        );
    }

    fn put(&mut self, key: &Key, object: Stored, verb: Verb, plan: SpecPlan) -> Arc<Stored> {
        let object = Arc::new(object);
        let old = self.current(key);
        let earlier = self.staged.get(key).map_or(SpecPlan::Keep, |staged| staged.spec);
        let spec = match plan {
            SpecPlan::Keep => earlier,
            plan => plan,
        };
        self.staged.insert(
            key.clone(),
            Staged {
                object: Some(Arc::clone(&object)),
                spec,
            },
        );
        self.event(key, verb, Arc::clone(&object), old);
        object
    }

    fn gone(&mut self, key: &Key, object: Stored, spec: SpecPlan) -> Arc<Stored> {
        let object = Arc::new(object);
        let old = self.current(key);
        self.staged.insert(key.clone(), Staged { object: None, spec });
        self.event(key, Verb::Deleted, Arc::clone(&object), old);
        object
    }

    fn event(&mut self, key: &Key, verb: Verb, object: Arc<Stored>, old: Option<Arc<Stored>>) {
        let resource_version = object.resource_version;
        self.weight = self.weight.saturating_add(object.weight());
        self.revisions.take();
        self.events.push((
            key.clone(),
            StoreEvent {
                verb,
                object,
                old,
                resource_version,
            },
        ));
    }

    pub(crate) fn seal(self) -> Sealed {
        Sealed {
            staged: self.staged.into_iter().collect(),
            events: self.events,
            answers: self.answers,
            audit: self.audit,
        }
    }
}

/// Whether the caller still waits is the caller's affair: what is done is done.
fn answered(answer: Answer, result: Result<Arc<Stored>, StoreError>) {
    drop(answer.send(result));
}
