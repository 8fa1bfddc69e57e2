//! What Compose v2 does to an adopted container, call by call, as `fixtures/compose-v2.yaml` has it, with the reconciler at work
//! between every two calls. `tests/tests/docker_stopped_by_hand.rs` has the Compose that is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::{ConditionType, Reason, Workload, condition, kinds, yaml};
use aegis_docker_fake::{Actor, FakeEngine, Op, RunSpec};
use aegis_runtime::controller::Reconciler;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::context::Context;
use crate::docker_events::DockerEvents;
use crate::workload::WorkloadReconciler;

const NAME: &str = "shop-web-1";

#[derive(Deserialize)]
struct Recorded {
    labels: BTreeMap<String, String>,
    commands: Vec<Command>,
}

#[derive(Deserialize)]
struct Command {
    command: String,
    calls: Vec<Call>,
    ends: End,
}

#[derive(Deserialize)]
struct Call {
    call: Verb,
    name: String,
    #[serde(default)]
    to: String,
    image: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Create,
    Start,
    Stop,
    Restart,
    Kill,
    Remove,
    Rename,
    Pause,
    Unpause,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
enum End {
    Running,
    RestartedByUs,
    StoppedByHand,
    Paused,
    ContainerMissing,
}

fn recorded() -> Recorded {
    let text = include_str!("fixtures/compose-v2.yaml");
    let document = yaml::parse(text).unwrap().remove(0);
    serde_json::from_value(document.value).unwrap()
}

fn call(engine: &FakeEngine, all: &BTreeMap<String, String>, call: &Call) {
    let name = call.name.as_str();
    match call.call {
        Verb::Create => {
            let image = call.image.as_deref().unwrap_or("app:1");
            let old = engine.state(NAME).map(|(id, _)| id).unwrap_or_default();
            let mut spec = RunSpec::new(name, image).created_only();
            for (key, value) in all.iter().chain(&call.labels) {
                spec = spec.label(key, &value.replace("<old>", &old));
            }
            engine.run_container(&spec).map(drop)
        }
        Verb::Start => engine.start_by_hand(name),
        Verb::Stop => engine.stop_by_hand(name),
        Verb::Restart => engine.restart_by_hand(name),
        Verb::Kill => engine.kill_with(name, 9),
        Verb::Remove => engine.remove_by_hand(name),
        Verb::Rename => engine.rename(name, &call.to),
        Verb::Pause => engine.pause(name),
        Verb::Unpause => engine.unpause(name),
    }
    .unwrap();
}

struct Host {
    engine: FakeEngine,
    context: Context,
    reconciler: WorkloadReconciler,
    _state: tempfile::TempDir,
}

impl Host {
    async fn new() -> Self {
        let engine = FakeEngine::default();
        let (context, state) = crate::context::tests::over(&engine, Settings::default()).await;
        let events = DockerEvents::new(&context);
        let shared: Arc<dyn aegis_docker::Engine> = Arc::new(engine.clone());
        tokio::spawn(async move { events.run(shared, CancellationToken::new()).await });
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"},
            "spec": {"container": NAME, "replicas": 3}});
        let info = kinds::find("wl").unwrap();
        context.store.create(info, object, false).await.unwrap();
        Self {
            reconciler: WorkloadReconciler::new(context.clone()),
            engine,
            context,
            _state: state,
        }
    }

    /// So many seconds, with a reconcile four times a second.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            self.reconciler.reconcile("web").await.unwrap();
        }
    }

    /// How often the controller itself has started what people made.
    fn own_starts(&self) -> usize {
        let effects = self.engine.effects();
        let ours = effects.iter().filter(|effect| {
            effect.actor == Actor::Client && effect.op == Op::Start && !effect.container.contains("replica")
        });
        ours.count()
    }

    fn is(&self, kind: ConditionType) -> bool {
        let workload = self.context.store.get::<Workload>("web").unwrap();
        condition::is_true(&workload.status.as_ref().unwrap().conditions, kind)
    }

    fn is_missing(&self) -> bool {
        let workload = self.context.store.get::<Workload>("web").unwrap();
        let conditions = &workload.status.as_ref().unwrap().conditions;
        conditions.iter().any(|condition| {
            condition.reason == Reason::ContainerMissing.as_str()
                && condition.message.contains("2 clones of it go on serving")
        })
    }

    /// The containers that the workload has, and how many of them are ready.
    fn instances(&self) -> (Vec<String>, u32) {
        let workload = self.context.store.get::<Workload>("web").unwrap();
        let status = workload.status.as_ref().unwrap();
        let names = status.instances.iter().map(|row| row.name.clone());
        (names.collect(), status.ready_replicas)
    }
}

#[tokio::test(start_paused = true)]
async fn i6_whatever_compose_v2_does_is_neither_raced_nor_undone_and_its_clones_go_on_serving() {
    let recorded = recorded();
    let host = Host::new().await;
    let mut ours = 0;
    for step in &recorded.commands {
        let what = &step.command;
        for one in &step.calls {
            call(&host.engine, &recorded.labels, one);
            host.pass(3).await;
            let (names, _) = host.instances();
            assert!(
                names.iter().all(|name| name == NAME || name.contains("replica")),
                "{what}: what has another name, or is a one-off, is not adopted: {names:?}"
            );
        }
        host.pass(20).await;
        let started = host.own_starts() - ours;
        ours += started;
        assert_eq!(
            started,
            usize::from(step.ends == End::RestartedByUs),
            "{what}: started by us"
        );
        let state = host.engine.state(NAME).map(|(_, state)| state);
        let (names, ready) = host.instances();
        let (wanted, all_ready) = match step.ends {
            End::Running | End::RestartedByUs => (Some(ContainerState::Running), 3),
            End::StoppedByHand => (Some(ContainerState::Exited), 2),
            End::Paused => (Some(ContainerState::Paused), 2),
            End::ContainerMissing => (None, 2),
        };
        assert_eq!(state, wanted, "{what}");
        assert!(ready >= all_ready, "{what}: {ready} ready of {names:?}");
        assert_eq!(
            host.is(ConditionType::StoppedByHand),
            matches!(step.ends, End::StoppedByHand | End::ContainerMissing),
            "{what}"
        );
        assert_eq!(host.is_missing(), step.ends == End::ContainerMissing, "{what}");
    }
}
