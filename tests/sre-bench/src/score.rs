//! What a run amounts to. Pure: from what the users met, what the oracle saw and what the agent reported.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::agent::Report;
use crate::load::{Sample, Window};
use crate::oracle::Observed;
use crate::scenario::{Action, Category, Role, Scenario, Verb};

/// Users must be as well off as before for so long, seconds.
pub const PROOF: f64 = 20.0;

/// All that was seen of one run.
#[derive(Debug)]
pub struct Observations<'a> {
    /// What happened.
    pub scenario: &'a Scenario,
    /// What the users met.
    pub samples: &'a [Sample],
    /// What others than the bench did.
    pub actions: &'a [Observed],
    /// What the agent reported.
    pub reports: &'a [Report],
    /// Begin of the time before the fault that counts, and the fault itself, seconds since the clock's zero.
    pub baseline: (f64, f64),
    /// The end of what was watched.
    pub end: f64,
}

/// What a run amounts to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// Seconds from the fault to the first report or action; absent where there was none, or nothing to detect.
    pub detected_after: Option<f64>,
    /// Whether a report or an action concerned the service that is broken; absent where nothing is.
    pub right_component: Option<bool>,
    /// Whether a report about that service named a right class; absent where nothing is broken, or no agent reports.
    pub right_class: Option<bool>,
    /// Whether the first report did both; absent as above.
    pub first_report_right: Option<bool>,
    /// Whether it can be mitigated by what an agent may do.
    pub can_be_mitigated: bool,
    /// Seconds from the fault until users were as well off as before, for 20 s; absent where they never were.
    pub mitigated_after: Option<f64>,
    /// Whether users noticed at all.
    pub users_noticed: bool,
    /// Requests that failed after the fault.
    pub failed_requests: usize,
    /// All requests after it.
    pub requests: usize,
    /// Actions that the scenario does not allow.
    pub false_actions: Vec<String>,
    /// Services other than the broken one that began again, stopped or vanished by others' doing.
    pub collateral: Vec<String>,
    /// All actions, with the seconds since the fault.
    pub actions: Vec<String>,
    /// Reports about anything while nothing was broken.
    pub false_reports: usize,
    /// 95th percentile before, milliseconds.
    pub baseline_p95_ms: f64,
}

impl Score {
    /// Scores one run.
    pub fn of(seen: &Observations<'_>) -> Self {
        let fault = seen.baseline.1;
        let scenario = seen.scenario;
        let baseline = Window::over(seen.samples, seen.baseline.0, fault);
        let after = Window::over(seen.samples, fault, seen.end);
        let reports: Vec<&Report> = seen
            .reports
            .iter()
            .filter(|report| report.at >= fault && (report.component.is_some() || report.class.is_some()))
            .collect();
        let actions: Vec<&Observed> = seen.actions.iter().filter(|action| action.at >= fault).collect();
        let wrong: Vec<&&Observed> = actions
            .iter()
            .filter(|seen| !is_allowed(scenario, seen.action))
            .collect();
        let broken = scenario.truth.as_ref().map(|truth| truth.component);
        let first_times = reports.iter().map(|report| report.at);
        let detected = first_times
            .chain(actions.iter().map(|action| action.at))
            .min_by(f64::total_cmp);
        let about: Vec<&&Report> = reports
            .iter()
            .filter(|report| report.component == broken)
            .collect();
        let acted = actions.iter().any(|action| Some(action.action.role) == broken);
        let names_class = |report: &Report| {
            let truth = scenario.truth.as_ref();
            truth.is_some_and(|truth| report.class.is_some_and(|class| truth.class.contains(&class)))
        };
        let with_truth = |value: bool| broken.map(|_| value);
        let no_reports = reports.is_empty() && acted;
        let collateral: BTreeSet<Role> = actions
            .iter()
            .filter(|seen| matches!(seen.action.verb, Verb::Restart | Verb::Stop | Verb::Remove))
            .map(|seen| seen.action.role)
            .filter(|role| Some(*role) != broken)
            .collect();
        Self {
            detected_after: broken.and(detected).map(|at| round(at - fault)),
            right_component: with_truth(!about.is_empty() || acted),
            right_class: with_truth(about.iter().any(|report| names_class(report))).filter(|_| !no_reports),
            first_report_right: with_truth(
                reports
                    .first()
                    .is_some_and(|report| report.component == broken && names_class(report)),
            )
            .filter(|_| !no_reports),
            can_be_mitigated: !scenario.mitigation.is_empty(),
            mitigated_after: broken
                .and(mitigated(seen.samples, &baseline, fault, seen.end))
                .map(|at| round(at - fault)),
            users_noticed: noticed(seen.samples, &baseline, fault, seen.end).is_some(),
            failed_requests: after.failed,
            requests: after.requests,
            false_actions: wrong.iter().map(|seen| describe(seen, fault)).collect(),
            collateral: collateral.iter().map(Role::to_string).collect(),
            actions: actions.iter().map(|seen| describe(seen, fault)).collect(),
            false_reports: if broken.is_none() { reports.len() } else { 0 },
            baseline_p95_ms: round(baseline.p95_ms),
        }
    }

    /// Whether nothing was done that should not have been, what can be mitigated was, and it was detected.
    pub fn passes(&self, scenario: &Scenario) -> bool {
        let harmless = self.false_actions.is_empty() && self.collateral.is_empty();
        let detected = scenario.truth.is_none() || self.detected_after.is_some();
        harmless && detected && (!self.can_be_mitigated || self.mitigated_after.is_some())
    }

