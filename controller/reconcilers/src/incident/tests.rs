//! The whole reconciler, on the engine in memory and with models that are scripted. What is decided is tested where it is:
//! in the planner.

mod asking;
mod by_hand;
mod harness;
mod hearsay;
mod held_up;
mod hung_models;
mod injections;
mod known;
mod repeats;
mod sender;
mod words;

use aegis_api::proposal::Action;
use aegis_api::workload::{InstanceStatus, Leaving};
use aegis_api::{Incident, IncidentStatus, Kind, Phase, Reason, Time, Workload, WorkloadStatus, kinds};
use aegis_docker_fake::{FakeEngine, RunSpec};
use aegis_planning::incident::phase::next;
use aegis_planning::incident::testing::{
    REPORT, approved, asked, found_unhealthy, incident, judge, object, row,
};
use aegis_planning::incident::validate::ValidatedIncident;

use super::effects::{evidence, probes};
use super::leases::Leases;
use crate::context::Settings;

#[test]
fn i6_of_two_that_a_human_approves_at_once_the_second_waits_although_the_first_is_not_stored_yet() {
    let waits = "
phase: AWAITING_APPROVAL
workload: web
plan: {hash: '1', action: RESTART, target: web, parentGeneration: 1, patch: {}, createdAt: '2026-11-22T11:00:00Z'}
";
    let agreed =
        "{workloadRef: web, alertType: odd, approval: {decision: Approve, by: operator, planHash: '1'}}";
    let (one, mut other) = (incident(agreed, waits), incident(agreed, waits));
    other.metadata.name = Some("other".to_owned());
    let leases = Leases::default();
    let claimed = |incidents: Vec<Incident>| {
        let mut judged = judge(incidents, "{}");
        leases.claim_for(&mut judged, |_| false);
        judged
    };

    let first = claimed(vec![one.clone(), other.clone()]);
    let begins = next(&first);
    assert!(approved(&begins).is_some(), "{begins:?}");
    assert!(!begins.releases_lease(&first));

    let second = claimed(vec![other, one]);
    let asks = next(&second);
    assert!(
        matches!(asked(&asks), Some((_, Reason::RemediationUnderWay, _))),
        "{asks:?}"
    );
    assert!(asks.releases_lease(&second));
}

#[tokio::test(start_paused = true)]
async fn i7_evidence_and_proof_ask_where_this_controller_reaches_the_container() {
    let engine = FakeEngine::default();
    let own = RunSpec::new("controller", "aegis:1").network("shared");
    let own = engine.run_container(&own).unwrap();
    let app = RunSpec::new("app", "app:1").network("closed").network("shared");
    let id = engine.run_container(&app).unwrap();
    let networks = engine.inspect_now("app").unwrap().networks;
    let reached = networks["shared"].unwrap();
    assert_ne!(
        networks.values().flatten().next(),
        Some(&reached),
        "the other network comes first"
    );
    let settings = Settings {
        own_container: Some(own[..12].to_owned()),
        ..Settings::default()
    };
    let (context, _state) = crate::context::tests::over(&engine, settings).await;
    let spec = "{container: app, health: {http: {port: 8000}}}";
    let mut workload: Workload = object("Workload", "web", spec);
    let addresses = networks
        .iter()
        .map(|(network, ip)| (network.clone(), ip.unwrap().to_string()));
    let row = InstanceStatus {
        id: id.into(),
        addresses: addresses.collect(),
        ..row("app")
    };
    workload.status = Some(WorkloadStatus {
        instances: vec![row],
        ..WorkloadStatus::default()
    });

    let incident = judge(vec![incident(REPORT, "{}")], "{}");
    let evidence = evidence::collect(&context, &incident, &workload).await.unwrap();
    let probe = evidence.containers[0].probe.clone().unwrap();
    assert!(probe.contains(&reached.to_string()), "{probe}");
    let answers = probes::ask_all(&context, &workload).await;
    let (Ok(proof) | Err(proof)) = &answers[0];
    assert!(proof.contains(&reached.to_string()), "{proof}");
}

