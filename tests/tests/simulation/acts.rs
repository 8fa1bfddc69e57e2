//! What can happen to the simulated host: the schedule's verbs. Pure.

use proptest::prelude::*;
use proptest::sample::select;

/// One thing that happens. Services and containers are counted modulo how many there are at that time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// A container falls ill (or not), and somebody reports an alert about its workload.
    Report {
        service: usize,
        nth: usize,
        illness: Option<Illness>,
        alert: &'static str,
        by_container: bool,
    },
    /// A container falls ill and no alert says so.
    FallIll {
        service: usize,
        nth: usize,
        illness: Illness,
    },
    /// Somebody edits a spec.
    Scale {
        service: usize,
        replicas: u32,
    },
    /// Somebody sets `restartedAt`, so many seconds from now.
    Restart {
        service: usize,
        ahead: i64,
    },
    /// Somebody changes a template's image.
    Release {
        service: usize,
        image: &'static str,
    },
    /// Somebody's hand at a container.
    Hand {
        service: usize,
        nth: usize,
        hand: Hand,
    },
    /// The adopted container is brought back by its owner.
    Restore {
        service: usize,
    },
    Delete {
        service: usize,
    },
    /// Somebody applies a workload that was deleted.
    Apply {
        service: usize,
    },
    /// A human decides on every plan that waits for one.
    Decide {
        approve: bool,
    },
    /// A human takes the newest open incident into their own hands.
    Override {
        action: &'static str,
    },
    /// The sender of the newest open incident says that it is over.
    Clear,
    /// Somebody deletes the newest incident.
    Forget,
    Mode {
        mode: &'static str,
    },
    Balancer(Hand),
    /// Somebody starts a container of their own on the network: it may get an address that another one had.
    Stranger,
    /// Calls to the engine go wrong from now on.
    Weather {
        kind: Weather,
        seed: u64,
    },
    /// The engine is away for so many milliseconds.
    Away {
        ms: u64,
    },
    CutEvents,
    /// The controller dies, and is started again so many milliseconds later.
    Crash {
        at: Moment,
        down: u64,
    },
}

/// What is wrong with a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Illness {
    Leak,
    Hang,
    Refuses,
    Unhealthy,
    Oom,
    Crash,
    Busy,
    /// Nothing that anybody does helps.
    Incurable,
}

/// What somebody does to a container at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hand {
    Kill,
    Stop,
    Start,
    Remove,
    Rename,
}

/// How calls to the engine go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    Unreachable,
    AnswersLost,
    ServerErrors,
    Slow,
    EventsCut,
    ProbesFail,
    Storm,
}

/// When a controller dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Now,
    /// In the middle of one of its tasks, after so many steps of them.
    Step(u64),
    /// Before the n-th operation of the engine that changes something.
    Before(u64),
    /// After it took effect, before the answer.
    After(u64),
    /// When the n-th change of a resource is durable.
    Durable(u64),
    /// As with SIGTERM.
    Orderly,
}

/// The type of alerts that a policy may trust.
pub(crate) const TRUSTED: &str = "OrdersStuck";

const ALERTS: [&str; 9] = [
    TRUSTED,
    TRUSTED,
    "MEMORY_LEAK",
    "HealthCheckFailing",
    "OOMKilled",
    "ContainerCrashed",
    "HighCpuLoad",
    "idle: scale down",
    "Something odd",
];

fn illness() -> impl Strategy<Value = Illness> {
    prop_oneof![
        6 => Just(Illness::Leak), 5 => Just(Illness::Hang), 2 => Just(Illness::Refuses), 2 => Just(Illness::Unhealthy),
        3 => Just(Illness::Oom), 3 => Just(Illness::Crash), 3 => Just(Illness::Busy), 1 => Just(Illness::Incurable),
    ]
}

fn hand() -> impl Strategy<Value = Hand> {
    prop_oneof![
        4 => Just(Hand::Kill), 1 => Just(Hand::Stop), 1 => Just(Hand::Start), 4 => Just(Hand::Remove), 1 => Just(Hand::Rename),
    ]
}

fn weather() -> impl Strategy<Value = Weather> {
    select(vec![
        Weather::Fine,
        Weather::Unreachable,
        Weather::AnswersLost,
        Weather::ServerErrors,
        Weather::Slow,
        Weather::EventsCut,
        Weather::ProbesFail,
        Weather::Storm,
    ])
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        1 => Just(Moment::Now),
        4 => (1..3_000_u64).prop_map(Moment::Step),
        3 => (1..12_u64).prop_map(Moment::Before),
        3 => (1..12_u64).prop_map(Moment::After),
        3 => (1..40_u64).prop_map(Moment::Durable),
        1 => Just(Moment::Orderly),
    ]
}

/// One act, with the likely ones first: proptest simplifies towards the first.
pub(crate) fn acts() -> impl Strategy<Value = Act> {
    let who = || (0..3_usize, 0..4_usize);
    let report = (
        who(),
        prop::option::weighted(0.85, illness()),
        select(ALERTS.to_vec()),
        any::<bool>(),
    )
        .prop_map(|((service, nth), illness, alert, by_container)| Act::Report {
            service,
            nth,
            illness,
            alert,
            by_container,
        });
    let ill = (who(), illness()).prop_map(|((service, nth), illness)| Act::FallIll {
        service,
        nth,
        illness,
    });
    let scale = (0..3_usize, 0..6_u32).prop_map(|(service, replicas)| Act::Scale { service, replicas });
    let restart = (0..3_usize, select(vec![0_i64, 0, 0, -5, 4]))
        .prop_map(|(service, ahead)| Act::Restart { service, ahead });
    let image = select(vec!["app:1", "app:2", "app:2", "app:sick", "app:missing"]);
    let release = (0..3_usize, image).prop_map(|(service, image)| Act::Release { service, image });
    let hands = (who(), hand()).prop_map(|((service, nth), hand)| Act::Hand { service, nth, hand });
    let crash =
        (moment(), select(vec![0_u64, 200, 3_000, 20_000])).prop_map(|(at, down)| Act::Crash { at, down });
    let weather = (weather(), any::<u64>()).prop_map(|(kind, seed)| Act::Weather { kind, seed });
    let action = select(vec!["RESTART", "SCALE_UP", "SCALE_DOWN", "ROLLBACK", "NOOP"]);
    prop_oneof![
        18 => report,
        4 => ill,
        7 => scale,
        3 => restart,
        4 => release,
        9 => hands,
        3 => (0..3_usize).prop_map(|service| Act::Restore { service }),
        2 => (0..3_usize).prop_map(|service| Act::Delete { service }),
        3 => (0..3_usize).prop_map(|service| Act::Apply { service }),
        4 => prop::bool::weighted(0.7).prop_map(|approve| Act::Decide { approve }),
        1 => action.prop_map(|action| Act::Override { action }),
        3 => Just(Act::Clear),
        1 => Just(Act::Forget),
        1 => select(vec!["Auto", "Auto", "Approve", "DryRun", "Off"]).prop_map(|mode| Act::Mode { mode }),
        2 => hand().prop_map(Act::Balancer),
        4 => Just(Act::Stranger),
        6 => weather,
        2 => select(vec![300_u64, 4_000, 15_000]).prop_map(|ms| Act::Away { ms }),
        2 => Just(Act::CutEvents),
        12 => crash,
    ]
}
