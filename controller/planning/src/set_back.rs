//! Times that lie ahead of now, because the clock was set back after they were written: they count as now, so that no
//! pause, limit or window waits until the clock is there again. Pure.

mod balancer;
mod incident;

use std::sync::Arc;

use aegis_api::workload::InstanceStatus;
use aegis_api::workload::autoscale::AutoscaleStatus;
use aegis_api::{Time, Workload, WorkloadStatus};

pub use balancer::balancer;
pub use incident::incident;

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

/// What autoscaling noted down, with no time ahead of now: what it did counts as done when the clock was set back. Nothing of it
/// need be stored for that.
pub fn autoscale(mut status: AutoscaleStatus, set_at: Time, now: Time) -> AutoscaleStatus {
    let lost = status
        .targets
        .iter_mut()
        .flat_map(|target| &mut target.lost_since);
    let changes = status.changes.iter_mut().map(|change| &mut change.at);
    let slow = status.saturation.iter_mut().map(|slow| &mut slow.at);
    let times = status.since.iter_mut().chain(lost).chain(changes).chain(slow);
    times.for_each(|at| *at = time(*at, set_at, now));
    status
}

/// The clock was set ahead: what it would have shown, and what it showed instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leap {
    /// Without it.
    pub before: Time,
    /// With it.
    pub after: Time,
}

/// How long ago this was, without what the clock was set ahead by since. A time within what was skipped was written by a clock
/// that was ahead then, too, and was set back before: it counts as the moment of the leap.
pub fn age(at: Time, now: Time, leaps: &[Leap]) -> std::time::Duration {
    let since = leaps.iter().filter(|leap| at < leap.after && leap.after <= now);
    let skipped = since.map(|leap| leap.before.max(at).age(leap.after));
    skipped.fold(at.age(now), std::time::Duration::saturating_sub)
}

/// This time, unless it lies ahead of now: when the clock was set back then, as far as that is not ahead itself.
pub fn time(at: Time, set_at: Time, now: Time) -> Time {
    if at > now { set_at.min(now) } else { at }
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
    fn a_clock_that_is_set_ahead_makes_nothing_old() {
        let at = |text: &str| text.parse::<Time>().unwrap();
        let leap = Leap {
            before: at("2026-01-31T12:00:00Z"),
            after: at("2026-02-01T12:00:00Z"),
        };
        let old = |since: &str, now: &str| age(at(since), at(now), &[leap]).as_secs();
        assert_eq!(old("2026-01-31T11:00:00Z", "2026-02-01T12:30:00Z"), 5400);
        assert_eq!(
            old("2026-02-01T12:10:00Z", "2026-02-01T12:30:00Z"),
            1200,
            "since then"
        );
        assert_eq!(
            old("2026-01-31T11:00:00Z", "2026-01-31T12:30:00Z"),
            5400,
            "undone"
        );
        assert_eq!(
            old("2026-01-31T13:00:00Z", "2026-02-01T12:30:00Z"),
            1800,
            "written by a clock that was an hour ahead, and set back since"
        );
        let adjusted = Leap {
            before: at("2026-02-01T12:10:00Z"),
            after: at("2026-02-01T12:12:00Z"),
        };
        let old = |since: &str, now: &str| age(at(since), at(now), &[leap, adjusted]).as_secs();
        assert_eq!(old("2026-01-31T11:00:00Z", "2026-02-01T12:30:00Z"), 5280, "both");
        assert_eq!(old("2026-02-01T12:00:00Z", "2026-02-01T12:30:00Z"), 1680, "one");
    }

    #[test]
    fn changes_of_autoscaling_age_from_when_the_clock_was_set_back() {
        let status: AutoscaleStatus = serde_json::from_value(json!({
            "current": 3, "since": AHEAD,
            "changes": [{"at": BEFORE, "generation": 1, "from": 1, "to": 2}, {"at": AHEAD, "generation": 2, "from": 2, "to": 3}],
        }))
        .unwrap();
        let set_at: Time = "2026-01-31T11:59:00Z".parse().unwrap();
        let settled = autoscale(status, set_at, now());
        let times: Vec<Time> = settled.changes.iter().map(|change| change.at).collect();
        assert_eq!(times, [BEFORE.parse().unwrap(), set_at]);
        assert_eq!(settled.since, Some(set_at));
    }
}
