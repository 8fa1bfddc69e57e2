//! What is wrong right before an action, and what that means for what was decided before. Pure.

use std::time::Duration;

use aegis_api::incident::Stage;
use aegis_api::proposal::Action;
use aegis_api::symptom::words;
use aegis_api::{Phase, Symptom, Time};

use super::overtaken::{MOST_STARTED_OVER, started_over};
use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;
use crate::host_limit;

/// How long ago something may have been measured for it to be right before an action.
const FRESH: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What is wrong, gravest first.
    pub symptoms: Vec<Symptom>,
    /// What was read, for display.
    pub readings: String,
    pub at: Time,
}

/// Whether what is wrong was measured a moment ago.
pub(super) fn is_fresh(incident: &ValidatedIncident) -> bool {
    let measured = incident.status.measured_at;
    measured.is_some_and(|at| at.age(incident.now) <= FRESH)
}

/// The same goes on; something else starts it over; where nothing is wrong, a plan is given up.
pub fn after_measuring(incident: &ValidatedIncident, measured: Measured, now: Time) -> Transition {
    let transition = judged(incident, measured, now);
    // Who waits until others are done is measured before each look, and waits on: since when is what counts.
    match host_limit::waits_for_its_turn(&incident.status) {
        true => transition,
        false => transition.release(incident),
    }
}

fn judged(incident: &ValidatedIncident, measured: Measured, now: Time) -> Transition {
    let status = &incident.status;
    if measured.symptoms.is_empty() {
        return nothing_wrong(incident, &measured, now);
    }
    let is_same = measured.symptoms.iter().any(|now| {
        let mut before = status.symptoms.iter();
        before.any(|before| before.kind.class() == now.kind.class())
    });
    // A ladder's next rung is for whatever is left.
    let counts = status.measured_at.is_some() && status.tried.is_empty();
    if counts && !is_same && status.started_over <= MOST_STARTED_OVER {
        let reason = format!("something else is wrong now: {}", words(&measured.symptoms));
        return started_over(incident, &reason, now);
    }
    Transition::new(What::Measured, status.phase, now)
        .set(Field::Symptoms(measured.symptoms))
        .set(Field::MeasuredAt(Some(measured.at)))
}

fn nothing_wrong(incident: &ValidatedIncident, measured: &Measured, now: Time) -> Transition {
    let text = format!("measured again, nothing is wrong: {}", measured.readings);
    let action = incident.status.plan.as_ref().map(|plan| plan.action);
    let (what, to) = match action {
        Some(action) if action != Action::Noop => (What::NothingWrong, Phase::CouncilReview),
        Some(_) | None => (What::Measured, incident.status.phase),
    };
    let mut transition = Transition::new(what, to, now)
        .set(Field::Symptoms(Vec::new()))
        .set(Field::MeasuredAt(Some(measured.at)));
    if action != Some(Action::Noop) {
        transition = transition.log(Stage::EvidenceCollected, text);
    }
    match what {
        What::NothingWrong => transition
            .log(
                Stage::PolicyGate,
                "the plan is made again: nothing is wrong any more",
            )
            .set(Field::Plan(None)),
        _ => transition,
    }
}
