//! Random loads. The measure of flapping: a change of replicas that goes the other way than the one before is a *turn*.
//! Where the metric is in proportion to the load, there are as many turns as the load itself has, and not one more. Where it is
//! not (latency, requests under way), a level of the load may have one more: it is overshot, and corrected. Out, in and out again is flapping.

use aegis_api::Duration;
use aegis_api::wire::{Simulated, TraceRow};

use super::super::simulate;
use super::spec;

/// Numbers without a source of their own: each trace is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }

    fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

/// A load that goes from one level to the next by a step or a ramp, and stays there for a while.
struct Load {
    /// From when on, level and how long the way there takes.
    levels: Vec<(i64, f64, f64)>,
    until: i64,
}

impl Load {
    fn of(random: &mut Random) -> Self {
        let (mut at, mut levels) = (0, Vec::new());
        let count = 2 + i64::from(random.next() > 0.5) + i64::from(random.next() > 0.5);
        for _ in 0..=count {
            let ramp = if random.next() < 0.5 { 2.0 } else { 60.0 };
            levels.push((at, random.within(5.0, 180.0), ramp));
            at += 900;
        }
        Self { levels, until: at }
    }

    fn at(&self, secs: i64) -> f64 {
        let mut now = self.levels[0].1;
        for (begin, level, ramp) in &self.levels {
            if secs >= *begin {
                let passed = f64::from(u32::try_from(secs - begin).unwrap());
                let part = (passed / ramp).min(1.0);
                now += (level - now) * part;
            }
        }
        now
    }

    /// How often it turns from rising to falling or back.
    fn turns(&self) -> u32 {
        let ways: Vec<bool> = self.levels.windows(2).map(|pair| pair[1].1 > pair[0].1).collect();
        u32::try_from(ways.windows(2).filter(|pair| pair[0] != pair[1]).count()).unwrap()
    }
}

/// What replicas that each can do 20 a second make of a load, with noise of 3 %.
fn plant(load: f64, serving: u32, noise: f64, at: i64) -> TraceRow {
    let offered = load * (1.0 + 0.03 * noise);
    let capacity = 20.0 * f64::from(serving.max(1));
    let used = (offered / capacity).min(1.0);
    let millis = if used < 0.95 { 30.0 / (1.0 - used) } else { 5000.0 };
    TraceRow {
        at,
        replicas: serving,
        requests_per_second: Some(offered.min(capacity)),
        in_flight: Some(offered.min(capacity) * millis / 1000.0),
        p95_milliseconds: Some(millis),
        cpu_percent: Some(used * 100.0),
        memory_percent: Some(40.0),
        ..TraceRow::default()
    }
}

#[test]
fn a_thousand_random_loads_never_make_it_oscillate() {
    let specs = [
        "{metric: RequestsPerSecond, value: 12}",
        "{metric: Cpu, percent: 60}",
        "{metric: LatencyP95, milliseconds: 200}",
        "{metric: InFlight, value: 1}",
        "{metric: RequestsPerSecond, value: 12}, {metric: Cpu, percent: 70}, {metric: LatencyP95, milliseconds: 300}",
    ];
    let mut random = Random(0x5eed_cafe_f00d_1234);
    let (mut changes, mut most_turns) = (0, 0);
    for trace in 0..1000 {
        let targets = specs[trace % specs.len()];
        let spec = spec(targets, "scaleDownWindow: 2m").with_max(20);
        let load = Load::of(&mut random);
        let summary = simulate(
            &spec,
            4,
            Duration::from_secs(5),
            (0..load.until).step_by(2),
            |at, serving| plant(load.at(at), serving, random.within(-1.0, 1.0), at),
        );
        assert!(
            turns_within_a_level(&load, &summary.rows) <= 1,
            "trace {trace} ({targets}), {:?}\n{:#?}",
            load.levels,
            summary.rows
        );
        // The first change leads from where it happens to begin to the load.
        let allowed = load.turns() + 1;
        assert!(
            targets.contains("Latency") || targets.contains("InFlight") || summary.turns <= allowed,
            "trace {trace} ({targets}) turned {} times, its load {allowed}: {:?}\n{:#?}",
            summary.turns,
            load.levels,
            summary.rows
        );
        changes += summary.outs + summary.ins;
        most_turns = most_turns.max(summary.turns);
    }
    assert!(
        changes > 2000 && most_turns >= 2,
        "it was put to the test: {changes} {most_turns}"
    );
}

/// The most turns while the load was on its way to one level and there.
fn turns_within_a_level(load: &Load, rows: &[Simulated]) -> usize {
    let of_level = load.levels.iter().map(|(begin, _, _)| {
        let rows = rows.iter().filter(|row| (*begin..*begin + 900).contains(&row.at));
        let changes = rows.filter(|row| row.desired != row.replicas);
        let ways: Vec<bool> = changes.map(|row| row.desired > row.replicas).collect();
        ways.windows(2).filter(|pair| pair[0] != pair[1]).count()
    });
    of_level.max().unwrap()
}

#[test]
fn requests_under_way_which_more_replicas_make_fewer_settle_at_a_number_for_a_load_that_stays() {
    for (load, replicas) in [(30.0, 2), (30.0, 4), (30.0, 12), (75.0, 3), (75.0, 20)] {
        let spec = spec("{metric: InFlight, value: 1}", "scaleDownWindow: 1m").with_max(20);
        let summary = simulate(
            &spec,
            replicas,
            Duration::from_secs(5),
            (0..3500).step_by(2),
            |at, serving| plant(load, serving, 0.0, at),
        );
        assert!(summary.turns <= 1, "{load} from {replicas}: {:#?}", summary.rows);
        let last = summary.rows.last().unwrap();
        let under_way = plant(load, last.desired, 0.0, 0).in_flight.unwrap() / f64::from(last.desired);
        assert!(
            (0.3..=1.1).contains(&under_way),
            "{load} from {replicas} ends with {under_way} each: {last:#?}"
        );
    }
}

#[test]
fn a_load_that_stays_is_answered_within_two_steps_and_left_alone() {
    let spec = spec("{metric: Cpu, percent: 60}", "scaleDownWindow: 1m").with_max(20);
    let summary = simulate(
        &spec,
        1,
        Duration::from_secs(5),
        (0..1200).step_by(2),
        |at, serving| plant(70.0, serving, 0.0, at),
    );
    assert_eq!((summary.turns, summary.ins), (0, 0), "{:#?}", summary.rows);
    assert!(
        (6..=7).contains(&summary.most),
        "70 of 20 × 60 %: {}",
        summary.most
    );
    assert!(summary.outs <= 4, "{:#?}", summary.rows);
}

trait WithMax {
    fn with_max(self, max: u32) -> Self;
}

impl WithMax for aegis_api::workload::autoscale::Autoscale {
    fn with_max(self, max: u32) -> Self {
        Self { max, ..self }
    }
}
