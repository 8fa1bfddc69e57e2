//! Signals become readings: means over replicas that serve, rates and latency from the logs of load balancers. Pure.
//!
//! A reading speaks of the replicas that there are: what was measured before the last of them came counts for rates and
//! numbers under way, which belong to the clients, and not for CPU and latency, which it changes.

use aegis_api::observed::ContainerState;
use aegis_api::signals::{Requests, Sample, used_percent};
use aegis_api::workload::autoscale::{Autoscale, AutoscaleMetric};
use aegis_api::workload::{Health, InstanceStatus};
use aegis_api::{Duration, Time, WorkloadStatus};
use serde_json::Value;

use super::answer::goal;
use super::reading::{Errors, Rate, Reading};

/// Seconds of a span in which requests are counted, and the fewest of which a rate is made.
const SPAN: i64 = 3;
const LEAST: i64 = 2 * SPAN;
/// How late the last lines of a log arrive: nginx writes it once a second.
const LATE: i64 = 2;
/// How long a reading of a container may have been taken ago.
const FRESH: std::time::Duration = std::time::Duration::from_secs(20);
/// How long a replica that does not serve yet is taken to be on its way. What does not serve after that is missing, as the
/// HorizontalPodAutoscaler has it: it counts as idle when scaling out, as on target when scaling in.
const COMING: std::time::Duration = std::time::Duration::from_secs(120);
/// From how many restarts after a crash on it ends again and again: they are counted since it was last healthy for long.
const LOOPS: u32 = 2;

/// The replicas of a workload, by whether they count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replicas {
    /// Names of those that serve.
    pub serving: Vec<String>,
    /// How many come.
    pub warming: u32,
    /// How many are neither: they have not served for long, end again and again, or could not be made.
    pub missing: u32,
    /// When the last one began to serve.
    pub settled: Option<Time>,
}

/// A replica that serves, as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica<'a> {
    /// Readings of the last quarter of an hour, oldest first.
    pub samples: &'a [Sample],
    /// Its CPU limit, cores; absent without one.
    pub cores: Option<f64>,
    /// Its memory limit, bytes; absent without one.
    pub memory_limit: Option<u64>,
}

/// What load balancers counted for a workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Requested {
    /// Since this moment.
    Since(Time, Vec<Requests>),
    /// Why nothing is known.
    Unknown(String),
}

/// Tells replicas that serve from those that come: one serves once its probe passes and has for `warmUp`, and where load
/// balancers send requests to the workload, once it is in rotation.
pub fn set_apart(
    status: &WorkloadStatus,
    desired: u32,
    in_rotation: Option<&[String]>,
    warm_up: Duration,
    now: Time,
) -> Replicas {
    let mut replicas = Replicas::default();
    let mut there = 0_u32;
    for row in status
        .instances
        .iter()
        .filter(|row| !row.draining && row.leaving.is_none())
    {
        there = there.saturating_add(1);
        let begun = row.ready_since.or(row.started_at);
        let rotates = in_rotation.is_none_or(|names| names.contains(&row.name));
        if row.health == Health::Healthy && rotates && is_warm(begun, warm_up, now) {
            // One that comes back again and again makes nothing of what was measured before begin again.
            let settled = begun
                .filter(|_| !is_looping(row))
                .map(|begun| begun.plus(warm_up));
            replicas.settled = replicas.settled.max(settled);
            replicas.serving.push(row.name.clone());
        } else if row.stopped_by_hand.is_some() || row.state == ContainerState::Paused {
            // A person took it out: it is neither coming nor expected.
        } else if is_coming(row, now) {
            replicas.warming = replicas.warming.saturating_add(1);
        } else {
            replicas.missing = replicas.missing.saturating_add(1);
        }
    }
    let asked = status.demands.last().map(|demand| demand.at);
    let unmade = desired.saturating_sub(there);
    match asked.is_none_or(|at| at.age(now) < COMING) {
        true => replicas.warming = replicas.warming.saturating_add(unmade),
        false => replicas.missing = replicas.missing.saturating_add(unmade),
    }
    replicas
}

fn is_warm(begun: Option<Time>, warm_up: Duration, now: Time) -> bool {
    warm_up.std().is_zero() || begun.is_none_or(|begun| begun.plus(warm_up) <= now)
}

