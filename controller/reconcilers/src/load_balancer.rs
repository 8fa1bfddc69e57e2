//! The LoadBalancer reconciler: keeps an nginx's upstreams equal to the containers that can serve.
//!
//! A configuration is rendered, checked by nginx itself in a staging folder, put in place, loaded, and proved: nginx
//! must answer with the new revision. The last good configuration stays wherever any of that fails. An upstream without a
//! server is never written: its location answers 503 instead.
//!
//! A server is at its address only as long as the engine says so. Where its container ended, left the network or has
//! another address, nginx is told at once, on the engine's event, whatever the Workload's status says. What cannot be
//! prevented is the time in between: until nginx has loaded its next configuration (the event, one inspection, one command
//! and a reload), whoever is given the address meanwhile gets requests. The same holds while this controller or the
//! engine is away, and while nginx refuses every configuration, as with a broken file of somebody else's beside ours; the
//! condition then names the upstream and the address.

mod apply;
mod dereference;
mod on_disk;
mod patience;
mod receipts;
mod status;
mod swap;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aegis_api::load_balancer::Server;
use aegis_api::meta::LOAD_BALANCER_FINALIZER;
use aegis_api::{Kind, LoadBalancer, Reason};
use aegis_docker::EngineError;
use aegis_planning::Invalid;
use aegis_planning::load_balancer::plan::{Unplanned, contain, plan};
use aegis_planning::load_balancer::status::{Applied, Outcome};
use aegis_planning::load_balancer::validate::{ValidatedLoadBalancer, validate};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::finalizer;
use aegis_runtime::store::StoreError;

use crate::context::Context;

/// How soon it is tried again to take out what is not a server any more.
const STRAYS_WITHIN: Duration = Duration::from_secs(2);

/// Why a reconcile ended early. The status says it too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine could not be read.
    #[error("cannot observe the container of load balancer {balancer}")]
    Observe { balancer: String, source: EngineError },
    /// The template file could not be read.
    #[error("cannot read template {template} of load balancer {balancer}")]
    Template {
        balancer: String,
        template: String,
        source: Arc<std::io::Error>,
    },
    /// Things do not fit together.
    #[error("load balancer {balancer} cannot be configured: {message}")]
    Invalid {
        balancer: String,
        reason: Reason,
        message: String,
    },
    /// A step against nginx's container failed.
    #[error("cannot {step} for load balancer {balancer}")]
    Apply {
        balancer: String,
        step: &'static str,
        source: EngineError,
    },
    /// nginx refuses the configuration; the last good one stays.
    #[error("nginx refuses the new configuration of load balancer {balancer}: {output}")]
    Refused { balancer: String, output: String },
    /// nginx did not come to serve the configuration; the last good one was put back.
    #[error("nginx of load balancer {balancer} does not serve revision {revision}: {message}")]
    Unproved {
        balancer: String,
        revision: String,
        message: String,
    },
    /// Something of the above, and nginx goes on sending requests to addresses that are not its servers' any more.
    #[error("{servers}")]
    Astray { servers: String, source: Box<Error> },
    /// The status could not be stored.
    #[error("cannot store the state of load balancer {balancer}")]
    Store { balancer: String, source: StoreError },
}

impl Error {
    fn invalid(balancer: &str, invalid: Invalid) -> Self {
        Self::Invalid {
            balancer: balancer.to_owned(),
            reason: invalid.reason,
            message: invalid.message,
        }
    }

    fn unplanned(balancer: &str, unplanned: Unplanned) -> Self {
        match unplanned {
            Unplanned::Template { template, source } => Self::Template {
                balancer: balancer.to_owned(),
                template,
                source,
            },
            Unplanned::Invalid(invalid) => Self::invalid(balancer, invalid),
        }
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Observe { .. } => "observe",
            Self::Template { .. } => "template",
            Self::Invalid { .. } => "invalid",
            Self::Apply { .. } => "apply",
            Self::Refused { .. } => "refused",
            Self::Unproved { .. } => "unproved",
            Self::Astray { source, .. } => source.category(),
            Self::Store { .. } => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Astray { .. } => OnError::BackoffWithin(STRAYS_WITHIN),
            // Each of these changes when a file, the container or the engine does, none of which is an event of the
            // store: so they are looked at again, ever more rarely.
            Self::Observe { .. }
            | Self::Template { .. }
            | Self::Invalid { .. }
            | Self::Apply { .. }
            | Self::Refused { .. }
            | Self::Unproved { .. }
            | Self::Store { .. } => OnError::Backoff,
        }
    }
}

