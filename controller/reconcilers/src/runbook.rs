//! The RunbookEntry reconciler: works out trust and use from what is stored, and judges again what an earlier version
//! learned. Changes nothing in the world, so its steps fit in one file.

mod rejudge;

use std::sync::Arc;

use aegis_api::audit::Actor;
use aegis_api::condition::Conditions;
use aegis_api::facets::key;
use aegis_api::{ConditionType, Incident, Kind, Reason, RunbookEntry};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;

/// The status could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store the state of runbook entry {entry}")]
pub struct Error {
    entry: String,
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

/// Reconciles RunbookEntries.
#[derive(Debug, Clone)]
pub struct RunbookReconciler {
    context: Context,
}

impl RunbookReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

impl RunbookReconciler {
    /// The entry, judged again where that is still to be done.
    async fn judged(&self, entry: Arc<RunbookEntry>) -> Result<Arc<RunbookEntry>, Error> {
        let name = entry.name().to_owned();
        if !rejudge::is_due(&name, &entry.spec) {
            return Ok(entry);
        }
        let counted = entry.spec.outcomes.counted.iter();
        let incidents: Vec<Arc<Incident>> = counted.filter_map(|name| self.context.store.get(name)).collect();
        let of = name.clone();
        let edit = move |entry: &RunbookEntry| {
            let find = |name: &str| incidents.iter().find(|it| it.name() == name).map(|it| &**it);
            Ok(match rejudge::is_due(&of, &entry.spec) {
                true => rejudge::judged(&entry.spec, find),
                false => entry.spec.clone(),
            })
        };
        let store = self.context.store.acting(Actor::system("runbook"));
        match store.edit_spec::<RunbookEntry, _>(&name, edit).await {
            Ok(judged) => Ok(judged),
            Err(StoreError::NotFound { .. }) => Ok(entry),
            Err(source) => Err(Error { entry: name, source }),
        }
    }
}

impl Reconciler for RunbookReconciler {
    type Error = Error;
    const KIND: &'static str = "RunbookEntry";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let store = &self.context.store;
        let Some(entry) = store.get::<RunbookEntry>(name) else {
            return Ok(Action::AwaitChange);
        };
        let incidents = store.find::<Incident>(&key::recalled(name));
        let entry = self.judged(entry).await?;
        let mut status = entry.status.clone().unwrap_or_default();
        let uses = incidents.iter().filter_map(|incident| {
            let status = incident.status.as_ref()?;
            status
                .retrieved
                .iter()
                .any(|hit| hit.entry == name)
                .then(|| status.timeline.first().map(|entry| entry.ts))
        });
        let uses: Vec<_> = uses.collect();
        let generation = Some(entry.generation());
        status.observed_generation = generation;
        // Four digits are what people can use, and what keeps the file readable.
        status.trust = (entry.spec.outcomes.trust() * 10_000.0).round() / 10_000.0;
        status.times_recalled = u64::try_from(uses.len()).unwrap_or(u64::MAX);
        status.last_used = uses.into_iter().flatten().max().or(status.last_used);
        let now = self.context.clock.now();
        Conditions::at(&mut status.conditions, generation, now).set(
            ConditionType::Ready,
            true,
            Reason::Indexed,
            "",
        );
        let written = self.context.write_status(&*entry, status).await;
        written.map_err(|source| Error {
            entry: name.to_owned(),
            source,
        })?;
        Ok(Action::AwaitChange)
    }
}
