//! Which workload an incident is about, which policy governs it, and who else works on it. Pure: who else is about
//! to work on it without having stored that is the reconciler's to know.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use aegis_api::incident::Severity;
use aegis_api::proposal::{Action, RecentAction};
use aegis_api::scalar::{ContainerName, ResourceName};
use aegis_api::silence::SilencedBy;
use aegis_api::{
    ConditionType, ContainerId, Duration, Incident, IncidentStatus, Kind, LoadBalancer, Phase, Reason,
    RemediationPolicySpec, Time, Workload, condition,
};

use super::detected::{Detected, detected};
use super::observed::Observed;
use super::relapse::{self, Mitigated};
use super::silenced;
use crate::autoscale::own_generations;
use crate::correlation::inhibition;
use crate::correlation::silence::silencing_incident;
use crate::covering::covering;
use crate::detection::episode::DETECTOR;
use crate::governing::{Doubt, Governing, governing};
use crate::hold::{self, Hold};
use crate::host_limit::{HostLimits, HostUse, YIELDS_AT_MOST, asker, host_use};
use crate::host_reading::HostReading;
use crate::ledger;
use crate::serving::naming;
use crate::set_back::Leap;

/// How far back actions on the workload count.
const HISTORY: Duration = Duration::from_secs(24 * 3600);

/// Why an incident is about no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    #[error("workload {0} does not exist: apply it, or name another")]
    Missing(ResourceName),
    #[error("the incident names neither a workload nor a container")]
    Unnamed,
    #[error("it is about the host, and automation does nothing about that: {0}")]
    Host(String),
    #[error("no Workload covers container {0}: apply one that adopts it, so that it may be healed")]
    Uncovered(ContainerName),
}

/// A workload that depends on the incident's, and whose clients get the errors of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The incident about it.
    pub incident: ResourceName,
    /// Its name; absent where that incident is gone.
    pub workload: Option<String>,
}

/// An incident with all that planning needs.
#[derive(Debug, Clone)]
pub struct ValidatedIncident {
    pub incident: Arc<Incident>,
    pub status: IncidentStatus,
    /// The workload; the error says why there is none.
    pub target: Result<Arc<Workload>, NoTarget>,
    pub policy_name: String,
    pub policy: RemediationPolicySpec,
    /// Why a human is asked, whatever the policy says.
    pub doubt: Option<Doubt>,
    pub max_replicas: u32,
    pub protected: bool,
    /// What automation does on the host beside this workload.
    pub host: HostUse,
    /// Adopted containers that a person stopped, or may have stopped a moment ago.
    pub stopped: std::collections::BTreeSet<ContainerId>,
    pub limits: HostLimits,
    /// What the host has left.
    pub reading: HostReading,
    /// Why automation holds still for the workload.
    pub paused: Option<Hold>,
    /// What keeps people from being notified of it.
    pub silence: Option<SilencedBy>,
    /// Another incident whose remediation of the same workload is under way.
    pub active_incident: Option<String>,
    /// What earlier incidents did to the workload, oldest first; what this one did is not among it.
    pub history: Vec<RecentAction>,
    /// Actions on the workload within the hour, this incident's earlier rungs among them.
    pub actions_in_hour: u32,
    /// What was requested manually, or by whatever else is no incident, oldest first. It counts against no budget.
    pub manual_actions: Vec<RecentAction>,
    /// What detectors say of its episode, where one opened or joined it.
    pub detected: Option<Detected>,
    /// What earlier incidents cleared on the workload and may come back, oldest first.
    pub mitigated: Vec<Mitigated>,
    /// How many of the newest actions on the workload ended, in a row, without it being measured whether they helped.
    pub inconclusive_in_a_row: u32,
    /// The incident in which what this one cleared came back.
    pub came_back_in: Option<String>,
    /// When the workload was last changed by anything but an incident's plan.
    pub changed_by_others: Option<Time>,
    /// The runbook entry of the earlier incident that this one is a relapse of.
    pub taught_before: Option<String>,
    /// Every workload that it depends on, directly or not.
    pub dependencies: Vec<Arc<Workload>>,
    /// The incident about the workload that was found to be at fault for its errors, where there is one.
    pub origin_incident: Option<Arc<Incident>>,
    /// The workload whose clients get the errors of this incident's, where it was opened for that.
    pub dependent: Option<Dependent>,
    /// Load balancers that name the workload.
    pub balancers: Vec<Arc<LoadBalancer>>,
    /// When this controller started, or its clock was set ahead.
    pub awake_since: Time,
    /// How the clock was set ahead lately.
    pub leaps: Vec<Leap>,
    pub now: Time,
}

impl ValidatedIncident {
    pub fn name(&self) -> &str {
        self.incident.name()
    }
}

