//! How much automation does on the whole host: how many workloads at a time, how many actions an hour, how many workloads
//! within a minute before it stops itself. Counted from what is stored, so it holds across restarts. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
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
/// How long what is less grave lets graver trouble go first. From then on it goes beside it.
pub const YIELDS_AT_MOST: Duration = Duration::from_secs(300);

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostLimits {
    /// Workloads that are remedied at the same time.
    pub concurrency: usize,
    /// Further places, by which what is critical goes beside less grave trouble that holds the others, and what has waited for
    /// [`YIELDS_AT_MOST`] beside graver.
    pub reserve: usize,
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
            reserve: 1,
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
        reserve: 0,
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
    /// Since when it waits for its turn, if it does.
    pub waits: Option<Time>,
}

impl<'a> Asker<'a> {
    /// Restarts of unhealthy containers count from the newest fault. What does not answer is as grave as trouble gets.
    pub fn for_unhealthy(workload: &'a str, unhealthy_since: impl Iterator<Item = Option<Time>>) -> Self {
        Self {
            workload,
            since: unhealthy_since.flatten().max(),
            severity: Severity::Critical,
            waits: None,
        }
    }
}

/// What automation does on the host beside one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostUse {
    /// Other workloads that are being remedied now, by people's orders too.
    pub busy: BTreeSet<String>,
    /// How many of these have less grave, and graver, trouble than who asks.
    pub beside: Beside,
    /// Other workloads with graver trouble that waits for its turn.
    pub graver: BTreeSet<String>,
    /// Other workloads with less grave trouble that has let others go first for as long as it does.
    pub overdue: BTreeSet<String>,
    /// The trouble of who asks is critical.
    pub critical: bool,
    /// Who asks has let others go first for as long as it does.
    pub is_overdue: bool,
    /// Other workloads that automation acted on within the minute, or would have if it had been its turn. What was known
    /// when somebody last let automation go on is not among them.
    pub minute: BTreeSet<String>,
    /// Actions within the hour, on whichever workload.
    pub used: usize,
    /// Somebody has let automation go on since what asks was known: however many there are, they have been seen.
    pub answered: bool,
}

/// What is remedied now, by how grave it is beside what asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    pub lesser: usize,
    pub graver: usize,
}

impl HostUse {
    /// With those added that are about to act, and of which nothing is stored yet.
    pub fn and(mut self, about_to: &BTreeMap<String, Severity>, asker: Severity) -> Self {
        self.used = self.used.saturating_add(about_to.len());
        for (workload, severity) in about_to {
            self.add_busy(workload, *severity, asker);
            self.minute.insert(workload.clone());
        }
        self
    }

    /// One workload is remedied by one incident at a time.
    fn add_busy(&mut self, workload: &str, severity: Severity, asker: Severity) {
        if !self.busy.insert(workload.to_owned()) {
            return;
        }
        match severity.cmp(&asker) {
            Ordering::Less => self.beside.lesser = self.beside.lesser.saturating_add(1),
            Ordering::Greater => self.beside.graver = self.beside.graver.saturating_add(1),
            Ordering::Equal => {}
        }
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
        critical: asker.severity == Severity::Critical,
        is_overdue: window.is_overdue(asker.waits),
        ..HostUse::default()
    };
    for incident in incidents {
        add_incident(&mut found, incident, asker, window);
    }
    for workload in workloads {
        add_heals(&mut found, workload, asker, window);
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

    /// Whether what waits since then lets no other go first any more.
    fn is_overdue(&self, waits: Option<Time>) -> bool {
        waits.is_some_and(|since| since.age(self.now) >= YIELDS_AT_MOST)
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
    add_waiting(found, incident, workload, asker, window);
    let plan = status.plan.as_ref().filter(|plan| plan.action != Action::Noop);
    let under_way = plan.filter(|_| !incident.is_finished() && is_remedied(status.phase));
    // One that was caught by a pause has done nothing yet.
    if under_way.is_some() && !is_held(status, Reason::Paused) {
        found.add_busy(workload, incident.spec.severity, asker.severity);
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

/// One that waits, where it goes before who asks: who has waited long enough lets none go first.
fn add_waiting(found: &mut HostUse, incident: &Incident, workload: &str, asker: Asker<'_>, window: Window) {
    let waits = waits_since(incident);
    if waits.is_none() || found.is_overdue {
        return;
    }
    let severity = incident.spec.severity;
    if severity > asker.severity {
        found.graver.insert(workload.to_owned());
    } else if severity < asker.severity && window.is_overdue(waits) {
        found.overdue.insert(workload.to_owned());
    }
}

/// Restarts of unhealthy containers by `spec.restart`: an inspection of one is the first step of each.
fn add_heals(found: &mut HostUse, workload: &Workload, asker: Asker<'_>, window: Window) {
    let Some(status) = &workload.status else { return };
    found.used = found.used.saturating_add(heals_in_hour(status, window));
    if workload.name() == asker.workload {
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
        found.add_busy(workload.name(), Severity::Critical, asker.severity);
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
        waits: waits_since(incident),
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
    if let Some(exhausted) = exhausted(limits, used) {
        return Some(HostRuling::Exhausted(exhausted));
    }
    if !used.answered && used.minute.len() >= limits.workloads_per_minute {
        return Some(HostRuling::BlastRadius(format!(
            "{workload} would be workload number {} within a minute, after {}: this looks like one fault of the host or the network, not many of theirs",
            used.minute.len().saturating_add(1),
            list(&used.minute)
        )));
    }
    busy(limits, used).map(HostRuling::Busy)
}

/// The last tenth of the hour's actions is for what is critical.
fn exhausted(limits: &HostLimits, used: &HostUse) -> Option<String> {
    let all = limits.actions_per_hour;
    let kept = if used.critical { 0 } else { all / 10 };
    (used.used >= all.saturating_sub(kept)).then(|| {
        let kept = match kept {
            0 => String::new(),
            kept => format!(", and the last {kept} are for what is critical"),
        };
        format!(
            "{} of {all} automated actions on this host were used in the last hour (AEGIS_HOST_ACTIONS_PER_HOUR){kept}",
            used.used
        )
    })
}

/// Why there is no place, if there is none.
fn busy(limits: &HostLimits, used: &HostUse) -> Option<String> {
    let at_a_time = limits.concurrency;
    let beside = match (used.critical, used.is_overdue) {
        (true, _) => used.beside.lesser,
        (false, true) => used.beside.graver,
        (false, false) => 0,
    };
    let more = limits.reserve.min(beside);
    let among = format!("{at_a_time} workloads at a time are remedied on this host (AEGIS_HOST_CONCURRENCY)");
    let among = match more {
        0 => among,
        more => format!("{among}, {more} more beside them (AEGIS_HOST_RESERVE)"),
    };
    let places = at_a_time.saturating_add(more);
    if used.busy.len() >= places {
        return Some(format!("{among}, now {}", list(&used.busy)));
    }
    // The places that are free are for what goes first. By the reserve what is overdue needs none of them.
    let (first, most, why) = match used.graver.is_empty() && limits.reserve == 0 {
        // One of several places, so that what is critical gets on as well; a single place is for that.
        true => (
            &used.overdue,
            usize::from(places > 1),
            "what has waited for 5 min goes first",
        ),
        false => (&used.graver, usize::MAX, "graver trouble goes first"),
    };
    let first_ones = first.len().min(most);
    let taken = used.busy.len().saturating_add(first_ones);
    (first_ones > 0 && taken >= places).then(|| format!("{among}, and {why}: {}", list(first)))
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
