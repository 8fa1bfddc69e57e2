//! The LoadBalancer reconciler: keeps an nginx's upstreams equal to the containers that can serve.
//!
//! A configuration is rendered, checked by nginx itself in a staging folder, put in place, loaded, and proved: nginx
//! must answer with the new revision. The last good configuration stays wherever any of that fails, and an upstream
//! without a server is never written.

mod apply;
mod dereference;
mod membership;
mod on_disk;
mod patience;
mod plan;
mod receipts;
mod render;
mod staging;
mod status;
mod swap;
#[cfg(test)]
mod tests;
mod validate;

use aegis_api::LoadBalancer;
use aegis_docker::EngineError;
use aegis_runtime::controller::{Action, OnError, ReconcileError, Reconciler};
use aegis_runtime::store::StoreError;

use crate::context::Context;

/// Path at which every rendered configuration answers with its revision.
pub const REVISION_PATH: &str = "/aegis-revision";

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
        source: std::io::Error,
    },
    /// Things do not fit together.
    #[error("load balancer {balancer} cannot be configured: {message}")]
    Invalid {
        balancer: String,
        reason: &'static str,
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
    /// The status could not be stored.
    #[error("cannot store the state of load balancer {balancer}")]
    Store { balancer: String, source: StoreError },
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
            Self::Store { .. } => "store",
        }
    }

    fn on_error(&self) -> OnError {
        match self {
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
    Done(Box<status::Outcome>),
    /// Further servers are about to join: one reload will do for all.
    PutOff(std::time::Duration),
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

    async fn pass(&self, balancer: &LoadBalancer) -> Result<Pass, Error> {
        let observed = dereference::dereference(&self.context, &self.memory.on_disk, balancer).await?;
        apply::restore(&self.context, &self.memory.on_disk, balancer, &observed).await?;
        let validated = validate::validate(balancer, observed)?;
        let prepared = plan::plan(&validated)?;
        if let Some(pause) = self.patience.pause(&validated, &prepared) {
            return Ok(Pass::PutOff(pause));
        }
        let applied = apply::apply(&self.context, &self.memory, &validated, prepared).await?;
        Ok(Pass::Done(Box::new(status::Outcome { validated, applied })))
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
        match self.pass(&balancer).await {
            Ok(Pass::Done(outcome)) => status::update(&self.context, &balancer, *outcome).await,
            Ok(Pass::PutOff(pause)) => Ok(Action::Requeue(pause)),
            Err(error) => status::failed(&self.context, &balancer, error).await,
        }
    }
}
