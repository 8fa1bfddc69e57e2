//! Whatever goes wrong, everything converges and nothing promised is broken: the whole controller on an engine in memory,
//! in virtual time, with people, illnesses, faults and deaths at random moments, over many seeds.
//!
//! `AEGIS_SIM_SEEDS` says how many seeds (`make sim` runs 10,000), `AEGIS_SIM_FROM` the first of them. `AEGIS_SIM_SEED=n` replays one
//! and prints its trace, the same each time; `AEGIS_SIM_REPEAT` says how often. With workloads that are scaled by their load the
//! same is done in a test of its own: `AEGIS_SIM_LOADS` says how many seeds, `AEGIS_SIM_LOAD=n` replays one.

#[path = "simulation/acts.rs"]
mod acts;
#[path = "simulation/director.rs"]
mod director;
#[path = "simulation/faults.rs"]
mod faults;
#[path = "simulation/ledger.rs"]
mod ledger;
#[path = "simulation/process.rs"]
mod process;
#[path = "simulation/promises.rs"]
mod promises;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/settled.rs"]
mod settled;
#[path = "simulation/upgrade.rs"]
mod upgrade;
#[path = "simulation/world.rs"]
mod world;

use acts::{Act, Hand, Illness};
use scenario::{Policy, Probe, Scenario, Service, Tree};

/// How many seeds every run of the tests tries.
const SEEDS: u64 = 300;
const LOADS: u64 = 20;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text:?} is no number")),
    )
}

#[test]
fn i1_to_i10_every_seed_converges_and_breaks_no_promise() {
    if let Some(seed) = number("AEGIS_SIM_SEED") {
        run::replay(seed, number("AEGIS_SIM_REPEAT").unwrap_or(1), Tree::of_seed);
    } else {
        run::all(
            number("AEGIS_SIM_FROM").unwrap_or(0),
            number("AEGIS_SIM_SEEDS").unwrap_or(SEEDS),
            Tree::of_seed,
            "AEGIS_SIM_SEED",
        );
    }
}

/// Loads of some levels, around each of which they come and go by a third within ten seconds, with everything else that can
/// happen: people who scale, incidents, faults, deaths of the controller. The measure of flapping: a change of replicas by
/// autoscaling that goes the other way than its one before is a *turn*, if no person and no incident set the replicas in between.
/// Within one level there may be one turn, where the level before had not been reached yet; a second one is flapping. While a new
/// level comes and goes for the first time, and that is measured (20 s), there may be two: what is done about the one before may be due just then. And
/// nothing is scaled while an incident acts (I6).
#[test]
fn i6_what_is_scaled_by_its_load_converges_and_does_not_flap_whatever_else_happens() {
    if let Some(seed) = number("AEGIS_SIM_LOAD") {
        run::replay(seed, number("AEGIS_SIM_REPEAT").unwrap_or(1), Tree::autoscaled);
    } else {
        run::all(
            number("AEGIS_SIM_FROM").unwrap_or(0),
            number("AEGIS_SIM_LOADS").unwrap_or(LOADS),
            Tree::autoscaled,
            "AEGIS_SIM_LOAD",
        );
    }
}

/// What the test above measures is there to be found: with no window to scale in by, the same kind of load makes it flap.
#[test]
fn without_a_window_the_simulated_load_does_flap() {
    let load = |window| Scenario {
        services: vec![Service {
            adopted: false,
            ..shop()
        }],
        load: Some(scenario::Load {
            levels: vec![(120, 30)],
            window,
        }),
        ..calm()
    };
    let calm = run::run(&load(45));
    assert_eq!(calm.broken, Vec::<String>::new(), "{}", calm.trace);
    let flaps = run::run(&load(0));
    assert!(
        flaps.broken.iter().any(|broken| broken.contains("flaps")),
        "{:?}\n{}",
        flaps.broken,
        flaps.trace
    );
}

/// A workload that adopts one container.
fn shop() -> Service {
    Service {
        name: "shop",
        adopted: true,
        replicas: 1,
        probe: Probe::Http,
        balanced: true,
        docker_restarts: false,
        in_place: false,
        max_unavailable: 1,
        max_surge: 1,
        min_healthy: 0,
        protected: false,
    }
}

/// A run in which nothing happens to that workload.
fn calm() -> Scenario {
    Scenario {
        dice: 1,
        services: vec![shop()],
        policy: Policy {
            mode: "Auto",
            cooldown: 30,
            budget: 6,
            quorum: 2,
            fallback: vec![],
            successes: 1,
            soak: 0,
            deadline: 30,
            max_replicas: None,
            frozen: false,
            trusts: false,
        },
        model: None,
        addresses_change: false,
        addresses_reused: false,
        acts: Vec::new(),
        load: None,
    }
}

