//! Promise: clients that repeat nothing meet no connection that was closed under them, whatever this controller does behind
//! the load balancer, where nginx can keep idle connections over a reload (1.27.4 and newer). Of an older one it is reported
//! how many they met. No request, stream of events or WebSocket fails in either.

use std::net::SocketAddr;

use aegis_api::ConditionType;
use aegis_tests::api::condition;
use aegis_tests::strict::{StrictLoad, StrictTally};
use aegis_tests::{Controller, Nginx, World, eventually, manifests};
use futures::future::join_all;
use serde_json::{Value, json};

const KIND: &str = "workloads";

/// As most nginx images have it, for those without one that starts by itself.
const MAIN: &str = "user nginx;\nworker_processes 2;\nerror_log /dev/stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 1024; }\n\
                    http {\n    include /etc/nginx/mime.types;\n    access_log off;\n    keepalive_timeout 65;\n    include /etc/nginx/conf.d/*.conf;\n}\n";

struct Stage {
    controller: Controller,
    fronts: Vec<(&'static str, Nginx)>,
    name: String,
    world: World,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let mut fronts = vec![("nginx 1.28", world.nginx("new").await)];
        let main = world.file("debian/nginx.conf", MAIN);
        let body = json!({
            "Image": manifests::NGINX_OF_DEBIAN,
            "Entrypoint": ["nginx", "-g", "daemon off;"],
            "Labels": {},
            "HostConfig": {
                "NetworkMode": world.network(),
                "Binds": [format!("{}:/etc/nginx/nginx.conf:ro", main.display())],
            },
        });
        fronts.push(("Debian's nginx 1.22", world.nginx_of("old", body).await));
        let controller = world.controller().start().await;
        let name = world.name("web");
        let mut workload = manifests::echoing(&name, world.network(), 1, &Value::Null);
        workload["spec"]["strategy"] = json!({"progressDeadline": "6s"});
        workload["spec"]["restart"] = json!({"unhealthyAfter": "1s"});
        controller.api().apply(&workload).await;
        for (_, front) in &fronts {
            let mut balancer = manifests::balancing(&front.name, &name);
            balancer["spec"]["drainTimeout"] = json!("15s");
            balancer["spec"]["backends"][0]["buffering"] = json!(false);
            controller.api().apply(&balancer).await;
        }
        let stage = Self {
            world,
            controller,
            fronts,
            name,
        };
        stage.settles_at(1).await;
        stage.says_how_long_workers_may_stay().await;
        stage
    }

    /// The configuration of ours says it; that of the other one does not, so people are advised to.
    async fn says_how_long_workers_may_stay(&self) {
        for (name, front) in &self.fronts {
            let balancer = self.controller.api().object("loadbalancers", &front.name).await;
            let balancer = balancer.unwrap_or_default();
            let ready = condition(&balancer, ConditionType::Ready).to_string();
            let is_advised = ready.contains("add `worker_shutdown_timeout 10m;` to /etc/nginx/nginx.conf");
            assert_eq!(is_advised, *name != "nginx 1.28", "{name}: {ready}");
            let said = &balancer["status"]["lastReload"]["shutdownTimeout"];
            assert_eq!(said, if is_advised { "0" } else { "10m" }, "{name}");
        }
    }

    async fn settles_at(&self, replicas: u64) {
        let api = self.controller.api();
        api.workload_ready(&self.name, replicas).await;
        for (_, front) in &self.fronts {
            api.balancer_serves(&front.name, replicas).await;
        }
        eventually("no change is under way", async || {
            let workload = api.object(KIND, &self.name).await.ok_or("gone")?;
            let mut open = vec![workload["status"]["rollout"].clone()];
            for (_, front) in &self.fronts {
                let balancer = api.object("loadbalancers", &front.name).await.ok_or("gone")?;
                open.push(balancer["status"]["draining"].clone());
            }
            match open.iter().all(Value::is_null) {
                true => Ok(()),
                false => Err(format!("{open:?}")),
            }
        })
        .await;
    }

    async fn load(&self) -> Vec<StrictLoad> {
        let mut loads = Vec::new();
        for (_, front) in &self.fronts {
            // A worker of before the first configuration may take connections until it has heard of the reload.
            eventually("every worker of nginx has the servers", async || {
                front.answerers(20).await.map(drop)
            })
            .await;
            let ip = front.container.ip().await.expect("nginx has an address");
            loads.push(StrictLoad::on(SocketAddr::new(ip, 80)));
        }
        loads
    }

