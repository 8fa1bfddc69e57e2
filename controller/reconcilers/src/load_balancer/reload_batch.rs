//! Lets servers that become ready within a moment of each other join with one reload. Owns how long that moment is; only
//! additions ever wait, and only while more are on their way.

use std::time::Duration;

use aegis_planning::load_balancer::plan::Prepared;
use aegis_planning::load_balancer::validate::ValidatedLoadBalancer;
use tokio::time::Instant;

/// The longest that a ready server waits for others: less than half of what a reload takes.
const LONGEST: Duration = Duration::from_millis(150);

/// Since when additions to a load balancer wait, if any do.
#[derive(Debug, Default)]
pub(super) struct ReloadBatch(Option<Instant>);

impl ReloadBatch {
    /// How long the plan is better put off; `None` if it is to be done now.
    pub(super) fn pause(&mut self, balancer: &ValidatedLoadBalancer, plan: &Prepared) -> Option<Duration> {
        if !(balancer.more_to_come && plan.only_adds(balancer)) {
            self.0 = None;
            return None;
        }
        let now = Instant::now();
        let since = *self.0.get_or_insert(now);
        let left = LONGEST.saturating_sub(now.duration_since(since));
        if left.is_zero() {
            self.0 = None;
        }
        (!left.is_zero()).then_some(left)
    }
}
