//! How a reading goes over time, and whether it surely grows: a line through what was read, and how well that fits.
//!
//! The slope that people see is that of the least-squares line through every reading. Whether it *surely* grows is asked
//! of the floor: the time is cut into equal blocks, and the line goes through the least reading of each. So the teeth of a
//! garbage collector do not count, and readings a few seconds apart, which resemble each other, are not taken for as many
//! independent ones. From the residuals of that line follows the standard error of its slope, and with Student's t the
//! least slope that it has with 99 % confidence (one-sided), as any textbook of linear regression has it. Two things fit a
//! line well and are none: a step (one block makes up most of the growth), and a tooth that was given back before. Both
//! count as no growth. Growth that has just set in shows in the last five minutes before it does in all of the time: the
//! surer of the two counts. How often this is wrong is counted in the tests of `aegis_planning::detection`. Pure.

use crate::scalar::Time;

/// Blocks that the time is cut into: at most these, at least those, each of two readings or more on average.
const BLOCKS: (usize, usize) = (8, 5);
/// Student's t for 99 %, one-sided, with 3 to 6 degrees of freedom: two fewer than blocks.
const STUDENT: [f64; 4] = [4.541, 3.747, 3.365, 3.143];
/// Minutes below which it is not sure, and over which what has just set in is looked for.
const SURE_MINUTES: f64 = 5.0;
/// How much of the growth of the floor one block may make up: more is a step.
const STEP: f64 = 0.4;

/// How a reading has gone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// Readings.
    pub samples: usize,
    /// From the first to the last, seconds.
    pub over_secs: u64,
    /// The oldest reading.
    pub first: f64,
    /// The newest.
    pub last: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Slope of the least-squares line, a minute.
    pub per_minute: f64,
    /// The least slope of the floor with 99 % confidence, a minute; absent where there are too few readings.
    pub at_least: Option<f64>,
}

impl Growth {
    /// Of readings, oldest first. Those before a clock that was set back are left out.
    pub fn of(points: &[(Time, f64)]) -> Option<Self> {
        let points = since_clock_step(points);
        let ((begin, first), (end, last)) = (*points.first()?, *points.last()?);
        let minutes = |at: Time| begin.age(at).as_secs_f64() / 60.0;
        let line: Vec<(f64, f64)> = points.iter().map(|(at, value)| (minutes(*at), *value)).collect();
        let values = || points.iter().map(|(_, value)| *value);
        Some(Self {
            samples: points.len(),
            over_secs: begin.age(end).as_secs(),
            first,
            last,
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
            per_minute: slope(&line).map_or(0.0, |(slope, _)| slope),
            at_least: at_least(&line),
        })
    }

    /// Minutes until the limit is reached if it goes on as it did; `None` where it does not surely grow. Surely: by a
    /// twentieth of the limit or more, now at its highest, and with 99 % confidence. Of too few readings nothing is sure: a
    /// start-up, or one step, looks like growth.
    pub fn full_in_minutes(&self, limit: f64) -> Option<f64> {
        let grows = limit > 0.0
            && self.last - self.first >= limit / 20.0
            && self.per_minute > 0.0
            && self.last >= self.max * 0.98
            && self.at_least.is_some_and(|least| least > 0.0);
        grows.then(|| ((limit - self.last) / self.per_minute).max(0.0))
    }
}

fn since_clock_step(points: &[(Time, f64)]) -> &[(Time, f64)] {
    let back = points
        .iter()
        .zip(points.iter().skip(1))
        .rposition(|((before, _), (after, _))| after < before);
    points
        .get(back.map_or(0, |at| at.saturating_add(1))..)
        .unwrap_or_default()
}

/// The least-squares slope, and its standard error.
fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
    let (mean_t, mean_v) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(t, _)| (t - mean_t).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let product: f64 = points.iter().map(|(t, v)| (t - mean_t) * (v - mean_v)).sum();
    let slope = product / spread;
    let residuals: f64 = points
        .iter()
        .map(|(t, v)| (v - mean_v - slope * (t - mean_t)).powi(2))
        .sum();
    let error = (residuals / (count - 2.0).max(1.0) / spread).sqrt();
    Some((slope, error))
}

/// The least slope with 99 % confidence, over all of the time or over its end; not above 0 where a tooth was given back.
fn at_least(points: &[(f64, f64)]) -> Option<f64> {
    let end = points.last()?.0;
    let recent = points.iter().position(|(t, _)| *t >= end - SURE_MINUTES)?;
    let recent = points.get(recent..).filter(|_| end > 2.0 * SURE_MINUTES);
    let recent = recent.and_then(|points| surely(points, SURE_MINUTES * 0.95));
    let least = match (surely(points, SURE_MINUTES), recent) {
        (Some(all), Some(recent)) => all.max(recent),
        (all, recent) => all.or(recent)?,
    };
    let now = points.last()?.1;
    let is_tooth = gave_back(points.iter().map(|(_, value)| *value), now);
    Some(if is_tooth { least.min(0.0) } else { least })
}

