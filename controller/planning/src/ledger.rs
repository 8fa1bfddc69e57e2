//! What was done to workloads, read off the incidents' statuses: the one count that budgets, cooldowns, the policy's
//! status and the host-wide limits go by. Durable state only, so it holds across restarts. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aegis_api::proposal::{Action, RecentAction};
use aegis_api::{Incident, Kind, Phase, Time, Workload};

use crate::incident::aftermath::is_inconclusive;

/// What budgets are counted over.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// What an incident did to a workload: every rung of its ladder that was applied, not only the last.
pub(crate) fn actions_of(incident: &Incident, workload: &str) -> Vec<RecentAction> {
    let Some(status) = &incident.status else {
        return Vec::new();
    };
    if status
        .workload
        .as_ref()
        .is_none_or(|name| name.as_str() != workload)
    {
        return Vec::new();
    }
    let verified = match status.phase {
        Phase::Resolved => Some(true).filter(|_| !is_inconclusive(status)),
        Phase::Failed => Some(false),
        _ => None,
    };
    let current = status.plan.as_ref().zip(status.execution.as_ref());
    let current = current.map(|(plan, execution)| {
        // What was withdrawn before it took effect neither helped nor failed.
        let verified = verified.filter(|_| execution.withdrawn.is_none());
        let relapsed = status.relapsed_in.is_some();
        (plan.action, execution.applied_at, verified, relapsed)
    });
    let tried = status.tried.iter().map(|tried| {
        let verified = tried.withdrawn.is_none().then_some(false);
        (tried.action, tried.applied_at, verified, false)
    });
    let done = |(action, at, verified, relapsed): (Action, Option<Time>, Option<bool>, bool)| {
        Some(RecentAction {
            incident: Some(incident.name().to_owned()),
            alert_type: Some(incident.spec.alert_type.clone()),
            action,
            replicas: None,
            at: at.filter(|_| action != Action::Noop)?,
            verified,
            relapsed,
        })
    };
    tried.chain(current).filter_map(done).collect()
}

/// Generations of the workload's spec that an incident made, also where it took its change back.
pub(crate) fn generations_of(incident: &Incident, workload: &str) -> Vec<i64> {
    let Some(status) = &incident.status else {
        return Vec::new();
    };
    if status
        .workload
        .as_ref()
        .is_none_or(|name| name.as_str() != workload)
    {
        return Vec::new();
    }
    let current = status.plan.as_ref().zip(status.execution.as_ref());
    let current = current.map(|(plan, execution)| (plan.action, [execution.generation, execution.withdrawn]));
    let tried = status.tried.iter();
    let tried = tried.map(|tried| (tried.action, [tried.generation, tried.withdrawn]));
    let made = current
        .into_iter()
        .chain(tried)
        .filter(|(action, _)| *action != Action::Noop);
    made.flat_map(|(_, made)| made).flatten().collect()
}

/// Actions on a workload within the last hour, as its policy's `actionsPerHour` counts them: those of incidents, and what
/// `spec.restart` did by itself.
pub(crate) fn actions_in_hour(incidents: &[Arc<Incident>], workload: &Workload, now: Time) -> u32 {
    let recent = |at: &Time| at.age(now) <= HOUR;
    let actions = incidents
        .iter()
        .flat_map(|incident| actions_of(incident, workload.name()));
    let actions: Vec<Time> = actions.map(|action| action.at).filter(recent).collect();
    let own = own_restarts(workload, &actions)
        .into_iter()
        .filter(recent)
        .count();
    count(actions.len().saturating_add(own))
}

/// How long after an incident's action a restart of the Workload's reconciler still carries it out.
const CARRIES_OUT: Duration = Duration::from_secs(120);

/// When `spec.restart` restarted what ended or was unhealthy: those that carried out an action of an incident are left
/// out.
fn own_restarts(workload: &Workload, actions: &[Time]) -> BTreeSet<Time> {
    let Some(status) = &workload.status else {
        return BTreeSet::new();
    };
    let rows = status.instances.iter().flat_map(|row| &row.recent_restarts);
    let carries_out = |at: &Time| {
        let mut actions = actions.iter();
        actions.any(|action| action <= at && action.age(*at) <= CARRIES_OUT)
    };
    rows.filter(|at| !carries_out(at))
        .chain(&status.heals)
        .copied()
        .collect()
}

/// When `spec.restart` last restarted what ran and was unhealthy: an interruption like an incident's.
pub(crate) fn last_unhealthy_restart(workload: &Workload) -> Option<Time> {
    workload.status.as_ref()?.heals.iter().copied().max()
}

/// Actions within the hour on that one of these workloads which has had the most, counted as budgets are.
pub fn most_in_hour<'a>(
    incidents: &[Arc<Incident>],
    workloads: impl Iterator<Item = &'a Arc<Workload>>,
    now: Time,
) -> u32 {
    let used = workloads.map(|workload| actions_in_hour(incidents, workload, now));
    used.max().unwrap_or_default()
}

/// Of what has ended, how much in a row is so, from the newest back.
pub(crate) fn newest_in_a_row(ended: impl Iterator<Item = (Time, bool)>) -> u32 {
    let mut ended: Vec<(Time, bool)> = ended.collect();
    ended.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    count(ended.iter().take_while(|(_, is_so)| *is_so).count())
}

/// A pause that has doubled so many times, at most the longest.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(longest)
}

/// A count as statuses hold it.
pub fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