    async fn change(&self, patch: &Value) {
        self.controller.api().merge_ok(KIND, &self.name, patch).await;
    }

    async fn scale(&self, replicas: u64) {
        self.change(&json!({"spec": {"replicas": replicas}})).await;
        self.settles_at(replicas).await;
    }

    /// A change of which the next one is not to be mistaken for the end.
    async fn until_changed(&self, what: &str, looks_done: impl Fn(&Value) -> bool) {
        let api = self.controller.api();
        api.until(KIND, &self.name, what, |workload| {
            looks_done(workload)
                .then_some(())
                .ok_or_else(|| workload["status"].to_string())
        })
        .await;
    }

    /// Reports what was seen since the last time, and judges it.
    fn report(&self, what: &str, tallies: impl IntoIterator<Item = StrictTally>) {
        for ((front, _), tally) in self.fronts.iter().zip(tallies) {
            println!("{front}, {what}: {}", tally.row());
            assert!(tally.is_whole(), "{front}, {what}: there was no load to speak of");
            assert!(tally.failed.is_empty(), "{front}, {what}: {:?}", tally.failed);
            if *front == "nginx 1.28" {
                assert!(tally.closed.is_empty(), "{front}, {what}: {:?}", tally.closed);
            }
        }
    }

    async fn report_of(&self, what: &str, loads: &[StrictLoad]) {
        let tallies = join_all(loads.iter().map(StrictLoad::take_whole)).await;
        self.report(what, tallies);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_repeat_nothing_meet_no_closed_connection_whatever_changes_behind_nginx() {
    let stage = Stage::new().await;
    let loads = stage.load().await;

    stage.scale(3).await;
    stage.report_of("scale out 1 to 3", &loads).await;
    stage.scale(2).await;
    stage.report_of("scale in 3 to 2", &loads).await;

    let containers = async || -> Vec<String> {
        let workload = stage
            .controller
            .api()
            .object(KIND, &stage.name)
            .await
            .unwrap_or_default();
        let rows = workload["status"]["instances"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rows.iter().map(|row| row["startedAt"].to_string()).collect()
    };
    let before = containers().await;
    let target = format!("workload/{}", stage.name);
    stage.controller.ctl().ok(&["restart", &target]).await;
    stage
        .until_changed("both have restarted", |workload| {
            let rows = workload["status"]["instances"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            rows.len() == 2
                && rows
                    .iter()
                    .all(|row| !before.contains(&row["startedAt"].to_string()))
        })
        .await;
    stage.settles_at(2).await;
    stage.report_of("restart", &loads).await;

    stage
        .change(&json!({"spec": {"template": {"env": {"FLAVOUR": "mint"}}}}))
        .await;
    stage
        .until_changed("the new template runs", |workload| {
            workload["status"]["updatedReplicas"] == 2 && workload["status"]["rollout"].is_null()
        })
        .await;
    stage.settles_at(2).await;
    stage.report_of("template change", &loads).await;

    stage
        .change(&json!({"spec": {"template": {"env": {"SICK": "yes"}}}}))
        .await;
    stage
        .until_changed("the bad revision is rolled back", |workload| {
            workload["status"]["conditions"]
                .to_string()
                .contains("RolledBack")
        })
        .await;
    stage.settles_at(2).await;
    stage.report_of("bad rollout", &loads).await;

    // Back to what runs, so that healing is not a change of the template.
    stage
        .change(&json!({"spec": {"template": {"env": {"SICK": null}}}}))
        .await;
    stage.settles_at(2).await;
    let sick = stage.world.replica_names(&stage.name).await.remove(0);
    let sick = stage.world.find(&sick).await.expect("a replica");
    let started = sick.started_at().await;
    let ip = sick.ip().await.expect("an address");
    let made_sick = aegis_tests::api::http_client().post(format!("http://{ip}:8000/trigger_sick"));
    made_sick.send().await.expect("it falls sick");
    eventually("the sick one is restarted", async || {
        match sick.started_at().await != started {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    })
    .await;
    stage.settles_at(2).await;
    stage.report_of("healing", &loads).await;

    let mut last = Vec::new();
    for load in loads {
        last.push(load.stop().await);
    }
    for ((front, _), tally) in stage.fronts.iter().zip(&last) {
        assert!(tally.failed.is_empty(), "{front}: {:?}", tally.failed);
    }
}
