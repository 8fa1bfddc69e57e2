//! Promise: where a LoadBalancer says `holdRequests`, requests wait while the only container of a workload restarts, and are
//! answered by it, whatever nginx.conf says of who may come; after the bound they get 503 with `Retry-After`. What a server may have begun
//! to work on and cannot be repeated (POST) is not sent twice.
//!
//! With the nginx that is made from source (1.28) and, where its packages can be had, with Debian's (1.22).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_tests::{Container, Controller, Nginx, World, eventually, manifests};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const MAIN: &str = "user nginx;\nworker_processes 2;\nerror_log /dev/stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 1024; }\n\
                    http {\n    include /etc/nginx/mime.types;\n    access_log off;\n\
                    # What would stop what comes from nginx itself, as requests that wait do.\n\
                    deny 127.0.0.1;\n    map $remote_addr $own { default ''; 127.0.0.1 own; }\n\
                    limit_req_zone $own zone=own:1m rate=1r/m;\n    limit_req zone=own;\n\
                    limit_conn_zone $own zone=conns:1m;\n    limit_conn conns 1;\n\
                    include /etc/nginx/conf.d/*.conf;\n}\n";
const CLIENTS: usize = 4;

struct Stage {
    controller: Controller,
    fronts: Vec<(&'static str, Nginx)>,
    name: String,
    world: World,
}

/// How many requests of each method got each answer.
type Answers = BTreeMap<(String, String), u32>;

impl Stage {
    /// A workload with one container that alone writes to a folder, so that none can stand in for it, and takes a while to start.
    async fn new() -> Self {
        let world = World::new().await;
        let mut fronts = Vec::new();
        for (what, base, image) in [
            ("nginx 1.28", "new", manifests::NGINX_ON_SOURCE),
            ("Debian's nginx 1.22", "old", manifests::NGINX_OF_DEBIAN),
        ] {
            let main = world.file(&format!("{base}/nginx.conf"), MAIN);
            let body = json!({
                "Image": image,
                "Entrypoint": ["nginx", "-e", "/dev/stderr", "-g", "daemon off;"],
                "Labels": {},
                "HostConfig": {
                    "NetworkMode": world.network(),
                    "Binds": [format!("{}:/etc/nginx/nginx.conf:ro", main.display())],
                },
            });
            fronts.push((what, world.nginx_of(base, body).await));
        }
        let controller = world.controller().start().await;
        let name = world.name("web");
        let data = world.file("data/README", "written by one container alone\n");
        let data = data.parent().expect("a folder").display().to_string();
        let echo = aegis_tests::binaries::binary("echo");
        let template = json!({
            "env": {"START_MS": "1500"},
            "volumes": [
                {"source": echo, "target": "/echo", "readOnly": true},
                {"source": data, "target": "/data"},
            ],
        });
        controller
            .api()
            .apply(&manifests::echoing(&name, world.network(), 1, &template))
            .await;
        for (_, front) in &fronts {
            controller
                .api()
                .apply(&manifests::balancing(&front.name, &name))
                .await;
        }
        let stage = Self {
            controller,
            fronts,
            name,
            world,
        };
        stage.settles().await;
        stage
    }

    async fn settles(&self) {
        let api = self.controller.api();
        api.workload_ready(&self.name, 1).await;
        for (_, front) in &self.fronts {
            api.balancer_serves(&front.name, 1).await;
            eventually("every worker of nginx has the server", async || {
                front.answerers(20).await.map(drop)
            })
            .await;
        }
    }

    async fn hold(&self, time: &str) {
        for (what, front) in &self.fronts {
            let patch = json!({"spec": {"holdRequests": time}});
            let api = self.controller.api();
            let patched = api.merge_ok("loadbalancers", &front.name, &patch).await;
            let generation = patched["metadata"]["generation"].clone();
            let text = format!("_timeout {time};");
            eventually(&format!("{what} holds requests for {time}"), async || {
                let balancer = api.object("loadbalancers", &front.name).await.ok_or("gone")?;
                let is_new = balancer["status"]["observedGeneration"] == generation;
                match is_new && front.config().await.contains(&text) {
                    true => Ok(()),
                    false => Err(balancer["status"]["conditions"].to_string()),
                }
            })
            .await;
        }
        self.settles().await;
    }

    /// Restarts the container under load, and counts what clients that repeat nothing were answered, by front.
    async fn restart_under_load(&self) -> Vec<Answers> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for (_, front) in &self.fronts {
            let ip = front.container.ip().await.expect("an address");
            let mut of_front = JoinSet::new();
            for number in 0..CLIENTS {
                let method = if number == 0 { Method::POST } else { Method::GET };
                of_front.spawn(client(method, format!("http://{ip}/"), Arc::clone(&stop)));
            }
            clients.push(of_front);
        }
        let container = self.replica().await;
        let before = container.started_at().await;
        let target = format!("workload/{}", self.name);
        self.controller.ctl().ok(&["restart", &target]).await;
        eventually("it has restarted, itself", async || {
            match container.started_at().await != before {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        })
        .await;
        self.settles().await;
        stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for of_front in clients {
            let mut sum = Answers::new();
            for (answer, count) in of_front.join_all().await.into_iter().flatten() {
                *sum.entry(answer).or_default() += count;
            }
            all.push(sum);
        }
        all
    }

    /// Requests that a server has, through every front, when the server goes.
    async fn cut_off(&self) {
        let mut requests = JoinSet::new();
        for (what, front) in &self.fronts {
            let ip = front.container.ip().await.expect("an address");
            requests.spawn(answer_of(what, format!("http://{ip}/slow")));
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        self.replica().await.restart_by_hand().await;
        for (what, (status, body)) in requests.join_all().await {
            assert_eq!(
                status, "200",
                "{what}: sent once more to the one that came back: {body}"
            );
        }
        self.settles().await;
    }

    /// A request that ends each server it is sent to.
    async fn poison(&self) {
        let name = self.replica().await.name;
        let deaths = self.world.events().count(&name, "die").await;
        let (what, front) = self.fronts.first().expect("an nginx");
        let ip = front.container.ip().await.expect("an address");
        let (_, (status, body)) = answer_of(what, format!("http://{ip}/exit")).await;
        assert_eq!(status, "502", "{what}: {body}");
        self.settles().await;
        let deaths = self.world.events().count(&name, "die").await - deaths;
        assert_eq!(deaths, 2, "{what}: it has been sent once more, and not again");
    }

    async fn replica(&self) -> Container {
        let name = self.world.replica_names(&self.name).await.remove(0);
        self.world.find(&name).await.expect("a replica")
    }
}

/// The status and the body of an answer, or what went wrong.
async fn answer_of(what: &'static str, url: String) -> (&'static str, (String, String)) {
    match aegis_tests::api::http_client().get(url).send().await {
        Ok(answer) => {
            let status = answer.status().as_u16().to_string();
            (what, (status, answer.text().await.unwrap_or_default()))
        }
        Err(error) => (what, (format!("{error:?}"), String::new())),
    }
}

async fn client(method: Method, url: String, stop: Arc<AtomicBool>) -> Answers {
    let http = aegis_tests::api::http_client();
    let mut answers = Answers::new();
    while !stop.load(Ordering::Relaxed) {
        let request = http.request(method.clone(), &url).header("connection", "close");
        let request = match method {
            Method::POST => request.body(vec![b'x'; 50_000]),
            _ => request,
        };
        let answer = match request.send().await {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(error) => format!("{error:?}"),
        };
        *answers.entry((method.to_string(), answer)).or_default() += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    answers
}

fn failed(answers: &Answers, method: &str) -> u32 {
    let failed = answers
        .iter()
        .filter(|((of, answer), _)| of == method && answer != "200");
    failed.map(|(_, count)| count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_the_only_container_while_it_restarts_and_no_longer_than_they_may() {
    let stage = Stage::new().await;
    let before = stage.restart_under_load().await;
    stage.hold("15s").await;
    let after = stage.restart_under_load().await;
    for (((what, _), before), after) in stage.fronts.iter().zip(&before).zip(&after) {
        println!("{what}, without holdRequests: {before:?}");
        println!("{what}, with holdRequests: {after:?}");
        assert!(failed(before, "GET") > 0, "{what}: the restart was not seen");
        assert_eq!(failed(after, "GET"), 0, "{what}: {after:?}");
        // One that had been sent when the container ended is not sent once more.
        let refused = after
            .keys()
            .filter(|(method, answer)| method == "POST" && answer != "200");
        for (_, answer) in refused {
            assert_eq!(answer, "502", "{what}");
        }
        let most = u32::try_from(CLIENTS).expect("a few");
        assert!(failed(after, "POST") <= most, "{what}: {after:?}");
    }

    stage.cut_off().await;
    stage.poison().await;

    stage.hold("2s").await;
    let container = stage.replica().await;
    container.freeze().await;
    for (what, front) in &stage.fronts {
        let api = stage.controller.api();
        api.until("LoadBalancer", &front.name, "no server", |balancer| {
            match balancer["status"]["serverCount"] == 0 {
                true => Ok(()),
                false => Err(balancer["status"].to_string()),
            }
        })
        .await;
        let ip = front.container.ip().await.expect("an address");
        for method in [Method::GET, Method::POST] {
            let http = aegis_tests::api::http_client();
            eventually("it has waited in vain", async || {
                let answer = http.request(method.clone(), format!("http://{ip}/")).send().await;
                let answer = answer.map_err(|error| error.to_string())?;
                let (status, retry) = (
                    answer.status().as_u16(),
                    answer.headers().contains_key("retry-after"),
                );
                let body: Value = answer.json().await.map_err(|error| error.to_string())?;
                let body = body.to_string();
                match status == 503 && retry && body.contains("has had no server for 2 s") {
                    true => Ok(()),
                    false => Err(format!("{what}: {status} {body}")),
                }
            })
            .await;
        }
    }
    container.thaw().await;
    stage.settles().await;
}
