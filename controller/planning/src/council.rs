//! What the votes of a council amount to. Deterministic and pure; who votes, and why, is the brain's.

use aegis_api::proposal::{CouncilDecision, Seat, Verdict, Vote};

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
            "Requires approval by a human: no reviewer agrees, and no seat approves its own proposal alone."
                .to_owned()
        }
        Verdict::NeedsReview => {
            format!(
                "Requires approval by a human: {} of {size} seats agree and {quorum} had to.",
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

fn titles(seats: &[Seat]) -> String {
    seats
        .iter()
        .map(|seat| seat.title())
        .collect::<Vec<_>>()
        .join(", ")
}

/// How many there are; `u32::MAX` stands for more than that.
fn count<I: Iterator>(items: I) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
