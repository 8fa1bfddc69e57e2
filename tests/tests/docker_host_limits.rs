//! Promise: what many workloads have at once is one fault of the host, not many of theirs. Two are remedied at a time, the
//! fourth within a minute pauses all automation, durably, and a person resumes it (I6).

use std::collections::BTreeMap;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, Container, Controller, World, eventually, manifests};
use futures::future::join_all;
use serde_json::{Value, json};

struct Stage {
    controller: Controller,
    patients: Vec<Container>,
    /// Last: it is dropped when no controller is left that would recreate containers.
    world: World,
}

/// So many adopted containers that are well, with these further fields of each Workload's spec.
async fn stage(count: usize, spec: Value) -> Stage {
    let world = World::new().await;
    let names: Vec<String> = (1..=count).map(|number| format!("shop-{number}")).collect();
    let patients = join_all(names.iter().map(|name| world.patient(name).start())).await;
    let controller = world.controller().start().await;
    let api = controller.api();
    for patient in &patients {
        let mut workload = manifests::adopting(&patient.name, 1);
        for (field, value) in spec.as_object().into_iter().flatten() {
            workload["spec"][field] = value.clone();
        }
        api.apply(&workload).await;
        api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    }
    join_all(
        patients
            .iter()
            .map(|patient| api.workload_ready(&patient.name, 1)),
    )
    .await;
    Stage {
        controller,
        patients,
        world,
    }
}

impl Stage {
    fn api(&self) -> Api {
        self.controller.api()
    }

    /// Every patient hangs at the same time.
    async fn all_hang(&self, patients: &[Container]) {
        join_all(patients.iter().map(|patient| patient.trigger("hang"))).await;
    }

    /// An incident of each, named like it.
    async fn all_are_reported(&self, patients: &[Container]) {
        let api = self.api();
        let incidents: Vec<Value> = patients
            .iter()
            .map(|patient| manifests::incident(&patient.name, &patient.name, &Value::Null))
            .collect();
        join_all(incidents.iter().map(|incident| api.apply(incident))).await;
    }

    /// How often each was started.
    async fn starts(&self) -> BTreeMap<String, usize> {
        let mut starts = BTreeMap::new();
        for patient in &self.patients {
            let count = self.world.events().count(&patient.id, "start").await;
            starts.insert(patient.name.clone(), count);
        }
        starts
    }

    async fn is_paused_by_itself(&self) -> Value {
        let api = self.api();
        eventually("automation pauses itself", async || {
            let view = api.get_ok("/automation").await;
            let by = view["paused"]["by"].as_str().unwrap_or_default();
            if by == "system:blast-radius" {
                Ok(view["paused"].clone())
            } else {
                Err(view.to_string())
            }
        })
        .await
    }

    /// Every workload is well, or sick and held by the pause; answers how often each was started.
    async fn all_are_well_or_held(&self) -> BTreeMap<String, usize> {
        let api = self.api();
        let rest = |workload: &Value| {
            let paused = condition(workload, ConditionType::Paused)["status"] == "True";
            let health = &workload["status"]["instances"][0]["health"];
            if paused && (health == "Healthy" || health == "Unhealthy") {
                Ok(())
            } else {
                Err(workload["status"].to_string())
            }
        };
        let all = self
            .patients
            .iter()
            .map(|patient| api.until("Workload", &patient.name, "it is well or held", rest));
        join_all(all).await;
        self.starts().await
    }

    /// Every incident has ended, or requires approval; answers them.
    async fn all_have_come_to_rest(&self, patients: &[Container]) -> Vec<Value> {
        let api = self.api();
        let rest = |incident: &Value| {
            let held = condition(incident, ConditionType::Held);
            let paused = held["status"] == "True" && held["reason"] == "Paused";
            match incident["status"]["phase"].as_str() {
                Some("RESOLVED" | "AWAITING_APPROVAL") => Ok(incident.clone()),
                Some("APPROVED") if paused => Ok(incident.clone()),
                _ => Err(incident["status"].to_string()),
            }
        };
        let all = patients
            .iter()
            .map(|patient| api.until("Incident", &patient.name, "it ended or waits", rest));
        join_all(all).await
    }
}

fn why(incident: &Value) -> &str {
    condition(incident, ConditionType::PolicyAllows)["reason"]
        .as_str()
        .unwrap_or_default()
}

