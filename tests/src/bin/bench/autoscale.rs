//! From a step of the load to replicas that serve it, against one bare container: counting requests takes `metricWindow`, the
//! rest is a replica's start and its way into rotation.

use std::time::{Duration, Instant};

use aegis_tests::arrivals::Arrivals;
use serde_json::json;

use crate::report::{line, median, report};
use crate::stack::{Stack, until};

/// Requests a second before the step and from it on; one replica is to have 20.
const LOW: f64 = 5.0;
const HIGH: f64 = 60.0;
const REPLICAS: usize = 3;

pub(crate) async fn autoscale(rounds: usize) {
    let stack = Stack::new("autoscale").await;
    let name = stack.patient.name.clone();
    let autoscale = json!({
        "min": 1, "max": REPLICAS, "metricWindow": "6s", "scaleDownWindow": "0s",
        "targets": [{"metric": "RequestsPerSecond", "value": 20}],
    });
    let spec = json!({"spec": {"autoscale": autoscale}});
    stack.api.merge_ok("workloads", &name, &spec).await;
    let front = stack.world.find(&stack.nginx).await;
    let Some(address) = front
        .unwrap_or_else(|| panic!("there is no {}", stack.nginx))
        .ip()
        .await
    else {
        panic!("nginx has no address");
    };
    let (mut floor, mut decided, mut served) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        floor.push(stack.bare_run(&format!("bare{round}")).await);
        let quiet = Arrivals::on(address, "/", |_| LOW);
        until(
            Instant::now(),
            "it has one replica, and little load",
            async || {
                let found = stack.api.object("workloads", &name).await.unwrap_or_default();
                let counted = found["status"]["autoscale"]["targets"][0]["current"].as_f64();
                let is_one = found["spec"]["replicas"] == 1 && found["status"]["replicas"] == 1;
                is_one && counted.is_some_and(|counted| counted > LOW / 2.0 && counted < LOW * 2.0)
            },
        )
        .await;
        quiet.stop().await;
        let start = Instant::now();
        let load = Arrivals::on(address, "/", |_| HIGH);
        decided.push(
            until(start, "more replicas are desired", async || {
                let found = stack.api.object("workloads", &name).await.unwrap_or_default();
                found["spec"]["replicas"].as_u64() > Some(1)
            })
            .await,
        );
        served.push(
            until(start, "all that are needed are in rotation", async || {
                stack.rotation().await.len() == REPLICAS
            })
            .await,
        );
        load.stop().await;
    }
    let after: Vec<Duration> = served
        .iter()
        .zip(&decided)
        .map(|(served, decided)| served.saturating_sub(*decided))
        .collect();
    decided.sort();
    report(
        "autoscale: step of the load to 3 serving / bare run",
        floor.clone(),
        served,
        "-",
    );
    report(
        "autoscale: first decision to 3 serving / bare run",
        floor,
        after,
        "-",
    );
    line(
        "autoscale: step of the load to the first decision",
        &format!("{} ms", median(&decided).as_millis()),
        "-",
        "metricWindow 6s, the shortest",
    );
}
