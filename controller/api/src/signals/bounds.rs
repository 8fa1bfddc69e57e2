//! From which reading something is a symptom: the one home of these numbers, for detectors, for what an incident measures
//! and for those who review it. Pure.

use crate::scalar::Duration;

/// Percent of the memory limit from which memory is a symptom. It is 85 as people read it: two meters of one memory differ
/// by what the kernel moves between its lists meanwhile.
pub const MEMORY_PERCENT: f64 = 84.5;
/// Percent of one core from which CPU is a symptom.
pub const CPU_PERCENT: f64 = 85.0;
/// Error lines within [`LOG_WITHIN`] from which they are a burst.
pub const ERROR_BURST: u32 = 8;
/// How far back a log line is of now.
pub const LOG_WITHIN: Duration = Duration::from_secs(300);
/// Crashes from which they are a loop.
pub const CRASH_LOOP: u32 = 3;
/// Within which time they are.
pub const CRASH_LOOP_WITHIN: Duration = Duration::from_secs(600);
/// How long ago a death is news.
pub const DIED_WITHIN: Duration = Duration::from_secs(60);
/// How long replicas may take to be ready after a change before their absence is a symptom of its own.
pub const STILL_COMING: Duration = Duration::from_secs(60);
/// Minutes until memory is full below which steady growth is a leak to act on.
pub const LEAK_MINUTES: f64 = 30.0;
/// Percent of the memory limit from which it is.
pub const LEAK_PERCENT: f64 = 40.0;
/// Percent of scheduling periods held back by the CPU limit from which that is too many.
pub const THROTTLED_PERCENT: f64 = 25.0;
/// Percent of the limit of processes and threads from which they are too many.
pub const PIDS_PERCENT: f64 = 90.0;
/// Percent of requests answered with 5xx from which they are too many.
pub const HTTP_ERROR_PERCENT: f64 = 2.0;
/// Milliseconds for 95 of 100 requests from which answers are slow.
pub const HTTP_LATENCY_MS: f64 = 1000.0;
/// Requests below which a ratio or a quantile says nothing.
pub const LEAST_REQUESTS: u32 = 20;
/// Over how long ratios and quantiles of requests are taken.
pub const REQUESTS_WITHIN: Duration = Duration::from_secs(60);
/// Percent of a file system in use from which it is nearly full.
pub const DISK_PERCENT: f64 = 90.0;
/// Percent of a file system's inodes in use from which they are nearly used up.
pub const INODES_PERCENT: f64 = 90.0;
/// Percent of the host's memory in use from which it is short.
pub const HOST_MEMORY_PERCENT: f64 = 95.0;
/// How old the newest reading may be to be of now.
pub const FRESH: Duration = Duration::from_secs(90);
/// How many robust standard deviations from its own baseline a reading is odd.
pub const ANOMALY_FACTOR: f64 = 6.0;
/// Readings of the last day without which there is no baseline: two hours.
pub const ANOMALY_LEAST: usize = 120;
