//! The record of what happened to each container, fed by the one subscription to the engine's events and by our own
//! actions before they are made. Owns the bound over all containers; judges nothing (see [`aegis_api::lifecycle`]), does no
//! I/O, and lives in memory alone: after a restart of this controller a cause is unknown. What must outlive it (a container
//! that a person stopped) is kept in the Workload's status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::lifecycle::{Cause, Death, LastEnd, RESTARTS_WITHIN, Record, What, earlier};
use aegis_api::observed::EngineEvent;
use aegis_api::{ContainerId, Time};

/// Most containers that are remembered; with 32 happenings each this is some 2 MiB.
const MOST_CONTAINERS: usize = 1024;

/// By more than this the clock was set back, and not adjusted, nor read by two at the same moment.
const SET_BACK: Duration = Duration::from_secs(60);

/// The record. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    records: HashMap<ContainerId, Record>,
    /// Names of containers that somebody removed, and when: at most as many as there are records.
    removed: HashMap<String, Time>,
    /// Since when the event stream is up without a break.
    up_since: Option<Time>,
    /// Since when it is not; `None` before it was there for the first time.
    away_since: Option<Time>,
    /// When the engine last answered on a connection of its own: one that stops takes no new ones.
    answered: Option<Time>,
    /// The latest time of all that was noted.
    newest: Option<Time>,
}

impl State {
    /// It is this late. Where the clock was set back, everything is as old as it was: the order in which things happened
    /// decides who made a container end, and they must not lie ahead of what happens from now on.
    fn see(&mut self, now: Time) {
        let step = self.newest.map_or(Duration::ZERO, |newest| now.age(newest));
        if step <= SET_BACK {
            self.newest = self.newest.max(Some(now));
            // A call that was under way while the clock was set back.
            self.answered = self.answered.map(|answered| answered.min(now));
            return;
        }
        let singles = [&mut self.up_since, &mut self.away_since, &mut self.answered];
        let all = singles.into_iter().flatten().chain(self.removed.values_mut());
        all.for_each(|at| *at = earlier(*at, step));
        self.records.values_mut().for_each(|record| record.set_back(step));
        self.newest = Some(now);
    }

    fn add(&mut self, id: &str, at: Time, what: What) {
        if let Some(record) = self.records.get_mut(id) {
            record.add(at, what);
            return;
        }
        if self.records.len() >= MOST_CONTAINERS {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.last_at());
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.records.remove(&oldest);
            }
        }
        let mut record = Record::default();
        if let Some(since) = self.up_since {
            // What was before that was not observed.
            record.add(since, What::Back);
        }
        record.add(at, what);
        self.records.insert(id.into(), record);
    }

    /// A container is gone. Its record goes with it, and what is kept is whether somebody requested that: the engine itself
    /// removes only what was started with `--rm`, as soon as its process has ended by itself.
    fn forget(&mut self, event: &EngineEvent, at: Time) {
        let record = self.records.remove(&event.id);
        let end = record.map(|record| record.last_end(self.answered));
        let by_itself = matches!(end, Some(LastEnd::Known(death))
            if death.cause == Cause::Process
                && death.signal.is_none()
                && death.at.is_some_and(|ended| ended.age(at) <= RESTARTS_WITHIN));
        if by_itself {
            self.removed.remove(&event.name);
            return;
        }
        if self.removed.len() >= MOST_CONTAINERS {
            let oldest = self.removed.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.removed.remove(&oldest);
            }
        }
        self.removed.insert(event.name.clone(), at);
    }
}

impl Lifecycle {
    /// An event came. One that is removed is forgotten.
    pub fn event(&self, event: &EngineEvent, at: Time) {
        match event.action.as_str() {
            "destroy" => return self.at(at, |state| state.forget(event, at)),
            // Another one of that name.
            "create" => {
                self.with(|state| state.removed.remove(&event.name));
            }
            _ => {}
        }
        let attribute = |key: &str| event.attributes.get(key).cloned();
        if let Some(what) = What::of_event(&event.action, attribute) {
            self.at(at, |state| state.add(&event.id, at, what));
        }
    }

    /// The event stream is there (again).
    pub fn stream_is_up(&self, at: Time) {
        self.at(at, |state| {
            state.up_since = Some(at);
            state.away_since = None;
            for record in state.records.values_mut() {
                record.add(at, What::Back);
            }
        });
    }

    /// The event stream is lost: from now on things may happen unobserved.
    pub fn stream_is_lost(&self, at: Time) {
        self.at(at, |state| {
            // It never was there: nothing is lost that was not lost before.
            if state.up_since.take().is_some() {
                // What has the name by now may go unobserved.
                state.removed.clear();
                state.away_since = Some(at);
                let answered = state.answered;
                for record in state.records.values_mut() {
                    record.add(at, What::Lost(answered));
                }
            }
        });
    }

