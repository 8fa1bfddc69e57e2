//! A mutex a key: alerts about the same trouble are taken one after the other, so that two at once cannot open two incidents.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// How many there are: unrelated alerts rarely meet.
const MUTEXES: usize = 256;

/// One mutex serves many keys: few enough that they need no bookkeeping.
#[derive(Debug)]
pub(crate) struct KeyedMutex {
    mutexes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for KeyedMutex {
    fn default() -> Self {
        Self {
            mutexes: (0..MUTEXES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl KeyedMutex {
    /// Waits for this key's turn. The turn is held over one durable write: that is its purpose. Turns are taken one at a
    /// time, so no two callers wait for each other.
    pub(super) async fn enter(&self, key: &str) -> Option<MutexGuard<'_, ()>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % 0xffff).unwrap_or_default();
        let mutex = self.mutexes.get(hash % MUTEXES)?;
        Some(mutex.lock().await)
    }
}
