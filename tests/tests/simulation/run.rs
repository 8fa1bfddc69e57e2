//! Runs scenarios, many at a time, and reports what failed with seed and trace. A failing scenario is made simpler first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aegis_api::{Incident, Kind};
use aegis_docker_fake::{Actor, Effect, Op};

use super::director::Director;
use super::promises;
use super::scenario::{Scenario, Tree};

/// How often a failing scenario is run again to find a simpler one that fails, too.
const SIMPLIFICATIONS: u32 = 120;
/// Virtual time after which a run has stalled: something waits for what never comes.
const STALLED: Duration = Duration::from_secs(24 * 60 * 60);
/// Failures after which no further seed is tried.
const ENOUGH: usize = 3;

/// What came of one run.
pub(crate) struct Outcome {
    /// Broken promises, and what had not converged.
    pub(crate) broken: Vec<String>,
    pub(crate) trace: String,
    /// Name and phase of every incident at the end.
    pub(crate) ended: Vec<(String, &'static str)>,
    effects: Vec<Effect>,
}

impl Outcome {
    /// How often the controller started containers of this name.
    pub(crate) fn client_starts(&self, container: &str) -> usize {
        let starts = self.effects.iter().filter(|effect| {
            effect.op == Op::Start && effect.actor == Actor::Client && effect.container == container
        });
        starts.count()
    }
}

pub(crate) fn run(scenario: &Scenario) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    aegis_runtime::offload::stay_on_this_thread();
    runtime.block_on(async {
        let mut director = Director::begin(scenario).await;
        let played = tokio::time::timeout(STALLED, director.play()).await;
        let (world, incidents) = (&director.world, director.incidents());
        let mut broken = world.ledger.broken();
        if played.is_err() {
            broken.push("the run stalled: something waits for what never comes".to_owned());
        }
        broken.extend(promises::broken(world));
        let phase = |incident: &Incident| {
            let phase = incident
                .status
                .as_ref()
                .map(|status| status.phase)
                .unwrap_or_default();
            (incident.name().to_owned(), phase.as_str())
        };
        Outcome {
            broken,
            trace: world.ledger.trace(),
            ended: incidents.iter().map(|incident| phase(incident)).collect(),
            effects: world.engine.effects(),
        }
    })
}

struct Failure {
    seed: u64,
    report: String,
}

/// Runs so many seeds, beginning with the first; `tree` answers the scenario of a seed, `replayed` says how to see it again.
pub(crate) fn all(first: u64, seeds: u64, tree: fn(u64) -> Tree, replayed: &str) {
    let next = AtomicU64::new(first);
    let end = first.saturating_add(seeds);
    let failures: Mutex<Vec<Failure>> = Mutex::default();
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let enough = failures.lock().expect("no runner panics with it").len() >= ENOUGH;
            if seed >= end || enough {
                return;
            }
            if let Some(report) = attempt(seed, tree(seed), replayed) {
                failures
                    .lock()
                    .expect("no runner panics with it")
                    .push(Failure { seed, report });
            }
        }
    };
    let runners = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..runners {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().expect("no runner panics with it");
    failures.sort_by_key(|failure| failure.seed);
    println!(
        "{} seeds in {:.1} s",
        next.load(Ordering::Relaxed).min(end) - first,
        began.elapsed().as_secs_f64()
    );
    let reports: Vec<&str> = failures.iter().map(|failure| failure.report.as_str()).collect();
    assert!(failures.is_empty(), "{}", reports.join("\n\n"));
}

/// Runs a seed; what is wrong with it, if anything is.
fn attempt(seed: u64, tree: Tree, replayed: &str) -> Option<String> {
    let first = outcome_of(&tree.current());
    if first.broken.is_empty() {
        return None;
    }
    // Reported at once: making it simpler takes many more runs, and may fail where files were written in another order.
    println!("{}\nseed {seed} fails:\n{}", first.trace, first.broken.join("\n"));
    let mut last = first;
    let simplest = tree.simplest(SIMPLIFICATIONS, |candidate| {
        let outcome = outcome_of(candidate);
        let fails = !outcome.broken.is_empty();
        if fails {
            last = outcome;
        }
        fails
    });
    Some(format!(
        "seed {seed} fails (replay it with {replayed}={seed}); the simplest like it:\n{simplest:#?}\n{}\n{}",
        last.trace,
        last.broken.join("\n")
    ))
}

/// As [`run`], with a panic of the harness as one more thing that is broken.
fn outcome_of(scenario: &Scenario) -> Outcome {
    let scenario = scenario.clone();
    std::panic::catch_unwind(|| run(&scenario)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Outcome {
            broken: vec![format!("the run panicked: {}", text.unwrap_or_default())],
            trace: String::new(),
            ended: Vec::new(),
            effects: Vec::new(),
        }
    })
}

/// Runs one seed as it is and prints what happened.
pub(crate) fn replay(seed: u64, times: u64, tree: fn(u64) -> Tree) {
    let scenario = tree(seed).current();
    println!("seed {seed}:\n{scenario:#?}");
    for _ in 0..times {
        let began = Instant::now();
        let outcome = run(&scenario);
        println!(
            "{}\n{:?}\n{:.3} s",
            outcome.trace,
            outcome.ended,
            began.elapsed().as_secs_f64()
        );
        assert!(
            outcome.broken.is_empty(),
            "seed {seed}:\n{}",
            outcome.broken.join("\n")
        );
    }
}