/// Whether there was as much as `now` among these values, and then a fifth less.
pub fn gave_back(values: impl IntoIterator<Item = f64>, now: f64) -> bool {
    let mut highest: f64 = 0.0;
    values.into_iter().any(|value| {
        highest = highest.max(value);
        highest >= now * 0.95 && value <= highest * 0.8
    })
}

/// The least slope of the floor with 99 % confidence; `None` where there is too little to tell.
fn surely(points: &[(f64, f64)], least_minutes: f64) -> Option<f64> {
    let (begin, end) = (points.first()?.0, points.last()?.0);
    let blocks = (points.len() / 2).min(BLOCKS.0);
    if blocks < BLOCKS.1 || end - begin < least_minutes {
        return None;
    }
    let floor = floor(points, u32::try_from(blocks).ok()?)?;
    let freedom = floor.len().checked_sub(BLOCKS.1)?;
    let (slope, error) = slope(&floor)?;
    let least = slope - STUDENT.get(freedom)? * error;
    let pairs = floor.iter().zip(floor.iter().skip(1));
    let largest = pairs
        .map(|(before, after)| after.1 - before.1)
        .fold(0.0, f64::max);
    let is_step = largest > STEP * (floor.last()?.1 - floor.first()?.1);
    Some(if is_step { least.min(0.0) } else { least })
}

/// The least reading of each block; a block without readings has none.
fn floor(points: &[(f64, f64)], blocks: u32) -> Option<Vec<(f64, f64)>> {
    let (begin, end) = (points.first()?.0, points.last()?.0);
    let width = (end - begin) / f64::from(blocks);
    let mut floor = Vec::with_capacity(BLOCKS.0);
    let mut rest = points;
    for block in 1..=blocks {
        let until = begin + width * f64::from(block);
        let inside = rest
            .iter()
            .take_while(|(t, _)| block == blocks || *t < until)
            .count();
        let (inside, after) = rest.split_at_checked(inside)?;
        floor.extend(inside.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)));
        rest = after;
    }
    Some(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl IntoIterator<Item = f64>) -> Vec<(Time, f64)> {
        let at = |n: i64| Time(jiff::Timestamp::from_second(1_900_000_000 + n * 3).unwrap());
        (0..).map(at).zip(values).collect()
    }

    #[test]
    fn a_line_is_found_with_its_confidence() {
        // 1 a reading, 20 a minute.
        let growth = Growth::of(&series((0..120).map(f64::from))).unwrap();
        assert!((growth.per_minute - 20.0).abs() < 1e-9, "{growth:?}");
        assert!((growth.at_least.unwrap() - 20.0).abs() < 0.5, "{growth:?}");
        assert_eq!((growth.first, growth.last, growth.over_secs), (0.0, 119.0, 357));
        let minutes = growth.full_in_minutes(219.0).unwrap();
        assert!((minutes - 5.0).abs() < 1e-9, "{minutes}");
        assert_eq!(growth.full_in_minutes(0.0), None);
    }

    #[test]
    fn i13_what_grew_within_the_first_minutes_is_not_yet_a_leak() {
        // Two minutes and more, and much of the limit; but a start-up looks the same.
        for length in [40, 60, 90] {
            let startup = series((0..length).map(|n| if n < length - 4 { 20.0 } else { 120.0 }));
            let steady = series((0..length).map(|n| 20.0 + f64::from(n)));
            for points in [startup, steady] {
                let growth = Growth::of(&points).unwrap();
                assert!(growth.per_minute > 0.0 && growth.over_secs < 300);
                assert_eq!(growth.full_in_minutes(200.0), None, "{growth:?}");
            }
        }
    }

    #[test]
    fn a_step_a_tooth_and_noise_do_not_surely_grow() {
        let step = series((0..200).map(|n| if n < 160 { 10.0 } else { 90.0 }));
        let teeth = series((0..200).map(|n| f64::from(40 + n % 20)));
        let few = series((0..5).map(f64::from));
        assert!(Growth::of(&step).unwrap().at_least.unwrap() <= 0.0);
        assert!(Growth::of(&teeth).unwrap().at_least.unwrap() <= 0.0);
        assert_eq!(Growth::of(&few).unwrap().at_least, None);
        assert_eq!(Growth::of(&[]), None);
    }

    #[test]
    fn what_was_before_a_clock_was_set_back_does_not_count() {
        let mut points = series((0..50).map(|_| 500.0));
        let later = series((0..50).map(f64::from));
        let hour = jiff::SignedDuration::from_secs(3600);
        points.extend(later.into_iter().map(|(at, value)| (Time(at.0 - hour), value)));
        let growth = Growth::of(&points).unwrap();
        assert_eq!((growth.samples, growth.max), (50, 49.0));
    }
}