fn is_coming(row: &InstanceStatus, now: Time) -> bool {
    !is_looping(row) && row.started_at.is_none_or(|started| started.age(now) < COMING)
}

/// Whether it ends again and again: each of its starts is recent, and none says that it will serve.
fn is_looping(row: &InstanceStatus) -> bool {
    row.state == ContainerState::Restarting || row.restarts >= LOOPS || row.fruitless_restarts > 0
}

/// CPU limit of a container, cores, from its `HostConfig`.
pub fn cores(host_config: &Value) -> Option<f64> {
    let number = |field: &str| {
        host_config
            .get(field)
            .and_then(Value::as_f64)
            .filter(|number| *number > 0.0)
    };
    let nano = number("NanoCpus").map(|nano| nano / 1e9);
    nano.or_else(|| Some(number("CpuQuota")? / number("CpuPeriod").unwrap_or(100_000.0)))
}

/// Whether targets, or the brake, need requests to be counted.
pub fn needs_requests(spec: &Autoscale) -> bool {
    spec.error_brake.is_some() || spec.targets.iter().any(|target| target.metric.is_of_requests())
}

/// The reading of one target that is not External.
pub fn measure(
    spec: &Autoscale,
    index: usize,
    containers: &[Replica<'_>],
    replicas: &Replicas,
    requested: &Requested,
    now: Time,
) -> Reading {
    let Some(target) = spec.targets.get(index) else {
        return Reading::default();
    };
    let since = replicas.settled;
    if target.metric.is_of_requests() && replicas.serving.is_empty() {
        // nginx answers by itself then: that is no absence of load.
        return Reading::Missing("cannot be measured: no replica serves".to_owned());
    }
    match target.metric {
        AutoscaleMetric::Cpu => {
            with_missing(cpu(containers, spec.metric_window, since, now), replicas.missing)
        }
        AutoscaleMetric::Memory => with_missing(memory(containers, now), replicas.missing),
        AutoscaleMetric::RequestsPerSecond => total(spec, requested, now, rate, None),
        AutoscaleMetric::InFlight => total(spec, requested, now, in_flight, Some(since)),
        AutoscaleMetric::LatencyP95 => latency(spec, goal(target), requested, since, now),
        AutoscaleMetric::External => Reading::default(),
    }
}

/// A reading of replicas with those in it that there should be and that cannot be read.
fn with_missing(reading: Reading, missing: u32) -> Reading {
    match reading {
        Reading::OfReplicas {
            mut percents,
            limited,
        } => {
            percents.extend((0..missing).map(|_| None));
            Reading::OfReplicas { percents, limited }
        }
        other => other,
    }
}

fn cpu(containers: &[Replica<'_>], window: Duration, since: Option<Time>, now: Time) -> Reading {
    let percents: Vec<Option<f64>> = containers
        .iter()
        .map(|container| {
            // A reading speaks of the time since the one before.
            let pairs = container.samples.iter().zip(container.samples.iter().skip(1));
            let inside = pairs.filter(|(before, sample)| {
                before.at.age(now) < window.std()
                    && sample.at <= now
                    && sample.at.age(now) < FRESH.max(window.std())
                    && since.is_none_or(|since| before.at >= since)
            });
            let used: Vec<f64> = inside
                .filter_map(|(_, sample)| sample.cpu_percent.map(f64::from))
                .filter(|used| used.is_finite())
                .collect();
            let newest = container.samples.last()?;
            if used.is_empty() || newest.at.age(now) > FRESH {
                return None;
            }
            let mean = used.iter().sum::<f64>() / f64::from(crate::ledger::count(used.len()));
            Some(mean / container.cores.unwrap_or(1.0))
        })
        .collect();
    let is_new = since.is_some_and(|since| since.age(now) < FRESH);
    if is_new && percents.iter().any(Option::is_none) {
        return Reading::Pending("waits for readings since the last replica came".to_owned());
    }
    let limited = containers.iter().all(|container| container.cores.is_some());
    Reading::OfReplicas { percents, limited }
}

fn memory(containers: &[Replica<'_>], now: Time) -> Reading {
    if containers
        .iter()
        .any(|container| container.memory_limit.is_none())
    {
        return Reading::Missing("cannot be measured: a replica has no memory limit".to_owned());
    }
    let percents = containers.iter().map(|container| {
        let newest = container
            .samples
            .last()
            .filter(|sample| sample.at.age(now) <= FRESH)?;
        let limit = container.memory_limit?;
        used_percent((limit.saturating_sub(newest.memory_bytes), limit))
    });
    Reading::OfReplicas {
        percents: percents.collect(),
        limited: true,
    }
}

/// Spans that are over and whose lines have arrived.
struct Settled {
    spans: Vec<Requests>,
    /// When the first begins and the last ends, seconds since 1970.
    begin: i64,
    end: i64,
}

impl Settled {
    fn seconds(&self) -> i64 {
        self.end.saturating_sub(self.begin)
    }
}

/// The settled spans of the last `window` since `since`. What was counted begins at some moment, too.
fn settled_spans(
    requested: &Requested,
    window: Duration,
    since: Option<Time>,
    now: Time,
) -> Result<Settled, Reading> {
    let (begun, spans) = match requested {
        Requested::Since(begun, spans) => (*begun, spans),
        Requested::Unknown(why) => return Err(Reading::Missing(format!("cannot be measured: {why}"))),
    };
    let floor = |secs: i64| secs.saturating_sub(secs.rem_euclid(SPAN));
    let end = floor(now.unix_seconds().saturating_sub(LATE));
    let long = i64::try_from(window.std().as_secs()).unwrap_or(i64::MAX);
    let from = since.map_or(begun, |since| since.max(begun)).unix_seconds();
    let begin = end.saturating_sub(long.saturating_sub(long.rem_euclid(SPAN)));
    let begin = begin.max(floor(from.saturating_add(SPAN)));
    if end.saturating_sub(begin) < LEAST {
        return Err(Reading::Pending(
            "waits until it was counted for a moment".to_owned(),
        ));
    }
    let inside = spans
        .iter()
        .filter(|span| (begin..end).contains(&span.at.unix_seconds()));
    Ok(Settled {
        spans: inside.copied().collect(),
        begin,
        end,
    })
}

fn sum(spans: &[Requests]) -> Option<Requests> {
    spans.iter().copied().reduce(|mut sum, span| {
        sum.add(&span);
        sum
    })
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "seconds of a window of at most ten minutes"
)]
fn per_second(number: f64, seconds: i64) -> f64 {
    number / seconds.max(1) as f64
}

fn rate(spans: &[Requests], seconds: i64) -> f64 {
    let all = sum(spans).map_or(0.0, |sum| f64::from(sum.answered) + f64::from(sum.cancelled));
    per_second(all, seconds)
}

/// Into how many parts a window is cut to see whether requests went on to end, and which part of the mean each must have.
const PARTS: i64 = 3;
const EVEN: f64 = 0.5;
/// The quickest of so many parts of the requests took at least this part of the mean where all of them wait.
const QUICK: f64 = 0.25;
const WAITS: f64 = 0.125;

/// How many requests ended a second, and whether that says what the replicas can do; `since` is when the last of them came.
fn ended(spec: &Autoscale, settled: &Settled, since: Option<Time>) -> Rate {
    let per_second = rate(&settled.spans, settled.seconds());
    let is_steady = is_whole(spec, settled, since)
        && sum(&settled.spans).is_some_and(|sum| is_of_a_queue(&sum))
        && least_of_parts(settled) >= per_second * EVEN;
    Rate {
        per_second,
        is_steady,
    }
}

/// Whether a window is as long as it is to be, and its replicas have served all of it: one that has just come answers slowly for
/// a while, and what waited for it ends at once.
fn is_whole(spec: &Autoscale, settled: &Settled, since: Option<Time>) -> bool {
    let long = i64::try_from(spec.metric_window.std().as_secs()).unwrap_or(i64::MAX);
    let is_long = settled.seconds() > long.saturating_sub(SPAN);
    is_long && since.is_none_or(|since| since.unix_seconds() <= settled.begin)
}

/// Whether requests are slow as those in a queue are: enough of them, most of which were answered without an error, and all of
/// which waited. Of one server that hangs the requests of the others know nothing.
fn is_of_a_queue(sum: &Requests) -> bool {
    let all = f64::from(sum.answered) + f64::from(sum.cancelled);
    let lost = f64::from(sum.errors) + f64::from(sum.cancelled);
    let mean = f64::from(sum.busy_ms) / all.max(1.0);
    let quick = sum.quantile(QUICK);
    sum.answered >= super::ENOUGH_ANSWERS
        && lost * 2.0 <= all
        && quick.is_some_and(|quick| quick >= mean * WAITS)
}

/// The lowest rate of the parts of a window: of a stall one has none, and the next those of several.
fn least_of_parts(settled: &Settled) -> f64 {
    let spans = settled.seconds() / SPAN;
    let parts = PARTS.min(spans).max(1);
    let border = |part: i64| {
        let spans = spans.saturating_mul(part) / parts;
        settled.begin.saturating_add(spans.saturating_mul(SPAN))
    };
    let rates = (0..parts).map(|part| {
        let (begin, end) = (border(part), border(part.saturating_add(1)));
        let inside = settled.spans.iter();
        let inside = inside.filter(|span| (begin..end).contains(&span.at.unix_seconds()));
        let inside: Vec<Requests> = inside.copied().collect();
        rate(&inside, end.saturating_sub(begin))
    });
    rates.fold(f64::INFINITY, f64::min)
}

fn in_flight(spans: &[Requests], seconds: i64) -> f64 {
    per_second(
        sum(spans).map_or(0.0, |sum| f64::from(sum.busy_ms) / 1000.0),
        seconds,
    )
}

fn total(
    spec: &Autoscale,
    requested: &Requested,
    now: Time,
    of: fn(&[Requests], i64) -> f64,
    // Since when the replicas are those that there are, where it is a number that grows without end once they are full.
    fills_up: Option<Option<Time>>,
) -> Reading {
    let settled = match settled_spans(requested, spec.metric_window, None, now) {
        Ok(settled) => settled,
        Err(reading) => return reading,
    };
    let (spans, seconds) = (&settled.spans, settled.seconds());
    let total = of(spans, seconds);
    let ahead = spec
        .head_start
        .and_then(|head_start| ahead(spans, seconds, head_start, now, of));
    Reading::Total {
        now: total,
        ahead: ahead
            .map(|ahead| ahead.min(total * 2.0))
            .filter(|ahead| *ahead > total),
        rate: fills_up.map(|since| ended(spec, &settled, since)),
    }
}

/// Where a line through both halves of the window leads; at most the double is believed.
fn ahead(
    spans: &[Requests],
    seconds: i64,
    head_start: Duration,
    now: Time,
    of: fn(&[Requests], i64) -> f64,
) -> Option<f64> {
    let half = (seconds / 2).saturating_sub((seconds / 2).rem_euclid(SPAN));
    if half < LEAST {
        return None;
    }
    let end = now.unix_seconds().saturating_sub(LATE);
    let middle = end.saturating_sub(end.rem_euclid(SPAN)).saturating_sub(half);
    let (early, late): (Vec<Requests>, Vec<Requests>) =
        spans.iter().partition(|span| span.at.unix_seconds() < middle);
    let (early, late) = (of(&early, seconds.saturating_sub(half)), of(&late, half));
    // From the middle of the one half to that of the other.
    let slope = per_second(late - early, seconds / 2);
    Some(late + slope * (per_second(1.0, 1) * head_start.std().as_secs_f64()))
}

fn latency(spec: &Autoscale, goal: f64, requested: &Requested, since: Option<Time>, now: Time) -> Reading {
    let settled = match settled_spans(requested, spec.metric_window, since, now) {
        Ok(settled) => settled,
        Err(reading) => return reading,
    };
    let sum = sum(&settled.spans);
    let millis = sum.and_then(|sum| sum.quantile(0.95)).unwrap_or(0.0);
    // One slow answer among few is no p95, and no reason to add replicas.
    let is_enough = sum.is_some_and(|sum| sum.answered >= super::ENOUGH_ANSWERS);
    let most = match is_enough {
        // What is slower than every class of the count is slower than any target.
        true => goal.max(1.0) * 100.0,
        false => goal,
    };
    Reading::Latency {
        millis: millis.min(most),
        rate: ended(spec, &settled, since),
    }
}

/// The share of answers with 5xx.
pub fn errors(spec: &Autoscale, requested: &Requested, now: Time) -> Option<Errors> {
    let settled = settled_spans(requested, spec.metric_window, None, now).ok()?;
    let sum = sum(&settled.spans)?;
    Some(Errors {
        percent: sum.failed_percent()?,
        answered: sum.answered,
    })
}
