//! The leak's property tests. Counted over the seeds below, each series judged every 30 s with the default bounds:
//!
//! | series | judged True |
//! |---|---|
//! | monotone leak that takes 6 to 40 min, noise of 1 % of the limit | all, before it is full |
//! | the same after 20 min without | all, before it is full |
//! | saw tooth, teeth of 30 s to 5 min, 5 to 45 % of the limit high | 0 |
//! | one or two steps up | at most 1 in 100 |
//! | noise alone, also a random walk that returns to its mean | at most 1 in 100 |

use super::*;

use Verdict::{False, True, Unknown};

const LEAK: Condition = Condition::MemoryGrowth { minutes: 30.0 };
const SEEDS: u64 = 200;

/// Numbers in -1..1, the same for a seed everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(1_u32 << 30) - 1.0
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (self.next() + 1.0) / 2.0 * (high - low)
    }
}

/// Whether the series, a reading each 3 s, is ever found to leak; judged every 30 s over at most a quarter of an hour.
fn ever(samples: &[Sample]) -> Option<i64> {
    (1..=samples.len() / 10).find_map(|step| {
        let end = step * 10;
        let ring = &samples[end.saturating_sub(300)..end];
        let now = ring.last().unwrap().at.0.as_second() - at(0).0.as_second();
        (verdict(&LEAK, now, container(ring, &[])) == True).then_some(now)
    })
}

fn series(count: i64, mut memory: impl FnMut(f64) -> f64) -> Vec<Sample> {
    (0..count)
        .map(|n| {
            sample(
                n * 3,
                5.0,
                memory(f64::from(i32::try_from(n * 3).unwrap())).clamp(1.0, 100.0),
            )
        })
        .collect()
}

fn found(mut make: impl FnMut(&mut Noise) -> Vec<Sample>) -> u64 {
    let seeds = 0..SEEDS;
    let count = seeds.filter(|seed| ever(&make(&mut Noise(seed * 7919 + 1))).is_some());
    u64::try_from(count.count()).unwrap()
}

#[test]
fn every_monotone_leak_is_found_before_memory_is_full() {
    for (seed, well) in (0..SEEDS).flat_map(|seed| [(seed, 0.0), (seed, 1200.0)]) {
        let mut noise = Noise(seed * 7919 + 1);
        let (start, minutes) = (noise.within(5.0, 40.0), noise.within(6.0, 40.0));
        let full = (100.0 - start) / minutes;
        let samples = series(1200, |secs| {
            start + full * (secs - well).max(0.0) / 60.0 + noise.next()
        });
        let seen = ever(&samples);
        let full_at = well + minutes * 60.0;
        let in_time = seen.is_some_and(|seen| f64::from(i32::try_from(seen).unwrap()) < full_at);
        assert!(
            in_time,
            "seed {seed}: from {start:.0} % in {minutes:.0} min after {well} s, seen at {seen:?}"
        );
    }
}

#[test]
fn saw_teeth_are_no_leak() {
    let count = found(|noise| {
        let (low, high) = (noise.within(10.0, 50.0), noise.within(5.0, 45.0));
        let (period, phase) = (noise.within(30.0, 300.0), noise.within(0.0, 1.0));
        series(800, |secs| {
            low + high * (secs / period + phase).fract() + noise.next() * 0.5
        })
    });
    assert_eq!(count, 0, "of {SEEDS}");
}

#[test]
fn steps_are_no_leak() {
    let count = found(|noise| {
        let (low, first, second) = (
            noise.within(10.0, 40.0),
            noise.within(5.0, 25.0),
            noise.within(0.0, 25.0),
        );
        let (one, two) = (noise.within(0.0, 1200.0), noise.within(0.0, 2400.0));
        series(800, |secs| {
            let step = |at: f64, by: f64| if secs >= at { by } else { 0.0 };
            low + step(one, first) + step(two, second) + noise.next() * 0.5
        })
    });
    assert!(count <= SEEDS / 100, "{count} of {SEEDS}");
}

#[test]
fn noise_is_no_leak() {
    let count = found(|noise| {
        let (level, size) = (noise.within(40.0, 80.0), noise.within(0.0, 8.0));
        let mut walk = 0.0;
        series(800, |_| {
            walk = walk * 0.98 + noise.next() * 0.3;
            level + walk + noise.next() * size
        })
    });
    assert!(count <= SEEDS / 100, "{count} of {SEEDS}");
}

#[test]
fn gaps_and_clock_steps_neither_hide_a_leak_nor_make_one() {
    let leak = series(280, |secs| 40.0 + secs / 20.0);
    // A minute without readings.
    let gap: Vec<Sample> = leak
        .iter()
        .filter(|one| !(300..360).contains(&(one.at.0.as_second() - at(0).0.as_second())))
        .copied()
        .collect();
    assert_eq!(verdict(&LEAK, 837, container(&gap, &[])), True);
    // The clock goes back by an hour in the middle: judged by what came after.
    let hour = jiff::SignedDuration::from_secs(3600);
    let stepped: Vec<Sample> = (0..)
        .zip(&leak)
        .map(|(n, one)| match n < 100 {
            true => Sample {
                at: Time(one.at.0 + hour),
                ..*one
            },
            false => *one,
        })
        .collect();
    assert_eq!(verdict(&LEAK, 837, container(&stepped, &[])), True);
    let flat = series(280, |_| 60.0);
    let stepped: Vec<Sample> = (0..)
        .zip(&flat)
        .map(|(n, one)| match n < 100 {
            true => Sample {
                at: Time(one.at.0 + hour),
                memory_bytes: 100 * MIB,
                ..*one
            },
            false => *one,
        })
        .collect();
    assert_eq!(verdict(&LEAK, 837, container(&stepped, &[])), False);
}

#[test]
fn a_new_process_is_judged_by_its_own_readings_alone() {
    let leak = series(280, |secs| 40.0 + secs / 20.0);
    let restarted = ContainerSignals {
        started_at: Some(at(825)),
        ..container(&leak, &[])
    };
    assert_eq!(verdict(&LEAK, 837, restarted), Unknown);
}

#[test]
fn what_was_given_back_before_is_no_leak() {
    let tooth = series(280, |secs| 40.0 + secs / 20.0);
    let history: Vec<Minute> = (-60..-16)
        .map(|n| minute(n, 5.0, if n < -40 { 88.0 } else { 35.0 }))
        .collect();
    let one = ContainerSignals {
        history: &history,
        ..container(&tooth, &[])
    };
    let found = of_one(&LEAK, 837, one);
    assert_eq!(found.verdict, False, "{found:?}");
    assert!(found.message.contains("given back"), "{found:?}");
}
