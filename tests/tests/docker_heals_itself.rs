//! Promise: a container whose memory fills up reports itself, is restarted once, is proved well, and the fix is
//! remembered; everybody can watch.

use aegis_tests::live::Live;
use aegis_tests::{Controller, World, eventually, manifests};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whose_memory_fills_reports_itself_is_restarted_once_and_the_fix_is_learned() {
    let world = World::new().await;
    let launch = world.controller().reachable_from_containers();
    let patient = world
        .patient("buggy")
        .memory_mb(128)
        .reporting_to(&launch)
        .start()
        .await;
    let front = world.nginx("lb").await;
    let controller = launch.start().await;
    let ctl = controller.ctl();
    ctl.apply(&manifests::adopting(&patient.name, 1)).await;
    ctl.apply(&manifests::balancing(&front.name, &patient.name)).await;
    ctl.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    let api = controller.api();
    api.workload_ready(&patient.name, 1).await;
    api.balancer_serves(&front.name, 1).await;
    let live = controller.live("").await;
    let watcher = ctl.clone();
    let watching = tokio::spawn(async move {
        watcher
            .run(&["watch", "--until-resolved", "--timeout", "90s"])
            .await
    });
    eventually(
        "both watch",
        async || match api.get_ok("/health").await["ws_clients"].as_u64() {
            Some(2..) => Ok(()),
            clients => Err(format!("{clients:?} clients")),
        },
    )
    .await;
    let before = patient.started_at().await;

    patient.fill_memory(85.0).await;

    let id = incident_of(&controller).await;
    let result = eventually("the incident ends", async || {
        let (_, result) = api.get(&format!("/incidents/{id}")).await;
        if matches!(result["status"].as_str(), Some("RESOLVED" | "FAILED")) {
            Ok(result)
        } else {
            Err(result.to_string())
        }
    })
    .await;
    assert_eq!(result["status"], "RESOLVED", "{result:#}");
    assert_eq!(result["analysis"]["action"], "RESTART");
    assert_eq!(result["council_decision"]["final_verdict"], "APPROVED");

    assert_eq!(
        patient.inspect().await["Id"],
        *patient.id,
        "it was restarted, not replaced"
    );
    assert!(patient.started_at().await > before);
    assert_eq!(
        world.events().count(&patient.name, "start").await,
        2,
        "once by the test, once by the controller"
    );
    patient.answers().await;
    let (_, health) = patient.get("/health").await.unwrap();
    assert!(health["memory_percent"].as_f64().unwrap() < 50.0, "{health}");
    // What stood in for it may still be draining when the cure is proved.
    eventually("the patient itself answers at the front", async || {
        match front.who_answers().await {
            Ok(who) if who == patient.short_id() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let runbook = api.get_ok("/runbook").await;
    assert_eq!(runbook["total"], 1, "{runbook}");
    let entry = &runbook["entries"][0];
    assert_eq!(
        (&entry["incident_id"], &entry["action"]),
        (&Value::from(id.as_str()), &Value::from("RESTART"))
    );
    assert_eq!(entry["council_approved"], true);

    live.until("the last frame", |frame| {
        frame["type"] == "resolved" && frame["incident_id"] == *id
    })
    .await;
    let frames = live.of_incident(&id);
    the_frames_come_in_the_order_of_the_pipeline(&frames);
    the_stream_grows_chunk_by_chunk(&frames);
    the_numbers_rise(&live);
    let watched = watching.await.unwrap();
    assert_eq!(watched.code, 0, "{}", watched.all());
    for shown in [
        "RESTART",
        "SRE",
        "SECURITY",
        "AUDITOR",
        "RESOLVED",
        patient.name.as_str(),
    ] {
        assert!(
            watched.stdout.to_uppercase().contains(&shown.to_uppercase()),
            "{shown}: {}",
            watched.all()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_by_itself_is_started_again() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 2)).await;
    api.workload_ready(&patient.name, 2).await;
    let replica = world.find(&format!("{}-replica-1", patient.name)).await.unwrap();

    for container in [&patient, &replica] {
        container.trigger("crash").await;
        eventually("it was started again", async || {
            match world.events().count(&container.id, "start").await {
                2 => Ok(()),
                starts => Err(format!("{} was started {starts} times", container.name)),
            }
        })
        .await;
        api.workload_ready(&patient.name, 2).await;
    }
    let object = api.object("Workload", &patient.name).await.unwrap();
    assert_eq!(object["status"]["instances"][0]["restarts"], 1, "{object:#}");
}

/// The one incident there is, under the id that the patient gave it.
async fn incident_of(controller: &Controller) -> String {
    let api = controller.api();
    eventually("the patient reports itself", async || {
        let incidents = api.get_ok("/incidents").await;
        let id = incidents[0]["incident_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| incidents.to_string())
    })
    .await
}

fn position(frames: &[Value], wanted: &str) -> usize {
    let found = frames.iter().position(|frame| frame["type"] == wanted);
    found.unwrap_or_else(|| {
        let types: Vec<&str> = frames.iter().filter_map(|frame| frame["type"].as_str()).collect();
        panic!("there is no {wanted} among {types:?}")
    })
}

fn the_frames_come_in_the_order_of_the_pipeline(frames: &[Value]) {
    let order = [
        "incident.new",
        "ai.thinking",
        "ai.stream",
        "ai.complete",
        "council.vote",
        "council.decision",
        "docker.action",
        "health.check",
        "resolved",
    ];
    let positions: Vec<usize> = order.iter().map(|wanted| position(frames, wanted)).collect();
    assert!(positions.is_sorted(), "{order:?} are at {positions:?}");
    let votes: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame["type"] == "council.vote")
        .collect();
    let seats: Vec<&str> = votes
        .iter()
        .filter_map(|frame| frame["data"]["vote"]["role"].as_str())
        .collect();
    assert_eq!(seats, ["SRE_AGENT", "SECURITY_OFFICER", "AUDITOR"]);
    let updates = frames.iter().filter(|frame| frame["type"] == "status.update");
    let stages: Vec<&str> = updates
        .filter_map(|frame| frame["data"]["status"].as_str())
        .collect();
    let expected = [
        "RECEIVED",
        "RAG_RETRIEVAL",
        "ANALYSING",
        "COUNCIL_REVIEW",
        "APPROVED",
        "EXECUTING",
        "RESTARTED",
        "VERIFYING",
        "RESOLVED",
    ];
    let mut rest = stages.iter();
    for wanted in expected {
        assert!(
            rest.any(|stage| *stage == wanted),
            "{wanted} is missing or out of order in {stages:?}"
        );
    }
}

fn the_stream_grows_chunk_by_chunk(frames: &[Value]) {
    let mut streamed = String::new();
    for frame in frames.iter().filter(|frame| frame["type"] == "ai.stream") {
        streamed.push_str(frame["data"]["chunk"].as_str().unwrap_or_default());
        assert_eq!(frame["data"]["full_text"], streamed.as_str());
    }
    assert!(
        frames.iter().filter(|frame| frame["type"] == "ai.stream").count() > 3,
        "it is streamed: {streamed}"
    );
}

fn the_numbers_rise(live: &Live) {
    let numbers: Vec<u64> = live
        .frames()
        .iter()
        .filter_map(|frame| frame["seq"].as_u64())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}
