//! A symptom that comes back after it was cleared: what cleared it is repeated with growing pauses, and a human is asked
//! for a cure. Pure.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::proposal::Action;
use aegis_api::symptom::{SymptomClass, SymptomKind};
use aegis_api::{Incident, Kind, Symptom, Time, Workload};

use super::aftermath::is_inconclusive;
use super::clearing;
use super::validate::ValidatedIncident;
use crate::autoscale::own_generations;
use crate::ledger;

/// From the third time that a symptom is there, a human should find a cure.
pub const NO_CURE_AFTER: u32 = 2;
/// The longest pause before what does not last is done again; of what is down, so that it is not left so.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE_DOWN: Duration = Duration::from_secs(60);
/// What is doubled where the policy has a shorter cooldown, or none.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
/// How far back actions count of which it was not measured whether they helped.
const INCONCLUSIVE_WITHIN: Duration = Duration::from_secs(3600);

/// Within which a revision is the rollback that an incident planned.
const ROLLS_BACK_WITHIN: Duration = Duration::from_secs(120);

/// What an earlier incident cleared on the workload, and that may come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mitigated {
    pub incident: String,
    pub class: SymptomClass,
    pub action: Action,
    pub at: Time,
    /// How often it had come back then.
    pub relapses: u32,
}

/// What other incidents cleared on the workload within the window, oldest first. What was changed since by anything else
/// is a new story.
pub(super) fn mitigated(
    incident: &Incident,
    workload: &Workload,
    incidents: &[Arc<Incident>],
    window: Duration,
    now: Time,
) -> Vec<Mitigated> {
    let changed = changed_by_others(workload, incidents);
    // However long it waits, it came back when it came in.
    let first = incident
        .status
        .as_ref()
        .and_then(|status| status.timeline.first());
    let came = first.map_or(now, |first| first.ts.min(now));
    let mut found: Vec<Mitigated> = others_about(incident, workload, incidents)
        .filter_map(|other| cleared_by(other))
        .filter(|cleared| cleared.at <= now && cleared.at.age(came) <= window)
        .filter(|cleared| changed.is_none_or(|changed| changed <= cleared.at))
        .collect();
    found.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.incident.cmp(&b.incident)));
    found
}

/// The other incidents about the same workload.
fn others_about<'a>(
    incident: &'a Incident,
    workload: &'a Workload,
    incidents: &'a [Arc<Incident>],
) -> impl Iterator<Item = &'a Arc<Incident>> {
    let others = incidents.iter().filter(|other| other.name() != incident.name());
    others.filter(|other| {
        let about = other.workload();
        about.is_some_and(|name| name.as_str() == workload.name())
    })
}

fn cleared_by(incident: &Incident) -> Option<Mitigated> {
    let status = incident.status.as_ref()?;
    Some(Mitigated {
        incident: incident.name().to_owned(),
        class: class(clearing::target(status)?.kind),
        action: status.plan.as_ref()?.action,
        at: status.mitigated_at?,
        relapses: status.relapses,
    })
}

/// What a symptom is about: a leak that is not relieved in time ends in an OOM kill.
fn class(kind: SymptomKind) -> SymptomClass {
    match kind {
        SymptomKind::OutOfMemory => SymptomClass::Memory,
        other => other.class(),
    }
}

/// When the workload's spec was last changed by anything but an incident's plan, or autoscaling.
pub(super) fn changed_by_others(workload: &Workload, incidents: &[Arc<Incident>]) -> Option<Time> {
    let status = workload.status.as_ref()?;
    let incident_made = incidents
        .iter()
        .flat_map(|incident| ledger::generations_of(incident, workload.name()));
    let ours: Vec<i64> = incident_made.chain(own_generations(status)).collect();
    let demands = status.demands.iter().skip(1);
    let others = demands.filter(|demand| !ours.contains(&demand.generation));
    let revision = status.revisions.last().filter(|_| status.revisions.len() > 1);
    let rolled_back = |at: Time| {
        let mut incidents = incidents.iter().filter_map(|incident| incident.status.as_ref());
        incidents.any(|status| {
            let about = status.workload.as_ref();
            let is_ours = about.is_some_and(|name| name.as_str() == workload.name());
            let plan = status.plan.as_ref().filter(|_| is_ours);
            plan.is_some_and(|plan| {
                let soon = plan.created_at <= at && plan.created_at.age(at) < ROLLS_BACK_WITHIN;
                plan.action == Action::Rollback && soon
            })
        })
    };
    let revised = revision
        .map(|revision| revision.created_at)
        .filter(|at| !rolled_back(*at));
    others.map(|demand| demand.at).chain(revised).max()
}

