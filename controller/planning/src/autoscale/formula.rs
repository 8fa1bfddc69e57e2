//! The arithmetic of the HorizontalPodAutoscaler, as
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details> documents it:
//! `desired = ceil(current × measured / target)`, within a tolerance, with conservative values for what is missing. Pure.

/// By how much a ratio may differ from 1 before anything changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    pub up: f64,
    pub down: f64,
}

impl Tolerance {
    fn covers(self, ratio: f64) -> bool {
        // A hair more: 1.1 of a target is not above it by more than a tenth.
        ratio <= 1.0 + self.up + 1e-9 && ratio >= 1.0 - self.down - 1e-9
    }
}

/// The next whole number of replicas. What is a hair above one is that.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a u32 holds; `as` saturates, and of what is no number it makes 0"
)]
pub(super) fn whole(replicas: f64) -> u32 {
    (replicas - 1e-9).ceil().clamp(0.0, 1e6) as u32
}

fn count(number: usize) -> f64 {
    f64::from(crate::ledger::count(number))
}

/// For a mean over replicas. `values` has one entry a replica that serves, absent where it could not be read; `warming`
/// replicas do not serve yet. `None` where no replica could be read.
pub(super) fn of_mean(
    values: &[Option<f64>],
    warming: u32,
    target: f64,
    tolerance: Tolerance,
    current: u32,
) -> Option<u32> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    if known.is_empty() {
        return None;
    }
    let sum: f64 = known.iter().sum();
    let ratio = sum / count(known.len()) / target;
    let missing = values.len().saturating_sub(known.len());
    if missing == 0 && (warming == 0 || ratio <= 1.0) {
        let same = tolerance.covers(ratio);
        return Some(if same {
            current
        } else {
            whole(ratio * count(known.len()))
        });
    }
    // What is missing counts as on target when scaling in and as idle when scaling out; what warms up as idle.
    let filled = if ratio < 1.0 {
        sum + target * count(missing)
    } else {
        sum
    };
    let idle = if ratio > 1.0 { f64::from(warming) } else { 0.0 };
    let all = count(values.len()) + idle;
    let ratio_then = filled / all / target;
    let turned = (ratio < 1.0) != (ratio_then < 1.0);
    if turned || tolerance.covers(ratio_then) {
        return Some(current);
    }
    let desired = whole(ratio_then * all);
    // Replicas that are left out of the count must not turn the direction either.
    Some(match ratio_then < 1.0 {
        true => desired.min(current),
        false => desired.max(current),
    })
}

/// For something that is spread over all replicas, of which each is to have `target`.
pub(super) fn of_total(total: f64, target: f64, tolerance: Tolerance, current: u32) -> u32 {
    let ratio = total / (target * f64::from(current.max(1)));
    if tolerance.covers(ratio) {
        return current;
    }
    whole(total / target)
}

/// For a value of the whole, which falls when there are more replicas: `serving` is what it was measured with.
pub(super) fn of_value(value: f64, target: f64, tolerance: Tolerance, serving: u32, current: u32) -> u32 {
    let ratio = value / target;
    if tolerance.covers(ratio) {
        return current;
    }
    whole(ratio * f64::from(serving))
}
