//! Sequences of events as engines send them, and what they mean.

use super::*;

/// What happened, and at which second.
type Events<'a> = &'a [(i64, What)];

fn second(seconds: i64) -> Time {
    Time(jiff::Timestamp::from_second(1_900_000_000 + seconds).unwrap())
}

fn record(happenings: &[(i64, What)]) -> Record {
    let mut record = Record::default();
    for (at, what) in happenings {
        record.add(second(*at), *what);
    }
    record
}

use What::{Back, Die, Kill, Lost, Oom, OwnStart, OwnStop, OwnStopFailed, Restart, Start, Stop};

#[test]
fn what_ended_a_container_is_known_from_its_events() {
    // (what it is, what happened, when the engine last answered, the cause, whether it is a crash)
    let cases: &[(&str, Events<'_>, i64, Cause, bool)] = &[
        (
            "docker stop",
            &[(0, Start), (50, Kill(15)), (51, Die(0)), (51, Stop)],
            70,
            Cause::Human,
            false,
        ),
        (
            "docker stop, not obeyed",
            &[
                (0, Start),
                (50, Kill(15)),
                (60, Kill(9)),
                (60, Die(137)),
                (60, Stop),
            ],
            80,
            Cause::Human,
            false,
        ),
        (
            "docker kill",
            &[(0, Start), (50, Kill(9)), (50, Die(137))],
            70,
            Cause::Process,
            true,
        ),
        (
            "docker kill -s TERM",
            &[(0, Start), (50, Kill(15)), (51, Die(143))],
            70,
            Cause::Human,
            false,
        ),
        (
            "docker kill -s INT, slowly",
            &[(0, Start), (50, Kill(2)), (90, Die(0))],
            120,
            Cause::Human,
            false,
        ),
        ("a crash", &[(0, Start), (50, Die(1))], 50, Cause::Process, true),
        (
            "its work is done",
            &[(0, Start), (50, Die(0))],
            50,
            Cause::Process,
            false,
        ),
        (
            "out of memory",
            &[(0, Start), (50, Oom), (50, Die(137))],
            50,
            Cause::Process,
            true,
        ),
        (
            "a crash long after a reload",
            &[(0, Start), (40, Kill(1)), (50, Die(1))],
            70,
            Cause::Process,
            true,
        ),
        (
            "a HUP that it died of",
            &[(0, Start), (50, Kill(1)), (50, Die(129))],
            70,
            Cause::Human,
            false,
        ),
        (
            "a stop between two crashes of a loop",
            &[(0, Start), (50, Die(1)), (51, Stop)],
            70,
            Cause::Human,
            false,
        ),
        (
            "our own stop",
            &[
                (0, Start),
                (50, OwnStop),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
            ],
            70,
            Cause::Controller,
            false,
        ),
        (
            "a stop after one of ours that failed",
            &[
                (0, Start),
                (40, OwnStop),
                (41, OwnStopFailed),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
            ],
            70,
            Cause::Human,
            false,
        ),
        (
            "the engine's own stop",
            &[
                (0, Start),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
                (53, Lost(Some(second(49)))),
                (60, Back),
            ],
            90,
            Cause::EngineStop,
            false,
        ),
        (
            "an engine that takes long to stop and answers no request meanwhile",
            &[
                (0, Start),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
                (90, Lost(Some(second(50)))),
                (95, Back),
            ],
            120,
            Cause::EngineStop,
            false,
        ),
        (
            "a stop long before the stream was lost",
            &[
                (0, Start),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
                (90, Lost(Some(second(88)))),
                (95, Back),
            ],
            120,
            Cause::Human,
            false,
        ),
        (
            "a stop, too early to tell",
            &[(0, Start), (50, Kill(15)), (51, Die(0)), (51, Stop)],
            60,
            Cause::Unknown,
            false,
        ),
        (
            "an end right after a gap, the word for it lost",
            &[(0, Start), (50, Lost(None)), (55, Back), (56, Die(143))],
            80,
            Cause::Unknown,
            false,
        ),
        (
            "a crash long after a gap",
            &[(0, Start), (50, Lost(None)), (55, Back), (99, Die(1))],
            99,
            Cause::Process,
            true,
        ),
    ];
    for (case, happenings, answered, cause, crash) in cases {
        let deaths = record(happenings).deaths(second(200), Some(second(*answered)));
        assert_eq!(deaths.len(), 1, "{case}");
        assert_eq!(
            (deaths[0].cause, deaths[0].is_crash()),
            (*cause, *crash),
            "{case}: {deaths:?}"
        );
    }
}

#[test]
fn who_started_it_again_is_reported_too() {
    let cases: &[(&str, Events<'_>, Cause)] = &[
        (
            "docker restart",
            &[
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
                (52, Start),
                (52, Restart),
            ],
            Cause::Human,
        ),
        (
            "Docker's policy",
            &[(50, Die(1)), (51, Start)],
            Cause::DockerPolicy,
        ),
        (
            "docker restart of what crashes",
            &[(50, Die(1)), (51, Start), (51, Restart)],
            Cause::Human,
        ),
        (
            "us, after a crash",
            &[(50, Die(1)), (50, OwnStart), (51, Start)],
            Cause::Controller,
        ),
        (
            "our restart",
            &[
                (50, OwnStop),
                (50, Kill(15)),
                (51, Die(0)),
                (51, Stop),
                (51, OwnStart),
                (51, Start),
            ],
            Cause::Controller,
        ),
        (
            "unknown",
            &[(50, Die(1)), (51, Lost(None)), (52, Back), (53, Start)],
            Cause::Unknown,
        ),
    ];
    for (case, happenings, by) in cases {
        let deaths = record(happenings).deaths(second(100), Some(second(100)));
        assert_eq!(deaths[0].restarted_by, Some(*by), "{case}: {deaths:?}");
    }
}

#[test]
fn a_stop_is_open_until_the_stream_has_outlived_it_and_a_restart_closes_it() {
    let stopped = [(0, Start), (50, Kill(15)), (51, Die(0)), (51, Stop)];
    let open = LastEnd::Open {
        at: second(51),
        until: second(66),
    };
    assert_eq!(record(&stopped).last_end(None), open);
    assert_eq!(record(&stopped).last_end(Some(second(65))), open);
    let known = record(&stopped).last_end(Some(second(66)));
    assert!(matches!(known, LastEnd::Known(death) if death.cause == Cause::Human));
    let mut restarted = record(&stopped);
    restarted.add(second(53), Start);
    assert_eq!(restarted.last_end(Some(second(90))), LastEnd::Unseen);
    // Asked to end, and not ended yet: nothing is open.
    assert_eq!(record(&stopped[..2]).last_end(None), LastEnd::Unseen);
}

#[test]
fn a_crash_is_known_at_once() {
    for end in [
        &[(50, Die(1))][..],
        &[(50, Kill(9)), (50, Die(137))],
        &[(50, Oom), (50, Die(137))],
    ] {
        let end = record(end).last_end(None);
        assert!(
            matches!(&end, LastEnd::Known(death) if death.is_crash()),
            "{end:?}"
        );
    }
}

#[test]
fn a_record_and_what_is_reported_of_it_are_bounded() {
    let mut record = Record::default();
    for at in 0..500 {
        record.add(second(at), Start);
        record.add(second(at), Die(1));
    }
    assert_eq!(record.0.len(), MOST_KEPT);
    assert!(record.deaths(second(500), None).len() <= MOST_DEATHS);
    assert_eq!(record.deaths(second(500 + 16 * 60), None), []);
    // A stream that breaks all the time pushes nothing out.
    let mut flapping = super::tests::record(&[(0, Die(1))]);
    for at in 0..500 {
        flapping.add(second(at), Lost(None));
        flapping.add(second(at), Back);
    }
    assert_eq!(flapping.deaths(second(500), None).len(), 1);
    assert!(std::mem::size_of::<(Time, What)>() * MOST_KEPT <= 2048);
}

#[test]
fn events_are_read_whether_signals_are_numbers_or_names_and_others_are_passed_over() {
    let read = |action: &str, key: &'static str, value: &'static str| {
        What::of_event(action, |asked| (asked == key).then(|| value.to_owned()))
    };
    assert_eq!(read("kill", "signal", "15"), Some(Kill(15)));
    assert_eq!(read("kill", "signal", "SIGTERM"), Some(Kill(15)));
    assert_eq!(read("kill", "signal", "KILL"), Some(Kill(9)));
    assert_eq!(read("die", "exitCode", "137"), Some(Die(137)));
    assert_eq!(read("die", "", ""), Some(Die(-1)));
    for other in [
        "exec_start: sh",
        "health_status: healthy",
        "top",
        "rename",
        "destroy",
        "pause",
    ] {
        assert_eq!(read(other, "", ""), None);
    }
}
