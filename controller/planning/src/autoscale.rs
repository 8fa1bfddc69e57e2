//! How many replicas a workload is to have by its load: `spec.autoscale`, decided as the HorizontalPodAutoscaler
//! `autoscaling/v2` documents it. The loop and a what-if on recorded signals decide here alike. Pure.
//!
//! A pass goes from top to bottom: who holds it (`holding`), the bounds of the moment (`bounds`), what each target needs
//! (`answer`), what the windows make of that (`windows`), what the policies allow (`rates`). What is durable is in the
//! status; the windows are not: after a restart they begin with what is there, so that nothing is scaled in before a whole
//! window was seen.

mod answer;
mod bounds;
mod formula;
mod holding;
mod measure;
mod rates;
mod reading;
mod simulate;
#[cfg(test)]
mod tests;
mod windows;

use aegis_api::condition::Conditions;
use aegis_api::workload::autoscale::{
    Autoscale, AutoscaleStatus, BrakeHolds, HoldBy, Known, ScaleChange, SelectPolicy,
};
use aegis_api::{ConditionType, Reason, Time, WorkloadStatus};

pub use bounds::{Bounds, in_force};
pub use holding::{IncidentHold, held_by_incident, incident_generations, manual_note, pause};
pub(crate) use holding::{only_autoscaled_since, own_generations};
pub use measure::{Replica, Replicas, Requested, cores, errors, measure, needs_requests, set_apart};
pub use reading::{Errors, Rate, Reading};
pub use simulate::simulate;
pub use windows::Windows;

use answer::Answer;

/// Own changes that are kept.
const MOST_CHANGES: usize = 20;
/// Answers of fewer requests say nothing of the share of errors.
const ENOUGH_ANSWERS: u32 = 20;

/// Everything that a decision is made from, beside what was decided before.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// Replicas that serve.
    pub serving: u32,
    /// Replicas that come, and are not there or not ready yet.
    pub warming: u32,
    /// What was measured, in the order of the targets.
    pub readings: Vec<Reading>,
    /// The share of errors; absent where none is measured.
    pub errors: Option<Errors>,
    /// Generations of the spec that incidents made.
    pub incident_generations: Vec<i64>,
    /// The incident whose plan holds the replicas.
    pub incident: Option<IncidentHold>,
    /// Why all automation leaves the workload alone.
    pub pause: Option<(Reason, String)>,
}

/// The spec that it is decided for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The moment.
    pub now: Time,
    /// What is desired of autoscaling.
    pub spec: &'a Autoscale,
    /// `spec.replicas`.
    pub replicas: u32,
    /// The generation of the spec.
    pub generation: i64,
}

/// What is to be done, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What the status says.
    pub status: AutoscaleStatus,
    /// The change of `spec.replicas` that is to be made once the status is stored.
    pub change: Option<ScaleChange>,
    /// Why, as the condition has it.
    pub reason: Reason,
    /// Whether the replicas follow the load now.
    pub active: bool,
}

/// What became of the answers.
struct Verdict {
    desired: u32,
    reason: Reason,
    message: String,
}

impl Verdict {
    fn new(desired: u32, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            desired,
            reason,
            message: message.into(),
        }
    }
}

/// Decides.
pub fn decide(
    subject: Subject<'_>,
    situation: &Situation,
    before: &AutoscaleStatus,
    windows: &mut Windows,
) -> Decision {
    let Subject {
        now, spec, replicas, ..
    } = subject;
    let setter = holding::setter(subject, before, &situation.incident_generations);
    let bounds = in_force(spec, now);
    let answers = answer::all(subject, situation, before);
    let wanted = answers.iter().filter_map(|answer| answer.desired).max();
    let blind = answers.iter().any(|answer| answer.desired.is_none());
    // Of what could not be measured nothing follows: it counts as what there is.
    let counted = match wanted {
        None => replicas,
        Some(wanted) if blind => wanted.max(replicas),
        Some(wanted) => wanted,
    };
    windows.record(now, replicas, bounds.clamp(counted), spec);
    let manual_until = holding::manual_until(subject, before, setter);
    let held = holding::hold(subject, situation, manual_until);
    let brake = brake(spec, situation);
    let case = Case {
        subject,
        situation,
        answers: &answers,
        wanted,
        blind,
        bounds,
        brake: brake.as_deref(),
        changes: &holding::made(before, setter),
        windows,
    };
    let verdict = match &held {
        _ if replicas == 0 => Verdict::new(
            0,
            Reason::ScaledToZero,
            "spec.replicas is 0: set it to 1 or more to autoscale",
        ),
        Some(hold) => Verdict::new(
            // A person's number holds within the bounds that people set, too.
            match hold.by {
                HoldBy::Manual => bounds.clamp(replicas),
                _ => replicas,
            },
            holding::reason(hold.by, situation),
            hold.message.clone(),
        ),
        None => case.verdict(),
    };
    let change = (verdict.desired != replicas).then_some(ScaleChange {
        at: now,
        generation: subject.generation,
        from: replicas,
        to: verdict.desired,
    });
    let mut changes = case.changes.to_vec();
    changes.extend(change);
    changes.drain(..changes.len().saturating_sub(MOST_CHANGES));
    let unchanged = before.decision == verdict.reason.as_str() && change.is_none();
    let status = AutoscaleStatus {
        current: replicas,
        desired: verdict.desired,
        wanted,
        min: bounds.min,
        max: bounds.max,
        serving: situation.serving,
        decision: verdict.reason.as_str().to_owned(),
        message: verdict.message,
        since: before.since.filter(|_| unchanged).or(Some(now)),
        saturation: answer::saturation(subject, situation, before),
        targets: answers.into_iter().map(|answer| answer.row).collect(),
        lowest_in_window: windows.lowest(now, spec.scale_up_window),
        highest_in_window: windows.highest(now, spec.scale_down_window),
        known: Some(Known {
            generation: subject.generation,
            replicas,
        }),
        held,
        manual_until,
        changes,
    };
    let active = status.held.is_none() && replicas > 0 && wanted.is_some();
    Decision {
        status,
        change,
        reason: verdict.reason,
        active,
    }
}

