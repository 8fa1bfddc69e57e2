//! How fast it may scale: the policies of a direction, over its own changes of their periods. Pure.

use aegis_api::workload::autoscale::{
    ScaleBehavior, ScaleChange, ScalingPolicy, ScalingPolicyType, SelectPolicy,
};
use aegis_api::{Duration, Time};

const FIFTEEN_SECONDS: Duration = Duration::from_secs(15);

/// Policies of a scale out without any of its own.
const UP: [ScalingPolicy; 2] = [
    ScalingPolicy {
        kind: ScalingPolicyType::Pods,
        value: 4,
        period: FIFTEEN_SECONDS,
    },
    ScalingPolicy {
        kind: ScalingPolicyType::Percent,
        value: 100,
        period: FIFTEEN_SECONDS,
    },
];
/// Policies of a scale in without any of its own.
const DOWN: [ScalingPolicy; 1] = [ScalingPolicy {
    kind: ScalingPolicyType::Percent,
    value: 100,
    period: FIFTEEN_SECONDS,
}];

/// How many replicas there were when a period began, by its own changes alone.
fn at_start(current: u32, changes: &[ScaleChange], period: Duration, now: Time) -> u32 {
    let recent = changes.iter().filter(|change| change.at.age(now) < period.std());
    let (mut added, mut removed) = (0_u32, 0_u32);
    for change in recent {
        added = added.saturating_add(change.to.saturating_sub(change.from));
        removed = removed.saturating_add(change.from.saturating_sub(change.to));
    }
    current.saturating_sub(added).saturating_add(removed)
}

/// Up to how many replicas it may scale out now.
pub(super) fn most(behavior: &ScaleBehavior, current: u32, changes: &[ScaleChange], now: Time) -> u32 {
    let policies = policies(behavior, &UP);
    let limits = policies.iter().map(|policy| {
        let start = at_start(current, changes, policy.period, now);
        match policy.kind {
            ScalingPolicyType::Pods => start.saturating_add(policy.value),
            ScalingPolicyType::Percent => percent(start, policy.value.saturating_add(100))
                .div_ceil(100_u64)
                .try_into()
                .unwrap_or(u32::MAX),
        }
    });
    match behavior.select_policy {
        SelectPolicy::Max => limits.max().unwrap_or(current),
        SelectPolicy::Min => limits.min().unwrap_or(current),
        SelectPolicy::Disabled => current,
    }
}

/// Down to how many replicas it may scale in now.
pub(super) fn least(behavior: &ScaleBehavior, current: u32, changes: &[ScaleChange], now: Time) -> u32 {
    let policies = policies(behavior, &DOWN);
    let limits = policies.iter().map(|policy| {
        let start = at_start(current, changes, policy.period, now);
        match policy.kind {
            ScalingPolicyType::Pods => start.saturating_sub(policy.value),
            ScalingPolicyType::Percent => {
                let left = percent(start, 100_u32.saturating_sub(policy.value)) / 100;
                left.try_into().unwrap_or(u32::MAX)
            }
        }
    });
    match behavior.select_policy {
        SelectPolicy::Max => limits.min().unwrap_or(current),
        SelectPolicy::Min => limits.max().unwrap_or(current),
        SelectPolicy::Disabled => current,
    }
}

fn policies<'a>(behavior: &'a ScaleBehavior, default: &'a [ScalingPolicy]) -> &'a [ScalingPolicy] {
    match behavior.policies.as_slice() {
        [] => default,
        own => own,
    }
}

/// So many percent of a number, in hundredths.
fn percent(of: u32, percent: u32) -> u64 {
    u64::from(of).saturating_mul(u64::from(percent))
}
