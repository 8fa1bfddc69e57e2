//! What of a directory is too much, found while it is read: never more is held than is kept and a bit. Pure.

use std::collections::{BTreeSet, HashMap};

use aegis_api::{Ended, Time};

use super::Retention;
use super::index::EndedByTime;
use super::load::Entry;
use super::retention::overdue;
use crate::disk::folder::Judged;
use crate::disk::layout::Key;

/// How many more than are kept may be held before some are let go.
const SLACK: usize = 2000;

/// Finished objects on their way in.
pub(super) struct Sieve {
    retention: Retention,
    now: Time,
    ended: HashMap<&'static str, EndedByTime>,
    entries: HashMap<Key, Entry>,
    gone: Vec<Key>,
    revision: u64,
}

/// What became of them.
pub(super) struct Sifted {
    pub(super) kept: Vec<Entry>,
    /// Those that are too many.
    pub(super) gone: Vec<Key>,
    /// The highest revision of those.
    pub(super) revision: u64,
}

impl Sieve {
    pub(super) fn new(retention: Retention, now: Time) -> Self {
        Self {
            retention,
            now,
            ended: HashMap::new(),
            entries: HashMap::new(),
            gone: Vec::new(),
            revision: 0,
        }
    }

    /// Takes in what is finished; answers what is not, or what somebody has changed by hand.
    pub(super) fn take(&mut self, entry: Entry) -> Option<Entry> {
        let Some(ended) = ended(&entry) else {
            return Some(entry);
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

    fn thin(&mut self, info: &'static aegis_api::KindInfo) {
        let Some(table) = self.ended.get_mut(info.plural) else {
            return;
        };
        let out: BTreeSet<String> = overdue(table, self.retention, self.now, false)
            .into_iter()
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
            revision: self.revision,
        }
    }
}

fn ended(entry: &Entry) -> Option<Ended> {
    let is_as_known = matches!(entry.judged, Judged::Same(_));
    entry.object.as_ref().filter(|_| is_as_known)?.facets().ended
}
