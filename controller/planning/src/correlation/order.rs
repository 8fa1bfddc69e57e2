//! Messages that come out of order: a firing that began before an end that is known already tells nothing new. Pure.

use aegis_api::{Duration, Time};

/// How long after an end a message from before it is taken for a late one. What comes later is believed: better one
/// incident too many than trouble unseen.
pub const LATE_WITHIN: Duration = Duration::from_secs(600);

/// Whether a firing that began at `began` is from before `ended`, which the same sender reported and which was learned at
/// `learned`. What does not say when it began is new.
pub fn is_late(began: Option<Time>, ended: Time, learned: Time, now: Time) -> bool {
    let fresh = now.0.duration_since(learned.0) <= LATE_WITHIN.signed();
    fresh && began.is_some_and(|began| began < ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_a_known_end_is_late_for_ten_minutes() {
        let at = |text: &str| -> Time { format!("2026-11-29T{text}Z").parse().unwrap() };
        let (ended, learned) = (at("10:05:00"), at("10:05:10"));
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
}
