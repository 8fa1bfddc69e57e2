//! `make bench`: what AegisOps adds to what Docker itself costs, as ratios measured in one run. The floor and ours take
//! turns, so that a busy machine slows both; medians are compared. Nothing here passes or fails.

use std::time::{Duration, Instant};

use aegis_tests::manifests::{adopting, balancing, policy};
use aegis_tests::{Api, Container, World};
use bollard::Docker;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RestartContainerOptions};
use futures::future::join_all;
use serde_json::{Value, json};

/// How often one thing is measured, floor and ours each.
const ROUNDS: usize = 5;
/// Replicas added at once.
const REPLICAS: u32 = 10;
/// Pause between two looks at whether something has come about.
const LOOK: Duration = Duration::from_millis(2);
/// The longest anything may take.
const BOUND: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let rounds = std::env::var("AEGIS_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS);
    say(&format!(
        "{rounds} rounds each, floor and ours in turn; medians; a budget is a ratio\n"
    ));
    say(&format!(
        "{:<52} {:>9} {:>9} {:>7} {:>8}",
        "what", "floor", "ours", "ratio", "budget"
    ));
    let only = std::env::var("AEGIS_BENCH_ONLY").unwrap_or_default();
    let asked = |row: &str| only.is_empty() || only.split(',').any(|name| name == row);
    if asked("mttr") {
        mttr(
            rounds,
            "InPlace",
            "mttr in place: alert -> RESOLVED / docker restart",
            "<= 1.10x",
        )
        .await;
        mttr(
            rounds,
            "RollingUpdate",
            "mttr behind a stand-in, nothing dropped / the same",
            "-",
        )
        .await;
    }
    if asked("heal") {
        heal(rounds).await;
    }
    if asked("eject") {
        eject(rounds).await;
    }
    if asked("scale") {
        scale(rounds).await;
    }
}

#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn say(line: &str) {
    println!("{line}");
}

