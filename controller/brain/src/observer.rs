//! Who wants to know what was asked and what it took, such as metrics. Owns the shape of that account. Pure.

use aegis_api::policy::RUNBOOK;
use aegis_api::proposal::{Analysis, FailedAttempt, Seat, Vote};

use crate::case::Recalled;

/// Is notified of every analysis and of every vote on which a model was asked.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// An answer is there, or every model has failed.
    fn answered(&self, answered: &Answered<'_>);
}

/// What one question came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answered<'a> {
    /// What was asked: `analysis`, `security_officer` or `auditor`.
    pub purpose: &'static str,
    /// Provider and model, or analyst and rule, of the answer; absent where none was given. Which entry of the runbook
    /// decided is left out: there may be very many.
    pub by: Option<(&'a str, &'a str)>,
    /// Tokens of that answer, in and out.
    pub tokens: u64,
    /// How long it all took, failures included.
    pub latency_ms: u64,
    /// Who failed before.
    pub attempts: &'a [FailedAttempt],
    /// SHA-256 of the prompt that was answered, where a model did.
    pub prompt_hash: Option<&'a str>,
    /// The runbook's entries that an analysis was given.
    pub recalled: &'a [Recalled],
}

impl<'a> Answered<'a> {
    pub(crate) fn analysis(analysis: &'a Analysis, recalled: &'a [Recalled]) -> Self {
        Self {
            purpose: "analysis",
            by: Some(match analysis.provider.as_str() {
                RUNBOOK => (RUNBOOK, "entry"),
                provider => (provider, &analysis.model),
            }),
            tokens: own(analysis.tokens, &analysis.attempts),
            latency_ms: analysis.latency_ms,
            attempts: &analysis.attempts,
            prompt_hash: analysis.prompt_hash.as_deref(),
            recalled,
        }
    }

    /// Of a vote, if a model was asked.
    pub(crate) fn vote(vote: &'a Vote) -> Option<Self> {
        let asked = vote.asked.as_ref()?;
        Some(Self {
            purpose: match vote.role {
                Seat::SreAgent => "sre_agent",
                Seat::SecurityOfficer => "security_officer",
                Seat::Auditor => "auditor",
            },
            by: asked.provider.as_deref().zip(asked.model.as_deref()),
            tokens: own(asked.tokens, &asked.attempts),
            latency_ms: asked.latency_ms,
            attempts: &asked.attempts,
            prompt_hash: asked.prompt_hash.as_deref(),
            recalled: &[],
        })
    }
}

/// What is left of the tokens for the answer itself.
fn own(tokens: u64, attempts: &[FailedAttempt]) -> u64 {
    let failed = attempts
        .iter()
        .fold(0_u64, |sum, attempt| sum.saturating_add(attempt.tokens));
    tokens.saturating_sub(failed)
}
