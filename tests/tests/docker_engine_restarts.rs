//! Promise: a Docker engine that restarts, whose connections break, or whose answers get lost in the middle of a change
//! doubles nothing and loses nothing (I2): the change goes on and ends as the spec desires.

use std::time::Duration;

use aegis_tests::{Controller, Nginx, OwnEngine, World, eventually, manifests};
use serde_json::{Value, json};

const REPLICAS: u64 = 3;
const INSIDE: &str = "inside_an_engine_of_its_own";

struct Stage {
    controller: Controller,
    front: Nginx,
    name: String,
    // Dropped last: its containers go once no controller makes any.
    world: World,
}

impl Stage {
    async fn new(world: World, controller: Controller) -> Self {
        let front = world.nginx_that_comes_back("lb").await;
        let name = world.name("web");
        let api = controller.api();
        let plain = json!({"env": {"FLAVOUR": "plain"}});
        api.apply(&manifests::templated(&name, world.network(), 3, &plain))
            .await;
        api.apply(&manifests::balancing(&front.name, &name)).await;
        let stage = Self {
            controller,
            front,
            name,
            world,
        };
        stage.settles().await;
        stage
    }

    async fn change_the_template(&self, flavour: &str) {
        let patch = json!({"spec": {"template": {"env": {"FLAVOUR": flavour}}}});
        let api = self.controller.api();
        api.merge_ok("workloads", &self.name, &patch).await;
    }

    /// Until the first replica of before is on its way out: some are new, some are old.
    async fn is_in_the_middle(&self) {
        let api = self.controller.api();
        api.until("Workload", &self.name, "its change is under way", |workload| {
            let rows = workload["status"]["instances"].as_array().into_iter().flatten();
            let leaves = rows.into_iter().any(|row| row["draining"] == true);
            leaves.then_some(()).ok_or_else(|| workload["status"].to_string())
        })
        .await;
    }

    async fn settles(&self) -> Value {
        let api = self.controller.api();
        eventually("the change ends as the spec desires", async || {
            let workload = api.object("workloads", &self.name).await.ok_or("gone")?;
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let status = &workload["status"];
            let seen = status["observedGeneration"] == workload["metadata"]["generation"];
            let ready = status["readyReplicas"] == REPLICAS && status["updatedReplicas"] == REPLICAS;
            let rows = status["instances"].as_array().map_or(0, Vec::len);
            let servers = balancer["status"]["servers"].as_array().map_or(0, Vec::len);
            let calm = status["rollout"].is_null() && balancer["status"]["draining"].is_null();
            let proved = balancer["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            if seen && ready && calm && proved && rows == 3 && servers == 3 {
                Ok(workload)
            } else {
                Err(format!("{workload:#} {balancer:#}"))
            }
        })
        .await
    }

    /// Three containers of the present template serve, and there is no other.
    async fn ended_well(&self) {
        let workload = self.settles().await;
        assert!(workload["status"]["rejected"].is_null(), "{workload:#}");
        let names = self.world.replica_names(&self.name).await;
        assert_eq!(names.len(), 3, "nothing is doubled: {names:?}");
        let serving = eventually("nginx sends requests to all three", async || {
            let serving = self.front.answerers(30).await?;
            if serving.len() == 3 {
                Ok(serving)
            } else {
                Err(format!("{serving:?}"))
            }
        })
        .await;
        for name in &names {
            let replica = self.world.find(name).await.expect("it was listed");
            assert!(serving.contains(replica.short_id()), "{name} serves: {serving:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_and_answers_that_get_lost_in_a_rollout_double_nothing_i2() {
    let world = World::new().await;
    let mut engine = world.engine_proxy();
    engine.mend();
    let launch = world.controller().flag("--docker-host", &engine.host());
    let stage = Stage::new(world, launch.start().await).await;

    // Each request takes effect and its answer is lost: creating, starting, stopping, removing.
    engine.swallow_answers(4);
    stage.change_the_template("mint").await;
    stage.settles().await;
    assert_eq!(engine.to_swallow(), 0, "the answers were lost");
    stage.ended_well().await;

    // All connections break again and again, the stream of events among them.
    stage.change_the_template("lemon").await;
    stage.is_in_the_middle().await;
    for _ in 0..5 {
        engine.break_connections();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.ended_well().await;

    // The engine does not answer at all for a while.
    stage.change_the_template("plain").await;
    stage.is_in_the_middle().await;
    engine.cut().await;
    stage.controller.is_unready().await;
    engine.mend();
    stage.ended_well().await;
    let (created, destroyed) = counts(&stage).await;
    assert_eq!(
        (created, destroyed),
        (12, 9),
        "each replica was made and removed once"
    );
}

async fn counts(stage: &Stage) -> (usize, usize) {
    let all = stage.world.events().so_far().await;
    let prefix = format!("{}-replica-", stage.name);
    let count = |action: &str| {
        let ours = all.iter().filter(|event| event.name.starts_with(&prefix));
        ours.filter(|event| event.action == action).count()
    };
    (count("create"), count("destroy"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_restarts_in_a_rollout_doubles_nothing_i2() {
    OwnEngine::runs(INSIDE, &["aegisops/buggy-app:dev", "aegisops/nginx:dev"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it, inside an engine of its own"]
async fn inside_an_engine_of_its_own() {
    let engine = OwnEngine::started();
    let world = World::new().await;
    let controller = world.controller().start().await;
    let mut stage = Stage::new(world, controller).await;

    stage.change_the_template("mint").await;
    stage.is_in_the_middle().await;
    engine.stop();
    stage.controller.is_unready().await;
    engine.start();
    stage.controller.is_ready().await;
    stage.ended_well().await;
}
