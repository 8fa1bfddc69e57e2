//! When bursts began and were last added to, to the millisecond: objects know whole seconds. Bounded; what it forgets, and a
//! restart, makes a burst shorter and no alert lost. Pure but for its lock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aegis_api::Time;
use aegis_planning::correlation::burst::Closeness;

/// Most that are remembered.
const MOST: usize = 4096;

/// Incident → when its burst began, and its newest alert.
#[derive(Debug, Default)]
pub(crate) struct Bursts {
    all: Mutex<HashMap<String, (Time, Time)>>,
}

impl Bursts {
    pub(super) fn begin(&self, incident: &str, now: Time) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            let longest = Closeness::default().longest.signed();
            all.retain(|_, (began, _)| now.0.duration_since(began.0).abs() <= longest);
        }
        if all.len() < MOST {
            all.insert(incident.to_owned(), (now, now));
        }
    }

    pub(super) fn note(&self, incident: &str, now: Time) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = all.get_mut(incident) {
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
        all.get(incident).copied()
    }
}