/// Of what was cleared, that which these symptoms are again: the newest.
pub(super) fn of<'a>(incident: &'a ValidatedIncident, symptoms: &[Symptom]) -> Option<&'a Mitigated> {
    let is_again = |cleared: &&Mitigated| {
        symptoms
            .iter()
            .any(|symptom| class(symptom.kind) == cleared.class)
    };
    incident.mitigated.iter().rev().find(is_again)
}

/// The incident in which what this one cleared came back.
pub(super) fn came_back_in(incident: &Incident, incidents: &[Arc<Incident>]) -> Option<String> {
    let again = incidents.iter().find(|other| {
        let earlier = other
            .status
            .as_ref()
            .and_then(|status| status.relapse_of.as_ref());
        earlier.is_some_and(|earlier| earlier == incident.name())
    });
    again.map(|again| again.name().to_owned())
}

/// What the incident taught that this one is a relapse of: the same lesson, however the readings are worded.
pub(super) fn taught_before(incident: &Incident, incidents: &[Arc<Incident>]) -> Option<String> {
    let of = incident.status.as_ref()?.relapse_of.as_ref()?;
    let earlier = incidents.iter().find(|earlier| earlier.name() == of)?;
    earlier.status.as_ref()?.learned.clone()
}

/// How many of the newest actions on the workload, in a row, ended without it being measured whether they helped.
pub(super) fn inconclusive_in_a_row(
    incident: &Incident,
    workload: &Workload,
    incidents: &[Arc<Incident>],
    now: Time,
) -> u32 {
    let ended = others_about(incident, workload, incidents)
        .filter_map(|other| other.status.as_ref())
        .filter(|status| {
            let plan = status.plan.as_ref();
            plan.is_some_and(|plan| plan.action != Action::Noop) && status.execution.is_some()
        })
        .filter_map(|status| Some((status.finished_at?, is_inconclusive(status))))
        .filter(|(at, _)| at.age(now) < INCONCLUSIVE_WITHIN);
    ledger::newest_in_a_row(ended)
}

/// Until when an action that did not last, or of which it was not known whether it helped, is not repeated; `None` where
/// it may be.
pub(super) fn pauses_until(incident: &ValidatedIncident, action: Action) -> Option<Time> {
    let times = incident.status.relapses.max(incident.inconclusive_in_a_row);
    if times == 0 {
        return None;
    }
    let mut done = incident.history.iter().rev();
    let last = done.find(|done| done.action == action)?.at;
    let is_down = |symptom: &Symptom| symptom.kind.class() == SymptomClass::Availability;
    let longest = match incident.status.symptoms.iter().any(is_down) {
        true => LONGEST_PAUSE_DOWN,
        false => LONGEST_PAUSE,
    };
    let shortest = incident.policy.cooldown.std().max(SHORTEST_PAUSE);
    let pause = ledger::doubled(shortest, times, longest);
    let until = last.plus(pause.into());
    (until > incident.now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::testing::object;

    #[test]
    fn replicas_that_autoscaling_set_are_no_change_of_others() {
        let mut workload: Workload = object("Workload", "web", "{replicas: 3, template: {image: 'app:1'}}");
        let status = r#"{"demands": [
            {"generation": 1, "at": "2026-06-15T09:00:00Z", "replicas": 2}, {"generation": 2, "at": "2026-06-15T09:10:00Z", "replicas": 3}
        ]}"#;
        let mut status: aegis_api::WorkloadStatus = serde_json::from_str(status).unwrap();
        workload.status = Some(status.clone());
        assert!(changed_by_others(&workload, &[]).is_some());
        let scaled = r#"{"changes": [{"generation": 1, "at": "2026-06-15T09:10:00Z", "from": 2, "to": 3}]}"#;
        status.autoscale = Some(serde_json::from_str(scaled).unwrap());
        workload.status = Some(status);
        assert_eq!(changed_by_others(&workload, &[]), None);
    }
}
