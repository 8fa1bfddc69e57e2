//! Records what the quiet week is made of: what people, tools and the engine do to containers that are well, on an engine
//! of its own, read by the driver that the controller reads with. `make record-traces` runs it and replaces
//! `quiet_week/traces.jsonl`. Containers are named `<scene>.<name>`.

#[path = "docker_traces/recorder.rs"]
mod recorder;
#[path = "docker_traces/scenes.rs"]
mod scenes;

use std::sync::Arc;

use aegis_tests::OwnEngine;
use aegis_tests::trace::Scene;
use recorder::Recorder;

const INSIDE: &str = "inside_an_engine_of_its_own";

#[test]
#[ignore = "make record-traces runs it: it takes some six minutes and replaces what was recorded before"]
fn record() {
    OwnEngine::runs(INSIDE, &["aegisops/buggy-app:dev", "aegisops/nginx:dev"]);
    let scenes = Scene::all();
    println!("{} scenes were recorded", scenes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test runs it, inside an engine of its own"]
async fn inside_an_engine_of_its_own() {
    let engine = OwnEngine::started();
    let recorder = Arc::new(Recorder::start());
    let played = {
        let recorder = Arc::clone(&recorder);
        tokio::task::spawn_blocking(move || scenes::all(&recorder, &engine))
    };
    played.await.expect("every scene comes to its end");
    let scenes = recorder.scenes();
    let lines: usize = scenes.iter().map(|scene| scene.lines.len()).sum();
    println!(
        "{} scenes, {lines} lines, {} bytes",
        scenes.len(),
        Scene::write(&scenes)
    );
}
