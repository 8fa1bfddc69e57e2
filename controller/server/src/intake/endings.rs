//! Ends that senders reported lately: what began before one and comes later is no news. Bounded; what is forgotten, also in a
//! restart, makes a late message open an incident, and none unseen. Pure but for its lock.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use aegis_api::Time;
use aegis_planning::correlation::order::{LATE_WITHIN, is_late};

use crate::lately::Lately;

/// Most ends that are remembered: 32 bytes each.
const MOST: usize = 16_384;
/// How often those that are too old are dropped, where there are too many.
const DROPS: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Endings {
    hasher: RandomState,
    /// Hash of what alerts about the same have in common → when it ended, and when that was learned.
    all: Mutex<Lately<u64, (Time, Time)>>,
}

impl Endings {
    /// Notes that an alert ended at `ended`.
    pub(super) fn note(&self, same: &str, ended: Time, now: Time) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over =
            |(_, learned): &(Time, Time)| now.0.duration_since(learned.0).abs() > LATE_WITHIN.signed();
        let has_room = all.has_room(MOST, DROPS, now, is_over);
        let key = self.hasher.hash_one(same);
        let later = all.known.get(&key).is_none_or(|(known, _)| *known < ended);
        if later && (has_room || all.known.contains_key(&key)) {
            all.known.insert(key, (ended, now));
        }
    }

    /// Whether a firing that began at `began` is from before an end that is known.
    pub(super) fn is_late(&self, same: &str, began: Option<Time>, now: Time) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.known.get(&self.hasher.hash_one(same));
        known.is_some_and(|(ended, learned)| is_late(began, *ended, *learned, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_ends_are_bounded_and_an_older_end_does_not_replace_a_newer_one() {
        let at = |text: &str| -> Time { format!("2026-11-29T{text}Z").parse().unwrap() };
        let (endings, now) = (Endings::default(), at("10:06:00"));
        for n in 0..2 * MOST {
            endings.note(&n.to_string(), at("10:05:00"), now);
        }
        assert!(endings.all.lock().unwrap().known.len() <= MOST);
        endings.note("0", at("10:01:00"), now);
        assert!(endings.is_late("0", Some(at("10:04:00")), now));
        assert!(!endings.is_late("x", Some(at("10:04:00")), now));
    }
}