    /// The engine has answered a call that was made at `asked`.
    pub fn engine_answered(&self, asked: Time) {
        self.with(|state| state.answered = state.answered.max(Some(asked)));
    }

    /// We are about to do this to a container: to be noted before it is done.
    pub fn note(&self, id: &str, at: Time, what: What) {
        self.at(at, |state| state.add(id, at, what));
    }

    /// How a container ended in the last quarter of an hour, oldest first. It moves nothing, whatever time it is given: that
    /// may be when a long pass began, and what was noted since lies ahead of it.
    pub fn deaths(&self, id: &str, now: Time) -> Vec<Death> {
        self.with(|state| {
            state.newest = state.newest.max(Some(now));
            let answered = state.answered;
            let record = state.records.get(id);
            record
                .map(|record| record.deaths(now, answered))
                .unwrap_or_default()
        })
    }

    /// How a container's last run ended, as far as is known now.
    pub fn last_end(&self, id: &str) -> LastEnd {
        self.with(|state| {
            let record = state.records.get(id);
            record.map_or(LastEnd::Unseen, |record| record.last_end(state.answered))
        })
    }

    /// Whether somebody removed the last container of this name: a person, or a tool such as Compose.
    pub fn is_removed_by_hand(&self, name: &str) -> bool {
        self.with(|state| state.removed.contains_key(name))
    }

    /// Since when the event stream is up without a break; `None` while it is not.
    pub fn up_since(&self) -> Option<Time> {
        self.with(|state| state.up_since)
    }

    /// Since when the event stream is away; `None` while it is there, and before it was for the first time.
    pub fn away_since(&self) -> Option<Time> {
        self.with(|state| state.away_since)
    }

    /// What happens at this time.
    fn at<T>(&self, now: Time, f: impl FnOnce(&mut State) -> T) -> T {
        self.with(|state| {
            state.see(now);
            f(state)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::lifecycle::Cause;

    fn second(seconds: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_900_000_000 + seconds).unwrap())
    }

    fn event(id: &str, action: &str, attributes: &[(&str, &str)]) -> EngineEvent {
        let attributes = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        EngineEvent {
            action: action.to_owned(),
            id: id.into(),
            name: "web".to_owned(),
            attributes: attributes.collect(),
        }
    }

    /// An event, its second, and what it says.
    type Happened = (&'static str, i64, &'static [(&'static str, &'static str)]);

    fn stopped(lifecycle: &Lifecycle, at: i64) {
        lifecycle.event(&event("a", "kill", &[("signal", "15")]), second(at));
        lifecycle.event(&event("a", "die", &[("exitCode", "0")]), second(at + 1));
        lifecycle.event(&event("a", "stop", &[]), second(at + 1));
    }

    fn cause(lifecycle: &Lifecycle) -> Option<Cause> {
        match lifecycle.last_end("a") {
            LastEnd::Known(death) => Some(death.cause),
            LastEnd::Open { .. } | LastEnd::Unseen => None,
        }
    }

    #[test]
    fn a_stop_is_a_persons_once_stream_and_engine_have_outlived_it() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        stopped(&lifecycle, 50);
        lifecycle.engine_answered(second(65));
        assert_eq!(cause(&lifecycle), None);
        lifecycle.engine_answered(second(66));
        assert_eq!(cause(&lifecycle), Some(Cause::Human));
        // What is known stays known when the engine goes after all.
        lifecycle.stream_is_lost(second(70));
        lifecycle.stream_is_up(second(75));
        lifecycle.engine_answered(second(99));
        assert_eq!(cause(&lifecycle), Some(Cause::Human));
    }

