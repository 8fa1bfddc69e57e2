//! Promise: whatever this controller does to containers behind a load balancer, no client notices: scaling out and in,
//! restarts, new templates, bad ones that are rolled back, healing, and a controller that dies in the middle of it. The
//! receipts that it writes report what clients saw.

use std::time::Duration;

use aegis_tests::load::{Load, Tally};
use aegis_tests::{Controller, Nginx, World, eventually, manifests};
use jiff::Timestamp;
use serde_json::{Value, json};

const KIND: &str = "workloads";

struct Stage {
    controller: Controller,
    front: Nginx,
    name: String,
    // Dropped last: its containers go once no controller makes any.
    world: World,
}

async fn stage(replicas: u32, strategy: Value) -> Stage {
    let world = World::new().await;
    let front = world.nginx("lb").await;
    let controller = world.controller().start().await;
    let name = world.name("web");
    let api = controller.api();
    let mut workload = manifests::templated(&name, world.network(), replicas, &Value::Null);
    workload["spec"]["strategy"] = strategy;
    api.apply(&workload).await;
    let mut balancer = manifests::balancing(&front.name, &name);
    // Longer than any request takes, on however busy a machine.
    balancer["spec"]["drainTimeout"] = json!("30s");
    api.apply(&balancer).await;
    let stage = Stage {
        world,
        controller,
        front,
        name,
    };
    stage.settles_at(u64::from(replicas)).await;
    stage
}

impl Stage {
    async fn settles_at(&self, replicas: u64) {
        let api = self.controller.api();
        api.workload_ready(&self.name, replicas).await;
        api.balancer_serves(&self.front.name, replicas).await;
        eventually("no change is under way", async || {
            let workload = api.object(KIND, &self.name).await.ok_or("gone")?;
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let open = [&workload["status"]["rollout"], &balancer["status"]["draining"]];
            if open.iter().all(|field| field.is_null()) {
                Ok(())
            } else {
                Err(format!("{open:?}"))
            }
        })
        .await;
    }

    async fn load(&self) -> Load {
        // A worker of before the first configuration may take connections until it has heard of the reload: it has no server.
        eventually("every worker of nginx has the servers", async || {
            self.front.answerers(40).await.map(drop)
        })
        .await;
        let load = Load::on(self.front.container.ip().await.expect("nginx has an address"));
        // Every client is at it, the slow ones too.
        tokio::time::sleep(Duration::from_millis(500)).await;
        load
    }

    async fn scale(&self, replicas: u64) {
        let count = format!("--replicas={replicas}");
        let target = format!("workload/{}", self.name);
        self.controller.ctl().ok(&["scale", &target, &count]).await;
    }

    async fn change(&self, patch: &Value) {
        self.controller.api().merge_ok(KIND, &self.name, patch).await;
    }

    async fn rotation(&self) -> Vec<String> {
        let balancer = self
            .controller
            .api()
            .object("loadbalancers", &self.front.name)
            .await;
        let servers = balancer.unwrap_or_default()["status"]["servers"].clone();
        let mut ids: Vec<String> = servers
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|server| Some(server["id"].as_str()?.to_owned()))
            .collect();
        ids.sort();
        ids
    }

    /// The receipts since an instant, once each is counted.
    async fn receipts(&self, since: Timestamp) -> Vec<Value> {
        let api = self.controller.api();
        eventually("every receipt is counted", async || {
            let balancer = api
                .object("loadbalancers", &self.front.name)
                .await
                .ok_or("gone")?;
            let all = balancer["status"]["receipts"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let new: Vec<Value> = all
                .into_iter()
                .filter(|receipt| instant(&receipt["startedAt"]) >= since)
                .collect();
            match new.iter().find(|receipt| receipt["requests"].is_null()) {
                Some(open) => Err(open.to_string()),
                None => Ok(new),
            }
        })
        .await
    }
}

fn instant(value: &Value) -> Timestamp {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("an instant")
}

