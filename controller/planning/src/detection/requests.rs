//! Conditions over requests that a load balancer sent to a workload. A ratio or a quantile of fewer than
//! [`bounds::LEAST_REQUESTS`] says nothing, nor do a few bad ones that a workload within its bound has by chance. Pure.

use aegis_api::signals::{Requests, WorkloadSignals, bounds};

use super::chance::least_beyond;
use super::{Finding, Verdict};

/// The part that is slow where the 95th percentile is.
const SLOW_PART: f64 = 0.05;
/// Of a workload that is well at most this part of the bound is bad.
const WELL: f64 = 0.5;

/// What was counted since the last action: what was answered before it says nothing about what it has led to.
pub(super) fn since_action<'a>(signals: &WorkloadSignals<'a>) -> Option<&'a [Requests]> {
    let requests = signals.requests?;
    let Some(acted) = signals.acted_at else {
        return Some(requests);
    };
    requests.get(requests.iter().position(|span| span.at >= acted)?..)
}

/// Requests of the last minute, or why there is nothing to judge.
fn judgeable(signals: &WorkloadSignals<'_>) -> Result<Requests, Finding> {
    let within = bounds::REQUESTS_WITHIN.std();
    let counted = since_action(signals).and_then(|fresh| Requests::sum(fresh, signals.now, within));
    match counted {
        None => Err(Finding::unknown("no load balancer counts requests to it")),
        Some(sum) if sum.answered < bounds::LEAST_REQUESTS => Err(Finding::unknown(format!(
            "{} requests within {} s are too few to judge{}",
            sum.answered,
            within.as_secs(),
            cancelled(&sum)
        ))),
        Some(sum) => Ok(sum),
    }
}

/// What is neither an error nor a success, where there is any.
fn cancelled(sum: &Requests) -> String {
    match sum.cancelled {
        0 => String::new(),
        count => format!("; {count} more were cancelled by their clients (499)"),
    }
}

pub(super) fn errors(signals: &WorkloadSignals<'_>, percent: f64) -> Finding {
    match judgeable(signals) {
        Ok(sum) => {
            let failed = sum.failed_percent().unwrap_or_default();
            let words = format!(
                "{failed:.1} % of {} requests were answered with 5xx{}",
                sum.answered,
                cancelled(&sum)
            );
            let chance = least_beyond(f64::from(sum.answered) * percent / 100.0 * WELL);
            let surely = f64::from(sum.errors) >= chance || was_known(signals);
            above(failed, percent, surely, words)
        }
        Err(why) => why,
    }
}

pub(super) fn latency(signals: &WorkloadSignals<'_>, millis: f64) -> Finding {
    match judgeable(signals) {
        Ok(sum) => {
            let slow = sum.quantile(0.95).unwrap_or_default();
            let words = format!(
                "95 of 100 of {} requests were answered within {slow:.0} ms",
                sum.answered
            );
            let answered = f64::from(sum.answered);
            // Whether as many as are no chance are as slow: the fastest of them.
            let chance = (least_beyond(answered * SLOW_PART * WELL) - 0.5) / answered;
            let surely = sum.quantile((1.0 - chance).clamp(0.0, 1.0 - SLOW_PART));
            let surely = surely.is_some_and(|surely| surely >= millis) || was_known(signals);
            above(slow, millis, surely, words)
        }
        Err(why) => why,
    }
}

/// How long after an action what it was done about counts as known: there, chance would have to bring it about again.
const KNOWN_FOR: std::time::Duration = std::time::Duration::from_secs(5 * 60);

fn was_known(signals: &WorkloadSignals<'_>) -> bool {
    signals
        .acted_at
        .is_some_and(|acted| acted.age(signals.now) < KNOWN_FOR)
}

/// Whether a value is at its bound or above; what may be so by chance is not known to be.
fn above(value: f64, bound: f64, surely: bool, words: String) -> Finding {
    match value >= bound {
        true if !surely => Finding::new(
            Verdict::Unknown,
            Some(value),
            format!("{words}; so few may be so by chance"),
        ),
        _ => Finding::at_least(value, bound, words),
    }
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
