//! What comes next for an incident, as data: a change of its status, something to do first, or nothing for now. Pure.

use std::time::Duration;

use aegis_api::Phase;
use aegis_api::incident::{IncidentSpec, Plan};
use aegis_api::proposal::{Action, CouncilDecision, Seat};
use aegis_api::scalar::ResourceName;

use super::transition::{HeldFor, Transition, What};
use super::validate::ValidatedIncident;

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// The status changes; nothing is done.
    Transition(Transition),
    /// Something is done; what comes of it changes the status.
    Effect(Effect),
    /// Nothing until something changes or this time has passed.
    Wait(Option<Duration>),
}

/// Something that is done. Each may be done again after a crash.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Evidence is collected and similar incidents are recalled; `then_hold` where the incident must wait right after.
    Investigate { then_hold: Option<HeldFor> },
    /// It is measured again what is wrong: what is about to be done was decided on what was seen before.
    Measure,
    /// The incident about the workload from which the errors come is opened.
    OpenOrigin {
        name: ResourceName,
        spec: Box<IncidentSpec>,
    },
    /// The brain is asked what is wrong and what to do.
    Analyse,
    /// One seat is asked.
    Vote(Seat),
    /// All automation on the host pauses, for this reason; then the incident goes on so.
    PauseAll { reason: String, then: Transition },
    /// The plan's patch is put into the workload's spec.
    Execute(Box<Plan>),
    /// Every container is probed once.
    Probe { number: u32 },
    /// What helped becomes a runbook entry; then the incident is resolved.
    Learn,
    /// What was learned counts, or never will.
    Settle(Settlement),
    /// What did not help is recorded in the runbook, and a restart that has not taken effect is withdrawn.
    Unlearn(Setback),
}

/// What became of a symptom that was cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It has stayed away.
    Lasted,
    /// It came back, in this incident.
    Relapsed(String),
    /// Something else changed the workload meanwhile: what kept it away, or brought it back, is not known.
    Unclear,
}

/// What follows where a plan did not help.
#[derive(Debug, Clone, PartialEq)]
pub enum Setback {
    /// This action is tried next.
    FallBack { error: String, action: Action },
    /// Nothing more can be tried.
    Fail {
        error: String,
        council: Option<CouncilDecision>,
    },
}

impl Next {
    /// What happens to the incident, where nothing is done before it that could come out otherwise.
    pub fn what(&self) -> Option<What> {
        self.transition().map(|transition| transition.what)
    }

    /// The change of the status, where nothing is done before it that could come out otherwise.
    pub fn transition(&self) -> Option<&Transition> {
        match self {
            Self::Transition(transition) | Self::Effect(Effect::PauseAll { then: transition, .. }) => {
                Some(transition)
            }
            Self::Effect(_) | Self::Wait(_) => None,
        }
    }

    /// The plan that is approved now, and not before.
    pub fn approved(&self) -> Option<&Plan> {
        let transition = self.transition()?;
        transition.plan().filter(|_| transition.what == What::Approved)
    }

    /// Whether the incident only waits after this, so that another may work on the workload meanwhile. One that is
    /// approved, or measured for that, begins its work: until the store says so, too, the lease does.
    pub fn releases_lease(&self, incident: &ValidatedIncident) -> bool {
        let then_held = matches!(self, Self::Effect(Effect::Investigate { then_hold: Some(_) }));
        let begins = self.approved().is_some() || matches!(self, Self::Effect(Effect::Measure));
        match self.what() {
            Some(What::Held) => true,
            _ if then_held => true,
            _ if begins => false,
            _ => incident.status.phase == Phase::AwaitingApproval,
        }
    }
}

impl From<Transition> for Next {
    fn from(transition: Transition) -> Self {
        Self::Transition(transition)
    }
}
