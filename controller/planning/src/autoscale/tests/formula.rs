//! The documented formula, worked out by hand.

use super::super::formula::{Tolerance, of_mean, of_total, of_value};

const TENTH: Tolerance = Tolerance { up: 0.1, down: 0.1 };

/// What each replica that serves uses, those that come, target, current, desired; how it was worked out.
type Row<'a> = (&'a [Option<f64>], u32, f64, u32, u32, &'a str);

#[test]
fn the_documented_formula_gives_what_was_worked_out_by_hand_for_means() {
    let m = None;
    // (what each replica that serves uses, those that come, target, current, desired): how it was worked out.
    let rows: &[Row<'_>] = &[
        (&[Some(100.0)], 0, 50.0, 1, 2, "100/50 = 2; 1 × 2"),
        (
            &[Some(200.0)],
            0,
            100.0,
            1,
            2,
            "the documentation: 200m of 100m doubles",
        ),
        (
            &[Some(50.0); 2],
            0,
            100.0,
            2,
            1,
            "the documentation: 50m of 100m halves",
        ),
        (&[Some(55.0); 4], 0, 50.0, 4, 4, "55/50 = 1.1: tolerated"),
        (&[Some(56.0); 4], 0, 50.0, 4, 5, "1.12 × 4 = 4.48, rounded up"),
        (&[Some(45.0); 4], 0, 50.0, 4, 4, "0.9: tolerated"),
        (&[Some(44.0); 4], 0, 50.0, 4, 4, "0.88 × 4 = 3.52, rounded up: 4"),
        (&[Some(37.0); 4], 0, 50.0, 4, 3, "0.74 × 4 = 2.96, rounded up: 3"),
        (&[Some(0.0); 3], 0, 50.0, 3, 0, "0: the minimum decides"),
        (
            &[Some(90.0), Some(10.0)],
            0,
            50.0,
            2,
            2,
            "mean 50: on target, however it is spread",
        ),
        (
            &[Some(100.0), Some(80.0), Some(90.0)],
            0,
            60.0,
            3,
            5,
            "90/60 = 1.5 × 3 = 4.5, rounded up",
        ),
        (
            &[Some(80.0), m],
            0,
            40.0,
            2,
            2,
            "out: missing as idle: (80+0)/2 = 40: on target",
        ),
        (
            &[Some(100.0), m],
            0,
            40.0,
            2,
            3,
            "out: (100+0)/2 = 50/40 = 1.25 × 2 = 2.5, rounded up",
        ),
        (
            &[Some(10.0), m],
            0,
            40.0,
            2,
            2,
            "in: missing on target: (10+40)/2 = 25/40 = 0.625 × 2 = 1.25: 2",
        ),
        (
            &[Some(10.0), Some(10.0), m],
            0,
            40.0,
            3,
            2,
            "in: (20+40)/3 = 20/40 = 0.5 × 3 = 1.5: 2",
        ),
        (
            &[Some(42.0), m],
            0,
            40.0,
            2,
            2,
            "above, and with the missing as idle below: it turned, so nothing",
        ),
        (
            &[Some(100.0)],
            1,
            50.0,
            2,
            2,
            "out: what comes as idle: (100+0)/2 = 50: on target",
        ),
        (&[Some(100.0)], 1, 30.0, 2, 4, "out: 50/30 = 1.67 × 2 = 3.33: 4"),
        (
            &[Some(100.0); 2],
            4,
            50.0,
            6,
            6,
            "200/6 = 33/50: it turned, so nothing",
        ),
        (
            &[Some(20.0); 2],
            1,
            50.0,
            3,
            1,
            "in: what comes is left out: 20/50 = 0.4 × 2 = 0.8: 1",
        ),
        (
            &[Some(100.0); 3],
            0,
            70.0,
            4,
            5,
            "100/70 = 1.43 × 3 = 4.29: 5; the fourth neither serves nor comes",
        ),
    ];
    for (values, warming, target, current, desired, how) in rows {
        assert_eq!(
            of_mean(values, *warming, *target, TENTH, *current),
            Some(*desired),
            "{how}"
        );
    }
    assert_eq!(
        of_mean(&[m, m], 0, 50.0, TENTH, 2),
        None,
        "of nothing nothing is known"
    );
    assert_eq!(of_mean(&[], 3, 50.0, TENTH, 3), None, "none serves");
}

#[test]
fn the_documented_formula_gives_what_was_worked_out_by_hand_for_totals_and_values() {
    for (total, target, current, desired, how) in [
        (100.0, 50.0, 1, 2, "100 in shares of 50"),
        (101.0, 50.0, 2, 2, "101/(50 × 2) = 1.01: tolerated"),
        (110.0, 50.0, 2, 2, "1.1: tolerated"),
        (111.0, 50.0, 2, 3, "1.11; 2.22 rounded up"),
        (90.0, 50.0, 2, 2, "0.9: tolerated"),
        (89.0, 50.0, 2, 2, "0.89; 1.78 rounded up is 2 all the same"),
        (49.0, 50.0, 2, 1, "0.49; 0.98 rounded up"),
        (0.0, 50.0, 5, 0, "nothing: the minimum decides"),
        (1000.0, 50.0, 3, 20, "20 shares: the maximum decides"),
        (0.3, 0.1, 1, 3, "0.3/0.1 is a hair above 3 in binary: 3"),
    ] {
        assert_eq!(of_total(total, target, TENTH, current), desired, "{how}");
    }
    for (value, target, serving, current, desired, how) in [
        (600.0, 300.0, 2, 2, 4, "twice as slow: twice as many"),
        (330.0, 300.0, 2, 2, 2, "1.1: tolerated"),
        (360.0, 300.0, 3, 3, 4, "1.2 × 3 = 3.6: 4"),
        (600.0, 300.0, 2, 4, 4, "2 × the two that serve"),
        (150.0, 300.0, 4, 4, 2, "half as slow: half as many"),
    ] {
        assert_eq!(of_value(value, target, TENTH, serving, current), desired, "{how}");
    }
}
