//! The bench's command line: `run` adds results to a folder, `report` makes tables of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis_sre_bench::agent::Kind;
use aegis_sre_bench::engine::Engine;
use aegis_sre_bench::report;
use aegis_sre_bench::run::{Bench, Outcome, Watch};
use aegis_sre_bench::scenario::{self, Scenario};
use aegis_sre_bench::shop::Shop;
use anyhow::{Context as _, ensure};
use clap::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Shops that open beside those whose scenario is under way.
const AHEAD: usize = 2;

#[derive(Debug, Parser)]
#[command(
    name = "sre-bench",
    version,
    about = "An open benchmark of incident response on plain Docker"
)]
enum Args {
    /// Run scenarios and keep what becomes of each; those that have a result are left out.
    Run(Run),
    /// Write results.json, results.md and chart.svg out of all results.
    Report {
        /// Folder of the results.
        #[arg(long, default_value = "target/sre-bench")]
        out: PathBuf,
    },
    /// List the scenarios.
    List,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// none, restart-policy, autoheal, aegisops, aegisops-model or command:PROGRAM.
    #[arg(long)]
    agent: String,
    /// dev, test, all, or peers: the fixed ones that all agents run.
    #[arg(long, default_value = "all")]
    half: String,
    /// Ids, such as test/fault-api-hangs; all of the half, where none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Decides when users come.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Scenarios at the same time.
    #[arg(long, default_value_t = 2)]
    at_once: usize,
    /// Begin none later than so many seconds after the first; the rest is for the next call.
    #[arg(long)]
    begin_within: Option<u64>,
    /// Folder of the results.
    #[arg(long, default_value = "target/sre-bench")]
    out: PathBuf,
}

fn folder() -> PathBuf {
    let named = std::env::var_os("SRE_BENCH_SCENARIOS").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse() {
        Args::Run(run) => run_all(run).await,
        Args::Report { out } => write_report(&out),
        Args::List => {
            for scenario in scenario::load(&folder())? {
                println!("{:44} {}", scenario.id, scenario.title);
            }
            Ok(())
        }
    }
}

fn peers() -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(folder().join("PEERS"))?;
    let lines = text.lines().map(str::trim);
    Ok(lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

fn chosen(run: &Run) -> anyhow::Result<Vec<Scenario>> {
    let mut all = scenario::load(&folder())?;
    let peers = peers()?;
    match run.half.as_str() {
        "all" => {}
        "peers" => all.retain(|scenario| peers.contains(&scenario.id)),
        half => all.retain(|scenario| scenario.half() == half),
    }
    for id in &run.only {
        let known = all.iter().any(|scenario| &scenario.id == id);
        ensure!(known, "--only {id}: there is no such scenario in {}", run.half);
    }
    if !run.only.is_empty() {
        all.retain(|scenario| run.only.contains(&scenario.id));
    }
    ensure!(
        !all.is_empty(),
        "--half {}: use dev, test, all or peers",
        run.half
    );
    Ok(all)
}

fn file(out: &Path, agent: &str, seed: u64, id: &str) -> PathBuf {
    let folder = out.join("runs").join(format!("{agent}-seed-{seed}"));
    folder.join(format!("{}.json", id.replace('/', "--")))
}

async fn run_all(run: Run) -> anyhow::Result<()> {
    let agent: Kind = run.agent.parse()?;
    let engine = Engine::connect()?;
    let image = Shop::image(&engine).await?;
    let bench = Arc::new(Bench {
        engine,
        image,
        agent: agent.clone(),
        seed: run.seed,
        watch: Watch::default(),
        places: Arc::new(Semaphore::new(run.at_once)),
        logs: Some(run.out.join("logs")),
    });
    // Two more open and warm up meanwhile.
    let open = Arc::new(Semaphore::new(run.at_once + AHEAD));
    let begun = Instant::now();
    let last = run.begin_within.map(Duration::from_secs);
    let mut running = JoinSet::new();
    let mut left = 0;
    for scenario in chosen(&run)? {
        let path = file(&run.out, &agent.name(), run.seed, &scenario.id);
        if path.exists() {
            continue;
        }
        let place = Arc::clone(&open).acquire_owned().await?;
        if last.is_some_and(|last| begun.elapsed() > last) {
            left += 1;
            continue;
        }
        let bench = Arc::clone(&bench);
        running.spawn(async move {
            let outcome = bench.run(&scenario).await;
            drop(place);
            outcome
                .and_then(|outcome| keep(&path, &outcome))
                .with_context(|| scenario.id.clone())
        });
    }
    let mut failed = 0;
    while let Some(done) = running.join_next().await {
        if let Err(error) = done? {
            println!("NO RESULT {error:#}");
            failed += 1;
        }
    }
    println!("{left} scenarios are left for the next call; {failed} have no result");
    Ok(())
}

fn keep(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    println!("{}", report::brief(outcome));
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(path, serde_json::to_string_pretty(outcome)?)?;
    Ok(())
}

fn write_report(out: &Path) -> anyhow::Result<()> {
    let outcomes = report::read(out)?;
    ensure!(!outcomes.is_empty(), "{} holds no results", out.display());
    let scenarios = scenario::load(&folder())?;
    let peers = peers()?;
    let table = report::table(&outcomes, &scenarios, &peers);
    println!("{table}");
    std::fs::write(out.join("results.md"), table)?;
    let json = report::json(&outcomes, &folder())?;
    std::fs::write(out.join("results.json"), serde_json::to_string_pretty(&json)?)?;
    std::fs::write(out.join("chart.svg"), report::chart(&outcomes, &peers))?;
    Ok(())
}
