//! The ramp that the test on real containers runs (`tests/tests/docker_autoscale.rs`, which prints its trace), by the documented
//! formula of the HorizontalPodAutoscaler: `desired = ceil(current × measured / target)`, within a tolerance of 0.1, scaled out at
//! once and in by the highest answer of the last 10 s. Worked out by hand, row by row.
//!
//! `ramp.jsonl` is the trace of one run on nginx 1.28 with replicas of 0.3 CPUs: requests a second over the last 6 s, and the replicas
//! that the controller had made of them, which decides every 2 s at moments of its own and learns of requests from a log 2 to 5 s late.

use aegis_api::Duration;
use aegis_api::wire::TraceRow;

use super::super::simulate;
use super::{World, serving, spec, total};

const TRACE: &str = include_str!("ramp.jsonl");
/// Of one replica 12 a second; the spec of the test.
const TARGET: &str = "{metric: RequestsPerSecond, value: 12}";
const REST: &str = "metricWindow: 6s, scaleDownWindow: 10s";
const MOST: u32 = 6;

/// When, replicas, what the formula answers, and what follows.
const BY_HAND: [(i64, u32, u32, u32); 29] = [
    // 6.3 / (12 × 1) = 0.53: ceil(1 × 0.53) = ceil(0.53) = 1.
    (6, 1, 1, 1),
    // 8.8 / (12 × 1) = 0.73: ceil(1 × 0.73) = ceil(0.73) = 1.
    (8, 1, 1, 1),
    // 12.3 / (12 × 1) = 1.03: within the tolerance of 0.1, 1.
    (10, 1, 1, 1),
    // 16.2 / (12 × 1) = 1.35: ceil(1 × 1.35) = ceil(1.35) = 2; no window.
    (12, 1, 2, 2),
    // 19.8 / (12 × 2) = 0.83: ceil(2 × 0.83) = ceil(1.65) = 2.
    (14, 2, 2, 2),
    // 23.7 / (12 × 2) = 0.99: within the tolerance of 0.1, 2.
    (16, 2, 2, 2),
    // 27.2 / (12 × 2) = 1.13: ceil(2 × 1.13) = ceil(2.27) = 3; no window.
    (18, 2, 3, 3),
    // 31 / (12 × 3) = 0.86: ceil(3 × 0.86) = ceil(2.58) = 3.
    (20, 3, 3, 3),
    // 34.7 / (12 × 3) = 0.96: within the tolerance of 0.1, 3.
    (22, 3, 3, 3),
    // 38.5 / (12 × 3) = 1.07: within the tolerance of 0.1, 3.
    (24, 3, 3, 3),
    // 42.2 / (12 × 3) = 1.17: ceil(3 × 1.17) = ceil(3.52) = 4; no window.
    (26, 3, 4, 4),
    // 45.8 / (12 × 4) = 0.95: within the tolerance of 0.1, 4.
    (28, 4, 4, 4),
    // 49.5 / (12 × 4) = 1.03: within the tolerance of 0.1, 4.
    (30, 4, 4, 4),
    // 53.2 / (12 × 4) = 1.11: ceil(4 × 1.11) = ceil(4.43) = 5; no window.
    (32, 4, 5, 5),
    // 57 / (12 × 5) = 0.95: within the tolerance of 0.1, 5.
    (34, 5, 5, 5),
    // 60.7 / (12 × 5) = 1.01: within the tolerance of 0.1, 5.
    (36, 5, 5, 5),
    // 64.5 / (12 × 5) = 1.07: within the tolerance of 0.1, 5.
    (38, 5, 5, 5),
    // 67.5 / (12 × 5) = 1.12: ceil(5 × 1.12) = ceil(5.62) = 6; no window.
    (40, 5, 6, 6),
    // 69.5 / (12 × 6) = 0.97: within the tolerance of 0.1, 6.
    (42, 6, 6, 6),
    // 70 / (12 × 6) = 0.97: within the tolerance of 0.1, 6.
    (44, 6, 6, 6),
    // 53.7 / (12 × 6) = 0.75: ceil(6 × 0.75) = ceil(4.48) = 5; 6 at 44 is within 10 s.
    (46, 6, 5, 6),
    // 32 / (12 × 6) = 0.44: ceil(6 × 0.44) = ceil(2.67) = 3; 6 at 44 is within 10 s.
    (48, 6, 3, 6),
    // 10.3 / (12 × 6) = 0.14: ceil(6 × 0.14) = ceil(0.86) = 1; 6 at 44 is within 10 s.
    (50, 6, 1, 6),
    // 5 / (12 × 6) = 0.07: ceil(6 × 0.07) = ceil(0.42) = 1; 6 at 44 is within 10 s.
    (52, 6, 1, 6),
    // 5 / (12 × 6) = 0.07: ceil(6 × 0.07) = ceil(0.42) = 1; 5 at 46 is within 10 s.
    (54, 6, 1, 5),
    // 5 / (12 × 5) = 0.08: ceil(5 × 0.08) = ceil(0.42) = 1; 3 at 48 is within 10 s.
    (56, 5, 1, 3),
    // 5 / (12 × 3) = 0.14: ceil(3 × 0.14) = ceil(0.42) = 1; none was more within 10 s.
    (58, 3, 1, 1),
    // 5 / (12 × 1) = 0.42: ceil(1 × 0.42) = ceil(0.42) = 1.
    (60, 1, 1, 1),
    // 5 / (12 × 1) = 0.42: ceil(1 × 0.42) = ceil(0.42) = 1.
    (62, 1, 1, 1),
];

