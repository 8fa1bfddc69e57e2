//! A circuit breaker: a provider that keeps failing is left alone for a while, so that incidents do not each wait for
//! it to fail once more. Owns the state of one of its models; no I/O, and the caller brings the time.
//!
//! Closed: calls go through. Open after [`TRIPS_AT`] failures in a row: none does. Half-open once the pause is over: one
//! call is let through, and how it ends decides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which the circuit opens.
const TRIPS_AT: u32 = 3;
/// How long it stays open, the first time and at most; it doubles each time a trial fails.
const PAUSE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(300));

/// The breaker of one model of a provider.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    HalfOpen { pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Leave to call. Dropped without a reported outcome, as when the call is cancelled, it counts neither way.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    trial: bool,
    reported: bool,
}

/// The circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("left alone for {} s more after it failed repeatedly", .0.as_secs())]
pub(crate) struct Open(pub(crate) Duration);

impl Breaker {
    /// Requests a permit to call.
    pub(crate) fn enter(&self, now: Instant) -> Result<Permit<'_>, Open> {
        let permit = |trial| Permit {
            breaker: self,
            trial,
            reported: false,
        };
        self.with(|state| match *state {
            State::Closed { .. } => Ok(permit(false)),
            State::Open { until, pause } if until <= now => {
                *state = State::HalfOpen { pause };
                Ok(permit(true))
            }
            State::Open { until, .. } => Err(Open(until - now)),
            State::HalfOpen { pause } => Err(Open(pause)),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permit<'_> {
    /// The provider answered.
    pub(crate) fn succeeded(mut self) {
        self.reported = true;
        self.breaker.with(|state| *state = State::default());
    }

    /// It did not; `asked` is how long it wants to be left alone.
    pub(crate) fn failed(mut self, now: Instant, asked: Option<Duration>) {
        self.reported = true;
        let asked = asked.map(|asked| asked.min(PAUSE.1));
        let open = |pause: Duration| State::Open {
            until: now + pause.max(asked.unwrap_or_default()),
            pause,
        };
        self.breaker.with(|state| match *state {
            State::Closed { failures } if failures + 1 >= TRIPS_AT => *state = open(PAUSE.0),
            State::Closed { failures } => {
                *state = State::Closed {
                    failures: failures + 1,
                }
            }
            State::HalfOpen { pause } => *state = open(pause.saturating_mul(2).min(PAUSE.1)),
            // Another call that began earlier.
            State::Open { .. } => {}
        });
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.reported || !self.trial {
            return;
        }
        self.breaker.with(|state| {
            if let State::HalfOpen { pause } = *state {
                let until = Instant::now();
                *state = State::Open { until, pause };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, now: Instant) {
        breaker.enter(now).unwrap().failed(now, None);
    }

    fn tripped(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        (0..TRIPS_AT).for_each(|_| fail(&breaker, now));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_through_later() {
        let now = Instant::now();
        let breaker = tripped(now);
        assert_eq!(breaker.enter(now).unwrap_err(), Open(PAUSE.0));
        let later = now + PAUSE.0;
        let trial = breaker.enter(later).unwrap();
        assert!(breaker.enter(later).is_err(), "one trial at a time");
        trial.succeeded();
        assert!(breaker.enter(later).is_ok() && breaker.enter(later).is_ok());
    }

    #[test]
    fn a_success_forgives_earlier_failures() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            fail(&breaker, now);
            fail(&breaker, now);
            breaker.enter(now).unwrap().succeeded();
        }
        assert!(breaker.enter(now).is_ok());
    }

    #[test]
    fn a_failed_trial_doubles_the_pause_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = tripped(now);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Open(pause) = breaker.enter(now).unwrap_err();
            pauses.push(pause.as_secs());
            now += pause;
            fail(&breaker, now);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn it_stays_open_as_long_as_the_provider_asks() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..TRIPS_AT {
            breaker
                .enter(now)
                .unwrap()
                .failed(now, Some(Duration::from_secs(90)));
        }
        assert_eq!(breaker.enter(now).unwrap_err(), Open(Duration::from_secs(90)));
    }

    #[test]
    fn a_trial_that_is_cancelled_leaves_room_for_another() {
        let now = Instant::now();
        let breaker = tripped(now);
        let later = now + PAUSE.0;
        drop(breaker.enter(later).unwrap());
        assert!(breaker.enter(later).is_ok());
    }
}
