//! What people and engines stop: the reconciler and the event stream on the engine in memory, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::incident::RESTART_LIMIT;
use aegis_api::observed::ContainerState;
use aegis_api::{ConditionType, Incident, Kind, Workload, condition, kinds};
use aegis_docker_fake::{Actor, Ailment, Behaviour, Cure, FakeEngine, Op, RunSpec, Symptom};
use aegis_runtime::controller::Reconciler;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::context::Context;
use crate::docker_events::DockerEvents;
use crate::workload::WorkloadReconciler;

struct Host {
    engine: FakeEngine,
    context: Context,
    reconciler: WorkloadReconciler,
    _state: tempfile::TempDir,
}

impl Host {
    async fn new(spec: Value, behaviour: Behaviour) -> Self {
        let engine = FakeEngine::default();
        let (context, state) = crate::context::tests::over(&engine, Settings::default()).await;
        engine
            .run_container(&RunSpec::new("base", "app:1").behaviour(behaviour))
            .unwrap();
        let events = DockerEvents::new(&context);
        let shared: Arc<dyn aegis_docker::Engine> = Arc::new(engine.clone());
        tokio::spawn(async move { events.run(shared, CancellationToken::new()).await });
        let (prober, shutdown) = (context.prober.clone(), CancellationToken::new());
        tokio::spawn(async move { prober.run(shutdown).await });
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
        let info = kinds::find("wl").unwrap();
        context.store.create(info, object, false).await.unwrap();
        let host = Self {
            reconciler: WorkloadReconciler::new(context.clone()),
            engine,
            context,
            _state: state,
        };
        host.pass(3).await;
        host
    }

    /// So many seconds, with a reconcile four times a second.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            // The engine may be away.
            let _ = self.reconciler.reconcile("web").await;
        }
    }

    fn runs(&self) -> bool {
        self.engine.inspect_now("base").unwrap().state == ContainerState::Running
    }

    fn starts_of_ours(&self) -> usize {
        let effects = self.engine.effects();
        let ours = effects
            .iter()
            .filter(|effect| effect.actor == Actor::Client && effect.op == Op::Start);
        ours.count()
    }

    fn is_reported(&self) -> bool {
        let workload = self.context.store.get::<Workload>("web").unwrap();
        let conditions = &workload.status.as_ref().unwrap().conditions;
        condition::is_true(conditions, ConditionType::StoppedByHand)
    }

    fn reported(&self, reason: &str) -> u32 {
        let (_, events) = self.context.events.list();
        let reported = events.iter().filter(|event| event.reason == reason);
        reported.map(|event| event.count).sum()
    }
}

fn adopting() -> Value {
    json!({"container": "base"})
}

/// The reconciler's pauses, not only the function that settles times.
#[tokio::test(start_paused = true)]
async fn a_restart_that_is_noted_for_tomorrow_since_the_clock_was_set_back_puts_none_off_for_a_day() {
    let host = Host::new(adopting(), Behaviour::default()).await;
    host.engine.crash("base", 1).unwrap();
    host.pass(5).await;
    assert!(host.runs() && host.starts_of_ours() == 1);
    let workload = host.context.store.get::<Workload>("web").unwrap();
    let mut status = workload.status.clone().unwrap();
    let tomorrow = host
        .context
        .clock
        .now()
        .plus(aegis_api::Duration::from_secs(86_400));
    let row = &mut status.instances[0];
    assert!(row.last_restart_at.is_some() && row.restarts == 1, "{row:#?}");
    row.last_restart_at = Some(tomorrow);
    let uid = workload.metadata.uid.clone().unwrap();
    let stored = host
        .context
        .store
        .set_status::<Workload>("web", &uid, status)
        .await;
    stored.unwrap();
    host.engine.crash("base", 1).unwrap();
    host.pass(600).await;
    assert!(
        host.runs() && host.starts_of_ours() == 2,
        "{}",
        host.starts_of_ours()
    );
}

