//! How much automation does on the whole host: how many workloads at a time, how many actions an hour, how many workloads
//! within a minute before it stops itself. Counted from what is stored, so it holds across restarts. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::incident::{ApprovalDecision, Severity};
use aegis_api::proposal::Action;
use aegis_api::workload::{Capture, Health};
use aegis_api::{
    ConditionType, Incident, IncidentStatus, Kind, Phase, Reason, Time, Workload, WorkloadStatus, condition,
};

use crate::ledger::{self, HOUR};

/// The window in which many workloads at once are taken for one fault of the host, not many of theirs.
const MINUTE: Duration = Duration::from_secs(60);
/// How many workloads a message names.
const NAMED: usize = 5;

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostLimits {
    /// Workloads that are remedied at the same time.
    pub concurrency: usize,
    /// Actions of incidents, and restarts of unhealthy containers, in a sliding hour.
    pub actions_per_hour: usize,
    /// Workloads within a minute; one more pauses all automation.
    pub workloads_per_minute: usize,
    /// The host's load, per core, above which nothing is scaled up.
    pub load_per_core: f64,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            concurrency: 2,
            actions_per_hour: 30,
            workloads_per_minute: 3,
            load_per_core: 4.0,
        }
    }
}

impl HostLimits {
    /// None at all.
    pub const NONE: Self = Self {
        concurrency: usize::MAX,
        actions_per_hour: usize::MAX,
        workloads_per_minute: usize::MAX,
        load_per_core: f64::MAX,
    };
}

/// Who asks to act on a workload.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub workload: &'a str,
    /// Since when what is to be remedied is known.
    pub since: Option<Time>,
    /// How bad it is: what is graver and waits goes first.
    pub severity: Severity,
}

impl<'a> Asker<'a> {
    /// Restarts of unhealthy containers count from the newest fault. What does not answer is as grave as trouble gets.
    pub fn for_unhealthy(workload: &'a str, unhealthy_since: impl Iterator<Item = Option<Time>>) -> Self {
        Self {
            workload,
            since: unhealthy_since.flatten().max(),
            severity: Severity::Critical,
        }
    }
}

/// What automation does on the host beside one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostUse {
    /// Other workloads that are being remedied now, by people's orders too.
    pub busy: BTreeSet<String>,
    /// Other workloads with graver trouble that waits for its turn.
    pub graver: BTreeSet<String>,
    /// Other workloads that automation acted on within the minute, or would have if it had been its turn. What was known
    /// when somebody last let automation go on is not among them.
    pub minute: BTreeSet<String>,
    /// Actions within the hour, on whichever workload.
    pub used: usize,
    /// Somebody has let automation go on since what asks was known: however many there are, they have been seen.
    pub answered: bool,
}

impl HostUse {
    /// With those added that are about to act, and of which nothing is stored yet.
    pub fn and(mut self, about_to: &BTreeSet<String>) -> Self {
        self.used = self.used.saturating_add(about_to.len());
        self.busy.extend(about_to.iter().cloned());
        self.minute.extend(about_to.iter().cloned());
        self
    }
}

/// Inspects the whole host, except for the workload of who asks where others are counted.
pub fn host_use(
    incidents: &[Arc<Incident>],
    workloads: &[Arc<Workload>],
    asker: Asker<'_>,
    resumed: Option<Time>,
    now: Time,
) -> HostUse {
    let window = Window { resumed, now };
    let mut found = HostUse {
        answered: asker.since.is_some_and(|since| window.is_answered(since)),
        ..HostUse::default()
    };
    for incident in incidents {
        add_incident(&mut found, incident, asker, window);
    }
    for workload in workloads {
        add_heals(&mut found, workload, asker.workload, window);
    }
    found
}

/// What counts by its time.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// When somebody last let automation go on.
    resumed: Option<Time>,
    now: Time,
}

impl Window {
    fn is_answered(&self, known: Time) -> bool {
        self.resumed.is_some_and(|resumed| known <= resumed)
    }

    fn is_lately(&self, at: Time) -> bool {
        at.age(self.now) <= MINUTE && !self.is_answered(at)
    }

    /// Whether something was due within the last minute.
    fn is_due(&self, at: Time) -> bool {
        at <= self.now && self.is_lately(at)
    }

    fn in_hour(&self, at: Time) -> bool {
        at.age(self.now) <= HOUR
    }
}

fn add_incident(found: &mut HostUse, incident: &Incident, asker: Asker<'_>, window: Window) {
    let Some(status) = &incident.status else { return };
    let Some(workload) = status.workload.as_ref().map(|name| name.as_str()) else {
        return;
    };
    let actions = ledger::actions_of(incident, workload);
    let in_hour = actions.iter().filter(|action| window.in_hour(action.at));
    found.used = found.used.saturating_add(in_hour.count());
    if workload == asker.workload {
        return;
    }
    if waits_since(incident).is_some() && incident.spec.severity > asker.severity {
        found.graver.insert(workload.to_owned());
    }
    let plan = status.plan.as_ref().filter(|plan| plan.action != Action::Noop);
    let under_way = plan.filter(|_| !incident.is_finished() && is_remedied(status.phase));
    // One that was caught by a pause has done nothing yet.
    if under_way.is_some() && !is_held(status, Reason::Paused) {
        found.busy.insert(workload.to_owned());
    }
    if is_ordered(incident) || opened(incident).is_some_and(|at| window.is_answered(at)) {
        return;
    }
    let acted = actions.iter().map(|action| action.at);
    let planned = under_way.map(|plan| plan.created_at);
    let mut times = acted.chain(planned).chain(waits_since(incident));
    if times.any(|at| window.is_lately(at)) {
        found.minute.insert(workload.to_owned());
    }
}