/// What a pass came to.
enum Pass {
    Done(Box<Outcome>),
    /// Further servers are about to join: one reload will do for all.
    PutOff(Duration),
    /// It is being deleted, and no nginx has anything of it that would have to be made safe.
    Over,
}

/// Why a pass ended early, and what it leaves behind.
struct Failure {
    error: Error,
    /// Servers that nginx still has, whose addresses are not theirs any more.
    strays: Vec<Server>,
    /// They were taken out of the last good configuration, which nginx serves.
    contained: Option<Applied>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            strays: Vec::new(),
            contained: None,
        }
    }
}

/// What earlier passes found out about nginx's container, and would find out again.
#[derive(Debug, Clone, Default)]
struct Memory {
    on_disk: on_disk::OnDisk,
    swaps: swap::Swaps,
}

/// Reconciles LoadBalancers.
#[derive(Debug, Clone)]
pub struct LoadBalancerReconciler {
    context: Context,
    patience: patience::Patience,
    memory: Memory,
}

impl LoadBalancerReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            patience: patience::Patience::default(),
            memory: Memory::default(),
        }
    }

    async fn pass(&self, balancer: &LoadBalancer) -> Result<Pass, Failure> {
        let observed = dereference::dereference(&self.context, &self.memory.on_disk, balancer).await?;
        apply::restore(&self.context, &self.memory.on_disk, balancer, &observed).await?;
        if balancer.is_deleting() && !observed.runs() {
            return Ok(Pass::Over);
        }
        let validated = validate(balancer, observed);
        let validated = validated.map_err(|invalid| Error::invalid(balancer.name(), invalid))?;
        let prepared = match plan(&validated) {
            Ok(prepared) => prepared,
            Err(unplanned) => {
                let error = Error::unplanned(&validated.name, unplanned);
                return Err(self.contain(&validated, error).await);
            }
        };
        if balancer.is_deleting() && prepared.rendered.is_none() {
            return Ok(Pass::Over);
        }
        if let Some(pause) = self.patience.pause(&validated, &prepared) {
            return Ok(Pass::PutOff(pause));
        }
        status::claim(&self.context, balancer, &prepared).await?;
        match apply::apply(&self.context, &self.memory, &validated, prepared).await {
            Ok(applied) => Ok(Pass::Done(Box::new(Outcome { validated, applied }))),
            Err(error) => Err(self.contain(&validated, error).await),
        }
    }

    /// Where nginx could not be given what it should have: takes at least those servers out of what it has that are none
    /// any more.
    async fn contain(&self, balancer: &ValidatedLoadBalancer, error: Error) -> Failure {
        let configuration = matches!(
            error,
            Error::Template { .. } | Error::Invalid { .. } | Error::Refused { .. } | Error::Unproved { .. }
        );
        let contained = match contain(balancer).filter(|_| configuration) {
            // Why this failed, too, is told by the first error.
            Some(plan) => apply::apply(&self.context, &self.memory, balancer, plan)
                .await
                .ok(),
            None => None,
        };
        Failure {
            error,
            strays: match contained {
                Some(_) => Vec::new(),
                None => balancer.strays.clone(),
            },
            contained,
        }
    }
}

impl Reconciler for LoadBalancerReconciler {
    type Error = Error;
    const KIND: &'static str = "LoadBalancer";

    async fn reconcile(&self, name: &str) -> Result<Action, Error> {
        let Some(balancer) = self.context.store.get::<LoadBalancer>(name) else {
            self.patience.forget(name);
            self.memory.on_disk.forget(name);
            self.memory.swaps.forget(name);
            return Ok(Action::AwaitChange);
        };
        let context = &self.context;
        let deleting = balancer.is_deleting();
        if deleting && !finalizer::has(&balancer.metadata, LOAD_BALANCER_FINALIZER) {
            return Ok(Action::AwaitChange);
        }
        match self.pass(&balancer).await {
            Ok(Pass::Over) => status::finalize(context, &balancer, None).await,
            Ok(Pass::Done(outcome)) if deleting && outcome.applied.plan.is_quiet() => {
                status::finalize(context, &balancer, None).await
            }
            Ok(Pass::Done(outcome)) => status::update(context, &balancer, *outcome).await,
            Ok(Pass::PutOff(pause)) => Ok(Action::Requeue(pause)),
            Err(failure) if deleting && failure.contained.is_some() => {
                status::finalize(context, &balancer, Some(&failure.error)).await
            }
            Err(failure) => status::failed(context, &balancer, failure).await,
        }
    }
}