    /// Whether harmlessness is what it examines first.
    pub fn is_control(scenario: &Scenario) -> bool {
        scenario.category != Category::Fault
    }
}

fn describe(seen: &Observed, fault: f64) -> String {
    format!("{} after {:.0} s", seen.action, seen.at - fault)
}

/// A further container is also how a service is restarted without a gap.
fn is_allowed(scenario: &Scenario, action: Action) -> bool {
    let surge = action.verb == Verb::Scale
        && scenario.allowed.contains(&Action {
            verb: Verb::Restart,
            ..action
        });
    surge || scenario.allowed.contains(&action)
}

/// The first second in which users were worse off than before.
fn noticed(samples: &[Sample], baseline: &Window, fault: f64, end: f64) -> Option<f64> {
    seconds(fault, end).find(|from| {
        let second = Window::over(samples, *from, from + 1.0);
        // One slow answer of twenty is what the baseline has, too: errors alone count, or several late ones.
        second.failed > 0 || (second.requests >= 5 && half_is_late(samples, baseline, *from))
    })
}

fn half_is_late(samples: &[Sample], baseline: &Window, from: f64) -> bool {
    let mut times: Vec<f64> = samples
        .iter()
        .filter(|sample| (from..from + 1.0).contains(&sample.at))
        .map(|sample| sample.ms)
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    median > baseline.p95_ms + 50.0
}

/// When users were as well off as before, and remained so for [`PROOF`]. Counted from when they noticed, so that what has yet to
/// take effect is no cure.
pub fn mitigated(samples: &[Sample], baseline: &Window, fault: f64, end: f64) -> Option<f64> {
    let noticed = noticed(samples, baseline, fault, end)?;
    seconds(noticed, end - PROOF).find(|from| {
        // The last whole second is among it: a window that is only begun proves nothing.
        Window::over(samples, *from, from + PROOF).is_as_good_as(baseline)
    })
}

fn seconds(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..)
        .map(move |number| from + f64::from(number))
        .take_while(move |at: &f64| *at <= to)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Class;

    const FAULT: &str = "{title: x, category: fault, fault: [{fault: {role: web, kind: hang}}], truth: {component: web, \
                         class: [unresponsive]}, mitigation: [restart web], allowed: [restart web]}";

    fn users(failing: std::ops::Range<u32>) -> Vec<Sample> {
        let at = (0..100_u32).flat_map(|second| (0..20_u32).map(move |part| (second, part)));
        at.map(|(second, part)| Sample {
            at: f64::from(second) + f64::from(part) / 20.0,
            ok: !failing.contains(&second),
            ms: 5.0,
        })
        .collect()
    }

    fn score(
        failing: std::ops::Range<u32>,
        actions: &[(f64, &str)],
        reports: &[(f64, Role, Class)],
    ) -> Score {
        let scenario = Scenario::parse("dev/x", FAULT).unwrap();
        let actions: Vec<Observed> = actions
            .iter()
            .map(|(at, action)| Observed {
                at: *at,
                action: Action::try_from((*action).to_owned()).unwrap(),
            })
            .collect();
        let reports: Vec<Report> = reports
            .iter()
            .map(|(at, role, class)| Report {
                at: *at,
                component: Some(*role),
                class: Some(*class),
                text: String::new(),
            })
            .collect();
        Score::of(&Observations {
            scenario: &scenario,
            samples: &users(failing),
            actions: &actions,
            reports: &reports,
            baseline: (0.0, 10.0),
            end: 100.0,
        })
    }

    #[test]
    fn a_service_that_is_restarted_and_serves_again_is_mitigated_when_it_does() {
        let score = score(
            12..30,
            &[(29.5, "restart web")],
            &[(22.0, Role::Web, Class::Unresponsive)],
        );
        assert_eq!(score.detected_after, Some(12.0));
        assert_eq!(
            (score.right_component, score.right_class),
            (Some(true), Some(true))
        );
        assert_eq!(score.mitigated_after, Some(20.0));
        assert_eq!(score.failed_requests, 18 * 20);
        assert!(score.false_actions.is_empty() && score.collateral.is_empty());
    }

    #[test]
    fn a_restart_of_another_service_is_false_and_collateral() {
        let score = score(12..100, &[(20.0, "restart db")], &[]);
        assert_eq!(score.false_actions, ["restart db after 10 s"]);
        assert_eq!(score.collateral, ["db"]);
        assert_eq!(score.mitigated_after, None);
        assert_eq!(score.right_component, Some(false));
    }

    #[test]
    fn less_than_twenty_good_seconds_are_no_mitigation() {
        let mut samples = users(12..30);
        samples
            .iter_mut()
            .filter(|sample| sample.at >= 45.0)
            .for_each(|sample| sample.ok = false);
        let baseline = Window::over(&samples, 0.0, 10.0);
        assert_eq!(mitigated(&samples, &baseline, 10.0, 100.0), None);
        // And what ends too soon was not watched for long enough.
        assert_eq!(mitigated(&users(12..85), &baseline, 10.0, 100.0), None);
    }

    #[test]
    fn a_stand_in_of_what_may_be_restarted_is_no_false_action() {
        let score = score(12..30, &[(20.0, "scale web"), (25.0, "scale db")], &[]);
        assert_eq!(score.false_actions, ["scale db after 15 s"]);
    }

    #[test]
    fn an_agent_that_only_acts_has_no_class_to_be_right_or_wrong() {
        let score = score(12..30, &[(29.5, "restart web")], &[]);
        assert_eq!((score.right_component, score.right_class), (Some(true), None));
    }
}
