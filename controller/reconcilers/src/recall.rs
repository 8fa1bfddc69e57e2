//! Retrieval over the runbook in the store: keeps the brain's index in step with the entries. No I/O; the store is memory.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::{Kind, RunbookEntry};
use aegis_brain::Recalled;
use aegis_brain::rag::{Index, document};
use aegis_runtime::store::Store;

/// How many entries an incident is given, and how similar they must be.
const TOP: usize = 2;
const THRESHOLD: f64 = 0.05;

/// The index and which version of each entry it holds. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recall(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    index: Index,
    versions: HashMap<String, (Option<String>, i64)>,
}

impl std::fmt::Debug for Recall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recall")
    }
}

impl Recall {
    /// The entries most similar to `text`, best first.
    pub fn query(&self, store: &Store, text: &str) -> Vec<Recalled> {
        let entries = store.list::<RunbookEntry>();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(&entries);
        let hits = state.index.query(text, TOP, THRESHOLD);
        drop(state);
        hits.into_iter()
            .filter_map(|hit| {
                let entry = entries.iter().find(|entry| entry.name() == hit.id)?;
                let trust = entry.spec.outcomes.trust();
                Some(Recalled {
                    name: hit.id,
                    entry: entry.spec.clone(),
                    score: hit.score,
                    trust,
                })
            })
            .collect()
    }
}

impl State {
    fn follow(&mut self, entries: &[Arc<RunbookEntry>]) {
        let present: BTreeSet<&str> = entries.iter().map(|entry| entry.name()).collect();
        let gone: Vec<String> = self
            .versions
            .keys()
            .filter(|name| !present.contains(name.as_str()))
            .cloned()
            .collect();
        for name in gone {
            self.index.remove(&name);
            self.versions.remove(&name);
        }
        for entry in entries {
            let version = (entry.metadata.uid.clone(), entry.generation());
            if self.versions.get(entry.name()) != Some(&version) {
                self.index.upsert(entry.name(), &document(&entry.spec));
                self.versions.insert(entry.name().to_owned(), version);
            }
        }
    }
}
