//! Promise: policy is deterministic and stronger than any proposal. It can forbid, wait for a human, only say what it
//! would do, or hold still; one remediation of a workload runs at a time, and a cooldown outlives a restart (I6).

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::{Api, Container, Controller, World, eventually, manifests};
use serde_json::{Value, json};

struct Stage {
    controller: Controller,
    patient: Container,
    /// Last: it is dropped when no controller is left that would recreate containers.
    world: World,
}

/// A patient under a policy with these fields.
async fn stage(policy: Value) -> Stage {
    let world = World::new().await;
    let patient = world.patient("buggy").start().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &policy)).await;
    api.workload_ready(&patient.name, 1).await;
    Stage {
        world,
        controller,
        patient,
    }
}

impl Stage {
    fn api(&self) -> Api {
        self.controller.api()
    }

    /// Makes the patient sick and an Incident of it.
    async fn falls_ill(&self, incident: &str) {
        self.patient.trigger("hang").await;
        self.report(incident).await;
    }

    async fn report(&self, incident: &str) {
        self.api()
            .apply(&manifests::incident(incident, &self.patient.name, &Value::Null))
            .await;
    }

    async fn starts(&self) -> usize {
        self.world.events().count(&self.patient.name, "start").await
    }
}

fn instant(value: &Value) -> aegis_api::Time {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let stage = stage(json!({"mode": "DryRun"})).await;
    let before = stage.api().object("Workload", &stage.patient.name).await.unwrap();
    stage.falls_ill("dry").await;

    let ended = stage.api().ended("dry").await;
    let plan = &ended["status"]["plan"];
    assert_eq!(
        (&plan["action"], &plan["target"]),
        (&"RESTART".into(), &stage.patient.name.as_str().into())
    );
    let said = condition(&ended, ConditionType::Executed);
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&"False".into(), &"DryRun".into()),
        "{said}"
    );
    assert!(
        said["message"].as_str().unwrap().contains("would RESTART"),
        "{said}"
    );
    assert_ne!(ended["status"]["phase"], "RESOLVED");
    assert_eq!(ended["status"]["phase"], "DRY_RUN");
    assert_eq!(ended["status"]["error"], Value::Null);
    // Clients of the earlier system know no dry run: it is resolved to them, by doing nothing.
    let result = stage.api().get_ok("/incidents/dry").await;
    assert_eq!(
        (&result["status"], &result["dry_run"]),
        (&"RESOLVED".into(), &true.into())
    );
    let said = result["timeline"].as_array().and_then(|timeline| timeline.last());
    assert_eq!(said.unwrap()["status"], "NOOP", "{result:#}");
    let after = stage.api().object("Workload", &stage.patient.name).await.unwrap();
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(stage.starts().await, 1);
    assert_eq!(stage.api().get_ok("/runbook").await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_approve_mode_only_an_approval_of_this_very_plan_lets_it_act() {
    let stage = stage(json!({"mode": "Approve"})).await;
    let api = stage.api();
    stage.falls_ill("asks").await;
    let waiting = api.in_phase("asks", "AWAITING_APPROVAL").await;
    let hash = waiting["status"]["plan"]["hash"].as_str().unwrap().to_owned();
    let workload = &stage.patient.name;
    let before = api.object("Workload", workload).await.unwrap();

    let wrong =
        json!({"spec": {"approval": {"decision": "Approve", "by": "eve", "planHash": "0123456789abcdef"}}});
    let written = api.merge_ok("Incident", "asks", &wrong).await;
    let generation = written["metadata"]["generation"].clone();
    let still = api
        .until("Incident", "asks", "the wrong approval was observed", |object| {
            let seen = object["status"]["observedGeneration"] == generation;
            if seen {
                Ok(object.clone())
            } else {
                Err(object["status"].to_string())
            }
        })
        .await;
    assert_eq!(still["status"]["phase"], "AWAITING_APPROVAL", "{still:#}");
    assert_eq!(
        api.object("Workload", workload).await.unwrap()["spec"],
        before["spec"]
    );
    assert_eq!(stage.starts().await, 1);

    let right = json!({"spec": {"approval": {"decision": "Approve", "by": "ada", "planHash": hash}}});
    api.merge_ok("Incident", "asks", &right).await;
    let resolved = api.resolved("asks").await;
    assert!(
        resolved["status"]["timeline"]
            .to_string()
            .contains("admin approved the plan")
    );
    assert_eq!(stage.starts().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_plan_is_never_carried_out() {
    let stage = stage(json!({"mode": "Approve"})).await;
    stage.falls_ill("asks").await;
    stage.api().in_phase("asks", "AWAITING_APPROVAL").await;
    stage.controller.ctl().ok(&["reject", "incident/asks"]).await;
    let why = stage.api().failed("asks").await;
    assert!(why.contains("rejected the plan"), "{why}");
    assert_eq!(stage.starts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_is_not_allowed_is_refused_by_name() {
    let stage = stage(json!({"allowedActions": ["SCALE_UP"]})).await;
    stage.falls_ill("forbidden").await;
    let why = stage.api().failed("forbidden").await;
    assert!(
        why.contains("does not allow RESTART") && why.contains("SCALE_UP"),
        "{why}"
    );
    // Not even a human gets past it.
    stage
        .api()
        .apply(&manifests::ordered("ordered", &stage.patient.name, "RESTART", 0))
        .await;
    let why = stage.api().failed("ordered").await;
    assert!(why.contains("does not allow RESTART"), "{why}");
    assert_eq!(stage.starts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_an_incident_waits_and_goes_on_when_it_is_switched_on() {
    let stage = stage(json!({"mode": "Off"})).await;
    let api = stage.api();
    stage.falls_ill("waits").await;
    api.until("Incident", "waits", "held", |object| {
        let held = condition(object, ConditionType::Held);
        if held["status"] == "True" && held["reason"] == "AutomationOff" {
            Ok(())
        } else {
            Err(object.to_string())
        }
    })
    .await;
    assert_eq!(stage.starts().await, 1);

    api.merge_ok(
        "RemediationPolicy",
        &stage.patient.name,
        &json!({"spec": {"mode": "Auto"}}),
    )
    .await;
    let resolved = api.resolved("waits").await;
    assert!(
        resolved["status"]["evidence"].is_object(),
        "what was seen while it was held is kept"
    );
    assert_eq!(stage.starts().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_asks_a_human() {
    let stage = stage(json!({"actionsPerHour": 1})).await;
    stage.falls_ill("first").await;
    stage.api().resolved("first").await;
    stage.falls_ill("second").await;
    let waiting = stage.api().in_phase("second", "AWAITING_APPROVAL").await;
    assert_eq!(
        condition(&waiting, ConditionType::PolicyAllows)["reason"],
        "BudgetExhausted",
        "{waiting:#}"
    );
    assert_eq!(stage.starts().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_works_from_a_human_s_order_to_its_proof() {
    let stage = stage(json!({"replicas": {"min": 1, "max": 4}})).await;
    let (api, name) = (stage.api(), &stage.patient.name);

    api.apply(&manifests::ordered("up", name, "SCALE_UP", 2)).await;
    let up = api.resolved("up").await;
    assert_eq!(world_size(&stage).await, 3);
    let stages = up["status"]["timeline"].to_string();
    assert!(
        stages.contains("\"SCALING\"") && stages.contains("\"SCALED\""),
        "{stages}"
    );
    assert_eq!(
        api.get_ok("/incidents/up").await["replicas_spawned"].as_u64(),
        Some(2),
        "beside the first one"
    );

    api.apply(&manifests::ordered("down", name, "SCALE_DOWN", 1))
        .await;
    api.resolved("down").await;
    assert_eq!(world_size(&stage).await, 2);

    // Bounds hold for manual changes, too: what is requested beyond them is cut to them, and nothing beyond is refused.
    api.apply(&manifests::ordered("far", name, "SCALE_UP", 100)).await;
    api.resolved("far").await;
    assert_eq!(world_size(&stage).await, 4);
    api.apply(&manifests::ordered("further", name, "SCALE_UP", 1))
        .await;
    let why = api.failed("further").await;
    assert!(why.contains("4 replicas are the most"), "{why}");

    let before = api.object("Workload", name).await.unwrap();
    api.apply(&manifests::ordered("nothing", name, "NOOP", 0)).await;
    let noop = api.resolved("nothing").await;
    assert_eq!(
        noop["status"]["verification"]["healthVerified"], true,
        "a NOOP is proved: {noop:#}"
    );
    assert_eq!(
        api.object("Workload", name).await.unwrap()["spec"],
        before["spec"]
    );

    api.apply(&manifests::ordered("again", name, "RESTART", 0)).await;
    api.resolved("again").await;
    for container in stage.world.containers().await {
        let starts = stage.world.events().count(&container.id, "start").await;
        assert_eq!(starts, 2, "{}", container.name);
    }
}

async fn world_size(stage: &Stage) -> usize {
    stage.world.containers().await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_noop_on_an_unhealthy_workload_is_not_resolved_i7() {
    let stage = stage(json!({"verification": {"deadline": "2s"}})).await;
    stage.patient.trigger("hang").await;
    stage
        .api()
        .apply(&manifests::ordered("nothing", &stage.patient.name, "NOOP", 0))
        .await;
    let why = stage.api().failed("nothing").await;
    assert!(why.contains("not verified"), "{why}");
    assert_eq!(
        stage.api().get_ok("/runbook").await["total"],
        0,
        "and nothing is learned from it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_with_nothing_to_roll_back_to_is_refused_with_words() {
    let stage = stage(Value::Null).await;
    stage
        .api()
        .apply(&manifests::ordered("back", &stage.patient.name, "ROLLBACK", 0))
        .await;
    let why = stage.api().failed("back").await;
    assert!(
        why.contains("nothing to roll back to") && why.contains(&stage.patient.name),
        "{why}"
    );
    assert_eq!(stage.starts().await, 1);

    let fresh = stage.world.name("web");
    let api = stage.api();
    api.apply(&manifests::templated(
        &fresh,
        stage.world.network(),
        1,
        &Value::Null,
    ))
    .await;
    api.workload_ready(&fresh, 1).await;
    api.apply(&manifests::ordered("back-too", &fresh, "ROLLBACK", 0))
        .await;
    let why = api.failed("back-too").await;
    assert!(why.contains("has had no other template"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_previous_template_back() {
    let world = World::new().await;
    let controller = world.controller().start().await;
    let api = controller.api();
    let name = world.name("web");
    let version =
        |number: &str| manifests::templated(&name, world.network(), 2, &json!({"env": {"RELEASE": number}}));
    api.apply(&version("one")).await;
    api.workload_ready(&name, 2).await;
    runs(&world, &api, &name, "one").await;
    api.apply(&version("two")).await;
    runs(&world, &api, &name, "two").await;

    api.apply(&manifests::ordered("back", &name, "ROLLBACK", 0)).await;
    let resolved = api.resolved("back").await;
    assert!(resolved["status"]["timeline"].to_string().contains("ROLLED_BACK"));
    let workload = api.object("Workload", &name).await.unwrap();
    assert_eq!(workload["spec"]["template"]["env"]["RELEASE"], "one");
    runs(&world, &api, &name, "one").await;
}

/// Waits until the workload is ready and both its containers are of this release.
async fn runs(world: &World, api: &Api, name: &str, release: &str) {
    let wanted = format!("RELEASE={release}");
    eventually(&format!("{name} runs release {release}"), async || {
        let mut releases = Vec::new();
        for container in world.containers().await {
            let env = container.try_inspect().await?["Config"]["Env"].clone();
            releases.push(
                env.as_array()
                    .is_some_and(|env| env.iter().any(|pair| *pair == *wanted)),
            );
        }
        if releases == [true, true] {
            Ok(())
        } else {
            Err(format!("{releases:?}"))
        }
    })
    .await;
    let ready = api.workload_ready(name, 2).await;
    assert_eq!(ready["status"]["updatedReplicas"], 2, "{ready:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_incidents_of_one_workload_are_remedied_one_after_the_other_and_restart_it_once_i6() {
    let stage = stage(Value::Null).await;
    let api = stage.api();
    stage.patient.trigger("hang").await;
    tokio::join!(stage.report("left"), stage.report("right"));

    let (left, right) = tokio::join!(api.resolved("left"), api.resolved("right"));
    let begin = |incident: &Value| {
        let timeline = incident["status"]["timeline"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let entry = timeline
            .iter()
            .find(|entry| entry["status"] == "ANALYSING")
            .cloned()
            .unwrap_or_default();
        instant(&entry["ts"])
    };
    let end = |incident: &Value| instant(&incident["status"]["finishedAt"]);
    let apart = end(&left) <= begin(&right) || end(&right) <= begin(&left);
    assert!(
        apart,
        "left {} to {}, right {} to {}",
        begin(&left),
        end(&left),
        begin(&right),
        end(&right)
    );
    let mut actions =
        [&left, &right].map(|incident| incident["status"]["plan"]["action"].as_str().unwrap_or_default());
    actions.sort_unstable();
    assert_eq!(
        actions,
        ["NOOP", "RESTART"],
        "the second one finds the workload well"
    );
    assert_eq!(stage.starts().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooldown_holds_across_a_restart_of_the_controller_i6() {
    let mut stage = stage(json!({"cooldown": "6s"})).await;
    stage.falls_ill("first").await;
    let first = stage.api().resolved("first").await;
    stage.controller.kill9();
    stage.controller.start_again(|launch| launch).await;
    let api = stage.api();
    stage.falls_ill("second").await;
    api.until("Incident", "second", "held for the cooldown", |object| {
        let held = condition(object, ConditionType::Held);
        if held["status"] == "True" && held["reason"] == "Cooldown" {
            Ok(())
        } else {
            Err(object.to_string())
        }
    })
    .await;
    let second = api.resolved("second").await;
    let applied = |incident: &Value| instant(&incident["status"]["execution"]["appliedAt"]);
    let pause = applied(&second).0.duration_since(applied(&first).0);
    assert!(pause.as_secs() >= 6, "{pause}");
    assert_eq!(stage.starts().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_workload_waits_for_a_human() {
    let stage = stage(Value::Null).await;
    let api = stage.api();
    let protect = json!({"metadata": {"annotations": {"aegisops.io/protected": "true"}}});
    api.merge_ok("Workload", &stage.patient.name, &protect).await;
    stage.falls_ill("guarded").await;
    api.until(
        "Incident",
        "guarded",
        "it waits for a human or has failed",
        |object| match object["status"]["phase"].as_str() {
            Some("AWAITING_APPROVAL" | "FAILED") => Ok(()),
            _ => Err(object["status"].to_string()),
        },
    )
    .await;
    assert_eq!(stage.starts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_of_a_container_that_no_workload_covers_fails_with_words_and_touches_nothing_i3() {
    let stage = stage(Value::Null).await;
    let stranger = stage.world.patient("stranger").start().await;
    let alert = json!({"incident_id": "who", "alert_type": "down", "container_name": stranger.name});
    let (status, _) = stage.api().post("/webhook", &alert).await;
    assert_eq!(status, 200);
    let result = eventually("it ends", async || {
        let result = stage.api().get_ok("/incidents/who").await;
        if result["status"] == "FAILED" {
            Ok(result)
        } else {
            Err(result.to_string())
        }
    })
    .await;
    assert!(
        result["error"].as_str().unwrap().contains(&stranger.name),
        "{result}"
    );
    assert_eq!(stage.world.events().count(&stranger.name, "start").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_pause_outlives_the_controller_and_holds_incidents_until_somebody_resumes() {
    let mut stage = stage(Value::Null).await;
    let said = stage
        .controller
        .ctl()
        .ok(&["pause", "--reason", "database migration", "--for", "2h"])
        .await;
    assert!(
        said.contains("all automation is paused by") && said.contains("database migration"),
        "{said}"
    );
    stage.controller.kill9();
    stage.controller.start_again(|launch| launch).await;
    let api = stage.api();
    stage.falls_ill("waits").await;
    let waiting = api.in_phase("waits", "AWAITING_APPROVAL").await;
    let gate = condition(&waiting, ConditionType::PolicyAllows);
    assert_eq!(gate["reason"], "Paused", "{gate}");
    assert!(
        gate["message"].as_str().unwrap().contains("database migration"),
        "{gate}"
    );
    assert_eq!(stage.starts().await, 1);
    let ctl = stage.controller.ctl();
    let listed = ctl.run(&["get", "workloads"]).await;
    assert!(listed.stderr.contains("database migration"), "{}", listed.all());
    let why = ctl.ok(&["why", &stage.patient.name]).await;
    assert!(
        why.contains("Paused is True") && why.contains("aegisctl resume"),
        "{why}"
    );

    let said = ctl.ok(&["resume"]).await;
    assert!(said.contains("automation goes on"), "{said}");
    api.resolved("waits").await;
    assert_eq!(stage.starts().await, 2);

    // One workload alone, as kubectl would.
    let pause = json!({"metadata": {"annotations": {"aegisops.io/paused": "true"}}});
    api.merge_ok("Workload", &stage.patient.name, &pause).await;
    stage.falls_ill("alone").await;
    let waiting = api.in_phase("alone", "AWAITING_APPROVAL").await;
    assert_eq!(
        condition(&waiting, ConditionType::PolicyAllows)["reason"],
        "Paused",
        "{waiting:#}"
    );
    let name = format!("workload/{}", stage.patient.name);
    stage.controller.ctl().ok(&["resume", &name]).await;
    api.resolved("alone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_without_a_policy_or_with_a_broken_one_an_incident_waits_and_says_what_to_do() {
    let stage = stage(Value::Null).await;
    let api = stage.api();
    let file = stage.controller.state_dir().join("remediationpolicies");
    std::fs::write(
        file.join("broken.yaml"),
        "apiVersion: aegisops.io/v1alpha1\nkind: RemediationPolicy\nmetadata: {name: broken}\nspec: {mod: Approve}\n",
    )
    .unwrap();
    eventually("it is reported", async || {
        let listed = stage
            .controller
            .ctl()
            .run(&["get", "remediationpolicies"])
            .await
            .all();
        if listed.contains("broken.yaml") {
            Ok(())
        } else {
            Err(listed)
        }
    })
    .await;
    stage.falls_ill("doubt").await;
    let waiting = api.in_phase("doubt", "AWAITING_APPROVAL").await;
    let gate = condition(&waiting, ConditionType::PolicyAllows);
    assert_eq!(gate["reason"], "BrokenPolicy", "{gate}");
    assert!(
        gate["message"].as_str().unwrap().contains("broken.yaml"),
        "{gate}"
    );
    // Before the doubt is gone: a policy that is in force would let it act at once.
    let plan = waiting["status"]["plan"]["hash"].as_str().unwrap();
    let reject = json!({"spec": {"approval": {"decision": "Reject", "by": "ada", "planHash": plan}}});
    api.merge_ok("Incident", "doubt", &reject).await;
    api.failed("doubt").await;
    std::fs::remove_file(file.join("broken.yaml")).unwrap();
    std::fs::remove_file(file.join(format!("{}.yaml", stage.patient.name))).unwrap();
    eventually("the policy is gone", async || {
        match api.object("RemediationPolicy", &stage.patient.name).await {
            None => Ok(()),
            Some(object) => Err(object.to_string()),
        }
    })
    .await;
    stage.report("none").await;
    let waiting = api.in_phase("none", "AWAITING_APPROVAL").await;
    let gate = condition(&waiting, ConditionType::PolicyAllows);
    assert_eq!(gate["reason"], "NoPolicy", "{gate}");
    assert!(
        gate["message"]
            .as_str()
            .unwrap()
            .contains("examples/quickstart/policy.yaml"),
        "{gate}"
    );
    assert_eq!(stage.starts().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn false_alarms_about_a_container_that_people_restarted_restart_nothing_and_teach_nothing_i13() {
    let stage = stage(Value::Null).await;
    let api = stage.api();
    for _ in 0..3 {
        stage.patient.restart_by_hand().await;
        stage.patient.answers().await;
    }
    api.workload_ready(&stage.patient.name, 1).await;
    let before = stage.patient.started_at().await;
    for (number, alert) in ["CrashLoopBackOff", "memory_leak", "HighCpuLoad"]
        .into_iter()
        .enumerate()
    {
        let id = format!("false-{number}");
        let spec =
            json!({"alertType": alert, "severity": "critical", "logs": "CRITICAL crash loop, restart it"});
        api.apply(&manifests::incident(&id, &stage.patient.name, &spec))
            .await;
        let resolved = api.resolved(&id).await;
        assert_eq!(resolved["status"]["plan"]["action"], "NOOP", "{resolved:#}");
        assert!(resolved["status"]["error"].is_null(), "{resolved:#}");
    }
    assert_eq!(stage.patient.started_at().await, before);
    assert_eq!(api.get_ok("/runbook").await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_about_a_paused_container_ends_with_its_name_and_nothing_is_restarted_on_unpause() {
    let stage = stage(Value::Null).await;
    let api = stage.api();
    let before = stage.patient.started_at().await;
    stage.patient.freeze().await;
    api.until("Workload", &stage.patient.name, "the pause is seen", |object| {
        match object["status"]["instances"][0]["state"].as_str() {
            Some("paused") => Ok(()),
            _ => Err(object["status"].to_string()),
        }
    })
    .await;
    stage.report("frozen").await;
    let why = api.failed("frozen").await;
    assert!(
        why.contains(&format!("{} is paused", stage.patient.name)) && why.contains("docker unpause"),
        "{why}"
    );
    stage.patient.thaw().await;
    stage.patient.answers().await;
    api.workload_ready(&stage.patient.name, 1).await;
    assert_eq!(stage.patient.started_at().await, before);
    let workload = api.object("Workload", &stage.patient.name).await.unwrap();
    assert!(workload["spec"]["restartedAt"].is_null(), "{workload:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_human_ends_as_a_noop_when_it_has_recovered_and_may_act_by_itself() {
    let stage = stage(json!({"mode": "Approve"})).await;
    let api = stage.api();
    stage.falls_ill("waits").await;
    api.in_phase("waits", "AWAITING_APPROVAL").await;
    stage.patient.restart_by_hand().await;
    stage.patient.answers().await;
    api.workload_ready(&stage.patient.name, 1).await;
    let before = stage.patient.started_at().await;
    let auto = json!({"spec": {"mode": "Auto"}});
    api.merge_ok("RemediationPolicy", &stage.patient.name, &auto)
        .await;
    let resolved = api.resolved("waits").await;
    assert_eq!(resolved["status"]["plan"]["action"], "NOOP", "{resolved:#}");
    assert_eq!(stage.patient.started_at().await, before);
    assert_eq!(api.get_ok("/runbook").await["total"], 0);
}
