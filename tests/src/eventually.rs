//! Waiting for a state to come about, with a bound and words for when it does not.

use std::time::{Duration, Instant};

/// How long anything may take. Generous: it bounds a hang and measures nothing.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Looks until it answers `Ok`; panics with the last `Err` when [`TIMEOUT`] has passed.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    within(TIMEOUT, what, look).await
}

/// As [`eventually`], with a bound of one's own.
pub async fn within<T>(bound: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        let why = match look().await {
            Ok(found) => return found,
            Err(why) => why,
        };
        assert!(
            start.elapsed() < bound,
            "{what}: not within {} s; at the end: {why}",
            bound.as_secs()
        );
        tokio::time::sleep(LOOK).await;
    }
}
