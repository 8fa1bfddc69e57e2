//! Conditions over how containers end: only what was not requested counts. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::lifecycle::{Cause, Death, has_come_back};
use aegis_api::observed::ContainerState;
use aegis_api::signals::{ContainerSignals, WorkloadSignals, bounds};

use super::{Finding, Verdict, runs};

/// Deaths within a time, those before the last action on the workload left out.
fn recent<'a>(
    container: &ContainerSignals<'a>,
    signals: &WorkloadSignals<'_>,
    within: Duration,
) -> impl Iterator<Item = (Time, &'a Death)> {
    recent_of(container.deaths, signals.acted_at, signals.now, within)
}

fn recent_of(
    deaths: &[Death],
    acted: Option<Time>,
    now: Time,
    within: Duration,
) -> impl Iterator<Item = (Time, &Death)> {
    let dated = deaths.iter().filter_map(|death| Some((death.at?, death)));
    dated.filter(move |(at, _)| at.age(now) <= within && acted.is_none_or(|acted| *at > acted))
}

/// Whether one of these deaths is a recent kill because of memory.
pub(super) fn was_killed(deaths: &[Death], acted: Option<Time>, now: Time) -> bool {
    recent_of(deaths, acted, now, bounds::DIED_WITHIN.std()).any(|(_, death)| death.oom)
}

/// How many of these there are, and the newest.
fn counted<'a>(deaths: impl Iterator<Item = (Time, &'a Death)>) -> (u32, Option<(Time, &'a Death)>) {
    deaths.fold(
        (0, None),
        |(count, newest): (u32, Option<(Time, &Death)>), one| {
            let newest = newest.filter(|newest| newest.0 > one.0).unwrap_or(one);
            (count.saturating_add(1), Some(newest))
        },
    )
}

pub(super) fn died(container: &ContainerSignals<'_>, signals: &WorkloadSignals<'_>) -> Finding {
    let within = bounds::DIED_WITHIN.std();
    let (crashes, newest) = counted(recent(container, signals, within).filter(|(_, death)| death.is_crash()));
    if let Some((at, death)) = newest {
        let ago = at.age(signals.now).as_secs();
        let words = format!("{}, {ago} s ago", ended(death));
        return Finding::new(Verdict::True, Some(crashes.into()), words);
    }
    // Too early to know, or the event that says who requested it was lost.
    let unknown = |(_, death): (Time, &Death)| death.cause == Cause::Unknown && death.restarted_by.is_none();
    if recent(container, signals, within).any(unknown) {
        return Finding::unknown("ended, and it is not known yet who ended it");
    }
    Finding::new(Verdict::False, Some(0.0), "has not crashed lately")
}

fn ended(death: &Death) -> String {
    if death.oom {
        "was OOMKilled (exit code 137)".to_owned()
    } else {
        format!("crashed with exit code {}", death.exit_code)
    }
}

/// The finding of an adopted container that does not exist any more.
pub(super) fn gone(signals: &WorkloadSignals<'_>) -> Option<Finding> {
    let name = signals.missing?;
    let words = format!("{name} does not exist any more, and was not removed by hand");
    Some(Finding {
        container: Some(name.to_owned()),
        ..Finding::new(Verdict::True, Some(1.0), words)
    })
}

pub(super) fn down(container: &ContainerSignals<'_>) -> Finding {
    let code = container.exit_code.unwrap_or_default();
    match container.state {
        ContainerState::Running => Finding::new(Verdict::False, Some(0.0), "runs"),
        ContainerState::Paused => Finding::no("is paused by hand"),
        _ if container.stopped_by_hand => Finding::no("was stopped by hand"),
        ContainerState::Removing => Finding::no("is being removed"),
        ContainerState::Unknown => Finding::unknown("is in an unknown state"),
        state => {
            let words = format!("is {} with exit code {code}", state.as_str());
            Finding::new(Verdict::True, Some(1.0), words)
        }
    }
}

pub(super) fn crash_loop(
    container: &ContainerSignals<'_>,
    signals: &WorkloadSignals<'_>,
    least: f64,
) -> Finding {
    let within = bounds::CRASH_LOOP_WITHIN.std();
    let (crashes, _) = counted(recent(container, signals, within).filter(|(_, death)| death.is_crash()));
    let words = format!("crashed {crashes} times within {} min", within.as_secs() / 60);
    Finding::at_least(crashes.into(), least, words)
}

pub(super) fn out_of_memory(container: &ContainerSignals<'_>, signals: &WorkloadSignals<'_>) -> Finding {
    let within = bounds::DIED_WITHIN.std();
    let (kills, _) = counted(recent(container, signals, within).filter(|(_, death)| death.oom));
    let words = "was OOMKilled (exit code 137)";
    if kills > 0 {
        return Finding::new(Verdict::True, Some(kills.into()), words);
    }
    // Killed, and not come back since, however long ago that was.
    let came_back = runs(container) && has_come_back(container.started_at, container.finished_at);
    if container.oom_killed && !came_back && !container.stopped_by_hand {
        return Finding::new(Verdict::True, Some(1.0), words);
    }
    Finding::new(Verdict::False, Some(0.0), "has memory to run")
}
