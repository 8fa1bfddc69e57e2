use aegis_api::Duration;
use proptest::prelude::*;

use super::super::{Change, Hysteresis, State, advance};
use super::*;

use Verdict::{False, True, Unknown};

const TIMES: Hysteresis = Hysteresis {
    hold: Duration::from_secs(30),
    clear: Duration::from_secs(60),
};

/// Runs verdicts, each with its time, and answers what changed and when.
fn run(verdicts: impl IntoIterator<Item = (i64, Verdict)>, times: Hysteresis) -> (State, Vec<(i64, Change)>) {
    let mut state = State::default();
    let mut changes = Vec::new();
    for (secs, verdict) in verdicts {
        let (next, change) = advance(state, verdict, times, at(secs));
        changes.extend(change.map(|change| (secs, change)));
        state = next;
    }
    (state, changes)
}

fn every_3(spans: &[(i64, Verdict)]) -> Vec<(i64, Verdict)> {
    let mut now = 0;
    let mut all = Vec::new();
    for (secs, verdict) in spans {
        let end = now + secs;
        while now < end {
            all.push((now, *verdict));
            now += 3;
        }
    }
    all
}

#[test]
fn it_fires_after_the_hold_and_is_over_after_the_clear() {
    let (state, changes) = run(every_3(&[(9, False), (60, True), (90, False)]), TIMES);
    assert_eq!(changes, [(39, Change::Open), (129, Change::Clear)]);
    assert!(!state.firing && state.since.is_none());
}

#[test]
fn a_dip_starts_the_wait_again_and_a_peak_the_clearing() {
    let short = every_3(&[(27, True), (3, False), (27, True)]);
    assert_eq!(run(short, TIMES).1, []);
    let flaps = every_3(&[(33, True), (30, False), (3, True), (57, False), (3, True)]);
    assert_eq!(run(flaps, TIMES).1, [(30, Change::Open)]);
}

#[test]
fn without_a_hold_an_event_fires_at_once() {
    let at_once = Hysteresis {
        hold: Duration::from_secs(0),
        ..TIMES
    };
    assert_eq!(run([(5, True)], at_once).1, [(5, Change::Open)]);
}

#[test]
fn unknown_neither_opens_nor_clears() {
    assert_eq!(run(every_3(&[(600, Unknown)]), TIMES).1, []);
    let (state, changes) = run(every_3(&[(33, True), (870, Unknown)]), TIMES);
    assert_eq!((state.firing, changes.len()), (true, 1));
    let long = every_3(&[(15, True), (120, Unknown), (27, True)]);
    assert_eq!(run(long, TIMES).1, [], "what was not seen to last did not");
    let brief = every_3(&[(15, True), (9, Unknown), (15, True)]);
    assert_eq!(run(brief, TIMES).1, [(30, Change::Open)]);
}

#[test]
fn what_can_no_longer_be_measured_does_not_fire_for_ever() {
    let (state, changes) = run(every_3(&[(33, True), (960, Unknown)]), TIMES);
    assert_eq!((state.firing, changes.len()), (false, 2), "{changes:?}");
    let stored = State::stored(at(-500), at(0));
    let later = |secs: i64| advance(stored, Unknown, TIMES, at(secs)).1;
    assert_eq!(
        (later(890), later(900)),
        (None, Some(Change::Clear)),
        "also after a restart"
    );
}

#[test]
fn what_was_stored_goes_on_firing_after_a_restart() {
    let stored = State::stored(at(-500), at(0));
    let (state, change) = advance(stored, True, TIMES, at(0));
    assert_eq!((state.firing, state.since, change), (true, Some(at(-500)), None));
    let (state, change) = advance(stored, Unknown, TIMES, at(0));
    assert_eq!((state.firing, change), (true, None));
}

#[test]
fn what_an_action_did_not_end_fires_again_only_after_the_clear() {
    let at_once = Hysteresis {
        hold: Duration::from_secs(0),
        ..TIMES
    };
    let cured = State::stored(at(-500), at(0)).after_end(at(0));
    let (state, change) = advance(cured, True, at_once, at(3));
    assert_eq!((state.firing, change), (false, None));
    let (again, change) = advance(
        State {
            known: Some(at(57)),
            ..state
        },
        True,
        at_once,
        at(60),
    );
    assert_eq!(
        (again.firing, again.since, change),
        (true, Some(at(0)), Some(Change::Open))
    );
    let (gone, _) = advance(state, False, at_once, at(6));
    let (again, change) = advance(gone, True, at_once, at(9));
    assert_eq!(
        (again.since, change),
        (Some(at(9)), Some(Change::Open)),
        "it was over in between"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the verdicts and however the clock is set: openings and clearings alternate, between an opening and the one
    /// before there is a clearing, no opening without a True, and never sooner than hold and clear say by the clock.
    #[test]
    fn openings_and_clearings_alternate(steps in proptest::collection::vec((0_usize..3, -50_i64..20), 1..200)) {
        let mut now = 0_i64;
        let mut state = State::default();
        let mut last: Option<Change> = None;
        for (verdict, step) in steps {
            // Mostly forward, at times back by as much as 50 s.
            now += if step < -45 { step } else { step.abs() };
            let verdict = [False, Unknown, True][verdict];
            let before = state;
            let (next, change) = advance(state, verdict, TIMES, at(now));
            match change {
                Some(Change::Open) => {
                    prop_assert_eq!(verdict, True);
                    prop_assert_ne!(last, Some(Change::Open));
                    prop_assert!(before.since.unwrap().age(at(now)).as_secs() >= 30);
                }
                Some(Change::Clear) => {
                    prop_assert_eq!(verdict, False);
                    prop_assert_eq!(last, Some(Change::Open));
                    prop_assert!(before.clearing.unwrap().age(at(now)).as_secs() >= 60);
                }
                None => prop_assert_eq!(next.firing, before.firing),
            }
            last = change.or(last);
            state = next;
        }
    }

    /// A reading that flaps faster than the hold opens nothing, however long: 0 of 512.
    #[test]
    fn flapping_opens_nothing(spans in proptest::collection::vec((3_i64..27, 3_i64..120), 1..40)) {
        let spans: Vec<(i64, Verdict)> = spans.into_iter().flat_map(|(high, low)| [(high / 3 * 3, True), (low, False)]).collect();
        prop_assert_eq!(run(every_3(&spans), TIMES).1, []);
    }
}
