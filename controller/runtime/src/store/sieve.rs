//! What of a directory is too much, found while it is read: never more is held than is kept and a bit. Pure.

use std::collections::{BTreeSet, HashMap};

use aegis_api::facets::key;
use aegis_api::{Ended, Time};

use super::Retention;
use super::index::EndedByTime;
use super::load::Entry;
use super::retention::overdue;
use crate::disk::folder::Judged;
use crate::disk::layout::Key;

/// How many more than are kept may be held before some are let go.
const SLACK: usize = 2000;

/// Finished objects, and those that have not, on their way in.
pub(super) struct Sieve {
    retention: Retention,
    now: Time,
    ended: HashMap<&'static str, EndedByTime>,
    /// Those that have not ended and are not at work, by when they were created.
    open: HashMap<&'static str, BTreeSet<(String, String)>>,
    /// How many have not ended.
    opened: HashMap<&'static str, usize>,
    /// Those of them that are too many.
    aside: Vec<Key>,
    entries: HashMap<Key, Entry>,
    gone: Vec<Key>,
    revision: u64,
}

/// What became of them.
pub(super) struct Sifted {
    pub(super) kept: Vec<Entry>,
    /// Those that are too many.
    pub(super) gone: Vec<Key>,
    /// Those that have not ended and are too many.
    pub(super) aside: Vec<Key>,
    /// The highest revision of those.
    pub(super) revision: u64,
}

impl Sieve {
    pub(super) fn new(retention: Retention, now: Time) -> Self {
        Self {
            retention,
            now,
            ended: HashMap::new(),
            open: HashMap::new(),
            opened: HashMap::new(),
            aside: Vec::new(),
            entries: HashMap::new(),
            gone: Vec::new(),
            revision: 0,
        }
    }

    /// Takes in what is finished; answers what is not, or what somebody has changed by hand.
    pub(super) fn take(&mut self, entry: Entry) -> Option<Entry> {
        let Some(ended) = ended(&entry) else {
            return self.take_open(entry);
        };
        let info = entry.key.info;
        let table = self.ended.entry(info.plural).or_default();
        table.insert((ended.at, entry.key.name.clone()), ended);
        let is_full = table.len() > self.retention.max_finished.saturating_add(SLACK);
        self.entries.insert(entry.key.clone(), entry);
        if is_full {
            self.thin(info);
        }
        None
    }

    /// Takes in what has not ended; answers what is none of that.
    fn take_open(&mut self, entry: Entry) -> Option<Entry> {
        let facets = entry
            .object
            .as_ref()
            .map(|object| object.facets())
            .unwrap_or_default();
        let has = |wanted: &str| facets.keys.iter().any(|key| key == wanted);
        if !has(key::OPEN) || !matches!(entry.judged, Judged::Same(_)) {
            return Some(entry);
        }
        let info = entry.key.info;
        let is_at_work = has(key::AT_WORK);
        let opened = self.opened.entry(info.plural).or_default();
        let open = self.open.entry(info.plural).or_default();
        *opened += 1;
        let passed = if is_at_work {
            Some(entry)
        } else {
            let created = entry
                .status
                .as_ref()
                .map(|status| status.metadata.creation_timestamp.clone());
            open.insert((created.unwrap_or_default(), entry.key.name.clone()));
            self.entries.insert(entry.key.clone(), entry);
            None
        };
        if *opened > self.retention.max_open
            && let Some((_, newest)) = open.pop_last()
        {
            *opened -= 1;
            let key = Key::new(info, newest);
            if let Some(entry) = self.entries.remove(&key) {
                let version = entry.status.map_or(0, |status| status.metadata.resource_version);
                self.revision = self.revision.max(version);
            }
            self.aside.push(key);
        }
        passed
    }

    fn thin(&mut self, info: &'static aegis_api::KindInfo) {
        let Some(table) = self.ended.get_mut(info.plural) else {
            return;
        };
        let out: BTreeSet<String> = overdue(table, self.retention, self.now, false)
            .into_iter()
            .map(str::to_owned)
            .collect();
        table.retain(|(_, name), _| !out.contains(name));
        for name in out {
            let key = Key::new(info, name);
            if let Some(entry) = self.entries.remove(&key) {
                let version = entry.status.map_or(0, |status| status.metadata.resource_version);
                self.revision = self.revision.max(version);
            }
            self.gone.push(key);
        }
    }

    pub(super) fn finish(mut self) -> Sifted {
        for info in aegis_api::KINDS.iter() {
            self.thin(info);
        }
        Sifted {
            kept: self.entries.into_values().collect(),
            gone: self.gone,
            aside: self.aside,
            revision: self.revision,
        }
    }
}

fn ended(entry: &Entry) -> Option<Ended> {
    let is_as_known = matches!(entry.judged, Judged::Same(_));
    entry.object.as_ref().filter(|_| is_as_known)?.facets().ended
}
