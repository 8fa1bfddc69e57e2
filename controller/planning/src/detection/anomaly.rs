//! Whether a reading is far from what is usual for this very container. The usual is the median of the last day, the
//! measure of its spread the median absolute deviation, which outliers do not move; scaled by 1.4826 it estimates the
//! standard deviation of what is normally distributed. Off unless a detector enables it: what is odd is not yet wrong.
//! Pure.

use aegis_api::Time;
use aegis_api::signals::{ContainerSignals, WorkloadSignals, bounds};

use super::{Finding, of_running};

/// Makes a median absolute deviation an estimate of the standard deviation.
const SCALE: f64 = 1.4826;
/// The last minutes are no part of what is usual.
const LATELY: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// Newest readings whose median is compared: one odd reading is none.
const NEWEST: usize = 10;
/// The least spread: a container that idles at 0.1 % is not odd at 2 %.
const LEAST_SPREAD: f64 = 2.0;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// CPU, percent of one core.
    Cpu,
    /// Memory, percent of the limit; of 1 GiB where there is none.
    Memory,
}

impl Reading {
    fn of(self, cpu_percent: Option<f32>, memory_bytes: u64, limit: Option<u64>) -> Option<f64> {
        let value = match self {
            Self::Cpu => f64::from(cpu_percent?),
            Self::Memory => {
                let limit = limit.filter(|limit| *limit > 0).unwrap_or(1 << 30);
                percent(memory_bytes, limit)
            }
        };
        value.is_finite().then_some(value)
    }
}

#[expect(
    clippy::as_conversions,
    reason = "bytes to a percentage: the rounding of u64 to f64 is below what is shown"
)]
fn percent(used: u64, limit: u64) -> f64 {
    used as f64 / limit as f64 * 100.0
}

pub(super) fn judge(
    container: &ContainerSignals<'_>,
    signals: &WorkloadSignals<'_>,
    reading: Reading,
    factor: f64,
) -> Finding {
    of_running(container, signals, |_| {
        let limit = container.memory_limit_bytes;
        let before = |at: Time| at.age(signals.now) > LATELY;
        let baseline = container.history.iter().filter(|minute| before(minute.at()));
        let mut baseline: Vec<f64> = baseline
            .filter_map(|minute| reading.of(minute.cpu_percent(), minute.memory_bytes(), limit))
            .collect();
        if baseline.len() < bounds::ANOMALY_LEAST {
            return Finding::unknown("is not known for long enough to say what is usual");
        }
        let newest = container.samples.iter().rev().take(NEWEST);
        let mut newest: Vec<f64> = newest
            .filter_map(|sample| reading.of(sample.cpu_percent, sample.memory_bytes, limit))
            .collect();
        let (Some(usual), Some(now)) = (median(&mut baseline), median(&mut newest)) else {
            return Finding::unknown("was not measured lately");
        };
        let mut apart: Vec<f64> = baseline.iter().map(|value| (value - usual).abs()).collect();
        let spread = (median(&mut apart).unwrap_or_default() * SCALE).max(LEAST_SPREAD);
        let score = (now - usual) / spread;
        let what = match reading {
            Reading::Cpu => "% of a core",
            Reading::Memory => "% of its memory",
        };
        Finding::at_least(
            score,
            factor,
            format!("uses {now:.1} {what}, usual is {usual:.1}: {score:.1} times the usual spread"),
        )
    })
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}