fn rows() -> Vec<TraceRow> {
    let rows = TRACE.lines().map(|line| serde_json::from_str(line).unwrap());
    rows.collect()
}

fn ramp() -> aegis_api::workload::Autoscale {
    let mut spec = spec(TARGET, REST);
    spec.max = MOST;
    spec
}

#[test]
fn each_moment_of_the_ramp_is_decided_as_the_documented_formula_does_by_hand() {
    let rows = rows();
    assert_eq!(rows.len(), BY_HAND.len());
    let mut world = World::new(ramp(), 1);
    for (row, (secs, current, formula, follows)) in rows.iter().zip(BY_HAND) {
        assert_eq!(
            (row.at, world.replicas),
            (secs, current),
            "the rows follow each other"
        );
        let rate = row.requests_per_second.unwrap();
        let decision = world.pass(secs, &serving(current, vec![total(rate)]));
        assert_eq!(
            (decision.status.wanted, decision.status.desired),
            (Some(formula), follows),
            "at {secs}, {rate} a second: {}",
            decision.status.message
        );
    }
}

#[test]
fn a_what_if_on_the_ramp_decides_the_same_and_turns_once() {
    let rows = rows();
    let moments: Vec<i64> = rows.iter().map(|row| row.at).collect();
    let mut trace = rows.into_iter();
    let at_once = Duration::from_secs(0);
    let summary = simulate(&ramp(), 1, at_once, moments, |_, _| trace.next().unwrap());
    let changes = BY_HAND
        .iter()
        .filter(|(_, current, _, follows)| current != follows);
    let by_hand: Vec<(i64, u32, u32)> = changes
        .map(|(at, current, _, follows)| (*at, *current, *follows))
        .collect();
    let decided = summary.rows.iter().filter(|row| row.replicas != row.desired);
    let decided: Vec<(i64, u32, u32)> = decided.map(|row| (row.at, row.replicas, row.desired)).collect();
    assert_eq!(decided, by_hand);
    assert_eq!((summary.turns, summary.fewest, summary.most), (1, 1, MOST));
}

#[test]
fn the_controller_had_as_many_replicas_as_the_formula_says_of_the_last_eight_seconds() {
    // It scales at moments of its own, on requests that have arrived in the log by then.
    let rows = rows();
    for (index, row) in rows.iter().enumerate() {
        let near = BY_HAND[index.saturating_sub(4)..=index].iter();
        let (least, most) = near.fold((u32::MAX, 0), |(least, most), (_, current, _, follows)| {
            (least.min(*current), most.max(*current).max(*follows))
        });
        assert!(
            (least..=most).contains(&row.replicas),
            "{row:?}: {least} to {most}"
        );
    }
}