/// The status of a workload that another writes, with what autoscaling has stored by then.
pub fn kept(stored: Option<&WorkloadStatus>, mut status: WorkloadStatus) -> WorkloadStatus {
    let kind = ConditionType::AutoscalingActive;
    status.autoscale = stored.and_then(|stored| stored.autoscale.clone());
    let mut all = stored.into_iter().flat_map(|stored| &stored.conditions);
    let own = all.find(|condition| condition.type_ == kind.as_str()).cloned();
    let place = status
        .conditions
        .iter()
        .position(|condition| condition.type_ == kind.as_str());
    match (own, place.and_then(|place| status.conditions.get_mut(place))) {
        (Some(own), Some(slot)) => *slot = own,
        (Some(own), None) => status.conditions.push(own),
        (None, Some(_)) => status
            .conditions
            .retain(|condition| condition.type_ != kind.as_str()),
        (None, None) => {}
    }
    status
}

/// The status of a workload with what autoscaling decided; without it where it is not desired any more.
pub fn reported(
    stored: Option<&WorkloadStatus>,
    decided: Option<&Decision>,
    generation: i64,
    now: Time,
) -> WorkloadStatus {
    let mut status = stored.cloned().unwrap_or_default();
    status.autoscale = decided.map(|decided| decided.status.clone());
    let mut conditions = Conditions::at(&mut status.conditions, Some(generation), now);
    match decided {
        Some(decided) => {
            let message = decided.status.message.clone();
            conditions.set(
                ConditionType::AutoscalingActive,
                decided.active,
                decided.reason,
                message,
            );
        }
        None => {
            conditions.remove(ConditionType::AutoscalingActive);
        }
    }
    status
}

/// Why many errors hold it.
fn brake(spec: &Autoscale, situation: &Situation) -> Option<String> {
    let (brake, errors) = (spec.error_brake?, situation.errors?);
    let is_on = errors.answered >= ENOUGH_ANSWERS && errors.percent >= f64::from(brake.percent);
    is_on.then(|| {
        format!(
            "{:.1} % of {} answers were 5xx (errorBrake: {} %)",
            errors.percent, errors.answered, brake.percent
        )
    })
}

/// Nothing holds it: what the answers come to.
struct Case<'a> {
    subject: Subject<'a>,
    situation: &'a Situation,
    answers: &'a [Answer],
    wanted: Option<u32>,
    blind: bool,
    bounds: Bounds,
    brake: Option<&'a str>,
    changes: &'a [ScaleChange],
    windows: &'a Windows,
}

