//! The Detector reconciler: this version stores detectors and says that it does not evaluate them yet.

use aegis_api::condition::Conditions;
use aegis_api::{ConditionType, Detector, Kind, Reason};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;

/// The status could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store the state of detector {detector}")]
pub struct Error {
    detector: String,
    source: StoreError,
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        "store"
    }
    fn on_error(&self) -> OnError {
        OnError::Backoff
    }
}

/// Reconciles Detectors.
#[derive(Debug, Clone)]
pub struct DetectorReconciler {
    context: Context,
}

impl DetectorReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Reconciler for DetectorReconciler {
    type Error = Error;
    const KIND: &'static str = "Detector";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let store = &self.context.store;
        let Some(detector) = store.get::<Detector>(name) else {
            return Ok(Action::AwaitChange);
        };
        let mut status = detector.status.clone().unwrap_or_default();
        let generation = Some(detector.generation());
        status.observed_generation = generation;
        let message = "detectors are stored but not evaluated by this version: send alerts to /webhook";
        let now = self.context.clock.now();
        Conditions::at(&mut status.conditions, generation, now).set(
            ConditionType::Ready,
            false,
            Reason::NotSupported,
            message,
        );
        let written = self.context.write_status(&*detector, status).await;
        written.map_err(|source| Error {
            detector: name.to_owned(),
            source,
        })?;
        Ok(Action::AwaitChange)
    }
}
