//! Promise: `kill -9` at any moment of an incident loses nothing and does nothing twice (I1, I2, I10). After a restart
//! it ends RESOLVED, the container was restarted exactly once, and one lesson was learned.

use std::time::Duration;

use aegis_tests::launch::WEBHOOK_TOKEN;
use aegis_tests::{Container, Controller, World, eventually, manifests};
use futures::StreamExt;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Worlds at once: each is mostly waiting.
const AT_ONCE: usize = 3;

/// A sick patient and its controller in one world.
struct Case {
    controller: Controller,
    patient: Container,
    /// Last: it is dropped when no controller is left that would recreate containers.
    world: World,
}

/// A world with a sick patient, whose controller (not yet ready to die) knows it.
async fn case() -> Case {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    Case {
        world,
        controller,
        patient,
    }
}

impl Case {
    /// The controller is restarted so that it will die at this point.
    async fn arm(&mut self, point: &str) {
        self.controller.kill9();
        self.controller.start_again(|launch| launch.dying_at(point)).await;
    }

    /// Posts the alert; what is answered is acknowledged and must never be lost.
    async fn report(&self) {
        let alert = json!({"incident_id": "INC-1", "alert_type": "health_check_failed", "container_name": self.patient.name});
        let (status, body) = self
            .controller
            .api_as(Some(WEBHOOK_TOKEN))
            .post("/webhook", &alert)
            .await;
        assert_eq!(status, 200, "{body}");
    }

    /// It is resolved, by one restart, with one lesson.
    async fn ends_well(&self, point: &str) {
        let api = self.controller.api();
        let result = eventually(&format!("{point}: the incident ends"), async || {
            let (status, result) = api.get("/incidents/INC-1").await;
            let ended = matches!(result["status"].as_str(), Some("RESOLVED" | "FAILED"));
            if ended {
                Ok(result)
            } else {
                Err(format!("{status} {result}"))
            }
        })
        .await;
        assert_eq!(result["status"], "RESOLVED", "{point}: {result:#}");
        let starts = self.world.events().count(&self.patient.name, "start").await;
        assert_eq!(
            starts,
            2,
            "{point}: started by the test and restarted once: {:#?}",
            self.world.events().so_far().await
        );
        let runbook = api.get_ok("/runbook").await;
        assert_eq!(runbook["total"], 1, "{point}: {runbook}");
        let entries = api.list("RunbookEntry").await;
        let outcomes = &entries[0]["spec"]["outcomes"];
        // Once: it may still come back, so it counts for nothing yet.
        assert_eq!(
            outcomes["provisional"].as_array().map(Vec::len),
            Some(1),
            "{point}: {outcomes}"
        );
        assert!(outcomes["counted"].is_null(), "{point}: {outcomes}");
        assert_eq!(api.list("Incident").await.len(), 1, "{point}");
        self.patient.answers().await;
    }
}

async fn dies_at(point: &str) {
    let mut case = case().await;
    case.arm(point).await;
    case.report().await;
    let status = case.controller.ends().await;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "{point}: it died as by kill -9"
    );
    case.controller
        .start_again(|launch| launch.without_env("AEGIS_FAULT"))
        .await;
    case.ends_well(point).await;
}