fn report(what: &str, mut floor: Vec<Duration>, mut ours: Vec<Duration>, budget: &str) {
    floor.sort();
    ours.sort();
    let (floor, ours) = (median(&floor), median(&ours));
    let ratio = ours.as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON);
    say(&format!(
        "{what:<52} {:>6} ms {:>6} ms {ratio:>6.2}x {budget:>8}",
        floor.as_millis(),
        ours.as_millis()
    ));
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Looks until something has come about, and answers how long that took since `start`.
async fn until(start: Instant, what: &str, mut look: impl AsyncFnMut() -> bool) -> Duration {
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

async fn answers(container: &Container) -> bool {
    matches!(container.get("/health").await, Ok((200, _)))
}

/// A stack of one adopted patient behind one nginx, ready.
struct Stack {
    patient: Container,
    nginx: String,
    api: Api,
    token: String,
    docker: Docker,
    _controller: aegis_tests::Controller,
    /// Last: it goes when nobody is left who would make containers anew.
    world: World,
}

impl Stack {
    async fn new(base: &str) -> Self {
        let world = World::new().await;
        let patient = world.patient(base).memory_mb(64).start().await;
        let nginx = world.nginx("lb").await;
        let controller = world.controller().start().await;
        let api = controller.api();
        api.apply(&policy(
            &patient.name,
            &json!({"replicas": {"min": 1, "max": 50}}),
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
            _controller: controller,
        }
    }

    async fn servers(&self) -> u64 {
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
    async fn bare(&self, name: &str) -> Container {
        let container = self.world.patient(name).memory_mb(64).start_unasked().await;
        until(Instant::now(), "a bare container answers", async || {
            answers(&container).await
        })
        .await;
        container
    }

    async fn remove(&self, name: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let removed = self.docker.remove_container(name, Some(options)).await;
        removed.unwrap_or_else(|error| panic!("cannot remove {name}: {error}"));
    }
}

/// Alert posted → RESOLVED, against `docker restart` and the first 200: in place, where clients notice as they do there,
/// and with a stand-in that takes over first.
async fn mttr(rounds: usize, strategy: &str, what: &str, budget: &str) {
    let stack = Stack::new("mttr").await;
    let spec = json!({"spec": {"strategy": {"type": strategy}}});
    stack.api.merge_ok("workloads", &stack.patient.name, &spec).await;
    let bare = stack.bare("bare").await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        bare.fill_memory(87.0).await;
        let start = Instant::now();
        let restarted = stack
            .docker
            .restart_container(&bare.name, None::<RestartContainerOptions>)
            .await;
        restarted.unwrap_or_else(|error| panic!("cannot restart {}: {error}", bare.name));
        floor.push(
            until(start, "the bare container answers again", async || {
                answers(&bare).await
            })
            .await,
        );

        stack.patient.fill_memory(87.0).await;
        let id = format!("bench-{round}");
        let alert = json!({"incident_id": id, "alert_type": "memory_leak", "container_name": stack.patient.name, "severity": "critical"});
        let start = Instant::now();
        let (status, answer) = stack.api.post("/webhook", &alert).await;
        assert_eq!(
            status,
            200,
            "the alert is refused: {answer} (token of {} characters)",
            stack.token.len()
        );
        let took = until(start, "the incident ends", async || {
            let incident = stack.api.get_ok(&format!("/incidents/{id}")).await;
            let status = incident
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            assert_ne!(status, "FAILED", "{incident}");
            status == "RESOLVED"
        });
        ours.push(took.await);
    }
    report(what, floor, ours, budget);
}

/// Replica killed → its replacement is healthy and in rotation, against one create + start + first 200.
async fn heal(rounds: usize) {
    let stack = Stack::new("heal").await;
    stack
        .api
        .merge_ok(
            "workloads",
            &stack.patient.name,
            &json!({"spec": {"replicas": 2}}),
        )
        .await;
    stack.api.balancer_serves(&stack.nginx, 2).await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let start = Instant::now();
        let bare = stack.bare(&format!("bare{round}")).await;
        floor.push(start.elapsed());
        stack.remove(&bare.name).await;

        let old = replica_id(&stack).await;
        let start = Instant::now();
        stack.remove(&format!("{}-replica-1", stack.patient.name)).await;
        let took = until(start, "a replacement is in rotation", async || {
            let balancer = stack
                .api
                .object("loadbalancers", &stack.nginx)
                .await
                .unwrap_or_default();
            let servers = balancer
                .pointer("/status/servers")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            servers.len() == 2 && !servers.iter().any(|server| server.get("id") == Some(&old))
        });
        ours.push(took.await);
        stack.api.workload_ready(&stack.patient.name, 2).await;
    }
    report(
        "heal: replica killed -> replaced in nginx / one run",
        floor,
        ours,
        "< 2x",
    );
}

async fn replica_id(stack: &Stack) -> Value {
    let workload = stack
        .api
        .object("workloads", &stack.patient.name)
        .await
        .unwrap_or_default();
    let rows = workload
        .pointer("/status/instances")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    rows.iter()
        .find(|row| row["index"] == 1)
        .map(|row| row["id"].clone())
        .unwrap_or_default()
}

/// The probe that found a replica sick → nginx proved to serve without it; by the controller's own stamps. There is no
/// floor: nothing in Docker does this.
async fn eject(rounds: usize) {
    let stack = Stack::new("eject").await;
    set_replicas(&stack, 2).await;
    let (name, mut took) = (format!("{}-replica-1", stack.patient.name), Vec::new());
    for _ in 0..rounds {
        stack.api.workload_ready(&stack.patient.name, 2).await;
        stack.api.balancer_serves(&stack.nginx, 2).await;
        let replica = stack.world.find(&name).await;
        let replica = replica.unwrap_or_else(|| panic!("there is no {name}"));
        replica.trigger("hang").await;
        until(Instant::now(), "it is out of nginx", async || {
            stack.servers().await == 1
        })
        .await;
        let workload = stack.api.object("workloads", &stack.patient.name).await;
        let balancer = stack.api.object("loadbalancers", &stack.nginx).await;
        let (workload, balancer) = (workload.unwrap_or_default(), balancer.unwrap_or_default());
        let rows = workload.pointer("/status/instances").and_then(Value::as_array);
        let row = rows.into_iter().flatten().find(|row| row["index"] == 1);
        let sick = stamp(row.and_then(|row| row.get("unhealthySince")));
        let out = stamp(balancer.pointer("/status/lastReload/provedAt"));
        took.push(Duration::try_from(out - sick).unwrap_or_default());
        let restarted = stack
            .docker
            .restart_container(&name, None::<RestartContainerOptions>)
            .await;
        restarted.unwrap_or_else(|error| panic!("cannot restart {name}: {error}"));
    }
    took.sort();
    let longest = took.last().copied().unwrap_or_default().as_millis();
    say(&format!(
        "{:<52} {:>9} {:>6} ms {:>7} {:>8}  (longest {longest} ms)",
        "eject: replica found sick -> out of nginx, proved",
        "-",
        median(&took).as_millis(),
        "-",
        "< 500 ms"
    ));
}

fn stamp(value: Option<&Value>) -> jiff::Timestamp {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no time: {error}"))
}

/// +10 replicas healthy and in rotation, against as many parallel create + start + first 200.
async fn scale(rounds: usize) {
    let stack = Stack::new("scale").await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let names: Vec<String> = (0..REPLICAS)
            .map(|index| format!("bare{round}x{index}"))
            .collect();
        let start = Instant::now();
        let made = join_all(names.iter().map(|name| stack.bare(name))).await;
        floor.push(start.elapsed());
        join_all(made.iter().map(|container| stack.remove(&container.name))).await;

        let start = Instant::now();
        set_replicas(&stack, REPLICAS + 1).await;
        ours.push(
            until(start, "all replicas are in rotation", async || {
                stack.servers().await == u64::from(REPLICAS) + 1
            })
            .await,
        );
        set_replicas(&stack, 1).await;
        until(Instant::now(), "the replicas are gone", async || {
            stack.world.containers().await.len() == 2
        })
        .await;
        stack.api.workload_ready(&stack.patient.name, 1).await;
    }
    report(
        "scale: +10 healthy and in nginx / bare parallel runs",
        floor,
        ours,
        "<= 1.25x",
    );
}

async fn set_replicas(stack: &Stack, replicas: u32) {
    stack
        .api
        .merge_ok(
            "workloads",
            &stack.patient.name,
            &json!({"spec": {"replicas": replicas}}),
        )
        .await;
}
