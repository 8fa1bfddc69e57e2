//! Containers as the engine shows them: inspected once, and again when it reports a change. Does I/O through
//! the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::InstanceStatus;
use aegis_api::{ContainerId, Time};
use aegis_docker::{Engine, EngineError};
use aegis_runtime::slot;

/// Containers that are kept: some 200 bytes each.
const MOST: usize = 4096;

/// What does not change without an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Inspected {
    pub name: String,
    pub state: ContainerState,
    pub exit_code: i64,
    pub oom_killed: bool,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
    pub docker_unhealthy: Option<bool>,
    pub memory_limit: Option<u64>,
    pub lost_network: Option<String>,
}

impl Inspected {
    /// What the workload's status says of it, in this state.
    pub(super) fn listed(row: &InstanceStatus, state: ContainerState) -> Self {
        Self {
            name: row.name.clone(),
            state,
            exit_code: 0,
            oom_killed: false,
            started_at: row.started_at,
            finished_at: None,
            docker_unhealthy: None,
            memory_limit: None,
            lost_network: None,
        }
    }
}

impl From<ContainerDetails> for Inspected {
    fn from(details: ContainerDetails) -> Self {
        Self {
            lost_network: details.lost_network().map(str::to_owned),
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
    containers: HashMap<ContainerId, Arc<Inspected>>,
    /// Counts changes: an answer of before one is not kept.
    changes: u64,
}

/// The inspected containers, by id. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Inspections(Arc<Mutex<Kept>>);

impl Inspections {
    /// The engine reported a change.
    pub(super) fn changed(&self, id: &str) {
        self.with(|kept| {
            kept.changes = kept.changes.wrapping_add(1);
            kept.containers.remove(id);
        });
    }

    /// Changes may have been missed.
    pub(super) fn all_changed(&self) {
        self.with(|kept| {
            kept.changes = kept.changes.wrapping_add(1);
            kept.containers.clear();
        });
    }

    /// A container as it is; nothing if it is gone.
    pub(super) async fn of(
        &self,
        engine: &dyn Engine,
        id: &ContainerId,
    ) -> Result<Option<Arc<Inspected>>, EngineError> {
        let (kept, changes) = self.with(|kept| (kept.containers.get(id).cloned(), kept.changes));
        if kept.is_some() {
            return Ok(kept);
        }
        // It may be busy with this very container: other detectors do not wait for that.
        let container = slot::aside(engine.inspect(id))
            .await?
            .map(|details| Arc::new(Inspected::from(details)));
        self.with(|kept| {
            if let Some(container) = container.as_ref().filter(|_| kept.changes == changes) {
                if kept.containers.len() >= MOST {
                    kept.containers.clear();
                }
                kept.containers.insert(id.clone(), Arc::clone(container));
            }
        });
        Ok(container)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
