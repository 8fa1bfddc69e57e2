//! The SRE Agent's seat: the proposer stands behind its proposal, or does not. It says how sure it is and which symptom it
//! wants cleared; why, its proposal says. Pure.

use aegis_api::proposal::{Action, Proposal, Verdict};

use super::{SeatReview, scales};
use crate::facts::Facts;

/// `least_confidence` is where a proposer counts as sure of itself.
pub(super) fn review(facts: Facts<'_>, proposal: &Proposal, least_confidence: f64) -> SeatReview {
    let confidence = proposal.confidence;
    if !(0.0..=1.0).contains(&confidence) {
        let reason = format!("This is no proposal of mine: a confidence of {confidence} means nothing.");
        return SeatReview::new(Verdict::Rejected, reason);
    }
    if scales(proposal.action) != (proposal.replica_count > 0) {
        let reason = format!(
            "This is no proposal of mine: {} by {} means nothing.",
            proposal.action, proposal.replica_count
        );
        return SeatReview::new(Verdict::Rejected, reason);
    }
    let percent = confidence * 100.0;
    let wanted = wanted(facts, proposal.action);
    if confidence < least_confidence {
        let least = least_confidence * 100.0;
        let reason =
            format!("I am {percent:.0} % sure that {wanted}: below {least:.0} % a human should look.");
        return SeatReview::new(Verdict::NeedsReview, reason);
    }
    SeatReview::new(
        Verdict::Approved,
        format!("I am {percent:.0} % sure that {wanted}."),
    )
}

/// What the action is to bring about.
fn wanted(facts: Facts<'_>, action: Action) -> String {
    if action == Action::Noop {
        return match facts.symptoms().first() {
            Some(symptom) => format!("no action here clears {:?}", symptom.kind),
            None => "there is nothing to clear".to_owned(),
        };
    }
    match facts.cleared_by(action) {
        Some(symptom) => match symptom.container {
            Some(container) => format!("{action} clears {:?} of {container}", symptom.kind),
            None => format!("{action} clears {:?}", symptom.kind),
        },
        None => format!("{action} is right, though no symptom that it clears is measured"),
    }
}
