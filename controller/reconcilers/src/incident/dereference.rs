//! Everything an Incident's planning reads: the store, and what policy files say that are not in force. Reads only.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::lifecycle::{Cause, LastEnd};
use aegis_api::{ContainerId, Incident, Phase, Time, Workload};
use aegis_planning::host_reading::HostReading;
use aegis_planning::incident::observed::Observed;

use crate::broken_policies::broken_policies;
use crate::context::Context;

pub(super) async fn dereference(context: &Context, incident: &Incident, awake_since: Time) -> Observed {
    let workloads = context.store.list();
    Observed {
        stopped: stopped(context, &workloads),
        workloads,
        policies: context.store.list(),
        broken_policies: broken_policies(&context.store).await,
        incidents: context.store.list(),
        balancers: context.store.list(),
        detectors: context.store.list(),
        paused: context.store.automation().paused(),
        resumed: context.store.automation().resumed().map(|resume| resume.at),
        reading: reading(context, incident).await,
        cooldown: context.settings.cooldown,
        verification_deadline: context.settings.verification_deadline,
        max_replicas: context.settings.max_replicas,
        limits: context.settings.limits,
        awake_since,
        now: context.clock.now(),
    }
}

fn stopped(context: &Context, workloads: &[Arc<Workload>]) -> BTreeSet<ContainerId> {
    let adopting = workloads
        .iter()
        .filter(|workload| workload.spec.container.is_some());
    let rows = adopting.flat_map(|workload| workload.status.iter().flat_map(|status| &status.instances));
    let by_hand = rows
        .filter(|row| row.index == 0)
        .filter(|row| match context.lifecycle.last_end(&row.id) {
            LastEnd::Open { .. } => true,
            LastEnd::Known(death) => death.cause == Cause::Human,
            LastEnd::Unseen => false,
        });
    by_hand.map(|row| row.id.clone()).collect()
}

/// Reads the host where the incident is about to be judged: what cannot be read is not known.
async fn reading(context: &Context, incident: &Incident) -> HostReading {
    let phase = incident.status.as_ref().map(|status| status.phase);
    if !matches!(
        phase,
        Some(Phase::CouncilReview | Phase::AwaitingApproval | Phase::Approved)
    ) {
        return HostReading::default();
    }
    HostReading::of(&context.read_host().await)
}
