//! The council: three seats review a proposal. Each seat's objections are in a file of its own; what the votes amount
//! to is planned. Deterministic and pure.

mod auditor;
pub(crate) mod model;
mod security;
mod sre;

use aegis_api::proposal::{Action, Proposal, Seat, Verdict, Vote};

use crate::case::Case;
use crate::facts::Facts;

/// What a seat thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeatReview {
    pub(crate) verdict: Verdict,
    pub(crate) reasoning: String,
}

impl SeatReview {
    fn new(verdict: Verdict, reasoning: impl Into<String>) -> Self {
        Self {
            verdict,
            reasoning: reasoning.into(),
        }
    }

    /// The gravest of `objections` decides and all are named; without one, `otherwise` is why the seat approves.
    fn from_objections(objections: Vec<SeatReview>, otherwise: impl Into<String>) -> Self {
        let rejected = objections
            .iter()
            .any(|objection| objection.verdict == Verdict::Rejected);
        let reasons: Vec<String> = objections
            .into_iter()
            .map(|objection| objection.reasoning)
            .collect();
        match (reasons.is_empty(), rejected) {
            (true, _) => Self::new(Verdict::Approved, otherwise),
            (false, true) => Self::new(Verdict::Rejected, reasons.join(" ")),
            (false, false) => Self::new(Verdict::NeedsReview, reasons.join(" ")),
        }
    }
}

/// One seat's review; `least_confidence` is where a proposer counts as sure of itself.
pub(crate) fn review(
    least_confidence: f64,
    seat: Seat,
    case: &Case,
    proposal: &Proposal,
    earlier: &[Vote],
) -> SeatReview {
    let facts = Facts::of(case);
    let mut review = match seat {
        Seat::SreAgent => sre::review(facts, proposal, least_confidence),
        Seat::SecurityOfficer => security::review(facts, proposal),
        Seat::Auditor => auditor::review(facts, proposal, least_confidence),
    };
    let against = earlier
        .iter()
        .find(|vote| vote.verdict == Verdict::Rejected && vote.role != seat);
    if let (Verdict::Approved, Some(vote)) = (review.verdict, against) {
        review.reasoning.push_str(&format!(
            " The {}'s objection is not mine to judge.",
            vote.role.title()
        ));
    }
    review
}

/// Whether an action changes how many replicas there are.
fn scales(action: Action) -> bool {
    matches!(action, Action::ScaleUp | Action::ScaleDown)
}

#[cfg(test)]
mod tests;
