//! The readings of every container: a fine ring of a quarter of an hour, and a coarse one of a day. Owns both (bounded in
//! age, in number and in containers), what `/metrics/history` answers, and what a trend of them is. No I/O: the
//! collector adds readings.
//!
//! Bounds: a container has at most [`MOST_SAMPLES`] readings of 80 bytes and a day's minutes of 12, together some 46 KiB;
//! [`MOST_CONTAINERS`] of them 23 MiB. Room is made when a ring grows, not for a reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_api::Time;
use aegis_api::proposal::{MetricTrend, Trend};
use aegis_api::signals::{Growth, Minute, Sample};
use aegis_api::wire::{MetricHistory, MetricSample, MetricSeries};

/// How long a reading is kept, in seconds.
const WINDOW_SECS: u64 = 15 * 60;
/// Readings kept of one container; closer together than this many in the window, some are left out.
const MOST_SAMPLES: usize = 360;
/// Least time between two kept readings, in milliseconds.
const APART_MS: i64 = 2500;
/// Minutes kept of one container: a day.
const MOST_MINUTES: u32 = 24 * 60;
/// Containers kept; further ones have no history.
const MOST_CONTAINERS: usize = 500;
/// How long ago a container was last read that may go when there is no room for another.
const GONE: std::time::Duration = std::time::Duration::from_secs(60);
/// By how many readings a ring grows.
const STEP: usize = 60;
/// Readings from which there is a trend.
const LEAST_FOR_TREND: usize = 3;
/// Samples of one answer that goes further back than the fine ring: some 5 MB, a day of 34 containers. An answer from the
/// fine ring alone is bounded by what that holds.
const MOST_ANSWERED: usize = 60_000;
const MIB: f64 = 1024.0 * 1024.0;

/// The readings. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    series: BTreeMap<String, Series>,
    /// The last minute that was handed out as finished.
    finished: u32,
}

/// A minute that is over, of every container that was read in it: mean CPU, and memory in KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Minutes since 1970.
    pub minute: u32,
    /// By name.
    pub containers: Vec<(String, (Option<f32>, u32))>,
}

/// The readings of one container.
#[derive(Debug, Default)]
struct Series {
    samples: VecDeque<Sample>,
    minutes: VecDeque<Minute>,
    /// The minute that is being read.
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    minute: u32,
    cpu_sum: f32,
    cpu_count: f32,
    memory_bytes: u64,
}

impl Series {
    fn add(&mut self, load: Sample) {
        let last = self.samples.back().map(|last| last.at);
        if last.is_some_and(|last| load.at < last) {
            // The clock was set back: what is dated later than now says nothing about now.
            self.samples.clear();
        } else if last.is_some_and(|last| apart_ms(last, load.at) < APART_MS) {
            return;
        }
        while self.samples.len() >= MOST_SAMPLES {
            self.samples.pop_front();
        }
        if self.samples.len() == self.samples.capacity() {
            self.samples.reserve_exact(STEP);
        }
        self.samples.push_back(load);
        self.samples.make_contiguous();
        self.count(&load);
    }

    /// Counts a reading into its minute.
    fn count(&mut self, load: &Sample) {
        let minute = minute_of(load.at);
        if self.open.is_some_and(|open| open.minute != minute) {
            self.close();
        }
        let open = self.open.get_or_insert(Open {
            minute,
            cpu_sum: 0.0,
            cpu_count: 0.0,
            memory_bytes: 0,
        });
        open.memory_bytes = load.memory_bytes;
        if let Some(cpu) = load.cpu_percent.filter(|cpu| cpu.is_finite()) {
            open.cpu_sum += cpu;
            open.cpu_count += 1.0;
        }
    }

