//! Eight of the benchmark's scenarios with AegisOps as it comes: what it heals, and what it leaves alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_sre_bench::agent::Kind;
use aegis_sre_bench::engine::Engine;
use aegis_sre_bench::report;
use aegis_sre_bench::run::{Bench, Watch};
use aegis_sre_bench::scenario;
use aegis_sre_bench::shop::Shop;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const EIGHT: [&str; 8] = [
    "dev/fault-web-exits",
    "dev/fault-db-hangs",
    "dev/fault-worker-oom",
    "dev/control-false-alert",
    "dev/adversarial-escapes",
    "test/fault-api-hangs",
    "test/fault-worker-killed",
    "test/control-stopped-by-hand",
];
/// As in the benchmark.
const AT_ONCE: usize = 2;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes up to five minutes, and has been run with release programs only: `cargo test -p aegis-sre-bench -- --ignored`"]
async fn what_the_small_bench_breaks_is_healed_and_nothing_else_is_touched() {
    let engine = Engine::connect().unwrap();
    let image = Shop::image(&engine).await.unwrap();
    let bench = Arc::new(Bench {
        engine,
        image,
        agent: Kind::AegisOps,
        seed: 1,
        // Shorter than in the benchmark, which takes 40 minutes.
        watch: Watch {
            control_secs: 20.0,
            ..Watch::default()
        },
        places: Arc::new(Semaphore::new(AT_ONCE)),
        logs: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sre-bench-logs")),
    });
    let mut all = scenario::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    all.retain(|scenario| EIGHT.contains(&scenario.id.as_str()));
    assert_eq!(all.len(), EIGHT.len());
    // The next ones open meanwhile.
    let open = Arc::new(Semaphore::new(2 * AT_ONCE));
    let mut running = JoinSet::new();
    for scenario in all {
        let bench = Arc::clone(&bench);
        let open = Arc::clone(&open);
        running.spawn(async move {
            let _open = open.acquire().await;
            let outcome = bench.run(&scenario).await;
            outcome.map_err(|error| format!("{}: {error:#}", scenario.id))
        });
    }
    let mut failed = Vec::new();
    while let Some(done) = running.join_next().await {
        match done.unwrap() {
            Ok(outcome) => {
                println!("{}", report::brief(&outcome));
                if !outcome.passes {
                    failed.push(report::brief(&outcome));
                }
            }
            Err(error) => failed.push(error),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
