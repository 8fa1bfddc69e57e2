//! What makes the Incident loop reconcile an incident. No I/O.

use std::collections::BTreeSet;

use aegis_api::facets::{Faceted as _, key};
use aegis_api::{Detector, Incident, Kind as _, LoadBalancer, RemediationPolicy, Silence, Workload};
use aegis_planning::host_limit::waits_for_its_turn;
use aegis_runtime::controller::Trigger;
use aegis_runtime::store::{Store, StoreEvent, Stored, Verb};
use futures::stream::BoxStream;

use super::{from_brake, from_store, is_asked, is_kind};
use crate::context::Context;

/// Triggers of the Incident loop.
pub(crate) fn incidents(context: &Context) -> Vec<BoxStream<'static, Trigger>> {
    let store = from_store(
        context,
        |store, event| {
            let own = is_kind::<Incident>(event).then(|| event.object.name().to_owned());
            if own.is_some() && is_asked(event) {
                return own.into_iter().collect();
            }
            if is_kind::<Detector>(event) {
                return concerned_by(store, event);
            }
            // A workload, load balancer or policy that moved may be what others wait for, and of what a silence began or ceased
            // to cover that is noted.
            let relevant = is_kind::<Workload>(event)
                || is_kind::<LoadBalancer>(event)
                || is_kind::<Silence>(event)
                || (is_kind::<RemediationPolicy>(event) && is_asked(event));
            // What one cleared has come back in another.
            let earlier = event.object.typed::<Incident>();
            let earlier = earlier.and_then(|incident| incident.status.as_ref()?.relapse_of.clone());
            let mut concerned: Vec<String> = earlier
                .filter(|name| is_unsettled(store, name))
                .into_iter()
                .collect();
            concerned.extend(freed_by(store, event));
            if relevant {
                let about = event.object.typed::<Workload>();
                concerned.extend(open_incidents(
                    store,
                    about.as_ref().map(|workload| workload.name()),
                ));
            }
            concerned
        },
        |store| [open_incidents(store, None), unsettled_incidents(store)].concat(),
    );
    vec![store, from_brake(context, |store| open_incidents(store, None))]
}

/// The open incidents for which the end, or the removal, of another makes way: those about the same workload, and where it
/// counted for the limits of the host, those that do, too. Not all that are open: in a storm as many end as there are. One
/// that waits for its turn no more makes way for those that are less grave.
fn freed_by(store: &Store, event: &StoreEvent) -> Vec<String> {
    let open = |stored: &Stored| {
        stored
            .typed::<Incident>()
            .filter(|incident| !incident.is_finished())
    };
    let was_open = event.old.as_deref().and_then(open);
    let is_open = open(&event.object).filter(|_| event.verb != Verb::Deleted);
    let Some(before) = was_open else { return Vec::new() };
    let has_ended = is_open.is_none();
    let waited = |incident: &Incident| incident.status.as_ref().is_some_and(waits_for_its_turn);
    let has_its_turn = waited(&before) && is_open.is_some_and(|now| !waited(&now));
    if !has_ended && !has_its_turn {
        return Vec::new();
    }
    let counted = before.facets().keys.iter().any(|known| known == key::AT_WORK);
    let others = counted.then(|| store.find::<Incident>(key::AT_WORK));
    let workload = event.object.typed::<Incident>();
    let workload = workload.as_ref().and_then(|incident| incident.workload());
    let workload = workload.filter(|_| has_ended);
    let same = workload.map(|name| store.find::<Incident>(&key::workload(name.as_str())));
    let freed = same.into_iter().chain(others).flatten();
    let freed = freed.filter(|incident| !incident.is_finished());
    let names: BTreeSet<String> = freed.map(|incident| incident.name().to_owned()).collect();
    names.into_iter().collect()
}

/// The open incidents of workloads for which a detector began or ceased to fire, or has another incident.
fn concerned_by(store: &Store, event: &StoreEvent) -> Vec<String> {
    let rows = |object: &Stored| {
        let status = object.typed::<Detector>().and_then(|it| it.status.clone());
        let rows = status.into_iter().flat_map(|status| status.workloads);
        rows.map(|row| (row.workload.unwrap_or_default(), row.firing, row.incident))
            .collect::<BTreeSet<_>>()
    };
    let old = event.old.as_deref().map(rows).unwrap_or_default();
    let now = rows(&event.object);
    let changed: BTreeSet<String> = old.symmetric_difference(&now).map(|row| row.0.clone()).collect();
    let named = changed.iter().filter(|name| !name.is_empty());
    named.flat_map(|name| open_incidents(store, Some(name))).collect()
}

