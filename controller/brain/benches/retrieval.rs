//! `make bench-retrieval`: what a query and a new entry cost at 100 to 100,000 entries, beside scikit-learn's refit of the
//! same corpus in the same run. Each size runs in a process of its own, so that its memory is its own. Nothing here passes
//! or fails, but for the numbers: where scikit-learn is at hand, every score is compared as well.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement ends where it cannot go on, and its output is what it is for"
)]

#[path = "../src/rag/judged.rs"]
mod judged;

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use aegis_brain::rag::{Index, OPERATIONS_THRESHOLD, THRESHOLD};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::json;

const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Queries, and entries added afterwards, of which percentiles are reported.
const QUERIES: usize = 300;
const ADDED: usize = 100;
/// The entries are a real runbook's, each with other numbers and with words of this many, drawn as language draws them.
const WORDS: f64 = 20_000.0;
const WORDS_AN_ENTRY: usize = 12;
/// The environment variable that gives the process which measures one size that size.
const ENTRIES: &str = "AEGIS_BENCH_ENTRIES";
/// A python that has scikit-learn.
const PYTHON: &str = "AEGIS_BENCH_PYTHON";

fn main() {
    if let Ok(entries) = std::env::var(ENTRIES) {
        return measure(entries.parse().unwrap());
    }
    println!("retrieval: pairs judged by people, each of an entry and a question");
    for (half, text) in [
        ("dev", include_str!("../testdata/retrieval/judged/dev.tsv")),
        ("test", include_str!("../testdata/retrieval/judged/test.tsv")),
    ] {
        for (mode, index, threshold) in [
            ("scikit-learn", Index::new(), THRESHOLD),
            ("operations", Index::for_operations(), OPERATIONS_THRESHOLD),
        ] {
            println!("{}", judged_by_people(text, index, threshold).line(mode, half));
        }
    }
    if std::env::args().any(|argument| argument == "--judged") {
        return;
    }
    println!("\nretrieval: {QUERIES} queries a size; the budget is < 1 ms a query at 10,000 entries (p50)\n");
    println!(
        "{:>8} {:>10} {:>10} {:>8} {:>9} {:>11} {:>9} {:>11} {:>9} {:>10}",
        "entries",
        "query p50",
        "p99",
        "budget",
        "add p50",
        "query after",
        "memory",
        "sklearn",
        "ratio",
        "difference"
    );
    let program = std::env::current_exe().unwrap();
    for size in SIZES {
        let status = Command::new(&program)
            .env(ENTRIES, size.to_string())
            .status()
            .unwrap();
        assert!(
            status.success(),
            "the measurement of {size} entries ended with {status}"
        );
    }
    println!(
        "\nquery after: the first query after an entry was added. sklearn: TfidfVectorizer fitted on corpus and query, and \
         the cosines; ratio: that over our p50; difference: the largest of any score."
    );
    if std::env::var_os(PYTHON).is_none() {
        println!("scikit-learn could not be had ({PYTHON} is not set), so that only ours is measured.");
    }
}

/// What an index makes of one half of the judged pairs.
fn judged_by_people(text: &str, mut index: Index, threshold: f64) -> judged::Outcome {
    let pairs = judged::read(text);
    for (number, pair) in pairs.iter().enumerate() {
        index.upsert(&number.to_string(), pair.seen);
    }
    judged::judge(&pairs, |question| {
        let hits = index.query(question, 2, threshold);
        hits.iter().map(|hit| hit.id.parse().unwrap()).collect()
    })
}

