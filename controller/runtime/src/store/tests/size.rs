//! How long things take here. Nothing is asserted about time; `--nocapture` shows the numbers.

use super::*;
use std::time::Instant;

/// How many objects are loaded.
const OBJECTS: usize = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
/// How many objects are made for each number of callers; few where the compiler has not optimised.
const ROUNDS: usize = if cfg!(debug_assertions) { 128 } else { 4096 };

/// Processor time that this process has used, of all its threads; on a busy machine that says more than a clock.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().unwrap())
        .collect();
    Duration::from_millis(ticks.iter().sum::<u64>() * 10)
}

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
    let (started, used) = (Instant::now(), processor());
    let store = Running::open(&dir).await;
    let (took, used) = (started.elapsed(), processor() - used);
    println!("{OBJECTS} resources: loaded in {took:?}, {used:?} of processor time");
    assert_eq!(store.list_stored(inc()).1.len(), OBJECTS);
    assert!(store.warnings().is_empty() && store.broken_files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let store = Running::open(&dir).await;
    for callers in [1_usize, 8, 64] {
        let each = ROUNDS / callers;
        let (started, used) = (Instant::now(), processor());
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
        let (total, used) = (started.elapsed(), processor() - used);
        took.sort_unstable();
        let rate = f64::from(u32::try_from(took.len()).unwrap()) / total.as_secs_f64();
        let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
        println!(
            "create, {callers} callers: {rate:.0}/s, p50 {p50:?}, p99 {p99:?}, {:?} of processor time each",
            used / u32::try_from(took.len()).unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_at_a_steady_rate_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let store = Running::with(StoreOptions::new(dir.path())).await;
    for rate in [100_usize, 500, 1000] {
        let count = if cfg!(debug_assertions) {
            rate / 10
        } else {
            rate * 3
        };
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut tasks = tokio::task::JoinSet::new();
        let used = processor();
        for n in 0..count {
            // Waiting counts from when the request was due, not from when a busy machine came round to it.
            let due = ticks.tick().await;
            let store = store.store.clone();
            tasks.spawn(async move {
                store
                    .create(inc(), incident(&format!("i-{rate}-{n}")), false)
                    .await
                    .unwrap();
                due.elapsed()
            });
        }
        let mut took = tasks.join_all().await;
        took.sort_unstable();
        let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
        let each = (processor() - used) / u32::try_from(count).unwrap();
        println!("create, {rate}/s: p50 {p50:?}, p99 {p99:?}, {each:?} of processor time each");
    }
}

#[tokio::test]
async fn how_soon_a_hand_edit_is_in_force_is_measured() {
    let dir = dir();
    let store = Running::with(StoreOptions::new(dir.path())).await;
    let mut took = Vec::new();
    for n in 1..20_u64 {
        let started = Instant::now();
        let text = format!("metadata: {{name: web}}\nspec: {{container: c, replicas: {n}}}\n");
        std::fs::write(spec_path(&dir, "web"), text).unwrap();
        eventually("in force", || {
            store
                .get_stored(wl(), "web")
                .is_some_and(|object| replicas(&object) == n)
        })
        .await;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    println!(
        "hand edit in force: p50 {:?}, at most {:?}",
        percentile(&took, 50),
        percentile(&took, 100)
    );
}
