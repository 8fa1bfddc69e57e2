//! Everything an Incident's planning reads: the store, and what policy files say that are not in force. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_api::facets::key;
use aegis_api::lifecycle::{Cause, LastEnd};
use aegis_api::{ContainerId, Incident, Kind, Phase, Time, Workload};
use aegis_planning::host_reading::HostReading;
use aegis_planning::incident::observed::Observed;
use aegis_planning::incident::validate::target;
use aegis_planning::set_back;
use aegis_runtime::Leap;

use crate::broken_policies::broken_policies;
use crate::context::Context;
use crate::turns::{at_work, resumed_at};

pub(super) async fn dereference(context: &Context, incident: &Incident, awake_since: Time) -> Observed {
    let workloads = context.store.list();
    let now = context.clock.now();
    let leaps = context.clock.leaps().into_iter();
    let leaps: Vec<_> = leaps
        .map(|Leap { before, after }| set_back::Leap { before, after })
        .collect();
    let awake_since = set_back::time(awake_since, context.clock.set_at(), now);
    Observed {
        stopped: stopped(context, &workloads),
        incidents: incidents(context, incident, &workloads, now),
        linked: linked(context, incident, now),
        workloads,
        policies: context.store.list(),
        broken_policies: broken_policies(&context.store).await,
        balancers: context.store.list(),
        detectors: context.store.list(),
        paused: context.store.automation().paused(),
        silences: context.store.list(),
        resumed: resumed_at(context, now),
        reading: reading(context, incident).await,
        cooldown: context.settings.cooldown,
        verification_deadline: context.settings.verification_deadline,
        max_replicas: context.settings.max_replicas,
        limits: context.settings.limits,
        // A span that was skipped is one in which nothing was done about it.
        awake_since: leaps.iter().map(|leap| leap.after).fold(awake_since, Time::max),
        leaps,
        now,
    }
}

/// Those about other workloads that it names.
fn linked(context: &Context, incident: &Incident, now: Time) -> Vec<Arc<Incident>> {
    let origin = incident.status.as_ref().and_then(|status| status.origin.as_ref());
    let origin = origin.and_then(|origin| origin.incident.as_ref());
    let names = origin.into_iter().chain(&incident.spec.source.dependent);
    let found = names.filter_map(|name| context.store.get::<Incident>(name.as_str()));
    let set_at = context.clock.set_at();
    found.map(|one| set_back::incident(one, set_at, now)).collect()
}

/// The incidents that matter to this one: those about its workload, and those that count for the limits of the host.
fn incidents(
    context: &Context,
    incident: &Incident,
    workloads: &[Arc<Workload>],
    now: Time,
) -> Vec<Arc<Incident>> {
    let Ok(workload) = target(incident, workloads) else {
        return Vec::new();
    };
    let set_at = context.clock.set_at();
    let mut found: BTreeMap<String, Arc<Incident>> = BTreeMap::new();
    let about = context.store.find::<Incident>(&key::workload(workload.name()));
    for one in about.into_iter().chain(at_work(&context.store, now)) {
        let one = set_back::incident(one, set_at, now);
        found.insert(one.name().to_owned(), one);
    }
    found.into_values().collect()
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

#[cfg(test)]
mod tests {
    use aegis_docker_fake::FakeEngine;
    use aegis_runtime::{Part, Stored};
    use serde_json::{Value, json};

    use super::*;
    use crate::context::Settings;

    #[tokio::test]
    async fn a_pass_reads_the_incidents_of_its_workload_and_those_that_count_for_the_host_and_no_others() {
        let engine = FakeEngine::default();
        let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
        let store = &context.store;
        for name in ["web", "db"] {
            let workload = json!({"metadata": {"name": name}, "spec": {"container": name}});
            store.create(Workload::info(), workload, false).await.unwrap();
        }
        let (now, long_ago) = (context.clock.now().to_string(), "2020-01-01T12:00:00Z");
        let acted = |at: &str| {
            json!({"phase": "RESOLVED", "timeline": [], "finishedAt": at, "workload": "db",
                "plan": {"hash": "h", "action": "RESTART", "target": "db", "parentGeneration": 1, "patch": {},
                    "createdAt": at},
                "execution": {"appliedAt": at}})
        };
        let nothing = json!({"phase": "FAILED", "timeline": [], "finishedAt": now, "workload": "db"});
        let all = [
            ("mine", "web", Value::Null),
            ("mine-ended", "web", nothing.clone()),
            ("acted-lately", "db", acted(&now)),
            ("acted-long-ago", "db", acted(long_ago)),
            ("did-nothing", "db", nothing),
            (
                "open",
                "db",
                json!({"phase": "RECEIVED", "timeline": [], "workload": "db"}),
            ),
        ];
        for (name, workload, status) in all {
            let spec = json!({"workloadRef": workload, "alertType": "x"});
            let incident = json!({"metadata": {"name": name}, "spec": spec});
            store.create(Incident::info(), incident, false).await.unwrap();
            let edit = move |current: &Stored| {
                let mut object = current.value();
                object["status"] = status;
                if object["status"]["workload"] == "db" && workload == "web" {
                    object["status"]["workload"] = "web".into();
                }
                Ok(object)
            };
            store
                .edit(Incident::info(), name, Part::Status, false, edit)
                .await
                .unwrap();
        }
        let mine = store.get::<Incident>("mine").unwrap();
        let found = incidents(&context, &mine, &store.list(), context.clock.now());
        let names: Vec<&str> = found.iter().map(|incident| incident.name()).collect();
        assert_eq!(names, ["acted-lately", "mine", "mine-ended"]);
    }
}
