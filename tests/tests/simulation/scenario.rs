//! What happens in one simulated run, as data that proptest makes from a seed: workloads, a policy, and a schedule of
//! incidents, people, faults and crashes in virtual time. Pure.

use aegis_api::proposal::Action;
use aegis_planning::host_limit::HostLimits;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::acts::{Act, acts};

/// The workloads' names; the container that one adopts is called the same.
pub(crate) const NAMES: [&str; 3] = ["shop", "cart", "mail"];

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// What every other die of the run is cast from.
    pub(crate) dice: u64,
    pub(crate) services: Vec<Service>,
    pub(crate) policy: Policy,
    /// A model that insists on this action, and how many seconds it takes a call; otherwise the built-in analyst.
    pub(crate) model: Option<(Action, u64)>,
    /// A container that is started again gets another address.
    pub(crate) addresses_change: bool,
    /// A container that starts gets the lowest address that is free, no matter which had it before.
    pub(crate) addresses_reused: bool,
    /// What happens, and how many milliseconds after what came before it.
    pub(crate) acts: Vec<(u64, Act)>,
    /// The load that workloads behind the load balancer are scaled by.
    pub(crate) load: Option<Load>,
}

/// How long the load around a level takes to come and go, seconds.
const SWING: u64 = 10;
/// How late it is measured, seconds: what is scaled by it looks back so long, its spans last three seconds, and lines come late.
const MEASURED: u64 = 10;

/// Requests a second to each workload that is scaled by them: level after level, each a while, and around each the load comes
/// and goes by a third within ten seconds, so that the number of replicas that it needs does, too. At the end it stands still.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// How many seconds a level lasts, and its requests a second; the last one stays.
    pub(crate) levels: Vec<(u64, u32)>,
    /// `scaleDownWindow`, seconds.
    pub(crate) window: u64,
}

impl Load {
    /// Which level there is so many seconds after the beginning.
    pub(crate) fn level(&self, secs: u64) -> usize {
        let mut ends = self.levels.iter().scan(0, |end, (lasts, _)| {
            *end += lasts;
            Some(*end)
        });
        let last = self.levels.len().saturating_sub(1);
        ends.position(|end| secs < end).unwrap_or(last).min(last)
    }

    /// Whether the level at that time has come and gone once, and that was measured: before, what is done about it and about the
    /// one before mix.
    pub(crate) fn is_settled(&self, secs: u64) -> bool {
        self.level(secs) == self.level(secs.saturating_sub(SWING + MEASURED))
    }

    /// Requests in that second.
    pub(crate) fn at(&self, secs: u64) -> u32 {
        let level = self.levels.get(self.level(secs)).map_or(0, |(_, rate)| *rate);
        match secs % SWING {
            _ if secs >= self.lasts() => level,
            0..5 => level + level / 3,
            _ => level - level / 3,
        }
    }

    pub(crate) fn lasts(&self) -> u64 {
        self.levels.iter().map(|(lasts, _)| lasts).sum()
    }
}

impl Scenario {
    /// How much automation may do on the whole host: half of the runs know no limit, since everything goes wrong at once
    /// in them; the others wait for their turn, use the hour up, or are paused.
    pub(crate) fn limits(&self) -> HostLimits {
        let usual = HostLimits::default();
        match self.dice % 4 {
            2 => HostLimits {
                concurrency: 1,
                workloads_per_minute: usize::MAX,
                ..usual
            },
            3 => HostLimits {
                concurrency: 1,
                actions_per_hour: 4,
                workloads_per_minute: 1,
                ..usual
            },
            _ => HostLimits::NONE,
        }
    }
}

/// One workload.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// It adopts a container that somebody else made; otherwise it has a template.
    pub(crate) adopted: bool,
    pub(crate) replicas: u32,
    pub(crate) probe: Probe,
    /// The load balancer has it as a backend.
    pub(crate) balanced: bool,
    /// Docker itself restarts the adopted container, and so its clones, when they end.
    pub(crate) docker_restarts: bool,
    pub(crate) in_place: bool,
    pub(crate) max_unavailable: u32,
    pub(crate) max_surge: u32,
    /// Seconds.
    pub(crate) min_healthy: u64,
    pub(crate) protected: bool,
}

/// How a workload shows that it can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Http,
    Tcp,
    Docker,
    None,
}

/// The policy all of them are under.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) mode: &'static str,
    pub(crate) cooldown: u64,
    pub(crate) budget: u32,
    pub(crate) quorum: u32,
    pub(crate) fallback: Vec<&'static str>,
    pub(crate) successes: u32,
    pub(crate) soak: u64,
    pub(crate) deadline: u64,
    pub(crate) max_replicas: Option<u32>,
    /// Automation holds still in the first minutes.
    pub(crate) frozen: bool,
    /// A sender's alerts of type [`TRUSTED`](super::acts::TRUSTED) are believed.
    pub(crate) trusts: bool,
}

/// The longest pause between two acts.
const PAUSE: u64 = 9_000;

