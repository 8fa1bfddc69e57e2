//! The RemediationPolicy reconciler: tells how much of the budget is used. Changes nothing in the world, so its steps
//! fit in one file.

use std::time::Duration;

use aegis_api::condition;
use aegis_api::policy::Mode;
use aegis_api::proposal::Action as Remedy;
use aegis_api::{Incident, Kind, RemediationPolicy, Workload};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;

const HOUR: Duration = Duration::from_secs(3600);
/// The count slides with the hour, so it is looked at again without any change.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The status could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("cannot store the state of policy {policy}")]
pub struct Error {
    policy: String,
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

/// Reconciles RemediationPolicies.
#[derive(Debug, Clone)]
pub struct PolicyReconciler {
    context: Context,
}

impl PolicyReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Reconciler for PolicyReconciler {
    type Error = Error;
    const KIND: &'static str = "RemediationPolicy";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let store = &self.context.store;
        let Some(policy) = store.get::<RemediationPolicy>(name) else {
            return Ok(Action::AwaitChange);
        };
        let now = self.context.clock.now();
        let mut status = policy.status.clone().unwrap_or_default();
        let (generation, spec) = (Some(policy.generation()), &policy.spec);
        let governs = |workload: &str| {
            store.get::<Workload>(workload).is_some_and(|workload| {
                spec.workloads
                    .rank(
                        workload.name(),
                        &workload.metadata.labels.clone().unwrap_or_default(),
                    )
                    .is_some()
            })
        };
        let acted = store.list::<Incident>().into_iter().filter(|incident| {
            incident.status.as_ref().is_some_and(|status| {
                let plan = status
                    .plan
                    .as_ref()
                    .filter(|plan| plan.action != Remedy::Noop && governs(plan.target.as_str()));
                let at = status
                    .execution
                    .as_ref()
                    .and_then(|execution| execution.applied_at);
                plan.is_some() && at.is_some_and(|at| at.age(now) <= HOUR)
            })
        });
        status.observed_generation = generation;
        status.actions_in_window = u32::try_from(acted.count()).unwrap_or(u32::MAX);
        status.paused = (spec.mode == Mode::Off).then(|| "mode is Off".to_owned());
        condition::set(
            &mut status.conditions,
            "Ready",
            true,
            "InForce",
            "",
            generation,
            now,
        );
        if policy.status.as_ref() != Some(&status) {
            let uid = policy.metadata.uid.as_deref().unwrap_or_default();
            match store.set_status::<RemediationPolicy>(name, uid, status).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(source) => {
                    return Err(Error {
                        policy: name.to_owned(),
                        source,
                    });
                }
            }
        }
        Ok(Action::Requeue(LOOK_AGAIN))
    }
}
