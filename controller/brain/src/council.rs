//! The council: three seats look at a proposal, and [`decide`] counts. Owns the counting and who reviews; each seat's
//! objections are in a file of its own. Deterministic and pure.

mod auditor;
pub(crate) mod model;
mod security;
mod sre;

use aegis_api::proposal::{Action, CouncilDecision, Proposal, Seat, Verdict, Vote};

use crate::case::Case;
use crate::facts::{Facts, count};

/// What a seat thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opinion {
    pub(crate) verdict: Verdict,
    pub(crate) reasoning: String,
}

impl Opinion {
    fn new(verdict: Verdict, reasoning: impl Into<String>) -> Self {
        Self {
            verdict,
            reasoning: reasoning.into(),
        }
    }

    /// The gravest of `objections` decides and all are named; without one, `otherwise` is why the seat approves.
    fn from_objections(objections: Vec<Opinion>, otherwise: impl Into<String>) -> Self {
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

/// One seat's opinion; `least_confidence` is where a proposer counts as sure of itself.
pub(crate) fn review(
    least_confidence: f64,
    seat: Seat,
    case: &Case,
    proposal: &Proposal,
    earlier: &[Vote],
) -> Opinion {
    let facts = Facts::of(case);
    let mut opinion = match seat {
        Seat::SreAgent => sre::review(least_confidence, proposal),
        Seat::SecurityOfficer => security::review(facts, proposal),
        Seat::Auditor => auditor::review(facts, proposal, least_confidence),
    };
    let against = earlier
        .iter()
        .find(|vote| vote.verdict == Verdict::Rejected && vote.role != seat);
    if let (Verdict::Approved, Some(vote)) = (opinion.verdict, against) {
        opinion.reasoning.push_str(&format!(
            " The {}'s objection is not mine to judge.",
            title(vote.role)
        ));
    }
    opinion
}

/// What the votes amount to. Only the first vote of each of `seats` counts; a seat without one abstains.
///
/// APPROVED: `quorum` approvals, one of them from a reviewer. REJECTED: two rejections, or rejections that make an
/// approval impossible. Otherwise NEEDS_REVIEW.
pub fn decide(votes: Vec<Vote>, seats: &[Seat], quorum: u32) -> CouncilDecision {
    let mut counted: Vec<Seat> = Vec::new();
    let mut tally = Tally::default();
    for vote in &votes {
        if seats.contains(&vote.role) && !counted.contains(&vote.role) {
            counted.push(vote.role);
            tally.add(vote);
        }
    }
    let mut sitting: Vec<Seat> = seats.to_vec();
    sitting.sort();
    sitting.dedup();
    let quorum = quorum.max(1);
    let final_verdict = tally.verdict(&sitting, quorum);
    let size = count(sitting.iter());
    let consensus = format!("{}/{size} approved", tally.approvals);
    let summary = summary(final_verdict, &tally, &sitting, quorum);
    CouncilDecision {
        votes,
        final_verdict,
        consensus,
        summary,
    }
}

#[derive(Default)]
struct Tally {
    approvals: u32,
    reviewer_approvals: u32,
    rejected_by: Vec<Seat>,
    unsure: Vec<Seat>,
}

impl Tally {
    fn add(&mut self, vote: &Vote) {
        match vote.verdict {
            Verdict::Approved => {
                self.approvals += 1;
                self.reviewer_approvals += u32::from(is_reviewer(vote.role));
            }
            Verdict::Rejected => self.rejected_by.push(vote.role),
            Verdict::NeedsReview => self.unsure.push(vote.role),
        }
    }

    fn verdict(&self, sitting: &[Seat], quorum: u32) -> Verdict {
        if self.approvals >= quorum && self.reviewer_approvals > 0 {
            return Verdict::Approved;
        }
        let open = || sitting.iter().filter(|seat| !self.rejected_by.contains(seat));
        let impossible = count(open()) < quorum || !open().any(|seat| is_reviewer(*seat));
        let rejections = self.rejected_by.len();
        if rejections >= 2 || (rejections == 1 && impossible) {
            Verdict::Rejected
        } else {
            Verdict::NeedsReview
        }
    }
}

fn summary(verdict: Verdict, tally: &Tally, sitting: &[Seat], quorum: u32) -> String {
    let size = count(sitting.iter());
    let outcome = match verdict {
        Verdict::Approved => format!(
            "Approved: {} of {size} seats agree and {quorum} had to.",
            tally.approvals
        ),
        Verdict::Rejected => format!(
            "Rejected: {} of {size} seats agree and {quorum} had to.",
            tally.approvals
        ),
        Verdict::NeedsReview if tally.approvals >= quorum => {
            "A human must look: no reviewer agrees, and nobody approves their own proposal alone.".to_owned()
        }
        Verdict::NeedsReview => {
            format!(
                "A human must look: {} of {size} seats agree and {quorum} had to.",
                tally.approvals
            )
        }
    };
    let mut sentences = vec![outcome];
    if !tally.rejected_by.is_empty() {
        sentences.push(format!("Against: {}.", titles(&tally.rejected_by)));
    }
    if !tally.unsure.is_empty() {
        sentences.push(format!("Unsure: {}.", titles(&tally.unsure)));
    }
    sentences.join(" ")
}

fn is_reviewer(seat: Seat) -> bool {
    match seat {
        Seat::SreAgent => false,
        Seat::SecurityOfficer | Seat::Auditor => true,
    }
}

fn title(seat: Seat) -> &'static str {
    match seat {
        Seat::SreAgent => "SRE Agent",
        Seat::SecurityOfficer => "Security Officer",
        Seat::Auditor => "Auditor",
    }
}

fn titles(seats: &[Seat]) -> String {
    seats
        .iter()
        .map(|seat| title(*seat))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Whether an action changes how many replicas there are.
fn scales(action: Action) -> bool {
    matches!(action, Action::ScaleUp | Action::ScaleDown)
}

#[cfg(test)]
mod tests;