fn service(name: &'static str) -> impl Strategy<Value = Service> {
    let probe = select(vec![
        Probe::Http,
        Probe::Http,
        Probe::Http,
        Probe::Tcp,
        Probe::Docker,
        Probe::None,
    ]);
    let chances = (
        prop::bool::weighted(0.6),
        prop::bool::weighted(0.75),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.05),
    );
    let pace = (
        select(vec![1_u32, 1, 2, 0]),
        select(vec![1_u32, 1, 2, 0]),
        select(vec![0_u64, 0, 1, 3]),
    );
    (1..=3_u32, probe, pace, chances).prop_map(
        move |(
            replicas,
            probe,
            (max_unavailable, max_surge, min_healthy),
            (adopted, balanced, docker_restarts, in_place, protected),
        )| {
            Service {
                name,
                adopted,
                replicas,
                probe,
                balanced,
                docker_restarts,
                in_place,
                max_unavailable,
                max_surge,
                min_healthy,
                protected,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let fallback = select(vec![
        vec![],
        vec!["RESTART"],
        vec!["SCALE_UP", "RESTART"],
        vec!["ROLLBACK", "RESTART"],
    ]);
    let mode = prop_oneof![12 => Just("Auto"), 1 => Just("Approve"), 1 => Just("DryRun"), 1 => Just("Off")];
    let verification = (
        1..=3_u32,
        select(vec![0_u64, 0, 1, 4]),
        select(vec![5_u64, 15, 30]),
    );
    let limits = (
        select(vec![0_u64, 5, 30]),
        1..=6_u32,
        prop::option::weighted(0.5, 3..=6_u32),
    );
    (
        mode,
        limits,
        1..=3_u32,
        fallback,
        verification,
        (prop::bool::weighted(0.1), prop::bool::weighted(0.3)),
    )
        .prop_map(
            |(
                mode,
                (cooldown, budget, max_replicas),
                quorum,
                fallback,
                (successes, soak, deadline),
                (frozen, trusts),
            )| {
                Policy {
                    mode,
                    cooldown,
                    budget,
                    quorum,
                    fallback,
                    successes,
                    soak,
                    deadline,
                    max_replicas,
                    frozen,
                    trusts,
                }
            },
        )
}

fn services() -> impl Strategy<Value = Vec<Service>> {
    (1..=NAMES.len(), NAMES.map(service)).prop_map(|(count, services)| {
        let mut services: Vec<Service> = services.into_iter().take(count).collect();
        // A load balancer without a backend is no load balancer.
        if let Some(first) = services.first_mut() {
            first.balanced = true;
        }
        services
    })
}

/// What the model wants, and how slow it is: 90 s a seat are more than an incident may spend.
fn model() -> impl Strategy<Value = Option<(Action, u64)>> {
    let wants = select(vec![
        Action::Restart,
        Action::Restart,
        Action::ScaleUp,
        Action::ScaleDown,
        Action::Rollback,
        Action::Noop,
    ]);
    prop::option::weighted(0.3, (wants, select(vec![0_u64, 2, 20, 90])))
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let schedule = prop::collection::vec((0..PAUSE, acts()), 3..22);
    (
        any::<u64>(),
        services(),
        (policy(), model()),
        (prop::bool::weighted(0.3), prop::bool::weighted(0.5)),
        schedule,
    )
        .prop_map(
            |(dice, services, (policy, model), (addresses_change, addresses_reused), acts)| Scenario {
                dice,
                services,
                policy,
                model,
                addresses_change,
                addresses_reused,
                acts,
                load: None,
            },
        )
}

/// As [`scenarios`], with workloads that are scaled by their load.
fn autoscaled() -> impl Strategy<Value = Scenario> {
    let levels = prop::collection::vec((40..100_u64, 4..40_u32), 2..5);
    (scenarios(), levels).prop_map(|(scenario, levels)| Scenario {
        load: Some(Load { levels, window: 45 }),
        ..scenario
    })
}

/// A scenario that can be made simpler.
pub(crate) struct Tree(Box<dyn ValueTree<Value = Scenario>>);

impl Tree {
    /// The one scenario of this seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self::of(seed, &scenarios())
    }

    /// The one of this seed with workloads that are scaled by their load.
    pub(crate) fn autoscaled(seed: u64) -> Self {
        Self::of(seed, &autoscaled())
    }

    fn of(seed: u64, scenarios: &(impl Strategy<Value = Scenario> + 'static)) -> Self {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = scenarios.new_tree(&mut runner);
        Self(Box::new(tree.expect("no strategy of this file rejects")))
    }

    pub(crate) fn current(&self) -> Scenario {
        self.0.current()
    }

    /// The simplest scenario found that still fails, within a number of tries.
    pub(crate) fn simplest(mut self, tries: u32, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
        let mut best = self.0.current();
        if !self.0.simplify() {
            return best;
        }
        for _ in 0..tries {
            let candidate = self.0.current();
            let goes_on = if fails(&candidate) {
                best = candidate;
                self.0.simplify()
            } else {
                self.0.complicate()
            };
            if !goes_on {
                break;
            }
        }
        best
    }
}
