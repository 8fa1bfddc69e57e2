//! Everything an Incident's planning reads: the store, and what policy files say that are not in force. Reads only.

use std::sync::Arc;

use aegis_api::automation::Pause;
use aegis_api::{Incident, LoadBalancer, RemediationPolicy, Time, Workload};

use crate::context::{Context, Settings};
use crate::governing::{BrokenPolicy, broken_policies};

/// The world as one Incident sees it.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub workloads: Vec<Arc<Workload>>,
    pub policies: Vec<Arc<RemediationPolicy>>,
    /// Files of policies that are not in force as they are.
    pub broken_policies: Vec<BrokenPolicy>,
    pub incidents: Vec<Arc<Incident>>,
    pub balancers: Vec<Arc<LoadBalancer>>,
    /// The brake of the host, if it is on.
    pub paused: Option<Pause>,
    pub settings: Arc<Settings>,
    /// When this controller started: what it has not looked at since, it has not looked at.
    pub awake_since: Time,
    pub now: Time,
}

pub(super) async fn dereference(context: &Context, awake_since: Time) -> Observed {
    Observed {
        workloads: context.store.list(),
        policies: context.store.list(),
        broken_policies: broken_policies(&context.store).await,
        incidents: context.store.list(),
        balancers: context.store.list(),
        paused: context.store.automation().paused(),
        settings: Arc::clone(&context.settings),
        awake_since,
        now: context.clock.now(),
    }
}
