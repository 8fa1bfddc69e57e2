//! The default detectors over the engine in memory, with every loop of the controller, no alert at all, and time that
//! jumps: what is found, how soon, and what is not.

mod agreement;
mod inhibited;
mod origin;
mod outside;
mod relapses;
mod slow;
mod windows;

use std::time::Duration;

use aegis_api::detector::DetectorWorkload;
use aegis_api::observed::ContainerState;
use aegis_api::{
    ConditionType, Detector, Incident, IncidentStatus, Kind, LoadBalancer, Phase, Reason, Workload,
    condition, kinds,
};
use aegis_brain::{Brain, BrainConfig};
use aegis_docker::ListFilter;
use aegis_docker_fake::{Ailment, Cure, FakeEngine, RunSpec, Symptom, When};
use aegis_signals::collector::collect;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::defaults;
use crate::assembly::{Parts, Surroundings, controllers};
use crate::context::{Context, Settings, tests::over};
use crate::docker_events::DockerEvents;
use crate::recall::Recall;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 200 * MIB;

/// One life of a controller over an engine.
struct Life {
    context: Context,
    engine: FakeEngine,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Life {
    /// Starts every loop, and a round of readings every three seconds.
    fn begin(engine: &FakeEngine, context: &Context) -> Self {
        Self::with_brain(engine, context, Brain::new(BrainConfig::default()).unwrap())
    }

    /// The same with this analyst and council.
    fn with_brain(engine: &FakeEngine, context: &Context, brain: Brain) -> Self {
        let mut life = Self {
            context: context.clone(),
            engine: engine.clone(),
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        let brain = std::sync::Arc::new(brain);
        let events = DockerEvents::new(context);
        let parts = Parts {
            context,
            events: &events,
            brain: &brain,
            recall: &Recall::default(),
        };
        let surroundings = Surroundings {
            shutdown: life.shutdown.clone(),
            ..Surroundings::default()
        };
        for (_, run) in controllers(parts, surroundings) {
            life.tasks.spawn(run);
        }
        let (prober, shutdown) = (context.prober.clone(), life.shutdown.clone());
        life.tasks.spawn(async move { prober.run(shutdown).await });
        let (client, shutdown) = (context.engine.clone(), life.shutdown.clone());
        life.tasks
            .spawn(async move { events.run(client, shutdown).await });
        let (context, shutdown) = (context.clone(), life.shutdown.clone());
        life.tasks.spawn(async move {
            while !shutdown.is_cancelled() {
                if let Ok(containers) = context.engine.list(ListFilter::default()).await {
                    let readings = collect(&*context.engine, &context.samples, containers).await;
                    context.samples.remember(context.clock.now(), &readings);
                }
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        });
        life
    }

    async fn end(mut self) {
        self.shutdown.cancel();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }

    async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let info = kinds::find(kind).unwrap();
        self.context.store.create(info, object, false).await.unwrap();
    }

    fn incidents(&self) -> Vec<String> {
        let incidents = self.context.store.list::<Incident>();
        incidents
            .iter()
            .map(|incident| incident.spec.alert_type.clone())
            .collect()
    }

    /// Of the only incident.
    fn status(&self) -> IncidentStatus {
        let incidents = self.context.store.list::<Incident>();
        assert_eq!(incidents.len(), 1);
        incidents[0].status.clone().unwrap()
    }

    fn row(&self, detector: &str) -> DetectorWorkload {
        let detector = self.context.store.get::<Detector>(detector).unwrap();
        let status = detector.status.clone().unwrap();
        status.workloads.into_iter().next().unwrap()
    }

    async fn pass(&self, secs: u64) {
        tokio::time::sleep(Duration::from_secs(secs)).await;
    }

    /// Waits until an incident is open; answers after how long.
    async fn until_open(&self, bound: Duration) -> Option<Duration> {
        let begun = tokio::time::Instant::now();
        let done = |_: &FakeEngine| !self.incidents().is_empty();
        self.engine.wait_until(bound, done).await.then(|| begun.elapsed())
    }
}

/// A workload `web` that adopts the container of this name, well for a while, with the default detectors.
async fn well() -> (Life, tempfile::TempDir) {
    well_with("always").await
}

/// The same, with this restart policy of Docker's.
async fn well_with(restart_policy: &str) -> (Life, tempfile::TempDir) {
    well_under(restart_policy, Brain::new(BrainConfig::default()).unwrap()).await
}

/// The same, with this analyst and council.
async fn well_under(restart_policy: &str, brain: Brain) -> (Life, tempfile::TempDir) {
    well_set(restart_policy, brain, Settings::default()).await
}

/// The same, so set up.
async fn well_set(restart_policy: &str, brain: Brain, settings: Settings) -> (Life, tempfile::TempDir) {
    let engine = FakeEngine::default();
    engine
        .run_container(
            &RunSpec::new("web", "app:1")
                .memory(LIMIT)
                .restart_policy(restart_policy),
        )
        .unwrap();
    let (context, state) = over(&engine, settings).await;
    defaults::give(&context.store).await.unwrap();
    let life = Life::with_brain(&engine, &context, brain);
    life.apply(
        "Workload",
        "web",
        json!({"container": "web", "health": {"http": {"port": 8000, "path": "/health"}, "interval": "2s"}}),
    )
    .await;
    life.pass(120).await;
    assert_eq!(life.incidents(), [""; 0], "it is well");
    (life, state)
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_an_incident_within_a_quarter_of_a_second() {
    let (life, _state) = well().await;
    life.engine.crash("web", 1).unwrap();
    let took = life.until_open(Duration::from_secs(5)).await.unwrap();
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert_eq!(life.incidents(), ["CONTAINER_CRASHED"]);
    let row = life.row("crashed");
    assert!(row.firing && row.since.is_some(), "{row:?}");
    life.pass(300).await;
    assert_eq!(life.incidents().len(), 1, "{:?}", life.incidents());
    assert!(!life.row("crashed").firing, "it is over by itself");
    life.end().await;
}

/// From now on the engine answers no inspection: as while it starts the container that is asked about.
fn inspect_nothing(engine: &FakeEngine) {
    let hook = |operation: &str, when: When| operation == "inspect" && when == When::Before;
    engine.on_operation(Some(std::sync::Arc::new(hook)));
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_is_an_incident_at_once_also_while_the_engine_is_busy_with_it() {
    for end in [
        |engine: &FakeEngine| engine.crash("web", 1).unwrap(),
        |engine: &FakeEngine| engine.oom("web").unwrap(),
    ] {
        let (life, _state) = well().await;
        inspect_nothing(&life.engine);
        end(&life.engine);
        let took = life.until_open(Duration::from_secs(5)).await.unwrap();
        assert!(
            took < Duration::from_millis(50),
            "no burst is waited for: {took:?}"
        );
        life.pass(2).await;
        assert_eq!(life.incidents().len(), 1, "{:?}", life.incidents());
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_person_removes_is_no_crash_and_no_outage_also_after_a_restart() {
    let (life, _state) = well().await;
    life.engine.remove_by_hand("web").unwrap();
    life.pass(300).await;
    assert_eq!(life.incidents(), [""; 0]);
    let (mut context, engine) = (life.context.clone(), life.engine.clone());
    life.end().await;
    // Who removed it was heard by the life before.
    context.lifecycle = aegis_signals::lifecycle::Lifecycle::default();
    let again = Life::begin(&engine, &context);
    again.pass(300).await;
    assert_eq!(again.incidents(), [""; 0]);
    again.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_vanished_for_an_unknown_cause_is_one_incident_until_there_is_one_again() {
    let (life, _state) = well().await;
    life.engine.cut_events();
    life.engine.remove_by_hand("web").unwrap();
    let took = life.until_open(Duration::from_secs(180)).await.unwrap();
    assert!(
        took >= Duration::from_secs(60),
        "it may be recreated just now: {took:?}"
    );
    life.pass(300).await;
    assert_eq!(life.incidents(), ["CONTAINER_DOWN"]);
    assert!(
        life.row("down").message.contains("does not exist any more"),
        "{:?}",
        life.row("down")
    );
    let spec = RunSpec::new("web", "app:1").memory(LIMIT);
    life.engine.run_container(&spec).unwrap();
    life.pass(120).await;
    assert!(!life.row("down").firing, "{:?}", life.row("down"));
    assert_eq!(life.incidents(), ["CONTAINER_DOWN"]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_without_an_alert() {
    for (illness, alerts, within) in [
        ("kill", &["CONTAINER_CRASHED"][..], 1),
        ("oom", &["OOM_KILLED", "CONTAINER_CRASHED"], 1),
        ("hang", &["HEALTH_CHECK_FAILED"], 30),
        ("unhealthy", &["HEALTH_CHECK_FAILED"], 30),
        ("memory", &["MEMORY_HIGH"], 75),
        ("leak", &["MEMORY_LEAK", "MEMORY_HIGH"], 600),
        ("cpu", &["CPU_SATURATED"], 195),
        ("spin", &["CPU_SPIN", "HEALTH_CHECK_FAILED"], 45),
    ] {
        let (life, _state) = well().await;
        let engine = life.engine.clone();
        match illness {
            "kill" => engine.kill("web").unwrap(),
            "oom" => engine.oom("web").unwrap(),
            "hang" => engine.hang("web").unwrap(),
            "unhealthy" => engine
                .ail("web", Ailment::new(Symptom::Unhealthy, Cure::Never))
                .unwrap(),
            "memory" => engine
                .set_behaviour("web", |it| it.memory_bytes = LIMIT / 10 * 9)
                .unwrap(),
            "cpu" => engine.set_behaviour("web", |it| it.cpu_millis = 990).unwrap(),
            "spin" => {
                engine.set_behaviour("web", |it| it.cpu_millis = 990).unwrap();
                engine.hang("web").unwrap();
            }
            _ => {
                let leaking = engine.clone();
                tokio::spawn(async move {
                    for _ in 0..200 {
                        tokio::time::sleep(Duration::from_secs(3)).await;
                        leaking.set_behaviour("web", |it| it.memory_bytes += MIB).unwrap();
                    }
                });
            }
        }
        let took = life.until_open(Duration::from_secs(within)).await;
        assert!(took.is_some(), "{illness} is not found within {within} s");
        life.pass(30).await;
        let incidents = life.incidents();
        assert_eq!(incidents.len(), 1, "{illness}: {incidents:?}");
        assert!(
            alerts.contains(&incidents[0].as_str()),
            "{illness}: {incidents:?}"
        );
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_deaths_are_one_incident() {
    let (life, _state) = well().await;
    for _ in 0..23 {
        drop(life.engine.crash("web", 1));
        tokio::time::sleep(Duration::from_millis(2600)).await;
    }
    life.pass(30).await;
    assert_eq!(life.incidents().len(), 1, "{:?}", life.incidents());
    life.end().await;
}

/// Crashes whenever it runs, for as long as this takes in all.
async fn crash_again_and_again(life: &Life, minutes: u64) -> Vec<u64> {
    let begun = tokio::time::Instant::now();
    let mut deaths = Vec::new();
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        let runs = life
            .engine
            .inspect_now("web")
            .is_some_and(|it| it.state == ContainerState::Running);
        if runs && life.engine.crash("web", 1).is_ok() {
            deaths.push(begun.elapsed().as_secs());
        }
        life.pass(1).await;
    }
    deaths
}

#[tokio::test(start_paused = true)]
async fn i6_crashes_that_the_spec_restarts_are_one_incident_with_growing_pauses_a_limit_and_a_human() {
    let (life, _state) = well_with("no").await;
    let spec = json!({"workloads": {"names": ["web"]}, "mode": "Auto"});
    life.apply("RemediationPolicy", "auto", spec).await;
    let deaths = crash_again_and_again(&life, 60).await;
    let pauses: Vec<u64> = deaths.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(deaths.len(), 11, "ten restarts within the hour: {pauses:?}");
    assert!(pauses.is_sorted() && pauses[8] > 100, "{pauses:?}");
    assert_eq!(life.alerts().len(), 1, "{:?}", life.alerts());
    let status = life.status();
    assert_eq!(status.phase, Phase::AwaitingApproval, "{:?}", status.timeline);
    let allows = condition::find(&status.conditions, ConditionType::PolicyAllows).unwrap();
    assert_eq!(allows.reason, Reason::RestartLimit, "{}", allows.message);
    assert!(
        status.execution.is_none(),
        "no action of the incident beside the restarts of the spec: {:?}",
        status.timeline
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_the_spec_restarts_is_held_and_resolved_when_it_is_over() {
    let (life, _state) = well_with("no").await;
    life.engine.crash("web", 1).unwrap();
    life.pass(20).await;
    let status = life.status();
    let held = condition::find(&status.conditions, ConditionType::Held).unwrap();
    assert!(
        condition::is_true_for(&status.conditions, ConditionType::Held, Reason::RestartsUnderWay),
        "{held:?}"
    );
    assert!(held.message.contains("1 of 10 times"), "{}", held.message);
    life.pass(600).await;
    let status = life.status();
    assert_eq!(status.phase, Phase::Resolved, "{:?}", status.timeline);
    assert_eq!(status.plan.unwrap().action, aegis_api::proposal::Action::Noop);
    assert_eq!(life.alerts().len(), 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_hangs_after_its_restart_is_not_held_as_a_crash() {
    let (life, _state) = well_with("no").await;
    let spec = json!({"workloads": {"names": ["web"]}, "mode": "Auto"});
    life.apply("RemediationPolicy", "auto", spec).await;
    life.engine.crash("web", 1).unwrap();
    life.pass(3).await;
    life.engine.hang("web").unwrap();
    life.pass(240).await;
    let incidents = life.context.store.list::<Incident>();
    let acted = incidents.iter().any(|it| {
        let plan = it.status.as_ref().and_then(|status| status.plan.as_ref());
        plan.is_some_and(|plan| plan.action == aegis_api::proposal::Action::Restart)
    });
    assert!(
        acted,
        "{:?} {:?}",
        life.alerts(),
        incidents[0].status.as_ref().unwrap().timeline
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_hangs_minutes_after_a_crash_that_left_nothing_is_acted_on() {
    let (life, _state) = well().await;
    let spec = json!({"workloads": {"names": ["web"]}, "mode": "Auto"});
    life.apply("RemediationPolicy", "auto", spec).await;
    life.engine.crash("web", 1).unwrap();
    life.pass(300).await;
    assert_eq!(life.status().phase, Phase::Resolved);
    life.engine.hang("web").unwrap();
    life.pass(120).await;
    assert_eq!(life.incidents().len(), 2, "{:?}", life.alerts());
    let incidents = life.context.store.list::<Incident>();
    let acted = incidents.iter().any(|it| {
        let plan = it.status.as_ref().and_then(|status| status.plan.as_ref());
        plan.is_some_and(|plan| plan.action == aegis_api::proposal::Action::Restart)
    });
    assert!(acted, "{:?}", life.alerts());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_under_dockers_policy_has_an_incident_of_its_own() {
    let (life, _state) = well().await;
    life.engine.crash("web", 1).unwrap();
    life.pass(30).await;
    let first = life.status();
    assert_eq!(
        first.plan.map(|plan| plan.action),
        Some(aegis_api::proposal::Action::Noop),
        "what has just started does not hang: {:?}",
        first.timeline
    );
    for _ in 0..8 {
        life.engine.crash("web", 1).unwrap();
        life.pass(30).await;
    }
    let incidents = life.incidents();
    assert!(
        incidents.iter().any(|alert| alert == "CRASH_LOOP"),
        "{incidents:?}"
    );
    assert!(incidents.len() <= 2, "{incidents:?}");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_every_few_minutes_that_docker_restarts_counts_on_one_incident() {
    let (life, _state) = well().await;
    for _ in 0..5 {
        life.engine.crash("web", 1).unwrap();
        life.pass(310).await;
    }
    let alerts = life.alerts();
    assert!(alerts.len() <= 3, "{alerts:?}");
    let counts: u32 = life
        .context
        .store
        .list::<Incident>()
        .iter()
        .map(|it| it.spec.count)
        .sum();
    assert_eq!(counts, 5, "each counts");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_detector_alone_measures_waits_for_a_human_until_it_clears() {
    let (life, _state) = well().await;
    let spec = json!({"workloads": {"names": ["web"]}, "mode": "Auto"});
    life.apply("RemediationPolicy", "auto", spec).await;
    let spec =
        json!({"signal": "Memory", "threshold": 50, "for": "10s", "clear": "10s", "alertType": "HALF_FULL"});
    life.apply("Detector", "half", spec).await;
    let used = |percent: u64| {
        life.engine
            .set_behaviour("web", |it| it.memory_bytes = LIMIT / 100 * percent)
            .unwrap();
    };
    used(60);
    life.pass(120).await;
    assert_eq!(life.incidents(), ["HALF_FULL"]);
    let status = life.status();
    assert_eq!(status.phase, Phase::AwaitingApproval, "{:?}", status.timeline);
    let allows = condition::find(&status.conditions, ConditionType::PolicyAllows).unwrap();
    assert_eq!(allows.reason, Reason::DetectorFires, "{}", allows.message);
    assert!(
        allows.message.contains("detector half fires"),
        "{}",
        allows.message
    );
    let lines = status.timeline.len();
    life.pass(1200).await;
    assert_eq!(
        life.status().timeline.len(),
        lines,
        "it does not fill its timeline while it waits: {:?}",
        life.status().timeline
    );
    used(10);
    life.pass(120).await;
    assert_eq!(
        life.status().phase,
        Phase::Resolved,
        "{:?}",
        life.status().timeline
    );
    assert_eq!(life.incidents().len(), 1);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn i6_what_waits_for_a_human_ends_by_itself_when_its_detector_clears() {
    let (life, _state) = well().await;
    let used = |percent: u64| {
        life.engine
            .set_behaviour("web", |it| it.memory_bytes = LIMIT / 100 * percent)
            .unwrap();
    };
    used(95);
    life.pass(180).await;
    let status = life.status();
    assert_eq!(
        status.phase,
        Phase::AwaitingApproval,
        "no policy: {:?}",
        status.timeline
    );
    used(10);
    life.pass(300).await;
    let status = life.status();
    assert_eq!(status.phase, Phase::Resolved, "{:?}", status.timeline);
    assert_eq!(status.plan.unwrap().action, aegis_api::proposal::Action::Noop);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_was_first_has_the_episode() {
    let (life, _state) = well().await;
    life.engine.hang("web").unwrap();
    life.apply(
        "Incident",
        "alerted",
        json!({"workloadRef": "web", "alertType": "API_SLOW", "source": {"kind": "webhook"}}),
    )
    .await;
    life.pass(60).await;
    assert_eq!(life.incidents(), ["API_SLOW"]);
    let row = life.row("unhealthy");
    assert_eq!(row.incident.unwrap().as_str(), "alerted");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn i1_after_a_restart_the_same_fires_since_the_same_moment_and_nothing_is_opened_again() {
    let (life, _state) = well().await;
    life.engine
        .ail("web", Ailment::new(Symptom::Unhealthy, Cure::Never))
        .unwrap();
    life.pass(60).await;
    let (before, incidents) = (life.row("unhealthy"), life.incidents());
    assert!(before.firing && before.incident.is_some(), "{before:?}");
    let (context, engine) = (life.context.clone(), life.engine.clone());
    life.end().await;
    let again = Life::begin(&engine, &context);
    again.pass(60).await;
    let after = again.row("unhealthy");
    assert_eq!(
        (after.firing, after.since, &after.incident),
        (true, before.since, &before.incident)
    );
    assert_eq!(again.incidents(), incidents);
    again.end().await;
}

#[tokio::test(start_paused = true)]
async fn i1_what_ended_while_its_condition_holds_fires_no_sooner_because_of_a_restart() {
    let (life, _state) = well().await;
    let detector = json!({"signal": "Memory", "threshold": 50, "clear": "5m", "alertType": "HALF_FULL"});
    life.apply("Detector", "half-full", detector).await;
    life.engine
        .set_behaviour("web", |it| it.memory_bytes = LIMIT / 10 * 6)
        .unwrap();
    life.until_open(Duration::from_secs(10)).await.unwrap();
    let open = life.context.store.list::<Incident>().remove(0);
    let deleted = life
        .context
        .store
        .delete(Incident::info(), open.name(), None, None, false);
    deleted.await.unwrap();
    life.pass(10).await;
    let ended = life.row("half-full").ended_at;
    assert!(ended.is_some() && life.incidents().is_empty(), "{ended:?}");
    let (context, engine) = (life.context.clone(), life.engine.clone());
    life.end().await;
    let again = Life::begin(&engine, &context);
    again.pass(120).await;
    assert_eq!(again.incidents(), [""; 0], "it waits on");
    assert_eq!(again.row("half-full").ended_at, ended, "since the same moment");
    again.pass(200).await;
    assert_eq!(again.incidents(), ["HALF_FULL"]);
    again.end().await;
}

/// What people and engines do every week.
async fn a_quiet_week(life: &Life) {
    let engine = life.engine.clone();
    // People stop it and start it again; restart it; freeze it for a backup.
    engine.stop_by_hand("web").unwrap();
    life.pass(600).await;
    engine.start_by_hand("web").unwrap();
    life.pass(120).await;
    engine.stop_by_hand("web").unwrap();
    engine.start_by_hand("web").unwrap();
    life.pass(120).await;
    // A nightly job: busy and large for two minutes.
    engine
        .set_behaviour("web", |it| {
            (it.cpu_millis, it.memory_bytes) = (950, LIMIT / 100 * 80);
        })
        .unwrap();
    life.pass(120).await;
    engine
        .set_behaviour("web", |it| (it.cpu_millis, it.memory_bytes) = (10, 20 * MIB))
        .unwrap();
    // The engine restarts, and so does the host.
    for away in [20, 120] {
        engine.stop_engine();
        life.pass(away).await;
        engine.start_engine();
        life.pass(120).await;
    }
    // A deployment, and a scaling, of a workload of our own.
    engine.add_image("shop:1", aegis_docker_fake::Behaviour::default());
    engine.add_image("shop:2", aegis_docker_fake::Behaviour::default());
    let spec = json!({"template": {"image": "shop:1"}, "replicas": 3, "health": {"http": {"port": 8000, "path": "/"}}});
    life.apply("Workload", "shop", spec).await;
    life.pass(120).await;
    for (image, replicas) in [("shop:2", 3), ("shop:2", 5), ("shop:2", 1)] {
        let edit = move |workload: &Workload| {
            let mut spec = workload.spec.clone();
            spec.replicas = replicas;
            if let Some(template) = &mut spec.template {
                template.image = image.parse().unwrap();
            }
            Ok(spec)
        };
        life.context
            .store
            .edit_spec::<Workload, _>("shop", edit)
            .await
            .unwrap();
        life.pass(180).await;
    }
    // Somebody removes a replica by hand.
    let replica = engine
        .names()
        .into_iter()
        .find(|name| name.starts_with("shop"))
        .unwrap();
    engine.remove_by_hand(&replica).unwrap();
    life.pass(3600).await;
}

impl Life {
    fn alerts(&self) -> Vec<String> {
        let incidents = self.context.store.list::<Incident>();
        let alerts = incidents
            .iter()
            .map(|it| format!("{}: {}", it.spec.alert_type, it.spec.logs));
        alerts.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_people_and_engines_do_every_week_opens_nothing() {
    let (life, _state) = well().await;
    a_quiet_week(&life).await;
    assert_eq!(life.alerts(), [""; 0]);
    life.end().await;
}

/// That the week can tell: the same with detectors that wait for nothing.
#[tokio::test(start_paused = true)]
async fn without_hysteresis_the_same_week_opens_incidents() {
    let (life, _state) = well().await;
    for detector in life.context.store.list::<Detector>() {
        let hasty = |detector: &Detector| {
            let mut spec = detector.spec.clone();
            (spec.for_, spec.clear) = (
                aegis_api::Duration::from_secs(0),
                aegis_api::Duration::from_secs(0),
            );
            Ok(spec)
        };
        let name = detector.name();
        life.context
            .store
            .edit_spec::<Detector, _>(name, hasty)
            .await
            .unwrap();
    }
    a_quiet_week(&life).await;
    assert!(!life.alerts().is_empty());
    life.end().await;
}

impl Life {
    /// Puts a load balancer before `web` and counts requests from its log; answers its uid.
    async fn balance(&mut self) -> String {
        self.put_balancer().await;
        let lb = self.context.store.get::<LoadBalancer>("lb").unwrap();
        let uid = lb.metadata.uid.clone().unwrap();
        self.served(&uid).await;
        uid
    }

    async fn put_balancer(&mut self) {
        let (context, shutdown) = (self.context.clone(), self.shutdown.clone());
        self.tasks.spawn(crate::requests::run(context, shutdown));
        self.engine.run_container(&RunSpec::nginx("lb")).unwrap();
        let backends = json!([{"workload": "web", "port": 8000, "upstream": "web"}]);
        self.apply(
            "LoadBalancer",
            "lb",
            json!({"container": "lb", "backends": backends}),
        )
        .await;
    }

    async fn served(&self, uid: &str) {
        let status = json!({"config": "log_format aegis_receipt", "servers": [
            {"upstream": "web", "workload": "web", "container": "web", "id": "i", "address": "10.9.9.9:8000"}]});
        let status = serde_json::from_value(status).unwrap();
        let store = &self.context.store;
        store.set_status::<LoadBalancer>("lb", uid, status).await.unwrap();
    }

    /// A request that was answered so, and a pause.
    async fn log(&self, uid: &str, status: u16, seconds: &str, pause: Duration) {
        self.served(uid).await;
        self.log_of("10.9.9.9:8000", status, seconds, pause).await;
    }

    /// The same, answered by the server at this address.
    async fn log_of(&self, address: &str, status: u16, seconds: &str, pause: Duration) {
        let end = self.engine.now().0.as_millisecond();
        let line = format!(
            r#"{{"end":"{}.{:03}","status":"{status}","seconds":"{seconds}","upstream":"{address}"}}"#,
            end / 1000,
            end % 1000
        );
        self.engine.say("lb", false, &line).unwrap();
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_a_load_balancer_logs_are_found_and_too_few_requests_say_nothing() {
    let (mut life, _state) = well().await;
    let uid = life.balance().await;
    let spec = json!({"signal": "HttpErrorRatio", "for": "10s", "alertType": "TOO_MANY_5XX"});
    life.apply("Detector", "errors", spec).await;
    life.pass(10).await;
    assert_eq!(life.row("errors").condition, "Unknown", "nothing was counted yet");
    for n in 0..60 {
        let status = if n % 10 == 0 { 502 } else { 200 };
        life.log(&uid, status, "0.004", Duration::from_millis(500)).await;
    }
    let row = life.row("errors");
    assert!(row.firing, "{row:?}");
    assert_eq!(life.alerts().len(), 1, "{:?}", life.alerts());
    assert!(
        life.alerts()[0].starts_with("TOO_MANY_5XX"),
        "{:?}",
        life.alerts()
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn errors_and_slow_answers_are_found_with_the_default_files_and_a_lone_one_is_not() {
    for (alert, status, seconds) in [("HTTP_ERRORS", 502, "0.004"), ("HTTP_SLOW", 200, "1.500")] {
        let (mut life, _state) = well().await;
        let uid = life.balance().await;
        for n in 0..100 {
            // Of thirty requests a minute one is more than 2 %.
            let (status, seconds) = if n == 40 {
                (status, seconds)
            } else {
                (200, "0.004")
            };
            life.log(&uid, status, seconds, Duration::from_secs(2)).await;
        }
        assert_eq!(life.incidents(), [""; 0], "{alert}");
        for n in 0..160 {
            let (status, seconds) = if n % 3 == 0 {
                (status, seconds)
            } else {
                (200, "0.004")
            };
            life.log(&uid, status, seconds, Duration::from_millis(500)).await;
        }
        assert_eq!(life.incidents(), [alert]);
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_of_the_host_is_an_incident_that_tells_a_human_and_does_nothing() {
    let engine = FakeEngine::default();
    let settings = Settings {
        host: Some(|_, _| aegis_api::signals::HostSignals {
            engine_disk: Some(aegis_api::signals::Disk {
                bytes: Some((3, 100)),
                inodes: None,
            }),
            ..aegis_api::signals::HostSignals::default()
        }),
        ..Settings::default()
    };
    let (context, _state) = over(&engine, settings).await;
    defaults::give(&context.store).await.unwrap();
    let life = Life::begin(&engine, &context);
    life.pass(90).await;
    let row = life.row("host-disk");
    assert_eq!((row.firing, row.workload, row.value), (true, None, Some(97.0)));
    let (_, events) = context.events.list();
    assert!(
        events
            .iter()
            .any(|event| event.reason == "Firing" && event.message.contains("97.0 %")),
        "{events:?}"
    );
    let status = life.status();
    assert_eq!((status.phase, status.plan), (Phase::Failed, None));
    let error = status.error.unwrap();
    assert!(
        error.contains("about the host") && error.contains("97.0 %"),
        "{error}"
    );
    life.pass(3600).await;
    assert_eq!(life.incidents(), ["HOST_DISK_FULL"], "once an episode");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_measured_at_first_is_shown_as_measured_with_the_first_reading() {
    let (life, _state) = well().await;
    // A run of which there is no reading yet.
    life.engine.restart_by_hand("web").unwrap();
    life.apply(
        "Detector",
        "far-from-full",
        json!({"alertType": "MEMORY_FULL", "signal": "Memory", "threshold": 99, "for": "0s"}),
    )
    .await;
    let is_seen = || {
        let detector = life.context.store.get::<Detector>("far-from-full");
        detector.is_some_and(|detector| detector.status.is_some())
    };
    assert!(
        life.engine
            .wait_until(Duration::from_secs(1), |_| is_seen())
            .await
    );
    assert_eq!(life.row("far-from-full").condition, "Unknown");
    life.pass(6).await;
    assert_eq!(life.row("far-from-full").condition, "False");
    life.end().await;
}