    /// Ends the minute that is being read.
    fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let cpu = (open.cpu_count > 0.0).then(|| open.cpu_sum / open.cpu_count);
        let memory_kib = u32::try_from(open.memory_bytes >> 10).unwrap_or(u32::MAX);
        self.push(Minute::new(open.minute, cpu, memory_kib));
    }

    fn push(&mut self, minute: Minute) {
        // Of a clock that was set back the later minutes go, as of readings.
        while self
            .minutes
            .back()
            .is_some_and(|last| last.minute >= minute.minute)
        {
            self.minutes.pop_back();
        }
        let oldest = minute.minute.saturating_sub(MOST_MINUTES);
        while self.minutes.front().is_some_and(|first| first.minute <= oldest) {
            self.minutes.pop_front();
        }
        if self.minutes.len() == self.minutes.capacity() {
            self.minutes.reserve_exact(STEP);
        }
        self.minutes.push_back(minute);
        self.minutes.make_contiguous();
    }

    fn forget(&mut self, now: Time) {
        let is_old = |sample: &Sample| sample.at.age(now).as_secs() > WINDOW_SECS;
        while self.samples.front().is_some_and(is_old) {
            self.samples.pop_front();
        }
        let oldest = minute_of(now).saturating_sub(MOST_MINUTES);
        while self.minutes.front().is_some_and(|first| first.minute < oldest) {
            self.minutes.pop_front();
        }
    }

    fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.minutes.is_empty()
    }

    /// What is kept of the last `minutes`, oldest first.
    fn last_minutes(&self, name: &str, now: Time, minutes: u64) -> MetricSeries {
        let secs = minutes.saturating_mul(60);
        let is_asked = |at: Time| at.age(now).as_secs() <= secs;
        let mut samples = Vec::new();
        if secs > WINDOW_SECS {
            let first = self.samples.front().map_or(now, |first| first.at);
            let is_before = |sample: &MetricSample| sample.t <= first && is_asked(sample.t);
            samples.extend(self.minutes.iter().map(minute).filter(is_before));
        }
        let minute_samples = samples.len();
        samples.extend(self.samples.iter().filter(|load| is_asked(load.at)).map(sample));
        MetricSeries {
            name: name.to_owned(),
            minute_samples,
            samples,
        }
    }

    /// When it was last read.
    fn last(&self) -> Option<Time> {
        self.samples.back().map(|sample| sample.at)
    }
}

impl Kept {
    /// The series of this name; `None` where there is no room for another.
    fn of(&mut self, name: &str, now: Time) -> Option<&mut Series> {
        if !self.series.contains_key(name) {
            if self.series.len() >= MOST_CONTAINERS {
                let oldest = self.series.iter().min_by_key(|(_, series)| series.last())?;
                let is_gone = oldest.1.last().is_none_or(|last| last.age(now) > GONE);
                let oldest = oldest.0.clone();
                is_gone.then(|| self.series.remove(&oldest))?;
            }
            self.series.insert(name.to_owned(), Series::default());
        }
        self.series.get_mut(name)
    }
}

/// What is kept, while it is read.
#[derive(Debug)]
pub struct View<'a>(&'a Kept);

impl<'a> View<'a> {
    /// The last quarter of an hour of a container, oldest first.
    pub fn samples(&self, name: &str) -> &'a [Sample] {
        let series = self.0.series.get(name);
        series.map_or(&[], |series| series.samples.as_slices().0)
    }

    /// The last day, oldest first.
    pub fn minutes(&self, name: &str) -> &'a [Minute] {
        let series = self.0.series.get(name);
        series.map_or(&[], |series| series.minutes.as_slices().0)
    }
}

