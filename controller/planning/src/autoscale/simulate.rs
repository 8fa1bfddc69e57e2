//! What autoscaling would have done: a trace of signals goes through the same decisions, with replicas that serve a while
//! after they were requested. Pure.
//!
//! Requests belong to the clients: they are as recorded, however many replicas there are. CPU in use is spread over them, and
//! memory of each is as recorded. Latency is as recorded: with how many replicas it would have been another is not known.

use std::collections::VecDeque;

use super::reading::{Errors, Rate, Reading};
use super::{Situation, Subject, Windows, decide};
use aegis_api::wire::{Simulated, SimulationSummary, TraceRow};
use aegis_api::workload::autoscale::{Autoscale, AutoscaleMetric, AutoscaleStatus};
use aegis_api::{Duration, Time};

/// Rows of an answer.
const MOST_ROWS: usize = 2000;

/// Runs a trace, its rows in order of time, with replicas that serve `start_up` after they were requested. `row` answers the
/// signals of a moment, given how many replicas serve: a recorded trace does not ask.
pub fn simulate(
    spec: &Autoscale,
    replicas: u32,
    start_up: Duration,
    moments: impl IntoIterator<Item = i64>,
    mut row: impl FnMut(i64, u32) -> TraceRow,
) -> SimulationSummary {
    let (mut status, mut windows) = (AutoscaleStatus::default(), Windows::default());
    let (mut current, mut generation) = (replicas, 1_i64);
    // Replicas that come: when they serve.
    let mut coming: VecDeque<i64> = VecDeque::new();
    let mut summary = SimulationSummary {
        fewest: replicas,
        most: replicas,
        ..SimulationSummary::default()
    };
    let (mut direction, mut last): (Option<bool>, Option<i64>) = (None, None);
    let start_up = i64::try_from(start_up.std().as_secs()).unwrap_or(i64::MAX);
    for at in moments {
        coming.retain(|ready| *ready > at);
        let warming = crate::ledger::count(coming.len()).min(current);
        let serving = current.saturating_sub(warming);
        let row = row(at, serving);
        let situation = Situation {
            serving,
            warming,
            readings: readings(spec, &row, serving),
            errors: row.error_percent.map(|percent| Errors {
                percent,
                answered: 100,
            }),
            ..Situation::default()
        };
        let now = Time(jiff::Timestamp::from_second(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH));
        let subject = Subject {
            now,
            spec,
            replicas: current,
            generation,
        };
        let decision = decide(subject, &situation, &status, &mut windows);
        let passed = last.map_or(0, |last| u64::try_from(at.saturating_sub(last)).unwrap_or(0));
        summary.replica_seconds = summary
            .replica_seconds
            .saturating_add(u64::from(current).saturating_mul(passed));
        last = Some(at);
        let is_news = decision.status.decision != status.decision || decision.change.is_some();
        if is_news && summary.rows.len() < MOST_ROWS {
            summary.rows.push(Simulated {
                at,
                replicas: current,
                serving,
                wanted: decision.status.wanted,
                desired: decision.status.desired,
                decision: decision.status.decision.clone(),
                message: decision.status.message.clone(),
            });
        }
        status = decision.status;
        if let Some(change) = decision.change {
            let out = change.to > change.from;
            summary.outs = summary.outs.saturating_add(u32::from(out));
            summary.ins = summary.ins.saturating_add(u32::from(!out));
            summary.turns = summary.turns.saturating_add(u32::from(direction == Some(!out)));
            direction = Some(out);
            for _ in change.from..change.to {
                coming.push_back(at.saturating_add(start_up));
            }
            // The newest go first.
            for _ in change.to..change.from {
                coming.pop_back();
            }
            (current, generation) = (change.to, generation.saturating_add(1));
        }
        summary.fewest = summary.fewest.min(current);
        summary.most = summary.most.max(current);
    }
    summary
}

fn readings(spec: &Autoscale, row: &TraceRow, serving: u32) -> Vec<Reading> {
    let missing = || Reading::Missing("is not in the trace".to_owned());
    // How requests were spread within a row is not recorded.
    let rate = Rate {
        per_second: row.requests_per_second.unwrap_or(0.0),
        is_steady: true,
    };
    let total = |value: Option<f64>, rate: Option<Rate>| {
        value.map_or_else(missing, |now| Reading::Total {
            now,
            ahead: None,
            rate,
        })
    };
    let mean = |percent: Option<f64>, spread: f64| {
        percent.map_or_else(missing, |percent| Reading::OfReplicas {
            percents: (0..serving).map(|_| Some(percent * spread)).collect(),
            limited: true,
        })
    };
    let mut external = row.external.iter();
    let targets = spec.targets.iter();
    targets
        .map(|target| match target.metric {
            AutoscaleMetric::Cpu => {
                let spread = f64::from(row.replicas.max(1)) / f64::from(serving.max(1));
                mean(row.cpu_percent, spread)
            }
            AutoscaleMetric::Memory => mean(row.memory_percent, 1.0),
            AutoscaleMetric::RequestsPerSecond => total(row.requests_per_second, None),
            AutoscaleMetric::InFlight => total(row.in_flight, Some(rate)),
            AutoscaleMetric::LatencyP95 => row
                .p95_milliseconds
                .map_or_else(missing, |millis| Reading::Latency { millis, rate }),
            AutoscaleMetric::External => total(external.next().copied(), None),
        })
        .collect()
}
