//! How long to wait after a failure. Pure.

use std::time::Duration;

/// The first pause after a failed post; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Half of the pause is fixed and half is jitter; `dice` is uniform in 0 to 1.
pub(crate) fn backoff(tries: u32, dice: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST);
    doubled / 2 + (doubled / 2).mul_f64(dice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let seconds = |tries| backoff(tries, 1.0).as_secs();
        assert_eq!([seconds(0), seconds(1), seconds(4), seconds(99)], [1, 2, 16, 60]);
        assert_eq!(backoff(0, 0.0), Duration::from_millis(500));
    }
}
