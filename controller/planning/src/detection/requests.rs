//! Conditions over requests that a load balancer sent to a workload. A ratio or a quantile of fewer than
//! [`bounds::LEAST_REQUESTS`] says nothing. Pure.

use aegis_api::Time;
use aegis_api::signals::{LATENCY_MS, Requests, WorkloadSignals, bounds};

use super::{Finding, Verdict};

/// The sum of those that began within the last `within`; `None` where no span of it was counted.
pub(super) fn sum(requests: &[Requests], now: Time, within: std::time::Duration) -> Option<Requests> {
    let inside = requests
        .iter()
        .filter(|span| span.at <= now && span.at.age(now) < within);
    inside.copied().reduce(|mut sum, span| {
        sum.add(&span);
        sum.secs = sum.secs.saturating_add(span.secs);
        sum
    })
}

/// Requests of the last minute, or why there is nothing to judge.
fn judgeable(signals: &WorkloadSignals<'_>) -> Result<Requests, Finding> {
    let within = bounds::REQUESTS_WITHIN.std();
    // What was answered before an action says nothing about what it has led to.
    let since = signals.acted_at.unwrap_or(Time(jiff::Timestamp::MIN));
    let is_after = |requests: &[Requests]| requests.iter().position(|span| span.at >= since);
    let counted = signals.requests.and_then(|requests| {
        let fresh = requests.get(is_after(requests)?..)?;
        sum(fresh, signals.now, within)
    });
    match counted {
        None => Err(Finding::unknown("no load balancer counts requests to it")),
        Some(sum) if sum.total < bounds::LEAST_REQUESTS => Err(Finding::unknown(format!(
            "{} requests within {} s are too few to judge",
            sum.total,
            within.as_secs()
        ))),
        Some(sum) => Ok(sum),
    }
}

/// Percent of requests that failed.
pub(super) fn failed_percent(sum: &Requests) -> Option<f64> {
    (sum.total > 0).then(|| f64::from(sum.errors) / f64::from(sum.total) * 100.0)
}

pub(super) fn errors(signals: &WorkloadSignals<'_>, percent: f64) -> Finding {
    match judgeable(signals) {
        Ok(sum) => {
            let failed = failed_percent(&sum).unwrap_or_default();
            let words = format!("{failed:.1} % of {} requests were answered with 5xx", sum.total);
            Finding::at_least(failed, percent, words)
        }
        Err(why) => why,
    }
}

pub(super) fn latency(signals: &WorkloadSignals<'_>, millis: f64) -> Finding {
    match judgeable(signals) {
        Ok(sum) => {
            let slow = quantile(&sum, 0.95);
            let words = format!(
                "95 of 100 of {} requests were answered within {slow:.0} ms",
                sum.total
            );
            Finding::at_least(slow, millis, words)
        }
        Err(why) => why,
    }
}

/// Within how many milliseconds this part of the requests was answered: linear within a class, as Prometheus'
/// `histogram_quantile` has it; what is slower than every class counts as the last bound.
fn quantile(sum: &Requests, part: f64) -> f64 {
    let wanted = f64::from(sum.total) * part;
    let (mut before, mut lower) = (0.0, 0.0);
    for (bound, count) in LATENCY_MS.iter().zip(sum.latency) {
        let (upper, count) = (f64::from(*bound), f64::from(count));
        if count > 0.0 && before + count >= wanted {
            return lower + (upper - lower) * ((wanted - before) / count).clamp(0.0, 1.0);
        }
        before += count;
        lower = upper;
    }
    lower
}

pub(super) fn no_server(signals: &WorkloadSignals<'_>) -> Finding {
    match signals.in_rotation {
        None => Finding::unknown("no load balancer serves it"),
        Some(_) if signals.desired == 0 => Finding::no("spec.replicas is 0"),
        Some(0) => Finding::new(Verdict::True, Some(0.0), "no server of it is in rotation"),
        Some(servers) => Finding::new(
            Verdict::False,
            Some(servers.into()),
            format!("{servers} servers of it are in rotation"),
        ),
    }
}
