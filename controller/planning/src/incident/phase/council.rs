//! COUNCIL_REVIEW: the seats vote, then policy rules; after an action that did not help, on the next rung of the ladder.

use aegis_api::incident::Stage;
use aegis_api::proposal::Vote;
use aegis_api::{Phase, Time, Workload};

use super::super::conclude::{self, Proposed, conclude};
use super::super::ladder;
use super::super::next::{Effect, Next};
use super::super::transition::{Field, Transition, What};
use super::super::validate::ValidatedIncident;
use crate::council;

pub(super) fn next(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let status = &incident.status;
    if let Some(next) = conclude::ordered(incident, workload) {
        return next;
    }
    if !status.tried.is_empty() {
        return next_rung(incident, workload);
    }
    let Some(analysis) = &status.analysis else {
        return Next::Effect(Effect::Analyse);
    };
    let council = &incident.policy.council;
    let mut seats = council.seats.iter();
    let votes = seats.find(|seat| !status.votes.iter().any(|vote| vote.role == **seat));
    if let Some(seat) = votes {
        return Next::Effect(Effect::Vote(*seat));
    }
    let decision = council::decide(status.votes.clone(), &council.seats, council.quorum);
    let proposed = Proposed {
        action: analysis.proposal.action,
        count: analysis.proposal.replica_count,
        council: Some(decision),
        by_human: None,
    };
    conclude(incident, workload, proposed)
}

/// A rung of the ladder is a human's choice made in advance, in the policy, and the council has spoken already: where it
/// had not agreed, a human who approved the first plan has not approved this one, too.
fn next_rung(incident: &ValidatedIncident, workload: &Workload) -> Next {
    let status = &incident.status;
    match (ladder::next_rung(incident, None), status.tried.last()) {
        (Some(action), _) => {
            let proposed = Proposed {
                action,
                count: 1,
                council: status.council.clone(),
                by_human: None,
            };
            conclude(incident, workload, proposed)
        }
        (None, last) => ladder::fail(incident, last.map(|last| last.error.clone()).unwrap_or_default()),
    }
}

/// One more has voted.
pub fn after_vote(incident: &ValidatedIncident, vote: Vote, now: Time) -> Transition {
    let text = format!(
        "{}: {} — {}",
        vote.role.as_str(),
        vote.verdict.as_str(),
        vote.reasoning
    );
    let seat = vote.role;
    let votes = [&incident.status.votes[..], &[vote]].concat();
    Transition::new(What::Voted, Phase::CouncilReview, now)
        .log_of(seat, Stage::CouncilVote, text)
        .set(Field::Votes(votes))
}
