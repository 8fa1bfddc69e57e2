//! The Workload reconciler: makes Docker run what a Workload's spec desires.
//!
//! Adopted containers are started, restarted and watched, never removed. Replicas are made by faithful clone or from
//! a template, replaced when they are gone, and removed only after every load balancer has let them go.

mod apply;
mod dereference;
mod error;
mod restart_limit;
mod status;
mod stopped_by_hand;
#[cfg(test)]
mod tests;

use aegis_api::wire::plan::WorkloadPlan;
use aegis_api::{Kind as _, Reason, Workload};
use aegis_planning::Invalid;
use aegis_planning::host_limit::{Asker, HostRuling};
use aegis_planning::set_back;
use aegis_planning::workload::check::check;
use aegis_planning::workload::plan::{Prepared, Step, plan};
use aegis_planning::workload::preview::preview as planned;
use aegis_planning::workload::validate::{ValidatedWorkload, validate};
use aegis_runtime::controller::{Action, Reconciler};

pub use error::Error;
use status::{AT_ONCE, Next};

use crate::context::Context;
use crate::turns::{self, Turn};

/// What the containers of a Workload would go through if it were stored like this. Reads only.
pub async fn preview(context: &Context, workload: &Workload) -> Result<WorkloadPlan, Error> {
    let observed = dereference::dereference(context, workload).await?;
    let asked = workload.clone();
    // It may compute for a while.
    let answer = tokio::task::spawn_blocking(move || planned(&asked, observed)).await;
    let answer = answer.unwrap_or_else(|error| {
        Err(Invalid {
            reason: Reason::Failed,
            message: format!("what it would do cannot be worked out: {error}"),
        })
    });
    answer.map_err(|source| Error::Validate {
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
        let workload = set_back::workload(workload, context.clock.now());
        let observed = match dereference::dereference(context, &workload).await {
            Ok(observed) => observed,
            Err(error) => return failed(context, &workload, error.into()).await,
        };
        let mut validated = match validate(&workload, observed) {
            Ok(validated) => validated,
            Err(source) => {
                let error = Error::Validate {
                    workload: name.to_owned(),
                    source,
                };
                return failed(context, &workload, error).await;
            }
        };
        let mut prepared = check(&validated, plan(&validated));
        // Held until what was observed as unhealthy is stored: that is what others count.
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
        status::count_ahead(context, &workload, &validated, &prepared).await?;
        let workload = context.store.get::<Workload>(name).unwrap_or(workload);
        let applied = apply::apply(context, &validated, prepared).await;
        let next = status::update(context, &workload, &validated, &applied.outcome).await?;
        match (next, applied.failure) {
            (Next::LetGo, _) => Ok(Action::AwaitChange),
            (Next::Look(_), Some(failure)) => Err(failure.into()),
            (Next::Look(action), None) => Ok(action),
        }
    }
}

/// Stores why nothing could be done.
async fn failed(context: &Context, workload: &Workload, error: Error) -> Result<Action, Error> {
    let (reason, message) = error.reason_and_message();
    status::failed(context, workload, reason, message).await?;
    Err(error)
}

/// A turn on the host where the plan begins to restart something unhealthy.
fn turn(
    context: &Context,
    workload: &ValidatedWorkload,
    prepared: &Prepared,
) -> Result<Option<Turn>, HostRuling> {
    let mut steps = prepared.steps.iter();
    if !steps.any(|step| matches!(step, Step::Capture { .. })) {
        return Ok(None);
    }
    let unhealthy = workload.instances.iter().map(|instance| instance.unhealthy_since);
    let asker = Asker::for_unhealthy(&workload.name, unhealthy);
    turns::take(context, asker).map(Some)
}