fn instant(value: &Value) -> aegis_api::Time {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// How many were remedied at the same moment, at most.
fn most_at_a_time(incidents: &[Value]) -> usize {
    let spans = incidents.iter().map(|incident| {
        let status = &incident["status"];
        (
            instant(&status["execution"]["appliedAt"]),
            instant(&status["resolvedAt"]),
        )
    });
    let spans: Vec<_> = spans.collect();
    let at = |moment| {
        spans
            .iter()
            .filter(|(from, to)| *from <= moment && moment < *to)
            .count()
    };
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_the_fourth_workload_within_a_minute_pauses_all_automation_until_somebody_resumes() {
    let mut stage = stage(5, Value::Null).await;
    let (four, fifth) = stage.patients.split_at(4);
    stage.all_hang(four).await;
    stage.all_are_reported(four).await;
    let pause = stage.is_paused_by_itself().await;
    let reason = pause["reason"].as_str().unwrap();
    assert!(
        reason.contains("would be workload number 4 within a minute"),
        "{reason}"
    );
    assert!(pause["until"].is_null(), "people end it: {pause}");

    let incidents = stage.all_have_come_to_rest(four).await;
    let resolved = |incident: &&Value| incident["status"]["phase"] == "RESOLVED";
    let healed = incidents.iter().filter(resolved).count();
    assert!(healed < 4, "{incidents:#?}");
    let asking: Vec<&Value> = incidents.iter().filter(|incident| !resolved(incident)).collect();
    // Two may be one too many at the same moment: the Event is about the one that came to it first.
    let too_many = asking.iter().filter(|incident| why(incident) == "BlastRadius");
    let too_many: Vec<&str> = too_many
        .map(|incident| incident["metadata"]["name"].as_str().unwrap())
        .collect();
    assert!(!too_many.is_empty(), "{asking:#?}");
    let before = stage.starts().await;
    assert_eq!(before.values().sum::<usize>(), 5 + healed, "{before:?}");
    let mut events = Vec::new();
    for name in &too_many {
        events.extend(stage.api().events("Incident", name).await);
    }
    assert!(
        events.iter().any(|event| event["reason"] == "AutomationPaused"),
        "{events:#?}"
    );

    let fourth = too_many[0].to_owned();

    // It outlives the controller, and what falls ill under it waits, too.
    stage.controller.kill9();
    stage.controller.start_again(|launch| launch).await;
    assert_eq!(stage.is_paused_by_itself().await, pause);
    stage.all_hang(fifth).await;
    stage.all_are_reported(fifth).await;
    let waiting = stage.api().in_phase(&fifth[0].name, "AWAITING_APPROVAL").await;
    assert_eq!(why(&waiting), "Paused", "{waiting:#}");
    let rested = stage.all_have_come_to_rest(&stage.patients).await;
    assert_eq!(rested.iter().filter(resolved).count(), healed);
    assert_eq!(stage.starts().await, before, "nothing further is restarted");

    let ctl = stage.controller.ctl();
    let listed = ctl.run(&["get", "workloads"]).await;
    assert!(listed.stderr.contains("within a minute"), "{}", listed.all());
    let said = ctl.ok(&["why", &fifth[0].name]).await;
    assert!(
        said.contains("Paused is True") && said.contains("aegisctl resume"),
        "{said}"
    );
    let said = ctl.ok(&["why", &format!("incident/{fourth}")]).await;
    assert!(
        said.contains("BlastRadius") && said.contains("aegisctl resume"),
        "{said}"
    );

    ctl.ok(&["resume", "--reason", "the switch is repaired"]).await;
    let api = stage.api();
    let ended = join_all(stage.patients.iter().map(|patient| api.resolved(&patient.name))).await;
    assert!(most_at_a_time(&ended) <= 2, "two at a time: {ended:#?}");
    let after = stage.starts().await;
    assert!(after.values().all(|starts| *starts == 2), "once each: {after:?}");
    let view = api.get_ok("/automation").await;
    assert!(
        view["paused"].is_null(),
        "what people have seen pauses nothing again: {view}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_restarts_of_unhealthy_containers_are_bound_by_the_same_limits() {
    let restart = json!({"restart": {"unhealthyAfter": "1s", "delay": "0s"}});
    let mut stage = stage(4, restart).await;
    stage.all_hang(&stage.patients).await;
    let pause = stage.is_paused_by_itself().await;
    let before = stage.all_are_well_or_held().await;
    assert!(before.values().all(|starts| *starts <= 2), "{before:?}");
    assert!(before.values().sum::<usize>() <= 4 + 3, "{before:?}");
    let (left, _) = before.iter().find(|(_, starts)| **starts == 1).unwrap();

    stage.controller.kill9();
    stage.controller.start_again(|launch| launch).await;
    assert_eq!(stage.is_paused_by_itself().await, pause);
    let api = stage.api();
    assert_eq!(stage.all_are_well_or_held().await, before);
    let workload = api.object("Workload", left).await.unwrap();
    let message = condition(&workload, ConditionType::Paused)["message"]
        .as_str()
        .unwrap();
    assert!(message.contains("aegisctl resume"), "{message}");

    stage.controller.ctl().ok(&["resume"]).await;
    join_all(before.keys().map(|name| api.workload_ready(name, 1))).await;
    let after = stage.starts().await;
    assert!(after.values().all(|starts| *starts == 2), "once each: {after:?}");
    let view = api.get_ok("/automation").await;
    assert!(view["paused"].is_null(), "{view}");
}
