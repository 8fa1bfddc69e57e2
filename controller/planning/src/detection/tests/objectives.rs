//! Burn rates against the arithmetic of chapter 5 of the *Site Reliability Workbook*.

use aegis_api::signals::Requests;

use super::super::{Objective, burn, page};
use super::*;

const HOUR: i64 = 3600;

/// Spans of a minute up to `now`: `share` percent of 1000 requests a minute fail for the last `failing` seconds.
fn outage(now: i64, share: u32, failing: i64) -> Vec<Requests> {
    (0..now / 60)
        .map(|minute| {
            let begin = minute * 60;
            let errors = if begin >= now - failing { share * 10 } else { 0 };
            Requests {
                answered: 1000,
                errors,
                ..Requests::none(at(begin), std::time::Duration::from_secs(60))
            }
        })
        .collect()
}

fn judged(objective: f64, now: i64, spans: &[Requests]) -> Finding {
    let condition = Condition::BurnRate(Objective::new(objective, &[]));
    let signals = WorkloadSignals {
        requests: Some(spans),
        ..workload(now, &[])
    };
    condition.evaluate(&signals)
}

#[test]
fn the_default_rates_use_up_the_published_shares_of_a_budget_of_thirty_days() {
    let period = 30.0 * 24.0;
    let shares: Vec<f64> = page()
        .iter()
        .map(|rate| rate.factor * rate.long.std().as_secs_f64() / 3600.0 / period * 100.0)
        .collect();
    assert!(
        (shares[0] - 2.0).abs() < 1e-9 && (shares[1] - 5.0).abs() < 1e-9,
        "{shares:?}"
    );
    for rate in page() {
        assert_eq!(
            rate.long.std(),
            rate.short.std() * 12,
            "the short window is a twelfth"
        );
    }
    assert_eq!(
        burn(1.0, 99.0),
        Some(1.0),
        "what just uses the budget up burns at 1"
    );
    assert!(
        (burn(100.0, 99.9).unwrap() - 1000.0).abs() < 1e-6,
        "a full outage at 99.9 %"
    );
    assert_eq!(burn(1.0, 100.0), None);
}

/// Detection time is (1 - SLO) / error ratio × window × factor: 5 % of errors at 99.9 % are found in 17.28 min.
#[test]
fn an_outage_is_found_when_the_published_formula_says() {
    let expected = 0.001 / 0.05 * 3600.0 * 14.4 / 60.0;
    let found = (1..60).find(|minutes| {
        let now = 24 * HOUR;
        judged(99.9, now, &outage(now, 5, minutes * 60)).verdict == Verdict::True
    });
    let found = f64::from(i32::try_from(found.unwrap()).unwrap());
    assert!(
        (found - expected).abs() <= 1.0,
        "{found} min, the formula says {expected}"
    );
}

#[test]
fn the_short_window_ends_it_soon_after_the_trouble() {
    let now = 24 * HOUR;
    let spans = outage(now, 50, 1800);
    assert_eq!(judged(99.9, now, &spans).verdict, Verdict::True);
    // The same half hour of trouble, ten minutes ago: over one hour it still burns, over five minutes it does not; over
    // six hours and half an hour it does until that is past, too.
    let mut over = spans;
    for span in &mut over {
        let age = now - (span.at.0.as_second() - at(0).0.as_second());
        span.errors = if (2400..4200).contains(&age) { 500 } else { 0 };
    }
    let found = judged(99.9, now, &over);
    assert_eq!(found.verdict, Verdict::False, "{found:?}");
}

#[test]
fn a_budget_that_lasts_is_no_alarm_and_few_requests_say_nothing() {
    let now = 24 * HOUR;
    let slow = outage(now, 1, 24 * HOUR);
    assert_eq!(judged(99.0, now, &slow).verdict, Verdict::False, "burns at 1");
    assert_eq!(
        judged(99.9, now, &slow).verdict,
        Verdict::True,
        "burns at 10 for six hours"
    );
    let few = [Requests {
        answered: 10,
        errors: 10,
        ..Requests::none(at(now - 60), std::time::Duration::from_secs(60))
    }];
    assert_eq!(judged(99.9, now, &few).verdict, Verdict::Unknown);
    let none = WorkloadSignals {
        requests: None,
        ..workload(now, &[])
    };
    assert_eq!(
        Condition::BurnRate(Objective::new(99.9, &[]))
            .evaluate(&none)
            .verdict,
        Verdict::Unknown
    );
}

#[test]
fn what_burned_before_an_action_is_not_held_against_it() {
    let now = 24 * HOUR;
    let burning = outage(now, 50, HOUR);
    let judged = |spans: &[Requests], acted_ago: i64| {
        let signals = WorkloadSignals {
            requests: Some(spans),
            acted_at: Some(at(now - acted_ago)),
            ..workload(now, &[])
        };
        Condition::BurnRate(Objective::new(99.9, &[]))
            .evaluate(&signals)
            .verdict
    };
    // The same hour of trouble, which an action ended so many seconds ago.
    let ended = |ago: i64| {
        let mut spans = burning.clone();
        for span in &mut spans {
            if span.at >= at(now - ago) {
                span.errors = 0;
            }
        }
        spans
    };
    assert_eq!(
        judged(&ended(120), 120),
        Verdict::Unknown,
        "too soon to be a rate"
    );
    for ago in [300, 600, 1500] {
        assert_ne!(judged(&ended(ago), ago), Verdict::True, "{ago}");
    }
    assert_eq!(judged(&ended(2400), 2400), Verdict::False);
    assert_eq!(
        judged(&burning, 600),
        Verdict::True,
        "it burns on after the action"
    );
}
