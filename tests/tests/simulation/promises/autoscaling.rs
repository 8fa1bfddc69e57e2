//! What must never happen by autoscaling: it scales nothing that an incident works on, and it does not flap.

use std::collections::BTreeMap;

use aegis_api::scalar::Time;
use aegis_api::workload::WorkloadSpec;
use aegis_api::{Incident, Kind, Phase, Workload};
use aegis_runtime::Verb;

use super::{Evidence, phase};
use crate::ledger::Record;
use crate::world::EPOCH;

/// Whether a change of a workload's spec is the one that autoscaling had announced, and no other.
pub(crate) fn is_own(old: &Workload, new: &Workload) -> bool {
    let status = old.status.as_ref().and_then(|status| status.autoscale.as_ref());
    let announced = status.and_then(|status| status.changes.last());
    announced.is_some_and(|change| {
        let made = WorkloadSpec {
            replicas: change.to,
            ..old.spec.clone()
        };
        change.generation == old.generation() && change.from == old.spec.replicas && made == new.spec
    })
}

/// The workload before and after, where a record is a change of its replicas that was seen as it happened.
fn scaled(record: &Record) -> Option<(std::sync::Arc<Workload>, std::sync::Arc<Workload>)> {
    let new = record.object.typed::<Workload>()?;
    let old = record.old.as_ref()?.typed::<Workload>()?;
    let changed = record.verb == Verb::Modified && old.spec.replicas != new.spec.replicas;
    changed.then_some((old, new))
}

/// I6: while an incident carries its plan out, and proves it, autoscaling leaves the replicas alone.
pub(crate) fn i6_nothing_is_scaled_while_an_incident_acts(evidence: &Evidence) -> Vec<String> {
    let mut broken = Vec::new();
    let mut acting: BTreeMap<String, (String, String)> = BTreeMap::new();
    for record in &evidence.records {
        if let Some(incident) = record.object.typed::<Incident>() {
            let acts = matches!(
                phase(&incident),
                Phase::Executing | Phase::Scaling | Phase::Verifying
            );
            let about = incident
                .status
                .as_ref()
                .and_then(|status| status.workload.clone());
            let about = about.filter(|_| acts && !incident.is_finished() && record.verb != Verb::Deleted);
            match about {
                Some(about) => acting.insert(
                    record.object.uid().to_owned(),
                    (about.to_string(), incident.name().to_owned()),
                ),
                None => acting.remove(record.object.uid()),
            };
        }
        let Some((old, new)) = scaled(record).filter(|(old, new)| record.live && is_own(old, new)) else {
            continue;
        };
        if let Some((_, incident)) = acting.values().find(|(about, _)| about == new.name()) {
            broken.push(format!(
                "autoscaling set workload {} from {} to {} at {} while incident {incident} acted on it",
                new.name(),
                old.spec.replicas,
                new.spec.replicas,
                record.at
            ));
        }
    }
    broken
}

/// Within a level of the load it turns once at most; and while a new one comes and goes for the first time, once about the level
/// before and once about the new one.
pub(crate) fn i6_within_a_level_of_the_load_it_turns_once_at_most(evidence: &Evidence) -> Vec<String> {
    let Some(load) = &evidence.load else {
        return Vec::new();
    };
    let begun: Time = EPOCH.parse().expect("a time");
    let mut broken = Vec::new();
    // The way of the last change by autoscaling, and the turns of each level.
    let mut ways: BTreeMap<String, bool> = BTreeMap::new();
    let mut turns: BTreeMap<(String, usize, bool), Vec<Time>> = BTreeMap::new();
    for record in &evidence.records {
        if record.object.info.kind == "Workload" && record.verb != Verb::Modified {
            // Another one of the same name begins.
            ways.remove(record.object.name());
        }
        let Some((old, new)) = scaled(record) else {
            continue;
        };
        let name = new.name().to_owned();
        if !record.live || !is_own(&old, &new) {
            ways.remove(&name);
            continue;
        }
        let out = new.spec.replicas > old.spec.replicas;
        let secs = begun.age(record.at).as_secs();
        if ways.insert(name.clone(), out) == Some(!out) {
            let place = (name, load.level(secs), load.is_settled(secs));
            turns.entry(place).or_default().push(record.at);
        }
    }
    let most = |is_settled: bool| if is_settled { 1 } else { 2 };
    for ((name, level, _), turns) in turns
        .into_iter()
        .filter(|((.., is_settled), turns)| turns.len() > most(*is_settled))
    {
        broken.push(format!(
            "workload {name} flaps: it turned at {turns:?}, all within level {level} of its load {:?}",
            load.levels
        ));
    }
    broken
}
