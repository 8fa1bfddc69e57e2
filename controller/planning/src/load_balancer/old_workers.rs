//! How many of nginx's workers of before there come to be. Pure.
//!
//! A reload starts new workers, and those of before stay until their last stream has ended: one that is open for hours keeps
//! its worker for hours, and a change of servers a second with a new stream after each leaves a generation of workers a second.
//! They take memory and processes, of which containers have few; where nginx can start no further worker, it serves nothing.
//! So where many are left, servers that join wait, the longer the more there are: with [`FREE`] = n, [`EACH`] = d and w workers
//! a generation there are about n + √(4wt/d) after t, and from the longest wait on 2w in each of these. What takes a server
//! out, or gives an upstream its first one, never waits.

use std::time::Duration;

use aegis_api::load_balancer::Server;

use super::membership::{only_servers_differ, only_tcp_servers_differ};
use super::observed::Worker;
use super::render::Rendered;
use super::validate::ValidatedLoadBalancer;

/// So many hold nothing up.
const FREE: usize = 32;
/// What each further one adds to the time between two reloads.
const EACH: Duration = Duration::from_secs(2);
/// The longest time between two reloads.
const LONGEST: Duration = Duration::from_secs(60);

/// After so many reloads it is looked how many there are.
const LOOK_AFTER: u32 = 4;

/// What is known of one nginx between two looks at its workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// How many there were at the last one.
    seen: usize,
    /// Reloads since.
    reloads: u32,
}

impl Known {
    /// Whether a look is due: one costs the engine a process.
    pub fn is_due(self) -> bool {
        self.seen > FREE || self.reloads >= LOOK_AFTER
    }

    /// After one.
    #[must_use]
    pub fn after(workers: &[Worker]) -> Self {
        Self {
            seen: count(workers),
            reloads: 0,
        }
    }

    /// After a reload.
    #[must_use]
    pub fn reloaded(self) -> Self {
        Self {
            reloads: self.reloads.saturating_add(1),
            ..self
        }
    }
}

/// Workers that only finish what they have.
pub fn count(workers: &[Worker]) -> usize {
    workers.iter().filter(|worker| worker.shutting_down).count()
}

/// Time between a reload and one that only has servers join.
fn apart(old: usize) -> Duration {
    let over = u32::try_from(old.saturating_sub(FREE)).unwrap_or(u32::MAX);
    EACH.saturating_mul(over).min(LONGEST)
}

/// How long this configuration with these servers is better put off; `None` if it is not.
pub(crate) fn wait(
    balancer: &ValidatedLoadBalancer,
    rendered: &Rendered,
    servers: &[Server],
) -> Option<Duration> {
    let old = count(balancer.workers.as_deref().unwrap_or_default());
    let last = balancer.before.last_reload.as_ref()?;
    let left = apart(old).saturating_sub(last.proved_at.age(balancer.now));
    (!left.is_zero() && only_joins(balancer, rendered, servers)).then_some(left)
}

/// Whether nginx serves what it should, but for servers that are to join, or to get another share.
fn only_joins(balancer: &ValidatedLoadBalancer, rendered: &Rendered, servers: &[Server]) -> bool {
    let before = &balancer.before;
    let (Some(config), Some(revision)) = (&before.config, &before.revision) else {
        return false;
    };
    let stays = |old: &Server| {
        let mut servers = servers.iter();
        servers.any(|new| (&new.upstream, &new.id, &new.address) == (&old.upstream, &old.id, &old.address))
    };
    balancer.installed
        && balancer.served.as_ref() == Some(revision)
        && balancer.strays.is_empty()
        && before.servers.iter().all(stays)
        && only_servers_differ((config, revision), (&rendered.text, &rendered.revision))
        // That a port of TCP gets its first server is no change of servers alone.
        && only_tcp_servers_differ("", before.stream_config.as_deref(), rendered.stream.as_deref())
}

/// What people are shown meanwhile.
pub(crate) fn words(joining: usize, old: usize) -> String {
    let servers = match joining {
        0 => "another share of the requests waits".to_owned(),
        1 => "1 server waits to join".to_owned(),
        _ => format!("{joining} servers wait to join"),
    };
    format!(
        "{servers} for {} s from the last reload on: {old} workers of before still have connections, and each reload adds some",
        apart(old).as_secs().max(1)
    )
}

#[cfg(test)]
mod tests {
    use aegis_api::load_balancer::Reload;
    use aegis_api::workload::{Health, InstanceStatus};
    use aegis_api::{ConditionType, LoadBalancer, LoadBalancerStatus, condition};

    use super::super::observed::Observed;
    use super::super::plan::{Prepared, Step, plan};
    use super::super::status::{Applied, Outcome, next};
    use super::super::testing::{balancer, row, time, world};
    use super::super::validate::validate;
    use super::*;

    const WEB: [(&str, &str); 2] = [("a", "10.0.0.1"), ("b", "10.0.0.2")];

    fn rows(count: usize) -> Vec<InstanceStatus> {
        let rows = WEB.iter().take(count);
        rows.map(|(name, ip)| row(name, ip, Health::Healthy)).collect()
    }

    fn pass(balancer: &LoadBalancer, observed: Observed) -> (Prepared, LoadBalancerStatus) {
        let validated = validate(balancer, observed).unwrap();
        let prepared = plan(&validated).unwrap();
        let reload = match &prepared.step {
            Step::Nothing => None,
            Step::Configure(rendered) => Some(Reload {
                revision: rendered.revision.clone(),
                at: validated.now,
                proved_at: validated.now,
                check: String::new(),
                shadowed: None,
                shutdown_timeout: None,
            }),
        };
        let plan = prepared.clone();
        let applied = Applied { plan, reload };
        (prepared, next(Outcome { validated, applied }))
    }

