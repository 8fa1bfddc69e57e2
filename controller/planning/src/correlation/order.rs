//! Messages that come out of order: a firing that began before an end that is known already tells nothing new. Pure.

use aegis_api::{Duration, Time};

/// How long after an end a message from before it is taken for a late one. What comes later is believed: better one
/// incident too many than trouble unseen.
pub const LATE_WITHIN: Duration = Duration::from_secs(600);

/// How far clocks may be apart.
const SKEW: Duration = Duration::from_secs(2);
/// How long an end may have been on its way that its sender tried to report before.
const DELAYED: Duration = Duration::from_secs(30);

/// An end that a sender reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When it ended, where the sender says it.
    pub at: Option<Time>,
    /// When it was learned: it was over by then.
    pub learned: Time,
    /// Whether its beginning is known, so that a firing after it is either a copy of that or a new one.
    pub had_begun: bool,
}

impl End {
    /// When it had ended at the latest.
    pub fn latest(&self) -> Time {
        self.at.unwrap_or(self.learned)
    }
}

/// Whether a firing that began at `began` is from before an end that the same sender reported.
///
/// Where the end has no time it was over when it was learned, give or take how long that took. Where the firing has none,
/// it is new: better one incident too many than trouble unseen.
pub fn is_late(began: Option<Time>, end: &End, now: Time) -> bool {
    let since = now.0.duration_since(end.learned.0);
    if since > LATE_WITHIN.signed() {
        return false;
    }
    match (began, end.at) {
        (Some(began), Some(ended)) => began < ended,
        (Some(began), None) => {
            let slack = if end.had_begun { DELAYED } else { SKEW };
            began.plus(slack) < end.learned
        }
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_a_known_end_is_late_for_ten_minutes() {
        let at = |text: &str| -> Time { format!("2026-11-29T{text}Z").parse().unwrap() };
        let (ended, learned) = (at("10:05:00"), at("10:05:10"));
        let end = End {
            at: Some(ended),
            learned,
            had_begun: true,
        };
        let is_late = |began, ended, _, now| {
            let at = Some(ended);
            super::is_late(began, &End { at, ..end }, now)
        };
        assert!(is_late(Some(at("10:00:00")), ended, learned, at("10:06:00")));
        assert!(
            !is_late(Some(at("10:05:30")), ended, learned, at("10:06:00")),
            "it fires again"
        );
        assert!(
            !is_late(Some(ended), ended, learned, at("10:06:00")),
            "at the same moment"
        );
        assert!(
            !is_late(None, ended, learned, at("10:06:00")),
            "no time is no proof"
        );
        assert!(
            !is_late(Some(at("10:00:00")), ended, learned, at("10:16:00")),
            "long after"
        );
    }

    #[test]
    fn an_end_without_a_time_was_over_when_it_was_learned_and_what_is_new_after_it_opens() {
        let at = |text: &str| -> Time { format!("2026-11-29T{text}Z").parse().unwrap() };
        let late = |had_begun: bool, began: Option<&str>, now: &str| {
            let end = End {
                at: None,
                learned: at("10:05:00"),
                had_begun,
            };
            is_late(began.map(at), &end, at(now))
        };
        for had_begun in [false, true] {
            assert!(
                late(had_begun, Some("10:01:00"), "10:05:01"),
                "it began long before"
            );
            assert!(!late(had_begun, Some("10:05:00"), "10:05:01"), "a new one");
            assert!(!late(had_begun, Some("10:04:59"), "10:05:01"), "clocks differ");
            assert!(!late(had_begun, Some("10:01:00"), "10:16:00"), "long after");
            assert!(!late(had_begun, None, "10:05:01"), "no time is no proof");
        }
        assert!(
            late(false, Some("10:04:50"), "10:05:01"),
            "an end without a beginning"
        );
        assert!(
            !late(true, Some("10:04:50"), "10:05:01"),
            "its end was on its way"
        );
    }
}
