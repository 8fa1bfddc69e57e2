//! Who goes first where places are few and may be held for long: what is critical, without keeping the rest waiting for ever.
//! One rule for every queue on the way of an incident. Pure.

use crate::incident::Severity;

/// In which of two lines something waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Urgency {
    /// In its turn.
    #[default]
    Ordinary,
    /// Before all that are ordinary.
    Urgent,
}

impl From<Severity> for Urgency {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Self::Urgent,
            Severity::Info | Severity::Warning => Self::Ordinary,
        }
    }
}

/// How many urgent ones in a row go before an ordinary one for which there would be a place.
pub const OVERTAKEN_AT_MOST: u32 = 8;

/// How many of so many places only urgent ones take: an eighth, at least one; none of a single place.
pub const fn reserve(places: usize) -> usize {
    match places {
        0 | 1 => 0,
        2..8 => 1,
        _ => places / 8,
    }
}

/// The places of one queue, and whose turn is next.
#[derive(Debug, Clone)]
pub struct Precedence {
    /// How often in a row an ordinary one was passed over.
    overtaken: u32,
}

impl Default for Precedence {
    fn default() -> Self {
        Self::new()
    }
}

impl Precedence {
    /// None was passed over yet.
    pub const fn new() -> Self {
        Self { overtaken: 0 }
    }

    /// Who takes the place that is free: the first of the line that is answered must take it. `ordinary_fits`: it is none
    /// that only urgent ones take. `None` where none may.
    pub const fn next(
        &mut self,
        urgent_waits: bool,
        ordinary_waits: bool,
        ordinary_fits: bool,
    ) -> Option<Urgency> {
        let ordinary = ordinary_waits && ordinary_fits;
        if urgent_waits && !(ordinary && self.overtaken >= OVERTAKEN_AT_MOST) {
            if ordinary {
                self.overtaken = self.overtaken.saturating_add(1);
            }
            return Some(Urgency::Urgent);
        }
        if ordinary {
            self.overtaken = 0;
            return Some(Urgency::Ordinary);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_urgent_goes_first_and_of_nine_that_go_one_is_ordinary() {
        let mut precedence = Precedence::new();
        let all: Vec<_> = (0..27)
            .map(|_| precedence.next(true, true, true).unwrap())
            .collect();
        for nine in all.chunks(9) {
            assert_eq!(nine[..8], [Urgency::Urgent; 8]);
            assert_eq!(nine[8], Urgency::Ordinary);
        }
    }

    #[test]
    fn a_place_of_the_reserve_is_no_place_for_what_is_ordinary() {
        let mut precedence = Precedence::new();
        assert_eq!(precedence.next(false, true, false), None);
        for _ in 0..100 {
            assert_eq!(precedence.next(true, true, false), Some(Urgency::Urgent));
        }
        assert_eq!(precedence.next(false, true, true), Some(Urgency::Ordinary));
    }

    #[test]
    fn of_two_places_or_more_some_are_kept_and_never_all() {
        let kept = [0, 1, 2, 4, 8, 16, 32].map(reserve);
        assert_eq!(kept, [0, 0, 1, 1, 1, 2, 4]);
        assert!((1..1000).all(|places| reserve(places) < places));
    }

    proptest! {
        /// Whatever comes and goes in the other line.
        #[test]
        fn what_is_ordinary_and_fits_is_never_passed_over_more_often_than_that(urgent in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut precedence = Precedence::new();
            let mut passed = 0;
            for waits in urgent {
                match precedence.next(waits, true, true).unwrap() {
                    Urgency::Urgent => passed += 1,
                    Urgency::Ordinary => passed = 0,
                }
                prop_assert!(passed <= OVERTAKEN_AT_MOST);
            }
        }
    }
}
