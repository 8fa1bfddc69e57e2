//! False alarms of the default detectors of requests, over workloads that are well. Each is judged every 3 s for a day:
//!
//! | requests a minute | of them bad | incidents |
//! |---|---|---|
//! | 25 to 3,000 | a quarter of the bound | 0 |
//! | 25 to 3,000 | half of the bound | at most 1 |
//! | 25 to 3,000 | five times the bound, from 40 a minute on | 1, within three minutes |

use super::super::{Change, Hysteresis, State, advance};
use super::*;

use aegis_api::signals::{Outcome, Requests};

const TIMES: Hysteresis = Hysteresis {
    hold: aegis_api::Duration::from_secs(60),
    clear: aegis_api::Duration::from_secs(120),
};
const ROUND: std::time::Duration = std::time::Duration::from_secs(3);
const DAYS: i64 = 1;
const RATES: [f64; 5] = [25.0, 60.0, 120.0, 300.0, 3000.0];

/// Numbers in 0..1, the same for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(1_u32 << 31)
    }

    /// How many come within a round where so many are expected.
    fn arrivals(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.roll(), 0);
        while product > limit {
            product *= self.roll();
            count += 1;
        }
        count
    }
}

/// When it fired, of requests at such a rate of which this part is bad, over so many rounds.
fn fired(condition: &Condition, rate: f64, part: f64, bad: (Outcome, u32), rounds: i64) -> Vec<i64> {
    let mut dice = Dice(rate.to_bits() ^ part.to_bits());
    let (mut spans, mut state, mut fired) = (Vec::<Requests>::new(), State::default(), Vec::new());
    for round in 0..rounds {
        let now = round * 3;
        let mut span = Requests::none(at(now), ROUND);
        for _ in 0..dice.arrivals(rate / 20.0) {
            match dice.roll() < part {
                true => span.count(bad.0, bad.1),
                false => span.count(Outcome::Answered, 20),
            }
        }
        if spans.len() >= 20 {
            spans.remove(0);
        }
        spans.push(span);
        let signals = WorkloadSignals {
            requests: Some(&spans),
            ..workload(now, &[])
        };
        let verdict = condition.evaluate(&signals).verdict;
        let (next, change) = advance(state, verdict, TIMES, at(now));
        if change == Some(Change::Open) {
            fired.push(now);
        }
        state = next;
    }
    fired
}

#[test]
fn a_workload_that_is_well_opens_no_incident_however_few_or_many_its_requests() {
    let rounds = DAYS * 24 * 3600 / 3;
    for rate in RATES {
        for (condition, bound, bad) in [
            (
                Condition::HttpErrors { percent: 2.0 },
                0.02,
                (Outcome::Failed, 20),
            ),
            (
                Condition::HttpLatency { millis: 1000.0 },
                0.05,
                (Outcome::Answered, 3000),
            ),
        ] {
            // The more there are, the less is left to chance.
            let rounds = if rate > 1000.0 { rounds / 10 } else { rounds };
            let quiet = fired(&condition, rate, bound / 4.0, bad, rounds);
            assert_eq!(quiet, Vec::<i64>::new(), "{condition:?}, {rate} a minute");
            let half = fired(&condition, rate, bound / 2.0, bad, rounds);
            assert!(half.len() <= 1, "{condition:?}, {rate} a minute: {half:?}");
        }
    }
}

#[test]
fn one_that_is_not_is_found_within_three_minutes() {
    for rate in RATES.into_iter().filter(|rate| *rate >= 40.0) {
        for (condition, bad) in [
            (Condition::HttpErrors { percent: 2.0 }, (Outcome::Failed, 20)),
            (
                Condition::HttpLatency { millis: 1000.0 },
                (Outcome::Answered, 3000),
            ),
        ] {
            let part = if bad.0 == Outcome::Failed { 0.1 } else { 0.25 };
            let found = fired(&condition, rate, part, bad, 600);
            assert!(
                found.first().is_some_and(|at| *at <= 180),
                "{condition:?}, {rate}: {found:?}"
            );
        }
    }
}
