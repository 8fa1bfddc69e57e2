//! How long to wait after the n-th failure in a row. Owns the curve and nothing else; the randomness comes from the
//! caller, so that a test can fix it. Pure.

use std::time::Duration;

/// Exponential backoff with jitter: nominally `base × 2^(n-1)`, each delay drawn from 1 to 1.5 times that, and never
/// outside `base..=cap`. The jitter stays when the cap is reached, so that keys which failed together drift apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// What reconcilers use: 50 ms to 60 s.
    pub const RECONCILE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(60));

    /// A curve from `base` up to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The delay after `failures` failures in a row (1 or more). `unit` is a random number in `0.0..1.0`; one outside
    /// is brought into it.
    pub fn delay(&self, failures: u32, unit: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let nominal = self
            .base
            .saturating_mul(1 << doublings)
            .min(self.cap.mul_f64(2.0 / 3.0));
        let jitter = if unit.is_finite() {
            unit.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let delay = nominal.saturating_add(nominal.mul_f64(jitter / 2.0));
        delay.max(self.base).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(failures: u32, unit: f64) -> u128 {
        Backoff::RECONCILE.delay(failures, unit).as_millis()
    }

    #[test]
    fn doubles_from_50_ms_to_the_cap() {
        let nominal: Vec<u128> = (1..=12).map(|failures| millis(failures, 0.0)).collect();
        assert_eq!(
            nominal,
            [
                50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 40000, 40000
            ]
        );
    }

    #[test]
    fn jitter_adds_up_to_half_and_never_passes_the_cap() {
        assert_eq!(millis(1, 1.0), 75);
        assert_eq!(millis(4, 0.5), 500);
        assert_eq!(millis(u32::MAX, 1.0), 60_000);
    }

    #[test]
    fn a_strange_random_number_is_brought_into_range() {
        for unit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -4.0, 9.0] {
            let delay = Backoff::RECONCILE.delay(3, unit);
            assert!(
                delay >= Duration::from_millis(200) && delay <= Duration::from_millis(300),
                "{unit}: {delay:?}"
            );
        }
        assert_eq!(millis(0, 0.0), 50);
    }
}