/// No client's request failed, and the receipts say so, too, with the clients' own numbers.
fn nothing_was_dropped(what: &str, tally: &Tally, receipts: &[Value]) {
    println!(
        "{what}: {} answered at {:.0}/s by {:?}, {} failed, {} repeated over a new connection, receipts {}",
        tally.answered.len(),
        tally.rate(),
        tally.answerers(),
        tally.failed.len(),
        tally.repeated,
        json!(receipts),
    );
    assert!(tally.answered.len() > 50, "{what}: there was no load to speak of");
    assert!(tally.failed.is_empty(), "{what}: {:?}", tally.failed);
    for receipt in receipts {
        let counts = &receipt["requests"];
        assert_eq!(
            (&counts["failed"], &counts["forced"]),
            (&json!(0), &json!(0)),
            "{what}: {receipt}"
        );
        assert_eq!(receipt["drained"], true, "{what}: {receipt}");
        let (start, end) = (instant(&receipt["startedAt"]), instant(&receipt["finishedAt"]));
        let ids = receipt["ids"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let ids: Vec<&str> = ids.map(|id| &id[..12]).collect();
        let seen = |slack: Duration| -> usize {
            let late = |id: &&str| tally.answered_late(id, start - slack, end + slack);
            ids.iter().map(late).sum()
        };
        let reported =
            usize::try_from(counts["inFlight"].as_u64().expect("a number")).expect("a small number");
        // nginx notes the end of an answer a moment before or after its client does.
        let (most, seen) = (seen(Duration::from_millis(100)), seen(Duration::ZERO));
        assert!(
            reported <= most && seen <= reported + 25,
            "{what}: clients had {seen} late answers of those who left, the receipt reports {reported}: {receipt}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_and_restarting_under_load_drops_no_request() {
    let stage = stage(1, json!({})).await;

    let (load, since) = (stage.load().await, Timestamp::now());
    stage.scale(5).await;
    stage.settles_at(5).await;
    stage.scale(2).await;
    stage.settles_at(2).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("scale 1, 5, 2", &load.stop().await, &receipts);
    let left: usize = receipts
        .iter()
        .map(|receipt| receipt["ids"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(left, 3, "{receipts:?}");

    let (load, since) = (stage.load().await, Timestamp::now());
    let target = format!("workload/{}", stage.name);
    stage.controller.ctl().ok(&["restart", &target]).await;
    stage.settles_at(2).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("rolling restart", &load.stop().await, &receipts);
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt["causes"] == json!(["Restart"])),
        "{receipts:?}"
    );

    stage.scale(1).await;
    stage.settles_at(1).await;
    let (load, since) = (stage.load().await, Timestamp::now());
    stage.controller.ctl().ok(&["restart", &target]).await;
    stage.settles_at(1).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("restart of the only replica", &load.stop().await, &receipts);
    assert_eq!(
        stage.world.replica_names(&stage.name).await.len(),
        1,
        "the stand-in is gone again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_templates_under_load_drop_no_request_and_a_bad_one_is_rolled_back() {
    let stage = stage(3, json!({"progressDeadline": "20s"})).await;

    let (load, since) = (stage.load().await, Timestamp::now());
    stage
        .change(&json!({"spec": {"template": {"env": {"FLAVOUR": "mint"}}}}))
        .await;
    stage.settles_at(3).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("a new template", &load.stop().await, &receipts);
    let good = stage.rotation().await;

    let (load, since) = (stage.load().await, Timestamp::now());
    stage
        .change(&json!({"spec": {"template": {"env": {"PORT": "none"}}}}))
        .await;
    let api = stage.controller.api();
    let workload = api
        .until(KIND, &stage.name, "its new template is rolled back", |workload| {
            let rejected = &workload["status"]["rejected"]["reason"];
            rejected
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| workload["status"].to_string())
        })
        .await;
    assert!(workload.contains("ended again"), "{workload}");
    stage.settles_at(3).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("a bad template", &load.stop().await, &receipts);
    assert_eq!(stage.rotation().await, good, "no serving container was touched");
    assert_eq!(stage.world.replica_names(&stage.name).await.len(), 3);
    let described = stage
        .controller
        .ctl()
        .ok(&["describe", &format!("workload/{}", stage.name)])
        .await;
    assert!(described.contains("rolled back"), "{described}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healing_and_a_controller_that_dies_drop_no_request() {
    let mut stage = stage(3, json!({})).await;

    // A hung replica: its health no longer answers.
    let (load, since) = (stage.load().await, Timestamp::now());
    let sick = stage
        .world
        .find(&format!("{}-replica-2", stage.name))
        .await
        .expect("a replica");
    let before = sick.started_at().await;
    sick.trigger("hang").await;
    let api = stage.controller.api();
    api.balancer_serves(&stage.front.name, 2).await;
    api.apply(&manifests::policy(&stage.name, &json!({}))).await;
    api.apply(&manifests::incident("hung", &stage.name, &json!({})))
        .await;
    api.resolved("hung").await;
    stage.settles_at(3).await;
    assert_ne!(sick.started_at().await, before);
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("healing of a hung replica", &load.stop().await, &receipts);
    assert!(
        receipts
            .iter()
            .any(|receipt| receipt["causes"] == json!(["Unhealthy"])),
        "{receipts:?}"
    );

    // Killed in the middle of a change.
    let (load, since) = (stage.load().await, Timestamp::now());
    stage
        .change(&json!({"spec": {"template": {"env": {"FLAVOUR": "lemon"}}}}))
        .await;
    api.until(KIND, &stage.name, "its change is under way", |workload| {
        let draining = workload["status"]["instances"].as_array().into_iter().flatten();
        let any = draining.into_iter().any(|row| row["draining"] == true);
        any.then_some(()).ok_or_else(|| "no container drains".to_owned())
    })
    .await;
    stage.controller.kill9();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.controller.start_again(|launch| launch).await;
    stage.settles_at(3).await;
    let receipts = stage.receipts(since).await;
    nothing_was_dropped("kill -9 of the controller", &load.stop().await, &receipts);

    // What cannot be announced: a replica is killed.
    let load = stage.load().await;
    let victim = stage
        .world
        .find(&stage.world.replica_names(&stage.name).await[0])
        .await
        .expect("a replica");
    victim.remove_by_force().await;
    let at = Timestamp::now();
    stage.settles_at(3).await;
    let tally = load.stop().await;
    println!(
        "a killed replica: {} answered at {:.0}/s, {} failed: {:?}",
        tally.answered.len(),
        tally.rate(),
        tally.failed.len(),
        tally.failed
    );
    for (asked, what) in &tally.failed {
        // Only those that it had: asked before it was gone.
        assert!(*asked <= at, "asked at {asked}, it was gone at {at}: {what}");
    }
}
