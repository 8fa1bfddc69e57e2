//! The SRE Agent's seat: the proposer stands behind its proposal, or does not. Pure.

use aegis_api::proposal::{Proposal, Verdict};

use super::{SeatReview, scales};

pub(super) fn review(least_confidence: f64, proposal: &Proposal) -> SeatReview {
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
    if confidence < least_confidence {
        let least = least_confidence * 100.0;
        let reason = format!(
            "I am {percent:.0} % sure of {}: below {least:.0} % a human should look.",
            proposal.action
        );
        return SeatReview::new(Verdict::NeedsReview, reason);
    }
    SeatReview::new(
        Verdict::Approved,
        format!(
            "I am {percent:.0} % sure that {} is right: {}",
            proposal.action, proposal.root_cause
        ),
    )
}
