//! The loops, one a kind, put together: the one assembly, which the controller runs and the simulation proves. Owns how
//! many objects are reconciled at a time and how often all are resynced. No I/O of its own.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::precedence::Urgency;
use aegis_api::{Detector, LoadBalancer, RemediationPolicy, RunbookEntry, Workload};
use aegis_brain::Brain;
use aegis_runtime::controller::Trigger;
use aegis_runtime::{Controller, Observer, Reconciler, Store};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use crate::autoscale::Autoscaler;
use crate::context::Context;
use crate::detector::DetectorReconciler;
use crate::docker_events::DockerEvents;
use crate::incident::IncidentReconciler;
use crate::load_balancer::LoadBalancerReconciler;
use crate::policy::PolicyReconciler;
use crate::recall::Recall;
use crate::runbook::RunbookReconciler;
use crate::triggers;
use crate::urgency;
use crate::workload::WorkloadReconciler;

/// The net under events: every object is reconciled this often, whether or not an event came in.
const RESYNC: Duration = Duration::from_secs(30);

/// Where the jitter of one loop comes from: numbers in `0.0..1.0`.
pub type Jitter = Box<dyn FnMut() -> f64 + Send>;

/// What the reconcilers work with.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// What all of them share.
    pub context: &'a Context,
    /// The engine's events.
    pub events: &'a DockerEvents,
    /// Who analyses and votes.
    pub brain: &'a Arc<Brain>,
    /// Retrieval over the runbook.
    pub recall: &'a Recall,
}

/// What the loops share beside the context: whom they report to, their jitter, and what ends them.
#[derive(Default)]
pub struct Surroundings {
    /// Who is notified of every reconcile.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Makes the jitter of each loop, in the order of the loops; without it that of the process.
    pub jitter: Option<Box<dyn FnMut() -> Jitter>>,
    /// Ends them all.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

/// Every loop, with the kind it is for; each runs until the shutdown.
pub fn controllers(
    parts: Parts<'_>,
    surroundings: Surroundings,
) -> Vec<(&'static str, BoxFuture<'static, ()>)> {
    let Parts {
        context,
        events,
        brain,
        recall,
    } = parts;
    let mut loops = Loops {
        store: context.store.clone(),
        surroundings,
        all: Vec::new(),
    };
    // What reconciles a kind, what triggers it, how many at a time, what goes first, and what is reconciled with every resync.
    loops.add(
        WorkloadReconciler::new(context.clone()),
        triggers::workloads(context, events),
        16,
        Some(urgency::workload),
        triggers::all::<Workload>,
    );
    loops.add(
        Autoscaler::new(context.clone()),
        triggers::own::<Workload>(context),
        8,
        None,
        triggers::all::<Workload>,
    );
    loops.add(
        LoadBalancerReconciler::new(context.clone()),
        triggers::load_balancers(context, events),
        4,
        Some(urgency::load_balancer),
        triggers::all::<LoadBalancer>,
    );
    loops.add(
        IncidentReconciler::new(context.clone(), Arc::clone(brain), recall.clone()),
        triggers::incidents(context),
        32,
        Some(urgency::incident),
        |store| triggers::open_incidents(store, None),
    );
    loops.add(
        PolicyReconciler::new(context.clone(), Arc::clone(brain)),
        triggers::own::<RemediationPolicy>(context),
        2,
        None,
        triggers::all::<RemediationPolicy>,
    );
    let detectors = DetectorReconciler::new(context.clone());
    let triggers = detectors.triggers(events);
    loops.add(detectors, triggers, 4, None, triggers::all::<Detector>);
    loops.add(
        RunbookReconciler::new(context.clone()),
        triggers::runbook(context),
        2,
        None,
        triggers::all::<RunbookEntry>,
    );
    loops.all
}

struct Loops {
    store: Store,
    surroundings: Surroundings,
    all: Vec<(&'static str, BoxFuture<'static, ()>)>,
}

impl Loops {
    fn add<R: Reconciler>(
        &mut self,
        reconciler: R,
        triggers: Vec<BoxStream<'static, Trigger>>,
        at_a_time: usize,
        urgent: Option<fn(&Store, &str) -> Urgency>,
        names: fn(&Store) -> Vec<String>,
    ) {
        let store = self.store.clone();
        let mut controller = Controller::new(Arc::new(reconciler))
            .resync(RESYNC, move || names(&store))
            .concurrency(at_a_time);
        if let Some(urgent) = urgent {
            let store = self.store.clone();
            controller = controller.urgent(move |name| urgent(&store, name));
        }
        if let Some(jitter) = &mut self.surroundings.jitter {
            controller = controller.random(jitter());
        }
        for observer in &self.surroundings.observers {
            controller = controller.observe(Arc::clone(observer));
        }
        for stream in triggers {
            controller = controller.trigger(stream);
        }
        let shutdown = self.surroundings.shutdown.clone();
        self.all.push((R::KIND, controller.run(shutdown).boxed()));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use aegis_api::KINDS;
    use aegis_brain::BrainConfig;
    use aegis_docker_fake::FakeEngine;

    use super::*;
    use crate::context::Settings;
    use crate::context::tests::over;

    /// Runs every loop over a context, until the answer is dropped.
    pub(crate) fn run_all(context: &Context, brain: Brain) -> tokio_util::sync::DropGuard {
        let (events, recall) = (DockerEvents::new(context), Recall::default());
        let parts = Parts {
            context,
            events: &events,
            brain: &Arc::new(brain),
            recall: &recall,
        };
        let surroundings = Surroundings::default();
        let ends = surroundings.shutdown.clone().drop_guard();
        for (_, run) in controllers(parts, surroundings) {
            tokio::spawn(run);
        }
        ends
    }

    #[tokio::test]
    async fn every_kind_with_conditions_has_one_loop_that_ends_with_the_shutdown() {
        let (context, _state) = over(&FakeEngine::default(), Settings::default()).await;
        let brain = Arc::new(Brain::new(BrainConfig::default()).unwrap());
        let parts = Parts {
            context: &context,
            events: &DockerEvents::new(&context),
            brain: &brain,
            recall: &Recall::default(),
        };
        let surroundings = Surroundings::default();
        let shutdown = surroundings.shutdown.clone();
        let loops = controllers(parts, surroundings);
        let mut kinds: Vec<&str> = loops.iter().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        // What has none is only consulted by others: nothing of it converges.
        let converge = KINDS.iter().filter(|info| !info.conditions.is_empty());
        let mut wanted: Vec<&str> = converge.map(|info| info.kind).collect();
        // A second loop over Workloads.
        wanted.push(Autoscaler::KIND);
        wanted.sort_unstable();
        assert_eq!(kinds, wanted);
        shutdown.cancel();
        futures::future::join_all(loops.into_iter().map(|(_, run)| run)).await;
    }
}
