//! Results as a table, as JSON and as a chart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::run::Outcome;
use crate::scenario::{Category, Scenario};

/// What an agent's rows come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    /// Rows.
    pub rows: usize,
    /// Rows that pass.
    pub passed: usize,
    /// Detected, of what is broken.
    pub detected: (usize, usize),
    /// Right component, of what is broken.
    pub component: (usize, usize),
    /// Right class, of what is broken; where no agent reports, of none.
    pub class: (usize, usize),
    /// First report right in both.
    pub first: (usize, usize),
    /// Mitigated, of what can be.
    pub mitigated: (usize, usize),
    /// Seconds to the mitigation: all of them, sorted.
    pub times: Vec<f64>,
    /// Seconds to the detection: all of them, sorted.
    pub detection_times: Vec<f64>,
    /// Failed requests.
    pub failed: usize,
    /// False actions.
    pub false_actions: usize,
    /// Bystanders touched.
    pub collateral: usize,
    /// Tokens.
    pub tokens: u64,
}

impl Sum {
    /// Over some outcomes.
    pub fn over<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut sum = Self::default();
        for outcome in outcomes {
            let score = &outcome.score;
            sum.rows += 1;
            sum.passed += usize::from(outcome.passes);
            if let Some(right) = score.right_component {
                count(&mut sum.detected, score.detected_after.is_some());
                count(&mut sum.component, right);
            }
            if let Some(right) = score.right_class {
                count(&mut sum.class, right);
            }
            if let Some(right) = score.first_report_right {
                count(&mut sum.first, right);
            }
            if score.can_be_mitigated {
                count(&mut sum.mitigated, score.mitigated_after.is_some());
                sum.times.extend(score.mitigated_after);
            }
            sum.detection_times.extend(score.detected_after);
            sum.failed += score.failed_requests;
            sum.false_actions += score.false_actions.len();
            sum.collateral += score.collateral.len();
            sum.tokens += outcome.tokens;
        }
        sum.times.sort_by(f64::total_cmp);
        sum.detection_times.sort_by(f64::total_cmp);
        sum
    }
}

fn count(pair: &mut (usize, usize), yes: bool) {
    pair.0 += usize::from(yes);
    pair.1 += 1;
}

fn median(times: &[f64]) -> String {
    times
        .get(times.len() / 2)
        .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.0} s"))
}

fn share((part, whole): (usize, usize)) -> String {
    if whole == 0 {
        "–".to_owned()
    } else {
        format!("{part}/{whole}")
    }
}

/// All outcomes below a folder.
///
/// # Errors
/// Where a file is none.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Outcome>> {
    let mut all: Vec<Outcome> = Vec::new();
    let mut folders = vec![folder.join("runs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") {
                let text = std::fs::read_to_string(&path)?;
                let outcome = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                all.push(outcome);
            }
        }
    }
    all.sort_by(|one, other| {
        (&one.agent, one.seed, &one.scenario).cmp(&(&other.agent, other.seed, &other.scenario))
    });
    Ok(all)
}

/// The results for reading, in Markdown.
pub fn table(outcomes: &[Outcome], scenarios: &[Scenario], peers: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let groups = groups(outcomes);
    text.push_str("### Both halves\n\n");
    text.push_str(HEAD);
    for ((agent, seed), rows) in &groups {
        for half in ["dev", "test"] {
            let chosen = rows.iter().copied().filter(|row| row.scenario.starts_with(half));
            let sum = Sum::over(chosen);
            let of = scenarios
                .iter()
                .filter(|scenario| scenario.half() == half)
                .count();
            // Who ran over the fixed ones alone is in the table below.
            if sum.rows > peers.len() {
                line(&mut text, &format!("{agent}, {half}, seed {seed}"), &sum, of);
            }
        }
    }
    let _ = write!(
        text,
        "\n### The fixed {}, which agents are compared over\n\n",
        peers.len()
    );
    text.push_str(HEAD);
    for ((agent, seed), rows) in &groups {
        let chosen = rows.iter().copied().filter(|row| peers.contains(&row.scenario));
        let sum = Sum::over(chosen);
        if sum.rows > 0 {
            line(&mut text, &format!("{agent}, seed {seed}"), &sum, peers.len());
        }
    }
    for ((agent, seed), rows) in &groups {
        let _ = write!(
            text,
            "\n### Rows of {agent}, seed {seed}, that fail or are wrong\n\n"
        );
        text.push_str("| scenario | detected | component | class | mitigated | actions | false or collateral |\n|---|---|---|---|---|---|---|\n");
        for row in rows.iter().filter(|row| !row.passes || is_wrong(row)) {
            failing(&mut text, row);
        }
        let ran: BTreeSet<&str> = rows.iter().map(|row| row.scenario.as_str()).collect();
        let missing = scenarios
            .iter()
            .filter(|scenario| !ran.contains(scenario.id.as_str()));
        let missing: Vec<&str> = missing.map(|scenario| scenario.id.as_str()).collect();
        if !missing.is_empty() && rows.len() > peers.len() {
            let _ = write!(text, "\nNot run: {}.\n", missing.join(", "));
        }
    }
    text
}

const HEAD: &str = "| agent | rows | pass | detected | median | right component | right class | first report right | mitigated | median | failed requests | false actions | collateral | tokens |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

fn line(text: &mut String, name: &str, sum: &Sum, of: usize) {
    let _ = writeln!(
        text,
        "| {name} | {} of {of} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        sum.rows,
        sum.passed,
        share(sum.detected),
        median(&sum.detection_times),
        share(sum.component),
        share(sum.class),
        share(sum.first),
        share(sum.mitigated),
        median(&sum.times),
        sum.failed,
        sum.false_actions,
        sum.collateral,
        sum.tokens,
    );
}