/// Restarts of unhealthy containers by `spec.restart`: an inspection of one is the first step of each.
fn add_heals(found: &mut HostUse, workload: &Workload, except: &str, window: Window) {
    let Some(status) = &workload.status else { return };
    found.used = found.used.saturating_add(heals_in_hour(status, window));
    if workload.name() == except {
        return;
    }
    // What has been unhealthy for long enough is about to be restarted, whether or not it has its turn.
    let unhealthy_after = workload.spec.restart.unhealthy_after;
    let mut unhealthy = status
        .instances
        .iter()
        .filter_map(|row| row.unhealthy_since)
        .zip(unhealthy_after.into_iter().cycle());
    if unhealthy.any(|(since, after)| !window.is_answered(since) && window.is_due(since.plus(after))) {
        found.minute.insert(workload.name().to_owned());
    }
    let newest = status.captures.last();
    let Some((capture, at)) = newest.and_then(|capture| Some((capture, capture.taken_at?))) else {
        return;
    };
    if window.is_lately(at) {
        found.minute.insert(workload.name().to_owned());
    }
    let mut rows = status.instances.iter();
    let is_unhealthy = rows.any(|row| row.id == capture.container.id && row.health != Health::Healthy);
    if is_unhealthy && at.age(window.now) <= MINUTE {
        found.busy.insert(workload.name().to_owned());
    }
}

fn heals_in_hour(status: &WorkloadStatus, window: Window) -> usize {
    let healed = |capture: &Capture| capture.taken_at.is_some_and(|at| window.in_hour(at));
    let heals = status.heals.iter().filter(|at| window.in_hour(**at));
    // An earlier version reported only the captures.
    let captures = status.captures.iter().filter(|capture| healed(capture));
    heals.count().max(captures.count())
}

/// An incident that asks to act on this workload.
pub fn asker<'a>(incident: &Incident, workload: &'a Workload) -> Asker<'a> {
    Asker {
        workload: workload.name(),
        since: opened(incident),
        severity: incident.spec.severity,
    }
}

fn opened(incident: &Incident) -> Option<Time> {
    let created = incident.metadata.creation_timestamp.as_ref();
    created.map(|created| Time(created.0))
}

fn is_remedied(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Approved | Phase::Executing | Phase::Scaling | Phase::Verifying
    )
}

/// Whether a human chose the action or approved the plan.
pub fn is_ordered(incident: &Incident) -> bool {
    let approval = incident.spec.approval.as_ref();
    let plan = incident.status.as_ref().and_then(|status| status.plan.as_ref());
    let approved = approval
        .filter(|approval| approval.decision == ApprovalDecision::Approve)
        .is_some_and(|approval| plan.is_some_and(|plan| plan.hash == approval.plan_hash));
    incident.spec.override_.is_some() || approved
}

/// Since when it waits until others have done.
fn waits_since(incident: &Incident) -> Option<Time> {
    let status = incident.status.as_ref().filter(|_| !incident.is_finished())?;
    let held = condition::find(&status.conditions, ConditionType::Held)?;
    waits_for_its_turn(status).then_some(Time(held.last_transition_time.0))
}

/// Whether an incident is held until others are done.
pub fn waits_for_its_turn(status: &IncidentStatus) -> bool {
    is_held(status, Reason::HostBusy)
}

fn is_held(status: &IncidentStatus, reason: Reason) -> bool {
    condition::is_true_for(&status.conditions, ConditionType::Held, reason)
}

/// What keeps automation from acting on one more workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRuling {
    /// Too many at a time: it waits.
    Busy(String),
    /// Too many actions within the hour.
    Exhausted(String),
    /// Too many workloads within a minute: all automation pauses.
    BlastRadius(String),
}

/// Judges one more workload.
pub fn judge(limits: &HostLimits, used: &HostUse, workload: &str) -> Option<HostRuling> {
    if used.used >= limits.actions_per_hour {
        return Some(HostRuling::Exhausted(format!(
            "{} of {} automated actions on this host were used in the last hour (AEGIS_HOST_ACTIONS_PER_HOUR)",
            used.used, limits.actions_per_hour
        )));
    }
    if !used.answered && used.minute.len() >= limits.workloads_per_minute {
        return Some(HostRuling::BlastRadius(format!(
            "{workload} would be workload number {} within a minute, after {}: this looks like one fault of the host or the network, not many of theirs",
            used.minute.len().saturating_add(1),
            list(&used.minute)
        )));
    }
    let at_a_time = limits.concurrency;
    if used.busy.len() >= at_a_time {
        return Some(HostRuling::Busy(format!(
            "{at_a_time} workloads at a time are remedied on this host (AEGIS_HOST_CONCURRENCY), now {}",
            list(&used.busy)
        )));
    }
    // The places that are free are for what is graver.
    let taken = used.busy.len().saturating_add(used.graver.len());
    (!used.graver.is_empty() && taken >= at_a_time).then(|| {
        HostRuling::Busy(format!(
            "{at_a_time} workloads at a time are remedied on this host (AEGIS_HOST_CONCURRENCY), and graver trouble goes first: {}",
            list(&used.graver)
        ))
    })
}

/// Human-readable: the first few, and how many more.
fn list(names: &BTreeSet<String>) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests;