impl Case<'_> {
    fn verdict(&self) -> Verdict {
        let (spec, current, bounds) = (self.subject.spec, self.subject.replicas, self.bounds);
        // Bounds hold at once, whatever is measured.
        if bounds.clamp(current) != current {
            let (reason, bound) = match current > bounds.max {
                true => (Reason::AtMaximum, "above the maximum"),
                false => (Reason::AtMinimum, "below the minimum"),
            };
            let message = format!("{current} are {bound}: {}", bounds.words());
            return Verdict::new(bounds.clamp(current), reason, message);
        }
        let Some(wanted) = self.wanted else {
            return Verdict::new(current, Reason::MetricUnavailable, self.unmeasured());
        };
        let allowed = bounds.clamp(wanted);
        match allowed.cmp(&current) {
            std::cmp::Ordering::Equal => self.stays(wanted),
            std::cmp::Ordering::Greater => self.out(allowed),
            std::cmp::Ordering::Less if self.blind => {
                let message = format!(
                    "nothing is scaled in while a target cannot be measured: {}",
                    self.unmeasured()
                );
                Verdict::new(current, Reason::MetricUnavailable, message)
            }
            std::cmp::Ordering::Less if spec.scale_down.select_policy == SelectPolicy::Disabled => {
                let message =
                    format!("{allowed} would do; scaling in is paused (scaleDown.selectPolicy: Disabled)");
                Verdict::new(current, Reason::DirectionPaused, message)
            }
            std::cmp::Ordering::Less => self.scale_in(),
        }
    }

    fn stays(&self, wanted: u32) -> Verdict {
        let current = self.subject.replicas;
        if wanted > self.bounds.max {
            let message = format!("{}, and {}", self.why(), self.bounds.words());
            return Verdict::new(current, Reason::AtMaximum, message);
        }
        if self.situation.warming > 0 {
            let message = format!(
                "{} replicas come and do not serve yet; {}",
                self.situation.warming,
                self.why()
            );
            return Verdict::new(current, Reason::WarmingUp, message);
        }
        Verdict::new(current, Reason::OnTarget, self.why())
    }

    fn out(&self, allowed: u32) -> Verdict {
        let (spec, current, now) = (self.subject.spec, self.subject.replicas, self.subject.now);
        if spec.scale_up.select_policy == SelectPolicy::Disabled {
            let message = format!(
                "{}; scaling out is paused (scaleUp.selectPolicy: Disabled)",
                self.why()
            );
            return Verdict::new(current, Reason::DirectionPaused, message);
        }
        if let (Some(brake), Some(BrakeHolds::Both)) = (self.brake, spec.error_brake.map(|brake| brake.holds))
        {
            return Verdict::new(
                current,
                Reason::ErrorBrake,
                format!("holds both directions: {brake}"),
            );
        }
        let stable = self
            .windows
            .lowest(now, spec.scale_up_window)
            .unwrap_or(current)
            .min(allowed);
        if stable <= current {
            let message = format!(
                "{}; waits until that has held for scaleUpWindow, {}",
                self.why(),
                spec.scale_up_window
            );
            return Verdict::new(current, Reason::Stabilizing, message);
        }
        let most = rates::most(&spec.scale_up, current, self.changes, now);
        let desired = stable.min(most).max(current);
        match desired {
            _ if desired == current => {
                let message = format!("{}; the policies of scaleUp allow no more just now", self.why());
                Verdict::new(current, Reason::RateLimited, message)
            }
            _ => Verdict::new(desired, Reason::ScaledOut, self.why()),
        }
    }

    fn scale_in(&self) -> Verdict {
        let (spec, current, now) = (self.subject.spec, self.subject.replicas, self.subject.now);
        if let Some(brake) = self.brake {
            return Verdict::new(
                current,
                Reason::ErrorBrake,
                format!("nothing is scaled in: {brake}"),
            );
        }
        let stable = self
            .windows
            .highest(now, spec.scale_down_window)
            .unwrap_or(current);
        let stable = self.bounds.clamp(stable);
        if stable >= current {
            let message = format!(
                "{}; {stable} were needed within scaleDownWindow, {}",
                self.why(),
                spec.scale_down_window
            );
            return Verdict::new(current, Reason::Stabilizing, message);
        }
        // What an incident's plan set, and what that cured, is not undone before it has settled.
        if let Some(floor) = self
            .situation
            .incident
            .as_ref()
            .filter(|hold| current <= hold.floor)
        {
            return Verdict::new(current, Reason::RemediationUnderWay, floor.message.clone());
        }
        let floor = self.situation.incident.as_ref().map_or(0, |hold| hold.floor);
        let least = rates::least(&spec.scale_down, current, self.changes, now);
        let desired = stable.max(least).max(floor).min(current);
        match desired {
            _ if desired == current => {
                let message = format!(
                    "{}; the policies of scaleDown allow no fewer just now",
                    self.why()
                );
                Verdict::new(current, Reason::RateLimited, message)
            }
            _ => Verdict::new(desired, Reason::ScaledIn, self.why()),
        }
    }

    /// What the target says that needs most.
    fn why(&self) -> String {
        let decisive = self.answers.iter().max_by_key(|answer| answer.desired);
        decisive
            .map(|answer| answer.row.message.clone())
            .unwrap_or_default()
    }

    fn unmeasured(&self) -> String {
        let lost = self.answers.iter().filter(|answer| answer.desired.is_none());
        let lost: Vec<&str> = lost.map(|answer| answer.row.message.as_str()).collect();
        lost.join("; ")
    }
}
