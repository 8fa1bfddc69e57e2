//! No stop that cannot be undone, and no container taken for ours by its labels alone: the reconciler on the engine in
//! memory, with what people do to its containers.

use std::time::Duration;

use aegis_api::condition::{self, Condition};
use aegis_api::meta::{LABEL_INSTANCE, LABEL_REPLICA, LABEL_WORKLOAD};
use aegis_api::observed::ContainerState;
use aegis_api::workload::Health;
use aegis_api::{ConditionType, Workload, kinds};
use aegis_docker_fake::{Actor, FakeEngine, Op, RunSpec};
use aegis_planning::workload::check::check;
use aegis_planning::workload::observed::Observed;
use aegis_planning::workload::plan::{Prepared, Step, plan};
use aegis_planning::workload::status::next;
use aegis_planning::workload::validate::{ValidatedWorkload, validate};
use aegis_runtime::controller::{Action, Reconciler};
use aegis_runtime::events::EventType;
use serde_json::{Value, json};

use super::host::Host;

impl Host {
    fn run(&self, spec: &RunSpec) {
        self.engine.run_container(spec).unwrap();
    }

    pub(super) async fn apply(&self, spec: Value) {
        let object = json!({"apiVersion": "aegisops.io/v1alpha1", "kind": "Workload", "metadata": {"name": "web"}, "spec": spec});
        let made = self
            .context
            .store
            .create(kinds::find("wl").unwrap(), object, false)
            .await;
        made.unwrap();
        self.settle().await;
    }

    /// Reconciles until it waits for a change, as the loop would.
    pub(super) async fn settle(&self) -> Workload {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.reconciler.reconcile("web").await.ok() == Some(Action::AwaitChange) {
                break;
            }
        }
        (*self.context.store.get::<Workload>("web").unwrap()).clone()
    }

    async fn restart(&self) -> Workload {
        let now = self.engine.now();
        let edit = move |workload: &Workload| {
            let mut spec = workload.spec.clone();
            spec.restarted_at = Some(now);
            Ok(spec)
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.context
            .store
            .edit_spec::<Workload, _>("web", edit)
            .await
            .unwrap();
        self.settle().await
    }

    fn stops(&self) -> usize {
        let effects = self.engine.effects();
        let ours = effects
            .iter()
            .filter(|effect| effect.actor == Actor::Client && effect.op == Op::Stop);
        ours.count()
    }

    /// Warnings of this reason: how often, and the last one's words.
    fn warned(&self, reason: &str) -> (usize, String) {
        let (_, events) = self.context.events.list();
        let warnings: Vec<_> = events
            .iter()
            .filter(|event| event.kind == EventType::Warning && event.reason == reason)
            .collect();
        let count = warnings.iter().map(|event| event.count).sum::<u32>();
        let last = warnings.last().map(|event| event.message.clone());
        (usize::try_from(count).unwrap(), last.unwrap_or_default())
    }
}

pub(super) fn degraded(workload: &Workload) -> Condition {
    let status = workload.status.as_ref().unwrap();
    condition::find(&status.conditions, ConditionType::Degraded)
        .unwrap()
        .clone()
}

fn app() -> RunSpec {
    RunSpec::new("web", "app:1").network("front")
}

fn healthy(host: &Host) -> Option<ContainerState> {
    host.engine.inspect_now("web").map(|web| web.state)
}

#[tokio::test(start_paused = true)]
async fn what_its_stop_would_delete_is_not_restarted_by_hand() {
    let host = Host::new().await;
    host.run(&app().auto_remove());
    host.apply(json!({"container": "web"})).await;
    let workload = host.restart().await;
    assert_eq!(
        healthy(&host),
        Some(ContainerState::Running),
        "{:?}",
        degraded(&workload)
    );
    assert_eq!(
        (host.stops(), degraded(&workload).reason.as_str()),
        (0, "AutoRemove")
    );
    let (count, words) = host.warned("AutoRemove");
    assert_eq!(count, 1, "reported once, however often it is observed");
    assert!(
        words.contains("started with --rm") && words.contains("run it again without --rm"),
        "{words}"
    );

    // Recreated without --rm it has started since, and all is well.
    host.engine.remove_by_hand("web").unwrap();
    host.run(&app());
    assert_eq!(degraded(&host.settle().await).status, "False");
}

