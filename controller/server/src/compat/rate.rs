//! How many alerts a sender may have opened: so many a second, sustained, for each token. Bounded in memory, and by a clock
//! that only goes forward. Pure but for its lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many seconds of the rate may come at once.
const BURST: u32 = 5;
/// Most senders that are remembered; there are as many as tokens.
const MOST: usize = 4096;

/// What each sender used of its rate.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Time that one alert uses up.
    step: Duration,
    /// When nothing of a sender's allowance will be used any more.
    empty_at: Mutex<HashMap<String, Instant>>,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            step: Duration::from_secs(1) / per_second.max(1),
            empty_at: Mutex::default(),
        }
    }

    /// Takes one alert of this sender in; refuses with the whole seconds to wait.
    pub(super) fn take(&self, sender: &str, now: Instant) -> Result<(), u64> {
        // Nothing that runs under this lock can leave it half done.
        let mut all = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_at = all.get(sender).copied().unwrap_or(now).max(now);
        let most = Duration::from_secs(BURST.into()).max(self.step);
        let used = empty_at.duration_since(now) + self.step;
        if let Some(wait) = used.checked_sub(most).filter(|wait| !wait.is_zero()) {
            return Err(wait.as_secs().saturating_add(1));
        }
        if all.len() >= MOST {
            all.retain(|_, empty_at| *empty_at > now);
        }
        all.insert(sender.to_owned(), empty_at + self.step);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_refused_only_past_its_rate_and_for_as_long_as_it_says() {
        let (rate, start) = (Rate::new(1000), Instant::now());
        // A thousand a second for a minute.
        for number in 0..60_000 {
            rate.take("app", start + Duration::from_millis(number)).unwrap();
        }
        let now = start + Duration::from_secs(60);
        let taken = (0..20_000).filter(|_| rate.take("app", now).is_ok()).count();
        assert!((4000..=5000).contains(&taken), "{taken}");
        let wait = rate.take("app", now).unwrap_err();
        assert_eq!(wait, 1);
        rate.take("other", now).unwrap();
        rate.take("app", now + Duration::from_secs(wait)).unwrap();
    }

    #[test]
    fn slow_rates_let_one_pass() {
        let (rate, now) = (Rate::new(1), Instant::now());
        assert_eq!((0..10).filter(|_| rate.take("app", now).is_ok()).count(), 5);
        assert!(rate.take("app", now).unwrap_err() >= 1);
    }
}
