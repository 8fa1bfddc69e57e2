//! Promise: an engineer follows and decides everything in a real browser, on the real image, against a real controller
//! and real containers; who may only look can only look; a controller that dies and comes back loses nothing.

use aegis_tests::cockpit::{Browser, Cockpit};
use aegis_tests::{Api, World, eventually, manifests};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_watches_decides_scales_edits_and_loses_nothing_in_a_real_browser() {
    let world = World::new().await;
    let launch = world
        .controller()
        .reachable_from_containers()
        .flag("--anonymous-role", "viewer")
        .flag("--anonymous-from", "0.0.0.0/0");
    let patient = world
        .patient("buggy")
        .memory_mb(128)
        .reporting_to(&launch)
        .start()
        .await;
    let front = world.nginx("lb").await;
    let address = launch.address();
    let mut controller = launch.start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::balancing(&front.name, &patient.name)).await;
    api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    api.workload_ready(&patient.name, 1).await;
    api.balancer_serves(&front.name, 1).await;
    let cockpit = Cockpit::start(&world, address).await;
    let mut browser = Browser::start(
        "run.mjs",
        &[
            ("COCKPIT_URL", &cockpit.url),
            ("ADMIN_TOKEN", &controller.admin_token()),
            ("WORKLOAD", &patient.name),
            ("BALANCER", &front.name),
        ],
    );
    // What must be in no log: the token, a link's code, the cookie of a session.
    let mut secrets = vec![controller.admin_token()];
    let mut logs = String::new();
    while let Some(what) = browser.asks() {
        match what.as_str() {
            "fill-memory" => {
                patient.fill_memory(85.0).await;
            }
            // Far from what alarms anybody, and enough for a chart to show it against the limit.
            "use-memory" => {
                patient.fill_memory(10.0).await;
                is_sampled(&api, &patient.name).await;
            }
            "kill-controller" => controller.kill9(),
            "start-controller" => {
                logs += &controller.log();
                controller.start_again(|launch| launch).await;
            }
            other => match other.strip_prefix("forget ") {
                Some(secret) => secrets.push(secret.to_owned()),
                None => panic!("the browser requests {other:?}, which this test does not know"),
            },
        }
        browser.done();
    }
    logs += &controller.log();
    logs += &cockpit.container.log().await;
    assert!(
        logs.contains("/auth/once"),
        "the logs are those of this test:\n{logs}"
    );
    assert!(secrets.len() > 2, "a token, a link, a cookie: {}", secrets.len());
    for secret in secrets {
        assert!(
            !secret.is_empty() && !logs.contains(&secret),
            "a secret is in a log"
        );
    }
}

/// The host's samples come every few seconds: one of them has to have met the memory in use.
async fn is_sampled(api: &Api, name: &str) {
    eventually("a sample shows the memory in use", async || {
        let history = api.get_ok("/metrics/history?minutes=5").await;
        let all = history["series"].as_array().cloned().unwrap_or_default();
        let series = all.iter().find(|series| series["name"] == name);
        let series = series.ok_or_else(|| format!("none of {} series is its own", all.len()))?;
        let samples = series["samples"].as_array().into_iter().flatten();
        let mut used = samples.filter_map(|sample| sample["memory_percent"].as_f64());
        if used.any(|percent| percent > 5.0) {
            Ok(())
        } else {
            Err(series["samples"].to_string())
        }
    })
    .await;
}
