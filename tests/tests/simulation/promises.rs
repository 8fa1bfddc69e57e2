//! What must never happen, each checked over the whole record of a run (I9 is part of converging, I10 of restarting).
//! Pure: reads what was recorded.

#[path = "promises/autoscaling.rs"]
mod autoscaling;
#[path = "promises/balancer.rs"]
mod balancer;
#[path = "promises/engine.rs"]
mod engine;
#[path = "promises/remediation.rs"]
mod remediation;

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_api::scalar::Time;
use aegis_api::{Incident, Phase, Workload};
use aegis_docker_fake::{Effect, LoadedConfig, Tenancy};
use aegis_planning::host_limit::HostLimits;
use aegis_runtime::Verb;
use serde_json::Value;

use super::ledger::Record;
use super::scenario::Load;
use super::world::World;

/// The record of one run, as the promises read it.
pub(crate) struct Evidence {
    pub(crate) records: Vec<Record>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) loads: Vec<LoadedConfig>,
    pub(crate) tenancies: Vec<Tenancy>,
    /// When nothing kept the controller from its work.
    pub(crate) calms: Vec<(Time, Option<Time>)>,
    pub(crate) wishes: Vec<(String, Value)>,
    pub(crate) limits: HostLimits,
    pub(crate) load: Option<Load>,
    /// Every version of every incident, by uid.
    pub(crate) incidents: BTreeMap<String, Vec<(Time, Arc<Incident>)>>,
    /// Every version of every workload, by name.
    pub(crate) workloads: BTreeMap<String, Vec<(Time, Arc<Workload>)>>,
}

impl Evidence {
    fn of(world: &World) -> Self {
        let records = world.ledger.records();
        let (mut incidents, mut workloads) = (BTreeMap::new(), BTreeMap::new());
        for record in records.iter().filter(|record| record.verb != Verb::Deleted) {
            if let Some(incident) = record.object.typed::<Incident>() {
                let versions: &mut Vec<_> = incidents.entry(record.object.uid().to_owned()).or_default();
                versions.push((record.at, incident));
            }
            if let Some(workload) = record.object.typed::<Workload>() {
                let versions: &mut Vec<_> = workloads.entry(record.object.name().to_owned()).or_default();
                versions.push((record.at, workload));
            }
        }
        Self {
            records,
            effects: world.engine.effects(),
            loads: world.engine.loaded_configs(),
            tenancies: world.engine.tenancies(),
            calms: world.ledger.calms(),
            wishes: world.ledger.wishes(),
            limits: world.scenario.limits(),
            load: world.scenario.load.clone(),
            incidents,
            workloads,
        }
    }

    /// The workload as it was at an instant.
    pub(crate) fn workload_at(&self, name: &str, at: Time) -> Option<&Arc<Workload>> {
        let versions = self.workloads.get(name)?;
        versions
            .iter()
            .rev()
            .find(|(since, _)| *since <= at)
            .map(|(_, workload)| workload)
    }
}

/// Where an incident stands.
pub(crate) fn phase(incident: &Incident) -> Phase {
    incident
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default()
}

/// One promise, checked: what is broken of it.
type Check = fn(&Evidence) -> Vec<String>;

/// Every promise that was broken.
pub(crate) fn broken(world: &World) -> Vec<String> {
    let evidence = Evidence::of(world);
    let mut broken = Vec::new();
    let checks: [(&str, Check); 14] = [
        ("I1", remediation::i1_a_plan_stays),
        ("I2", engine::i2_one_restart_a_plan),
        ("I2", engine::i2_no_container_too_many),
        ("I3", engine::i3_bystanders_are_left_alone),
        ("I4", remediation::i4_only_the_closed_set_of_changes),
        ("I5", remediation::i5_no_quorum_no_action),
        ("I6", remediation::i6_one_remediation_at_a_time_within_its_limits),
        (
            "I6",
            remediation::i6_no_more_workloads_at_a_time_than_the_host_allows,
        ),
        (
            "I6",
            remediation::i6_what_does_not_last_is_repeated_with_growing_pauses,
        ),
        ("I6", autoscaling::i6_nothing_is_scaled_while_an_incident_acts),
        (
            "I6",
            autoscaling::i6_within_a_level_of_the_load_it_turns_once_at_most,
        ),
        ("I7", remediation::i7_resolved_and_learned_only_when_verified),
        (
            "I13",
            remediation::i13_no_action_without_a_symptom_measured_right_before,
        ),
        ("I8", balancer::i8_the_balancer_serves_what_can_serve),
    ];
    for (number, check) in checks {
        broken.extend(
            check(&evidence)
                .into_iter()
                .map(|what| format!("{number}: {what}")),
        );
    }
    broken
}
