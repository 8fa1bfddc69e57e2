//! Who set the replicas, and who holds them: a pause, an incident's plan, a person. Pure.

use std::sync::Arc;

use aegis_api::automation::Pause;
use aegis_api::workload::autoscale::{AutoscaleHold, AutoscaleStatus, HoldBy, ScaleChange};
use aegis_api::{
    ConditionType, Duration, Incident, IncidentStatus, Kind, Phase, Reason, Silence, Time, Workload,
    WorkloadStatus, condition,
};

use super::{Situation, Subject};
use crate::incident::validate::is_active;
use crate::{hold, ledger};

/// Who set the replicas that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setter {
    /// They are as they were, or autoscaling begins.
    Unchanged,
    /// Autoscaling's last change.
    Autoscale,
    /// An incident's plan.
    Incident,
    /// Somebody else: by the API, a command or the file.
    Person,
}

/// Whose word the replicas are: judged by what is stored alone, so that a restart changes nothing.
pub(super) fn setter(subject: Subject<'_>, before: &AutoscaleStatus, incidents: &[i64]) -> Setter {
    let Some(known) = before.known else {
        return Setter::Unchanged;
    };
    if open_change(before).is_some_and(|change| is_made(subject, change)) {
        return Setter::Autoscale;
    }
    if known.replicas == subject.replicas {
        return Setter::Unchanged;
    }
    let since = known.generation..subject.generation;
    match incidents
        .iter()
        .any(|generation| since.contains(&generation.saturating_sub(1)))
    {
        true => Setter::Incident,
        false => Setter::Person,
    }
}

/// The last change, where it is not known yet what became of it.
fn open_change(before: &AutoscaleStatus) -> Option<ScaleChange> {
    let known = before.known?;
    let last = before.changes.last().copied();
    last.filter(|change| change.generation >= known.generation)
}

/// Whether a change was carried out: the spec has moved on from where it was decided, and is as it says.
fn is_made(subject: Subject<'_>, change: ScaleChange) -> bool {
    change.generation < subject.generation && change.to == subject.replicas
}

/// Its own changes that were carried out: the last one may have been cut short, or overtaken.
pub(super) fn made(before: &AutoscaleStatus, setter: Setter) -> Vec<ScaleChange> {
    let mut changes = before.changes.clone();
    if open_change(before).is_some() && setter != Setter::Autoscale {
        changes.pop();
    }
    changes
}

/// What holds the replicas; `until` is the end of a person's hold.
pub(super) fn hold(
    subject: Subject<'_>,
    situation: &Situation,
    until: Option<Time>,
) -> Option<AutoscaleHold> {
    let hold = |by, until, message| AutoscaleHold { by, until, message };
    if let Some((_, message)) = &situation.pause {
        return Some(hold(HoldBy::Pause, None, message.clone()));
    }
    if let Some(incident) = situation.incident.as_ref().filter(|incident| incident.whole) {
        return Some(hold(HoldBy::Incident, None, incident.message.clone()));
    }
    until.map(|until| hold(HoldBy::Manual, Some(until), manual_words(subject.replicas, until)))
}

/// Until when replicas that a person set are held; counted on while something else holds them, too.
pub(super) fn manual_until(subject: Subject<'_>, before: &AutoscaleStatus, setter: Setter) -> Option<Time> {
    let longest = subject.now.plus(subject.spec.hold_after_manual);
    let until = match setter {
        Setter::Person => Some(longest),
        _ => before.manual_until.map(|until| until.min(longest)),
    };
    until.filter(|until| *until > subject.now)
}

fn manual_words(replicas: u32, until: Time) -> String {
    format!("a person set {replicas} replicas: held until {until} (holdAfterManual)")
}

/// The reason that a hold gives.
pub(super) fn reason(by: HoldBy, situation: &Situation) -> Reason {
    match by {
        HoldBy::Manual => Reason::ManualHold,
        HoldBy::Incident => Reason::RemediationUnderWay,
        HoldBy::Pause => situation
            .pause
            .as_ref()
            .map_or(Reason::Paused, |(reason, _)| *reason),
    }
}

/// What who sets the replicas of an autoscaled workload is answered; `None` where nothing owns them.
pub fn manual_note(workload: &Workload, replicas: u32, now: Time) -> Option<String> {
    let spec = workload.spec.autoscale.as_ref()?;
    let name = workload.name();
    let bounds = super::in_force(spec, now);
    let after = format!(
        "then spec.autoscale decides again, {} to {}",
        bounds.min, bounds.max
    );
    let hold: Duration = spec.hold_after_manual;
    Some(match (replicas, hold.std().is_zero()) {
        (0, _) => format!("workload {name} is autoscaled: with 0 replicas that is switched off"),
        (_, true) => {
            format!(
                "workload {name} is autoscaled: spec.autoscale decides at once, {} to {}",
                bounds.min, bounds.max
            )
        }
        _ if replicas == workload.spec.replicas => {
            format!(
                "workload {name} is autoscaled and has {replicas} already: nothing is held, and spec.autoscale goes on deciding"
            )
        }
        _ => {
            let held = bounds.clamp(replicas);
            let beyond = match held == replicas {
                true => String::new(),
                false => format!(
                    "{replicas} are outside of spec.autoscale's {} to {}, so ",
                    bounds.min, bounds.max
                ),
            };
            format!(
                "workload {name} is autoscaled: {beyond}{held} are held for {hold}, until {}; {after}",
                now.plus(hold)
            )
        }
    })
}

