//! The share of a server that has just become ready, which grows to its own in steps. Pure.
//!
//! nginx has slow start in its commercial version alone. Weights do the same for a reload a step, so the steps are few. It
//! counts from when the container became ready: after a restart of this controller it is where it would have been.

use std::time::Duration;

use aegis_api::load_balancer::Backend;

/// Steps until a server has its whole share.
const STEPS: u32 = 4;

/// How far a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Its share now, of [`STEPS`].
    share: u32,
    /// When it grows; `None` where it is whole.
    rest: Option<Duration>,
}

impl Step {
    /// Of a server that has been ready for so long; not known for how long: it is no new one.
    pub(super) fn at(backend: &Backend, ready: Option<Duration>) -> Self {
        let whole = Self {
            share: STEPS,
            rest: None,
        };
        let (Some(time), Some(ready)) = (backend.slow_start, ready) else {
            return whole;
        };
        let each = time.std() / STEPS;
        let done = (1..STEPS).find(|step| ready < each.saturating_mul(*step));
        done.map_or(whole, |share| Self {
            share,
            rest: Some(each.saturating_mul(share).saturating_sub(ready)),
        })
    }
}

/// The weights of an upstream's servers, and when they change. Where all are at the same step, their own.
pub(super) fn weights(servers: &[(u32, Step)]) -> (Vec<u32>, Option<Duration>) {
    let shares = || servers.iter().map(|(_, step)| step.share);
    if shares().min() == shares().max() {
        return (servers.iter().map(|(weight, _)| *weight).collect(), None);
    }
    let weights = servers
        .iter()
        .map(|(weight, step)| weight.saturating_mul(step.share));
    let next = servers.iter().filter_map(|(_, step)| step.rest).min();
    (weights.collect(), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_balancer::testing::balancer;

    fn step(secs: Option<u64>) -> Step {
        let mut backend = balancer().spec.backends.remove(0);
        backend.slow_start = Some("20s".parse().unwrap());
        Step::at(&backend, secs.map(Duration::from_secs))
    }

    #[test]
    fn a_new_server_gets_a_quarter_more_of_its_share_with_each_quarter_of_the_time() {
        let secs = Duration::from_secs;
        for (ready, weights_are, next) in [
            (0, vec![4, 1], Some(secs(5))),
            (4, vec![4, 1], Some(secs(1))),
            (5, vec![4, 2], Some(secs(5))),
            (14, vec![4, 3], Some(secs(1))),
            (15, vec![1, 1], None),
            (99, vec![1, 1], None),
        ] {
            let servers = [(1, step(Some(900))), (1, step(Some(ready)))];
            assert_eq!(weights(&servers), (weights_are, next), "after {ready} s");
        }
    }

    #[test]
    fn servers_that_are_all_new_share_as_they_would_and_need_no_reload() {
        let servers = [(3, step(Some(1))), (1, step(Some(2)))];
        assert_eq!(weights(&servers), (vec![3, 1], None));
        assert_eq!(weights(&[(1, step(Some(0)))]), (vec![1], None));
        assert_eq!(
            weights(&[(1, step(None)), (2, step(Some(60)))]),
            (vec![1, 2], None)
        );
        assert_eq!(weights(&[]), (Vec::new(), None));
    }

    #[test]
    fn without_the_field_a_server_has_its_share_at_once() {
        let backend = balancer().spec.backends.remove(0);
        let new = Step::at(&backend, Some(Duration::ZERO));
        assert_eq!(weights(&[(1, new), (1, step(Some(60)))]), (vec![1, 1], None));
    }
}
