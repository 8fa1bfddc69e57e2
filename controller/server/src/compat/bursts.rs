//! When bursts began and were last added to, to the millisecond: objects know whole seconds. Bounded; what it forgets, and a
//! restart, makes a burst shorter and no alert lost. Pure but for its lock.

use std::sync::{Mutex, PoisonError};

use aegis_api::Time;
use jiff::SignedDuration;

use crate::lately::Lately;

/// Most that are remembered.
const MOST: usize = 4096;
/// A burst is over after so long at the latest, whatever is set (`AEGIS_COALESCE_SECS`).
const OVER: SignedDuration = SignedDuration::from_secs(6 * 60);
/// How often those that are over are dropped, where there are too many.
const DROPS: SignedDuration = SignedDuration::from_secs(5);

/// Incident → when its burst began, and its newest alert.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    all: Mutex<Lately<String, (Time, Time)>>,
}

impl Bursts {
    pub(super) fn begin(&self, incident: &str, now: Time) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |(began, _): &(Time, Time)| now.0.duration_since(began.0).abs() > OVER;
        if all.has_room(MOST, DROPS, now, is_over) {
            all.known.insert(incident.to_owned(), (now, now));
        }
    }

    pub(super) fn note(&self, incident: &str, now: Time) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = all.known.get_mut(incident) {
            *last = now;
        }
    }

    pub(super) fn began(&self, incident: &str) -> Option<Time> {
        self.of(incident).map(|(began, _)| began)
    }

    pub(super) fn last(&self, incident: &str) -> Option<Time> {
        self.of(incident).map(|(_, last)| last)
    }

    fn of(&self, incident: &str) -> Option<(Time, Time)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.known.get(incident).copied()
    }
}
