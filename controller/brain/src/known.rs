//! Known incidents: a runbook entry that has earned it decides, and no model is asked. Owns what that takes; the terms
//! are the policy's. What comes of it is a proposal like any other, before council and policy. Pure.
//!
//! Which entries are recalled depends on the sender's words. So the evidence alone must lead to the same action, and
//! every seat's rules must agree: a text that resembles an entry can save a question to a model, and steers nothing.

use aegis_api::proposal::{Action, Proposal, Seat, Verdict};

use crate::builtin::{Analyst, Finding, words};
use crate::case::{Case, Recalled};
use crate::council;
use crate::redact::bound;

const SEATS: [Seat; 3] = [Seat::SreAgent, Seat::SecurityOfficer, Seat::Auditor];
/// The longest account, in characters; the shape of `Analysis` promises it.
const REASONING: usize = 16_000;

/// What the runbook decides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// The entry's name.
    pub(crate) entry: String,
    pub(crate) proposal: Proposal,
    pub(crate) reasoning: String,
}

impl Known {
    /// The reasoning in pieces of a few words.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &str> {
        words::chunks(&self.reasoning)
    }
}

/// The proposal of the entry that decides; `None` where none may, and a model must be asked.
pub(crate) fn decide(analyst: &Analyst, case: &Case, least_confidence: f64) -> Option<Known> {
    let mut alike = case
        .recalled
        .iter()
        .filter(|recalled| recalled.score >= case.terms.similarity);
    let first = alike.next()?;
    let action = first.entry.action;
    // Where what is as similar calls for something else, it is not known which of them this is.
    if action == Action::Noop || alike.clone().any(|other| other.entry.action != action) {
        return None;
    }
    let recalled = std::iter::once(first)
        .chain(alike)
        .find(|recalled| is_proved(recalled, case.terms.trust))?;
    let finding = analyst.analyse(case);
    if finding.proposal.action != action {
        return None;
    }
    let known = vouch(recalled, finding);
    let agreed = SEATS.into_iter().all(|seat| {
        let review = council::review(least_confidence, seat, case, &known.proposal, &[]);
        review.verdict == Verdict::Approved
    });
    agreed.then_some(known)
}

/// Whether an entry's fix has helped often enough, and every time lately: no failure and no relapse since it last did.
/// Only what is settled counts.
fn is_proved(recalled: &Recalled, least_trust: f64) -> bool {
    let outcomes = &recalled.entry.outcomes;
    let trust = recalled.trust.min(outcomes.trust());
    let holds = outcomes.successes > 0 && outcomes.failures_since_success == 0;
    trust >= least_trust && holds && recalled.entry.is_recommended()
}

/// What the evidence calls for, in the entry's name.
fn vouch(recalled: &Recalled, finding: Finding) -> Known {
    let outcomes = &recalled.entry.outcomes;
    let mut against = Vec::new();
    if outcomes.failures > 0 {
        against.push(format!("failed {} times", outcomes.failures));
    }
    if outcomes.relapses > 0 {
        against.push(format!(
            "came back {} times within the relapse window",
            outcomes.relapses
        ));
    }
    let failed = match against.as_slice() {
        [] => "never failed".to_owned(),
        against => format!("{}, not since it last helped", against.join(" and ")),
    };
    let record = format!(
        "Runbook entry {} is {:.0} % similar and {:.0} % trusted: {} helped {} times and {failed}.",
        recalled.name,
        (recalled.score * 100.0).clamp(0.0, 100.0),
        (recalled.trust * 100.0).clamp(0.0, 100.0),
        recalled.entry.action,
        outcomes.successes,
    );
    let reasoning = format!(
        "This is known, so no model is asked. {record} The evidence calls for the same by itself:\n{}",
        finding.reasoning
    );
    let justification = format!("{record} {}", finding.proposal.justification);
    Known {
        entry: recalled.name.clone(),
        proposal: Proposal {
            justification: bound(&justification, 4000),
            ..finding.proposal
        },
        reasoning: bound(&reasoning, REASONING),
    }
}
