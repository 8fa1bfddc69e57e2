//! The last quarter of an hour of every container's load. Owns the readings (bounded in age, in number and in
//! containers), what `/metrics/history` answers, and what a trend of them is. No I/O: the collector adds readings.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::Time;
use aegis_api::proposal::{MetricTrend, Trend};
use aegis_api::wire::{MetricHistory, MetricSample, MetricSeries};

/// How long a reading is kept, in seconds.
const WINDOW_SECS: u64 = 15 * 60;
/// Readings kept of one container; closer together than this many in the window, some are left out.
const MOST_SAMPLES: usize = 360;
/// Least time between two kept readings, in milliseconds.
const APART_MS: i64 = 2500;
/// Containers kept; further ones have no history.
const MOST_CONTAINERS: usize = 500;
/// Readings from which there is a trend.
const LEAST_FOR_TREND: usize = 3;
const MIB: f64 = 1024.0 * 1024.0;

/// A reading as it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// When, by the controller's clock.
    pub at: Time,
    /// CPU, percent of one core.
    pub cpu_percent: Option<f64>,
    /// Memory in use, bytes.
    pub memory_bytes: u64,
    /// Its limit, bytes.
    pub memory_limit_bytes: u64,
    /// Received, bytes.
    pub net_rx_bytes: u64,
    /// Sent, bytes.
    pub net_tx_bytes: u64,
}

/// The readings. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<BTreeMap<String, VecDeque<Load>>>>);

impl History {
    /// Adds one reading of each of these containers, and forgets what is too old.
    pub fn add<'a>(&self, now: Time, readings: impl IntoIterator<Item = (&'a str, Load)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, load) in readings {
            if let Some(series) = kept.get_mut(name) {
                let apart = |last: &Load| load.at.0.as_millisecond() - last.at.0.as_millisecond() >= APART_MS;
                if series.back().is_none_or(apart) {
                    series.push_back(load);
                }
                while series.len() > MOST_SAMPLES {
                    series.pop_front();
                }
            } else if kept.len() < MOST_CONTAINERS {
                kept.insert(name.to_owned(), VecDeque::from([load]));
            }
        }
        for series in kept.values_mut() {
            while series
                .front()
                .is_some_and(|first| first.at.age(now).as_secs() > WINDOW_SECS)
            {
                series.pop_front();
            }
        }
        kept.retain(|_, series| !series.is_empty());
    }

    /// The readings of the last `minutes`, at most fifteen.
    pub fn last(&self, now: Time, minutes: u64, interval_seconds: u64) -> MetricHistory {
        let secs = minutes.saturating_mul(60).min(WINDOW_SECS);
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = kept.iter().map(|(name, loads)| MetricSeries {
            name: name.clone(),
            samples: loads
                .iter()
                .filter(|load| load.at.age(now).as_secs() <= secs)
                .map(sample)
                .collect(),
        });
        MetricHistory {
            interval_seconds,
            series: series.filter(|series| !series.samples.is_empty()).collect(),
        }
    }

    /// How a container's load has gone since its process started; `None` with fewer than three readings.
    pub fn trend(&self, name: &str, since: Option<Time>) -> Option<MetricTrend> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let loads: Vec<&Load> = kept
            .get(name)?
            .iter()
            .filter(|load| since.is_none_or(|since| load.at >= since))
            .collect();
        let (first, last) = (loads.first()?, loads.last()?);
        let memory = |load: &&Load| Some((load.at, mebibytes(load.memory_bytes)));
        let cpu = |load: &&Load| Some((load.at, load.cpu_percent.filter(|cpu| cpu.is_finite())?));
        (loads.len() >= LEAST_FOR_TREND).then(|| MetricTrend {
            samples: u32::try_from(loads.len()).unwrap_or(u32::MAX),
            over_secs: first.at.age(last.at).as_secs(),
            memory_mb: trend(&loads.iter().filter_map(memory).collect::<Vec<_>>()),
            cpu_percent: trend(&loads.iter().filter_map(cpu).collect::<Vec<_>>()),
        })
    }
}

