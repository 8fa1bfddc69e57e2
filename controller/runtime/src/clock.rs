//! What time it is. Pure, but for the wall clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use tokio::time::Instant;

/// By less than this the clock is adjusted, not set back.
const ADJUSTED: Duration = Duration::from_secs(1);
/// By less than this it is adjusted, or this process was kept waiting, and the clock was not set ahead.
const AHEAD: Duration = Duration::from_secs(60);
/// Most times that it was set ahead that are known; the oldest goes.
const MOST_LEAPS: usize = 16;

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
    /// The same as it was last answered.
    answered: Time,
    /// What it showed last, and when that was.
    last: (Time, Instant),
    /// Oldest first.
    leaps: VecDeque<Leap>,
}

/// The clock was set ahead: what it would have shown, and what it showed instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leap {
    /// Without it.
    pub before: Time,
    /// With it.
    pub after: Time,
}

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        let shown = now();
        let seen = Seen {
            newest: shown,
            set_at: Instant::now(),
            answered: shown,
            last: (shown, Instant::now()),
            leaps: VecDeque::new(),
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
        let (shown, then) = seen.last;
        let expected = shown.plus(then.elapsed().into());
        // What was undone is none, also once it is that late. Of two that look at once the later one may come first.
        seen.leaps.retain(|leap| now.age(leap.after) <= ADJUSTED);
        if expected.age(now) > AHEAD {
            if seen.leaps.len() >= MOST_LEAPS {
                seen.leaps.pop_front();
            }
            seen.leaps.push_back(Leap {
                before: expected,
                after: now,
            });
        }
        seen.last = (now, Instant::now());
        if now.age(seen.newest) > ADJUSTED {
            seen.set_at = Instant::now();
            seen.newest = now;
        } else {
            seen.newest = seen.newest.max(now);
        }
        now
    }

    /// How it was set ahead lately, oldest first. What lies before such a time is not as old as it looks. One that was undone
    /// since, by setting the clock back to before it, is none.
    pub fn leaps(&self) -> Vec<Leap> {
        self.now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.leaps.iter().copied().collect()
    }

    /// When it was last set back, as it now shows times; when the process began, if it was not since. What lies ahead of
    /// now was written before that. The same moment is always the same time: clocks that are adjusted would move it.
    pub fn set_at(&self) -> Time {
        let now = self.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ago = jiff::SignedDuration::try_from(seen.set_at.elapsed()).unwrap_or_default();
        let set_at = Time(now.0.saturating_sub(ago).unwrap_or(now.0));
        if set_at.apart(seen.answered) > ADJUSTED {
            seen.answered = set_at;
        }
        seen.answered.min(now)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(aegis_clock::now)
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

    fn at(seconds: u64) -> Time {
        Time(jiff::Timestamp::UNIX_EPOCH).plus(aegis_api::Duration::from_secs(seconds))
    }

    /// A clock, and what it shows: 0 for now.
    fn shown() -> (Clock, Arc<Mutex<Time>>) {
        let wall = Arc::new(Mutex::new(at(0)));
        let shown = Arc::clone(&wall);
        (Clock::new(move || *shown.lock().unwrap()), wall)
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_how_it_was_set_ahead_until_that_is_undone() {
        let (clock, wall) = shown();
        let pass = async |passes: u64, shows: u64| {
            tokio::time::advance(Duration::from_secs(passes)).await;
            *wall.lock().unwrap() = at(shows);
            clock.leaps()
        };
        assert_eq!(
            pass(7200, 7210).await,
            [],
            "two hours pass, and some seconds are adjusted"
        );
        let leap = Leap {
            before: at(7220),
            after: at(93_620),
        };
        assert_eq!(pass(10, 93_620).await, [leap]);
        assert_eq!(pass(3600, 97_220).await, [leap]);
        assert_eq!(pass(10, 10_830).await, [], "undone");
        assert_eq!(pass(86_400, 97_230).await, [], "and none when it is that late");
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_each_time_that_it_was_set_ahead() {
        let (clock, wall) = shown();
        let pass = async |passes: u64, shows: u64| {
            tokio::time::advance(Duration::from_secs(passes)).await;
            *wall.lock().unwrap() = at(shows);
            clock.leaps()
        };
        // A machine that was suspended for twelve hours, whose clock is then put right.
        let resumed = Leap {
            before: at(10),
            after: at(43_210),
        };
        assert_eq!(pass(10, 43_210).await, [resumed]);
        let adjusted = Leap {
            before: at(43_220),
            after: at(43_310),
        };
        assert_eq!(pass(10, 43_310).await, [resumed, adjusted]);
        assert_eq!(pass(3600, 46_910).await, [resumed, adjusted]);
        for more in 1..50 {
            pass(0, 46_910 + 100 * more).await;
        }
        assert_eq!(clock.leaps().len(), MOST_LEAPS);
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_since_when_it_was_set_back() {
        let (clock, wall) = shown();
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
