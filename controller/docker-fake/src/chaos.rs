//! Faults and crash points: what goes wrong between the code under test and the engine. Deterministic for a seed and order
//! of calls.

use std::sync::Arc;
use std::time::Duration;

use aegis_docker::engine::EngineError;

use super::effects::Op;
use super::{FakeEngine, Feed};

/// Chances (0 to 1) of each fault, rolled once for every operation.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// What the dice are made from.
    pub seed: u64,
    /// The engine does not answer; nothing happened.
    pub unreachable: f64,
    /// The answer is lost after the operation took effect.
    pub timeout_after: f64,
    /// The engine fails with an error of its own; nothing happened.
    pub server_error: f64,
    /// The operation is slow.
    pub slow: f64,
    /// How slow at most.
    pub slow_by: Duration,
    /// An open event stream is cut, rolled for every event.
    pub event_cut: f64,
    /// A probe fails for no reason of the container's.
    pub probe_failure: f64,
    /// Which operations are concerned; empty for all.
    pub only: Vec<Op>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            seed: 0,
            unreachable: 0.0,
            timeout_after: 0.0,
            server_error: 0.0,
            slow: 0.0,
            slow_by: Duration::from_secs(2),
            event_cut: 0.0,
            probe_failure: 0.0,
            only: Vec::new(),
        }
    }
}

/// Which side of an operation a crash hook is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum When {
    /// Nothing has happened yet.
    Before,
    /// It has taken effect; its caller has no answer yet.
    After,
}

/// Asked before and after every operation, with its word ([`Op::as_str`]). `true`: this call never returns, so that the
/// simulation can drop its caller there. `After` is asked whether the operation succeeded or not.
pub type CrashHook = Arc<dyn Fn(&str, When) -> bool + Send + Sync>;

/// What the dice say of one operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    Fine,
    Refused(EngineError),
    Slow(Duration),
    AnswerLost,
}

#[derive(Default)]
pub(super) struct Chaos {
    plan: FaultPlan,
    dice: u64,
    pub(super) down: bool,
    pub(super) hook: Option<CrashHook>,
}

impl Chaos {
    /// One number in 0..1 (splitmix64: tiny, and the same on every machine).
    #[expect(
        clippy::as_conversions,
        reason = "the upper 53 bits of a random word fit an f64 exactly"
    )]
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.dice;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn concerns(&self, op: Op) -> bool {
        self.plan.only.is_empty() || self.plan.only.contains(&op)
    }

    pub(super) fn fate(&mut self, op: Op, operation: &str) -> Fate {
        let operation = operation.to_owned();
        if self.down {
            let message = "the engine is down".to_owned();
            return Fate::Refused(EngineError::Unreachable { operation, message });
        }
        if !self.concerns(op) {
            return Fate::Fine;
        }
        if self.roll() < self.plan.unreachable {
            let message = "scripted: connection reset".to_owned();
            return Fate::Refused(EngineError::Unreachable { operation, message });
        }
        if self.roll() < self.plan.server_error {
            return Fate::Refused(EngineError::Server {
                operation,
                message: "scripted: out of luck".to_owned(),
            });
        }
        if self.roll() < self.plan.timeout_after {
            return Fate::AnswerLost;
        }
        if self.roll() < self.plan.slow {
            let part = self.roll();
            return Fate::Slow(self.plan.slow_by.mul_f64(part));
        }
        Fate::Fine
    }

    pub(super) fn probe_fails(&mut self, op: Op) -> bool {
        self.concerns(op) && self.roll() < self.plan.probe_failure
    }

    pub(super) fn cuts_events(&mut self) -> bool {
        self.plan.event_cut > 0.0 && self.roll() < self.plan.event_cut
    }
}

impl FakeEngine {
    /// From now on things go wrong as planned; the default plan ends that.
    pub fn faults(&self, plan: FaultPlan) {
        self.shared.with(|world| {
            world.chaos.dice = plan.seed;
            world.chaos.plan = plan;
        });
    }

    /// The engine stops answering (containers go on running), or answers again. Going down cuts event streams.
    pub fn set_down(&self, down: bool) {
        self.shared.with(|world| world.chaos.down = down);
        if down {
            self.cut_events();
        }
    }

    /// Cuts every open event stream once.
    pub fn cut_events(&self) {
        // No receiver: no stream is open.
        drop(self.shared.events.send(Feed::Cut));
    }

    /// Sets or removes the crash hook.
    pub fn on_operation(&self, hook: Option<CrashHook>) {
        self.shared.with(|world| world.chaos.hook = hook);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_of_one_seed_fall_the_same_and_as_often_as_configured() {
        let plan = FaultPlan {
            seed: 7,
            unreachable: 0.25,
            ..FaultPlan::default()
        };
        let run = || {
            let mut chaos = Chaos {
                dice: plan.seed,
                plan: plan.clone(),
                ..Chaos::default()
            };
            (0..4000)
                .map(|_| chaos.fate(Op::Start, "start web") != Fate::Fine)
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        let faults = run().iter().filter(|fault| **fault).count();
        assert!((900..1100).contains(&faults), "{faults}");
    }

    #[test]
    fn operations_that_a_plan_does_not_name_are_left_alone() {
        let plan = FaultPlan {
            unreachable: 1.0,
            only: vec![Op::Stop],
            ..FaultPlan::default()
        };
        let mut chaos = Chaos {
            plan,
            ..Chaos::default()
        };
        assert_eq!(chaos.fate(Op::Start, "start web"), Fate::Fine);
        assert!(matches!(
            chaos.fate(Op::Stop, "stop web"),
            Fate::Refused(EngineError::Unreachable { .. })
        ));
    }
}
