//! What a durable change costs beside one bare fsync, measured in one run on the same disk: so many writers that make
//! new incidents at a given rate, with none and with thousands of objects stored. Nothing here passes or fails.
//!
//! `cargo run --release -p aegis-runtime --example store_load -- [FOLDER]`. `STORE_LOAD_STORED` (default `0,1000,10000`),
//! `STORE_LOAD_WRITERS` (`1,16`), `STORE_LOAD_RATE` (changes a second over all writers, `1000`), `STORE_LOAD_SECONDS` (`5`).
#![expect(clippy::print_stdout, reason = "it reports to a terminal")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aegis_api::KindInfo;
use aegis_runtime::events::EventRecorder;
use aegis_runtime::store::{Store, StoreError, StoreOptions};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error>;

/// Between two bare fsyncs.
const BARE_EVERY: Duration = Duration::from_millis(30);
/// As large as what one change writes.
const BYTES: usize = 4096;
/// How many are made at once while a directory is filled.
const FILLERS: usize = 256;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Failure> {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = folder.join(format!("store-load-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let measured = rows(&folder).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn rows(folder: &Path) -> Result<(), Failure> {
    let rate: u32 = setting("STORE_LOAD_RATE", "1000").parse()?;
    let seconds: u32 = setting("STORE_LOAD_SECONDS", "5").parse()?;
    println!(
        "{:<8} {:>7} {:>22} {:>22} {:>10} {:>9}",
        "stored", "writers", "one fsync p50/p99", "change p50/p99", "p50 ratio", "done/s"
    );
    for stored in setting("STORE_LOAD_STORED", "0,1000,10000").split(',') {
        let stored: usize = stored.parse()?;
        let dir = folder.join(format!("state-{stored}"));
        let (store, driver) = Store::open(StoreOptions::new(&dir), EventRecorder::new()).await?;
        let stop = CancellationToken::new();
        let driver = tokio::spawn(driver.run(stop.clone()));
        fill(&store, stored).await?;
        for writers in setting("STORE_LOAD_WRITERS", "1,16").split(',') {
            let writers: u32 = writers.parse()?;
            let (stop, path) = (CancellationToken::new(), folder.join("bare"));
            let bare = tokio::task::spawn_blocking({
                let stop = stop.clone();
                move || fsyncs(&path, &stop)
            });
            let begin = Instant::now();
            let mut took = load(&store, writers, rate, seconds).await?;
            let done = f64::from(u32::try_from(took.len())?) / begin.elapsed().as_secs_f64();
            stop.cancel();
            let mut bare = bare.await??;
            let (bare, took) = (Quantiles::of(&mut bare), Quantiles::of(&mut took));
            let ratio = took.p50.as_secs_f64() / bare.p50.as_secs_f64();
            println!(
                "{stored:<8} {writers:>7} {:>22} {:>22} {ratio:>10.2} {done:>9.0}",
                bare.to_string(),
                took.to_string()
            );
        }
        stop.cancel();
        driver.await??;
    }
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn incidents() -> Result<&'static KindInfo, Failure> {
    aegis_api::kinds::find("incidents").ok_or_else(|| "there is a kind of incidents".into())
}

fn incident(name: &str) -> Value {
    let logs = "2026-01-01T00:00:00Z ERROR worker: out of memory\n".repeat(40);
    json!({"metadata": {"name": name}, "spec": {"alertType": "HighMemory", "workloadRef": "web", "logs": logs}})
}

async fn fill(store: &Store, stored: usize) -> Result<(), Failure> {
    let info = incidents()?;
    let names: Vec<usize> = (0..stored).collect();
    for some in names.chunks(FILLERS) {
        let made = some
            .iter()
            .map(|number| store.create(info, incident(&format!("stored-{number}")), false));
        join_all(made)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, StoreError>>()?;
    }
    Ok(())
}

/// Each writer makes its share one after the other, each at its time or, if that has passed, at once.
async fn load(store: &Store, writers: u32, rate: u32, seconds: u32) -> Result<Vec<Duration>, Failure> {
    let info = incidents()?;
    let (begin, until) = (Instant::now(), Duration::from_secs(seconds.into()));
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            for number in 0..rate * seconds / writers {
                let due = Duration::from_secs(1) * (number * writers + writer) / rate;
                tokio::time::sleep_until((begin + due).into()).await;
                if begin.elapsed() > until {
                    break;
                }
                let at = Instant::now();
                let name = format!("load-{writers}-{writer}-{number}");
                store.create(info, incident(&name), false).await?;
                took.push(at.elapsed());
            }
            Ok::<_, StoreError>(took)
        })
    });
    let mut all = Vec::new();
    for task in join_all(tasks).await {
        all.extend(task??);
    }
    Ok(all)
}

/// Bare ones beside the load.
fn fsyncs(path: &Path, stop: &CancellationToken) -> std::io::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(path)?;
    let mut took = Vec::new();
    while !stop.is_cancelled() {
        std::thread::sleep(BARE_EVERY);
        let at = Instant::now();
        file.write_all(&[7; BYTES])?;
        file.sync_data()?;
        took.push(at.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(took)
}

struct Quantiles {
    p50: Duration,
    p99: Duration,
}

impl Quantiles {
    fn of(took: &mut [Duration]) -> Self {
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        write!(f, "{:.2} / {:.2} ms", ms(self.p50), ms(self.p99))
    }
}
