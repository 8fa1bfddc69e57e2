//! What is measured: one patient behind one nginx, and the bare containers that it is compared with.

use std::time::{Duration, Instant};

use aegis_tests::launch::Launch;
use aegis_tests::manifests::{adopting, balancing, policy};
use aegis_tests::{Api, Container, Controller, World};
use bollard::Docker;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use serde_json::{Value, json};

/// Pause between two checks whether something has come about.
const LOOK: Duration = Duration::from_millis(2);
/// The longest anything may take.
const BOUND: Duration = Duration::from_secs(180);

/// Looks until something has come about, and answers how long that took since `start`.
pub(crate) async fn until(start: Instant, what: &str, mut look: impl AsyncFnMut() -> bool) -> Duration {
    while !look().await {
        assert!(
            start.elapsed() < BOUND,
            "{what}: not within {} s",
            BOUND.as_secs()
        );
        tokio::time::sleep(LOOK).await;
    }
    start.elapsed()
}

pub(crate) async fn answers(container: &Container) -> bool {
    matches!(container.get("/health").await, Ok((200, _)))
}

/// A stack of one adopted patient behind one nginx, ready.
pub(crate) struct Stack {
    pub(crate) patient: Container,
    pub(crate) nginx: String,
    pub(crate) api: Api,
    pub(crate) token: String,
    pub(crate) docker: Docker,
    pub(crate) controller: Controller,
    /// Last: it is dropped when no controller is left that would recreate containers.
    pub(crate) world: World,
}

impl Stack {
    pub(crate) async fn new(base: &str) -> Self {
        Self::launched(base, |launch| launch).await
    }

    /// With the detectors that a state directory begins with.
    pub(crate) async fn with_detectors(base: &str) -> Self {
        Self::launched(base, Launch::default_detectors).await
    }

    async fn launched(base: &str, change: impl FnOnce(Launch) -> Launch) -> Self {
        let world = World::new().await;
        let patient = world.patient(base).memory_mb(64).start().await;
        let nginx = world.nginx("lb").await;
        let controller = change(world.controller()).start().await;
        let api = controller.api();
        api.apply(&policy(
            &patient.name,
            // Each round is a fault of its own, no relapse of the one before: relapses are answered with pauses.
            &json!({"replicas": {"min": 1, "max": 50}, "relapseWindow": "1ms"}),
        ))
        .await;
        api.apply(&adopting(&patient.name, 1)).await;
        api.apply(&balancing(&nginx.name, &patient.name)).await;
        api.balancer_serves(&nginx.name, 1).await;
        api.workload_ready(&patient.name, 1).await;
        let docker =
            Docker::connect_with_defaults().unwrap_or_else(|error| panic!("no Docker engine: {error}"));
        let (nginx, token) = (nginx.name.clone(), controller.admin_token());
        Self {
            world,
            patient,
            nginx,
            api,
            token,
            docker,
            controller,
        }
    }

    pub(crate) async fn servers(&self) -> u64 {
        let balancer = self
            .api
            .object("loadbalancers", &self.nginx)
            .await
            .unwrap_or_default();
        balancer
            .pointer("/status/serverCount")
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }

    /// Makes and starts a container as bare as can be, and waits until it answers.
    pub(crate) async fn bare(&self, name: &str) -> Container {
        let container = self.world.patient(name).memory_mb(64).start_unasked().await;
        until(Instant::now(), "a bare container answers", async || {
            answers(&container).await
        })
        .await;
        container
    }

    /// How long that takes; it is gone again.
    pub(crate) async fn bare_run(&self, name: &str) -> Duration {
        let start = Instant::now();
        let container = self.bare(name).await;
        let took = start.elapsed();
        self.remove(&container.name).await;
        took
    }

    /// Ids of the containers in rotation.
    pub(crate) async fn rotation(&self) -> Vec<Value> {
        let balancer = self.api.object("loadbalancers", &self.nginx).await;
        let balancer = balancer.unwrap_or_default();
        let servers = balancer.pointer("/status/servers").and_then(Value::as_array);
        servers
            .into_iter()
            .flatten()
            .map(|server| server["id"].clone())
            .collect()
    }

    pub(crate) async fn remove(&self, name: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let removed = self.docker.remove_container(name, Some(options)).await;
        removed.unwrap_or_else(|error| panic!("cannot remove {name}: {error}"));
    }
}

pub(crate) async fn set_replicas(stack: &Stack, replicas: u32) {
    stack
        .api
        .merge_ok(
            "workloads",
            &stack.patient.name,
            &json!({"spec": {"replicas": replicas}}),
        )
        .await;
}
