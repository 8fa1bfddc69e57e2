//! Promise: what a model says, and what is reported of it, is bounded in bytes (I12).

use aegis_tests::model::{Speech, TalkativeModel};
use aegis_tests::{Api, World, eventually, manifests};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// The value of a metric without labels.
async fn metric(api: &Api, name: &str) -> u64 {
    let request = api
        .request(reqwest::Method::GET, "/metrics")
        .header("accept", "text/plain");
    let (status, text) = api.ask(request).await.unwrap();
    assert_eq!(status, 200);
    let text = text.as_str().unwrap_or_default().to_owned();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is missing in {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_a_model_that_streams_four_megabytes_takes_no_more_than_the_feed_s_bound() {
    let endless = Speech {
        field: "content",
        size: 1000,
        deltas: 4200,
    };
    let model = TalkativeModel::start(endless).await;
    let world = World::new().await;
    let patient = world.patient("talked-about").start().await;
    let launch = world.controller().env("FASTRTR_BASE_URL", &model.url);
    let controller = launch.env("AEGIS_FEED_MEMORY_MB", "1").start().await;
    let api = controller.api();
    api.apply(&manifests::adopting(&patient.name, 1)).await;
    api.apply(&manifests::policy(&patient.name, &json!({"mode": "DryRun"})))
        .await;
    api.workload_ready(&patient.name, 1).await;
    let live = controller.live("").await;
    patient.trigger("hang").await;
    api.apply(&manifests::incident("long", &patient.name, &Value::Null))
        .await;
    let analysed = eventually("the incident has an analysis", async || {
        let incident = api.object("Incident", "long").await.unwrap_or_default();
        let analysis = incident["status"]["analysis"].clone();
        if analysis.is_object() {
            Ok(analysis)
        } else {
            Err(incident.to_string())
        }
    })
    .await;
    let reason = analysed["attempts"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("the answer was cut off: more than"),
        "{analysed:#}"
    );
    let held = metric(&api, "aegis_feed_bytes").await;
    assert_eq!(metric(&api, "aegis_feed_limit_bytes").await, MIB);
    assert!(held <= MIB, "{held} bytes of frames");
    assert!(metric(&api, "aegis_store_watch_bytes").await <= 16 * MIB);

    // Who was there saw it grow; who comes back is sent no more than is kept.
    let last = live
        .until("the analyst's words", |frame| frame["type"] == "ai.complete")
        .await;
    for query in ["?since=1", "?since=1&full_text=0"] {
        let again = controller.live(query).await;
        let reached = |frame: &Value| frame["seq"].as_u64() >= last["seq"].as_u64();
        again.until("the replay's end", reached).await;
        let bytes = again.bytes();
        assert!(u64::try_from(bytes).unwrap() <= MIB, "{query}: {bytes} bytes");
    }
}
