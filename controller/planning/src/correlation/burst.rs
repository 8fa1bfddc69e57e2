//! Bursts: the first alert about a workload opens an incident at once; what follows closely is folded into it. Pure.

use aegis_api::{Duration, Time};

/// How close alerts of one burst are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closeness {
    /// A burst is over when nothing came for so long. Zero: there are no bursts, each alert stands alone.
    pub quiet: Duration,
    /// And at the latest so long after it began.
    pub longest: Duration,
}

impl Default for Closeness {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(5),
            longest: Duration::from_secs(30),
        }
    }
}

impl Closeness {
    /// No bursts.
    pub const NONE: Self = Self {
        quiet: Duration::from_secs(0),
        longest: Duration::from_secs(0),
    };

    /// Whether an alert that comes `now` belongs to a burst that began with an incident at `opened` and of which the newest
    /// alert came at `last`. A clock that went back ends a burst.
    pub fn takes(self, opened: Time, last: Time, now: Time) -> bool {
        let within = |from: Time, span: Duration| {
            let since = now.0.duration_since(from.0);
            since >= jiff::SignedDuration::ZERO && since <= span.signed()
        };
        self.quiet > Duration::from_secs(0)
            && within(last.max(opened), self.quiet)
            && within(opened, self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_on_while_alerts_follow_within_5_s_and_no_longer_than_30_s() {
        let at = |seconds: u64| -> Time {
            "2026-11-29T10:00:00Z"
                .parse::<Time>()
                .unwrap()
                .plus(Duration::from_secs(seconds))
        };
        let close = Closeness::default();
        for (last, now, takes) in [
            (0, 0, true),
            (0, 5, true),
            (0, 6, false),
            (5, 10, true),
            (5, 11, false),
            (28, 30, true),
            (28, 31, false),
        ] {
            assert_eq!(
                close.takes(at(0), at(last), at(now)),
                takes,
                "last {last}, now {now}"
            );
        }
        assert!(!close.takes(at(10), at(10), at(9)), "a clock that went back");
        assert!(!Closeness::NONE.takes(at(0), at(0), at(0)), "switched off");
    }
}
