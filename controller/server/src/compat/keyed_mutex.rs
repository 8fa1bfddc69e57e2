//! KeyedMutex: alerts about the same trouble are taken one after the other, so that two at once cannot open two incidents.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// How many there are: unrelated alerts rarely meet.
const GATES: usize = 256;

/// A gate for every key; few enough that they need no bookkeeping.
#[derive(Debug)]
pub(crate) struct KeyedMutex {
    keyed_mutex: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for KeyedMutex {
    fn default() -> Self {
        Self {
            keyed_mutex: (0..GATES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl KeyedMutex {
    /// Waits for this key's turn. The turn is held over one durable write: that is its purpose. Turns are taken one at a
    /// time, so no two callers wait for each other.
    pub(super) async fn enter(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % 0xffff).unwrap_or_default();
        let gate = self.keyed_mutex.get(hash % GATES)?;
        Some(gate.lock().await)
    }
}
