//! Promise: `kill -9` between any two steps of a rollout, of healing or of autoscaling behind a load balancer loses nothing and does
//! nothing twice (I1, I2, I8). The next start goes on where it was: each container is made, started and removed once, and
//! each client of the load balancer is answered all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aegis_tests::{Controller, Nginx, World, eventually, manifests};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Worlds at once: each is mostly waiting.
const AT_ONCE: usize = 3;
const REPLICAS: u64 = 2;

/// Two replicas behind nginx, and a controller that is dead for now.
struct Stage {
    controller: Controller,
    front: Nginx,
    name: String,
    // Dropped last: its containers go once no controller makes any.
    world: World,
}

async fn stage() -> Stage {
    let world = World::new().await;
    let front = world.nginx("lb").await;
    let mut controller = world.controller().start().await;
    let name = world.name("web");
    let api = controller.api();
    let flavour = json!({"env": {"FLAVOUR": "plain"}});
    let mut workload = manifests::templated(&name, world.network(), 2, &flavour);
    workload["spec"]["restart"] = json!({"unhealthyAfter": "1s"});
    api.apply(&workload).await;
    api.apply(&manifests::balancing(&front.name, &name)).await;
    api.workload_ready(&name, REPLICAS).await;
    api.balancer_serves(&front.name, REPLICAS).await;
    // The worker of before, which had no server yet, may still take a connection for a moment.
    eventually("nginx serves both", async || match front.answerers(20).await {
        Ok(serving) if serving.len() == 2 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    controller.kill9();
    Stage {
        controller,
        front,
        name,
        world,
    }
}

/// Somebody who asks through nginx all the while.
struct Clients {
    go_on: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Vec<String>)>,
}

impl Clients {
    async fn were_served(self, point: &str, front: &Nginx) {
        self.go_on.store(false, Ordering::Relaxed);
        let (served, failed) = self.asking.await.expect("the clients do not panic");
        if served < 10 || !failed.is_empty() {
            let log = front.container.log().await;
            panic!("{point}: {served} were served, these not: {failed:#?}; nginx says\n{log}");
        }
    }
}

impl Stage {
    /// A person edits a file while the controller is away.
    fn edit(&self, file: &str, before: &str, after: &str) {
        let file = self.controller.state_dir().join(file);
        let text = std::fs::read_to_string(&file).expect("the file");
        assert!(text.contains(before), "{text}");
        std::fs::write(&file, text.replace(before, after)).expect("the file can be written");
    }

    fn change_the_template(&self) {
        self.edit(&format!("workloads/{}.yaml", self.name), "plain", "mint");
    }

    /// Sends requests through nginx again and again until it is stopped.
    fn clients(&self) -> Clients {
        let (front, go_on) = (self.front.clone(), Arc::new(AtomicBool::new(true)));
        let asked = go_on.clone();
        let asking = tokio::spawn(async move {
            let (mut served, mut failed) = (0, Vec::new());
            while asked.load(Ordering::Relaxed) {
                match tokio::time::timeout(Duration::from_secs(10), front.get("/")).await {
                    Ok(Ok((200, _))) => served += 1,
                    other => failed.push(format!("{} {other:?}", jiff::Timestamp::now())),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (served, failed)
        });
        Clients { go_on, asking }
    }

    async fn settles(&self, point: &str) -> Value {
        let api = self.controller.api();
        eventually(&format!("{point}: it comes to rest"), async || {
            let workload = api.object("workloads", &self.name).await.ok_or("gone")?;
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let status = &workload["status"];
            let ready = status["readyReplicas"] == REPLICAS && status["updatedReplicas"] == REPLICAS;
            let rows = status["instances"].as_array().map_or(0, Vec::len);
            let servers = balancer["status"]["servers"].as_array().map_or(0, Vec::len);
            let calm = status["rollout"].is_null() && balancer["status"]["draining"].is_null();
            let seen = status["observedGeneration"] == workload["metadata"]["generation"];
            if seen && ready && calm && rows == 2 && servers == 2 {
                Ok(workload)
            } else {
                Err(format!("{status} {}", balancer["status"]))
            }
        })
        .await
    }

    /// How often something happened to all replicas together.
    async fn events(&self, action: &str) -> usize {
        let all = self.world.events().so_far().await;
        let prefix = format!("{}-replica-", self.name);
        let ours = all.iter().filter(|event| event.name.starts_with(&prefix));
        ours.filter(|event| event.action == action).count()
    }

    async fn happened(&self, point: &str, counts: &[(&str, usize)]) {
        for (action, count) in counts {
            let all = self.world.events().so_far().await;
            assert_eq!(self.events(action).await, *count, "{point}: {action}: {all:#?}");
        }
    }
}

/// Dies at this point of replacing both replicas.
async fn a_rollout_dies_at(point: &str) {
    let mut stage = stage().await;
    let clients = stage.clients();
    stage.change_the_template();
    stage.controller.start_again_dying_at(point).await;
    let workload = stage.settles(point).await;
    assert!(workload["status"]["rejected"].is_null(), "{point}: {workload:#}");
    clients.were_served(point, &stage.front).await;
    stage
        .happened(point, &[("create", 4), ("start", 4), ("destroy", 2)])
        .await;
    let nginx = stage.front.answerers(20).await.expect("nginx answers");
    assert_eq!(nginx.len(), 2, "{point}: {nginx:?}");
}

/// Dies at this point of healing one of two replicas.
async fn healing_dies_at(point: &str) {
    let mut stage = stage().await;
    let clients = stage.clients();
    let sick = stage
        .world
        .find(&format!("{}-replica-2", stage.name))
        .await
        .expect("a replica");
    sick.trigger("hang").await;
    stage.controller.start_again_dying_at(point).await;
    eventually(
        &format!("{point}: the sick one answers again"),
        async || match sick.get("/health").await? {
            (200, _) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    let workload = stage.settles(point).await;
    let seen = &workload["status"]["captures"][0];
    assert_eq!(seen["container"]["id"], sick.id.as_str(), "{point}: {seen:#}");
    let seen = seen.to_string();
    assert!(
        seen.contains("/buggy-app") && seen.contains("logTail"),
        "{point}: {seen}"
    );
    clients.were_served(point, &stage.front).await;
    stage
        .happened(point, &[("create", 2), ("start", 3), ("destroy", 0)])
        .await;
    assert_eq!(
        stage.world.events().count(&sick.id, "start").await,
        2,
        "{point}: it was restarted once"
    );
}

/// Dies at this point of bringing nginx a configuration that differs in more than servers.
async fn a_configuration_dies_at(point: &str) {
    let mut stage = stage().await;
    let clients = stage.clients();
    let file = format!("loadbalancers/{}.yaml", stage.front.name);
    stage.edit(&file, "spec:\n", "spec:\n  algorithm: LeastConn\n");
    stage.controller.start_again_dying_at(point).await;
    let api = stage.controller.api();
    eventually(&format!("{point}: nginx has it"), async || {
        let balancer = api
            .object("loadbalancers", &stage.front.name)
            .await
            .ok_or("gone")?;
        match balancer["status"]["config"].as_str() {
            Some(config) if config.contains("least_conn") => Ok(()),
            _ => Err(balancer["status"].to_string()),
        }
    })
    .await;
    stage.settles(point).await;
    clients.were_served(point, &stage.front).await;
    stage
        .happened(point, &[("create", 2), ("start", 2), ("destroy", 0)])
        .await;
}

/// Dies at this point of a change of the replicas by autoscaling: its bounds ask for so many of the two that there are.
async fn autoscaling_dies_at((point, bound): (&str, u64)) {
    let what = format!("{point} from {REPLICAS} to {bound}");
    let mut stage = stage().await;
    let clients = stage.clients();
    let most = bound.max(REPLICAS);
    // Bounds hold at once, whatever is measured.
    let autoscale = format!(
        "spec:\n  autoscale: {{min: {bound}, max: {bound}, targets: [{{metric: Cpu, percent: 50}}]}}\n"
    );
    stage.edit(&format!("workloads/{}.yaml", stage.name), "spec:\n", &autoscale);
    stage.controller.start_again_dying_at(point).await;
    let api = stage.controller.api();
    let workload = eventually(&format!("{what}: it is done"), async || {
        let workload = api.object("workloads", &stage.name).await.ok_or("gone")?;
        let balancer = api
            .object("loadbalancers", &stage.front.name)
            .await
            .ok_or("gone")?;
        let status = &workload["status"];
        let rows = status["instances"].as_array().map_or(0, Vec::len);
        let servers = balancer["status"]["servers"].as_array().map_or(0, Vec::len);
        let is_done = workload["spec"]["replicas"] == bound
            && status["readyReplicas"] == bound
            && status["observedGeneration"] == workload["metadata"]["generation"]
            && balancer["status"]["draining"].is_null();
        match (is_done, u64::try_from(rows), u64::try_from(servers)) {
            (true, Ok(rows), Ok(servers)) if rows == bound && servers == bound => Ok(workload),
            _ => Err(format!("{status} {}", balancer["status"])),
        }
    })
    .await;
    let decided = &workload["status"]["autoscale"];
    let changes = decided["changes"].as_array().map_or(0, Vec::len);
    assert_eq!(
        (changes, &decided["manualUntil"]),
        (1, &Value::Null),
        "{what}: {decided:#}"
    );
    clients.were_served(&what, &stage.front).await;
    let count = |replicas: u64| usize::try_from(replicas).expect("few");
    stage
        .happened(
            &what,
            &[
                ("create", count(most)),
                ("start", count(most)),
                ("destroy", count(most - bound)),
            ],
        )
        .await;
}

/// Between any two steps of bringing other servers to nginx, within the command that does it, and of storing that it was
/// done.
const BALANCER: [&str; 9] = [
    "balancer/before-write",
    "balancer/during-write",
    "balancer/before-proof",
    "loadbalancer/before-status",
    "loadbalancer/after-status",
    "balancer/during-write#2",
    "balancer/before-proof#2",
    "loadbalancer/before-status#2",
    "loadbalancer/after-status#2",
];

/// All are, unless `AEGIS_TEST_POINT` names one.
fn is_asked_for(point: &str) -> bool {
    std::env::var("AEGIS_TEST_POINT").map_or(true, |only| only == point)
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_any_two_steps_of_a_rollout_makes_and_removes_each_replica_once_i1_i2_i8() {
    let containers = [
        "workload/create/before-create",
        "workload/create/during-create",
        "workload/create/before-start",
        "workload/create/after-start",
        "workload/create/before-create#2",
        "workload/create/after-start#2",
        "workload/remove/before-stop",
        "workload/remove/during-stop",
        "workload/remove/before-remove",
        "workload/remove/after-remove",
        "workload/remove/before-stop#2",
        "workload/remove/after-remove#2",
        "workload/before-status#2",
        "workload/after-status#2",
        "workload/before-status#3",
        "workload/after-status#4",
    ];
    let points = containers
        .into_iter()
        .chain(BALANCER)
        .filter(|point| is_asked_for(point));
    let walked = futures::stream::iter(points).map(a_rollout_dies_at);
    walked.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_any_two_steps_of_a_new_configuration_fails_no_request_i1_i2_i8() {
    let points = [
        "balancer/before-write",
        "balancer/between-writes",
        "balancer/after-write",
        "balancer/before-reload",
        "balancer/before-proof",
        "loadbalancer/before-status",
        "loadbalancer/after-status",
    ];
    let points = points.into_iter().filter(|point| is_asked_for(point));
    let walked = futures::stream::iter(points).map(a_configuration_dies_at);
    walked.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_any_two_steps_of_healing_restarts_once_i1_i2_i8() {
    let containers = [
        "workload/capture/before",
        "workload/restart/before-stop",
        "workload/restart/during-stop",
        "workload/restart/before-start",
        "workload/restart/during-start",
        "workload/restart/after-start",
        "workload/before-status#2",
        "workload/after-status#3",
    ];
    let points = containers
        .into_iter()
        .chain(BALANCER)
        .filter(|point| is_asked_for(point));
    let walked = futures::stream::iter(points).map(healing_dies_at);
    walked.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dying_between_a_decision_of_autoscaling_and_its_replicas_makes_the_change_once_i1_i2() {
    let points = ["autoscale/before-replicas", "autoscale/after-replicas"];
    let walked = points.into_iter().filter(|point| is_asked_for(point));
    let walked = walked.flat_map(|point| [(point, REPLICAS + 1), (point, REPLICAS - 1)]);
    let walked = futures::stream::iter(walked).map(autoscaling_dies_at);
    walked.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}
