//! When a zero-drop receipt is complete, and how many are kept. Pure; the log is read by the reconciler.

use std::sync::Arc;
use std::time::Duration;

use aegis_api::load_balancer::DrainReceipt;
use aegis_api::{Time, Workload};

/// How long after a drain the log is read.
const SETTLES: Duration = Duration::from_millis(300);
/// How long the engine gives a container to end where no one says how long.
const GRACE: Duration = Duration::from_secs(10);
/// How long after a server has ended nginx has written what became of its requests.
const WRITTEN: Duration = Duration::from_secs(2);
/// How many receipts a load balancer keeps.
const KEPT: usize = 50;

/// Whether a receipt still lacks its counts.
pub fn is_open(receipt: &DrainReceipt) -> bool {
    receipt.requests.is_none() && receipt.uncounted.is_none()
}

/// How long servers of these workloads may take to end: whose a server was that has left is not asked.
pub fn grace<'a>(workloads: impl IntoIterator<Item = &'a Arc<Workload>>) -> Duration {
    let templates = workloads
        .into_iter()
        .filter_map(|workload| workload.spec.template.as_ref());
    let graces = templates.map(|template| template.stop_grace_period.std());
    graces.fold(GRACE, Duration::max)
}

/// How long to wait before the log of a receipt is complete. Requests of a drain that ran into its deadline end with their
/// servers, which may take `grace`.
pub fn pause(receipt: &DrainReceipt, grace: Duration, now: Time) -> Duration {
    let settles = match receipt.drained {
        true => SETTLES,
        false => grace.saturating_add(WRITTEN),
    };
    settles.saturating_sub(receipt.finished_at.age(now))
}

/// When the next receipt can be counted.
pub fn look_again(
    counted: &[DrainReceipt],
    new: &[DrainReceipt],
    grace: Duration,
    now: Time,
) -> Option<Duration> {
    let open = counted.iter().chain(new).filter(|receipt| is_open(receipt));
    open.map(|receipt| pause(receipt, grace, now)).min()
}

/// Earlier receipts and new ones, the newest last.
pub fn kept(earlier: Vec<DrainReceipt>, new: Vec<DrainReceipt>) -> Vec<DrainReceipt> {
    let mut all = earlier;
    all.extend(new);
    let excess = all.len().saturating_sub(KEPT);
    all.drain(..excess);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_log_is_read_once_servers_that_ran_into_the_deadline_have_had_their_time_to_end() {
        let receipt = |drained: bool| -> DrainReceipt {
            serde_json::from_value(json!({
                "containers": ["web-1"], "startedAt": "2026-11-22T12:00:00Z", "finishedAt": "2026-11-22T12:00:05Z",
                "drained": drained,
            }))
            .unwrap()
        };
        let workload = |spec: serde_json::Value| -> Arc<Workload> {
            let object = json!({
                "apiVersion": aegis_api::API_VERSION, "kind": "Workload", "metadata": {"name": "web"}, "spec": spec,
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let made = |grace: &str| workload(json!({"template": {"image": "a", "stopGracePeriod": grace}}));
        let adopted = workload(json!({"container": "web"}));
        let now: Time = Time("2026-11-22T12:00:06Z".parse().unwrap());
        for (workloads, secs) in [
            (vec![], 11),
            (vec![adopted.clone()], 11),
            (vec![made("1s")], 11),
            (vec![adopted, made("1m"), made("5s")], 61),
        ] {
            let grace = grace(&workloads);
            assert_eq!(pause(&receipt(false), grace, now).as_secs(), secs, "{grace:?}");
            assert!(pause(&receipt(true), grace, now).is_zero());
        }
    }
}
