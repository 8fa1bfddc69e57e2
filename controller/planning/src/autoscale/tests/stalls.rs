//! Requests become slow for another reason than that replicas are full: nothing is learned from that of how many they can do, so
//! that it scales in again when it is over. Requests end when they do, and are counted then, as in a log.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_api::signals::{Outcome, Requests};
use aegis_api::workload::autoscale::Saturation;

use super::super::measure::{Replicas, Requested, measure};
use super::super::{Rate, Reading, Situation};
use super::{World, at, serving, spec};

/// Seconds until something happens, and until it has been over for long.
const BEGINS: f64 = 20.0;
const LONG: i64 = 520;
/// Requests a second meanwhile and afterwards, and how long one takes that nothing delays.
const BUSY: f64 = 20.0;
const CALM: f64 = 4.0;
const QUICK: f64 = 0.05;

/// What happens, from [`BEGINS`] on.
#[derive(Clone, Copy)]
struct Trouble {
    name: &'static str,
    /// Requests a second, and afterwards.
    rate: f64,
    afterwards: f64,
    /// When it is over, seconds.
    over: f64,
    /// When replicas last came, seconds.
    came: i64,
    /// When the request ends that arrived then as the nth, and how.
    ends: fn(f64, u32) -> (f64, Outcome),
}

fn is_under_way(secs: f64, over: f64) -> bool {
    (BEGINS..over).contains(&secs)
}

/// The spans of a log.
fn spans(trouble: &Trouble) -> Vec<Requests> {
    let mut spans: BTreeMap<i64, Requests> = BTreeMap::new();
    let (mut arrives, mut number) = (-60.0, 0_u32);
    while arrives < f64::from(i32::try_from(LONG).unwrap()) {
        let is_now = is_under_way(arrives, trouble.over);
        let (ends, outcome) = match is_now {
            true => (trouble.ends)(arrives, number),
            false => (arrives + QUICK, Outcome::Answered),
        };
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "seconds of a test"
        )]
        let begin = (ends / 3.0).floor() as i64 * 3;
        let span = spans
            .entry(begin)
            .or_insert_with(|| Requests::none(at(begin), Duration::from_secs(3)));
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of a test"
        )]
        span.count(outcome, ((ends - arrives) * 1000.0) as u32);
        number += 1;
        arrives += 1.0
            / match arrives < trouble.over {
                true => trouble.rate,
                false => trouble.afterwards,
            };
    }
    spans.into_values().collect()
}

/// The workload long after it was over.
fn lived_through(target: &str, most: u32, trouble: &Trouble) -> World {
    let mut world = World::new(spec(target, "metricWindow: 30s, scaleDownWindow: 30s"), 4);
    world.spec.max = most;
    let spans = spans(trouble);
    let mut came = -600;
    for secs in (0..LONG).step_by(2) {
        if secs == trouble.came {
            came = secs;
        }
        let known = spans.iter().filter(|span| span.at < at(secs)).copied();
        let requested = Requested::Since(at(-60), known.collect());
        let replicas = Replicas {
            serving: (0..world.replicas).map(|index| format!("web-{index}")).collect(),
            settled: Some(at(came)),
            ..Replicas::default()
        };
        let reading = measure(&world.spec, 0, &[], &replicas, &requested, at(secs));
        let before = world.replicas;
        let situation = Situation {
            serving: before,
            readings: vec![reading],
            ..Situation::default()
        };
        world.pass(secs, &situation);
        if world.replicas > before {
            came = secs;
        }
    }
    world
}

const TARGETS: [&str; 2] = [
    "{metric: InFlight, value: 2}",
    "{metric: LatencyP95, milliseconds: 300}",
];

