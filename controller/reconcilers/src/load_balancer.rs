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
mod installed_config;
mod memory;
mod nginx;
mod receipts;
mod reload_batch;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aegis_api::load_balancer::Server;
use aegis_api::meta::LOAD_BALANCER_FINALIZER;
use aegis_api::{Kind, LoadBalancer};
use aegis_planning::Invalid;
use aegis_planning::load_balancer::plan::{Unplanned, contain, plan};
use aegis_planning::load_balancer::status::{Applied, Outcome};
use aegis_planning::load_balancer::validate::{ValidatedLoadBalancer, validate};
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::finalizer;

use memory::Memory;

use crate::context::Context;

/// How soon it is tried again to take out what is not a server any more.
const STRAYS_WITHIN: Duration = Duration::from_secs(2);

/// Why a reconcile ended early: which step failed. The status says it too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// Things do not fit together.
    #[error("load balancer {balancer} cannot be configured")]
    Validate { balancer: String, source: Invalid },
    /// There is no configuration to bring to nginx.
    #[error("load balancer {balancer} cannot be configured")]
    Plan { balancer: String, source: Unplanned },
    /// nginx could not be given its configuration; the last good one stays, or was put back.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// Something of the above, and nginx goes on sending requests to addresses that are not its servers' any more.
    #[error("{servers}")]
    Astray { servers: String, source: Box<Error> },
    /// The status could not be stored.
    #[error(transparent)]
    Status(#[from] status::Error),
}

impl Error {
    /// Whether it lies at the configuration: another one may be loaded all the same.
    fn is_of_configuration(&self) -> bool {
        match self {
            Self::Validate { .. } | Self::Plan { .. } => true,
            Self::Apply(error) => match error.cause() {
                nginx::Error::Refused { .. } | nginx::Error::Unproved { .. } => true,
                nginx::Error::Engine { .. } => false,
            },
            Self::Dereference(_) | Self::Astray { .. } | Self::Status(_) => false,
        }
    }
}

impl ReconcileError for Error {
    fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "observe",
            Self::Validate { .. } => "invalid",
            Self::Plan { source, .. } => match source {
                Unplanned::Template { .. } => "template",
                Unplanned::Render { .. } => "invalid",
            },
            Self::Apply(error) => match error.cause() {
                nginx::Error::Engine { .. } => "apply",
                nginx::Error::Refused { .. } => "refused",
                nginx::Error::Unproved { .. } => "unproved",
            },
            Self::Astray { source, .. } => source.category(),
            Self::Status(_) => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
            Self::Astray { .. } => OnError::BackoffWithin(STRAYS_WITHIN),
            // Each of these changes when a file, the container or the engine does, none of which is an event of the
            // store: so they are looked at again, ever more rarely.
            Self::Dereference(_)
            | Self::Validate { .. }
            | Self::Plan { .. }
            | Self::Apply(_)
            | Self::Status(_) => OnError::Backoff,
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

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            strays: Vec::new(),
            contained: None,
        }
    }
}

/// Reconciles LoadBalancers.
#[derive(Debug, Clone)]
pub struct LoadBalancerReconciler {
    context: Context,
    memory: Memory,
}

impl LoadBalancerReconciler {
    /// A reconciler in this context.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            memory: Memory::default(),
        }
    }

    async fn pass(&self, balancer: &LoadBalancer) -> Result<Pass, Failure> {
        let observed = dereference::dereference(&self.context, &self.memory, balancer).await?;
        // Before the rest is judged: of an nginx that does not run, nothing is valid.
        apply::restore(&self.context, &self.memory, balancer, &observed).await?;
        if balancer.is_deleting() && !observed.runs() {
            return Ok(Pass::Over);
        }
        let validated = validate(balancer, observed).map_err(|source| Error::Validate {
            balancer: balancer.name().to_owned(),
            source,
        })?;
        let prepared = match plan(&validated) {
            Ok(prepared) => prepared,
            Err(source) => {
                let balancer = validated.name.clone();
                let error = Error::Plan { balancer, source };
                return Err(self.contain(&validated, error).await);
            }
        };
        if balancer.is_deleting() && prepared.rendered.is_none() {
            return Ok(Pass::Over);
        }
        let pause = |known: &mut memory::Entry| known.batch.pause(&validated, &prepared);
        if let Some(pause) = self.memory.with(balancer.name(), pause) {
            return Ok(Pass::PutOff(pause));
        }
        status::claim(&self.context, balancer, &prepared).await?;
        match apply::apply(&self.context, &self.memory, &validated, prepared).await {
            Ok(applied) => Ok(Pass::Done(Box::new(Outcome { validated, applied }))),
            Err(error) => Err(self.contain(&validated, error.into()).await),
        }
    }

    /// Where nginx could not be given what it should have: takes at least those servers out of what it has that are none
    /// any more.
    async fn contain(&self, balancer: &ValidatedLoadBalancer, error: Error) -> Failure {
        let contained = match contain(balancer).filter(|_| error.is_of_configuration()) {
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
            self.memory.forget(name);
            return Ok(Action::AwaitChange);
        };
        let context = &self.context;
        let deleting = balancer.is_deleting();
        if deleting && !finalizer::has(&balancer.metadata, LOAD_BALANCER_FINALIZER) {
            return Ok(Action::AwaitChange);
        }
        match self.pass(&balancer).await {
            Ok(Pass::Over) => Ok(status::finalize(context, &balancer, None).await?),
            Ok(Pass::Done(outcome)) if deleting && outcome.applied.plan.is_quiet() => {
                Ok(status::finalize(context, &balancer, None).await?)
            }
            Ok(Pass::Done(outcome)) => Ok(status::update(context, &balancer, *outcome).await?),
            Ok(Pass::PutOff(pause)) => Ok(Action::Requeue(pause)),
            Err(failure) if deleting && failure.contained.is_some() => {
                Ok(status::finalize(context, &balancer, Some(&failure.error)).await?)
            }
            Err(failure) => status::failed(context, &balancer, failure).await,
        }
    }
}