fn is_wrong(row: &Outcome) -> bool {
    row.score.right_component == Some(false) || row.score.right_class == Some(false)
}

fn failing(text: &mut String, row: &Outcome) {
    let score = &row.score;
    let seconds = |time: Option<f64>| time.map_or_else(|| "no".to_owned(), |at| format!("{at:.0} s"));
    let yes = |right: Option<bool>| match right {
        Some(true) => "right",
        Some(false) => "wrong",
        None => "–",
    };
    let mitigated = if score.can_be_mitigated {
        seconds(score.mitigated_after)
    } else {
        "cannot be".to_owned()
    };
    let detected = match score.right_component {
        None => "–".to_owned(),
        Some(_) => seconds(score.detected_after),
    };
    let mut wrong = score.false_actions.clone();
    wrong.extend(score.collateral.iter().map(|role| format!("touched {role}")));
    let _ = writeln!(
        text,
        "| `{}` | {detected} | {} | {} | {mitigated} | {} | {} |",
        row.scenario,
        yes(score.right_component),
        yes(score.right_class),
        score.actions.join(", "),
        wrong.join(", "),
    );
}

type Groups<'a> = BTreeMap<(String, u64), Vec<&'a Outcome>>;

fn groups(outcomes: &[Outcome]) -> Groups<'_> {
    let mut groups: Groups<'_> = BTreeMap::new();
    for outcome in outcomes {
        groups
            .entry((outcome.agent.clone(), outcome.seed))
            .or_default()
            .push(outcome);
    }
    groups
}

/// The results for programs.
///
/// # Errors
/// Where the scenarios cannot be read.
pub fn json(outcomes: &[Outcome], folder: &Path) -> anyhow::Result<Value> {
    Ok(json!({
        "bench": env!("CARGO_PKG_VERSION"),
        "scenarios": {
            "dev": crate::scenario::hash(folder, "dev")?,
            "test": crate::scenario::hash(folder, "test")?,
        },
        "rules": outcomes.iter().filter_map(|row| Some((row.agent.clone(), row.rules.clone()?))).collect::<BTreeSet<_>>(),
        "seeds": outcomes.iter().map(|row| row.seed).collect::<BTreeSet<_>>(),
        "outcomes": outcomes,
    }))
}

/// A bar chart over the fixed ones: what is mitigated of what can be, and in how many rows an agent did harm.
pub fn chart(outcomes: &[Outcome], peers: &BTreeSet<String>) -> String {
    let groups = groups(outcomes);
    let sums: Vec<(String, Sum, usize)> = groups
        .into_iter()
        .filter_map(|((agent, seed), rows)| {
            let chosen: Vec<&Outcome> = rows
                .into_iter()
                .filter(|row| peers.contains(&row.scenario))
                .collect();
            let harmful = chosen
                .iter()
                .filter(|row| !row.score.false_actions.is_empty())
                .count();
            let sum = Sum::over(chosen);
            (sum.rows > 0).then(|| (format!("{agent}, seed {seed}"), sum, harmful))
        })
        .collect();
    let height = 60 + sums.len() * 64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" viewBox=\"0 0 720 {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"Compose-SRE-Bench: mitigated and passed by agent\">\
         <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/><text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">\
         Compose-SRE-Bench, the {} fixed scenarios</text>",
        peers.len()
    );
    for (number, (name, sum, harmful)) in sums.iter().enumerate() {
        let top = 44 + number * 64;
        let _ = write!(svg, "<text x=\"12\" y=\"{}\">{}</text>", top + 16, escape(name));
        let bars = [
            ("mitigated", sum.mitigated, "#2563eb"),
            ("rows passed", (sum.passed, sum.rows), "#0f766e"),
            ("rows with a false action", (*harmful, sum.rows), "#b91c1c"),
        ];
        for (place, (what, (part, whole), colour)) in bars.into_iter().enumerate() {
            let width = (part * 300).checked_div(whole).unwrap_or_default().max(1);
            let y = top + place * 18;
            let _ = write!(
                svg,
                "<rect x=\"190\" y=\"{y}\" width=\"{width}\" height=\"14\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{}\" font-size=\"11\">{part} of {whole} {what}</text>",
                196 + width,
                y + 11
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// One line about a run, while the bench runs.
pub fn brief(outcome: &Outcome) -> String {
    let score = &outcome.score;
    let verdict = if outcome.passes { "pass" } else { "FAIL" };
    let mut text = format!("{verdict} {} {}", outcome.agent, outcome.scenario);
    if outcome.category == Category::Fault || score.right_component.is_some() {
        let _ = write!(
            text,
            ": detected {:?}, component {:?}, class {:?}, mitigated {:?}",
            score.detected_after, score.right_component, score.right_class, score.mitigated_after
        );
    }
    let _ = write!(
        text,
        "; {} of {} failed; did [{}]",
        score.failed_requests,
        score.requests,
        score.actions.join(", ")
    );
    if !score.false_actions.is_empty() || !score.collateral.is_empty() {
        let _ = write!(
            text,
            "; FALSE [{}] COLLATERAL [{}]",
            score.false_actions.join(", "),
            score.collateral.join(", ")
        );
    }
    let found: BTreeSet<String> = outcome
        .reports
        .iter()
        .map(|report| {
            let role = report.component.map_or("?", |role| role.name());
            format!("{role}: {:?}", report.class)
        })
        .collect();
    let _ = write!(text, "; reported {found:?}; load {}", outcome.load);
    text
}
