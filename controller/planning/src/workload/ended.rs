//! What the end of a container means: it is started again, it waits until it shows who ended it, or it stays as a person
//! left it. Pure.
//!
//! One that was made and not started yet is in the hands of who made it: Compose makes all containers of a project first, and
//! starts each when what it depends on is healthy or has completed.
//!
//! Only an adopted container is left stopped: of the replicas that we make, `spec.replicas` is the human's word. None is
//! started between the stop and the start of a `docker restart`.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::lifecycle::{Cause, LastEnd, RESTARTS_WITHIN};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::workload::InstanceStatus;

/// How soon to look again for an answer of the engine that proves that it did not stop.
const SOON: Duration = Duration::from_millis(500);

/// How long who made a container has to start it.
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// What an end means for what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// It runs, or may be started again.
    #[default]
    Startable,
    /// Who ended it shows by then.
    Open {
        /// When to judge.
        until: Time,
    },
    /// This controller stopped it, to start it again.
    Ours,
    /// A person stopped it, or a tool did.
    ByHand,
}

/// What is known of an end beside the container itself.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What events showed.
    pub last_end: &'a LastEnd,
    /// Since when they are heard without a break.
    pub heard_since: Option<Time>,
    /// The container's row of the last status.
    pub before: Option<&'a InstanceStatus>,
    pub now: Time,
}

pub(super) fn judge(container: &ContainerDetails, adopted: bool, known: Known<'_>) -> Ended {
    if container.state == ContainerState::Created && adopted {
        let until = container.created_at.map(|at| later(at, STARTED_WITHIN));
        // By a clock that is far ahead of ours it was made in the future: it is not waited for that long.
        let soon = later(known.now, STARTED_WITHIN * 2);
        let waits = until.filter(|until| *until > known.now && *until <= soon);
        return waits.map_or(Ended::Startable, |until| Ended::Open { until });
    }
    if container.state != ContainerState::Exited {
        return Ended::Startable;
    }
    let reported = known.before.and_then(|row| row.stopped_by_hand);
    if adopted && reported.is_some() && reported == container.finished_at {
        return Ended::ByHand;
    }
    match known.last_end {
        LastEnd::Open { until, .. } if adopted => Ended::Open {
            until: (*until).max(later(known.now, SOON)),
        },
        LastEnd::Open { at, .. } => restarts(*at, known.now),
        LastEnd::Known(death) if death.cause == Cause::Human => match (adopted, death.at) {
            (true, _) => Ended::ByHand,
            (false, Some(at)) => restarts(at, known.now),
            (false, None) => Ended::Startable,
        },
        LastEnd::Known(death) if death.cause == Cause::Controller => Ended::Ours,
        LastEnd::Known(_) => Ended::Startable,
        LastEnd::Unseen => unheard(container, known),
    }
}

/// A person may be restarting it just now.
fn restarts(stopped: Time, now: Time) -> Ended {
    let until = later(stopped, RESTARTS_WITHIN);
    match until > now {
        true => Ended::Open { until },
        false => Ended::Startable,
    }
}

/// It was seen before its events were heard: they are on their way, unless it ended while events were not watched.
fn unheard(container: &ContainerDetails, known: Known<'_>) -> Ended {
    let heard = known.heard_since.zip(container.finished_at);
    match heard {
        // By a clock that is ahead of ours it ended in the future: it is not waited for that long.
        Some((since, finished)) if finished >= since && finished.until(known.now) <= RESTARTS_WITHIN => {
            restarts(finished, known.now)
        }
        _ => Ended::Startable,
    }
}

fn later(at: Time, span: Duration) -> Time {
    Time(at.0.checked_add(span).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::lifecycle::Death;

    fn time(seconds: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_900_000_000 + seconds).unwrap())
    }

    #[test]
    fn an_adopted_container_that_is_just_made_is_its_makers_to_start() {
        let made = |at: i64| ContainerDetails {
            state: ContainerState::Created,
            created_at: Some(time(at)),
            ..ContainerDetails::default()
        };
        let known = Known {
            last_end: &LastEnd::Unseen,
            heard_since: None,
            before: None,
            now: time(100),
        };
        for (at, adopted, ended) in [
            (95, true, Ended::Open { until: time(155) }),
            (95, false, Ended::Startable),
            (101, true, Ended::Open { until: time(161) }),
            (40, true, Ended::Startable),
            (500, true, Ended::Startable),
        ] {
            assert_eq!(judge(&made(at), adopted, known), ended, "{at} {adopted}");
        }
    }

    fn exited(at: i64) -> ContainerDetails {
        ContainerDetails {
            state: ContainerState::Exited,
            finished_at: Some(time(at)),
            ..ContainerDetails::default()
        }
    }

    fn known(last_end: &LastEnd, heard_since: Option<i64>, now: i64) -> Known<'_> {
        Known {
            last_end,
            heard_since: heard_since.map(time),
            before: None,
            now: time(now),
        }
    }

    fn ended_by(cause: Cause) -> LastEnd {
        LastEnd::Known(Death {
            at: Some(time(50)),
            cause,
            exit_code: 137,
            ..Death::default()
        })
    }

    #[test]
    fn only_what_a_person_stopped_and_we_did_not_make_is_left_stopped() {
        for (cause, adopted, meaning) in [
            (Cause::Human, true, Ended::ByHand),
            (Cause::Human, false, Ended::Startable),
            (Cause::Process, true, Ended::Startable),
            (Cause::Controller, true, Ended::Ours),
            (Cause::Controller, false, Ended::Ours),
            (Cause::EngineStop, true, Ended::Startable),
            (Cause::Unknown, true, Ended::Startable),
        ] {
            let end = ended_by(cause);
            let judged = judge(&exited(50), adopted, known(&end, Some(0), 90));
            assert_eq!(judged, meaning, "{cause:?} {adopted}");
        }
    }

    #[test]
    fn a_replica_of_ours_waits_only_for_the_start_of_a_restart() {
        let open = LastEnd::Open {
            at: time(50),
            until: time(65),
        };
        let at = |now, adopted| judge(&exited(50), adopted, known(&open, Some(0), now));
        assert_eq!(at(51, false), Ended::Open { until: time(52) });
        assert_eq!(at(52, false), Ended::Startable);
        assert_eq!(at(52, true), Ended::Open { until: time(65) });
        // The engine has not answered yet: it may be on its way down.
        assert!(matches!(at(70, true), Ended::Open { until } if until > time(70)));
    }

    #[test]
    fn an_end_whose_events_are_on_their_way_is_waited_for_and_one_that_was_not_heard_is_not() {
        let at = |finished, heard, now| judge(&exited(finished), true, known(&LastEnd::Unseen, heard, now));
        assert_eq!(at(50, Some(0), 50), Ended::Open { until: time(52) });
        assert_eq!(at(50, Some(0), 52), Ended::Startable);
        assert_eq!(
            at(50, Some(51), 51),
            Ended::Startable,
            "it ended before anybody listened"
        );
        assert_eq!(at(50, None, 50), Ended::Startable, "events are not watched");
        assert_eq!(at(5000, Some(0), 50), Ended::Startable, "by another clock");
    }
}
