//! Everything an Incident's planning reads: all of it is in the store. Reads only.

use std::sync::Arc;

use aegis_api::{Incident, LoadBalancer, RemediationPolicy, Time, Workload};

use crate::context::{Context, Settings};

/// The world as one Incident sees it.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub workloads: Vec<Arc<Workload>>,
    pub policies: Vec<Arc<RemediationPolicy>>,
    pub incidents: Vec<Arc<Incident>>,
    pub balancers: Vec<Arc<LoadBalancer>>,
    pub settings: Arc<Settings>,
    pub now: Time,
}

pub(super) fn dereference(context: &Context, _incident: &Incident) -> Observed {
    Observed {
        workloads: context.store.list(),
        policies: context.store.list(),
        incidents: context.store.list(),
        balancers: context.store.list(),
        settings: Arc::clone(&context.settings),
        now: context.clock.now(),
    }
}
