//! What is wrong right before an action, and what that means for what was decided before. Pure.

use std::time::Duration;

use aegis_api::incident::{Origin, Stage};
use aegis_api::proposal::Action;
use aegis_api::symptom::words;
use aegis_api::{ConditionType, IncidentStatus, Phase, Reason, Symptom, Time, condition};

use super::overtaken::{MOST_STARTED_OVER, started_over};
use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;
use super::{clearing, confirmation, origin};
use crate::host_limit;

/// How long ago something may have been measured for it to be right before an action.
const FRESH: Duration = Duration::from_secs(5);

/// How long ago for it to be enough while it only waits.
const RECENT: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What is wrong, gravest first.
    pub symptoms: Vec<Symptom>,
    /// Where errors come from, where that matters.
    pub origin: Option<Origin>,
    /// What was read, for display.
    pub readings: String,
    pub at: Time,
}

/// Whether what is wrong was measured a moment ago.
pub(super) fn is_fresh(incident: &ValidatedIncident) -> bool {
    let measured = incident.status.measured_at;
    measured.is_some_and(|at| at.age(incident.now) <= FRESH)
}

/// Whether it was measured lately: while an incident only waits, that costs more than it tells.
pub(super) fn is_recent(incident: &ValidatedIncident) -> bool {
    let measured = incident.status.measured_at;
    measured.is_some_and(|at| at.age(incident.now) <= RECENT)
}

/// When it is measured again by itself, while an incident only waits.
pub(super) fn due_again(incident: &ValidatedIncident) -> Time {
    incident.now.plus(RECENT.into())
}

/// The same goes on; something else starts it over; where nothing is wrong, a plan is given up.
pub fn after_measuring(incident: &ValidatedIncident, measured: Measured, now: Time) -> Transition {
    let transition = judged(incident, measured, now);
    // Who waits, and is measured before each look, waits on: since when is what counts.
    match transition.what == What::Measured && waits_on(&incident.status) {
        true => transition,
        false => transition.release(incident),
    }
}

/// Whether it is held for what measuring again does not end by itself.
fn waits_on(status: &IncidentStatus) -> bool {
    let held = |reason| condition::is_true_for(&status.conditions, ConditionType::Held, reason);
    host_limit::waits_for_its_turn(status)
        || held(Reason::Confirming)
        || held(Reason::DependencyDown)
        || held(Reason::PassedOn)
        || held(Reason::Relapsed)
}

fn judged(incident: &ValidatedIncident, measured: Measured, now: Time) -> Transition {
    let status = &incident.status;
    if measured.symptoms.is_empty() {
        return nothing_wrong(incident, &measured, now);
    }
    // What a plan is to clear must still be there.
    let before: Vec<&Symptom> = match clearing::target(status) {
        Some(symptom) => vec![symptom],
        None => status.symptoms.iter().collect(),
    };
    let is_same = measured.symptoms.iter().any(|now| {
        let mut before = before.iter();
        before.any(|before| before.kind.class() == now.kind.class())
    });
    // A ladder's next rung is for whatever is left.
    let counts = status.measured_at.is_some() && status.tried.is_empty();
    if counts && !is_same && status.started_over <= MOST_STARTED_OVER {
        let reason = format!("something else is wrong now: {}", words(&measured.symptoms));
        return started_over(incident, &reason, now);
    }
    let transition = Transition::new(What::Measured, status.phase, now)
        .set(Field::Symptoms(measured.symptoms))
        .set(Field::MeasuredAt(Some(measured.at)));
    origin::found(transition, incident, measured.origin)
}

fn nothing_wrong(incident: &ValidatedIncident, measured: &Measured, now: Time) -> Transition {
    let text = format!("measured again, nothing is wrong: {}", measured.readings);
    let action = incident.status.plan.as_ref().map(|plan| plan.action);
    let (what, to) = match action {
        // Who is asked although nothing is measured decides on this plan.
        Some(_) if confirmation::was_asked(incident) => (What::Measured, incident.status.phase),
        Some(action) if action != Action::Noop => (What::NothingWrong, Phase::CouncilReview),
        Some(_) | None => (What::Measured, incident.status.phase),
    };
    let mut transition = Transition::new(what, to, now)
        .set(Field::Symptoms(Vec::new()))
        .set(Field::MeasuredAt(Some(measured.at)));
    let is_news = !waits_on(&incident.status) && !confirmation::was_asked(incident);
    if action != Some(Action::Noop) && is_news {
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
