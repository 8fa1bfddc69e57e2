//! The LoadBalancer reconciler: keeps an nginx's upstreams equal to the containers that can serve.
//!
//! A configuration is rendered, checked by nginx itself in a staging folder, put in place, loaded, and proved: nginx
//! must answer with the new revision. The last good configuration stays wherever any of that fails. An upstream without a
//! server is never written: its location answers 503 instead.
//!
//! A server is at its address only as long as the engine says so. Where its container ended, left the network or has
//! another address, nginx is reloaded at once, on the engine's event, whatever the Workload's status says. What cannot be
//! prevented is the time in between: until nginx has loaded its next configuration (the event, one inspection, one command
//! and a reload), the next container at that address gets requests. The same holds while this controller or the engine is
//! away, and while nginx refuses every configuration, as with a broken file of another author beside ours; the condition
//! then names the upstream and the address.

mod apply;
mod dereference;
mod error;
mod installed_config;
mod memory;
mod nginx;
mod receipts;
mod reload_batch;
mod standby;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aegis_api::meta::LOAD_BALANCER_FINALIZER;
use aegis_api::{Kind, LoadBalancer};
use aegis_planning::load_balancer::observed::Observed;
use aegis_planning::load_balancer::plan::{contain, contain_requests, plan};
use aegis_planning::load_balancer::status::{Applied, Outcome};
use aegis_planning::load_balancer::validate::{ValidatedLoadBalancer, validate};
use aegis_planning::load_balancer::withdrawal::withdrawal;
use aegis_planning::set_back;
use aegis_runtime::controller::{Action, Reconciler};
use aegis_runtime::finalizer;

pub use error::Error;
use error::Failure;
use memory::Memory;

use crate::context::Context;

/// What a pass came to.
enum Pass {
    Done(Box<Outcome>),
    /// Further servers are about to join: one reload will do for all.
    PutOff(Duration),
    /// It is being deleted, and no nginx has anything of it that would have to be made safe.
    Over,
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
        let observed = dereference::dereference(&self.context, &self.memory, balancer).await;
        let observed = observed.map_err(|error| Failure {
            as_known: matches!(error, dereference::Error::NotNginx { .. }),
            ..Failure::from(error)
        })?;
        // Before the rest is judged: of an nginx that does not run, nothing is valid.
        apply::restore(&self.context, &self.memory, balancer, &observed).await?;
        let unproved = observed.is_unproved(balancer).then(|| observed.clone());
        match (self.bring(balancer, observed).await, unproved) {
            (Err(failure), Some(observed)) if balancer.is_deleting() => {
                self.withdraw_tcp(balancer, &observed).await?;
                let (_, why) = failure.error.reason_and_message();
                let balancer = balancer.name();
                tracing::info!(
                    balancer,
                    why,
                    "of what is deleted nginx was proved to have nothing, and has no TCP backend"
                );
                Ok(Pass::Over)
            }
            (brought, _) => brought,
        }
    }

    /// Judges what was observed, and has nginx serve what it should.
    async fn bring(&self, balancer: &LoadBalancer, observed: Observed) -> Result<Pass, Failure> {
        let is_last = balancer.is_deleting() && !observed.runs();
        let withdrawn = match is_last || observed.refuses_path(balancer).is_some() {
            true => self.withdraw_tcp(balancer, &observed).await,
            false => Ok(None),
        };
        if is_last || (balancer.is_deleting() && observed.refuses_path(balancer).is_some()) {
            return withdrawn.map(|_| Pass::Over);
        }
        let proved = balancer
            .status
            .as_ref()
            .and_then(|status| status.revision.as_ref());
        // Where no status says so, nginx may still serve an earlier file of ours that does not answer.
        let as_known = observed.served.as_ref() == proved && !observed.leftover;
        let validated = validate(balancer, observed).map_err(|source| {
            let balancer = balancer.name().to_owned();
            let failure = Failure {
                as_known,
                ..Failure::from(Error::Validate { balancer, source })
            };
            match withdrawn {
                Ok(contained) => Failure { contained, ..failure },
                Err(astray) if !astray.strays.is_empty() => astray,
                Err(_) => failure,
            }
        })?;
        let prepared = match plan(&validated) {
            Ok(prepared) => prepared,
            Err(source) => {
                let balancer = validated.name.clone();
                let error = Error::Plan { balancer, source };
                return Err(self.contain(&validated, error, as_known).await);
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
            Err(error) => Err(self.contain(&validated, error.into(), as_known).await),
        }
    }

    /// Where it may not or cannot write its file of requests: takes at least those servers out of that of TCP backends that are none
    /// any more.
    async fn withdraw_tcp(
        &self,
        balancer: &LoadBalancer,
        observed: &Observed,
    ) -> Result<Option<Applied>, Failure> {
        let Some(withdrawal) = withdrawal(balancer, observed) else {
            return Ok(None);
        };
        let withdrawn = apply::withdraw_tcp(&self.context, &self.memory, balancer, observed, &withdrawal);
        withdrawn.await.map_err(|error| Failure {
            strays: withdrawal.strays,
            ..Failure::from(error)
        })
    }

    /// Where nginx could not be given what it should have: takes at least those servers out of what it has that are none
    /// any more; where the file of TCP backends cannot be written, at least out of that of requests.
    async fn contain(&self, balancer: &ValidatedLoadBalancer, error: Error, as_known: bool) -> Failure {
        let (mut error, mut contained) = (error, None);
        let requests = contain_requests(balancer).filter(|_| error.may_be_of_one_file());
        let whole = contain(balancer).filter(|_| error.is_of_configuration());
        for plan in whole.into_iter().chain(requests) {
            match apply::apply(&self.context, &self.memory, balancer, plan).await {
                Ok(applied) => {
                    contained = Some(applied);
                    break;
                }
                // What people have to change before the servers can go.
                Err(other) if matches!(other.cause(), Some(nginx::Error::Misfit { .. })) => {
                    error = other.into();
                }
                // Why this failed, too, is reported by the first error.
                Err(_) => {}
            }
        }
        let mut strays = balancer.strays.clone();
        if let Some(applied) = &contained {
            strays.retain(|stray| applied.plan.servers.contains(stray));
        }
        Failure {
            error,
            strays,
            contained,
            as_known,
        }
    }

    async fn failed(&self, balancer: &LoadBalancer, failure: Failure) -> Result<Action, Error> {
        let error = failure.error.with_strays(&failure.strays);
        let (reason, message) = error.reason_and_message();
        let failed = status::Failed {
            reason,
            message,
            contained: failure.contained,
            releases_unserved: failure.as_known && error.left_nginx_alone(),
        };
        status::failed(&self.context, balancer, failed).await?;
        Err(error)
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
        let balancer = set_back::balancer(balancer, context.clock.set_at(), context.clock.now());
        match self.pass(&balancer).await {
            Ok(Pass::Over) => Ok(status::finalize(context, &balancer, None).await?),
            Ok(Pass::Done(outcome)) if deleting && outcome.applied.plan.is_quiet() => {
                Ok(status::finalize(context, &balancer, None).await?)
            }
            Ok(Pass::Done(outcome)) => Ok(status::update(context, &balancer, *outcome).await?),
            Ok(Pass::PutOff(pause)) => Ok(Action::Requeue(pause)),
            Err(failure) if deleting && failure.contained.is_some() && failure.strays.is_empty() => {
                let (_, why) = failure.error.reason_and_message();
                Ok(status::finalize(context, &balancer, Some(&why)).await?)
            }
            Err(failure) => self.failed(&balancer, failure).await,
        }
    }
}