/// What people did meanwhile, and what a restart would then meet.
struct Obstacle {
    what: &'static str,
    before: fn(&Host) -> RunSpec,
    after: fn(&FakeEngine),
    reason: &'static str,
    words: &'static str,
}

fn vpn(engine: &FakeEngine) {
    engine.run_container(&RunSpec::new("vpn", "vpn:1")).unwrap();
}

const OBSTACLES: [Obstacle; 7] = [
    Obstacle {
        what: "the owner of its network is replaced",
        before: |host| {
            vpn(&host.engine);
            RunSpec::new("web", "app:1").shares("NetworkMode", "vpn")
        },
        after: |engine| {
            engine.remove_by_hand("vpn").unwrap();
            vpn(engine);
        },
        reason: "NetworkOwnerGone",
        words: "web runs in the network of container vpn (",
    },
    Obstacle {
        what: "the owner of its network is stopped",
        before: |host| {
            vpn(&host.engine);
            RunSpec::new("web", "app:1").shares("NetworkMode", "vpn")
        },
        after: |engine| engine.stop_by_hand("vpn").unwrap(),
        reason: "NetworkOwnerDown",
        words: "container vpn, which is exited: docker start vpn",
    },
    Obstacle {
        what: "the owner of its IPC namespace is removed",
        before: |host| {
            vpn(&host.engine);
            app().shares("IpcMode", "vpn")
        },
        after: |engine| engine.remove_by_hand("vpn").unwrap(),
        reason: "NamespaceOwnerGone",
        words: "IPC namespace of container",
    },
    Obstacle {
        what: "what it mounts is deleted",
        before: |_| app().mount("/srv/data"),
        after: |engine| engine.lose_path("/srv/data"),
        reason: "BindSourceGone",
        words: "put /srv/data back",
    },
    Obstacle {
        what: "its host port is taken while it is off its networks",
        before: |_| app().publish(8080, 80),
        after: |engine| {
            engine.set_published("web", false);
            engine
                .run_container(&RunSpec::new("other", "app:1").publish(8080, 80))
                .unwrap();
        },
        reason: "PortTaken",
        words: "port 8080/tcp of the host, which container other has by now",
    },
    Obstacle {
        what: "it is a task of a Swarm service",
        before: |_| {
            app()
                .label("com.docker.swarm.task.id", "t1")
                .label("com.docker.swarm.service.name", "shop_web")
        },
        after: |_| {},
        reason: "SwarmTask",
        words: "docker service update --force shop_web",
    },
    Obstacle {
        what: "it deletes itself",
        before: |_| app().auto_remove(),
        after: |_| {},
        reason: "AutoRemove",
        words: "--rm",
    },
];

