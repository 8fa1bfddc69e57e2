//! The Incident reconciler: reads, asks the planner what comes next, does what is to be done, and stores what came of it.
//!
//! Each pass takes one step and stores what came of it before the next one begins, so that a crash anywhere resumes
//! where it was. Asking the model is a step like any other: the answer lands in the status, and the next pass judges it.
//! Which steps there are, and where they lead, is in [`aegis_planning::incident`].

mod dereference;
mod effects;
mod leases;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aegis_api::proposal::Action as Remedy;
use aegis_api::{Incident, IncidentStatus, Time};
use aegis_brain::Brain;
use aegis_planning::host_limit::{self, HostRuling};
use aegis_planning::incident::next::Next;
use aegis_planning::incident::phase::next;
use aegis_planning::incident::validate::{ValidatedIncident, validate};
use aegis_planning::set_back;
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;
use crate::recall::Recall;
use crate::turns::{self, Turn};
use leases::Leases;

pub(crate) use effects::learn::entry_name;

/// Why a pass ended early. Nothing is lost: the next one repeats the step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A change of the workload or the runbook could not be stored.
    #[error("cannot apply the plan of incident {incident}")]
    Apply { incident: String, source: StoreError },
    /// The status could not be stored.
    #[error("cannot store the state of incident {incident}")]
    Store { incident: String, source: StoreError },
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "apply",
            Self::Store { .. } => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Apply { .. } | Self::Store { .. } => OnError::Backoff,
        }
    }
}

/// Reconciles Incidents.
#[derive(Debug, Clone)]
pub struct IncidentReconciler {
    context: Context,
    brain: Arc<Brain>,
    recall: Recall,
    leases: Arc<Leases>,
    awake_since: Time,
}

impl IncidentReconciler {
    /// A reconciler in this context that asks this brain.
    pub fn new(context: Context, brain: Arc<Brain>, recall: Recall) -> Self {
        Self {
            awake_since: context.clock.now(),
            context,
            brain,
            recall,
            leases: Arc::default(),
        }
    }
}

/// How soon one whose turn another took at the same moment looks again: what the other does is stored by then.
const SHORTLY: Duration = Duration::from_millis(100);

impl IncidentReconciler {
    /// A turn on the host where automation approves a plan that changes something.
    fn turn(&self, incident: &ValidatedIncident, next: &Next) -> Result<Option<Turn>, HostRuling> {
        let (Some(plan), Ok(workload)) = (next.approved(), &incident.target) else {
            return Ok(None);
        };
        if plan.action == Remedy::Noop || host_limit::is_ordered(&incident.incident) {
            return Ok(None);
        }
        turns::take(&self.context, host_limit::asker(&incident.incident, workload)).map(Some)
    }

    /// The incident in the world as it is now, and what comes next.
    async fn observe_and_plan(&self, incident: &Arc<Incident>) -> (ValidatedIncident, Next) {
        let observed = dereference::dereference(&self.context, incident, self.awake_since).await;
        // What it waits for ends although the clock was set back meanwhile.
        let set_at = self.context.clock.set_at();
        let incident = &set_back::incident(Arc::clone(incident), set_at, observed.now);
        let mut validated = validate(incident, &observed);
        if !incident.is_finished() {
            self.leases.claim_for(&mut validated, |holder| {
                let holder = self.context.store.get::<Incident>(holder);
                holder.is_none_or(|holder| holder.is_finished())
            });
        }
        let next = next(&validated);
        (validated, next)
    }
}

impl Reconciler for IncidentReconciler {
    type Error = Error;
    const KIND: &'static str = "Incident";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let Some(incident) = self.context.store.get::<Incident>(name) else {
            self.leases.release(name);
            return Ok(Action::AwaitChange);
        };
        if incident.is_finished() {
            self.leases.release(name);
            if !incident.status.as_ref().is_some_and(IncidentStatus::is_unsettled) {
                return Ok(Action::AwaitChange);
            }
        }
        let (incident, next) = self.observe_and_plan(&incident).await;
        // Among those that are about to act at this moment, too, the limits of the host hold.
        let Ok(_turn) = self.turn(&incident, &next) else {
            return Ok(Action::Requeue(SHORTLY));
        };
        if next.releases_lease(&incident) {
            self.leases.release(incident.name());
        }
        let (transition, otherwise) = match next {
            Next::Transition(transition) => (Some(transition), None),
            Next::Effect(effect) => {
                let transition = effects::carry_out(self, &incident, effect).await?;
                (transition, Some(Duration::ZERO))
            }
            Next::Wait(pause) => (None, pause),
        };
        let again = transition
            .as_ref()
            .map_or(otherwise, |transition| transition.again);
        status::write(&self.context, &incident, transition).await?;
        Ok(again.map_or(Action::AwaitChange, Action::Requeue))
    }
}
