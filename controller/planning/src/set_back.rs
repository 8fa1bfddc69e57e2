//! Times that lie ahead of now, because the clock was set back after they were written: they count as now, so that no
//! pause, limit or window waits until the clock is there again. Pure.

use std::sync::Arc;

use aegis_api::workload::InstanceStatus;
use aegis_api::{Incident, IncidentStatus, Time, Workload, WorkloadStatus};

/// The workload with no time of its own doings ahead of now. What is planned from it is stored, so that they age from now
/// on.
pub fn workload(workload: Arc<Workload>, now: Time) -> Arc<Workload> {
    if !workload
        .status
        .as_ref()
        .is_some_and(|status| is_ahead(status, now))
    {
        return workload;
    }
    let mut settled = Workload::clone(&workload);
    if let Some(status) = &mut settled.status {
        for row in &mut status.instances {
            let single = [
                &mut row.last_restart_at,
                &mut row.unhealthy_since,
                &mut row.ready_since,
                &mut row.draining_since,
            ];
            single
                .into_iter()
                .flatten()
                .chain(&mut row.recent_restarts)
                .for_each(|at| *at = (*at).min(now));
        }
        let captured = status
            .captures
            .iter_mut()
            .filter_map(|capture| capture.taken_at.as_mut());
        let rollout = status
            .rollout
            .iter_mut()
            .flat_map(|it| [&mut it.since, &mut it.progressed_at]);
        captured
            .chain(rollout)
            .chain(&mut status.heals)
            .for_each(|at| *at = (*at).min(now));
    }
    Arc::new(settled)
}

fn is_ahead(status: &WorkloadStatus, now: Time) -> bool {
    let rows = status.instances.iter().flat_map(of_row).flatten();
    let captured = status.captures.iter().filter_map(|capture| capture.taken_at);
    let rollout = status
        .rollout
        .iter()
        .flat_map(|rollout| [rollout.since, rollout.progressed_at]);
    let mut all = rows
        .chain(captured)
        .chain(rollout)
        .chain(status.heals.iter().copied());
    all.any(|at| at > now)
}

fn of_row(row: &InstanceStatus) -> impl Iterator<Item = Option<Time>> {
    let single = [
        row.last_restart_at,
        row.unhealthy_since,
        row.ready_since,
        row.draining_since,
    ];
    single
        .into_iter()
        .chain(row.recent_restarts.iter().copied().map(Some))
}

/// An earlier incident with none of its actions ahead of now: they count as done when the clock was set back (or as this
/// process began, if that was before). Nothing of it is stored.
pub fn earlier(incident: Arc<Incident>, set_at: Time, now: Time) -> Arc<Incident> {
    if !incident
        .status
        .as_ref()
        .is_some_and(|status| acted_ahead(status, now))
    {
        return incident;
    }
    let set_at = set_at.min(now);
    let mut settled = Incident::clone(&incident);
    if let Some(status) = &mut settled.status {
        let tried = status.tried.iter_mut().map(|tried| &mut tried.applied_at);
        let current = status.execution.iter_mut().map(|done| &mut done.applied_at);
        let planned = status.plan.iter_mut().map(|plan| &mut plan.created_at);
        let times = tried
            .chain(current)
            .chain([&mut status.mitigated_at])
            .flatten()
            .chain(planned);
        times.filter(|at| **at > now).for_each(|at| *at = set_at);
    }
    Arc::new(settled)
}

fn acted_ahead(status: &IncidentStatus, now: Time) -> bool {
    let current = status.execution.as_ref().and_then(|done| done.applied_at);
    let tried = status.tried.iter().filter_map(|tried| tried.applied_at);
    let planned = status.plan.iter().map(|plan| plan.created_at);
    let mut all = tried.chain(current).chain(status.mitigated_at).chain(planned);
    all.any(|at| at > now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AHEAD: &str = "2026-02-01T12:00:00Z";
    const BEFORE: &str = "2026-01-31T11:00:00Z";

    fn now() -> Time {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn restarts_of_a_clock_that_was_ahead_count_as_now_and_age_from_then_on() {
        let status = json!({
            "instances": [{"id": "a", "name": "web", "index": 0, "state": "running", "health": "Healthy",
                "revision": "r1", "lastRestartAt": AHEAD,
                "recentRestarts": [BEFORE, AHEAD], "unhealthySince": AHEAD}],
            "heals": [AHEAD],
        });
        let of = |status| -> Arc<Workload> {
            let workload =
                json!({"metadata": {"name": "web"}, "spec": {"container": "web"}, "status": status});
            Arc::new(serde_json::from_value(workload).unwrap())
        };
        let settled = workload(of(status), now());
        let status = settled.status.as_ref().unwrap();
        let row = &status.instances[0];
        assert_eq!(
            (row.last_restart_at, row.unhealthy_since),
            (Some(now()), Some(now()))
        );
        assert_eq!(row.recent_restarts, [BEFORE.parse().unwrap(), now()]);
        assert_eq!(status.heals, [now()]);
        assert!(
            Arc::ptr_eq(&workload(Arc::clone(&settled), now()), &settled),
            "and nothing is left to do"
        );
    }

    #[test]
    fn an_action_of_a_clock_that_was_ahead_counts_as_of_when_it_was_set_back() {
        let incident: Incident = serde_json::from_value(json!({
            "metadata": {"name": "i"}, "spec": {"containerName": "web", "alertType": "x"},
            "status": {"phase": "RESOLVED", "timeline": [], "finishedAt": AHEAD, "mitigatedAt": AHEAD,
                "plan": {"hash": "h", "action": "RESTART", "target": "web", "parentGeneration": 1, "patch": {},
                    "createdAt": BEFORE},
                "execution": {"appliedAt": AHEAD}},
        }))
        .unwrap();
        let set_at: Time = "2026-01-31T11:59:00Z".parse().unwrap();
        let settled = earlier(Arc::new(incident), set_at, now());
        let status = settled.status.as_ref().unwrap();
        assert_eq!(status.execution.as_ref().unwrap().applied_at, Some(set_at));
        assert_eq!(status.mitigated_at, Some(set_at));
        assert_eq!(status.plan.as_ref().unwrap().created_at, BEFORE.parse().unwrap());
    }
}