#[expect(
    clippy::as_conversions,
    reason = "bytes to MiB for display: the rounding of u64 to f64 is below what is shown"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn sample(load: &Load) -> MetricSample {
    let (used, limit) = (mebibytes(load.memory_bytes), mebibytes(load.memory_limit_bytes));
    MetricSample {
        t: load.at,
        cpu_percent: load.cpu_percent,
        memory_mb: used,
        memory_limit_mb: limit,
        memory_percent: if limit > 0.0 { used / limit * 100.0 } else { 0.0 },
        net_rx_bytes: load.net_rx_bytes,
        net_tx_bytes: load.net_tx_bytes,
    }
}

/// The slope is that of the least-squares line.
fn trend(points: &[(Time, f64)]) -> Option<Trend> {
    let ((begin, first), (_, last)) = (*points.first()?, *points.last()?);
    let values = || points.iter().map(|(_, value)| *value);
    let minutes = || points.iter().map(|(at, _)| begin.age(*at).as_secs_f64() / 60.0);
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let (mean_t, mean_v) = (minutes().sum::<f64>() / count, values().sum::<f64>() / count);
    let spread: f64 = minutes().map(|t| (t - mean_t).powi(2)).sum();
    let product: f64 = minutes()
        .zip(values())
        .map(|(t, v)| (t - mean_t) * (v - mean_v))
        .sum();
    let slope = if spread > 0.0 { product / spread } else { 0.0 };
    // Two digits are what people can use, and what keeps the file readable.
    let short = |value: f64| (value * 100.0).round() / 100.0;
    Some(Trend {
        first: short(first),
        last: short(last),
        min: short(values().fold(f64::INFINITY, f64::min)),
        max: short(values().fold(f64::NEG_INFINITY, f64::max)),
        per_minute: short(slope),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_000_000 + secs).unwrap())
    }

    fn load(secs: i64, mebibytes: u64) -> Load {
        Load {
            at: at(secs),
            cpu_percent: Some(5.0),
            memory_bytes: mebibytes << 20,
            memory_limit_bytes: 100 << 20,
            net_rx_bytes: 1,
            net_tx_bytes: 2,
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_what_is_gone_is_forgotten() {
        let history = History::default();
        for secs in 0..2000 {
            history.add(at(secs), [("web", load(secs, 10))]);
        }
        let all = history.last(at(1999), 60, 3);
        let samples = &all.series[0].samples;
        assert!((290..=MOST_SAMPLES).contains(&samples.len()), "{}", samples.len());
        assert!(samples[0].t.age(at(1999)).as_secs() <= WINDOW_SECS);
        assert_eq!(samples[0].memory_percent, 10.0);
        assert!(history.last(at(1999), 1, 3).series[0].samples.len() <= 21);
        history.add(at(4000), []);
        assert!(history.last(at(4000), 15, 3).series.is_empty());
    }

    #[test]
    fn more_containers_than_are_kept_take_no_room() {
        let history = History::default();
        let names: Vec<String> = (0..MOST_CONTAINERS + 50)
            .map(|number| format!("c{number}"))
            .collect();
        history.add(at(0), names.iter().map(|name| (name.as_str(), load(0, 1))));
        assert_eq!(history.last(at(0), 15, 3).series.len(), MOST_CONTAINERS);
    }

    #[test]
    fn a_trend_is_the_slope_since_the_process_started() {
        let history = History::default();
        for step in 0..20 {
            // It fell when it was restarted at 30 s; since then it grows by 6 MiB a minute.
            let used = if step < 10 {
                90
            } else {
                u64::try_from(step).unwrap() * 3 / 10 * 10
            };
            history.add(at(step * 30), [("web", load(step * 30, used))]);
        }
        let trend = history.trend("web", Some(at(300))).unwrap();
        let memory = trend.memory_mb.unwrap();
        assert_eq!((trend.samples, trend.over_secs), (10, 270));
        assert_eq!((memory.first, memory.last), (30.0, 50.0));
        assert!(memory.per_minute > 3.0 && memory.per_minute < 8.0, "{memory:?}");
        assert_eq!(trend.cpu_percent.unwrap().per_minute, 0.0);
        assert_eq!(history.trend("web", Some(at(550))), None);
        assert_eq!(history.trend("other", None), None);
    }
}