/// Incidents that have not ended; those about another workload are left out where one is named.
pub(crate) fn open_incidents(store: &Store, workload: Option<&str>) -> Vec<String> {
    let mut incidents = match workload {
        None => store.find::<Incident>(key::OPEN),
        Some(name) => store.find::<Incident>(&key::workload(name)),
    };
    incidents.retain(|incident| !incident.is_finished());
    let unplaced = workload.map(|_| store.find::<Incident>(key::UNPLACED));
    let names = incidents.iter().chain(unplaced.iter().flatten());
    let names: BTreeSet<String> = names.map(|incident| incident.name().to_owned()).collect();
    names.into_iter().collect()
}

/// Incidents that have ended, and whose symptom may still come back.
fn unsettled_incidents(store: &Store) -> Vec<String> {
    let unsettled = store.find::<Incident>(key::UNSETTLED);
    unsettled
        .iter()
        .map(|incident| incident.name().to_owned())
        .collect()
}

fn is_unsettled(store: &Store, name: &str) -> bool {
    let incident = store.get::<Incident>(name);
    let status = incident.as_ref().and_then(|incident| incident.status.as_ref());
    status.is_some_and(|status| status.is_unsettled())
}

#[cfg(test)]
mod tests {
    use aegis_docker_fake::FakeEngine;
    use aegis_runtime::store::Part;
    use futures::{FutureExt as _, StreamExt as _};
    use serde_json::{Value, json};

    use super::*;
    use crate::context::Settings;

    /// Which open incidents the change makes the loop look at.
    async fn concerned(name: &str, status: Value) -> Vec<String> {
        let (context, _state) =
            crate::context::tests::over(&FakeEngine::default(), Settings::default()).await;
        let store = &context.store;
        let plan = json!({"hash": "h", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {},
            "createdAt": "2026-01-31T12:00:00Z"});
        let received = json!({"phase": "RECEIVED", "timeline": []});
        let at_work = json!({"phase": "EXECUTING", "timeline": [], "plan": plan});
        let waits = waiting();
        for (name, container, status) in [
            ("idle", "web", &received),
            ("same", "web", &received),
            ("works", "db", &at_work),
            ("works-too", "cache", &at_work),
            ("stray", "missing", &received),
            ("waits", "queue", &waits),
        ] {
            let spec = json!({"workloadRef": container, "alertType": "x"});
            let object = json!({"metadata": {"name": name}, "spec": spec});
            store.create(Incident::info(), object, false).await.unwrap();
            write(store, name, status.clone()).await;
        }
        let mut triggers = futures::stream::select_all(incidents(&context));
        while triggers.next().now_or_never().is_some() {}
        write(store, name, status).await;
        let mut seen = BTreeSet::new();
        for _ in 0..64 {
            tokio::task::yield_now().await;
            if let Some(Some(trigger)) = triggers.next().now_or_never() {
                seen.insert(trigger.name);
            }
        }
        seen.into_iter().collect()
    }

    async fn write(store: &Store, name: &str, status: Value) {
        let edit = move |current: &Stored| {
            let mut object = current.value();
            object["status"] = status;
            Ok(object)
        };
        let written = store
            .edit(Incident::info(), name, Part::Status, false, edit)
            .await;
        written.unwrap();
    }

    fn ended() -> Value {
        json!({"phase": "RESOLVED", "timeline": [], "finishedAt": "2026-01-31T12:00:00Z"})
    }

    #[tokio::test]
    async fn the_end_of_an_incident_makes_way_for_those_about_its_workload_alone() {
        assert_eq!(concerned("idle", ended()).await, ["same"]);
        assert_eq!(concerned("stray", ended()).await, [""; 0]);
    }

    fn waiting() -> Value {
        let held = json!({"type": "Held", "status": "True", "reason": "HostBusy", "message": "",
            "lastTransitionTime": "2026-01-31T12:00:00Z"});
        json!({"phase": "COUNCIL_REVIEW", "timeline": [], "conditions": [held]})
    }

    #[tokio::test]
    async fn the_end_of_one_that_had_a_plan_makes_way_for_those_that_wait_for_the_host() {
        assert_eq!(concerned("works", ended()).await, ["waits", "works-too"]);
    }

    #[tokio::test]
    async fn one_that_waits_for_its_turn_no_more_makes_way_for_those_that_are_less_grave() {
        let goes_on = json!({"phase": "AWAITING_APPROVAL", "timeline": []});
        assert_eq!(concerned("waits", goes_on).await, ["works", "works-too"]);
        assert_eq!(concerned("waits", waiting()).await, [""; 0]);
    }

    #[tokio::test]
    async fn what_is_written_about_an_incident_that_goes_on_concerns_no_other() {
        assert_eq!(
            concerned("idle", json!({"phase": "ANALYSING", "timeline": []})).await,
            [""; 0]
        );
    }
}
