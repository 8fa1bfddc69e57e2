//! No sequence of what people do with `docker` and of what this controller plans leaves a container that ran and that
//! no person can start any more: generated sequences over the reconciler and the engine in memory, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::observed::ContainerState;
use aegis_api::{KindInfo, Workload, WorkloadSpec};
use aegis_docker_fake::{Actor, Op, RunSpec};
use aegis_runtime::controller::Reconciler;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::host::Host;

/// Sequences; each has up to [`ACTS`] acts.
const CASES: u32 = 64;
const ACTS: usize = 12;
/// Two that adopt a container, of which the first may need the second, and one that runs a template.
const WORKLOADS: [&str; 3] = ["web", "vpn", "made"];

/// What the container `web` is like that somebody ran.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    DeletesItself,
    SharesNetwork,
    SharesIpc,
    Mounts,
    Publishes,
    Linked,
}

const KINDS: [Kind; 7] = [
    Kind::Plain,
    Kind::DeletesItself,
    Kind::SharesNetwork,
    Kind::SharesIpc,
    Kind::Mounts,
    Kind::Publishes,
    Kind::Linked,
];

/// What happens next.
#[derive(Debug, Clone)]
enum Act {
    /// A person's command about a container.
    Docker(Command, &'static str),
    /// The network of `web` is removed, where the engine allows it, and made again.
    ReplaceNetwork,
    LosePath,
    RemoveImage,
    /// Somebody else takes the host port while `web` does not hold it.
    TakePort,
    /// What is requested of this controller.
    Restart(&'static str),
    Scale(&'static str, u32),
    NewImage,
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Stop,
    Start,
    Restart,
    Pause,
    Unpause,
    Kill,
    Remove,
    RunAgain,
    Crash,
    Hang,
    Disconnect,
    Unpublish,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    use Command::{
        Crash, Disconnect, Hang, Kill, Pause, Remove, Restart, RunAgain, Start, Stop, Unpause, Unpublish,
    };
    let commands = [
        Stop, Start, Restart, Pause, Unpause, Kill, Remove, RunAgain, Crash, Hang, Disconnect, Unpublish,
    ];
    let container = prop::sample::select(vec!["web", "vpn", "web-replica-1", "made-replica-1"]);
    let docker = (prop::sample::select(commands.to_vec()), container);
    let workload = || prop::sample::select(WORKLOADS.to_vec());
    let act = prop_oneof![
        8 => docker.prop_map(|(command, name)| Act::Docker(command, name)),
        1 => Just(Act::ReplaceNetwork),
        1 => Just(Act::LosePath),
        1 => Just(Act::RemoveImage),
        1 => Just(Act::TakePort),
        3 => workload().prop_map(Act::Restart),
        1 => (workload(), 1..4_u32).prop_map(|(name, replicas)| Act::Scale(name, replicas)),
        1 => Just(Act::NewImage),
        2 => (1..20_u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..=ACTS)
}

fn web(kind: Kind) -> RunSpec {
    let web = RunSpec::new("web", "app:1").healthcheck();
    match kind {
        Kind::SharesNetwork => web.shares("NetworkMode", "vpn"),
        Kind::Plain => web.network("front"),
        Kind::DeletesItself => web.network("front").auto_remove(),
        Kind::SharesIpc => web.network("front").shares("IpcMode", "vpn"),
        Kind::Mounts => web.network("front").mount("/srv/data"),
        Kind::Publishes => web.network("front").publish(8080, 80),
        Kind::Linked => web.network("front").network("back"),
    }
}

struct Trial {
    host: Host,
    kind: Kind,
}

impl Trial {
    async fn new(kind: Kind) -> Self {
        let host = Host::new().await;
        let vpn = RunSpec::new("vpn", "vpn:1").network("front");
        host.engine.run_container(&vpn).unwrap();
        host.engine.run_container(&web(kind)).unwrap();
        host.engine
            .add_image("made:1", aegis_docker_fake::Behaviour::default());
        let trial = Self { host, kind };
        let heals = json!({"unhealthyAfter": "3s", "delay": "1s"});
        let template = json!({"image": "made:1", "networks": ["front"]});
        trial
            .store("web", json!({"container": "web", "restart": heals}))
            .await;
        trial
            .store("vpn", json!({"container": "vpn", "restart": heals}))
            .await;
        trial
            .store(
                "made",
                json!({"template": template, "replicas": 1, "restart": heals}),
            )
            .await;
        trial.pass(5).await;
        trial
    }

    async fn store(&self, name: &str, spec: Value) {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": name}, "spec": spec});
        let store = &self.host.context.store;
        store
            .create(KindInfo::of::<Workload>(), object, false)
            .await
            .unwrap();
    }

    async fn edit(&self, name: &str, change: impl FnOnce(&mut WorkloadSpec) + Send + 'static) {
        let edit = move |workload: &Workload| {
            let mut spec = workload.spec.clone();
            change(&mut spec);
            Ok(spec)
        };
        let store = &self.host.context.store;
        store.edit_spec::<Workload, _>(name, edit).await.unwrap();
    }

    /// So many seconds in which only this controller acts.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for name in WORKLOADS {
                // The engine may refuse a step.
                drop(self.host.reconciler.reconcile(name).await);
            }
        }
    }

    async fn act(&self, act: &Act) {
        let engine = &self.host.engine;
        match act {
            Act::Docker(command, name) => self.command(*command, name),
            Act::ReplaceNetwork => {
                drop(engine.remove_network("front"));
                engine.add_network("front");
            }
            Act::LosePath => engine.lose_path("/srv/data"),
            Act::RemoveImage => {
                engine.remove_image("made:1");
                engine.remove_image("made:2");
            }
            Act::TakePort => {
                drop(engine.run_container(&RunSpec::new("taker", "app:1").publish(8080, 80)));
            }
            Act::Restart(name) => {
                let now = engine.now();
                self.edit(name, move |spec| spec.restarted_at = Some(now)).await;
            }
            Act::Scale(name, replicas) => {
                let replicas = *replicas;
                self.edit(name, move |spec| spec.replicas = replicas).await;
            }
            Act::NewImage => {
                let edit = |spec: &mut WorkloadSpec| {
                    if let Some(template) = &mut spec.template {
                        template.image = "made:2".parse().unwrap();
                    }
                };
                self.edit("made", edit).await;
            }
            Act::Wait(seconds) => self.pass(*seconds).await,
        }
    }

    /// As far as the engine allows it.
    fn command(&self, command: Command, name: &str) {
        let engine = &self.host.engine;
        let made = match command {
            Command::Stop => engine.stop_by_hand(name),
            Command::Start => engine.start_by_hand(name),
            Command::Restart => engine.restart_by_hand(name),
            Command::Pause => engine.pause(name),
            Command::Unpause => engine.unpause(name),
            Command::Kill => engine.kill(name),
            Command::Remove => engine.remove_by_hand(name),
            Command::Crash => engine.crash(name, 1),
            Command::Hang => engine.hang(name),
            Command::Disconnect => engine.disconnect(name, "front"),
            Command::Unpublish => {
                engine.set_published(name, false);
                Ok(())
            }
            Command::RunAgain => {
                drop(engine.remove_by_hand(name));
                let spec = match name {
                    "web" => web(self.kind),
                    "vpn" => RunSpec::new("vpn", "vpn:1").network("front"),
                    _ => return,
                };
                engine.run_container(&spec).map(drop)
            }
        };
        drop(made);
    }

    /// Ids of the containers that run, or are paused.
    fn up(&self) -> BTreeSet<String> {
        let engine = &self.host.engine;
        let names = engine.names().into_iter();
        let seen = names.filter_map(|name| engine.inspect_now(&name));
        seen.filter(|container| matches!(container.state, ContainerState::Running | ContainerState::Paused))
            .map(|container| container.id.to_string())
            .collect()
    }

    /// What this controller has stopped since, of what ran, and what no person can start.
    fn lost(&self, up: &BTreeSet<String>, since: usize) -> Vec<String> {
        let engine = &self.host.engine;
        let effects = engine.effects();
        let stopped = effects.iter().skip(since).filter(|effect| {
            effect.actor == Actor::Client && effect.op == Op::Stop && up.contains(&effect.id)
        });
        let lost = stopped.filter_map(|effect| {
            let Some(found) = engine.inspect_now(&effect.id) else {
                // A replica of ours may go, where another one can be made.
                let ours = effect.container.contains("-replica-");
                return (!ours).then(|| format!("{} is gone", effect.container));
            };
            if found.state == ContainerState::Running {
                return None;
            }
            let problem = engine.start_problem(&effect.id)?;
            Some(format!("{}: {problem}", effect.container))
        });
        lost.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_docker_commands_and_plans_leaves_what_ran_and_cannot_be_started(
        kind in prop::sample::select(KINDS.to_vec()),
        acts in acts(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let lost = runtime.block_on(async {
            let trial = Trial::new(kind).await;
            for (index, act) in acts.iter().enumerate() {
                trial.act(act).await;
                let (up, since) = (trial.up(), trial.host.engine.effects().len());
                trial.pass(8).await;
                let lost = trial.lost(&up, since);
                if !lost.is_empty() {
                    return Some((index, lost));
                }
            }
            None
        });
        prop_assert_eq!(lost, None);
    }
}
