//! What each condition finds of series with a known truth. The generators make what real containers show: leaks, saw
//! teeth, steps, gaps, clocks that are set, noise.

mod conditions;
mod hysteresis;
mod leaks;
mod objectives;
mod requests;

use aegis_api::Time;
use aegis_api::lifecycle::{Cause, Death};
use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, Minute, Sample, WorkloadSignals};
use aegis_api::workload::Health;

use super::{Condition, Finding, Verdict};

const MIB: u64 = 1 << 20;

pub(super) fn at(secs: i64) -> Time {
    Time(jiff::Timestamp::from_second(1_900_000_000 + secs).unwrap())
}

/// A reading; memory in percent of a limit of 1000 MiB.
pub(super) fn sample(secs: i64, cpu: f32, memory_percent: f64) -> Sample {
    #[expect(clippy::as_conversions, reason = "a test's own positive number")]
    let memory_bytes = (memory_percent * 10.0) as u64 * MIB;
    Sample {
        at: at(secs),
        cpu_percent: Some(cpu),
        throttled_percent: None,
        memory_bytes,
        memory_limit_bytes: 1000 * MIB,
        net_rx_bytes: 0,
        net_tx_bytes: 0,
        pids: 10,
        pids_limit: 0,
    }
}

/// A minute, counted from the same moment.
fn minute(minutes: i64, cpu: f32, memory_percent: f64) -> Minute {
    let sample = sample(minutes * 60, cpu, memory_percent);
    let minute = u32::try_from(sample.at.0.as_second() / 60).unwrap();
    Minute::new(
        minute,
        Some(cpu),
        u32::try_from(sample.memory_bytes >> 10).unwrap(),
    )
}

/// A container that runs well, with these readings.
pub(super) fn container<'a>(samples: &'a [Sample], deaths: &'a [Death]) -> ContainerSignals<'a> {
    ContainerSignals {
        name: "web",
        state: ContainerState::Running,
        exit_code: None,
        oom_killed: false,
        started_at: Some(at(-100_000)),
        finished_at: None,
        health: Health::Healthy,
        docker_unhealthy: None,
        lost_network: None,
        starting: false,
        stopped_by_hand: false,
        memory_limit_bytes: Some(1000 * MIB),
        samples,
        history: &[],
        deaths,
        error_lines: Some(0),
        matching_lines: None,
    }
}

pub(super) fn workload<'a>(now: i64, containers: &'a [ContainerSignals<'a>]) -> WorkloadSignals<'a> {
    WorkloadSignals {
        now: at(now),
        containers,
        desired: 1,
        ready: 1,
        changing: false,
        acted_at: None,
        requests: None,
        in_rotation: None,
        missing: None,
    }
}

fn death(secs: i64, cause: Cause, exit_code: i64) -> Death {
    Death {
        at: Some(at(secs)),
        cause,
        exit_code,
        ..Death::default()
    }
}

/// What a condition finds of one container.
fn of_one(condition: &Condition, now: i64, container: ContainerSignals<'_>) -> Finding {
    condition.evaluate(&workload(now, &[container]))
}

fn verdict(condition: &Condition, now: i64, container: ContainerSignals<'_>) -> Verdict {
    of_one(condition, now, container).verdict
}
