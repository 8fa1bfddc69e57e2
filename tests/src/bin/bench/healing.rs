//! From trouble to health: an alert, a killed replica, a hung one.

use std::time::{Duration, Instant};

use bollard::query_parameters::{KillContainerOptions, RestartContainerOptions};
use serde_json::{Value, json};

use crate::by_hand::ByHand;
use crate::report::{line, median, report};
use crate::stack::{Stack, answers, set_replicas, until};

/// Restarted in place: clients notice, as they do of `docker restart`. RESOLVED here includes that nginx was proved to send it
/// requests again, which the floor knows nothing of; what is done by hand does.
pub(crate) async fn mttr_in_place(rounds: usize) {
    let what = "mttr in place: alert -> RESOLVED / docker restart";
    mttr(
        rounds,
        &Stack::new("mttr").await,
        "InPlace",
        true,
        what,
        "<= 1.10x",
    )
    .await;
}

/// The same where no load balancer is in front.
pub(crate) async fn mttr_without_balancer(rounds: usize) {
    let stack = Stack::new("mttr").await;
    stack.api.delete("loadbalancers", &stack.nginx).await;
    stack.api.gone("loadbalancers", &stack.nginx).await;
    stack.remove(&stack.nginx).await;
    let what = "mttr in place, no load balancer / the same";
    mttr(rounds, &stack, "InPlace", false, what, "<= 1.10x").await;
}

/// With another that takes over first: no client notices.
pub(crate) async fn mttr_behind_a_stand_in(rounds: usize) {
    let what = "mttr behind a stand-in, nothing dropped / the same";
    mttr(
        rounds,
        &Stack::new("mttr").await,
        "RollingUpdate",
        true,
        what,
        "<= 2.0x",
    )
    .await;
}

/// Alert posted → RESOLVED, against `docker restart` and the first 200; and, where it is balanced, against the same steps by hand.
async fn mttr(rounds: usize, stack: &Stack, strategy: &str, balanced: bool, what: &str, budget: &str) {
    let spec = json!({"spec": {"strategy": {"type": strategy}}});
    stack.api.merge_ok("workloads", &stack.patient.name, &spec).await;
    let bare = stack.bare("bare").await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    let (mut hand, mut by_hand) = (None, Vec::new());
    if balanced {
        hand = Some(ByHand::serving(stack, &bare).await);
    }
    for round in 0..rounds {
        if let Some(hand) = &mut hand {
            by_hand.push(match strategy {
                "InPlace" => hand.restart(&bare).await,
                _ => hand.restart_behind_a_stand_in(&bare).await,
            });
        }
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
    report(what, floor, ours.clone(), budget);
    if balanced {
        report("the same / its steps by hand", by_hand, ours, "<= 1.10x");
    }
}

/// Replica removed by force → its replacement is healthy and in rotation, against one create + start + first 200.
pub(crate) async fn removed_by_force(rounds: usize) {
    let stack = Stack::new("heal").await;
    set_replicas(&stack, 2).await;
    stack.api.balancer_serves(&stack.nginx, 2).await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        floor.push(stack.bare_run(&format!("bare{round}")).await);
        let old = replica(&stack, 1).await["id"].clone();
        let start = Instant::now();
        stack.remove(&format!("{}-replica-1", stack.patient.name)).await;
        let took = until(start, "a replacement is in rotation", async || {
            let servers = stack.rotation().await;
            servers.len() == 2 && !servers.contains(&old)
        });
        ours.push(took.await);
        stack.api.workload_ready(&stack.patient.name, 2).await;
    }
    let what = "heal: replica removed -> replaced in nginx / one run";
    report(what, floor, ours, "< 2x");
}

/// Replica killed → it runs again, healthy and in rotation, against the same. Another one each time: who dies again and
/// again is started ever later.
pub(crate) async fn killed(rounds: usize) {
    let stack = Stack::new("kill").await;
    let replicas = u32::try_from(rounds + 1).unwrap_or(u32::MAX);
    set_replicas(&stack, replicas).await;
    stack.api.balancer_serves(&stack.nginx, replicas.into()).await;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        floor.push(stack.bare_run(&format!("bare{round}")).await);
        let index = u64::try_from(round + 1).unwrap_or(u64::MAX);
        let old = replica(&stack, index).await;
        let start = Instant::now();
        let name = format!("{}-replica-{index}", stack.patient.name);
        let killed = stack
            .docker
            .kill_container(&name, None::<KillContainerOptions>)
            .await;
        killed.unwrap_or_else(|error| panic!("cannot kill {name}: {error}"));
        let took = until(start, "it is in rotation again", async || {
            let now = replica(&stack, index).await;
            let again = now["startedAt"] != old["startedAt"] && now["health"] == "Healthy";
            again && stack.rotation().await.contains(&now["id"])
        });
        ours.push(took.await);
        stack
            .api
            .workload_ready(&stack.patient.name, replicas.into())
            .await;
        stack.api.balancer_serves(&stack.nginx, replicas.into()).await;
    }
    let what = "heal: replica killed -> back in nginx / one run";
    report(what, floor, ours, "< 2x");
}

/// What the workload says of one replica.
async fn replica(stack: &Stack, index: u64) -> Value {
    let workload = stack.api.object("workloads", &stack.patient.name).await;
    let workload = workload.unwrap_or_default();
    let rows = workload.pointer("/status/instances").and_then(Value::as_array);
    let mut rows = rows.into_iter().flatten();
    rows.find(|row| row["index"] == index)
        .cloned()
        .unwrap_or_default()
}

/// The probe that found a replica sick → nginx proved to serve without it; by the controller's own stamps. There is no
/// floor: nothing in Docker does this.
pub(crate) async fn eject(rounds: usize) {
    let stack = Stack::new("eject").await;
    set_replicas(&stack, 2).await;
    let (name, mut took) = (format!("{}-replica-1", stack.patient.name), Vec::new());
    for _ in 0..rounds {
        stack.api.workload_ready(&stack.patient.name, 2).await;
        stack.api.balancer_serves(&stack.nginx, 2).await;
        let sick = stack.world.find(&name).await;
        let sick = sick.unwrap_or_else(|| panic!("there is no {name}"));
        sick.trigger("hang").await;
        until(Instant::now(), "it is out of nginx", async || {
            stack.servers().await == 1
        })
        .await;
        let balancer = stack.api.object("loadbalancers", &stack.nginx).await;
        let balancer = balancer.unwrap_or_default();
        let sick = stamp(replica(&stack, 1).await.get("unhealthySince"));
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
    line(
        "eject: replica found sick -> out of nginx, proved",
        &format!("{} ms", median(&took).as_millis()),
        "< 500 ms",
        &format!("longest {longest} ms"),
    );
}

fn stamp(value: Option<&Value>) -> jiff::Timestamp {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    text.parse()
        .unwrap_or_else(|error| panic!("{text:?} is no time: {error}"))
}
