//! Promise: the detectors that arrive with the first start raise no false alarm in a normal week: deployments, backups that
//! pause, people who stop and restart things, bursts, nightly jobs, an engine restart, a reboot. What happens to the
//! containers was recorded on the real engine (`quiet_week/README.md`) and is replayed in virtual time to the same
//! reconcilers as the controller's own. Without what keeps a detector from firing at once, or without who ended a container,
//! the same week does raise alarms: so it can fail.

#[path = "quiet_week/controller.rs"]
mod controller;
#[path = "quiet_week/host.rs"]
mod host;
#[path = "quiet_week/stage.rs"]
mod stage;
#[path = "quiet_week/week.rs"]
mod week;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use controller::{Alarm, Running};
use stage::Stage;

/// The week in two parts, as there are two processors at least.
const WEEK: [Range<u32>; 2] = [0..3, 3..7];
/// Of the mutants one day is enough, and it is the one with the engine's restart.
const MONDAY: Range<u32> = 0..1;

/// What is taken away, to show that the week notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// `for` and `clear` of every detector.
    Hysteresis,
    /// The events that say who ended a container.
    Causes,
}

/// What came of a week.
struct Outcome {
    alarms: Vec<Alarm>,
    /// What held while nothing happened.
    unrest: Vec<Alarm>,
    incidents: Vec<String>,
    evaluations: u64,
    readings: u64,
    scenes: usize,
    /// By detector, how often each verdict was stored.
    verdicts: BTreeMap<String, BTreeMap<String, u64>>,
    /// What each fault at the end opened.
    faults: Vec<(&'static str, Vec<String>)>,
}

impl Outcome {
    fn listed(&self) -> String {
        let alarms = self.alarms.iter().chain(&self.unrest);
        alarms.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn detectors(&self) -> BTreeSet<&str> {
        self.alarms.iter().map(|alarm| alarm.detector.as_str()).collect()
    }
}

fn play(days: Range<u32>, without: Without, faults: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    aegis_runtime::offload::stay_on_this_thread();
    let began = Instant::now();
    let outcome = runtime.block_on(async {
        let mut stage = Stage::new(without, days.start).await;
        let plays = week::plays(days.clone());
        for play in &plays {
            stage.play(play).await;
        }
        stage
            .idle_until(Duration::from_secs(u64::from(days.end - days.start) * 24 * 3600))
            .await;
        let running: &Running = &stage.running;
        let (alarms, incidents) = (running.alarms(), running.incidents());
        let mut outcome = Outcome {
            alarms,
            unrest: running.unrest(),
            incidents,
            evaluations: running.evaluations(),
            readings: stage.readings,
            scenes: plays.len(),
            verdicts: running.verdicts(),
            faults: Vec::new(),
        };
        if faults {
            outcome.faults = stage.faults().await;
        }
        outcome
    });
    println!(
        "days {days:?} without {without:?} in {:.1} s: {} scenes, {} rounds of readings, {} evaluations, {} alarms, {} incidents",
        began.elapsed().as_secs_f64(),
        outcome.scenes,
        outcome.readings,
        outcome.evaluations,
        outcome.alarms.len(),
        outcome.incidents.len(),
    );
    outcome
}

#[test]
fn a_quiet_week_opens_no_incident_and_a_fault_after_it_opens_one() {
    let parts = std::thread::scope(|scope| {
        let begun = WEEK.map(|days| {
            let is_last = days.end == 7;
            scope.spawn(move || play(days, Without::Nothing, is_last))
        });
        begun.map(|part| part.join().expect("a part of the week comes to its end"))
    });
    for (part, days) in parts.iter().zip(WEEK) {
        assert!(
            part.alarms.is_empty() && part.unrest.is_empty() && part.incidents.is_empty(),
            "false alarms:\n{}\nincidents: {:?}",
            part.listed(),
            part.incidents
        );
        // It was looked at: a reading at least a minute, each detector at least every three, and with a verdict.
        let minutes = u64::from(days.end - days.start) * 24 * 60;
        assert!(part.readings > minutes, "{} readings", part.readings);
        let detectors = u64::try_from(part.verdicts.len()).expect("few detectors");
        assert_eq!(detectors, 13);
        assert!(
            part.evaluations > minutes / 3 * detectors,
            "{} evaluations",
            part.evaluations
        );
        // No load balancer stands before these workloads: what reads its log has nothing to judge.
        let judged = part.verdicts.iter();
        let judged = judged.filter(|(detector, _)| !detector.starts_with("http-"));
        for (detector, verdicts) in judged {
            let known = ["True", "False"]
                .iter()
                .any(|verdict| verdicts.contains_key(*verdict));
            assert!(known, "{detector} never had a verdict: {verdicts:?}");
        }
    }
    let [outcome, last] = parts;
    // Some conditions did hold for a while: it is `for` that kept their detectors quiet.
    for detector in ["cpu-high", "memory-high"] {
        let held = outcome.verdicts[detector].get("True");
        assert!(
            held.is_some(),
            "{detector} was never put to the test: {:?}",
            outcome.verdicts
        );
    }
    for (fault, opened) in &last.faults {
        assert_eq!(
            opened.len(),
            1,
            "a {fault} opens exactly one incident: {:?}",
            last.faults
        );
    }
    let opened: Vec<&str> = last
        .faults
        .iter()
        .filter_map(|(_, opened)| Some(opened.first()?.as_str()))
        .collect();
    assert_eq!(
        opened,
        ["crashed of cart", "unhealthy of shop", "memory-leak of cache"]
    );
}

#[test]
fn without_hysteresis_the_week_opens_incidents() {
    let outcome = play(MONDAY, Without::Hysteresis, false);
    assert!(!outcome.incidents.is_empty(), "{}", outcome.listed());
    for detector in ["cpu-high", "memory-high"] {
        assert!(
            outcome.detectors().contains(detector),
            "{detector}:\n{}",
            outcome.listed()
        );
    }
}

#[test]
fn without_causes_the_week_opens_incidents() {
    let outcome = play(MONDAY, Without::Causes, false);
    assert!(!outcome.incidents.is_empty(), "{}", outcome.listed());
    assert!(outcome.detectors().contains("crashed"), "{}", outcome.listed());
}
