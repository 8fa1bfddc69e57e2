//! Promise: the dashboard needs no script and no login: a text browser and Chromium show the system, its incidents and its
//! load; while the controller is away it says so and marks what it shows as old, and it recovers by itself.

use aegis_tests::cockpit::Browser;
use aegis_tests::dashboard::Dashboard;
use aegis_tests::{World, manifests};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_everything_without_scripts_and_says_when_the_controller_is_away() {
    let world = World::new().await;
    let patient = world.patient("buggy").memory_mb(64).start().await;
    let launch = world
        .controller()
        .reachable_from_containers()
        .default_detectors()
        .env("METRICS_INTERVAL_SECS", "1")
        .env("TARGET_CONTAINER", &patient.name);
    let address = launch.address();
    let dashboard = Dashboard::start(&world, address).await;
    dashboard
        .shows(
            "no controller runs",
            &["The controller is away since", "Nothing was heard"],
        )
        .await;

    let mut controller = launch.start().await;
    let api = controller.api();
    dashboard.shows("it has no token", &["cannot be read from"]).await;
    let wanted = json!({"name": "dashboard", "role": "viewer"});
    let (status, made) = api.post("/auth/tokens", &wanted).await;
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().unwrap();
    dashboard.give(token);

    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &Value::Null)).await;
    api.workload_ready(&patient.name, 1).await;
    patient.trigger("hang").await;
    let alert = json!({"incident_id": "INC<script>1", "alert_type": "memory_leak", "logs": "CRITICAL memory 91 %",
        "container_name": patient.name});
    let (status, body) = api.post("/webhook", &alert).await;
    assert_eq!(status, 200, "{body}");

    let text = dashboard
        .shows(
            "everything is there",
            &[
                "ready, version",
                "1 resolved",
                "RESOLVED",
                "[x] verification",
                "INC<script>1",
                &patient.name,
                "running",
                "Time saved",
                "RESTART",
                "Learned",
                "host-disk",
            ],
        )
        .await;
    assert!(!text.contains("away"), "{text}");
    nothing_is_given_away(&dashboard, token).await;

    let mut browser = Browser::start(
        "dashboard.mjs",
        &[("DASHBOARD_URL", &dashboard.url), ("WORKLOAD", &patient.name)],
    );
    while let Some(what) = browser.asks() {
        match what.as_str() {
            "kill-controller" => {
                controller.kill9();
                dashboard
                    .shows(
                        "the controller is away",
                        &["The controller is away since", "What follows is old", "RESOLVED"],
                    )
                    .await;
            }
            "start-controller" => {
                controller.start_again(|launch| launch).await;
                dashboard
                    .shows("it is back", &["ready, version", "RESOLVED"])
                    .await;
            }
            other => panic!("the browser requests {other:?}, which this test does not know"),
        }
        browser.done();
    }
}

/// The token is in a file alone, the process runs as an unprivileged user, and the page only shows.
async fn nothing_is_given_away(dashboard: &Dashboard, token: &str) {
    let inspected = dashboard.container.inspect().await;
    assert!(
        !inspected.to_string().contains(token),
        "the token is in docker inspect"
    );
    assert_eq!(inspected["Config"]["User"], "65532:65532");
    let api = dashboard.api();
    let page = api.get_ok("/").await;
    let page = page.as_str().unwrap();
    assert!(!page.contains(token), "the token is on the page");
    assert!(!page.contains("<script"), "{page}");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let (status, body) = api.ask(api.request(method.clone(), "/")).await.unwrap();
        assert_eq!(status, 405, "{method}: {body}");
    }
}
