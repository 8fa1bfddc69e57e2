//! What is in force: every object's newest version, the newest events, and who watches them. Owns the locks, which are
//! held for lookups only. The single writer publishes; all others read. No I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aegis_api::deletion::HeldDeletion;
use aegis_api::{KindInfo, Time};
use futures::stream::BoxStream;
use tokio::sync::watch;

use super::index::Index;
use super::{BrokenFile, Expired, Retention, StoreEvent, Stored, Verb, retention};
use crate::disk::layout::Key;
use crate::follow::{CHUNK, Read, follow};

/// How many events a watcher may be behind, and how many bytes of objects in them. One that is further behind lists again.
pub(crate) const RING: (usize, usize) = (4096, 6 << 20);
/// The most that a watcher takes at once, so that a slow one holds little: bytes, beside the number. One event at least.
const BATCH: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Memory {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    revision: u64,
    objects: HashMap<&'static str, Objects>,
    /// The newest events, each with the bytes of its object.
    ring: VecDeque<(usize, Arc<StoreEvent>)>,
    ring_bytes: usize,
    /// Every event after this revision is in the ring.
    floor: u64,
    broken: BTreeMap<PathBuf, BrokenFile>,
    /// Objects whose files are gone, and that stay in force until somebody confirms their deletion.
    held: BTreeMap<Key, HeldDeletion>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Objects {
    by_name: BTreeMap<String, Arc<Stored>>,
    index: Index,
}

impl Objects {
    fn insert(&mut self, object: Arc<Stored>) {
        self.remove(object.name());
        self.index.add(object.name(), &object.facets());
        self.by_name.insert(object.name().to_owned(), object);
    }

    fn remove(&mut self, name: &str) {
        if let Some(before) = self.by_name.remove(name) {
            self.index.remove(name, &before.facets());
        }
    }
}

impl Memory {
    /// What was loaded, at this revision.
    pub(crate) fn loaded(revision: u64, objects: impl IntoIterator<Item = Arc<Stored>>) -> Self {
        let mut tables = Tables {
            revision,
            floor: revision,
            ..Tables::default()
        };
        for object in objects {
            tables
                .objects
                .entry(object.info.plural)
                .or_default()
                .insert(object);
        }
        Self {
            tables: RwLock::new(tables),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.read().revision
    }

    pub(crate) fn ring_bytes(&self) -> usize {
        self.read().ring_bytes
    }

    pub(crate) fn get(&self, info: &KindInfo, name: &str) -> Option<Arc<Stored>> {
        self.read().objects.get(info.plural)?.by_name.get(name).cloned()
    }

    /// Those found under a key from `from` to `to`, both included, each once and sorted by name.
    pub(crate) fn under(&self, info: &KindInfo, from: &str, to: &str) -> Vec<Arc<Stored>> {
        let tables = self.read();
        let Some(objects) = tables.objects.get(info.plural) else {
            return Vec::new();
        };
        let names = objects.index.names(from, to);
        names
            .into_iter()
            .filter_map(|name| objects.by_name.get(name).cloned())
            .collect()
    }

    /// How many are found under a key.
    pub(crate) fn count(&self, info: &KindInfo, key: &str) -> usize {
        let tables = self.read();
        tables
            .objects
            .get(info.plural)
            .map_or(0, |objects| objects.index.count(key))
    }

    /// How many of a kind have ended.
    pub(crate) fn finished(&self, info: &KindInfo) -> usize {
        let tables = self.read();
        let objects = tables.objects.get(info.plural);
        objects.map_or(0, |objects| objects.index.ended().len())
    }

    /// What of a kind has ended and is too much: how many there are, and as many of them, oldest first, as are `wanted` of so
    /// many.
    pub(crate) fn overdue(
        &self,
        info: &KindInfo,
        retention: Retention,
        now: Time,
        by_age: bool,
        wanted: impl FnOnce(usize) -> usize,
    ) -> (usize, Vec<String>) {
        let tables = self.read();
        let Some(objects) = tables.objects.get(info.plural) else {
            return (0, Vec::new());
        };
        let overdue = retention::overdue(objects.index.ended(), retention, now, by_age);
        let all = overdue.len();
        let names = overdue.into_iter().take(wanted(all)).map(str::to_owned);
        (all, names.collect())
    }

    pub(crate) fn list(&self, info: &KindInfo) -> (u64, Vec<Arc<Stored>>) {
        let tables = self.read();
        let objects = tables.objects.get(info.plural);
        (
            tables.revision,
            objects
                .map(|objects| objects.by_name.values().cloned().collect())
                .unwrap_or_default(),
        )
    }

    /// The objects of the kind as they were at this revision, sorted by name: changes since are undone.
    pub(crate) fn list_at(&self, info: &KindInfo, revision: u64) -> Result<Vec<Arc<Stored>>, Expired> {
        let tables = self.read();
        if revision < tables.floor || revision > tables.revision {
            return Err(Expired {
                since: revision,
                oldest: tables.floor,
            });
        }
        let none = BTreeMap::new();
        let now = tables
            .objects
            .get(info.plural)
            .map_or(&none, |objects| &objects.by_name);
        // By name: what was there, as its first change since found it.
        let mut then: BTreeMap<&str, Option<&Arc<Stored>>> = BTreeMap::new();
        let since = tables
            .ring
            .partition_point(|(_, event)| event.resource_version <= revision);
        for (_, event) in tables.ring.range(since..) {
            if event.object.info.plural == info.plural {
                let old = match event.verb {
                    Verb::Added => None,
                    Verb::Modified => event.old.as_ref(),
                    Verb::Deleted => Some(event.old.as_ref().unwrap_or(&event.object)),
                };
                then.entry(event.object.name()).or_insert(old);
            }
        }
        let unchanged = now.iter().filter(|(name, _)| !then.contains_key(name.as_str()));
        let unchanged = unchanged.map(|(_, object)| object);
        let mut objects: Vec<Arc<Stored>> = unchanged
            .chain(then.values().copied().flatten())
            .cloned()
            .collect();
        objects.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(objects)
    }

    /// Publishes a batch, in the order of its revisions. Readers see all of it or none.
    pub(crate) fn publish(&self, events: Vec<StoreEvent>) {
        let mut tables = self.write();
        for event in events {
            tables.revision = tables.revision.max(event.resource_version);
            let objects = tables.objects.entry(event.object.info.plural).or_default();
            match event.verb {
                Verb::Deleted => objects.remove(event.object.name()),
                Verb::Added | Verb::Modified => objects.insert(Arc::clone(&event.object)),
            }
            // The object before it is that of an earlier event, and counted there.
            let bytes = event.object.weight();
            tables.ring_bytes = tables.ring_bytes.saturating_add(bytes);
            tables.ring.push_back((bytes, Arc::new(event)));
        }
        while tables.ring.len() > RING.0 || tables.ring_bytes > RING.1 {
            let Some((bytes, oldest)) = tables.ring.pop_front() else {
                break;
            };
            tables.ring_bytes = tables.ring_bytes.saturating_sub(bytes);
            tables.floor = oldest.resource_version;
        }
    }

    /// How many objects of the kind there are.
    pub(crate) fn objects_of(&self, info: &KindInfo) -> usize {
        let tables = self.read();
        let objects = tables.objects.get(info.plural);
        objects.map_or(0, |objects| objects.by_name.len())
    }

    /// Whether there is no object of the kind.
    pub(crate) fn is_empty(&self, info: &KindInfo) -> bool {
        self.read()
            .objects
            .get(info.plural)
            .is_none_or(|objects| objects.by_name.is_empty())
    }

    pub(crate) fn hold(&self, key: Key, held: HeldDeletion) {
        self.write().held.insert(key, held);
    }

    pub(crate) fn release_held(&self, key: &Key) {
        self.write().held.remove(key);
    }

    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.read().held.contains_key(key)
    }

    pub(crate) fn held(&self) -> Vec<(Key, HeldDeletion)> {
        let tables = self.read();
        tables
            .held
            .iter()
            .map(|(key, held)| (key.clone(), held.clone()))
            .collect()
    }

    pub(crate) fn broken(&self) -> Vec<BrokenFile> {
        self.read().broken.values().cloned().collect()
    }

    /// Records a broken file; answers whether that is news.
    pub(crate) fn mark_broken(&self, file: BrokenFile) -> bool {
        let mut tables = self.write();
        let known = tables.broken.get(&file.path) == Some(&file);
        if !known {
            tables.broken.insert(file.path.clone(), file);
        }
        !known
    }

    /// Forgets that a file was broken; answers whether it was.
    pub(crate) fn mark_sound(&self, path: &std::path::Path) -> bool {
        // Nearly always there is nothing to forget: check before taking the exclusive lock.
        self.read().broken.contains_key(path) && self.write().broken.remove(path).is_some()
    }

    pub(crate) fn watch(
        self: &Arc<Self>,
        since: Option<u64>,
        news: watch::Receiver<u64>,
    ) -> Result<BoxStream<'static, StoreEvent>, Expired> {
        let position = {
            let tables = self.read();
            match since {
                None => tables.revision,
                Some(since) if since < tables.floor || since > tables.revision => {
                    return Err(Expired {
                        since,
                        oldest: tables.floor,
                    });
                }
                Some(since) => since,
            }
        };
        let memory = Arc::clone(self);
        Ok(follow(position, news, move |position| memory.after(position)))
    }

    fn after(&self, position: u64) -> Read<StoreEvent> {
        let tables = self.read();
        if position < tables.floor {
            return Read::End;
        }
        let start = tables
            .ring
            .partition_point(|(_, event)| event.resource_version <= position);
        let mut items: Vec<StoreEvent> = Vec::new();
        let mut taken = 0_usize;
        for (bytes, event) in tables.ring.range(start..).take(CHUNK) {
            if taken >= BATCH {
                break;
            }
            taken = taken.saturating_add(*bytes);
            items.push(StoreEvent::clone(event));
        }
        let position = items.last().map_or(position, |event| event.resource_version);
        Read::Items(items, position)
    }
}
