//! What containers look like from outside: inspected once, and again when the engine tells of a change. Does I/O through
//! the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::Time;
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_docker::{Engine, EngineError};

/// Containers that are kept: some 200 bytes each.
const MOST: usize = 4096;

/// What does not change without an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub name: String,
    pub state: ContainerState,
    pub exit_code: i64,
    pub oom_killed: bool,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    pub docker_unhealthy: Option<bool>,
    pub memory_limit: Option<u64>,
}

impl From<ContainerDetails> for Look {
    fn from(details: ContainerDetails) -> Self {
        Self {
            docker_unhealthy: details.health.and_then(|health| match health.status.as_str() {
                "unhealthy" => Some(true),
                "healthy" => Some(false),
                _ => None,
            }),
            name: details.name,
            state: details.state,
            exit_code: details.exit_code,
            oom_killed: details.oom_killed,
            started_at: details.started_at,
            finished_at: details.finished_at,
            memory_limit: Some(details.memory_limit).filter(|limit| *limit > 0),
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    looks: HashMap<String, Arc<Look>>,
    /// Counts changes: an answer of before one is not kept.
    changes: u64,
}

/// The looks, by container id. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Kept>>);

impl Looks {
    /// The engine told of a change.
    pub(super) fn changed(&self, id: &str) {
        self.with(|kept| {
            kept.changes = kept.changes.wrapping_add(1);
            kept.looks.remove(id);
        });
    }

    /// Changes may have been missed.
    pub(super) fn all_changed(&self) {
        self.with(|kept| {
            kept.changes = kept.changes.wrapping_add(1);
            kept.looks.clear();
        });
    }

    /// What a container looks like; nothing if it is gone.
    pub(super) async fn of(&self, engine: &dyn Engine, id: &str) -> Result<Option<Arc<Look>>, EngineError> {
        let (kept, changes) = self.with(|kept| (kept.looks.get(id).cloned(), kept.changes));
        if kept.is_some() {
            return Ok(kept);
        }
        let look = engine
            .inspect(id)
            .await?
            .map(|details| Arc::new(Look::from(details)));
        self.with(|kept| {
            if let Some(look) = look.as_ref().filter(|_| kept.changes == changes) {
                if kept.looks.len() >= MOST {
                    kept.looks.clear();
                }
                kept.looks.insert(id.to_owned(), Arc::clone(look));
            }
        });
        Ok(look)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