fn measure(entries: usize) {
    let runbook = runbook();
    let mut rng = StdRng::seed_from_u64(1);
    let mut text = |number: usize| vary(&runbook[number % runbook.len()], &mut rng);
    let corpus: Vec<String> = (0..entries).map(&mut text).collect();
    let queries: Vec<String> = (0..QUERIES).map(&mut text).collect();
    let added: Vec<String> = (0..ADDED).map(&mut text).collect();

    let before = resident();
    let mut index = Index::new();
    for (number, text) in corpus.iter().enumerate() {
        index.upsert(&number.to_string(), text);
    }
    index.query(&queries[0], 2, 0.05);
    let memory = resident().saturating_sub(before);
    let refit = refit(&mut index, &corpus, &queries[0]);

    let mut asked = Vec::new();
    for query in &queries {
        let start = Instant::now();
        let hits = index.query(query, 2, 0.05);
        asked.push(start.elapsed());
        assert!(!hits.is_empty());
    }
    let (mut adding, mut after) = (Vec::new(), Vec::new());
    for (number, text) in added.iter().enumerate() {
        let start = Instant::now();
        index.upsert(&format!("added {number}"), text);
        adding.push(start.elapsed());
        let start = Instant::now();
        index.query(&queries[number], 2, 0.05);
        after.push(start.elapsed());
    }
    let median = percentile(&mut asked, 50);
    let (sklearn, ratio, difference) = refit.map_or(Default::default(), |refit| {
        let ratio = refit.milliseconds / (median.as_secs_f64() * 1e3);
        (
            format!("{:.0} ms", refit.milliseconds),
            format!("{ratio:.0}x"),
            format!("{:.0e}", refit.difference),
        )
    });
    println!(
        "{entries:>8} {:>10} {:>10} {:>8} {:>9} {:>11} {:>6} MB {sklearn:>11} {ratio:>9} {difference:>10}",
        shown(median),
        shown(percentile(&mut asked, 99)),
        if entries == 10_000 { "< 1 ms" } else { "" },
        shown(percentile(&mut adding, 50)),
        shown(percentile(&mut after, 50)),
        memory / 1024,
    );
}

#[derive(Deserialize)]
struct Entry {
    alert_type: String,
    logs: String,
    root_cause: String,
}

fn runbook() -> Vec<String> {
    let text = include_str!("../testdata/retrieval/runbook/runbook.json");
    let entries: Vec<Entry> = serde_json::from_str(text).unwrap();
    let texts = entries
        .into_iter()
        .map(|entry| [entry.alert_type, entry.logs, entry.root_cause].join(" "));
    texts.collect()
}

/// The text with other numbers and with some words more.
fn vary(text: &str, rng: &mut StdRng) -> String {
    let mut varied = String::new();
    for c in text.chars() {
        varied.push(if c.is_ascii_digit() {
            char::from(rng.random_range(b'0'..=b'9'))
        } else {
            c
        });
    }
    for _ in 0..WORDS_AN_ENTRY {
        // Zipf's law: the logarithm of a word's rank is spread evenly.
        let rank = WORDS.powf(rng.random::<f64>());
        varied.push_str(&format!(" word{rank:.0}"));
    }
    varied
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

struct Refit {
    milliseconds: f64,
    difference: f64,
}

#[derive(Deserialize)]
struct Answer {
    milliseconds: f64,
    scores: Vec<f64>,
}

/// scikit-learn's time for the same question, and how far its scores are from ours.
fn refit(index: &mut Index, corpus: &[String], query: &str) -> Option<Refit> {
    let python = std::env::var_os(PYTHON)?;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&mut file, &json!({"documents": corpus, "query": query})).unwrap();
    file.flush().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/retrieval/refit.py");
    let output = Command::new(python)
        .arg(script)
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{script} ended with {}: {said}",
        output.status
    );
    let answer: Answer = serde_json::from_slice(&output.stdout).unwrap();
    let mut ours = vec![0.0; corpus.len()];
    for hit in index.query(query, usize::MAX, 0.0) {
        ours[hit.id.parse::<usize>().unwrap()] = hit.score;
    }
    assert_eq!(ours.len(), answer.scores.len());
    let differences = ours
        .iter()
        .zip(&answer.scores)
        .map(|(ours, theirs)| (ours - theirs).abs());
    Some(Refit {
        milliseconds: answer.milliseconds,
        difference: differences.fold(0.0, f64::max),
    })
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() - 1) * percent / 100]
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 {
        format!("{micros:.0} us")
    } else {
        format!("{:.2} ms", micros / 1e3)
    }
}