pub fn validate(incident: &Arc<Incident>, observed: &Observed) -> ValidatedIncident {
    let status = incident.status.clone().unwrap_or_default();
    let target = target(incident, &observed.workloads);
    let about = target.as_deref().ok();
    let labels = about.and_then(|workload| workload.metadata.labels.clone());
    let labels = labels.unwrap_or_default();
    let name = about.map(|workload| workload.name()).unwrap_or_default();
    let Governing {
        name: policy_name,
        spec: policy,
        doubt,
    } = governing(
        &observed.policies,
        &observed.broken_policies,
        name,
        &labels,
        observed.cooldown,
        observed.verification_deadline,
    );
    let active_incident = about.and_then(|workload| active_incident(incident, workload.name(), observed));
    let protected = about.is_some_and(hold::is_protected);
    let paused = about.and_then(|workload| {
        hold::paused(
            workload,
            observed.paused.as_ref(),
            &observed.silences,
            observed.now,
        )
    });
    let balancers = naming(&observed.balancers, name);
    let host = host(incident, about, observed);
    ValidatedIncident {
        incident: Arc::clone(incident),
        max_replicas: policy
            .replicas
            .max
            .unwrap_or(observed.max_replicas.saturating_add(1)),
        history: history(incident, name, observed),
        actions_in_hour: about.map_or(0, |workload| {
            ledger::actions_in_hour(&observed.incidents, workload, observed.now)
        }),
        detected: detected(incident, name, &observed.detectors),
        mitigated: about.map_or_else(Vec::new, |workload| {
            let window = policy.relapse_window.std();
            relapse::mitigated(incident, workload, &observed.incidents, window, observed.now)
        }),
        inconclusive_in_a_row: about.map_or(0, |workload| {
            relapse::inconclusive_in_a_row(incident, workload, &observed.incidents, observed.now)
        }),
        came_back_in: relapse::came_back_in(incident, &observed.incidents),
        changed_by_others: about
            .and_then(|workload| relapse::changed_by_others(workload, &observed.incidents)),
        taught_before: relapse::taught_before(incident, &observed.incidents),
        manual_actions: about
            .map(|workload| manual_actions(workload, &observed.incidents, observed.now))
            .unwrap_or_default(),
        dependencies: dependencies(name, &observed.workloads),
        origin_incident: origin_incident(&status, observed),
        dependent: dependent(incident, observed),
        balancers: balancers.cloned().collect(),
        awake_since: observed.awake_since,
        leaps: observed.leaps.clone(),
        now: observed.now,
        status,
        target,
        policy_name,
        policy,
        doubt,
        protected,
        paused,
        silence: silencing_incident(&observed.silences, &observed.workloads, incident, observed.now)
            .map(|silence| silenced::of(silence, observed.now)),
        host,
        stopped: observed.stopped.clone(),
        limits: observed.limits,
        reading: observed.reading,
        active_incident,
    }
}

fn origin_incident(status: &IncidentStatus, observed: &Observed) -> Option<Arc<Incident>> {
    let name = status.origin.as_ref()?.incident.as_ref()?;
    let mut linked = observed.linked.iter();
    linked.find(|linked| linked.name() == name.as_str()).cloned()
}

fn dependent(incident: &Incident, observed: &Observed) -> Option<Dependent> {
    let name = incident.spec.source.dependent.as_ref()?;
    let mut linked = observed.linked.iter();
    let linked = linked.find(|linked| linked.name() == name.as_str());
    let workload = linked.and_then(|linked| target(linked, &observed.workloads).ok());
    Some(Dependent {
        incident: name.clone(),
        workload: workload.map(|workload| workload.name().to_owned()),
    })
}

fn dependencies(of: &str, workloads: &[Arc<Workload>]) -> Vec<Arc<Workload>> {
    let names = inhibition::roots(workloads, &[], of);
    let named = workloads
        .iter()
        .filter(|workload| names.iter().any(|name| name == workload.name()));
    named.cloned().collect()
}

/// What automation does beside the workload, if there is one.
fn host(incident: &Incident, workload: Option<&Workload>, observed: &Observed) -> HostUse {
    let Some(workload) = workload else {
        return HostUse::default();
    };
    host_use(
        &observed.incidents,
        &observed.workloads,
        asker(incident, workload),
        observed.resumed,
        observed.now,
    )
}

/// The workload that an incident is about; the error says why there is none.
pub fn target(incident: &Incident, workloads: &[Arc<Workload>]) -> Result<Arc<Workload>, NoTarget> {
    let by_name = |name: &str| workloads.iter().find(|workload| workload.name() == name).cloned();
    if let Some(name) = incident.workload() {
        return by_name(name.as_str()).ok_or_else(|| NoTarget::Missing(name.clone()));
    }
    let Some(container) = &incident.spec.container_name else {
        return Err(match incident.spec.source.kind == DETECTOR {
            true => NoTarget::Host(incident.spec.logs.clone()),
            false => NoTarget::Unnamed,
        });
    };
    covering(workloads, container.as_str())
        .cloned()
        .ok_or_else(|| NoTarget::Uncovered(container.clone()))
}

