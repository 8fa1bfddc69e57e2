//! ANALYSING: the brain is asked what is wrong and what to do, unless a human has chosen what to do.

use aegis_api::incident::Stage;
use aegis_api::proposal::Analysis;
use aegis_api::{Phase, Time, Workload};

use super::super::conclude;
use super::super::ladder;
use super::super::next::{Effect, Next};
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    conclude::ordered(incident, workload).unwrap_or(Next::Effect(Effect::Analyse))
}

/// The council sits on what the brain proposes.
pub fn after_analysis(analysis: Box<Analysis>, now: Time) -> Transition {
    let mut transition = Transition::new(What::Analysed, Phase::CouncilReview, now);
    for attempt in &analysis.attempts {
        let text = format!(
            "no usable answer of {} ({}): {}",
            attempt.provider, attempt.model, attempt.reason
        );
        transition = transition.log(Stage::Analysing, text);
    }
    let proposal = &analysis.proposal;
    let text = format!(
        "{} proposes {} ({:.0} % confidence): {}",
        analysis.provider,
        proposal.action,
        proposal.confidence * 100.0,
        proposal.root_cause
    );
    transition
        .log(Stage::AiComplete, text)
        .log(Stage::CouncilReview, "the council sits")
        .set(Field::Analysis(Some(analysis)))
}

/// No analyst could say what is wrong, for this reason.
pub fn analysis_failed(incident: &ValidatedIncident, why: &str, now: Time) -> Transition {
    let error = format!("the analysis failed: {why}");
    ladder::failed(incident, &error, None, now)
}
