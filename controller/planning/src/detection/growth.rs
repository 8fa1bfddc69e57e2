//! Whether memory leaks: it surely grows (see [`Growth`]), a good part of the limit is used, and the rest is soon full.
//! What the same process had in use before and gave back is no leak: then it fills and empties by itself. Pure.

use aegis_api::Time;
use aegis_api::signals::{ContainerSignals, Growth, Sample, WorkloadSignals, bounds, gave_back};

use super::{Finding, Verdict, of_running};

pub(super) fn memory(
    container: &ContainerSignals<'_>,
    signals: &WorkloadSignals<'_>,
    within: f64,
) -> Finding {
    let Some(limit) = container.memory_limit_bytes.filter(|limit| *limit > 0).map(float) else {
        return Finding::no("has no memory limit");
    };
    of_running(container, signals, |_| {
        let points: Vec<(Time, f64)> = of_this_run(container, container.samples).collect();
        let Some(growth) = Growth::of(&points).filter(|growth| growth.at_least.is_some()) else {
            return Finding::unknown("has too few readings to tell whether memory grows");
        };
        let Some(minutes) = growth.full_in_minutes(limit) else {
            return Finding::no("does not surely need more and more memory");
        };
        let words = format!("needs more and more memory: it is full in {minutes:.0} min");
        let leaks = minutes < within && growth.last >= limit * bounds::LEAK_PERCENT / 100.0;
        if leaks && gave_back(minutes_of_this_run(container), growth.last) {
            return Finding::new(
                Verdict::False,
                Some(minutes),
                format!("{words}; it has given back as much before"),
            );
        }
        let verdict = if leaks { Verdict::True } else { Verdict::False };
        Finding::new(verdict, Some(minutes), words)
    })
}

/// Readings of the present process.
fn of_this_run<'a>(
    container: &ContainerSignals<'_>,
    samples: &'a [Sample],
) -> impl Iterator<Item = (Time, f64)> + use<'a> {
    let started = container.started_at;
    let own = samples
        .iter()
        .filter(move |sample| started.is_none_or(|started| sample.at >= started));
    own.map(|sample| (sample.at, float(sample.memory_bytes)))
}

/// Memory in the minutes of the present process, for as long as they are kept.
fn minutes_of_this_run(container: &ContainerSignals<'_>) -> impl Iterator<Item = f64> {
    let started = container.started_at;
    let own = container
        .history
        .iter()
        .filter(move |minute| started.is_none_or(|started| minute.at() >= started));
    own.map(|minute| float(minute.memory_bytes()))
}

#[expect(
    clippy::as_conversions,
    reason = "bytes: the rounding of u64 to f64 is below what is shown"
)]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