/// What an incident's plan holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentHold {
    /// Whether nothing changes, in either direction.
    pub whole: bool,
    /// Below how many it is not scaled in.
    pub floor: u32,
    /// Why, human-readable.
    pub message: String,
}

/// How long an incident that is still being decided on holds the replicas, from its evidence on. A load goes on growing
/// meanwhile; a step of autoscaling makes no plan stale but one about replicas, which is made again.
const DECIDED_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);

/// What incidents hold of a workload: everything while one is carried out or proved, and for a bounded time while one is
/// decided on; and the replicas that its plan set until its outcome has settled. One that waits, for a decision or for
/// anything else, holds nothing meanwhile.
pub fn held_by_incident(incidents: &[Arc<Incident>], workload: &str, now: Time) -> Option<IncidentHold> {
    let own = incidents.iter().filter(|incident| {
        let status = incident.status.as_ref();
        let about = status.and_then(|status| status.workload.as_ref());
        about.is_some_and(|name| name.as_str() == workload)
    });
    let holds = own.filter_map(|incident| of_incident(incident, now));
    holds.max_by_key(|hold| (hold.whole, hold.floor))
}

/// Whether an incident has the replicas to itself: it acts, or has not been decided on for long, and waits for nothing.
fn holds_all(incident: &Incident, status: &IncidentStatus, now: Time) -> bool {
    let waits =
        condition::find(&status.conditions, ConditionType::Held).is_some_and(|held| held.status == "True");
    match status.phase {
        Phase::Analysing | Phase::CouncilReview => {
            let seen = status
                .evidence
                .as_ref()
                .and_then(|evidence| evidence.collected_at);
            let created = incident
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| Time(time.0));
            let since = seen.or(created);
            !waits && since.is_none_or(|since| since.age(now) < DECIDED_WITHIN)
        }
        // What a policy, a pause or a person may keep from being carried out for as long as they like.
        Phase::Approved => !waits,
        // These end by deadlines of their own.
        phase => is_active(phase),
    }
}

fn of_incident(incident: &Incident, now: Time) -> Option<IncidentHold> {
    let status = incident.status.as_ref()?;
    let (name, phase) = (incident.name(), status.phase);
    let replicas = status.plan.as_ref().and_then(|plan| plan.patch.replicas);
    match phase {
        phase if holds_all(incident, status, now) => Some(IncidentHold {
            whole: true,
            floor: 0,
            message: format!(
                "incident/{name} is {}: it holds the replicas until it has ended",
                phase.as_str()
            ),
        }),
        Phase::Resolved if status.is_unsettled() => {
            let floor = replicas.filter(|_| status.execution.is_some())?;
            Some(IncidentHold {
                whole: false,
                floor,
                message: format!(
                    "not below {floor} replicas, which resolved incident/{name}, until that has settled"
                ),
            })
        }
        _ => None,
    }
}

/// Why automation leaves a workload alone.
pub fn pause(
    workload: &Workload,
    host: Option<&Pause>,
    silences: &[Arc<Silence>],
    now: Time,
) -> Option<(Reason, String)> {
    if let Some(hold) = hold::paused(workload, host, silences, now) {
        return Some((hold.reason, hold.message));
    }
    hold::is_protected(workload).then(|| {
        let message = format!(
            "workload {} is protected: it is not scaled by itself; remove the annotation, or set spec.replicas",
            workload.name()
        );
        (Reason::Protected, message)
    })
}

/// Generations of a workload's spec that autoscaling made, of its last changes.
pub(crate) fn own_generations(status: &WorkloadStatus) -> Vec<i64> {
    let changes = status.autoscale.iter().flat_map(|status| &status.changes);
    // Each was made by compare-and-set on the one before.
    changes
        .map(|change| change.generation.saturating_add(1))
        .collect()
}

/// Whether a workload's spec is as it was at an earlier generation but for its replicas, which autoscaling alone has set since:
/// each of its changes must lead from the one before to the next, as far back as they are kept.
pub(crate) fn only_autoscaled_since(workload: &Workload, generation: i64) -> bool {
    let status = workload
        .status
        .as_ref()
        .and_then(|status| status.autoscale.as_ref());
    let Some(status) = status.filter(|_| generation <= workload.generation()) else {
        return generation == workload.generation();
    };
    // From now back: what the change before must have led to.
    let mut leads_to = workload.spec.replicas;
    let mut open = workload.generation();
    for change in status.changes.iter().rev() {
        if open == generation {
            break;
        }
        if change.generation.saturating_add(1) != open || change.to != leads_to {
            // A change that was never made, or was overtaken, stands at the end alone.
            if change.generation >= open {
                continue;
            }
            return false;
        }
        (open, leads_to) = (change.generation, change.from);
    }
    open == generation
}

/// Generations of a workload's spec that incidents made.
pub fn incident_generations(incidents: &[Arc<Incident>], workload: &str) -> Vec<i64> {
    let all = incidents.iter();
    all.flat_map(|incident| ledger::generations_of(incident, workload))
        .collect()
}
