//! The loop of autoscaling: measures a workload that has `spec.autoscale`, and sets its `spec.replicas`. What follows from
//! what was measured is planned (`aegis_planning::autoscale`).
//!
//! A change is stored in the status before it is made, and made by compare-and-set on the generation it was decided on: one
//! that is cut short is decided again, and one that a person or an incident was faster than is not made. The answers within
//! the windows are in memory alone: after a restart nothing is scaled in before a whole window was measured again.

mod dereference;
mod external;
mod status;
#[cfg(test)]
mod tests;
pub mod trace;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_api::audit::Actor;
use aegis_api::workload::autoscale::ScaleChange;
use aegis_api::{Kind, Time, Workload};
use aegis_planning::autoscale::{Subject, Windows, decide, reported};
use aegis_planning::set_back;
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;
use crate::fault;
use dereference::Limits;
use external::Externals;

/// How often a workload is measured.
const EVERY: Duration = Duration::from_secs(2);
/// What the audit log says of who scaled.
const PART: &str = "autoscaler";

/// What was decided could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store {what} of workload {workload}")]
pub struct Error {
    workload: String,
    what: &'static str,
    source: StoreError,
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        "store"
    }
    fn on_error(&self) -> OnError {
        OnError::BackoffWithin(Duration::from_secs(15))
    }
}

/// What is known of a workload beside what is stored.
#[derive(Debug, Default)]
struct Standing {
    windows: Windows,
    /// When its status was last stored.
    written: Option<Time>,
}

/// Scales Workloads by load.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    context: Context,
    externals: Externals,
    limits: Limits,
    standings: Arc<Mutex<HashMap<String, Standing>>>,
}

impl Autoscaler {
    /// One in this context.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            externals: Externals::default(),
            limits: Limits::default(),
            standings: Arc::default(),
        }
    }

    fn standings(&self) -> MutexGuard<'_, HashMap<String, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back what was said of a workload that is not autoscaled any more.
    async fn withdraw(&self, workload: &Workload) -> Result<(), StoreError> {
        let (generation, now) = (workload.generation(), self.context.clock.now());
        self.standings().remove(workload.name());
        let status = workload.status.as_ref();
        if !status.is_some_and(status::says_something) {
            return Ok(());
        }
        let edit = move |current: &Workload| reported(current.status.as_ref(), None, generation, now);
        self.context.edit_status(workload, edit).await
    }

    /// Sets the replicas, if the spec is as it was when that was decided.
    async fn carry_out(&self, workload: &Workload, change: ScaleChange) -> Result<bool, StoreError> {
        fault::point("autoscale/before-replicas");
        let store = self.context.store.acting(Actor::system(PART));
        let edit = move |current: &Workload| {
            if current.generation() != change.generation || current.spec.replicas != change.from {
                return Err(StoreError::Conflict {
                    kind: "Workload".to_owned(),
                    name: current.name().to_owned(),
                    message: "its spec was changed meanwhile".to_owned(),
                });
            }
            let mut spec = current.spec.clone();
            spec.replicas = change.to;
            Ok(spec)
        };
        let edited = store.edit_spec::<Workload, _>(workload.name(), edit).await;
        fault::point("autoscale/after-replicas");
        match edited {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. } | StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Reconciler for Autoscaler {
    type Error = Error;
    const KIND: &'static str = "Autoscaler";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let failed = |what: &'static str| {
            move |source: StoreError| Error {
                workload: name.to_owned(),
                what,
                source,
            }
        };
        let Some(workload) = self.context.store.get::<Workload>(name) else {
            self.standings().remove(name);
            return Ok(Action::AwaitChange);
        };
        let Some(spec) = workload
            .spec
            .autoscale
            .as_ref()
            .filter(|_| !workload.is_deleting())
        else {
            self.withdraw(&workload).await.map_err(failed("the status"))?;
            return Ok(Action::AwaitChange);
        };
        if workload.status.is_none() {
            // Nothing is known of its containers yet.
            return Ok(Action::Requeue(EVERY));
        }
        let situation =
            dereference::situation(&self.context, &workload, spec, &self.externals, &self.limits).await;
        // It took a moment: what is stored by now counts.
        let Some(workload) = self.context.store.get::<Workload>(name) else {
            return Ok(Action::AwaitChange);
        };
        let Some(spec) = &workload.spec.autoscale else {
            return Ok(Action::Requeue(Duration::ZERO));
        };
        let now = self.context.clock.now();
        let stored = workload
            .status
            .as_ref()
            .and_then(|status| status.autoscale.clone());
        let set_at = self.context.clock.set_at();
        let before = set_back::autoscale(stored.clone().unwrap_or_default(), set_at, now);
        let subject = Subject {
            now,
            spec,
            replicas: workload.spec.replicas,
            generation: workload.generation(),
        };
        let (decision, written) = {
            let mut all = self.standings();
            let standing = all.entry(name.to_owned()).or_default();
            (
                decide(subject, &situation, &before, &mut standing.windows),
                standing.written,
            )
        };
        if status::is_to_be_stored(stored.as_ref(), &decision.status, written, now) {
            let generation = workload.generation();
            let report = decision.clone();
            let edit =
                move |current: &Workload| reported(current.status.as_ref(), Some(&report), generation, now);
            self.context
                .edit_status(&*workload, edit)
                .await
                .map_err(failed("the status"))?;
            if let Some(standing) = self.standings().get_mut(name) {
                standing.written = Some(now);
            }
            status::announce(&self.context, &workload, &before, &decision);
        }
        if let Some(change) = decision.change {
            let made = self
                .carry_out(&workload, change)
                .await
                .map_err(failed("the replicas"))?;
            if made {
                status::announce_change(&self.context, &workload, change, &decision);
            }
        }
        Ok(Action::Requeue(EVERY))
    }
}
