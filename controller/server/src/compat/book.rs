//! Which incidents have an id or a fingerprint: an index over the store that catches up with its changes whenever it is
//! asked, so that an alert costs the same with ten incidents stored as with ten thousand. No I/O.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::incident::Aliases;
use aegis_api::wire::incident_id;
use aegis_api::{Incident, Kind};
use aegis_runtime::{Store, StoreEvent, Verb};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

/// The index. It holds names by hashes: what it answers is looked up in the store, and checked there.
#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<Option<Pages>>,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

struct Pages {
    names: HashMap<u64, Vec<Box<str>>>,
    hasher: RandomState,
    changes: Option<BoxStream<'static, StoreEvent>>,
}

impl Book {
    /// Every incident that has this id or this fingerprint, the newest first.
    pub(crate) fn find(&self, store: &Store, id: &str) -> Vec<Arc<Incident>> {
        let names = self.names(store, id);
        let incidents = names.iter().filter_map(|name| store.get::<Incident>(name));
        let mut found: Vec<Arc<Incident>> = incidents.filter(|incident| has(incident, id)).collect();
        found.sort_by(|one, other| age(other).cmp(&age(one)));
        found
    }

    /// Notes an incident that was just made, whatever the store has published of it so far.
    pub(crate) fn note(&self, incident: &Incident) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pages) = pages.as_mut() {
            pages.add(incident);
        }
    }

    fn names(&self, store: &Store, id: &str) -> Vec<Box<str>> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let current = match pages.take().and_then(Pages::caught_up) {
            Some(current) => current,
            None => Pages::of(store),
        };
        let own = current.names.get(&current.hasher.hash_one(id));
        let alias = current.hasher.hash_one(Aliases::hash(id).as_str());
        let mut names = own.cloned().unwrap_or_default();
        for name in current.names.get(&alias).into_iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        *pages = Some(current);
        names
    }
}

impl Pages {
    fn of(store: &Store) -> Self {
        let mut pages = Self {
            names: HashMap::new(),
            hasher: RandomState::new(),
            // Before the list: what changes in between is noted twice, not missed.
            changes: store.watch(None).ok(),
        };
        for incident in store.list::<Incident>() {
            pages.add(&incident);
        }
        pages
    }

    /// With every change that the store has published; `None` if some are lost, so that it must be read again.
    fn caught_up(mut self) -> Option<Self> {
        let mut changes = self.changes.take()?;
        while let Some(change) = changes.next().now_or_never() {
            let change = change?;
            let Some(incident) = change.object.typed::<Incident>() else {
                continue;
            };
            // What it had before and no longer has is not kept, either.
            if let Some(old) = change.old.as_ref().and_then(|old| old.typed::<Incident>()) {
                self.forget(&old);
            }
            if change.verb == Verb::Deleted {
                self.forget(&incident);
            } else {
                self.add(&incident);
            }
        }
        self.changes = Some(changes);
        Some(self)
    }

    fn keys(&self, incident: &Incident) -> impl Iterator<Item = u64> + use<> {
        let (id, fingerprint) = (incident_id(incident), incident.spec.source.fingerprint.as_str());
        let id_key = self.hasher.hash_one(id);
        let other = Some(fingerprint).filter(|text| !text.is_empty() && *text != id);
        let mut keys = vec![id_key];
        keys.extend(other.map(|text| self.hasher.hash_one(text)));
        for alert in &incident.spec.source.joined {
            keys.push(self.hasher.hash_one(alert.incident_id.as_str()));
            keys.push(self.hasher.hash_one(alert.fingerprint.as_str()));
        }
        let aliases = incident.spec.source.aliases.hashes();
        keys.extend(aliases.map(|hash| self.hasher.hash_one(hash)));
        keys.into_iter()
    }

    fn add(&mut self, incident: &Incident) {
        for key in self.keys(incident) {
            // Most keys are of one incident.
            let names = self.names.entry(key).or_insert_with(|| Vec::with_capacity(1));
            if !names.iter().any(|name| **name == *incident.name()) {
                names.push(incident.name().into());
            }
        }
    }

    fn forget(&mut self, incident: &Incident) {
        for key in self.keys(incident) {
            if let Some(names) = self.names.get_mut(&key) {
                names.retain(|name| **name != *incident.name());
                if names.is_empty() {
                    self.names.remove(&key);
                }
            }
        }
    }
}

fn has(incident: &Incident, id: &str) -> bool {
    incident_id(incident) == id
        || incident.spec.source.fingerprint == id
        || incident.spec.source.has_joined(id)
}

/// Orders incidents of one id by age, those of one second by the number in their names.
fn age(incident: &Incident) -> (Option<jiff::Timestamp>, usize, &str) {
    let created = incident.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (created, incident.name().len(), incident.name())
}