#[test]
fn what_was_stopped_to_be_removed_is_no_evidence() {
    let stopped = |name: &str, leaving| InstanceStatus {
        state: aegis_api::observed::ContainerState::Exited,
        leaving,
        ..row(name)
    };
    let rows = [
        stopped("removed", Some(Leaving::ScaleIn)),
        stopped("restarting", Some(Leaving::Restart)),
        stopped("crashed", None),
        InstanceStatus {
            leaving: Some(Leaving::ScaleIn),
            ..row("drains")
        },
    ];
    let said = evidence::worth_inspecting(&rows);
    let names: Vec<&str> = said.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["restarting", "crashed", "drains"]);
}

#[tokio::test]
async fn evidence_holds_how_the_load_went_and_who_stands_beside() {
    let engine = FakeEngine::default();
    let id = engine
        .run_container(&RunSpec::new("app", "app:1").network("shared"))
        .unwrap();
    for (name, network) in [("sound", "shared"), ("broken", "shared"), ("far", "elsewhere")] {
        engine
            .run_container(&RunSpec::new(name, "other:1").network(network))
            .unwrap();
    }
    engine.crash("broken", 1).unwrap();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let mut workload: Workload = object("Workload", "web", "{container: app}");
    workload.metadata.generation = Some(7);
    workload.status = Some(WorkloadStatus {
        instances: vec![InstanceStatus {
            id: id.into(),
            ..row("app")
        }],
        ..WorkloadStatus::default()
    });
    let now = context.clock.now();
    for step in 0..5_u64 {
        let load = aegis_api::signals::Sample {
            at: now.plus(aegis_api::Duration::from_secs(step * 60)),
            cpu_percent: Some(1.0),
            throttled_percent: None,
            memory_bytes: (10 + step * 10) << 20,
            memory_limit_bytes: 100 << 20,
            net_rx_bytes: 0,
            net_tx_bytes: 0,
            pids: 1,
            pids_limit: 0,
        };
        context.samples.history().add(load.at, [("app", load)]);
    }

    let incident = judge(vec![incident(REPORT, "{}")], "{}");
    let evidence = evidence::collect(&context, &incident, &workload).await.unwrap();
    let container = &evidence.containers[0];
    let memory = container.trend.as_ref().unwrap().memory_mb.unwrap();
    assert_eq!((memory.first, memory.last, memory.per_minute), (10.0, 50.0, 10.0));
    assert_eq!(evidence.generation, Some(7));
    let beside: Vec<(&str, bool)> = evidence
        .neighbours
        .iter()
        .map(|neighbour| (neighbour.name.as_str(), neighbour.in_trouble))
        .collect();
    assert_eq!(beside, [("broken", true), ("sound", false)]);
}

#[tokio::test]
async fn i6_who_waits_for_its_turn_has_waited_since_it_began_to_however_often_it_is_measured() {
    use aegis_planning::incident::measured::{Measured, after_measuring};
    use aegis_planning::incident::transition::{HeldFor, Transition};
    let engine = FakeEngine::default();
    let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
    let object = serde_json::json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "Incident", "metadata": {"name": "inc"},
        "spec": {"workloadRef": "web", "alertType": "odd"},
    });
    let info = kinds::find("Incident").unwrap();
    context.store.create(info, object, false).await.unwrap();
    for _ in 0..3 {
        for measures in [false, true] {
            let stored = context.store.get::<Incident>("inc").unwrap();
            let mut judged = judge(vec![(*stored).clone()], "{}");
            // It waits once it has been judged.
            judged.status.phase = Phase::CouncilReview;
            let now = context.clock.now();
            let transition = if measures {
                let measured = Measured {
                    origin: None,
                    symptoms: found_unhealthy(IncidentStatus::default()).symptoms,
                    readings: String::new(),
                    at: now,
                };
                after_measuring(&judged, measured, now)
            } else {
                let held = HeldFor {
                    reason: Reason::HostBusy,
                    message: "two at a time".to_owned(),
                    until: None,
                };
                Transition::held(&judged, held, now)
            };
            super::status::write(&context, &judged, Some(transition))
                .await
                .unwrap();
        }
    }
    let status = context
        .store
        .get::<Incident>("inc")
        .unwrap()
        .status
        .clone()
        .unwrap();
    assert!(
        aegis_planning::host_limit::waits_for_its_turn(&status),
        "{status:#?}"
    );
    let said = status
        .timeline
        .iter()
        .filter(|entry| entry.message == "two at a time");
    assert_eq!(said.count(), 1, "{:#?}", status.timeline);
}