#[tokio::test(start_paused = true)]
async fn i6_what_a_person_stops_stays_stopped_and_is_reported_once() {
    for signal in [None, Some(15), Some(2)] {
        let host = Host::new(adopting(), Behaviour::default()).await;
        match signal {
            None => host.engine.stop_by_hand("base").unwrap(),
            Some(signal) => host.engine.kill_with("base", signal).unwrap(),
        }
        host.pass(60).await;
        assert!(!host.runs() && host.is_reported(), "{signal:?}");
        assert_eq!(
            (host.starts_of_ours(), host.reported("StoppedByHand")),
            (0, 1),
            "{signal:?}"
        );
        host.engine.start_by_hand("base").unwrap();
        host.pass(5).await;
        assert!(host.runs() && !host.is_reported(), "{signal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lone_sigkill_a_crash_or_the_oom_killer_ends_is_restarted_at_once() {
    for case in ["kill", "crash", "oom"] {
        let host = Host::new(adopting(), Behaviour::default()).await;
        match case {
            "kill" => host.engine.kill("base").unwrap(),
            "crash" => host.engine.crash("base", 1).unwrap(),
            _ => host.engine.oom("base").unwrap(),
        }
        host.pass(1).await;
        assert!(host.runs() && !host.is_reported(), "{case}");
        let id = host.engine.inspect_now("base").unwrap().id;
        let deaths = host.context.lifecycle.deaths(&id, host.engine.now());
        // The stream came up only seconds before: but for the kernel's word, what requested it may have been missed.
        assert_eq!(deaths.len(), 1, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_stops_with_itself_is_restarted() {
    let host = Host::new(adopting(), Behaviour::default()).await;
    host.pass(60).await;
    host.engine.stop_engine();
    host.pass(20).await;
    host.engine.start_engine();
    host.pass(15).await;
    assert!(host.runs() && !host.is_reported());
    assert_eq!(host.starts_of_ours(), 1, "Docker's policy is none: it was us");
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_not_observed_is_restarted() {
    let host = Host::new(adopting(), Behaviour::default()).await;
    host.engine.set_down(true);
    host.pass(2).await;
    host.engine.stop_by_hand("base").unwrap();
    host.pass(2).await;
    host.engine.set_down(false);
    host.pass(15).await;
    assert!(host.runs() && !host.is_reported());
}

#[tokio::test(start_paused = true)]
async fn a_persons_restart_is_not_raced_however_long_it_takes() {
    for takes in [0, 1, 5, 12] {
        let host = Host::new(adopting(), Behaviour::default()).await;
        host.engine.stop_by_hand("base").unwrap();
        host.pass(takes).await;
        host.engine.start_by_hand("base").unwrap();
        host.pass(30).await;
        assert!(host.runs() && !host.is_reported(), "{takes} s");
        assert_eq!(host.starts_of_ours(), 0, "{takes} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_ours_that_a_person_stops_runs_again() {
    let host = Host::new(json!({"container": "base", "replicas": 2}), Behaviour::default()).await;
    host.engine.stop_by_hand("web-replica-1").unwrap();
    host.pass(10).await;
    let replica = host.engine.inspect_now("web-replica-1").unwrap();
    assert_eq!(replica.state, ContainerState::Running);
}

#[tokio::test(start_paused = true)]
async fn i6_restarts_that_cannot_help_have_an_end_and_one_incident_asks_a_human() {
    let ill = Ailment::new(Symptom::Unhealthy, Cure::Never);
    let (slow, wrong_port, wrong_path, tls, checks_host) = (
        Behaviour {
            startup: Duration::from_secs(3600),
            ..Behaviour::default()
        },
        Behaviour {
            ports: vec![9000],
            ..Behaviour::default()
        },
        Behaviour {
            ailment: Some(ill),
            ..Behaviour::default()
        },
        Behaviour {
            tls: true,
            ..Behaviour::default()
        },
        Behaviour {
            host: Some("shop.example.test".to_owned()),
            ..Behaviour::default()
        },
    );
    // Those that answer what the next run would answer, too, are not restarted at all.
    let cases = [
        ("slower than maxDelay", slow, 3),
        ("another port", wrong_port, 3),
        ("it never answers well", wrong_path, 3),
        ("a port that speaks TLS", tls, 0),
        ("a host check", checks_host, 0),
    ];
    for (case, behaviour, restarts) in cases {
        let spec = json!({"container": "base", "health": {"http": {"port": 8000}}, "restart": {"unhealthyAfter": "5s"}});
        let host = Host::new(spec, behaviour).await;
        host.pass(50).await;
        assert_eq!(host.starts_of_ours(), 0, "{case}: its start period is not over");
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            host.reconciler.reconcile("web").await.unwrap();
        }
        assert_eq!(host.starts_of_ours(), restarts, "{case}");
        let incidents = host.context.store.list::<Incident>();
        let asking: Vec<&str> = incidents.iter().map(|incident| incident.name()).collect();
        assert_eq!(asking.len(), 1, "{case}: {asking:?}");
        assert_eq!(incidents[0].spec.alert_type, RESTART_LIMIT, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_names_the_host_or_speaks_tls_finds_such_an_application_well() {
    let named = Behaviour {
        host: Some("shop.example.test".to_owned()),
        ..Behaviour::default()
    };
    let over_tls = Behaviour {
        tls: true,
        ..Behaviour::default()
    };
    for (http, behaviour) in [
        (json!({"port": 8000, "host": "shop.example.test"}), named),
        (json!({"port": 8000, "scheme": "https"}), over_tls),
    ] {
        let host = Host::new(json!({"container": "base", "health": {"http": http}}), behaviour).await;
        host.pass(3).await;
        let workload = host.context.store.get::<Workload>("web").unwrap();
        let status = workload.status.clone().unwrap();
        assert_eq!(status.ready_replicas, 1, "{http}: {status:?}");
    }
}
