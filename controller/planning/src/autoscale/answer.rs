//! What each target needs, and what it says. Pure.

use aegis_api::Time;
use aegis_api::workload::autoscale::{
    Autoscale, AutoscaleFallback, AutoscaleStatus, AutoscaleTarget, AutoscaleTargetStatus, FallbackBehavior,
    Saturation,
};

use super::formula::{self, Tolerance};
use super::reading::{Rate, Reading};
use super::{Situation, Subject};

/// Of the rate at which replicas were too slow, what one is given again.
const SAFE: f64 = 0.85;
/// Up to which part of its target latency must fall, times what the others would have to take over, before one goes.
const ROOM: f64 = 0.5;
/// How long that rate is remembered: then a smaller number is tried once.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(3600);

/// What one target needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    /// `None` where it could not be measured and no fallback is in force.
    pub desired: Option<u32>,
    pub row: AutoscaleTargetStatus,
}

/// The goal of a target, in its unit.
pub(super) fn goal(target: &AutoscaleTarget) -> f64 {
    let percent = target.percent.map(f64::from);
    let millis = target.milliseconds.map(f64::from);
    percent.or(target.value).or(millis).unwrap_or(1.0)
}

/// One answer a target.
pub(super) fn all(subject: Subject<'_>, situation: &Situation, before: &AutoscaleStatus) -> Vec<Answer> {
    let none = Reading::default();
    let targets = subject.spec.targets.iter().enumerate();
    targets
        .map(|(index, target)| {
            let reading = situation.readings.get(index).unwrap_or(&none);
            let row = before
                .targets
                .get(index)
                .filter(|row| row.metric == target.metric);
            of(subject, situation, before, target, reading, row)
        })
        .collect()
}

fn of(
    subject: Subject<'_>,
    situation: &Situation,
    before: &AutoscaleStatus,
    target: &AutoscaleTarget,
    reading: &Reading,
    row: Option<&AutoscaleTargetStatus>,
) -> Answer {
    let (goal, current) = (goal(target), subject.replicas);
    let metric = target.metric.as_str();
    let (desired, value, message) = match reading {
        Reading::OfReplicas { percents, limited } => {
            let tolerance = tolerance(subject.spec, limited.then_some(goal));
            let desired = formula::of_mean(percents, situation.warming, goal, tolerance, current);
            let known: Vec<f64> = percents.iter().copied().flatten().collect();
            let mean = known.iter().sum::<f64>() / f64::from(crate::ledger::count(known.len()).max(1));
            let message = format!("{metric} {mean:.0} % of {goal:.0} %");
            match desired {
                Some(desired) => (Some(desired), Some(mean), message),
                None => return lost(subject, target, row, "no replica that serves could be read"),
            }
        }
        Reading::Total { now, ahead, rate } => {
            let counted = ahead.unwrap_or(*now);
            let needs = formula::of_total(counted, goal, tolerance(subject.spec, None), current);
            let desired = match rate {
                Some(rate) => {
                    of_in_flight(subject, situation, before, needs, counted / goal, rate.per_second)
                }
                None => needs,
            };
            let soon = ahead.map_or_else(String::new, |ahead| format!(", soon {}", short(ahead)));
            let message = format!("{metric} {}{soon}, of {} a replica", short(*now), short(goal));
            (Some(desired), Some(*now), message)
        }
        Reading::Latency { millis, rate } => {
            let desired = of_latency(subject, situation, before, goal, *millis, rate.per_second);
            let message = format!("{metric} {millis:.0} ms of {goal:.0} ms");
            (Some(desired), Some(*millis), message)
        }
        // It was lost before it was waited for: what counts is since when nothing is known.
        Reading::Pending(why) if row.is_some_and(|row| row.lost_since.is_some()) => {
            return lost(subject, target, row, why);
        }
        Reading::Pending(why) => (Some(current), None, format!("{metric} {why}")),
        Reading::Missing(why) => return lost(subject, target, row, why),
    };
    let asks = desired.filter(|desired| *desired != current);
    let asks = asks.map_or_else(String::new, |desired| format!(" needs {desired}"));
    Answer {
        desired,
        row: AutoscaleTargetStatus {
            metric: target.metric,
            target: goal,
            current: value.map(|value| (value * 100.0).round() / 100.0),
            desired,
            message: format!("{message}{asks}"),
            lost_since: None,
        },
    }
}

/// What could not be measured: nothing, until the fallback is in force.
fn lost(
    subject: Subject<'_>,
    target: &AutoscaleTarget,
    row: Option<&AutoscaleTargetStatus>,
    why: &str,
) -> Answer {
    let since = row.and_then(|row| row.lost_since).unwrap_or(subject.now);
    let fallback = subject.spec.fallback;
    let fallback = fallback.filter(|fallback| since.age(subject.now) >= fallback.after.std());
    let desired = fallback.map(|fallback| fallen_back(fallback, subject.replicas));
    let instead = desired.map_or_else(String::new, |desired| format!("; the fallback needs {desired}"));
    Answer {
        desired,
        row: AutoscaleTargetStatus {
            metric: target.metric,
            target: goal(target),
            current: None,
            desired,
            message: format!("{} {why}{instead}", target.metric.as_str()),
            lost_since: Some(since),
        },
    }
}

fn fallen_back(fallback: AutoscaleFallback, current: u32) -> u32 {
    match fallback.behavior {
        FallbackBehavior::Static => fallback.replicas,
        FallbackBehavior::CurrentReplicasIfHigher => fallback.replicas.max(current),
        FallbackBehavior::CurrentReplicasIfLower => fallback.replicas.min(current),
    }
}

