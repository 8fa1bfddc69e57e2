//! Lets servers that become ready within a moment of each other join with one reload. Owns how long that moment is; only
//! additions ever wait, and only while more are on their way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_planning::load_balancer::plan::Prepared;
use aegis_planning::load_balancer::validate::ValidatedLoadBalancer;
use tokio::time::Instant;

/// The longest that a ready server waits for others: less than half of what a reload takes.
const LONGEST: Duration = Duration::from_millis(150);

/// Since when additions wait, by load balancer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience(Arc<Mutex<HashMap<String, Instant>>>);

impl Patience {
    /// How long the plan is better put off; `None` if it is to be done now.
    pub(super) fn pause(&self, balancer: &ValidatedLoadBalancer, plan: &Prepared) -> Option<Duration> {
        if !(balancer.more_to_come && plan.only_adds(balancer)) {
            self.forget(&balancer.name);
            return None;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = *waiting.entry(balancer.name.clone()).or_insert(now);
        let left = LONGEST.saturating_sub(now.duration_since(since));
        if left.is_zero() {
            waiting.remove(&balancer.name);
        }
        (!left.is_zero()).then_some(left)
    }

    /// Nothing of it waits any more.
    pub(super) fn forget(&self, balancer: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(balancer);
    }
}
