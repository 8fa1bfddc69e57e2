//! Ten replicas more.

use std::time::Instant;

use futures::future::join_all;

use crate::report::report;
use crate::stack::{Stack, set_replicas, until};

/// Replicas added at once.
const REPLICAS: u32 = 10;

/// +10 replicas healthy and in rotation, against as many parallel create + start + first 200.
pub(crate) async fn scale(rounds: usize) {
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
