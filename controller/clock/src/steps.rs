//! Steps of a wall clock, found by a clock that only goes forward. Pure.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// By less than this between two looks the clock is adjusted, not set.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// Compares the wall clock with the time that passes, from one look to the next. What was kept of before a step is moved
/// by it: then it is as old as it was. A machine that was suspended looks as if its clock was set ahead.
#[derive(Debug)]
pub struct Steps(Mutex<(Timestamp, Instant)>);

impl Steps {
    /// From now on.
    pub fn since(wall: Timestamp, at: Instant) -> Self {
        Self(Mutex::new((wall, at)))
    }

    /// By how much the clock was set since the last look; negative where that was back. `None` where it was not.
    pub fn look(&self, wall: Timestamp, at: Instant) -> Option<SignedDuration> {
        // Nothing that runs under this lock can leave it half done.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, then) = *last;
        // Of two that look at the same moment the later one may come first.
        if at < then {
            return None;
        }
        *last = (wall, at);
        let passed = SignedDuration::try_from(at.duration_since(then)).unwrap_or(SignedDuration::MAX);
        let step = wall.duration_since(before).saturating_sub(passed);
        (step.abs() > TOLERANCE).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_is_found_once_and_time_that_passes_is_none() {
        let (begin, at) = (Timestamp::UNIX_EPOCH, Instant::now());
        let steps = Steps::since(begin, at);
        let look = |wall: i64, passed: u64| {
            let step = steps.look(
                begin + SignedDuration::from_secs(wall),
                at + Duration::from_secs(passed),
            );
            step.map(|step| step.as_secs())
        };
        assert_eq!(look(7200, 7200), None, "two hours");
        assert_eq!(look(3610, 7210), Some(-3600), "an hour back");
        assert_eq!(look(3620, 7220), None);
        assert_eq!(look(3620 + 86_410, 7230), Some(86_400), "a day ahead");
        assert_eq!(look(3620, 7210), None, "a look that was overtaken");
        assert_eq!(look(3620 + 86_430, 7250), None);
    }
}