#[tokio::test(start_paused = true)]
async fn nothing_is_stopped_that_could_not_be_started_again_and_it_is_said_why() {
    for obstacle in OBSTACLES {
        for heals in [false, true] {
            let host = Host::new().await;
            let spec = (obstacle.before)(&host);
            host.run(&match heals {
                true => spec.healthcheck(),
                false => spec,
            });
            host.apply(json!({"container": "web", "restart": {"unhealthyAfter": "5s"}}))
                .await;
            // It was well once: a start period delays the restart of no container that was healthy.
            tokio::time::sleep(Duration::from_secs(1)).await;
            host.settle().await;
            (obstacle.after)(&host.engine);
            let workload = match heals {
                true => {
                    host.engine.hang("web").unwrap();
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    host.settle().await;
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    host.settle().await
                }
                false => host.restart().await,
            };
            let what = format!("{} (heals: {heals}): {:?}", obstacle.what, degraded(&workload));
            assert_eq!(
                (host.stops(), healthy(&host)),
                (0, Some(ContainerState::Running)),
                "{what}"
            );
            // An unhealthy owner is a dependency that is waited for, as before.
            let waits = heals && obstacle.reason == "NetworkOwnerDown";
            let reason = if waits { "DependencyDown" } else { obstacle.reason };
            assert_eq!(degraded(&workload).reason, reason, "{what}");
            assert!(
                waits || degraded(&workload).message.contains(obstacle.words),
                "{what}"
            );
            assert!(waits || host.warned(obstacle.reason).0 == 1, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_whose_networks_owner_is_gone_is_not_ready_and_the_owner_is_named() {
    let host = Host::new().await;
    vpn(&host.engine);
    host.run(
        &RunSpec::new("web", "app:1")
            .shares("NetworkMode", "vpn")
            .healthcheck(),
    );
    host.apply(json!({"container": "web"})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(host.settle().await.status.unwrap().ready_replicas, 1);
    host.engine.remove_by_hand("vpn").unwrap();
    vpn(&host.engine);
    for _ in 0..2 {
        let workload = host.settle().await;
        let degraded = degraded(&workload);
        let status = workload.status.unwrap();
        assert_eq!(
            (status.ready_replicas, degraded.reason.as_str()),
            (0, "NetworkOwnerGone"),
            "{degraded:?}"
        );
        let (row, words) = (&status.instances[0], "web runs in the network of container vpn (");
        assert_eq!(
            (row.health, row.addresses.len()),
            (Health::Unhealthy, 0),
            "out of rotation"
        );
        assert!(degraded.message.starts_with(words), "{}", degraded.message);
        assert!(
            degraded.message.contains("no longer exists: recreate web"),
            "{}",
            degraded.message
        );
        assert!(row.message.as_ref().unwrap().starts_with(words), "{row:?}");
    }
    // Recreated in the new owner's network it is well.
    host.engine.remove_by_hand("web").unwrap();
    host.run(
        &RunSpec::new("web", "app:1")
            .shares("NetworkMode", "vpn")
            .healthcheck(),
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(host.settle().await.status.unwrap().ready_replicas, 1);
}

#[tokio::test(start_paused = true)]
async fn what_ended_and_cannot_start_is_not_tried_again_and_again() {
    let host = Host::new().await;
    host.run(&app());
    host.apply(json!({"container": "web"})).await;
    host.engine.stop_by_hand("web").unwrap();
    host.engine.remove_network("front").unwrap();
    host.engine.add_network("front");
    let workload = host.settle().await;
    assert_eq!(
        degraded(&workload).reason,
        "NetworkGone",
        "{:?}",
        degraded(&workload)
    );
    let ours = |op: Op| {
        let effects = host.engine.effects();
        effects
            .iter()
            .filter(|effect| effect.actor == Actor::Client && effect.op == op)
            .count()
    };
    assert_eq!(ours(Op::Start), 0);
    assert_eq!(
        host.reconciler.reconcile("web").await.unwrap(),
        Action::AwaitChange
    );
    host.engine.disconnect("web", "front").unwrap();
    host.engine.connect_to("web", "front").unwrap();
    let workload = host.settle().await;
    assert_eq!(
        (healthy(&host), ours(Op::Start)),
        (Some(ContainerState::Running), 1),
        "{workload:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_not_removed_for_a_template_whose_image_is_not_there() {
    let host = Host::new().await;
    host.engine
        .add_image("app:1", aegis_docker_fake::Behaviour::default());
    let spec =
        |image: &str| json!({"template": {"image": image}, "replicas": 1, "strategy": {"type": "InPlace"}});
    host.apply(spec("app:1")).await;
    let id = host.engine.inspect_now("web-replica-1").unwrap().id;
    let edit = |workload: &Workload| {
        let mut spec = workload.spec.clone();
        spec.template.as_mut().unwrap().image = "app:missing".parse().unwrap();
        Ok(spec)
    };
    host.context
        .store
        .edit_spec::<Workload, _>("web", edit)
        .await
        .unwrap();
    let workload = host.settle().await;
    assert_eq!(
        host.engine.inspect_now("web-replica-1").map(|replica| replica.id),
        Some(id)
    );
    assert_eq!(
        (host.stops(), degraded(&workload).reason.as_str()),
        (0, "ImageGone")
    );
    host.engine
        .add_image("app:missing", aegis_docker_fake::Behaviour::default());
    host.settle().await;
    assert_eq!(
        host.engine.inspect_now("web-replica-1").unwrap().image,
        "app:missing"
    );
}

/// What the planner makes of an observation.
fn prepare(workload: &Workload, observed: Observed) -> (ValidatedWorkload, Prepared) {
    let validated = validate(workload, observed).unwrap();
    let prepared = check(&validated, plan(&validated));
    assert_eq!(prepared.refused, [], "the planner knows the rules");
    (validated, prepared)
}

fn words(prepared: &Prepared) -> Vec<String> {
    prepared.steps.iter().map(Step::words).collect()
}

#[tokio::test(start_paused = true)]
async fn the_world_may_change_between_the_plan_and_the_stop() {
    let host = Host::new().await;
    vpn(&host.engine);
    host.run(&RunSpec::new("web", "app:1").shares("NetworkMode", "vpn"));
    host.apply(json!({"container": "web"})).await;
    // What the planner saw: an owner that runs.
    let mut workload = (*host.context.store.get::<Workload>("web").unwrap()).clone();
    workload.spec.restarted_at = Some(host.engine.now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let observed = crate::workload::dereference::dereference(&host.context, &workload)
        .await
        .unwrap();
    let (validated, plan) = prepare(&workload, observed);
    assert_eq!(words(&plan), ["restart web"]);
    host.engine.remove_by_hand("vpn").unwrap();
    let applied = crate::workload::apply::apply(&host.context, &validated, plan).await;
    assert_eq!(
        (
            applied.outcome.done.len(),
            applied.outcome.failed.len(),
            host.stops()
        ),
        (0, 0, 0)
    );
    let status = next(&validated, &applied.outcome);
    let degraded = condition::find(&status.conditions, ConditionType::Degraded).unwrap();
    assert_eq!(degraded.reason, "NetworkOwnerGone");
}

#[tokio::test(start_paused = true)]
async fn i8_a_load_balancer_that_is_started_meanwhile_keeps_what_it_may_send_requests_to() {
    let host = Host::new().await;
    host.run(&app());
    host.apply(json!({"container": "web", "replicas": 2})).await;
    host.run(&RunSpec::new("lb", "nginx:1").network("front"));
    host.engine.stop_by_hand("lb").unwrap();
    let balancer = json!({
        "apiVersion": "aegisops.io/v1alpha1", "kind": "LoadBalancer", "metadata": {"name": "lb"},
        "spec": {"container": "lb", "backends": [{"workload": "web", "upstream": "web", "port": 80}]},
    });
    let kind = kinds::find("LoadBalancer").unwrap();
    host.context.store.create(kind, balancer, false).await.unwrap();
    let one = |workload: &Workload| {
        let mut spec = workload.spec.clone();
        spec.replicas = 1;
        Ok(spec)
    };
    let edited = host.context.store.edit_spec::<Workload, _>("web", one).await;
    edited.unwrap();
    // A first look marks the one that leaves.
    host.reconciler.reconcile("web").await.unwrap();
    let workload = host.context.store.get::<Workload>("web").unwrap();
    let look = || crate::workload::dereference::dereference(&host.context, &workload);
    let (validated, plan) = prepare(&workload, look().await.unwrap());
    assert_eq!(words(&plan), ["remove web-replica-1"]);
    host.engine.start_by_hand("lb").unwrap();
    let applied = crate::workload::apply::apply(&host.context, &validated, plan).await;
    let failed: Vec<&str> = applied
        .outcome
        .failed
        .iter()
        .map(|failed| failed.message.as_str())
        .collect();
    assert!(
        matches!(failed.as_slice(), [error] if error.contains("lb was started meanwhile")),
        "{failed:?}"
    );
    assert_eq!((applied.outcome.done.len(), host.stops()), (0, 0));
    // The next look knows that it runs, and waits for it.
    let (_, plan) = prepare(&workload, look().await.unwrap());
    assert_eq!(words(&plan), Vec::<String>::new());
    assert!(
        plan.waiting[0].contains("waiting for load balancer lb"),
        "{:?}",
        plan.waiting
    );
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_what_deletes_itself_leaves_its_traces_and_outlives_it() {
    let host = Host::new().await;
    host.run(&app().auto_remove());
    host.apply(json!({"container": "web", "replicas": 2})).await;
    let clone = || host.engine.inspect_now("web-replica-1");
    assert_eq!(clone().unwrap().host_config["AutoRemove"], json!(false));
    host.engine.crash("web-replica-1", 3).unwrap();
    assert_eq!(clone().map(|clone| clone.exit_code), Some(3));
}

#[tokio::test(start_paused = true)]
async fn i3_what_is_run_from_an_image_committed_from_a_replica_is_left_alone() {
    let host = Host::new().await;
    host.run(&app());
    host.apply(json!({"container": "web", "replicas": 2})).await;
    host.engine.commit("web-replica-1", "dbg").unwrap();
    // A look inside, one under a replica's name to come, one that is to be adopted.
    for name in ["look", "web-replica-2", "web-replica-07"] {
        host.run(&RunSpec::new(name, "dbg").network("front"));
    }
    let workload = host.settle().await;
    let status = workload.status.unwrap();
    let names: Vec<&str> = status.instances.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["web", "web-replica-1"], "they get no requests");
    assert_eq!(host.stops(), 0);
    let (count, message) = host.warned("NotOurs");
    assert!(
        count == 1 && message.starts_with("look, web-replica-07, web-replica-2 left alone"),
        "{count} {message}"
    );
    assert!(
        message.contains("io.aegisops.workload=web") && message.contains("docker rename"),
        "it names the labels and what to do: {message}"
    );

    let edit = |workload: &Workload| {
        let mut spec = workload.spec.clone();
        spec.replicas = 3;
        Ok(spec)
    };
    host.context
        .store
        .edit_spec::<Workload, _>("web", edit)
        .await
        .unwrap();
    host.settle().await;
    assert!(
        host.engine.names().contains(&"web-replica-3".to_owned()),
        "{:?}",
        host.engine.names()
    );

    let info = kinds::find("wl").unwrap();
    host.context
        .store
        .delete(info, "web", None, None, false)
        .await
        .unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(host.reconciler.reconcile("web").await);
    }
    assert_eq!(
        host.engine.names(),
        ["look", "web", "web-replica-07", "web-replica-2"]
    );
    for name in ["look", "web-replica-2", "web-replica-07"] {
        assert_eq!(
            host.engine.inspect_now(name).unwrap().state,
            ContainerState::Running,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_image_brings_our_labels_can_be_adopted() {
    let host = Host::new().await;
    let labels = [
        (LABEL_WORKLOAD, "shop"),
        (LABEL_INSTANCE, "x"),
        (LABEL_REPLICA, "1"),
    ];
    host.engine
        .add_labelled_image("dbg", aegis_docker_fake::Behaviour::default(), &labels);
    host.run(&RunSpec::new("web", "dbg"));
    host.apply(json!({"container": "web"})).await;
    assert_eq!(host.settle().await.status.unwrap().ready_replicas, 1);
}