/// Latency grows slowly up to where replicas are full and without end from there: how many fewer would do cannot be read off
/// it. So it scales in by one at a time, while latency is far below its target, and not to where replicas were too slow before.
fn of_latency(
    subject: Subject<'_>,
    situation: &Situation,
    before: &AutoscaleStatus,
    goal: f64,
    millis: f64,
    rate: f64,
) -> u32 {
    let (current, serving) = (subject.replicas, situation.serving);
    let tolerance = tolerance(subject.spec, None);
    let desired = formula::of_value(millis, goal, tolerance, serving, current);
    if millis > goal {
        // The replicas that it already scaled out to do not serve yet.
        let coming = situation.warming > 0;
        return if coming { current } else { desired.max(current) };
    }
    let known = remembered(before, subject.now);
    let full = known.map_or(0, |full| replicas_of(full, rate));
    let fewer = current.saturating_sub(1);
    let room = goal * ROOM * f64::from(fewer) / f64::from(current.max(1));
    if millis > room {
        return current;
    }
    desired.max(fewer).max(full).max(1).min(current)
}

/// Requests under way grow without end from where replicas are full, too, and are the fewer the more replicas there are: more than
/// in proportion. So what they ask for is not added to before it serves; it scales in half the way (the geometric mean), which is
/// as many as are not past the target where the number of each grows by the square; and to no number that is known to be too small.
fn of_in_flight(
    subject: Subject<'_>,
    situation: &Situation,
    before: &AutoscaleStatus,
    needs: u32,
    // As many as `needs`, before it was made a whole number: a little load needs less than one.
    exactly: f64,
    rate: f64,
) -> u32 {
    let current = subject.replicas;
    if needs >= current {
        return if situation.warming > 0 { current } else { needs };
    }
    let half = formula::whole((f64::from(current) * exactly).sqrt());
    let least = remembered(before, subject.now).map_or(0, |full| replicas_of(full, rate));
    half.max(least).min(current)
}

fn remembered(before: &AutoscaleStatus, now: Time) -> Option<Saturation> {
    let known = before.saturation?;
    (known.at.age(now) < REMEMBERED && known.requests_per_second > 0.0).then_some(known)
}

/// As many as are not full with so many requests a second.
fn replicas_of(full: Saturation, rate: f64) -> u32 {
    formula::whole(rate / (full.requests_per_second * SAFE))
}

/// What a pass says of replicas that had so many requests: that they are full with them, or that they are not.
enum Seen {
    Full(f64),
    Fine(f64),
}

fn seen(subject: Subject<'_>, target: &AutoscaleTarget, reading: &Reading) -> Option<Seen> {
    let of = |is_full: bool, is_fine: bool, rate: &Rate| match (is_full, is_fine) {
        // Slow for another reason than their number.
        (true, _) => rate.is_steady.then_some(Seen::Full(rate.per_second)),
        (_, true) => Some(Seen::Fine(rate.per_second)),
        _ => None,
    };
    match reading {
        Reading::Latency { millis, rate } => {
            let goal = goal(target);
            of(*millis > goal, *millis <= goal, rate)
        }
        Reading::Total {
            now,
            rate: Some(rate),
            ..
        } => {
            let tolerance = tolerance(subject.spec, None);
            let needs = formula::of_total(*now, goal(target), tolerance, subject.replicas);
            of(needs > subject.replicas, needs < subject.replicas, rate)
        }
        _ => None,
    }
}

/// The rate at which replicas are full, where this pass saw it, or what is known of it. A rate that they have within every target
/// is none: what was known is disproved by it.
pub(super) fn saturation(
    subject: Subject<'_>,
    situation: &Situation,
    before: &AutoscaleStatus,
) -> Option<Saturation> {
    let known = remembered(before, subject.now);
    // While replicas come or are missing, one is slow for another reason.
    if situation.warming > 0 || situation.serving == 0 || situation.serving != subject.replicas {
        return known;
    }
    let pairs = subject.spec.targets.iter().zip(&situation.readings);
    let all = pairs.filter_map(|(target, reading)| seen(subject, target, reading));
    let (mut full, mut fine) = (None, None);
    for one in all {
        match one {
            Seen::Full(rate) => full = Some(full.map_or(rate, |lowest: f64| lowest.min(rate))),
            Seen::Fine(rate) => fine = Some(fine.map_or(rate, |lowest: f64| lowest.min(rate))),
        }
    }
    let each = |rate: f64| rate / f64::from(situation.serving);
    match (full.filter(|rate| *rate > 0.0).map(each), fine.map(each)) {
        (Some(full), _) => {
            let lowest = known.map_or(full, |known| known.requests_per_second.min(full));
            Some(Saturation {
                requests_per_second: (lowest * 100.0).round() / 100.0,
                at: subject.now,
            })
        }
        (None, Some(fine)) => known.filter(|known| fine < known.requests_per_second),
        (None, None) => known,
    }
}

/// The tolerance of both directions. What cannot be more than 100 % can be above a high target by a little only: there half
/// of what is left up to 100 % is tolerated.
fn tolerance(spec: &Autoscale, limited_to: Option<f64>) -> Tolerance {
    let part = |percent: u32| f64::from(percent) / 100.0;
    let up = part(spec.scale_up.tolerance_percent);
    let up = limited_to.map_or(up, |goal| up.min((100.0 / goal - 1.0).max(0.0) / 2.0));
    Tolerance {
        up,
        down: part(spec.scale_down.tolerance_percent),
    }
}

/// A number without digits that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
