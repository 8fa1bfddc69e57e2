//! What befalls containers of the simulated host: illnesses, hands at a terminal, faults of the engine, and the cure.

use std::time::Duration;

use aegis_api::observed::ContainerDetails;
use aegis_docker_fake::{Ailment, Cure, FaultPlan, Symptom};

use super::acts::{Hand, Illness, Weather};
use super::world::{MEMORY, World};

/// The share of a core that counts as saturated.
const BUSY: u32 = 990;
const IDLE: u32 = 10;

/// Makes a container ill. One that is gone by now is spared.
pub(crate) fn inject(world: &World, container: &str, illness: Illness) {
    let engine = &world.engine;
    if engine
        .inspect_now(container)
        .is_some_and(|found| found.image == "app:sick")
    {
        // It would get well by it.
        return;
    }
    let until_restart = |symptom| Ailment::new(symptom, Cure::Restart);
    let result = match illness {
        Illness::Leak => engine.ail(container, until_restart(Symptom::None).memory(MEMORY / 100 * 94)),
        Illness::Hang => engine.hang(container),
        Illness::Refuses => engine.ail(container, until_restart(Symptom::Refusing)),
        Illness::Unhealthy => engine.ail(container, until_restart(Symptom::Unhealthy)),
        Illness::Oom => engine.oom(container),
        Illness::Crash => engine.crash(container, 1),
        Illness::Busy => engine.set_behaviour(container, |behaviour| behaviour.cpu_millis = BUSY),
        Illness::Incurable => {
            world.give_up(container);
            engine.ail(container, Ailment::new(Symptom::Unhealthy, Cure::Never))
        }
    };
    let said = match result {
        Ok(()) => format!("# {container} falls ill: {illness:?}"),
        Err(error) => format!("# {container} does not fall ill: {error}"),
    };
    world.ledger.say(said);
}

/// Does to a container what a person can.
pub(crate) fn act_by_hand(world: &World, container: &str, hand: Hand) {
    let engine = &world.engine;
    let result = match hand {
        Hand::Kill => engine.kill(container),
        Hand::Stop => {
            world.note_stop(container);
            engine.stop_by_hand(container)
        }
        Hand::Start => engine.start_by_hand(container),
        Hand::Remove => engine.remove_by_hand(container),
        Hand::Rename => engine.rename(container, &format!("{container}-aside")),
    };
    let said = match result {
        Ok(()) => format!("# a hand at {container}: {hand:?}"),
        Err(error) => format!("# a hand slips at {container}: {error}"),
    };
    world.ledger.say(said);
}

/// Everybody who can be is well again.
pub(crate) fn cure(world: &World) {
    let incurable = world.incurable();
    for name in world.engine.names() {
        let hopeless = |found: &ContainerDetails| incurable.contains(&found.id) || found.image == "app:sick";
        if world
            .engine
            .inspect_now(&name)
            .is_none_or(|found| hopeless(&found))
        {
            continue;
        }
        let healed = world.engine.heal(&name);
        let calmed = world
            .engine
            .set_behaviour(&name, |behaviour| behaviour.cpu_millis = IDLE);
        healed.and(calmed).expect("it was there a moment ago");
    }
}

/// How calls go wrong in this weather.
pub(crate) fn faults(weather: Weather, seed: u64) -> FaultPlan {
    let fine = FaultPlan {
        seed,
        ..FaultPlan::default()
    };
    match weather {
        Weather::Fine => fine,
        Weather::Unreachable => FaultPlan {
            unreachable: 0.3,
            ..fine
        },
        Weather::AnswersLost => FaultPlan {
            timeout_after: 0.15,
            ..fine
        },
        Weather::ServerErrors => FaultPlan {
            server_error: 0.3,
            ..fine
        },
        Weather::Slow => FaultPlan {
            slow: 0.5,
            slow_by: Duration::from_secs(3),
            ..fine
        },
        Weather::EventsCut => FaultPlan {
            event_cut: 0.3,
            ..fine
        },
        Weather::ProbesFail => FaultPlan {
            probe_failure: 0.3,
            ..fine
        },
        Weather::Storm => FaultPlan {
            unreachable: 0.05,
            timeout_after: 0.05,
            server_error: 0.05,
            slow: 0.1,
            event_cut: 0.1,
            probe_failure: 0.1,
            ..fine
        },
    }
}