#[test]
fn what_makes_requests_slow_and_is_no_lack_of_replicas_does_not_keep_it_from_scaling_in() {
    let all: [Trouble; 9] = [
        Trouble {
            name: "a stall: none ends, and all do at once afterwards",
            rate: BUSY,
            afterwards: CALM,
            over: 60.0,
            came: -600,
            ends: |_, _| (60.0, Outcome::Answered),
        },
        Trouble {
            name: "a short stall",
            rate: BUSY,
            afterwards: CALM,
            over: 28.0,
            came: -600,
            ends: |_, _| (28.0, Outcome::Answered),
        },
        Trouble {
            name: "a stall that the load balancer ends for each: 504",
            rate: BUSY,
            afterwards: CALM,
            over: 140.0,
            came: -600,
            ends: |secs, _| (secs + 20.0, Outcome::Failed),
        },
        Trouble {
            name: "a stall that clients do not wait for: 499",
            rate: BUSY,
            afterwards: CALM,
            over: 140.0,
            came: -600,
            ends: |secs, _| (secs + 10.0, Outcome::Cancelled),
        },
        Trouble {
            name: "a partial stall: one of four hangs",
            rate: BUSY,
            afterwards: CALM,
            over: 140.0,
            came: -600,
            ends: |secs, number| {
                (
                    secs + if number % 4 == 0 { 20.0 } else { QUICK },
                    Outcome::Answered,
                )
            },
        },
        Trouble {
            name: "a partial stall: every second one hangs",
            rate: BUSY,
            afterwards: CALM,
            over: 140.0,
            came: -600,
            ends: |secs, number| {
                (
                    secs + if number % 2 == 0 { 20.0 } else { QUICK },
                    Outcome::Answered,
                )
            },
        },
        Trouble {
            name: "a restart: what waited ends when they are back",
            rate: BUSY,
            afterwards: CALM,
            over: 32.0,
            came: 32,
            ends: |_, _| (32.0, Outcome::Answered),
        },
        Trouble {
            name: "a cold start: they have just come, and are slow at first",
            rate: BUSY,
            afterwards: CALM,
            over: 45.0,
            came: 20,
            ends: |secs, _| (secs + 3.0, Outcome::Answered),
        },
        Trouble {
            name: "few requests that each take long",
            rate: 0.5,
            afterwards: 0.15,
            over: 140.0,
            came: -600,
            ends: |secs, _| (secs + 30.0, Outcome::Answered),
        },
    ];
    for target in TARGETS {
        for trouble in &all {
            let world = lived_through(target, 6, trouble);
            assert_eq!(
                (world.replicas, world.status.saturation),
                (1, None),
                "{target}, {}: {:?} {}",
                trouble.name,
                world.status.changes,
                world.status.message
            );
        }
    }
}

/// A queue: 20 a second come and 16 a second are answered, 4 of each of the four that may be.
const FULL: Trouble = Trouble {
    name: "full",
    rate: BUSY,
    afterwards: 12.0,
    over: 80.0,
    came: -600,
    ends: |secs, _| (BEGINS + (secs - BEGINS) * BUSY / 16.0 + QUICK, Outcome::Answered),
};

#[test]
fn the_rate_at_which_replicas_are_full_is_learned_and_kept_away_from() {
    for target in TARGETS {
        // 12 a second are 3 of each: one fewer would have as many as it was full with.
        let world = lived_through(target, 4, &FULL);
        let full = world.status.saturation.map(|full| full.requests_per_second);
        assert!(
            full.is_some_and(|full| (3.9..=4.1).contains(&full)) && world.replicas == 4,
            "{target}: {full:?}, {} replicas",
            world.replicas
        );
    }
}

#[test]
fn a_rate_that_they_have_within_the_target_is_none_that_they_are_full_with() {
    let rate = |per_second: f64| Rate {
        per_second,
        is_steady: true,
    };
    let readings: [fn(f64, Rate) -> Reading; 2] = [
        |part, rate| Reading::Total {
            now: part * 8.0,
            ahead: None,
            rate: Some(rate),
        },
        |part, rate| Reading::Latency {
            millis: part * 300.0,
            rate,
        },
    ];
    for (target, reading) in TARGETS.into_iter().zip(readings) {
        // (part of the target, requests a second of all four, full with 2.5 of each is kept)
        for (part, all, is_kept) in [
            (0.2, 9.0, true),
            (0.2, 10.0, false),
            (0.2, 40.0, false),
            // About on target or above it, they may well be full.
            (1.05, 10.0, true),
            (1.5, 10.0, true),
        ] {
            let mut world = World::new(spec(target, "scaleDownWindow: 1h"), 4);
            world.status.saturation = Some(Saturation {
                requests_per_second: 2.5,
                at: at(0),
            });
            world.pass(2, &serving(4, vec![reading(part, rate(all))]));
            assert_eq!(
                world.status.saturation.is_some(),
                is_kept,
                "{target}: {part} of it, {all} a second"
            );
        }
    }
}
