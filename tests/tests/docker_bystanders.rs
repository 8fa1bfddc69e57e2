//! Promise: a container that no resource names and that the controller did not make is never touched, whatever it is
//! called (I3).

use aegis_tests::{World, eventually, manifests};
use serde_json::Value;

/// What must stay as it was: identity, state, start and end, configuration.
fn trace(details: &Value) -> Value {
    serde_json::json!([
        details["Id"],
        details["Name"],
        details["State"],
        details["Config"],
        details["ExecIDs"]
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_containers_with_tempting_names_are_never_touched_i3() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let name = &patient.name;
    let taken = world.patient_named(&format!("{name}-replica-1")).start().await;
    let ninth = world
        .patient_named(&format!("{name}-replica-9"))
        .label("io.aegisops.workload", name)
        .start()
        .await;
    let near = world.patient_named(&format!("{name}-2")).start().await;
    let front = world.nginx("lb").await;
    let bystanders = [&taken, &ninth, &near];
    let mut before = Vec::new();
    for bystander in bystanders {
        before.push(trace(&bystander.inspect().await));
    }

    let mut controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(name, 3)).await;
    api.apply(&manifests::balancing(&front.name, name)).await;
    api.apply(&manifests::policy(name, &Value::Null)).await;
    api.workload_ready(name, 3).await;
    api.balancer_serves(&front.name, 3).await;
    let expected = ["1", "2", "3", "9"].map(|number| format!("{name}-replica-{number}"));
    assert_eq!(
        world.replica_names(name).await,
        expected,
        "a taken name is left alone and another one is chosen"
    );

    api.apply(&manifests::ordered("restart-all", name, "RESTART", 0))
        .await;
    api.resolved("restart-all").await;
    controller.kill9();
    controller.start_again(|launch| launch).await;
    let api = controller.api();
    controller.ctl().ok(&["scale", name, "--replicas=1"]).await;
    api.workload_ready(name, 1).await;
    controller.ctl().ok(&["delete", "workload", name]).await;
    api.gone("Workload", name).await;

    eventually("only the bystanders are left", async || {
        let names = world.replica_names(name).await;
        if names == [taken.name.as_str(), ninth.name.as_str()] {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await;
    for (bystander, before) in bystanders.into_iter().zip(before) {
        assert_eq!(trace(&bystander.inspect().await), before, "{}", bystander.name);
        let happened = world.events().so_far().await;
        let touched: Vec<_> = happened
            .iter()
            .filter(|event| event.id == bystander.id && !["create", "start"].contains(&event.action.as_str()))
            .collect();
        assert!(touched.is_empty(), "{}: {touched:?}", bystander.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_never_take_each_others_replicas_i3() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let first = world.controller().state("first").start().await;
    first
        .api()
        .apply(&manifests::templated(
            &patient.name,
            world.network(),
            2,
            &Value::Null,
        ))
        .await;
    first.api().workload_ready(&patient.name, 2).await;
    let replicas = world.replica_names(&patient.name).await;

    // The same name under another state directory.
    let second = world.controller().state("second").start().await;
    second.api().apply(&manifests::adopting(&patient.name, 2)).await;
    second.api().workload_ready(&patient.name, 2).await;
    assert_eq!(world.replica_names(&patient.name).await.len(), 3);
    second.ctl().ok(&["delete", "workload", &patient.name]).await;
    second.api().gone("Workload", &patient.name).await;

    assert_eq!(world.replica_names(&patient.name).await, replicas);
    for replica in &replicas {
        assert_eq!(world.events().count(replica, "die").await, 0, "{replica}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_names_another_container_restarts_only_that_one_i3() {
    let world = World::new().await;
    let target = world.patient("target").start().await;
    let other = world.patient("other").start().await;
    let launch = world.controller().env("TARGET_CONTAINER", &target.name);
    let controller = launch.start().await;
    let api = controller.api();
    for patient in [&target, &other] {
        api.apply(&manifests::adopting(&patient.name, 1)).await;
        api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
        api.workload_ready(&patient.name, 1).await;
    }
    let (before, began) = (trace(&target.inspect().await), other.started_at().await);

    other.trigger("hang").await;
    let alert = serde_json::json!({
        "incident_id": "q1", "alert_type": "health_check_failed", "labels": {"container": other.name},
        "summary": format!("{} does not answer", other.name),
    });
    let (status, answer) = api.post("/webhook", &alert).await;
    assert_eq!(status, 200, "{answer}");
    let incident = api.resolved("q1").await;
    assert_eq!(
        incident["spec"]["containerName"],
        other.name.as_str(),
        "{incident}"
    );
    assert_eq!(
        incident["status"]["execution"]["containers"],
        serde_json::json!([other.name])
    );
    assert_ne!(
        other.started_at().await,
        began,
        "the one that was named is restarted"
    );
    assert_eq!(
        trace(&target.inspect().await),
        before,
        "the default target is left alone"
    );

    // Over before it is sent: nothing is opened, nothing is done.
    let began = other.started_at().await;
    let over = serde_json::json!({
        "incident_id": "q2", "alert_type": "health_check_failed", "container": other.name, "status": "resolved",
    });
    let (status, answer) = api.post("/webhook", &over).await;
    assert_eq!((status, &answer["status"]), (200, &"RESOLVED".into()), "{answer}");
    assert_eq!(api.list("Incident").await.len(), 1);
    assert_eq!(other.started_at().await, began);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_replica_with_all_its_labels_is_never_touched_and_reported_i3() {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let front = world.nginx("lb").await;
    let name = &patient.name;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(name, 2)).await;
    api.apply(&manifests::balancing(&front.name, name)).await;
    api.workload_ready(name, 2).await;
    api.balancer_serves(&front.name, 2).await;

    // As what is run from a committed image, or duplicated by a tool, has them.
    let replica = world.find(&format!("{name}-replica-1")).await.unwrap();
    let labels = replica.inspect().await["Config"]["Labels"].clone();
    let mut copy = world.patient("look");
    for (key, value) in labels.as_object().unwrap() {
        if key.starts_with("io.aegisops.") {
            copy = copy.label(key, value.as_str().unwrap());
        }
    }
    let copy = copy.start().await;
    let before = trace(&copy.inspect().await);
    let reported = eventually("the copy is reported", async || {
        let events = api.events("Workload", name).await;
        let found = events.into_iter().find(|event| event["reason"] == "NotOurs");
        found.ok_or_else(|| "no Event NotOurs".to_owned())
    })
    .await;
    let message = reported["message"].as_str().unwrap();
    assert!(
        message.contains(&copy.name)
            && message.contains("io.aegisops.workload")
            && message.contains("docker rename"),
        "{message}"
    );

    controller.ctl().ok(&["scale", name, "--replicas=3"]).await;
    api.workload_ready(name, 3).await;
    api.balancer_serves(&front.name, 3).await;
    controller.ctl().ok(&["scale", name, "--replicas=1"]).await;
    api.workload_ready(name, 1).await;
    controller.ctl().ok(&["delete", "workload", name]).await;
    api.gone("Workload", name).await;
    assert_eq!(trace(&copy.inspect().await), before);
}
