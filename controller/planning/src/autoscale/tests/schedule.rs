//! Schedules, where clocks are set.

use super::super::in_force;
use super::{moment, spec};

const CPU: &str = "{metric: Cpu, percent: 50}";

#[test]
fn bounds_follow_the_clock_on_the_wall_also_where_it_is_set() {
    let berlin = |start: &str, end: &str| {
        spec(
            CPU,
            &format!("schedule: [{{start: '{start}', end: '{end}', timeZone: Europe/Berlin, min: 4}}]"),
        )
    };
    let rows = [
        // A plain day: in force from the start on, until the end.
        (
            "0 8 * * *",
            "0 18 * * *",
            "2026-06-15T05:59:59Z",
            1,
            "07:59:59 CEST",
        ),
        ("0 8 * * *", "0 18 * * *", "2026-06-15T06:00:00Z", 4, "08:00 CEST"),
        (
            "0 8 * * *",
            "0 18 * * *",
            "2026-06-15T15:59:59Z",
            4,
            "17:59:59 CEST",
        ),
        ("0 8 * * *", "0 18 * * *", "2026-06-15T16:00:00Z", 1, "18:00 CEST"),
        ("0 8 * * *", "0 18 * * *", "2026-01-15T06:30:00Z", 1, "07:30 CET"),
        ("0 8 * * *", "0 18 * * *", "2026-01-15T07:00:00Z", 4, "08:00 CET"),
        // Across midnight, and over a weekend.
        (
            "0 22 * * *",
            "0 6 * * *",
            "2026-06-15T23:00:00Z",
            4,
            "01:00 the next day",
        ),
        ("0 22 * * *", "0 6 * * *", "2026-06-15T10:00:00Z", 1, "noon"),
        (
            "0 8 * * 1",
            "0 18 * * 5",
            "2026-06-17T12:00:00Z",
            4,
            "a Wednesday",
        ),
        ("0 8 * * 1", "0 18 * * 5", "2026-06-20T12:00:00Z", 1, "a Saturday"),
        // 29 March 2026: 02:00 CET is 03:00 CEST. A start that is skipped counts when it has been.
        (
            "30 2 * * *",
            "0 6 * * *",
            "2026-03-28T12:00:00Z",
            1,
            "the day before: not yet",
        ),
        (
            "30 2 * * *",
            "0 6 * * *",
            "2026-03-29T00:59:59Z",
            1,
            "01:59:59 CET",
        ),
        (
            "30 2 * * *",
            "0 6 * * *",
            "2026-03-29T01:00:00Z",
            4,
            "03:00 CEST: 02:30 was skipped",
        ),
        ("30 2 * * *", "0 6 * * *", "2026-03-29T04:00:00Z", 1, "06:00 CEST"),
        (
            "0 1 * * *",
            "30 2 * * *",
            "2026-03-29T00:59:59Z",
            4,
            "01:59:59 CET",
        ),
        (
            "0 1 * * *",
            "30 2 * * *",
            "2026-03-29T01:00:00Z",
            1,
            "03:00 CEST: the end was skipped",
        ),
        // 25 October 2026: 03:00 CEST is 02:00 CET again. What comes twice counts the first time.
        ("30 2 * * *", "0 6 * * *", "2026-10-25T00:29:00Z", 1, "02:29 CEST"),
        ("30 2 * * *", "0 6 * * *", "2026-10-25T00:30:00Z", 4, "02:30 CEST"),
        (
            "30 2 * * *",
            "0 6 * * *",
            "2026-10-25T01:10:00Z",
            4,
            "02:10 CET: it does not begin again",
        ),
        ("30 2 * * *", "0 6 * * *", "2026-10-25T05:00:00Z", 1, "06:00 CET"),
        (
            "0 1 * * *",
            "30 2 * * *",
            "2026-10-25T00:30:00Z",
            1,
            "02:30 CEST: the end",
        ),
        (
            "0 1 * * *",
            "30 2 * * *",
            "2026-10-25T01:10:00Z",
            1,
            "02:10 CET: it has ended",
        ),
        (
            "0 3 * * *",
            "0 6 * * *",
            "2026-10-25T01:59:59Z",
            1,
            "02:59:59 CET",
        ),
        ("0 3 * * *", "0 6 * * *", "2026-10-25T02:00:00Z", 4, "03:00 CET"),
    ];
    for (start, end, now, min, when) in rows {
        assert_eq!(
            in_force(&berlin(start, end), moment(now)).min,
            min,
            "{start} to {end} at {when}"
        );
    }
}

#[test]
fn of_several_entries_the_highest_bounds_count() {
    let two = spec(
        CPU,
        "schedule: [{start: '0 8 * * *', end: '0 18 * * *', min: 3}, {start: '0 12 * * *', end: '0 13 * * *', min: 5, max: 20}]",
    );
    let bounds = |now: &str| {
        let bounds = in_force(&two, moment(now));
        (bounds.min, bounds.max, bounds.scheduled)
    };
    assert_eq!(bounds("2026-06-15T07:00:00Z"), (1, 10, false));
    assert_eq!(bounds("2026-06-15T09:00:00Z"), (3, 10, true));
    assert_eq!(bounds("2026-06-15T12:30:00Z"), (5, 20, true));
}
