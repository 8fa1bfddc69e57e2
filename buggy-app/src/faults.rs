//! The faults that are switched on at the moment, and what they hold on to. No I/O, no HTTP.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::params::Ratio;

/// What one call of `/trigger_memory` takes, in bytes.
pub(crate) const CHUNK_BYTES: usize = 10 * 1024 * 1024;

/// At most so many threads burn CPU at once.
const MAX_BURNERS: usize = 8;

/// A share is kept as a whole number of these.
const RATIO_SCALE: f64 = 1_000_000.0;

/// All faults of this process. They last until they are switched off or the process ends.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    hoard: Mutex<Vec<Vec<u8>>>,
    error_millionths: AtomicU32,
    ordinary_requests: AtomicU64,
    slow_millis: AtomicU64,
    hung: AtomicBool,
    burners: AtomicUsize,
}

impl Faults {
    /// Takes another chunk of memory and writes to each of its pages, so that it counts against the limit.
    pub(crate) fn hoard_chunk(&self) -> usize {
        let chunk = vec![0xA5; CHUNK_BYTES];
        let mut hoard = self.hoard.lock().unwrap_or_else(PoisonError::into_inner);
        hoard.push(chunk);
        hoard.len()
    }

    pub(crate) fn set_error_ratio(&self, ratio: Ratio) {
        // Between 0 and a million by the type's own bounds, so that nothing is lost.
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=1e6"
        )]
        let millionths = (ratio.get() * RATIO_SCALE).round() as u32;
        self.error_millionths.store(millionths, Ordering::Relaxed);
    }

    /// Whether this ordinary request is one of those that fail. Spread evenly, not by chance: with 0.25 every fourth.
    pub(crate) fn next_request_fails(&self) -> bool {
        let share = u128::from(self.error_millionths.load(Ordering::Relaxed));
        let before = u128::from(self.ordinary_requests.fetch_add(1, Ordering::Relaxed));
        let failed_by = |requests: u128| requests * share / 1_000_000;
        failed_by(before + 1) > failed_by(before)
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.slow_millis.store(
            u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.slow_millis.load(Ordering::Relaxed))
    }

    pub(crate) fn hang(&self) {
        self.hung.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hung(&self) -> bool {
        self.hung.load(Ordering::Relaxed)
    }

    /// Claims the right to burn one CPU; `None` when enough do already. The right ends with the burner.
    pub(crate) fn claim_burner(self: &Arc<Self>) -> Option<Burner> {
        let one_more = |running| (running < MAX_BURNERS).then(|| running + 1);
        self.burners
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Burner(Arc::clone(self)))
    }
}

/// Uses so much CPU time of one thread, however long that takes.
pub(crate) fn work(length: Duration) {
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
    };
    let until = used().saturating_add(length);
    let mut number = 1_u64;
    while used() < until {
        for _ in 0..2_000 {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

/// The right to burn one CPU.
#[derive(Debug)]
pub(crate) struct Burner(Arc<Faults>);

impl Burner {
    /// Keeps one CPU busy for that long.
    pub(crate) fn burn(self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            for _ in 0..10_000 {
                std::hint::spin_loop();
            }
        }
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.0.burners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_uses_the_cpu_time_that_is_required_of_it() {
        let used = || {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
        };
        let before = used();
        work(Duration::from_millis(3));
        assert!(used() - before >= Duration::from_millis(3));
    }

    fn failures(faults: &Faults, requests: usize) -> usize {
        (0..requests).filter(|_| faults.next_request_fails()).count()
    }

    #[test]
    fn exactly_the_asked_share_of_requests_fails() {
        let faults = Faults::default();
        assert_eq!(failures(&faults, 100), 0);
        for (ratio, expected) in [("0.5", 50), ("1", 100), ("0.25", 25), ("0", 0)] {
            faults.set_error_ratio(Ratio::try_from(ratio.to_owned()).unwrap());
            assert_eq!(failures(&faults, 100), expected, "{ratio}");
        }
    }

    #[test]
    fn each_call_takes_one_more_chunk() {
        let faults = Faults::default();
        assert_eq!((faults.hoard_chunk(), faults.hoard_chunk()), (1, 2));
    }

    #[test]
    fn burners_are_bounded_and_given_back() {
        let faults = Arc::new(Faults::default());
        let claimed: Vec<_> = (0..MAX_BURNERS).map(|_| faults.claim_burner().unwrap()).collect();
        assert!(faults.claim_burner().is_none());
        drop(claimed);
        faults.claim_burner().unwrap().burn(Duration::from_millis(1));
    }
}
