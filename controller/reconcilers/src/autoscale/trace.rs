//! What is recorded of a workload, as a trace that autoscaling can be tried on: a day by the minute, and the last fourteen minutes
//! closer. Reads only.

use std::collections::BTreeSet;

use aegis_api::signals::{Requests, Sample, used_percent};
use aegis_api::wire::TraceRow;
use aegis_api::{Duration, Kind, Time, Workload};
use aegis_planning::autoscale::cores;

use crate::context::Context;

/// Seconds of a row of the last minutes, and of one before.
const CLOSE: i64 = 15;
const FAR: i64 = 60;
/// How long rows are close: a minute less than signals are kept closer than by the minute, since the last row may end up to a minute
/// ago. A minute that is kept as one would be all in the first of its rows, and the others be empty.
const CLOSE_FOR: i64 = 14 * 60;
const DAY: i64 = 24 * 3600;

/// The recorded signals, oldest first; empty where nothing was recorded.
pub async fn recorded(context: &Context, workload: &Workload) -> Vec<TraceRow> {
    let (name, now) = (workload.name(), context.clock.now());
    let (cores, memory) = limits(context, workload).await;
    let day = Duration::from_secs(24 * 3600).std();
    let counted = context.samples.traffic().within(name, now, day);
    let names = names(workload);
    let containers: Vec<Vec<Reading>> = context.samples.history().with(|view| {
        let of = names.iter().map(|name| {
            let minutes = view.minutes(name).iter().map(|minute| Reading {
                at: minute.at().unix_seconds(),
                cpu: minute.cpu_percent().map(f64::from),
                memory: minute.memory_bytes(),
            });
            let samples = view.samples(name).iter().map(Reading::of);
            minutes.chain(samples).collect()
        });
        of.collect()
    });
    let moments = moments(now);
    let rows = moments
        .iter()
        .zip(moments.iter().skip(1))
        .filter_map(|(begin, end)| {
            let spans = counted.as_deref().map(|spans| sum(spans, *begin, *end));
            let inside: Vec<Vec<&Reading>> = containers
                .iter()
                .map(|readings| {
                    readings
                        .iter()
                        .filter(|reading| (*begin..*end).contains(&reading.at))
                        .collect()
                })
                .filter(|readings: &Vec<_>| !readings.is_empty())
                .collect();
            (!inside.is_empty())
                .then(|| row(*end, spans.flatten(), &inside, cores, memory, counted.is_some()))
        });
    rows.collect()
}

struct Reading {
    at: i64,
    cpu: Option<f64>,
    memory: u64,
}

impl Reading {
    fn of(sample: &Sample) -> Self {
        Self {
            at: sample.at.unix_seconds(),
            cpu: sample.cpu_percent.map(f64::from),
            memory: sample.memory_bytes,
        }
    }
}

/// Its containers, those that scaling in has removed among them.
fn names(workload: &Workload) -> BTreeSet<String> {
    let rows = workload.status.iter().flat_map(|status| &status.instances);
    let most = workload.spec.autoscale.as_ref().map_or(0, |spec| spec.max);
    let made = (1..=most).map(|index| {
        let base = workload
            .spec
            .container
            .as_ref()
            .map_or(workload.name(), |name| name.as_str());
        format!("{base}-replica-{index}")
    });
    rows.map(|row| row.name.clone()).chain(made).collect()
}

async fn limits(context: &Context, workload: &Workload) -> (f64, Option<u64>) {
    let first = workload
        .status
        .as_ref()
        .and_then(|status| status.instances.first());
    let Some(first) = first else {
        return (1.0, None);
    };
    match context.engine.inspect(&first.id).await {
        Ok(Some(details)) => (
            cores(&details.host_config).unwrap_or(1.0),
            Some(details.memory_limit).filter(|limit| *limit > 0),
        ),
        _ => (1.0, None),
    }
}

/// The borders of the rows.
fn moments(now: Time) -> Vec<i64> {
    let end = now.unix_seconds();
    let end = end.saturating_sub(end.rem_euclid(FAR));
    let close = end.saturating_sub(CLOSE_FOR);
    let far = (1..=(DAY - CLOSE_FOR) / FAR)
        .rev()
        .map(|row| close.saturating_sub(row.saturating_mul(FAR)));
    let near = (0..=CLOSE_FOR / CLOSE).map(|row| close.saturating_add(row.saturating_mul(CLOSE)));
    far.chain(near).collect()
}

fn sum(spans: &[Requests], begin: i64, end: i64) -> Option<(Requests, f64)> {
    let inside = spans
        .iter()
        .filter(|span| (begin..end).contains(&span.at.unix_seconds()));
    let sum = inside.copied().reduce(|mut sum, span| {
        sum.add(&span);
        sum
    })?;
    let seconds = u32::try_from(end.saturating_sub(begin)).unwrap_or(1);
    Some((sum, f64::from(seconds.max(1))))
}

fn row(
    at: i64,
    counted: Option<(Requests, f64)>,
    containers: &[Vec<&Reading>],
    cores: f64,
    memory: Option<u64>,
    is_counted: bool,
) -> TraceRow {
    let requests = counted.as_ref();
    let rate = requests.map(|(sum, seconds)| (f64::from(sum.answered) + f64::from(sum.cancelled)) / seconds);
    let in_flight = requests.map(|(sum, seconds)| f64::from(sum.busy_ms) / 1000.0 / seconds);
    let nothing = is_counted.then_some(0.0);
    let used = containers.iter().filter_map(|readings| readings.last());
    let used = used.filter_map(|reading| {
        memory.and_then(|limit| used_percent((limit.saturating_sub(reading.memory), limit)))
    });
    TraceRow {
        at,
        replicas: aegis_planning::ledger::count(containers.len()),
        requests_per_second: rate.or(nothing).map(rounded),
        in_flight: in_flight.or(nothing).map(rounded),
        p95_milliseconds: requests
            .and_then(|(sum, _)| sum.quantile(0.95))
            .or(nothing)
            .map(rounded),
        error_percent: requests.and_then(|(sum, _)| sum.failed_percent()).map(rounded),
        cpu_percent: mean(containers.iter().flatten().filter_map(|reading| reading.cpu))
            .map(|cpu| rounded(cpu / cores)),
        memory_percent: mean(used).map(rounded),
        external: Vec::new(),
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    (count > 0.0).then_some(sum / count)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