    #[test]
    fn a_stream_that_is_lost_too_early_leaves_it_to_the_engine_for_good() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        stopped(&lifecycle, 50);
        lifecycle.stream_is_lost(second(52));
        lifecycle.stream_is_up(second(53));
        lifecycle.engine_answered(second(99));
        assert_eq!(cause(&lifecycle), Some(Cause::EngineStop));
        assert_eq!(
            (lifecycle.up_since(), lifecycle.away_since()),
            (Some(second(53)), None)
        );
        lifecycle.stream_is_lost(second(110));
        lifecycle.stream_is_lost(second(115));
        assert_eq!(lifecycle.away_since(), Some(second(110)));
    }

    #[test]
    fn after_the_clock_was_set_back_ends_are_judged_as_before() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        lifecycle.event(&event("a", "die", &[("exitCode", "1")]), second(7000));
        lifecycle.engine_answered(second(7200));
        assert_eq!(lifecycle.deaths("a", second(7200)).len(), 1);
        // An hour back: an engine that is stopping has not answered since.
        stopped(&lifecycle, 3650);
        assert_eq!(cause(&lifecycle), None, "not known yet");
        lifecycle.engine_answered(second(3666));
        assert_eq!(cause(&lifecycle), Some(Cause::Human));
        let deaths = lifecycle.deaths("a", second(3670));
        let ages: Vec<u64> = deaths
            .iter()
            .map(|death| death.at.unwrap().age(second(3670)).as_secs())
            .collect();
        assert_eq!(ages, [220, 19], "the crash is as long ago as it was");
        assert_eq!(lifecycle.up_since(), Some(second(-3550)));
    }

    #[test]
    fn a_reader_moves_nothing_however_old_its_time_is() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        lifecycle.event(&event("a", "die", &[("exitCode", "1")]), second(7000));
        // A pass that began ten minutes before.
        assert_eq!(lifecycle.deaths("a", second(6400)).len(), 1);
        let deaths = lifecycle.deaths("a", second(7001));
        let ended: Vec<Option<Time>> = deaths.iter().map(|death| death.at).collect();
        assert_eq!(ended, [Some(second(7000))]);
        assert_eq!(lifecycle.up_since(), Some(second(0)));
    }

    #[test]
    fn what_we_do_ourselves_is_ours() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        lifecycle.note("a", second(49), What::OwnStop);
        stopped(&lifecycle, 50);
        assert_eq!(cause(&lifecycle), Some(Cause::Controller));
        assert!(
            lifecycle
                .deaths("a", second(60))
                .iter()
                .all(|death| !death.is_crash())
        );
    }

    #[test]
    fn a_removal_is_by_hand_unless_the_engine_follows_the_end_of_what_was_to_be_removed_with_it() {
        let by_hand = |happened: &[Happened]| {
            let lifecycle = Lifecycle::default();
            lifecycle.stream_is_up(second(0));
            for (action, at, attributes) in happened {
                lifecycle.event(&event("a", action, attributes), second(*at));
            }
            lifecycle.is_removed_by_hand("web")
        };
        let died: Happened = ("die", 50, &[("exitCode", "1")]);
        assert!(!by_hand(&[died, ("destroy", 51, &[])]), "--rm");
        assert!(
            by_hand(&[died, ("destroy", 90, &[])]),
            "docker rm of what had crashed"
        );
        let killed: Happened = ("kill", 50, &[("signal", "9")]);
        assert!(
            by_hand(&[killed, ("die", 50, &[("exitCode", "137")]), ("destroy", 50, &[])]),
            "rm -f"
        );
        let stop: [Happened; 3] = [
            ("kill", 50, &[("signal", "15")]),
            ("die", 50, &[("exitCode", "0")]),
            ("stop", 50, &[]),
        ];
        assert!(
            by_hand(&[&stop[..], &[("destroy", 50, &[])]].concat()),
            "compose down"
        );
        assert!(by_hand(&[("destroy", 50, &[])]));
        assert!(
            !by_hand(&[("destroy", 50, &[]), ("create", 52, &[])]),
            "recreated"
        );
        assert!(!by_hand(&[]));
    }

    #[test]
    fn what_was_removed_is_bounded_and_forgotten_with_the_stream() {
        let lifecycle = Lifecycle::default();
        lifecycle.stream_is_up(second(0));
        for at in 0..2000 {
            let mut gone = event(&format!("{at}"), "destroy", &[]);
            gone.name = format!("c{at}");
            lifecycle.event(&gone, second(at));
        }
        assert_eq!(lifecycle.with(|state| state.removed.len()), MOST_CONTAINERS);
        assert!(lifecycle.is_removed_by_hand("c1999") && !lifecycle.is_removed_by_hand("c0"));
        lifecycle.stream_is_lost(second(2001));
        assert!(!lifecycle.is_removed_by_hand("c1999"));
    }

    #[test]
    fn containers_are_bounded_and_those_removed_are_forgotten() {
        let lifecycle = Lifecycle::default();
        for at in 0..2000 {
            lifecycle.event(&event(&format!("{at}"), "die", &[("exitCode", "1")]), second(at));
        }
        let records = || lifecycle.with(|state| state.records.len());
        assert_eq!(records(), MOST_CONTAINERS);
        assert_eq!(lifecycle.deaths("1999", second(2000)).len(), 1);
        assert_eq!(lifecycle.deaths("0", second(2000)), []);
        lifecycle.event(&event("1999", "destroy", &[]), second(2000));
        assert_eq!(
            (records(), lifecycle.last_end("1999")),
            (MOST_CONTAINERS - 1, LastEnd::Unseen)
        );
    }
}
