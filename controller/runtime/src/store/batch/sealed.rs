//! A batch that is complete: what its files become, and what follows once they are durable. No I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aegis_api::audit::Entry;

use super::{Answer, Facts, Files, SpecFile, SpecPlan, Staged, answered};
use crate::disk::commit::{Contents, Placed, Replaces, Write};
use crate::disk::layout::Key;
use crate::store::memory::Memory;
use crate::store::{StoreError, StoreEvent, Stored, Verb};

/// A batch that is complete.
pub(crate) struct Sealed {
    pub(super) staged: Vec<(Key, Staged)>,
    pub(super) events: Vec<(Key, StoreEvent)>,
    pub(super) answers: Vec<(Key, Answer, Result<Arc<Stored>, StoreError>)>,
    pub(super) audit: Vec<(Key, Entry)>,
}

/// What a batch leaves to do.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// Objects that are gone. A file of theirs that is still there is the next object.
    pub(crate) gone: Vec<Key>,
    /// Spec files that were written.
    pub(crate) placed: Vec<Key>,
    /// What could not be written.
    pub(crate) failures: HashMap<Key, StoreError>,
    /// Whether an object came to its end.
    pub(crate) finished: bool,
}

impl Sealed {
    /// Plurals of the kinds whose files it writes.
    pub(crate) fn kinds(&self) -> BTreeSet<&'static str> {
        self.staged.iter().map(|(key, _)| key.info.plural).collect()
    }

    /// The objects whose files it writes, in the order of [`Self::writes`].
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.staged.iter().map(|(key, _)| key)
    }

    /// What the audit log is to hold of it, once.
    pub(crate) fn take_audit(&mut self) -> Vec<(Key, Entry)> {
        std::mem::take(&mut self.audit)
    }

    /// What the files become.
    pub(crate) fn writes(&self, files: &Files) -> Vec<Write> {
        self.staged
            .iter()
            .map(|(key, staged)| planned_write(key, staged, files))
            .collect()
    }

    /// Publishes what is durable and answers every caller. `results` are those of [`Self::writes`], in that order.
    pub(crate) fn finish(
        self,
        results: Vec<Result<Option<Placed>, StoreError>>,
        memory: &Memory,
        files: &mut Files,
        announce: impl FnOnce(u64),
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        for ((key, staged), result) in self.staged.iter().zip(results) {
            match result {
                Ok(placed) => learn(files, key, staged, placed, &mut aftermath),
                Err(error) => {
                    aftermath.failures.insert(key.clone(), error);
                }
            }
        }
        let failures = &aftermath.failures;
        let events: Vec<StoreEvent> = self
            .events
            .into_iter()
            .filter(|(key, _)| !failures.contains_key(key))
            .map(|(_, event)| event)
            .collect();
        aftermath.finished = events
            .iter()
            .any(|event| event.verb != Verb::Deleted && is_finished(&event.object));
        if let Some(revision) = events.last().map(|event| event.resource_version) {
            memory.publish(events);
            announce(revision);
        }
        for (key, answer, result) in self.answers {
            // Also refusals that rest on a change which did not come to be are answered with why it did not.
            let failure = failures.get(&key);
            answered(answer, failure.map_or(result, |error| Err(error.clone())));
        }
        aftermath
    }

    /// Answers every caller with one error; nothing has happened.
    pub(crate) fn fail(self, error: &StoreError) -> Aftermath {
        for (_, answer, _) in self.answers {
            answered(answer, Err(error.clone()));
        }
        let failures = self
            .staged
            .into_iter()
            .map(|(key, _)| (key, error.clone()))
            .collect();
        Aftermath {
            failures,
            ..Aftermath::default()
        }
    }
}

/// What the files of one object become.
fn planned_write(key: &Key, staged: &Staged, files: &Files) -> Write {
    let facts = files.get(key).copied().unwrap_or_default();
    let contents = match (&staged.object, staged.spec) {
        (None, SpecPlan::Accept(_)) => Contents::Gone { spec: None },
        // The file of an object that was deleted by hand is the next object's.
        (None, SpecPlan::Keep | SpecPlan::Put) => Contents::Gone {
            spec: facts.accepted.and(facts.spec_file).map(|file| file.digest),
        },
        (Some(object), SpecPlan::Put) => {
            let replaces = match facts.spec_file {
                // A file of which nothing is in force is not there to be replaced.
                _ if facts.accepted.is_none() => Replaces::Nothing,
                None => Replaces::Nothing,
                Some(SpecFile {
                    digest, sound: true, ..
                }) => Replaces::Sound(digest),
                Some(SpecFile {
                    digest, sound: false, ..
                }) => Replaces::Broken(digest),
            };
            Contents::Both {
                object: Arc::clone(object),
                replaces,
            }
        }
        (Some(object), SpecPlan::Keep) => Contents::Status {
            object: Arc::clone(object),
            accepted: facts.accepted,
        },
        (Some(object), SpecPlan::Accept(accepted)) => Contents::Status {
            object: Arc::clone(object),
            accepted,
        },
    };
    Write {
        key: key.clone(),
        contents,
    }
}

/// What a durable write says about the files.
fn learn(files: &mut Files, key: &Key, staged: &Staged, placed: Option<Placed>, aftermath: &mut Aftermath) {
    let facts = files.entry(key.clone()).or_default();
    if let Some(Placed { digest, signature }) = placed {
        aftermath.placed.push(key.clone());
        *facts = Facts {
            spec_file: Some(SpecFile {
                digest,
                signature: Some(signature),
                sound: true,
            }),
            accepted: Some(digest),
        };
    } else if let SpecPlan::Accept(accepted) = staged.spec {
        facts.accepted = accepted;
    }
    if staged.object.is_none() {
        files.remove(key);
        aftermath.gone.push(key.clone());
    }
}

fn is_finished(object: &Stored) -> bool {
    object.facets().ended.is_some()
}
