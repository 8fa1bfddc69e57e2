//! The loop over the engine in memory: what it writes, and what it leaves alone.

use aegis_api::audit::Actor;
use aegis_api::condition;
use aegis_api::meta::ANNOTATION_PROTECTED;
use aegis_api::signals::{Outcome, Sample};
use aegis_api::workload::Health;
use aegis_api::{
    ConditionType, Incident, Kind as _, KindInfo, LoadBalancer, Reason, Workload, WorkloadStatus,
};
use aegis_docker_fake::FakeEngine;
use aegis_planning::autoscale::simulate;
use aegis_runtime::Part;
use aegis_runtime::controller::Reconciler as _;
use aegis_runtime::events::EventType;

use super::Autoscaler;
use super::external::tests::{System, ok, status};
use crate::context::tests::over;
use crate::context::{Context, Settings};

const WEB: &str = r#"{"template": {"image": "web:1"}, "replicas": 2, "autoscale": {"min": 1, "max": 6, "scaleDownWindow": "0s",
    "metricWindow": "6s", "targets": [{"metric": "RequestsPerSecond", "value": 10}]}}"#;

struct Rig {
    context: Context,
    loop_: Autoscaler,
    _engine: FakeEngine,
    _state: tempfile::TempDir,
}

/// A workload of two replicas behind a load balancer whose log is followed for long.
async fn rig() -> Rig {
    rig_of(WEB).await
}

async fn rig_of(web: &str) -> Rig {
    let engine = FakeEngine::default();
    let (context, state) = over(&engine, Settings::default()).await;
    let spec = serde_json::from_str(web).unwrap();
    let web = context.store.add::<Workload>("web", &spec).await.unwrap();
    let lb = r#"{"container": "nginx", "backends": [{"workload": "web", "port": 80, "upstream": "web"}]}"#;
    let lb = context
        .store
        .add::<LoadBalancer>("lb", &serde_json::from_str(lb).unwrap())
        .await
        .unwrap();
    let row = |name: &str| {
        serde_json::json!({"name": name, "id": "a".repeat(64), "index": 1, "state": "running", "health": "Healthy", "revision": "r",
            "startedAt": context.clock.now()})
    };
    let status = serde_json::json!({"replicas": 2, "readyReplicas": 2, "instances": [row("web-replica-1"), row("web-replica-2")]});
    let status: WorkloadStatus = serde_json::from_value(status).unwrap();
    assert_eq!(status.instances[0].health, Health::Healthy);
    context.write_status(&*web, status).await.unwrap();
    let server = |name: &str| serde_json::json!({"upstream": "web", "workload": "web", "container": name, "id": "a".repeat(64), "address": "10.0.0.2:80", "weight": 1});
    let status = serde_json::json!({"config": "log_format aegis_receipt", "servers": [server("web-replica-1"), server("web-replica-2")]});
    context
        .write_status(&*lb, serde_json::from_value(status).unwrap())
        .await
        .unwrap();
    context.samples.traffic().set_followed("lb", context.clock.now());
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    Rig {
        loop_: Autoscaler::new(context.clone()),
        context,
        _engine: engine,
        _state: state,
    }
}

impl Rig {
    /// So many requests a second within the last quarter of a minute.
    fn requests(&self, per_second: u32) {
        let now = self.context.clock.now().unix_seconds();
        for secs in (now - 15)..now {
            let end = aegis_api::Time(jiff::Timestamp::from_second(secs).unwrap());
            for _ in 0..per_second {
                let traffic = self.context.samples.traffic();
                traffic.count("web", end, Outcome::Answered, 5);
            }
        }
    }

    /// So many requests a second, from a moment ago and for a while to come.
    fn go_on(&self, per_second: u32) {
        let now = self.context.clock.now().unix_seconds();
        let traffic = self.context.samples.traffic();
        for secs in (now - 15)..(now + 60) {
            let end = aegis_api::Time(jiff::Timestamp::from_second(secs).unwrap());
            (0..per_second).for_each(|_| traffic.count("web", end, Outcome::Answered, 5));
        }
    }

    /// Somebody changes the spec.
    async fn edit(&self, change: impl Fn(&mut aegis_api::WorkloadSpec) + Send + Sync + 'static) {
        let person = self.context.store.acting(Actor::system("test"));
        let edit = move |web: &Workload| {
            let mut spec = web.spec.clone();
            change(&mut spec);
            Ok(spec)
        };
        person.edit_spec::<Workload, _>("web", edit).await.unwrap();
    }

