//! How long things take here. Nothing is asserted about time; `--nocapture` shows the numbers.

use super::*;
use std::time::Instant;

/// How many objects are loaded.
const OBJECTS: usize = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
/// How many objects are made for each number of callers; few where the compiler has not optimised.
const ROUNDS: usize = if cfg!(debug_assertions) { 128 } else { 4096 };

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_resources_load_or_a_tenth_where_the_compiler_has_not_optimised() {
    let dir = tempfile::tempdir().unwrap();
    let store = Running::open(&dir).await;
    let mut object = incident("first");
    object["spec"]["logs"] = json!("ERROR out of memory: killed process 4242 (app)\n".repeat(20));
    store.create(inc(), object, false).await.unwrap();
    store.stop().await;
    let folder = dir.path().join("incidents");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let (spec, status) = (read("first.yaml"), read("first.status.yaml"));
    let accepted = crate::disk::digest::Digest::of(spec.as_bytes()).to_string();
    for n in 1..OBJECTS {
        let name = format!("i-{n}");
        let spec = spec.replace("name: first", &format!("name: {name}"));
        let digest = crate::disk::digest::Digest::of(spec.as_bytes()).to_string();
        let status = status
            .replace("\"first\"", &format!("\"{name}\""))
            .replace(&accepted, &digest);
        std::fs::write(folder.join(format!("{name}.yaml")), spec).unwrap();
        std::fs::write(folder.join(format!("{name}.status.yaml")), status).unwrap();
    }
    let started = Instant::now();
    let store = Running::open(&dir).await;
    println!("{OBJECTS} resources: loaded in {:?}", started.elapsed());
    assert_eq!(store.list_stored(inc()).1.len(), OBJECTS);
    assert!(store.warnings().is_empty() && store.broken_files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let store = Running::open(&dir).await;
    for callers in [1_usize, 8, 64] {
        let each = ROUNDS / callers;
        let started = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let store = store.store.clone();
                tokio::spawn(async move {
                    let mut took = Vec::with_capacity(each);
                    for n in 0..each {
                        let started = Instant::now();
                        store
                            .create(inc(), incident(&format!("i-{callers}-{caller}-{n}")), false)
                            .await
                            .unwrap();
                        took.push(started.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took: Vec<Duration> = Vec::new();
        for task in tasks {
            took.extend(task.await.unwrap());
        }
        let total = started.elapsed();
        took.sort_unstable();
        let rate = f64::from(u32::try_from(took.len()).unwrap()) / total.as_secs_f64();
        let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
        println!("create, {callers} callers: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}");
    }
}