impl History {
    /// Adds one reading of each of these containers, and forgets what is too old.
    pub fn add<'a>(&self, now: Time, readings: impl IntoIterator<Item = (&'a str, Sample)>) {
        let mut kept = self.kept();
        for (name, load) in readings {
            if let Some(series) = kept.of(name, now) {
                series.add(load);
            }
        }
        for series in kept.series.values_mut() {
            series.forget(now);
        }
        kept.series.retain(|_, series| !series.is_empty());
    }

    /// Reads what is kept; others wait meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(View<'_>) -> T) -> T {
        look(View(&self.kept()))
    }

    /// The minute before this one, once it is over and was not handed out yet.
    pub fn finished(&self, now: Time) -> Option<Finished> {
        let mut kept = self.kept();
        let this = minute_of(now);
        let minute = this.checked_sub(1)?;
        if kept.finished == minute {
            return None;
        }
        kept.finished = minute;
        let mut containers = Vec::new();
        for (name, series) in &mut kept.series {
            if series.open.is_some_and(|open| open.minute < this) {
                series.close();
            }
            let last = series.minutes.back().filter(|last| last.minute == minute);
            containers.extend(last.map(|last| (name.clone(), (last.cpu_percent(), last.memory_kib))));
        }
        (!containers.is_empty()).then_some(Finished { minute, containers })
    }

    /// Puts back a minute that an earlier run kept; the oldest first.
    pub fn restore(
        &self,
        minute: u32,
        containers: impl IntoIterator<Item = (String, (Option<f32>, u32))>,
        now: u32,
    ) {
        if minute > now || minute.saturating_add(MOST_MINUTES) < now {
            return;
        }
        let mut kept = self.kept();
        let at = jiff::Timestamp::from_second(i64::from(minute) * 60).map(Time);
        for (name, (cpu, memory_kib)) in containers {
            if let Ok(at) = at
                && let Some(series) = kept.of(&name, at)
            {
                series.push(Minute::new(minute, cpu, memory_kib));
            }
        }
    }

    /// The load of the last `minutes`, at most a day, of these containers; of all where none is named. A quarter of an hour
    /// is answered from the fine ring; further back, what is older than a container's first reading is a sample a minute.
    /// Whole containers are left out, and named, where the answer would have more than [`MOST_ANSWERED`] samples.
    pub fn last(&self, now: Time, minutes: u64, names: &[String], interval_seconds: u64) -> MetricHistory {
        let mut answer = MetricHistory {
            interval_seconds,
            ..MetricHistory::default()
        };
        let mut samples = 0_usize;
        let kept = self.kept();
        for (name, series) in &kept.series {
            if !names.is_empty() && !names.contains(name) {
                continue;
            }
            let one = series.last_minutes(name, now, minutes);
            samples = samples.saturating_add(one.samples.len());
            if minutes > WINDOW_SECS / 60 && samples > MOST_ANSWERED {
                answer.left_out.push(name.clone());
            } else if !one.samples.is_empty() {
                answer.series.push(one);
            }
        }
        answer
    }

    /// How a container's load has gone since its process started; `None` with fewer than three readings.
    pub fn trend(&self, name: &str, since: Option<Time>) -> Option<MetricTrend> {
        let kept = self.kept();
        let loads: Vec<&Sample> = kept
            .series
            .get(name)?
            .samples
            .iter()
            .filter(|load| since.is_none_or(|since| load.at >= since))
            .collect();
        let (first, last) = (loads.first()?, loads.last()?);
        let memory = |load: &&Sample| Some((load.at, mebibytes(load.memory_bytes)));
        let cpu = |load: &&Sample| Some((load.at, finite(load.cpu_percent)?));
        (loads.len() >= LEAST_FOR_TREND).then(|| MetricTrend {
            samples: u32::try_from(loads.len()).unwrap_or(u32::MAX),
            over_secs: first.at.age(last.at).as_secs(),
            memory_mb: trend(&loads.iter().filter_map(memory).collect::<Vec<_>>()),
            cpu_percent: trend(&loads.iter().filter_map(cpu).collect::<Vec<_>>()),
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apart_ms(before: Time, after: Time) -> i64 {
    after.0.as_millisecond() - before.0.as_millisecond()
}

fn minute_of(at: Time) -> u32 {
    u32::try_from(at.unix_seconds() / 60).unwrap_or_default()
}

fn finite(value: Option<f32>) -> Option<f64> {
    value.map(f64::from).filter(|value| value.is_finite())
}

#[expect(
    clippy::as_conversions,
    reason = "bytes to MiB for display: the rounding of u64 to f64 is below what is shown"
)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn sample(load: &Sample) -> MetricSample {
    let (used, limit) = (mebibytes(load.memory_bytes), mebibytes(load.memory_limit_bytes));
    MetricSample {
        t: load.at,
        cpu_percent: load.cpu_percent.map(f64::from),
        memory_mb: used,
        memory_limit_mb: Some(limit),
        memory_percent: Some(if limit > 0.0 { used / limit * 100.0 } else { 0.0 }),
        net_rx_bytes: Some(load.net_rx_bytes),
        net_tx_bytes: Some(load.net_tx_bytes),
    }
}

/// A minute, dated to its end: its mean is of what came before.
fn minute(minute: &Minute) -> MetricSample {
    MetricSample {
        t: Minute::new(minute.minute.saturating_add(1), None, 0).at(),
        cpu_percent: finite(minute.cpu_percent()).map(tenths),
        memory_mb: tenths(mebibytes(minute.memory_bytes())),
        memory_limit_mb: None,
        memory_percent: None,
        net_rx_bytes: None,
        net_tx_bytes: None,
    }
}

/// To a tenth: a day of minutes is a long answer, and more digits of a mean say nothing.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The slope is that of the least-squares line.
fn trend(points: &[(Time, f64)]) -> Option<Trend> {
    let growth = Growth::of(points)?;
    // Two digits are what people can use, and what keeps the file readable.
    let short = |value: f64| (value * 100.0).round() / 100.0;
    Some(Trend {
        first: short(growth.first),
        last: short(growth.last),
        min: short(growth.min),
        max: short(growth.max),
        per_minute: short(growth.per_minute),
        per_minute_at_least: growth.at_least.map(short),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(secs: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_000_000 + secs).unwrap())
    }

    pub(crate) fn load(secs: i64, mebibytes: u64) -> Sample {
        Sample {
            at: at(secs),
            cpu_percent: Some(5.0),
            throttled_percent: None,
            memory_bytes: mebibytes << 20,
            memory_limit_bytes: 100 << 20,
            net_rx_bytes: 1,
            net_tx_bytes: 2,
            pids: 1,
            pids_limit: 0,
        }
    }

    #[test]
    fn a_quarter_of_an_hour_is_kept_and_what_is_gone_is_forgotten() {
        let history = History::default();
        for secs in 0..2000 {
            history.add(at(secs), [("web", load(secs, 10))]);
        }
        let all = history.last(at(1999), 15, &[], 3);
        let samples = &all.series[0].samples;
        assert!((290..=MOST_SAMPLES).contains(&samples.len()), "{}", samples.len());
        assert!(samples[0].t.age(at(1999)).as_secs() <= WINDOW_SECS);
        assert_eq!(samples[0].memory_percent, Some(10.0));
        assert!(history.last(at(1999), 1, &[], 3).series[0].samples.len() <= 21);
        history.add(at(4000), []);
        assert!(history.last(at(4000), 15, &[], 3).series.is_empty());
    }

    /// Every twenty seconds from 0 to `end`, memory that grows by a MiB a minute.
    fn grown(names: &[&str], end: i64) -> History {
        let history = History::default();
        for secs in (0..end).step_by(20) {
            let used = u64::try_from(secs / 60).unwrap();
            history.add(at(secs), names.iter().map(|name| (*name, load(secs, used))));
        }
        history
    }

    #[test]
    fn what_is_older_than_the_readings_is_answered_by_the_minute() {
        let history = grown(&["web"], 7200);
        let answer = history.last(at(7200), 60, &[], 3);
        let [web] = &answer.series[..] else {
            panic!("{answer:?}")
        };
        assert!((44..=46).contains(&web.minute_samples), "{}", web.minute_samples);
        let (minutes, readings) = web.samples.split_at(web.minute_samples);
        assert!(
            minutes
                .windows(2)
                .all(|two| two[0].t.age(two[1].t).as_secs() == 60)
        );
        assert!(minutes.last().unwrap().t <= readings[0].t);
        assert!(minutes[0].t.age(at(7200)).as_secs() <= 3600);
        assert!(minutes.iter().all(|one| one.memory_limit_mb.is_none()
            && one.memory_percent.is_none()
            && one.net_rx_bytes.is_none()
            && one.cpu_percent == Some(5.0)));
        // A minute is dated to its end, and its memory is what was read last in it.
        let secs = minutes[0].t.unix_seconds() - at(0).unix_seconds();
        assert!((minutes[0].memory_mb - f64::from(i32::try_from(secs / 60).unwrap())).abs() <= 1.0);
        assert!(readings.iter().all(|one| one.net_rx_bytes == Some(1)));
        let short = history.last(at(7200), 15, &[], 3);
        assert_eq!(short.series[0].minute_samples, 0);
        assert_eq!(
            serde_json::to_value(&short.series[0].samples[0]).unwrap(),
            serde_json::json!({"t": short.series[0].samples[0].t, "cpu_percent": 5.0, "memory_mb": 105.0,
                "memory_limit_mb": 100.0, "memory_percent": 105.0, "net_rx_bytes": 1, "net_tx_bytes": 2})
        );
    }

    #[test]
    fn a_container_that_is_gone_is_still_in_the_day() {
        let history = grown(&["web"], 1200);
        history.add(at(9000), []);
        assert!(history.last(at(9000), 15, &[], 3).series.is_empty());
        let day = history.last(at(9000), 1440, &[], 3);
        assert_eq!(day.series[0].minute_samples, day.series[0].samples.len());
        assert!(day.series[0].minute_samples >= 19);
    }

    #[test]
    fn an_answer_has_the_containers_that_are_named_and_says_which_did_not_fit() {
        let names: Vec<String> = (0..50).map(|number| format!("c{number:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let history = grown(&all, 24 * 3600);
        let now = at(24 * 3600);
        let named = history.last(now, 1440, &["c07".to_owned(), "no".to_owned()], 3);
        assert_eq!(named.series.len(), 1);
        assert_eq!(named.series[0].name, "c07");
        let whole = history.last(now, 1440, &[], 3);
        let samples: usize = whole.series.iter().map(|one| one.samples.len()).sum();
        assert!(samples <= MOST_ANSWERED, "{samples}");
        assert_eq!(whole.series.len() + whole.left_out.len(), 50);
        assert!(whole.left_out.contains(&"c49".to_owned()) && whole.series.len() > 30);
        assert!(history.last(now, 15, &[], 3).left_out.is_empty());
    }

    #[test]
    fn more_containers_than_are_kept_take_no_room() {
        let history = History::default();
        let names: Vec<String> = (0..MOST_CONTAINERS + 50)
            .map(|number| format!("c{number}"))
            .collect();
        history.add(at(0), names.iter().map(|name| (name.as_str(), load(0, 1))));
        assert_eq!(history.last(at(0), 15, &[], 3).series.len(), MOST_CONTAINERS);
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

    #[test]
    fn room_is_made_for_others_once_a_container_is_gone() {
        let history = History::default();
        let old: Vec<String> = (0..MOST_CONTAINERS).map(|number| format!("c{number}")).collect();
        history.add(at(0), old.iter().map(|name| (name.as_str(), load(0, 1))));
        history.add(at(120), [("new", load(120, 1))]);
        assert_eq!(history.with(|view| view.samples("new").len()), 1);
    }

    #[test]
    fn a_minute_is_the_mean_of_its_readings_and_a_day_of_them_is_kept() {
        let history = History::default();
        for secs in (0..2 * 24 * 3600).step_by(20) {
            let cpu = if secs % 60 == 0 { 30.0 } else { 0.0 };
            let mut reading = load(secs, 10);
            reading.cpu_percent = Some(cpu);
            history.add(at(secs), [("web", reading)]);
        }
        let minutes = history.with(|view| view.minutes("web").to_vec());
        assert_eq!(minutes.len(), 1440);
        let last = minutes.last().unwrap();
        assert!((last.cpu_percent().unwrap() - 10.0).abs() < 0.01, "{last:?}");
        assert_eq!(last.memory_kib, 10 << 10);
        let end = at(2 * 24 * 3600);
        let finished = history.finished(end).unwrap();
        assert_eq!(finished.containers.len(), 1);
        assert_eq!(history.finished(end), None, "once");
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_the_readings_nor_leaves_later_ones() {
        let history = History::default();
        for secs in (7200..7800).step_by(3) {
            history.add(at(secs), [("web", load(secs, 90))]);
        }
        for secs in (3600..3660).step_by(3) {
            history.add(at(secs), [("web", load(secs, 10))]);
        }
        let samples = history.with(|view| view.samples("web").to_vec());
        assert_eq!(samples.len(), 20);
        assert!(samples.iter().all(|sample| sample.memory_bytes == 10 << 20));
        history.add(at(3661), [("web", load(3661, 10))]);
        assert!(history.with(|view| view.minutes("web").len()) <= 2);
    }

    #[test]
    fn a_container_takes_as_much_room_as_is_said() {
        let history = History::default();
        for secs in (0..90_000).step_by(3) {
            history.add(at(secs), [("web", load(secs, 10))]);
        }
        let kept = history.kept();
        let series = &kept.series["web"];
        let bytes =
            series.samples.capacity() * size_of::<Sample>() + series.minutes.capacity() * size_of::<Minute>();
        assert!(series.samples.len() >= 300 && series.minutes.len() == 1440);
        assert!(
            bytes <= 47 << 10,
            "{bytes} bytes, {} a reading",
            size_of::<Sample>()
        );
    }
}