    /// An incident about it carries a plan out.
    async fn act(&self) {
        let spec = serde_json::json!({"workloadRef": "web", "alertType": "DOWN"});
        let spec = serde_json::from_value(spec).unwrap();
        let incident = self.context.store.add::<Incident>("inc-1", &spec).await.unwrap();
        let status = serde_json::json!({"phase": "EXECUTING", "workload": "web"});
        let status = serde_json::from_value(status).unwrap();
        self.context.write_status(&*incident, status).await.unwrap();
    }

    async fn pause(&self) {
        let pause = serde_json::json!({"reason": "works", "by": "ada"});
        let pause = serde_json::from_value(pause).unwrap();
        let automation = self.context.store.automation();
        automation.pause(Actor::system("test"), pause).await.unwrap();
    }

    /// Events of a reason, each with how often it happened.
    fn events(&self, reason: &str) -> Vec<(u32, EventType, String)> {
        let (_, events) = self.context.events.list();
        let own = events.into_iter().filter(|event| event.reason == reason);
        own.map(|event| (event.count, event.kind, event.message))
            .collect()
    }

    /// Passes while time stands still, and sockets go on, until something is so.
    async fn until(&self, is_so: impl Fn(&Workload) -> bool) {
        for _ in 0..5_000 {
            if is_so(&*self.pass().await) {
                return;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        panic!("{:?}", self.web().status.as_ref().unwrap().autoscale);
    }

    fn said(&self) -> String {
        let web = self.web();
        let status = web.status.as_ref().and_then(|status| status.autoscale.as_ref());
        status.map(|status| status.message.clone()).unwrap_or_default()
    }

    async fn pass(&self) -> std::sync::Arc<Workload> {
        self.loop_.reconcile("web").await.unwrap();
        self.web()
    }

    fn web(&self) -> std::sync::Arc<Workload> {
        self.context.store.get::<Workload>("web").unwrap()
    }

    async fn advance(&self, secs: u64) {
        tokio::time::advance(std::time::Duration::from_secs(secs)).await;
    }
}

fn active(workload: &Workload) -> (String, String) {
    let status = workload.status.as_ref().unwrap();
    let found = condition::find(&status.conditions, ConditionType::AutoscalingActive).unwrap();
    (found.status.clone(), found.reason.clone())
}

#[tokio::test(start_paused = true)]
async fn it_sets_the_replicas_as_itself_and_says_why() {
    let rig = rig().await;
    rig.requests(45);
    let web = rig.pass().await;
    assert_eq!(web.spec.replicas, 5);
    assert_eq!(active(&web), ("True".to_owned(), Reason::ScaledOut.to_string()));
    let (_, events) = rig.context.events.list();
    let event = events.iter().find(|event| event.reason == "ScaledOut").unwrap();
    assert_eq!(
        event.message,
        "scaled out from 2 to 5: RequestsPerSecond 45, of 10 a replica needs 5"
    );
    assert_eq!(
        web.status.as_ref().unwrap().instances.len(),
        2,
        "what another writes stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_s_number_holds_and_what_they_remove_goes_from_the_status() {
    let rig = rig().await;
    rig.requests(20);
    rig.pass().await;
    let person = rig.context.store.acting(Actor::system("test"));
    person
        .edit_spec::<Workload, _>("web", |web| {
            Ok(aegis_api::WorkloadSpec {
                replicas: 4,
                ..web.spec.clone()
            })
        })
        .await
        .unwrap();
    rig.advance(10).await;
    rig.requests(55);
    let web = rig.pass().await;
    assert_eq!(
        (web.spec.replicas, active(&web).1),
        (4, Reason::ManualHold.to_string())
    );
    rig.advance(601).await;
    rig.requests(55);
    assert_eq!(rig.pass().await.spec.replicas, 6);
    person
        .edit_spec::<Workload, _>("web", |web| {
            Ok(aegis_api::WorkloadSpec {
                autoscale: None,
                ..web.spec.clone()
            })
        })
        .await
        .unwrap();
    let web = rig.pass().await;
    let status = web.status.as_ref().unwrap();
    assert_eq!((status.autoscale.as_ref(), web.spec.replicas), (None, 6));
    assert!(condition::find(&status.conditions, ConditionType::AutoscalingActive).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_holds_what_is_there_and_names_the_load_balancer() {
    let rig = rig().await;
    rig.context.samples.traffic().set_unfollowed("lb");
    rig.context.samples.traffic().set_unreadable(
        "lb",
        "configured logging driver does not support reading".to_owned(),
    );
    let web = rig.pass().await;
    assert_eq!(
        (web.spec.replicas, active(&web)),
        (2, ("False".to_owned(), Reason::MetricUnavailable.to_string()))
    );
    let said = &web.status.as_ref().unwrap().autoscale.as_ref().unwrap().message;
    assert!(
        said.contains("load balancer lb") && said.contains("logging driver"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_starts_again_between_status_and_spec_makes_the_same_change_once() {
    let rig = rig().await;
    rig.requests(45);
    let before = rig.web();
    rig.pass().await;
    // As it was before the spec was written, with the status as it is stored.
    let intent = rig.web().status.clone().unwrap();
    assert_eq!(intent.autoscale.as_ref().unwrap().changes.len(), 1);
    assert_eq!(
        intent.autoscale.unwrap().changes[0].generation,
        before.generation()
    );
    let again = Autoscaler::new(rig.context.clone());
    again.reconcile("web").await.unwrap();
    let web = rig.web();
    assert_eq!(web.spec.replicas, 5);
    let status = web.status.as_ref().unwrap().autoscale.as_ref().unwrap();
    assert_eq!(
        (status.changes.len(), status.manual_until),
        (1, None),
        "its own change is no person's word"
    );
}

#[tokio::test(start_paused = true)]
async fn the_workload_s_reconciler_keeps_what_autoscaling_wrote_meanwhile() {
    let rig = rig().await;
    let stale = rig.web().status.clone().unwrap();
    rig.requests(45);
    let web = rig.pass().await;
    let kept = aegis_planning::autoscale::kept(web.status.as_ref(), stale);
    assert_eq!(kept.autoscale, web.status.as_ref().unwrap().autoscale);
    assert!(condition::is_true(
        &kept.conditions,
        ConditionType::AutoscalingActive
    ));
}

#[tokio::test(start_paused = true)]
async fn an_address_where_no_system_answers_delays_no_pass_and_is_tried_again_with_growing_pauses() {
    // It takes connections, and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = format!(
        r#"{{"metric": "External", "url": "http://{}/length", "value": 10}}"#,
        listener.local_addr().unwrap()
    );
    let rig = rig_of(&WEB.replace(r#"{"metric": "RequestsPerSecond", "value": 10}"#, &target)).await;
    let (mut tries, mut lost) = (Vec::new(), 0);
    for _ in 0..300 {
        let begun = tokio::time::Instant::now();
        let web = rig.pass().await;
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(1),
            "a pass waits for an answer: {:?}",
            begun.elapsed()
        );
        lost += usize::from(active(&web).1 == Reason::MetricUnavailable.as_str());
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        while let Ok(connection) = listener.accept() {
            tries.push(connection);
        }
        rig.advance(2).await;
    }
    let web = rig.pass().await;
    let said = &web.status.as_ref().unwrap().autoscale.as_ref().unwrap().message;
    assert!(said.contains("no answer within 5 s"), "{said}");
    assert!(lost > 250, "{lost} passes without the number");
    assert!(
        (5..=13).contains(&tries.len()),
        "{} tries in ten minutes",
        tries.len()
    );
}

/// What keeps it from a change, of which an Event tells.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    Person,
    Incident,
    Pause,
    Protection,
    LostMetric,
    Maximum,
    Direction,
    Errors,
    NoReplicas,
    Policies,
}

impl Rig {
    async fn keep(&self, how: Keeps) {
        match how {
            Keeps::Person => {
                self.pass().await;
                self.edit(|web| web.replicas = 4).await;
            }
            Keeps::Incident => self.act().await,
            Keeps::Pause => self.pause().await,
            Keeps::Protection => self.protect().await,
            Keeps::LostMetric => self.context.samples.traffic().set_unfollowed("lb"),
            // All replicas that may be are there, and more are needed.
            Keeps::Maximum => {
                self.edit(|web| autoscale(web).max = 2).await;
            }
            Keeps::Direction => {
                let off = aegis_api::workload::autoscale::SelectPolicy::Disabled;
                self.edit(move |web| autoscale(web).scale_up.select_policy = off)
                    .await;
            }
            Keeps::Errors => self.fail().await,
            Keeps::NoReplicas => self.edit(|web| web.replicas = 0).await,
            Keeps::Policies => {
                self.edit(|web| {
                    let one = serde_json::json!([{"type": "Pods", "value": 1, "period": "10m"}]);
                    autoscale(web).scale_up.policies = serde_json::from_value(one).unwrap();
                })
                .await;
            }
        }
    }

    async fn protect(&self) {
        let edit = |web: &aegis_runtime::Stored| {
            let mut web = web.value();
            web["metadata"]["annotations"] = serde_json::json!({ANNOTATION_PROTECTED: "true"});
            Ok(web)
        };
        let store = self.context.store.acting(Actor::system("test"));
        let edited = store.edit(KindInfo::of::<Workload>(), "web", Part::Spec, false, edit);
        edited.await.unwrap();
    }

    async fn fail(&self) {
        let now = self.context.clock.now().unix_seconds();
        for secs in (now - 15)..(now + 60) {
            let end = aegis_api::Time(jiff::Timestamp::from_second(secs).unwrap());
            let traffic = self.context.samples.traffic();
            (0..40).for_each(|_| traffic.count("web", end, Outcome::Failed, 5));
        }
        let brake = serde_json::json!({"percent": 5, "holds": "Both"});
        self.edit(move |web| autoscale(web).error_brake = serde_json::from_value(brake.clone()).unwrap())
            .await;
    }
}

fn autoscale(web: &mut aegis_api::WorkloadSpec) -> &mut aegis_api::workload::Autoscale {
    web.autoscale.as_mut().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_tells_once_of_each_thing_that_keeps_it_from_a_change() {
    use EventType::{Normal, Warning};
    for (how, reason, kind, words) in [
        (
            Keeps::Person,
            Reason::ManualHold,
            Normal,
            "4 replicas stay: a person set 4 replicas: held until",
        ),
        (
            Keeps::Incident,
            Reason::RemediationUnderWay,
            Normal,
            "2 replicas stay: incident/inc-1 is EXECUTING",
        ),
        (
            Keeps::Pause,
            Reason::Paused,
            Normal,
            "2 replicas stay: all automation is paused",
        ),
        (
            Keeps::Protection,
            Reason::Protected,
            Normal,
            "2 replicas stay: workload web is protected",
        ),
        (
            Keeps::LostMetric,
            Reason::MetricUnavailable,
            Warning,
            "2 replicas stay: RequestsPerSecond cannot be measured",
        ),
        (
            Keeps::Maximum,
            Reason::AtMaximum,
            Warning,
            "and there are to be 1 to 2",
        ),
        (
            Keeps::Direction,
            Reason::DirectionPaused,
            Normal,
            "scaling out is paused",
        ),
        (Keeps::Errors, Reason::ErrorBrake, Warning, "answers were 5xx"),
        (
            Keeps::NoReplicas,
            Reason::ScaledToZero,
            Normal,
            "spec.replicas is 0",
        ),
        (
            Keeps::Policies,
            Reason::RateLimited,
            Normal,
            "the policies of scaleUp allow no more just now",
        ),
    ] {
        let mut rig = rig().await;
        rig.go_on(50);
        rig.keep(how).await;
        for pass in 0..10 {
            if pass == 4 {
                // Nothing is said twice by a controller that starts again, or where what is measured moves and is stored.
                rig.loop_ = Autoscaler::new(rig.context.clone());
                rig.go_on(20);
            }
            rig.pass().await;
            rig.advance(2).await;
        }
        let events = rig.events(reason.as_str());
        assert_eq!(
            events.len(),
            1,
            "{how:?}: {events:?} {:?}",
            rig.context.events.list()
        );
        let (count, found, message) = &events[0];
        assert_eq!((*count, *found), (1, kind), "{how:?}: {events:?}");
        assert!(message.contains(words), "{how:?}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_of_another_system_scales_and_its_loss_falls_back_with_the_field_in_the_reason() {
    let system = System::start(ok("30")).await;
    let target = format!(
        r#"{{"metric": "External", "url": "{}", "value": 10}}], "fallback": {{"after": "60s", "replicas": 5}}, "schedule": ["#,
        system.url()
    );
    let rig = rig_of(&WEB.replace(r#"{"metric": "RequestsPerSecond", "value": 10}"#, &target)).await;
    rig.until(|web| web.spec.replicas == 3).await;
    system.says(status("503 Service Unavailable", ""));
    rig.advance(10).await;
    rig.until(|_| rig.said().contains("targets[0].url: HTTP 503"))
        .await;
    rig.advance(59).await;
    assert_eq!(rig.pass().await.spec.replicas, 3);
    rig.advance(1).await;
    assert_eq!(rig.pass().await.spec.replicas, 5, "{}", rig.said());
    assert!(rig.said().ends_with("the fallback needs 5"), "{}", rig.said());
    system.says(ok("20"));
    rig.advance(60).await;
    rig.until(|web| web.spec.replicas == 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_is_a_trace_of_which_the_same_is_decided_as_was() {
    let rig = rig().await;
    let (context, traffic) = (&rig.context, rig.context.samples.traffic());
    while context.clock.now().unix_seconds() % 60 != 0 {
        rig.advance(1).await;
    }
    let begun = context.clock.now().unix_seconds();
    // Ten minutes of 15 a second by two replicas, and ten of 45 and a part of one more.
    for secs in 0..1245 {
        let end = context.clock.now();
        let rate = if secs < 600 { 15 } else { 45 };
        (0..rate).for_each(|_| traffic.count("web", end, Outcome::Answered, 20));
        if secs % 3 == 0 {
            let sample = Sample {
                at: end,
                cpu_percent: Some(if secs < 600 { 20.0 } else { 60.0 }),
                throttled_percent: None,
                memory_bytes: 64 << 20,
                memory_limit_bytes: 0,
                net_rx_bytes: 0,
                net_tx_bytes: 0,
                pids: 1,
                pids_limit: 0,
            };
            let readings = [("web-replica-1", sample), ("web-replica-2", sample)];
            context.samples.history().add(end, readings);
            let _ = context.samples.history().finished(end);
            let _ = traffic.finished(end);
        }
        rig.advance(1).await;
    }
    let rows = super::trace::recorded(context, &rig.web()).await;
    let pairs = rows.iter().zip(rows.iter().skip(1));
    assert!(pairs.clone().all(|(row, next)| row.at < next.at), "{rows:#?}");
    let steps: Vec<i64> = pairs.map(|(row, next)| next.at - row.at).collect();
    assert!(steps.iter().all(|step| *step <= 60), "{steps:?}");
    assert!(
        steps.ends_with(&[15; 50]),
        "the last minutes are closer: {steps:?}"
    );
    // Whatever was kept by the minute is spread over rows of a minute.
    for row in &rows {
        let rate = if row.at <= begun + 600 { 15.0 } else { 45.0 };
        assert_eq!(
            row.requests_per_second,
            Some(rate),
            "{} s: {row:?}",
            row.at - begun
        );
    }
    let calm = rows.iter().find(|row| row.at >= begun + 300).unwrap();
    let busy = rows.last().unwrap();
    for (row, rate, in_flight, cpu) in [(calm, 15.0, 0.3, 20.0), (busy, 45.0, 0.9, 60.0)] {
        assert_eq!(
            (
                row.replicas,
                row.requests_per_second,
                row.in_flight,
                row.cpu_percent,
                row.error_percent
            ),
            (2, Some(rate), Some(in_flight), Some(cpu), Some(0.0)),
            "{row:?}"
        );
        assert!(
            row.p95_milliseconds
                .is_some_and(|millis| (16.0..=25.0).contains(&millis)),
            "{row:?}"
        );
    }
    let spec = rig.web().spec.autoscale.clone().unwrap();
    let moments: Vec<i64> = rows.iter().map(|row| row.at).collect();
    let mut rows = rows.into_iter();
    let start_up = aegis_api::Duration::from_secs(5);
    let summary = simulate(&spec, 2, start_up, moments, |_, _| rows.next().unwrap());
    let said: Vec<_> = summary
        .rows
        .iter()
        .map(|row| (row.desired, row.message.as_str()))
        .collect();
    assert_eq!((summary.outs, summary.ins, summary.most), (1, 0, 5), "{said:?}");
    assert!(
        said.contains(&(5, "RequestsPerSecond 45, of 10 a replica needs 5")),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_a_workload_of_which_nothing_was_recorded_there_is_no_trace() {
    let rig = rig().await;
    assert_eq!(super::trace::recorded(&rig.context, &rig.web()).await, []);
}
