//! Turns on the host that are taken and not stored yet. What is stored decides ([`aegis_planning::host_limit`]); this closes the
//! gap between reading that and writing one's own, among reconciles that run side by side. Empty after a restart, when
//! nothing is between the two. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::facets::key;
use aegis_api::incident::Severity;
use aegis_api::{Incident, Kind, Time, Workload};
use aegis_planning::host_limit::{self, Asker, HostRuling, HostUse};
use aegis_planning::set_back;
use aegis_runtime::Store;
use jiff::SignedDuration;

use crate::context::Context;

/// What automation does on the host, as it is stored at this moment.
pub(crate) fn seen(context: &Context, asker: Asker<'_>) -> HostUse {
    let (now, set_at) = (context.clock.now(), context.clock.set_at());
    let incidents: Vec<Arc<Incident>> = at_work(&context.store, now)
        .into_iter()
        .map(|incident| set_back::incident(incident, set_at, now))
        .collect();
    let workloads: Vec<Arc<Workload>> = context.store.list();
    let workloads: Vec<Arc<Workload>> = workloads
        .into_iter()
        .map(|workload| set_back::workload(workload, now))
        .collect();
    host_limit::host_use(&incidents, &workloads, asker, resumed_at(context, now), now)
}

/// When somebody last let automation go on. Ahead of now, it would make everything that is done by then count as allowed.
pub(crate) fn resumed_at(context: &Context, now: Time) -> Option<Time> {
    let resumed = context.store.automation().resumed()?;
    Some(set_back::time(resumed.at, context.clock.set_at(), now))
}

/// Incidents that count for the limits of the host: those that have a plan or wait for their turn, and those that acted
/// within the last hour.
pub(crate) fn at_work(store: &Store, now: Time) -> Vec<Arc<Incident>> {
    let mut found = acted_lately(store, now);
    // One that acted and goes on is there already.
    let more = store.find::<Incident>(key::AT_WORK);
    let known: BTreeSet<String> = found.iter().map(|incident| incident.name().to_owned()).collect();
    found.extend(
        more.into_iter()
            .filter(|incident| !known.contains(incident.name())),
    );
    found
}

/// Incidents whose last action was within the last hour, and some of the hour before.
pub(crate) fn acted_lately(store: &Store, now: Time) -> Vec<Arc<Incident>> {
    let hour_ago = Time(
        now.0
            .saturating_sub(SignedDuration::from_hours(1))
            .unwrap_or(now.0),
    );
    let found = store.find_stored_between(Incident::info(), &key::acted(hour_ago), key::ACTED_END);
    found.iter().filter_map(|object| object.typed()).collect()
}

/// Takes a turn on the host, or says what keeps it. It is held until what it is for is stored.
pub(crate) fn take(context: &Context, asker: Asker<'_>) -> Result<Turn, HostRuling> {
    context.turns.take(asker.workload, asker.severity, |others| {
        let used = seen(context, asker).and(others, asker.severity);
        host_limit::judge(&context.settings.limits, &used, asker.workload)
    })
}

/// The workloads about to be acted on. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<Vec<(String, Severity)>>>);

/// A turn, until what it is for is stored.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    workload: String,
}

impl Turns {
    /// Takes a turn for the workload, whose trouble is this grave, unless `judge`, given the other workloads that have one and
    /// how grave theirs is, is against it. It must read what it judges by itself: no other workload takes a turn meanwhile.
    fn take(
        &self,
        workload: &str,
        severity: Severity,
        judge: impl FnOnce(&BTreeMap<String, Severity>) -> Option<HostRuling>,
    ) -> Result<Turn, HostRuling> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = taken.iter().filter(|(other, _)| other != workload).cloned();
        if let Some(ruling) = judge(&others.collect()) {
            return Err(ruling);
        }
        taken.push((workload.to_owned(), severity));
        Ok(Turn {
            turns: self.clone(),
            workload: workload.to_owned(),
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.iter().position(|(name, _)| *name == self.workload) {
            taken.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_of_many_at_the_same_moment_no_more_than_are_allowed_take_a_turn() {
        let turns = Turns::default();
        let take = |workload: &str| {
            turns.take(workload, Severity::Warning, |others| {
                (others.len() >= 2).then(|| HostRuling::Busy(format!("{others:?}")))
            })
        };
        let first = take("a");
        let second = take("b");
        assert!(first.is_ok() && second.is_ok());
        assert!(take("c").is_err());
        assert!(take("a").is_ok(), "one workload takes no two places");
        drop(first);
        assert!(take("c").is_ok());
    }
}
