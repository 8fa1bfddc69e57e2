//! What time it is. Pure, but for the wall clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use tokio::time::Instant;

/// By less than this the clock is adjusted, not set back.
const ADJUSTED: Duration = Duration::from_secs(1);

/// A clock: what the store stamps objects with and measures retention by. The wall clock unless a simulation has its own.
/// It notices when it is set back: times that were written before lie ahead then.
#[derive(Clone)]
pub struct Clock {
    show: Arc<dyn Fn() -> Time + Send + Sync>,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    newest: Time,
    /// When it was last set back; before that, when it was made.
    set_at: Instant,
}

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        let seen = Seen {
            newest: now(),
            set_at: Instant::now(),
        };
        Self {
            show: Arc::new(now),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// What it shows.
    pub fn now(&self) -> Time {
        let now = (self.show)();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.age(seen.newest) > ADJUSTED {
            seen.set_at = Instant::now();
            seen.newest = now;
        } else {
            seen.newest = seen.newest.max(now);
        }
        now
    }

    /// When it was last set back, as it now shows times; when the process began, if it was not since. What lies ahead of
    /// now was written before that.
    pub fn set_at(&self) -> Time {
        let now = self.now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = jiff::SignedDuration::try_from(seen.set_at.elapsed()).unwrap_or_default();
        Time(now.0.saturating_sub(ago).unwrap_or(now.0))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(|| Time(jiff::Timestamp::now()))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_knows_since_when_it_was_set_back() {
        let wall = Arc::new(Mutex::new(Time(jiff::Timestamp::UNIX_EPOCH)));
        let shown = Arc::clone(&wall);
        let clock = Clock::new(move || *shown.lock().unwrap());
        let hours =
            |hours: u64| Time(jiff::Timestamp::UNIX_EPOCH).plus(aegis_api::Duration::from_secs(hours * 3600));
        let pass = async |shows: u64| {
            tokio::time::advance(Duration::from_secs(3600)).await;
            *wall.lock().unwrap() = hours(shows);
            clock.now()
        };
        pass(30).await;
        assert_eq!(clock.set_at(), hours(29), "when it was made: an hour ago");
        pass(6).await;
        assert_eq!(clock.set_at(), hours(6), "now");
        pass(7).await;
        assert_eq!(clock.set_at(), hours(6), "an hour ago");
    }
}