    /// One that serves so many servers, reloaded so many seconds ago, and what is observed of it with so many workers of before.
    fn serves(servers: usize, secs: i64, old: i64) -> (LoadBalancer, Observed) {
        let mut balancer = balancer();
        let (_, status) = pass(&balancer, world(rows(servers)));
        let mut observed = world(rows(servers));
        observed.served = status.revision.clone();
        let ago = jiff::SignedDuration::from_secs(secs);
        observed.now = aegis_api::Time(time("2026-11-22T12:00:00Z").0.checked_add(ago).unwrap());
        observed.workers = Some(
            (0..old)
                .map(|pid| Worker {
                    pid,
                    shutting_down: true,
                })
                .collect(),
        );
        balancer.status = Some(status);
        (balancer, observed)
    }

    fn with_rows(observed: Observed, rows: Vec<InstanceStatus>) -> Observed {
        let Observed {
            workloads, endpoints, ..
        } = world(rows);
        Observed {
            workloads,
            endpoints,
            ..observed
        }
    }

    #[test]
    fn a_server_that_joins_waits_where_many_workers_of_before_are_left_and_people_see_why() {
        for (old, secs, waits) in [(32, 0, false), (47, 29, true), (47, 30, false), (400, 59, true)] {
            let (balancer, observed) = serves(1, secs, old);
            let (prepared, status) = pass(&balancer, with_rows(observed, rows(2)));
            assert_eq!(prepared.step == Step::Nothing, waits, "{old} {secs}");
            assert_eq!(status.servers.len(), 2 - usize::from(waits));
            let ready = condition::find(&status.conditions, ConditionType::Ready).unwrap();
            assert_eq!(
                ready.message.contains("1 server waits to join"),
                waits,
                "{}",
                ready.message
            );
            assert!(!waits || prepared.look_again == Some(Duration::from_secs(1)));
        }
    }

    #[test]
    fn what_leaves_and_an_upstreams_first_server_never_wait() {
        let (balancer, observed) = serves(2, 0, 400);
        let (prepared, _) = pass(&balancer, with_rows(observed, rows(1)));
        assert_eq!(prepared.servers.len(), 1);
        let (balancer, observed) = serves(1, 0, 400);
        let other = vec![row("b", "10.0.0.2", Health::Healthy)];
        let (prepared, _) = pass(&balancer, with_rows(observed, other));
        assert_eq!(prepared.servers[0].container, "b");
        let (mut balancer, mut observed) = serves(1, 0, 400);
        let (_, none) = pass(&balancer, with_rows(observed.clone(), Vec::new()));
        observed.served = none.revision.clone();
        balancer.status = Some(none);
        let (prepared, _) = pass(&balancer, with_rows(observed, rows(1)));
        assert!(matches!(prepared.step, Step::Configure(_)));
    }

    #[test]
    fn while_servers_wait_to_join_drains_go_on_and_the_spec_is_not_said_to_be_carried_out() {
        let (mut balancer, observed) = serves(1, 0, 400);
        balancer.metadata.generation = Some(7);
        let status = balancer.status.as_mut().unwrap();
        status.draining = vec![aegis_api::load_balancer::Drain {
            containers: vec!["c".to_owned()],
            ids: vec!["id-c".into()],
            addresses: Vec::new(),
            causes: Vec::new(),
            since: observed.now,
            deadline: observed.now,
            workers: Vec::new(),
        }];
        let before = status.observed_generation;
        let (prepared, status) = pass(&balancer, with_rows(observed, rows(2)));
        assert_eq!((prepared.step, prepared.receipts.len()), (Step::Nothing, 1));
        assert_eq!(status.observed_generation, before);
        assert!(status.draining.is_empty() && status.revision == balancer.status.unwrap().revision);
    }

    #[test]
    fn the_more_workers_of_before_there_are_the_further_apart_are_reloads() {
        for (old, secs) in [(0, 0), (FREE, 0), (33, 2), (47, 30), (62, 60), (9999, 60)] {
            assert_eq!(apart(old).as_secs(), secs, "{old}");
        }
    }

    #[test]
    fn nginx_is_looked_at_again_after_some_reloads_and_always_while_there_are_many() {
        let workers = |old: usize| {
            let worker = |pid: i64| Worker {
                pid,
                shutting_down: true,
            };
            (1..).map(worker).take(old).collect::<Vec<_>>()
        };
        assert!(!Known::default().is_due());
        let some = Known::after(&workers(FREE));
        assert!(!some.is_due() && !some.reloaded().reloaded().reloaded().is_due());
        let later = some.reloaded().reloaded().reloaded().reloaded();
        assert!(later.is_due());
        assert!(Known::after(&workers(FREE + 1)).is_due());
    }

    /// One change a second for ten minutes, a stream on each worker after each, none of which ends.
    #[test]
    fn a_change_a_second_for_ten_minutes_leaves_workers_that_a_container_has_room_for() {
        for (workers, most) in [(1, 64), (2, 90), (4, 130), (8, 220)] {
            let (mut old, mut last) = (0, None);
            let mut has_two = false;
            for second in 0..600 {
                let at = Duration::from_secs(second);
                let wants_two = second % 2 == 0;
                let is_put_off = wants_two && last.is_some_and(|last| at - last < apart(old));
                if wants_two != has_two && !is_put_off {
                    (has_two, last) = (wants_two, Some(at));
                    old += workers;
                }
            }
            assert!(old <= most, "{workers} workers a generation: {old}");
        }
    }
}
