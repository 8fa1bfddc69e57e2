//! The Workload reconciler: makes Docker run what a Workload asks for.
//!
//! Adopted containers are started, restarted and watched, never removed. Replicas are made by faithful clone or from
//! a template, replaced when they are gone, and removed only after every load balancer has let them go.

mod apply;
mod by_hand;
mod dereference;
mod restart_limit;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aegis_api::wire::plan::WorkloadPlan;
use aegis_api::{Kind as _, Workload};
use aegis_planning::Invalid;
use aegis_planning::host_limit::{Asker, HostRuling};
use aegis_planning::workload::check::check;
use aegis_planning::workload::plan::{Prepared, Step, plan};
use aegis_planning::workload::preview::preview as planned;
use aegis_planning::workload::validate::{ValidatedWorkload, validate};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};

use crate::context::Context;
use crate::turns::{self, Turn};

/// Why a reconcile ended early: which step failed. The status says it too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// The spec asks for something that cannot be, as things stand.
    #[error("workload {workload} cannot be reconciled")]
    Validate { workload: String, source: Invalid },
    /// A step of the plan failed.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The status could not be stored.
    #[error(transparent)]
    Status(#[from] status::Error),
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "observe",
            Self::Validate { .. } => "invalid",
            Self::Apply(_) => "apply",
            Self::Status(_) => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Validate { .. } => OnError::AwaitChange,
            Self::Dereference(_) | Self::Apply(_) | Self::Status(_) => OnError::Backoff,
        }
    }
}

impl Error {
    /// Whether it is the spec that cannot be followed, not the engine that does not answer.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Validate { .. })
    }
}

/// What the containers of a Workload would go through if it were stored like this. Reads only.
pub async fn preview(context: &Context, workload: &Workload) -> Result<WorkloadPlan, Error> {
    let observed = dereference::dereference(context, workload).await?;
    let asked = workload.clone();
    // It may think for a while.
    let told = tokio::task::spawn_blocking(move || planned(&asked, observed)).await;
    let told = told.unwrap_or_else(|error| {
        Err(Invalid {
            reason: "Failed",
            message: format!("what it would do cannot be worked out: {error}"),
        })
    });
    told.map_err(|source| Error::Validate {
        workload: workload.name().to_owned(),
        source,
    })
}

/// Reconciles Workloads.
#[derive(Debug, Clone)]
pub struct WorkloadReconciler {
    context: Context,
}

impl WorkloadReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Reconciler for WorkloadReconciler {
    type Error = Error;
    const KIND: &'static str = "Workload";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let context = &self.context;
        let Some(workload) = context.store.get::<Workload>(name) else {
            context.prober.set_targets(name, &[]);
            return Ok(Action::AwaitChange);
        };
        let observed = match dereference::dereference(context, &workload).await {
            Ok(observed) => observed,
            Err(error) => return status::failed(context, &workload, error.into()).await,
        };
        let mut validated = match validate(&workload, observed) {
            Ok(validated) => validated,
            Err(source) => {
                let error = Error::Validate {
                    workload: name.to_owned(),
                    source,
                };
                return status::failed(context, &workload, error).await;
            }
        };
        let mut prepared = check(&validated, plan(&validated));
        // Held until the look at what is sick is stored: that is what others count.
        let _turn = match turn(context, &validated, &prepared) {
            Ok(turn) => turn,
            Err(ruling) => {
                validated.host = Some(ruling);
                prepared = check(&validated, plan(&validated));
                None
            }
        };
        context.prober.set_targets(name, &prepared.targets);
        status::claim(context, &workload).await?;
        let now = context.store.get::<Workload>(name);
        if now.is_none_or(|now| now.metadata.generation != workload.metadata.generation) {
            // People want something else by now: the plan is for a parent that is no more.
            return Ok(Action::Requeue(AT_ONCE));
        }
        let applied = apply::apply(context, &validated, prepared).await;
        status::update(context, &workload, &validated, applied).await
    }
}

/// A turn on the host where the plan begins to restart something sick.
fn turn(
    context: &Context,
    workload: &ValidatedWorkload,
    prepared: &Prepared,
) -> Result<Option<Turn>, HostRuling> {
    let mut steps = prepared.steps.iter();
    if !steps.any(|step| matches!(step, Step::Capture { .. })) {
        return Ok(None);
    }
    let sick = workload.instances.iter().map(|instance| instance.unhealthy_since);
    let asker = Asker::for_sick(&workload.name, sick);
    turns::take(context, asker).map(Some)
}

/// Requeues at once: something was done, and the next pass looks at what came of it.
const AT_ONCE: Duration = Duration::ZERO;
