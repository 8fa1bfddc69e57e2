//! What is measured of containers, of the requests to them and of the host: plain data, as the rings keep it, and the
//! bounds from which a reading is a symptom. The reconciler of detectors fills it in; what judges it is in
//! `aegis-planning`. Pure.

pub mod bounds;
mod growth;
mod requests;

pub use growth::{Growth, gave_back};
pub use requests::{CLASSES, COARSE_CLASSES, COARSE_LATENCY_MS, LATENCY_MS, Outcome, Requests};

use crate::lifecycle::Death;
use crate::observed::ContainerState;
use crate::scalar::Time;
use crate::workload::Health;

/// One reading of a container's counters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, by the controller's clock.
    pub at: Time,
    /// CPU since the reading before, percent of one core.
    pub cpu_percent: Option<f32>,
    /// Scheduling periods since the reading before in which it was held back by its CPU limit, percent. Absent where it
    /// has no such limit, or the engine does not tell.
    pub throttled_percent: Option<f32>,
    /// Memory in use without the inactive page cache, bytes.
    pub memory_bytes: u64,
    /// Limit, bytes; the host's memory, or 0, without one.
    pub memory_limit_bytes: u64,
    /// Received, bytes.
    pub net_rx_bytes: u64,
    /// Sent, bytes.
    pub net_tx_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Most of them that it may have; 0 without a limit.
    pub pids_limit: u32,
}

/// One minute of a container, compact: rings hold a day of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minute {
    /// Minutes since 1970.
    pub minute: u32,
    /// Mean CPU, percent of one core; not a number where it was not measured.
    cpu_percent: f32,
    /// Memory in use at its end, KiB.
    pub memory_kib: u32,
}

impl Minute {
    /// One with these readings.
    pub fn new(minute: u32, cpu_percent: Option<f32>, memory_kib: u32) -> Self {
        Self {
            minute,
            cpu_percent: cpu_percent.unwrap_or(f32::NAN),
            memory_kib,
        }
    }

    /// Mean CPU, percent of one core.
    pub fn cpu_percent(&self) -> Option<f32> {
        Some(self.cpu_percent).filter(|cpu| cpu.is_finite())
    }

    /// Memory in use at its end, bytes.
    pub fn memory_bytes(&self) -> u64 {
        u64::from(self.memory_kib) << 10
    }

    /// When it began.
    pub fn at(&self) -> Time {
        Time(jiff::Timestamp::from_second(i64::from(self.minute) * 60).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

/// What is known of one container at a moment. Samples and deaths are oldest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContainerSignals<'a> {
    /// Its name.
    pub name: &'a str,
    /// Docker's word for its state.
    pub state: ContainerState,
    /// Exit code of the last run, where it does not run.
    pub exit_code: Option<i64>,
    /// The kernel OOM-killed it.
    pub oom_killed: bool,
    /// When its process started.
    pub started_at: Option<Time>,
    /// When it last ended.
    pub finished_at: Option<Time>,
    /// What the controller's own probe says.
    pub health: Health,
    /// Whether Docker's health check says `unhealthy`; absent where it has none or has no verdict yet.
    pub docker_unhealthy: Option<bool>,
    /// The network that it was made for, where it is connected to none at all.
    pub lost_network: Option<&'a str>,
    /// Its start period runs: that it does not answer yet is no trouble.
    pub starting: bool,
    /// A person, or a tool, stopped it, or it is not known yet whether one did.
    pub stopped_by_hand: bool,
    /// Its memory limit, bytes; absent where it has none.
    pub memory_limit_bytes: Option<u64>,
    /// Readings of the last quarter of an hour, a few seconds apart.
    pub samples: &'a [Sample],
    /// The minutes of the last day.
    pub history: &'a [Minute],
    /// How it ended in the last quarter of an hour.
    pub deaths: &'a [Death],
    /// Lines that report an error within [`bounds::LOG_WITHIN`]; absent where they were not read.
    pub error_lines: Option<u32>,
    /// Lines that match the detector's pattern within [`bounds::LOG_WITHIN`]; absent where they were not read.
    pub matching_lines: Option<u32>,
}

/// What is known of one workload at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkloadSignals<'a> {
    /// The moment.
    pub now: Time,
    /// Its containers.
    pub containers: &'a [ContainerSignals<'a>],
    /// Its `spec.replicas`.
    pub desired: u32,
    /// Of those, how many are ready.
    pub ready: u32,
    /// Whether it is being changed, so that replicas which are not ready yet are no trouble.
    pub changing: bool,
    /// When this controller, or a person through it, last acted on it: what was before does not count in a window.
    pub acted_at: Option<Time>,
    /// Requests that a load balancer sent to it, oldest first; absent where none is measured.
    pub requests: Option<&'a [Requests]>,
    /// Servers of it that a load balancer has in rotation; absent where no load balancer serves it.
    pub in_rotation: Option<u32>,
    /// Name of the container that it adopts, where that was there once, is gone, and was not removed by hand.
    pub missing: Option<&'a str>,
}

/// What is known of the host at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostSignals {
    /// Load averages over one and five minutes.
    pub load: Option<(f64, f64)>,
    /// What all cores have done since the host started.
    pub cpu_times: Option<CpuTimes>,
    /// CPU in use between the last two readings, of all cores: 0 to 1. Absent before the second one.
    pub cpu_ratio: Option<f64>,
    /// Cores.
    pub cores: Option<u32>,
    /// Memory that can be had without swapping, and all, bytes.
    pub memory: Option<(u64, u64)>,
    /// The file system of the engine.
    pub engine_disk: Option<Disk>,
    /// The file system of the state directory.
    pub state_disk: Option<Disk>,
    /// Since when the engine does not answer; absent while it does.
    pub engine_away_since: Option<Time>,
}

/// What all cores together have done, in the kernel's clock ticks; only its difference means anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Ticks in which a core worked.
    pub busy: u64,
    /// All ticks, those included in which a core was idle or waited for a disk.
    pub all: u64,
}

impl CpuTimes {
    /// The busy part of the time since `before`: 0 to 1. `None` where no time has passed, or the counters went back.
    #[expect(
        clippy::as_conversions,
        reason = "ticks to a ratio: the rounding of u64 to f64 is below what is shown"
    )]
    pub fn ratio_since(self, before: Self) -> Option<f64> {
        let busy = self.busy.checked_sub(before.busy)?;
        let all = self.all.checked_sub(before.all)?;
        (all > 0).then(|| (busy as f64 / all as f64).min(1.0))
    }
}

/// A file system. What a file system does not count is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that can be written without privilege, and all.
    pub bytes: Option<(u64, u64)>,
    /// Free and all inodes.
    pub inodes: Option<(u64, u64)>,
}

/// Percent of `all` that is not free; `None` where there is none of it.
#[expect(
    clippy::as_conversions,
    reason = "sizes to a percentage: the rounding of u64 to f64 is below what is shown"
)]
pub fn used_percent((free, all): (u64, u64)) -> Option<f64> {
    (all > 0).then(|| all.saturating_sub(free) as f64 / all as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_the_busy_part_of_what_has_passed_and_of_counters_that_went_back_nothing_is_known() {
        let times = |busy, all| CpuTimes { busy, all };
        let before = times(100, 1000);
        assert_eq!(times(125, 1100).ratio_since(before), Some(0.25));
        assert_eq!(times(100, 1000).ratio_since(before), None);
        assert_eq!(times(90, 1100).ratio_since(before), None);
        assert_eq!(times(u64::MAX, 1001).ratio_since(before), Some(1.0));
    }
}