/// Whether the remediation of an incident is past its beginning and not over: it has the workload to itself.
pub(crate) fn is_active(phase: Phase) -> bool {
    match phase {
        Phase::Analysing
        | Phase::CouncilReview
        | Phase::Approved
        | Phase::Executing
        | Phase::Scaling
        | Phase::Verifying => true,
        Phase::Received | Phase::AwaitingApproval | Phase::Resolved | Phase::Failed | Phase::DryRun => false,
    }
}

/// Whether it is past its beginning, and waits for what may take long: others may work on the workload meanwhile.
fn is_parked(incident: &Incident) -> bool {
    let Some(status) = incident.status.as_ref() else {
        return false;
    };
    let held = |reason| condition::is_true_for(&status.conditions, ConditionType::Held, reason);
    status.phase == Phase::CouncilReview
        && (held(Reason::Confirming)
            || held(Reason::DependencyDown)
            || held(Reason::PassedOn)
            || held(Reason::HostBusy)
            || held(Reason::Relapsed)
            || held(Reason::RemediationUnderWay))
}

fn active_incident(incident: &Incident, workload: &str, observed: &Observed) -> Option<String> {
    let mine = incident
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default();
    if is_active(mine) && !is_parked(incident) {
        return None;
    }
    let age = |incident: &Incident| {
        (
            incident.metadata.creation_timestamp.clone().map(|time| time.0),
            incident.name().to_owned(),
        )
    };
    let others = observed.incidents.iter().filter(|other| {
        let about = other.workload();
        other.name() != incident.name()
            && !other.is_finished()
            && about.is_some_and(|name| name.as_str() == workload)
    });
    let phase = |other: &Incident| {
        other
            .status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
    };
    // The graver goes first, for as long as the other has not waited its time.
    let turn = |incident: &Incident| {
        let (opened, name) = age(incident);
        let waits = opened.map(|opened| Time(opened).age(observed.now));
        let is_overdue = waits.is_some_and(|waits| waits >= YIELDS_AT_MOST);
        let severity = match is_overdue {
            true => Severity::Critical,
            false => incident.spec.severity,
        };
        (Reverse(severity), opened, name)
    };
    let is_next = |other: &Incident| {
        phase(other) == Phase::Received
            && mine == Phase::Received
            && turn(other) < turn(incident)
            && !only_waits(other)
    };
    let others: Vec<&Arc<Incident>> = others.collect();
    let active = others
        .iter()
        .find(|other| is_active(phase(other)) && !is_parked(other));
    let ahead = active.or_else(|| others.iter().find(|other| is_next(other)));
    ahead.map(|other| other.name().to_owned())
}

/// Whether an incident has not begun and will not before something changes that concerns it alone: a mode, a cooldown.
/// One that waits for another incident is next as soon as that one is over.
fn only_waits(incident: &Incident) -> bool {
    let conditions = incident.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|held| {
        held.type_ == ConditionType::Held
            && held.status == "True"
            && held.reason != Reason::RemediationUnderWay
    })
}

fn history(incident: &Incident, workload: &str, observed: &Observed) -> Vec<RecentAction> {
    let others = observed
        .incidents
        .iter()
        .filter(|other| other.name() != incident.name());
    let mut actions: Vec<RecentAction> = others
        .flat_map(|other| ledger::actions_of(other, workload))
        .filter(|action| action.at.age(observed.now) <= HISTORY.std())
        .collect();
    actions.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.incident.cmp(&b.incident)));
    actions
}

/// What of the Workload's spec changed without an incident's plan, and not by autoscaling.
fn manual_actions(workload: &Workload, incidents: &[Arc<Incident>], now: Time) -> Vec<RecentAction> {
    let planned = incidents
        .iter()
        .flat_map(|incident| ledger::generations_of(incident, workload.name()));
    let scaled = workload.status.iter().flat_map(own_generations);
    let planned: Vec<i64> = planned.chain(scaled).collect();
    let demands = workload.status.as_ref().map_or(&[][..], |status| &status.demands);
    let changes = demands.iter().zip(demands.iter().skip(1));
    let changes = changes.filter(|(_, now_asked)| !planned.contains(&now_asked.generation));
    let actions = changes.flat_map(|(before, after)| {
        let scaled = match after.replicas.cmp(&before.replicas) {
            Ordering::Greater => Some(Action::ScaleUp),
            Ordering::Less => Some(Action::ScaleDown),
            Ordering::Equal => None,
        };
        let restarted = after.restarted_at.is_some() && after.restarted_at != before.restarted_at;
        let done = |action, replicas| RecentAction {
            incident: None,
            alert_type: None,
            action,
            replicas,
            at: after.at,
            verified: None,
            relapsed: false,
        };
        let restarted = restarted.then(|| done(Action::Restart, None));
        let scaled = scaled.map(|action| done(action, Some(after.replicas)));
        restarted.into_iter().chain(scaled)
    });
    actions
        .filter(|action| action.at.age(now) <= HISTORY.std())
        .collect()
}
