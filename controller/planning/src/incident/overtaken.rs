//! What has changed since an incident was judged, and what becomes of a proposal that was not made for this. Pure.

use aegis_api::error::chain;
use aegis_api::incident::Stage;
use aegis_api::proposal::{Action, CouncilDecision};
use aegis_api::{Kind, Phase, Reason, Time, Workload};

use super::next::{Effect, Next};
use super::transition::{Field, Transition, What};
use super::validate::ValidatedIncident;
use super::{conclude, ladder, measured, remedy};
use crate::autoscale::only_autoscaled_since;

/// How often an incident begins at evidence again by itself; then a human decides.
pub(super) const MOST_STARTED_OVER: u32 = 2;

/// What else has changed the workload's spec since the evidence, or since this incident's own last action: what was
/// proposed was not proposed for this.
///
/// Autoscaling's own steps overtake nothing but what is about the replicas.
pub(super) fn overtaken(incident: &ValidatedIncident, workload: &Workload, action: Action) -> Option<String> {
    let status = &incident.status;
    let known = match status.tried.last() {
        Some(tried) => tried.withdrawn.or(tried.generation),
        None => status.evidence.as_ref().and_then(|evidence| evidence.generation),
    };
    let known = known.filter(|known| *known != workload.generation())?;
    let scales = matches!(action, Action::ScaleUp | Action::ScaleDown);
    if !scales && only_autoscaled_since(workload, known) {
        return None;
    }
    Some(format!(
        "somebody changed workload {} from generation {known} to {} meanwhile",
        workload.name(),
        workload.generation()
    ))
}

/// A proposal that something has overtaken is made again, and not for ever: then a human decides, if something is still
/// wrong right then. `None` where nothing is.
pub(super) fn start_over(
    incident: &ValidatedIncident,
    workload: &Workload,
    action: Action,
    council: Option<CouncilDecision>,
    reason: &str,
) -> Option<Next> {
    // What a ladder tries next was chosen in the policy: no analysis would choose another.
    if incident.status.tried.is_empty() && incident.status.started_over <= MOST_STARTED_OVER {
        return Some(started_over(incident, reason, incident.now).into());
    }
    if !measured::is_fresh(incident) {
        return Some(Next::Effect(Effect::Measure));
    }
    if incident.status.symptoms.is_empty() {
        return None;
    }
    let count = conclude::proposed_count(incident);
    Some(match remedy::prescribe(incident, workload, action, count) {
        Ok(plan) => {
            let message = format!("{reason}: {action} requires approval");
            conclude::ask(incident, plan, council, Reason::SpecChanged, message)
        }
        Err(error) => ladder::fail_with(incident, chain(&error), council),
    })
}

/// Back to evidence: analysis and votes were about something that is not of this moment any more.
pub(super) fn started_over(incident: &ValidatedIncident, reason: &str, now: Time) -> Transition {
    Transition::new(What::StartedOver, Phase::Received, now)
        .log(Stage::PolicyGate, format!("the plan is made again: {reason}"))
        .set(Field::StartedOver(incident.status.started_over.saturating_add(1)))
        .set(Field::Evidence(None))
        .set(Field::Symptoms(Vec::new()))
        .set(Field::Clears(None))
        .set(Field::MeasuredAt(None))
        .set(Field::Analysis(None))
        .set(Field::Votes(Vec::new()))
        .set(Field::Council(None))
        .set(Field::Plan(None))
        .set(Field::Execution(None))
        .set(Field::Verification(None))
        .set(Field::WaitingSince(None))
}
