//! Promise: requests go to a container only while it has the address. A container that gets the address of one that is gone
//! gets none of its requests, and clients get 503 with `Retry-After` at once (I8).

use std::net::IpAddr;

use aegis_tests::{Container, Controller, Nginx, World, eventually, manifests};
use bollard::Docker;
use bollard::models::NetworkDisconnectRequest;
use bollard::query_parameters::{StartContainerOptions, StopContainerOptions};
use serde_json::{Value, json};

/// Requests after things have settled, of which not one may go astray.
const REQUESTS: usize = 20;

/// Containers behind one nginx, each the only server of an upstream of its own name.
struct Stage {
    controller: Controller,
    front: Nginx,
    docker: Docker,
    http: reqwest::Client,
    strangers: usize,
    // Dropped last: its containers go once no controller makes any.
    world: World,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    /// Of the container with this host name.
    By(String),
    /// 503, and when to come back.
    Later(String),
    Other(u16),
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let front = world.nginx("lb").await;
        Self {
            controller: world.controller().start().await,
            front,
            docker: Docker::connect_with_defaults().expect("an engine"),
            http: reqwest::Client::new(),
            strangers: 0,
            world,
        }
    }

    /// Adopts a new container.
    async fn adopted(&self, base: &str) -> Container {
        let container = self.world.patient(base).start().await;
        self.controller
            .api()
            .apply(&manifests::adopting(&container.name, 1))
            .await;
        container
    }

    async fn balance(&self, upstreams: &[(&str, &str)]) {
        let backends = upstreams
            .iter()
            .map(|(upstream, workload)| json!({"workload": workload, "port": 8000, "upstream": upstream}));
        let mut balancer = manifests::balancing(&self.front.name, "x");
        balancer["spec"]["backends"] = backends.collect::<Vec<Value>>().into();
        let api = self.controller.api();
        api.apply(&balancer).await;
        let count = u64::try_from(upstreams.len()).expect("a small number");
        api.balancer_serves(&self.front.name, count).await;
    }

    async fn ask(&self, path: &str) -> Result<Answer, String> {
        let ip = self.front.container.ip().await.ok_or("nginx has no address")?;
        let url = format!("http://{ip}{path}");
        // A kept connection may be closed by a reload under the next request; a new one could meet an old worker.
        let answer = match self.http.get(&url).send().await {
            Err(error) if error.is_request() => self.http.get(&url).send().await,
            answer => answer,
        };
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let later = answer.headers().get("retry-after").cloned();
        let body: Value = answer.json().await.unwrap_or_default();
        Ok(match (status, later, body["hostname"].as_str()) {
            (200, _, Some(host)) => Answer::By(host.to_owned()),
            (503, Some(later), _) => Answer::Later(later.to_str().unwrap_or_default().to_owned()),
            _ => Answer::Other(status),
        })
    }

    /// Starts containers of somebody else's until one has this address.
    async fn stranger(&mut self, address: IpAddr) -> Container {
        loop {
            self.strangers += 1;
            let stranger = self
                .world
                .patient(&format!("stranger{}", self.strangers))
                .start()
                .await;
            if stranger.ip().await == Some(address) {
                return stranger;
            }
            assert!(self.strangers < 20, "no container gets {address}");
        }
    }

    /// Waits until clients of this path get 503; after that no other container ever answers.
    async fn answers_unavailable(&self, path: &str, stranger: &Container) {
        eventually(&format!("{path} answers 503"), async || {
            match self.ask(path).await? {
                Answer::Later(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        for _ in 0..REQUESTS {
            let answer = self.ask(path).await.expect("nginx answers");
            assert_ne!(answer, Answer::By(stranger.short_id().to_owned()), "{path}");
            assert!(matches!(answer, Answer::Later(_)), "{path}: {answer:?}");
        }
    }

    /// Waits until a container answers this path, and then for every request.
    async fn is_answered_by(&self, path: &str, container: &Container) {
        let wanted = Answer::By(container.short_id().to_owned());
        eventually(
            &format!("{} answers {path}", container.name),
            async || match self.ask(path).await? {
                answer if answer == wanted => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
        for _ in 0..REQUESTS {
            assert_eq!(self.ask(path).await.as_ref(), Ok(&wanted), "{path}");
        }
    }

    async fn stop(&self, container: &Container) {
        let stopped = self
            .docker
            .stop_container(&container.id, None::<StopContainerOptions>)
            .await;
        stopped.expect("it can be stopped");
    }

    async fn start(&self, container: &Container) {
        let started = self
            .docker
            .start_container(&container.id, None::<StartContainerOptions>)
            .await;
        started.expect("it can be started");
    }

    async fn why(&self) -> String {
        let target = format!("loadbalancer/{}", self.front.name);
        self.controller.ctl().ok(&["why", &target]).await
    }
}

async fn ip(container: &Container) -> IpAddr {
    container.ip().await.expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_who_gets_the_address_of_a_container_that_is_gone_gets_none_of_its_requests() {
    let mut stage = Stage::new().await;
    let steady = stage.adopted("steady").await;
    let removed = stage.adopted("removed").await;
    let left = stage.adopted("left").await;
    let forgotten = stage.adopted("forgotten").await;
    let killed = stage.adopted("killed").await;
    let last = stage.adopted("last").await;
    let scaled = stage.world.name("scaled");
    let template = manifests::templated(&scaled, stage.world.network(), 1, &Value::Null);
    stage.controller.api().apply(&template).await;
    let api = stage.controller.api();
    stage
        .balance(&[
            ("steady", &steady.name),
            ("removed", &removed.name),
            ("left", &left.name),
            ("forgotten", &forgotten.name),
            ("killed", &killed.name),
            ("last", &last.name),
            ("scaled", &scaled),
        ])
        .await;
    stage.is_answered_by("/", &steady).await;

    // docker rm -f
    let address = ip(&removed).await;
    removed.remove_by_force().await;
    let stranger = stage.stranger(address).await;
    stage.answers_unavailable("/removed/", &stranger).await;
    let why = stage.why().await;
    let said = [
        "is not as it should be",
        "upstream removed answers 503 since",
        &removed.name,
    ];
    assert!(said.iter().all(|said| why.contains(said)), "{why}");

    // docker network disconnect
    let address = ip(&left).await;
    let request = NetworkDisconnectRequest {
        container: left.id.clone(),
        force: Some(true),
    };
    let disconnected = stage
        .docker
        .disconnect_network(stage.world.network(), request)
        .await;
    disconnected.expect("it can leave its network");
    let stranger = stage.stranger(address).await;
    stage.answers_unavailable("/left/", &stranger).await;

    // aegisctl scale --replicas=0
    let replica = stage.world.replica_names(&scaled).await.remove(0);
    let address = ip(&stage.world.find(&replica).await.expect("a replica")).await;
    let target = format!("workload/{scaled}");
    stage
        .controller
        .ctl()
        .ok(&["scale", &target, "--replicas=0"])
        .await;
    eventually("its container is gone", async || {
        match stage.world.find(&replica).await {
            None => Ok(()),
            Some(_) => Err("it is there".to_owned()),
        }
    })
    .await;
    let stranger = stage.stranger(address).await;
    stage.answers_unavailable("/scaled/", &stranger).await;

    // The Workload is deleted; its container goes later, and no resource names it any more.
    let address = ip(&forgotten).await;
    api.delete("Workload", &forgotten.name).await;
    api.gone("Workload", &forgotten.name).await;
    forgotten.remove_by_force().await;
    let stranger = stage.stranger(address).await;
    stage.answers_unavailable("/forgotten/", &stranger).await;

    // While no controller runs.
    let address = ip(&killed).await;
    stage.controller.kill9();
    killed.remove_by_force().await;
    let stranger = stage.stranger(address).await;
    stage.controller.start_again(|launch| launch).await;
    stage.answers_unavailable("/killed/", &stranger).await;

    // The LoadBalancer is deleted.
    stage.is_answered_by("/", &steady).await;
    let address = ip(&last).await;
    api.delete("LoadBalancer", &stage.front.name).await;
    api.gone("LoadBalancer", &stage.front.name).await;
    last.remove_by_force().await;
    let stranger = stage.stranger(address).await;
    stage.answers_unavailable("/last/", &stranger).await;
    stage.answers_unavailable("/", &stranger).await;
    let (status, health) = stage.front.get("/lb-health").await.expect("nginx answers");
    assert_eq!((status, health.contains("ok")), (200, true), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i8_containers_that_swap_their_addresses_keep_their_requests() {
    let mut stage = Stage::new().await;
    let first = stage.adopted("first").await;
    let second = stage.adopted("second").await;
    stage
        .balance(&[("first", &first.name), ("second", &second.name)])
        .await;
    let (one, two) = (ip(&first).await, ip(&second).await);

    stage.controller.kill9();
    stage.stop(&first).await;
    stage.stop(&second).await;
    stage.start(&second).await;
    stage.start(&first).await;
    assert_eq!(
        (ip(&second).await, ip(&first).await),
        (one.min(two), one.max(two)),
        "they swapped"
    );
    stage.controller.start_again(|launch| launch).await;
    stage.is_answered_by("/", &first).await;
    stage.is_answered_by("/second/", &second).await;
}
