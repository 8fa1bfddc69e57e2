//! Service level objectives with multi-window, multi-burn-rate alerts, as chapter 5 of Google's *Site Reliability Workbook*
//! (2018) has them: a burn rate is the share of requests that fail over the share that may; it holds where a long window
//! and a short one (a twelfth of it) are both above it. 14.4 over one hour uses 2 % of a budget of 30 days, 6 over six
//! hours 5 %. Pure.

use aegis_api::Duration;
use aegis_api::detector::BurnRate;
use aegis_api::signals::{Requests, WorkloadSignals, bounds};

use super::Finding;
use super::requests::since_action;

/// What is promised, and how fast its budget may burn.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    percent: f64,
    rates: Vec<BurnRate>,
}

impl Objective {
    /// Percent of requests that must succeed, and the burn rates; those of [`page`] where none is named.
    pub fn new(percent: f64, rates: &[BurnRate]) -> Self {
        let rates = if rates.is_empty() {
            page().to_vec()
        } else {
            rates.to_vec()
        };
        Self { percent, rates }
    }

    /// How far back its longest window reaches.
    pub(super) fn reaches(&self) -> std::time::Duration {
        let windows = self.rates.iter().flat_map(|rate| [rate.long, rate.short]);
        windows.map(Duration::std).max().unwrap_or_default()
    }
}

/// The workbook's two rates that call a human.
pub fn page() -> [BurnRate; 2] {
    let rate = |factor, long, short| BurnRate {
        factor,
        long: Duration::from_secs(long),
        short: Duration::from_secs(short),
    };
    [rate(14.4, 3600, 300), rate(6.0, 6 * 3600, 1800)]
}

/// How many times faster than allowed the budget of `percent` burns where so many percent fail; `None` where nothing may.
pub fn burn(failed_percent: f64, percent: f64) -> Option<f64> {
    let budget = 100.0 - percent;
    (budget > 0.0).then(|| failed_percent / budget)
}

pub(super) fn judge(signals: &WorkloadSignals<'_>, objective: &Objective) -> Finding {
    let Some(counted) = since_action(signals) else {
        return Finding::unknown("no load balancer counts requests to it");
    };
    // What burned before an action says nothing about what it has led to, and a moment after it is no rate.
    let acted_for = signals.acted_at.map(|acted| acted.age(signals.now));
    let rate = |window: Duration| rate(counted, signals, window, objective.percent);
    let judged = objective.rates.iter().map(|burns| {
        let (long, short) = (burns.long, burns.short);
        if acted_for.is_some_and(|passed| passed < short.std()) {
            return Finding::unknown(format!("its last action is less than {short} ago"));
        }
        let (Some(slow), Some(fast)) = (rate(long), rate(short)) else {
            return Finding::unknown(format!("too few requests within {long} to judge"));
        };
        let words =
            format!("the error budget burns {slow:.1} times as fast as allowed over {long}, {fast:.1} times over {short}");
        Finding::at_least(slow.min(fast), burns.factor, words)
    });
    let value = |finding: &Finding| finding.value.unwrap_or(f64::NEG_INFINITY);
    let worst = judged.max_by(|a, b| {
        let verdicts = a.verdict.cmp(&b.verdict);
        verdicts.then_with(|| value(a).total_cmp(&value(b)))
    });
    worst.unwrap_or_else(|| Finding::unknown("it names no burn rate"))
}

/// `None` where too few requests say anything: of the long window at least [`bounds::LEAST_REQUESTS`], of the short one any.
fn rate(counted: &[Requests], signals: &WorkloadSignals<'_>, window: Duration, percent: f64) -> Option<f64> {
    let sum = Requests::sum(counted, signals.now, window.std())?;
    let failed = sum
        .failed_percent()
        .filter(|_| sum.answered >= bounds::LEAST_REQUESTS)?;
    burn(failed, percent)
}
