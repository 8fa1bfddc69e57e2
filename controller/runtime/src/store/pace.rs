//! Whether the wall clock goes as time does. What is deleted by age is deleted only where it has for a while: a clock that
//! was set ahead makes everything look old. Pure.

use std::time::Duration;

use aegis_api::Time;
use tokio::time::Instant;

/// How far the wall clock may be off between two looks.
const TOLERANCE: Duration = Duration::from_secs(60);
/// How long it must have gone right since the start: by then it is set from the network, where it is at all.
const AFTER_START: Duration = Duration::from_secs(3600);
/// How long after it jumped.
const AFTER_JUMP: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(crate) struct Pace {
    wall: Time,
    at: Instant,
    trusted_from: Instant,
}

impl Pace {
    pub(crate) fn start(wall: Time, at: Instant) -> Self {
        Self {
            wall,
            at,
            trusted_from: at + AFTER_START,
        }
    }

    /// Whether the wall clock, which shows `wall` now, may be trusted with ages.
    pub(crate) fn is_trusted(&mut self, wall: Time, at: Instant) -> bool {
        let expected = self.wall.plus(at.duration_since(self.at).into());
        // One of both is zero.
        let off = expected.age(wall).max(wall.age(expected));
        if off > TOLERANCE {
            self.trusted_from = at + AFTER_JUMP;
        }
        (self.wall, self.at) = (wall, at);
        at >= self.trusted_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn nothing_is_old_after_the_clock_was_set_ahead() {
        let (wall, at) = (Time(jiff::Timestamp::UNIX_EPOCH), Instant::now());
        let mut pace = Pace::start(wall, at);
        let right = |hours: u32| (wall.plus((HOUR * hours).into()), at + HOUR * hours);
        assert!(!pace.is_trusted(wall, at), "right after the start");
        let (now, then) = right(1);
        assert!(pace.is_trusted(now, then));
        // A month ahead, from one hour to the next.
        let ahead = |hours: u32| (wall.plus((HOUR * (hours + 720)).into()), at + HOUR * hours);
        for hours in 2..26 {
            let (now, then) = ahead(hours);
            assert!(!pace.is_trusted(now, then), "{hours}");
        }
        let (now, then) = right(26);
        assert!(!pace.is_trusted(now, then), "set back again: another jump");
        let (now, then) = right(50);
        assert!(pace.is_trusted(now, then));
    }
}
