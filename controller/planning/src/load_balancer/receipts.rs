//! When a zero-drop receipt is complete, and how many are kept. Pure; the log is read by the reconciler.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::load_balancer::DrainReceipt;

/// How long after a drain the log is read.
const SETTLES: Duration = Duration::from_millis(300);
/// As [`SETTLES`] for a drain that ran into its deadline: its requests end with their servers.
const SETTLES_FORCED: Duration = Duration::from_secs(12);
/// How many receipts a load balancer keeps.
const KEPT: usize = 50;

/// Whether a receipt still lacks its counts.
pub fn is_open(receipt: &DrainReceipt) -> bool {
    receipt.requests.is_none() && receipt.uncounted.is_none()
}

/// How long to wait before the log of a receipt is complete.
pub fn pause(receipt: &DrainReceipt, now: Time) -> Duration {
    let settles = if receipt.drained { SETTLES } else { SETTLES_FORCED };
    settles.saturating_sub(receipt.finished_at.age(now))
}

/// When the next receipt can be counted.
pub fn look_again(counted: &[DrainReceipt], new: &[DrainReceipt], now: Time) -> Option<Duration> {
    let open = counted.iter().chain(new).filter(|receipt| is_open(receipt));
    open.map(|receipt| pause(receipt, now)).min()
}

/// Earlier receipts and new ones, the newest last.
pub fn kept(earlier: Vec<DrainReceipt>, new: Vec<DrainReceipt>) -> Vec<DrainReceipt> {
    let mut all = earlier;
    all.extend(new);
    let excess = all.len().saturating_sub(KEPT);
    all.drain(..excess);
    all
}