#[test]
fn a_leak_in_an_adopted_container_is_resolved_with_exactly_one_restart() {
    let scenario = Scenario {
        acts: vec![(
            3_000,
            Act::Report {
                service: 0,
                nth: 0,
                illness: Some(Illness::Leak),
                alert: "MEMORY_LEAK",
                by_container: true,
            },
        )],
        ..calm()
    };
    let outcome = run::run(&scenario);
    assert_eq!(outcome.broken, Vec::<String>::new(), "{}", outcome.trace);
    assert_eq!(
        outcome.ended,
        [("inc-01".to_owned(), "RESOLVED")],
        "{}",
        outcome.trace
    );
    assert_eq!(outcome.client_starts("shop"), 1, "{}", outcome.trace);
}

/// Its address goes to the container that starts next, and its load balancer is not there to notice.
#[test]
fn i8_a_stranger_at_the_address_of_the_last_server_gets_nothing() {
    let hand = |hand| Act::Hand {
        service: 0,
        nth: 0,
        hand,
    };
    let down = Act::Crash {
        at: acts::Moment::Now,
        down: 5_000,
    };
    for acts in [
        vec![(3_000, hand(Hand::Remove)), (0, Act::Stranger)],
        vec![(3_000, hand(Hand::Stop)), (0, Act::Stranger)],
        vec![
            (3_000, Act::Delete { service: 0 }),
            (3_000, hand(Hand::Remove)),
            (0, Act::Stranger),
        ],
        vec![(3_000, down), (100, hand(Hand::Remove)), (0, Act::Stranger)],
        vec![
            (3_000, Act::Balancer(Hand::Stop)),
            (500, hand(Hand::Remove)),
            (0, Act::Stranger),
            (4_000, Act::Balancer(Hand::Start)),
        ],
    ] {
        let scenario = Scenario {
            addresses_reused: true,
            acts,
            ..calm()
        };
        let outcome = run::run(&scenario);
        assert_eq!(
            outcome.broken,
            Vec::<String>::new(),
            "{scenario:?}\n{}",
            outcome.trace
        );
    }
}

#[test]
fn i3_a_workload_deleted_while_its_first_replicas_are_made_leaves_none_behind() {
    let scenario = Scenario {
        services: vec![Service {
            adopted: false,
            replicas: 2,
            ..shop()
        }],
        // The first replicas are created some 50 ms after the start.
        acts: vec![(25, Act::Delete { service: 0 })],
        ..calm()
    };
    let outcome = run::run(&scenario);
    assert_eq!(outcome.broken, Vec::<String>::new(), "{}", outcome.trace);
}

#[test]
fn i1_i10_what_an_earlier_version_left_opens_unchanged_and_goes_on_in_every_phase() {
    let left = |folder, phase, illness, ends| upgrade::Earlier {
        folder,
        incident: "inc-01",
        phase,
        illness,
        restarted: false,
        ends,
    };
    let leak = Some(Illness::Leak);
    let cases = [
        left("received", "RECEIVED", leak, "RESOLVED"),
        left("analysing", "ANALYSING", leak, "RESOLVED"),
        left("council-review", "COUNCIL_REVIEW", leak, "RESOLVED"),
        left("approved", "APPROVED", leak, "RESOLVED"),
        left("executing", "EXECUTING", leak, "RESOLVED"),
        upgrade::Earlier {
            restarted: true,
            ..left("verifying", "VERIFYING", leak, "RESOLVED")
        },
        left("resolved", "RESOLVED", None, "RESOLVED"),
        left(
            "awaiting-approval",
            "AWAITING_APPROVAL",
            leak,
            "AWAITING_APPROVAL",
        ),
        left("scaling", "SCALING", None, "RESOLVED"),
        left("failed", "FAILED", Some(Illness::Incurable), "FAILED"),
        // It was stored as APPROVED, and finished: now that is a phase of its own.
        left("dry-run", "DRY_RUN", leak, "DRY_RUN"),
        upgrade::Earlier {
            incident: "inc-02",
            ..left("held", "RECEIVED", None, "RESOLVED")
        },
    ];
    for earlier in cases {
        let mode = match earlier.folder {
            "awaiting-approval" => "Approve",
            "dry-run" => "DryRun",
            _ => "Auto",
        };
        let scenario = Scenario {
            policy: Policy {
                mode,
                soak: 4,
                ..calm().policy
            },
            ..calm()
        };
        upgrade::opens_and_goes_on(&scenario, &earlier);
    }
}
