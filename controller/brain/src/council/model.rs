//! The reviewers' seats by models: a prompt of its own for each, and its own models where the configuration says so.
//! Owns how a model's review and the rules' review become one. Does I/O through the models.
//!
//! The rules bind. Of the two reviews the stricter counts: a model can object to what the rules let pass, and cannot
//! let pass what they reject. On a model's proposal a rejection by either reviewer's rules holds for both: a text that
//! steered the proposer may steer one reviewer as well, and the two would be a quorum. Where the rules reject, no model
//! is asked, as nothing it says could change the vote. A model that fails, in whatever way, abstains: its seat says
//! NEEDS_REVIEW, and the rules do not vote in its place.

use aegis_api::proposal::{Asked, Proposal, Seat, Verdict, Vote};
use tokio::time::Instant;

use super::SeatReview;
use crate::answer::{self, schema};
use crate::budget::TokenBudget;
use crate::case::Case;
use crate::chain::{Chain, ModelRequest, millis};
use crate::redact::{bound, redact};

/// The longest reasoning of a vote, in characters.
const REASONING: usize = 4000;

/// What a seat decides about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion<'a> {
    pub(crate) seat: Seat,
    pub(crate) case: &'a Case,
    pub(crate) proposal: &'a Proposal,
    pub(crate) earlier: &'a [Vote],
}

/// What the rules say of a model's proposal, from this seat.
pub(crate) fn rules(least_confidence: f64, motion: Motion<'_>) -> SeatReview {
    let by = |seat| {
        super::review(
            least_confidence,
            seat,
            motion.case,
            motion.proposal,
            motion.earlier,
        )
    };
    let own = by(motion.seat);
    let other = match motion.seat {
        Seat::SreAgent => return own,
        Seat::SecurityOfficer => Seat::Auditor,
        Seat::Auditor => Seat::SecurityOfficer,
    };
    let others = by(other);
    if own.verdict == Verdict::Rejected || others.verdict != Verdict::Rejected {
        return own;
    }
    let reasoning = format!("The {}'s rules forbid it: {}", other.title(), others.reasoning);
    SeatReview::new(Verdict::Rejected, reasoning)
}

/// The seat's review, and what a model had to do with it.
pub(crate) async fn review(
    chain: &Chain<'_>,
    motion: Motion<'_>,
    token_budget: TokenBudget,
    by_rule: SeatReview,
) -> (SeatReview, Option<Asked>) {
    if by_rule.verdict == Verdict::Rejected || chain.candidates.is_empty() {
        return (by_rule, None);
    }
    let started = Instant::now();
    let Motion {
        seat,
        case,
        proposal,
        earlier,
    } = motion;
    let prompt = |chars| chain.prompts.review(seat, case, proposal, earlier, chars);
    let question = ModelRequest {
        schema: &schema::BALLOT,
        prompt: &prompt,
        accept: answer::ballot,
    };
    let outcome = chain.ask(&question, token_budget, &mut |_| {}).await;
    let mut asked = Asked {
        provider: None,
        model: None,
        tokens: outcome.usage.total(),
        latency_ms: millis(started.elapsed()),
        prompt_hash: None,
        attempts: outcome.attempts,
    };
    let Some(answer) = outcome.answer else {
        let reasons: Vec<String> = asked
            .attempts
            .iter()
            .map(|attempt| format!("{} {}", attempt.provider, attempt.reason))
            .collect();
        let reasoning = format!(
            "I abstain, as no model gave a usable answer: {}.",
            reasons.join("; ")
        );
        return (
            SeatReview::new(Verdict::NeedsReview, bound(&reasoning, REASONING)),
            Some(asked),
        );
    };
    asked.provider = Some(answer.provider);
    asked.model = Some(answer.model);
    asked.prompt_hash = Some(answer.prompt_hash);
    let by_model = SeatReview::new(
        answer.value.verdict,
        bound(&redact(&answer.value.reasoning), REASONING),
    );
    (stricter(by_model, &by_rule), Some(asked))
}

/// The stricter of the two; where the rules object to what the model approves, both are heard.
fn stricter(by_model: SeatReview, by_rule: &SeatReview) -> SeatReview {
    if strictness(by_rule.verdict) <= strictness(by_model.verdict) {
        return by_model;
    }
    let reasoning = format!(
        "{} The model would say {}: {}",
        by_rule.reasoning,
        by_model.verdict.as_str(),
        by_model.reasoning
    );
    SeatReview::new(by_rule.verdict, bound(&reasoning, REASONING))
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Approved => 0,
        Verdict::NeedsReview => 1,
        Verdict::Rejected => 2,
    }
}