async fn walk(points: Vec<String>) {
    let walked = futures::stream::iter(points).map(async |point| dies_at(&point).await);
    walked.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_before_or_after_a_phase_is_stored_ends_resolved_with_one_restart_i1_i2() {
    let phases = [
        "ANALYSING",
        "COUNCIL_REVIEW",
        "APPROVED",
        "EXECUTING",
        "VERIFYING",
        "RESOLVED",
    ];
    let points = phases.iter().flat_map(|phase| {
        [
            format!("incident/before/{phase}"),
            format!("incident/after/{phase}"),
        ]
    });
    walk(points.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_around_the_effect_itself_ends_resolved_with_one_restart_i2() {
    let moments = [
        "before-stop",
        "during-stop",
        "before-start",
        "during-start",
        "after-start",
    ];
    let points = moments.iter().map(|moment| format!("workload/restart/{moment}"));
    walk(points.chain(["incident/patched".to_owned()]).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_from_outside_at_any_moment_ends_resolved_with_one_restart_i10() {
    let seed = std::env::var("AEGIS_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    let mut chance = rand::rngs::StdRng::seed_from_u64(seed);
    let moments: Vec<u64> = (0..6).map(|_| chance.random_range(0..1200)).collect();
    let cases = futures::stream::iter(moments).map(async |ms| {
        let mut case = case().await;
        case.report().await;
        // The moment itself is what is tried here, so this is the one place that lets time pass.
        tokio::time::sleep(Duration::from_millis(ms)).await;
        case.controller.kill9();
        case.controller.start_again(|launch| launch).await;
        // The sender repeats what is the same incident still.
        case.report().await;
        case.ends_well(&format!(
            "killed {ms} ms after the answer (AEGIS_TEST_SEED={seed})"
        ))
        .await;
    });
    cases.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_while_replicas_are_made_leaves_exactly_as_many_as_were_wanted_i2() {
    let points = [
        "incident/before/SCALING",
        "incident/after/SCALING",
        "incident/patched",
    ]
    .map(Some);
    // Without a point: while the containers are being made.
    let cases = futures::stream::iter(points.into_iter().chain([None])).map(async |point| {
        let mut case = case().await;
        let (name, said) = (case.patient.name.clone(), point.unwrap_or("while they are made"));
        if let Some(point) = point {
            case.arm(point).await;
        }
        case.controller
            .api()
            .apply(&manifests::ordered("more", &name, "SCALE_UP", 3))
            .await;
        match point {
            Some(_) => drop(case.controller.ends().await),
            None => {
                eventually("the first replica is made", async || {
                    match case.world.replica_names(&name).await.len() {
                        0 => Err("there is none".to_owned()),
                        _ => Ok(()),
                    }
                })
                .await;
                case.controller.kill9();
            }
        }
        case.controller
            .start_again(|launch| launch.without_env("AEGIS_FAULT"))
            .await;
        // The patient itself is sick, so the replicas alone cannot prove the whole well; a restart can.
        let api = case.controller.api();
        api.until("Workload", &name, said, |object| {
            let replicas = object["status"]["replicas"] == 4 && object["spec"]["replicas"] == 4;
            if replicas {
                Ok(())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await;
        let expected: Vec<String> = (1..=3).map(|number| format!("{name}-replica-{number}")).collect();
        assert_eq!(case.world.replica_names(&name).await, expected, "{said}");
        for replica in &expected {
            assert_eq!(
                case.world.events().count(replica, "create").await,
                1,
                "{said}: {replica}"
            );
        }
    });
    cases.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_while_an_incident_is_held_or_waits_for_a_human_keeps_it_waiting_i1() {
    for (mode, phase) in [("Off", "RECEIVED"), ("Approve", "AWAITING_APPROVAL")] {
        for side in ["before", "after"] {
            let point = format!("incident/{side}/{phase}");
            let mut case = case().await;
            let api = case.controller.api();
            api.apply(&manifests::policy(&case.patient.name, &json!({"mode": mode})))
                .await;
            case.arm(&point).await;
            case.report().await;
            case.controller.ends().await;
            case.controller
                .start_again(|launch| launch.without_env("AEGIS_FAULT"))
                .await;
            let api = case.controller.api();
            let name = eventually("the incident is there", async || {
                let incidents = api.list("Incident").await;
                let waits = incidents
                    .first()
                    .filter(|object| object["status"]["phase"] == phase);
                let name = waits
                    .and_then(|object| object["metadata"]["name"].as_str())
                    .map(str::to_owned);
                name.ok_or_else(|| Value::from(incidents).to_string())
            })
            .await;
            assert_eq!(
                case.world.events().count(&case.patient.name, "start").await,
                1,
                "{point}: nothing was done"
            );
            // Released, it goes its way.
            if mode == "Off" {
                api.apply(&manifests::policy(&case.patient.name, &json!({"mode": "Auto"})))
                    .await;
            } else {
                case.controller
                    .ctl()
                    .ok(&["approve", &format!("incident/{name}")])
                    .await;
            }
            case.ends_well(&point).await;
        }
    }
}
