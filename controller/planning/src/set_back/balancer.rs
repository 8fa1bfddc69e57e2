//! The same for load balancers. Nothing of it need be stored.

use std::sync::Arc;

use aegis_api::load_balancer::LoadBalancerStatus;
use aegis_api::{Duration, LoadBalancer, Time};

use super::time;

/// The load balancer with no drain and no receipt of one ahead of now: they count as begun, and as over, when the clock was
/// set back. A drain's deadline moves with its begin.
pub fn balancer(balancer: Arc<LoadBalancer>, set_at: Time, now: Time) -> Arc<LoadBalancer> {
    if !balancer
        .status
        .as_ref()
        .is_some_and(|status| is_ahead(status, now))
    {
        return balancer;
    }
    let mut settled = LoadBalancer::clone(&balancer);
    if let Some(status) = &mut settled.status {
        for drain in status.draining.iter_mut().filter(|drain| drain.since > now) {
            let lasts = Duration::from(drain.since.age(drain.deadline));
            drain.since = time(drain.since, set_at, now);
            drain.deadline = drain.since.plus(lasts);
        }
        for receipt in &mut status.receipts {
            receipt.started_at = time(receipt.started_at, set_at, now);
            receipt.finished_at = time(receipt.finished_at, set_at, now);
        }
        for unavailable in &mut status.unavailable {
            unavailable.since = time(unavailable.since, set_at, now);
        }
    }
    Arc::new(settled)
}

fn is_ahead(status: &LoadBalancerStatus, now: Time) -> bool {
    let drains = status.draining.iter().map(|drain| drain.since);
    let receipts = status
        .receipts
        .iter()
        .flat_map(|receipt| [receipt.started_at, receipt.finished_at]);
    let unavailable = status.unavailable.iter().map(|upstream| upstream.since);
    drains.chain(receipts).chain(unavailable).any(|at| at > now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drain_of_a_clock_that_was_ahead_lasts_no_longer_than_it_may() {
        let (now, set_at): (Time, Time) = (
            "2026-01-31T12:00:00Z".parse().unwrap(),
            "2026-01-31T11:59:50Z".parse().unwrap(),
        );
        let before: LoadBalancer = serde_json::from_value(json!({
            "metadata": {"name": "lb"},
            "spec": {"backends": []},
            "status": {
                "draining": [{"containers": ["a"], "ids": ["a"], "since": "2026-01-31T13:00:00Z", "deadline": "2026-01-31T13:00:30Z"}],
                "receipts": [{"containers": ["b"], "startedAt": "2026-01-31T12:59:00Z", "finishedAt": "2026-01-31T12:59:30Z", "drained": true}],
            },
        }))
        .unwrap();
        let settled = balancer(Arc::new(before), set_at, now);
        let status = settled.status.as_ref().unwrap();
        let drain = &status.draining[0];
        assert_eq!(drain.since, set_at);
        assert_eq!(drain.deadline, "2026-01-31T12:00:20Z".parse().unwrap());
        assert_eq!(status.receipts[0].finished_at, set_at, "it is counted");
        assert!(Arc::ptr_eq(
            &balancer(Arc::clone(&settled), set_at, now),
            &settled
        ));
    }
}
