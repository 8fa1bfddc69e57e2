//! How long a condition must hold before its detector fires, and must not before that is over. A machine of data: the
//! state, a verdict and the time go in, the next state and what changed come out. Pure.
//!
//! Unknown neither opens nor clears: it lets a state be as it is, interrupts what is being waited for after [`GAP`], and
//! ends what fires after [`NOT_MEASURED`]. A clock that was set back counts as no time passed.

use aegis_api::signals::bounds;
use aegis_api::{Duration, Time};

use super::Verdict;

/// How long a condition may be Unknown without what is waited for starting again.
const GAP: Duration = bounds::FRESH;

/// How long, at the least, a condition may be Unknown while its detector fires: what was wrong may be gone with what was
/// measured, such as a probe or a limit that was removed.
const NOT_MEASURED: Duration = Duration::from_secs(900);

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hysteresis {
    /// How long the condition must hold before its detector fires.
    pub hold: Duration,
    /// How long it must not hold before that is over.
    pub clear: Duration,
}

/// Where a detector stands with one workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it fires.
    pub firing: bool,
    /// Since when the condition holds, also while it does not fire yet.
    pub since: Option<Time>,
    /// Since when it does not hold any more, while it fires.
    pub clearing: Option<Time>,
    /// When it was last known.
    pub known: Option<Time>,
    /// Its incident has ended, and the condition still held: to fire again it must hold for as long as clearing would have
    /// taken.
    pub ended: bool,
}

impl State {
    /// One that fires, as it was stored.
    pub fn stored(since: Time, now: Time) -> Self {
        Self {
            firing: true,
            since: Some(since),
            // How long it had been Unknown is not stored: it counts from here.
            known: Some(now),
            ..Self::default()
        }
    }

    /// The state once the incident of what fires has ended, as far as that makes room for another.
    pub fn after_end(self, at: Time) -> Self {
        Self {
            firing: false,
            since: Some(at),
            clearing: None,
            ended: true,
            ..self
        }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It fires from now on.
    Open,
    /// It fires no more.
    Clear,
}

/// The next state.
pub fn advance(state: State, verdict: Verdict, times: Hysteresis, now: Time) -> (State, Option<Change>) {
    let mut next = state;
    let gap = state.known.is_some_and(|known| known.age(now) > GAP.std());
    if verdict != Verdict::Unknown {
        next.known = Some(now);
    }
    if gap {
        // What is waited for was not seen to last.
        next.clearing = None;
        if !state.firing {
            next.since = None;
        }
    }
    let hold = if state.ended {
        times.hold.max(times.clear)
    } else {
        times.hold
    };
    let lasted = |since: &mut Option<Time>, span: Duration| {
        let began = since.filter(|since| *since <= now).unwrap_or(now);
        *since = Some(began);
        began.age(now) >= span.std()
    };
    let unknown_for = state
        .known
        .map_or(std::time::Duration::ZERO, |known| known.age(now));
    match (state.firing, verdict) {
        (true, Verdict::Unknown) if unknown_for >= NOT_MEASURED.std().max(times.clear.std()) => {
            return (State::default(), Some(Change::Clear));
        }
        (_, Verdict::Unknown) => {}
        (false, Verdict::False) => (next.since, next.ended) = (None, false),
        (true, Verdict::True) => next.clearing = None,
        (false, Verdict::True) if lasted(&mut next.since, hold) => {
            (next.firing, next.ended) = (true, false);
            return (next, Some(Change::Open));
        }
        (true, Verdict::False) if lasted(&mut next.clearing, times.clear) => {
            let cleared = State {
                known: next.known,
                ..State::default()
            };
            return (cleared, Some(Change::Clear));
        }
        (false, Verdict::True) | (true, Verdict::False) => {}
    }
    (next, None)
}
