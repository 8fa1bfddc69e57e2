//! How many alerts a sender may have opened: so many a second, sustained, for each token, and as many more that are critical.
//! Bounded in memory, and by a clock that only goes forward. Pure but for its lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aegis_api::precedence::Urgency;
use tokio::time::Instant;

use crate::auth::limiter::{Allowance, Bucket};

/// How many seconds of the rate may come at once.
const BURST: u32 = 5;
/// Most senders that are remembered; there are as many as tokens.
const MOST: usize = 4096;

/// What each sender used of its rate.
#[derive(Debug)]
pub(crate) struct Rate {
    each: Allowance,
    used: Mutex<HashMap<String, Used>>,
}

/// What one of them used.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    ordinary: Bucket,
    urgent: Bucket,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let step = Duration::from_secs(1) / per_second;
        Self {
            each: (per_second.saturating_mul(BURST), step),
            used: Mutex::default(),
        }
    }

    /// Whether it has used up its rate.
    pub(crate) fn is_spent(&self, sender: &str, now: Instant) -> bool {
        let all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = all.get(sender).map(|used| used.ordinary);
        bucket.is_some_and(|bucket| bucket.wait(self.each, now).is_some())
    }

    /// Takes one alert of this sender in; refuses with the whole seconds to wait.
    pub(crate) fn take(&self, sender: &str, now: Instant) -> Result<(), u64> {
        self.take_as(sender, Urgency::Ordinary, now)
    }

    /// As [`Self::take`], from the rate of what is this urgent.
    pub(crate) fn take_as(&self, sender: &str, urgency: Urgency, now: Instant) -> Result<(), u64> {
        // Nothing that runs under this lock can leave it half done.
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used = all.get(sender).copied().unwrap_or_default();
        let bucket = match urgency {
            Urgency::Ordinary => &mut used.ordinary,
            Urgency::Urgent => &mut used.urgent,
        };
        if let Some(wait) = bucket.wait(self.each, now) {
            return Err(wait.as_secs().saturating_add(1));
        }
        bucket.take(self.each, now);
        if all.len() >= MOST {
            all.retain(|_, used| !(used.ordinary.is_empty(now) && used.urgent.is_empty(now)));
        }
        all.insert(sender.to_owned(), used);
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
    fn a_flood_of_warnings_refuses_nothing_that_is_critical_and_that_is_bounded_as_well() {
        let (rate, now) = (Rate::new(100), Instant::now());
        assert_eq!((0..1000).filter(|_| rate.take("app", now).is_ok()).count(), 500);
        let critical = || rate.take_as("app", Urgency::Urgent, now).is_ok();
        assert_eq!((0..1000).filter(|_| critical()).count(), 500);
        assert!(rate.is_spent("app", now));
    }

    #[test]
    fn slow_rates_let_one_pass() {
        let (rate, now) = (Rate::new(1), Instant::now());
        assert_eq!((0..10).filter(|_| rate.take("app", now).is_ok()).count(), 5);
        assert!(rate.take("app", now).unwrap_err() >= 1);
    }
}
