//! Retrieval over the runbook in the store: keeps the brain's two indices in step with the entries, one of the words of
//! operations for incidents, and one with the earlier system's scores for its clients. No I/O; the store is memory.

use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::{Kind, RunbookEntry};
use aegis_brain::Recalled;
use aegis_brain::rag::{Hit, Index, OPERATIONS_THRESHOLD, THRESHOLD, document, whole_document};
use aegis_runtime::store::Store;

/// How many entries an incident is given.
const TOP: usize = 2;

/// The index and the entries it holds. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recall(Arc<Mutex<State>>);

struct State {
    operations: Index,
    earlier: Index,
    /// What the indices hold, by name.
    held: Vec<Arc<RunbookEntry>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            operations: Index::for_operations(),
            earlier: Index::new(),
            held: Vec::new(),
        }
    }
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
        state.follow(entries);
        let hits = state.operations.query(text, TOP, OPERATIONS_THRESHOLD);
        let recalled = hits.into_iter().filter_map(|hit| {
            let at = state
                .held
                .binary_search_by(|entry| entry.name().cmp(&hit.id))
                .ok()?;
            let entry = &state.held.get(at)?.spec;
            Some(Recalled {
                trust: entry.outcomes.trust(),
                name: hit.id,
                entry: entry.clone(),
                score: hit.score,
            })
        });
        recalled.collect()
    }

    /// As the earlier system would find them and score them: names and scores, best first; and as incidents are given them.
    pub fn compared(&self, store: &Store, text: &str) -> (Vec<Hit>, Vec<Hit>) {
        let entries = store.list::<RunbookEntry>();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(entries);
        let earlier = state.earlier.query(text, TOP, THRESHOLD);
        (earlier, state.operations.query(text, TOP, OPERATIONS_THRESHOLD))
    }

    /// How many hold it: one more while it is asked.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Keeps every question waiting while that runs.
    #[cfg(test)]
    pub(crate) fn busy_while<T>(&self, work: impl FnOnce() -> T) -> T {
        let _state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Takes in what the store has, so that the first question need not wait for it. With many entries that takes
    /// seconds of work: not for a thread that others wait for.
    pub fn prepare(&self, store: &Store) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.follow(store.list::<RunbookEntry>());
    }
}

impl State {
    /// Both lists are in the order of names, and what has not changed is the same object: comparing them is cheap.
    fn follow(&mut self, entries: Vec<Arc<RunbookEntry>>) {
        let held = std::mem::take(&mut self.held);
        let mut before = held.iter().peekable();
        for entry in &entries {
            while let Some(gone) = before.next_if(|held| held.name() < entry.name()) {
                self.remove(gone.name());
            }
            let known = before.next_if(|held| held.name() == entry.name());
            if known.is_none_or(|known| has_changed(known, entry)) {
                self.operations.upsert(entry.name(), &document(&entry.spec));
                self.earlier.upsert(entry.name(), &whole_document(&entry.spec));
            }
        }
        for gone in before {
            self.remove(gone.name());
        }
        self.held = entries;
    }

    fn remove(&mut self, name: &str) {
        self.operations.remove(name);
        self.earlier.remove(name);
    }
}

/// Whether the text of an entry may be another one. A new status changes no text.
fn has_changed(known: &Arc<RunbookEntry>, entry: &Arc<RunbookEntry>) -> bool {
    !Arc::ptr_eq(known, entry)
        && (known.metadata.uid != entry.metadata.uid || known.generation() != entry.generation())
}

#[cfg(test)]
mod tests {
    use aegis_api::kinds;
    use aegis_docker_fake::FakeEngine;
    use serde_json::{Value, json};

    use super::*;
    use crate::context::{Context, Settings};

    fn spec(logs: &str) -> Value {
        json!({"incidentId": "old", "alertType": "STUCK", "logs": logs, "rootCause": "lock", "action": "RESTART", "confidence": 0.9})
    }

    async fn create(context: &Context, name: &str, logs: &str) {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "RunbookEntry", "metadata": {"name": name}, "spec": spec(logs)});
        let info = kinds::find("RunbookEntry").unwrap();
        context.store.create(info, object, false).await.unwrap();
    }

    fn found(recall: &Recall, context: &Context, text: &str) -> Vec<(String, f64)> {
        let hits = recall.query(&context.store, text);
        hits.into_iter().map(|hit| (hit.name, hit.score)).collect()
    }

    #[tokio::test]
    async fn incidents_are_given_what_operations_mean_and_clients_what_the_earlier_system_found() {
        let (context, _state) =
            crate::context::tests::over(&FakeEngine::default(), Settings::default()).await;
        create(&context, "rb-down", "system is down").await;
        create(&context, "rb-pool", "pool exhausted").await;
        let recall = Recall::default();
        let names = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>();
        let (earlier, operations) = recall.compared(&context.store, "the system is down");
        assert_eq!(
            (names(earlier), names(operations)),
            (vec![], vec!["rb-down".to_owned()])
        );
        assert_eq!(found(&recall, &context, "the system is down")[0].0, "rb-down");
        // What helped is part of the earlier system's documents, and no symptom.
        let (earlier, operations) = recall.compared(&context.store, "restart");
        assert_eq!((earlier.len(), operations.len()), (2, 0));
    }

    #[tokio::test]
    async fn entries_that_come_change_and_go_are_followed_as_if_the_index_were_rebuilt() {
        let (context, _state) =
            crate::context::tests::over(&FakeEngine::default(), Settings::default()).await;
        let recall = Recall::default();
        assert_eq!(found(&recall, &context, "deadlock of workers"), []);
        for (name, logs) in [
            ("rb-b", "deadlock of workers"),
            ("rb-d", "disk full"),
            ("rb-a", "pool exhausted"),
        ] {
            create(&context, name, logs).await;
            recall.prepare(&context.store);
        }
        let same = |text: &str| {
            let hits = found(&recall, &context, text);
            assert_eq!(hits, found(&Recall::default(), &context, text), "{text}");
            hits
        };
        assert_eq!(same("deadlock of workers")[0].0, "rb-b");

        let info = kinds::find("RunbookEntry").unwrap();
        context
            .store
            .delete(info, "rb-a", None, None, false)
            .await
            .unwrap();
        context
            .store
            .delete(info, "rb-d", None, None, false)
            .await
            .unwrap();
        create(&context, "rb-c", "certificate expired").await;
        let edit = |entry: &RunbookEntry| {
            let mut spec = entry.spec.clone();
            spec.logs = "name resolution failed".to_owned();
            Ok(spec)
        };
        context
            .store
            .edit_spec::<RunbookEntry, _>("rb-b", edit)
            .await
            .unwrap();
        assert_eq!(same("name resolution failed")[0].0, "rb-b");
        assert_eq!(same("certificate expired")[0].0, "rb-c");
        assert!(same("pool exhausted").is_empty() && same("disk full").is_empty());
        // Deleted and made again under its name: the generation begins again at 1, the object is another.
        context
            .store
            .delete(info, "rb-c", None, None, false)
            .await
            .unwrap();
        create(&context, "rb-c", "out of file descriptors").await;
        assert_eq!(same("file descriptors")[0].0, "rb-c");
    }
}
