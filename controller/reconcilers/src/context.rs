//! What every reconciler is given: store, engine, events, feed, prober, clock and settings. Owns no state of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_api::signals::HostSignals;
use aegis_api::{Duration, Kind};
use aegis_docker::Engine;
use aegis_planning::host_limit::HostLimits;
use aegis_runtime::events::EventRecorder;
use aegis_runtime::feed::Feed;
use aegis_runtime::store::{Clock, Store, StoreError};
use aegis_signals::collector::Samples;
use aegis_signals::lifecycle::Lifecycle;

use crate::endpoints::Endpoints;
use crate::fault;
use crate::host_reader::HostReader;
use crate::probe::Prober;
use crate::turns::Turns;

/// What the environment says where a resource says nothing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the load balancer templates.
    pub templates: PathBuf,
    /// Folder of the files that templates take values from (`AEGIS_SECRETS_DIR`).
    pub secrets: PathBuf,
    /// Most replicas beside the first one, where a policy names no bound (`MAX_REPLICAS`).
    pub max_replicas: u32,
    /// Cooldown where no policy matches (`SCALE_COOLDOWN_SECS`).
    pub cooldown: Duration,
    /// When verification times out where no policy matches (`VERIFY_DELAY_SECS` times `VERIFY_RETRIES`).
    pub verification_deadline: Duration,
    /// Most characters of a container's log in the evidence (`LOG_TRUNCATE_CHARS`).
    pub log_chars: usize,
    /// What automation may do on the whole host.
    pub limits: HostLimits,
    /// Reads the host, the file system of this folder, and that of the engine's, where it is known; may block. `None` where
    /// the host cannot be read.
    pub host: Option<fn(&Path, Option<&Path>) -> HostSignals>,
    /// Id of the container this controller runs in, if it does: it never acts on itself.
    pub own_container: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            templates: PathBuf::from("lb-templates"),
            secrets: PathBuf::from("state/.secrets/env"),
            max_replicas: 5,
            cooldown: Duration::from_secs(30),
            verification_deadline: Duration::from_secs(30),
            log_chars: 2000,
            limits: HostLimits::default(),
            host: None,
            own_container: None,
        }
    }
}

/// Shared by all reconcilers; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Resources.
    pub store: Store,
    /// The container engine.
    pub engine: Arc<dyn Engine>,
    /// Events that people read.
    pub events: EventRecorder,
    /// Frames of the live stream.
    pub feed: Feed,
    /// Readiness probes.
    pub prober: Prober,
    /// Readings of the containers' counters.
    pub samples: Samples,
    /// The last reading of the host.
    pub host: HostReader,
    /// How containers ended, and who made them end.
    pub lifecycle: Lifecycle,
    /// Where containers are now.
    pub endpoints: Endpoints,
    /// Who is about to act on the host.
    pub turns: Turns,
    /// Time.
    pub clock: Clock,
    /// The environment's defaults.
    pub settings: Arc<Settings>,
}

impl Context {
    /// Stores the status of an object where it says something new. An object that is gone needs none any more.
    pub(crate) async fn write_status<K: Kind>(
        &self,
        object: &K,
        status: K::Status,
    ) -> Result<(), StoreError> {
        if object.status() == Some(&status) {
            return Ok(());
        }
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        let kind = &K::info().singular;
        fault::point(&format!("{kind}/before-status"));
        let stored = self.store.set_status::<K>(object.name(), uid, status).await;
        fault::point(&format!("{kind}/after-status"));
        match stored {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Context {
    /// Stores the status that follows from the one an object has by then: for what two write. An object that is gone needs
    /// none any more.
    pub(crate) async fn edit_status<K: Kind>(
        &self,
        object: &K,
        edit: impl FnOnce(&K) -> K::Status + Send + 'static,
    ) -> Result<(), StoreError> {
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        let kind = &K::info().singular;
        fault::point(&format!("{kind}/before-status"));
        let stored = self.store.edit_status::<K>(object.name(), uid, edit).await;
        fault::point(&format!("{kind}/after-status"));
        match stored {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aegis_docker_fake::FakeEngine;
    use aegis_runtime::store::StoreOptions;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A context over an engine in memory and an empty state directory, which lives as long as the second value.
    pub(crate) async fn over(engine: &FakeEngine, settings: Settings) -> (Context, tempfile::TempDir) {
        // In memory where there is such a folder: what a test stores need not outlive it.
        let memory = std::path::Path::new("/dev/shm");
        let state = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let events = EventRecorder::new();
        let options = StoreOptions {
            watch_files: false,
            ..StoreOptions::new(state.path())
        };
        let (store, driver) = Store::open(options, events.clone()).await.unwrap();
        tokio::spawn(driver.run(CancellationToken::new()));
        let (shared, now) = (Arc::new(engine.clone()), engine.clone());
        let context = Context {
            prober: Prober::new(shared.clone()),
            store,
            engine: shared,
            events,
            feed: Feed::default(),
            samples: Samples::default(),
            host: HostReader::default(),
            lifecycle: Lifecycle::default(),
            endpoints: Endpoints::default(),
            turns: Turns::default(),
            clock: Clock::new(move || now.now()),
            settings: Arc::new(settings),
        };
        (context, state)
    }
}
