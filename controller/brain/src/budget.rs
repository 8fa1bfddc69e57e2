//! What one incident may cost: tokens and wall time, over its analysis and every vote. Owns the sums. Pure.
//!
//! What was spent is read from what is recorded on the incident, so that a restart neither forgets nor doubles it.

use std::time::Duration;

use aegis_api::proposal::{Analysis, Vote};
use tokio::time::Instant;

/// The bounds of one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, of prompts and of answers.
    pub tokens: u64,
    /// Time spent waiting for models.
    pub wall: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            tokens: 60_000,
            wall: Duration::from_secs(180),
        }
    }
}

impl Budget {
    /// What is left of it now.
    pub(crate) fn left(self, analysis: Option<&Analysis>, votes: &[Vote]) -> TokenBudget {
        let asked = votes.iter().filter_map(|vote| vote.asked.as_ref());
        let spent = analysis
            .map(|analysis| (analysis.tokens, analysis.latency_ms))
            .into_iter()
            .chain(asked.map(|asked| (asked.tokens, asked.latency_ms)))
            .fold((0_u64, 0_u64), |sum, (tokens, millis)| {
                (sum.0.saturating_add(tokens), sum.1.saturating_add(millis))
            });
        TokenBudget {
            tokens: self.tokens.saturating_sub(spent.0),
            deadline: Instant::now() + self.wall.saturating_sub(Duration::from_millis(spent.1)),
        }
    }
}

/// What is left while models are being asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenBudget {
    tokens: u64,
    /// When the time is used up.
    pub(crate) deadline: Instant,
}

/// Nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Spent {
    #[error("the incident's budget of tokens is used up")]
    Tokens,
    #[error("the incident's budget of time is used up")]
    Time,
}

/// An answer of fewer tokens is not worth requesting.
const LEAST_ANSWER: u64 = 200;

impl TokenBudget {
    /// The most tokens that an answer to a prompt of this size may have, `wanted` at most.
    pub(crate) fn allow(&self, prompt_tokens: u64, wanted: u32) -> Result<u32, Spent> {
        if self.deadline <= Instant::now() {
            return Err(Spent::Time);
        }
        let left = self.tokens.saturating_sub(prompt_tokens);
        if left < LEAST_ANSWER {
            return Err(Spent::Tokens);
        }
        Ok(u32::try_from(left).unwrap_or(u32::MAX).min(wanted))
    }

    /// Whether a pause still fits.
    pub(crate) fn has_time_for(&self, pause: Duration) -> bool {
        Instant::now() + pause < self.deadline
    }

    pub(crate) fn spend(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_sub(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gets_what_is_left_and_no_less_than_makes_sense() {
        let budget = Budget {
            tokens: 2000,
            wall: Duration::from_secs(10),
        };
        let mut token_budget = budget.left(None, &[]);
        assert_eq!(token_budget.allow(500, 1000), Ok(1000));
        token_budget.spend(1000);
        assert_eq!(token_budget.allow(500, 1000), Ok(500));
        assert_eq!(token_budget.allow(801, 1000), Err(Spent::Tokens));
        token_budget.spend(u64::MAX);
        assert_eq!(token_budget.allow(0, 1000), Err(Spent::Tokens));
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_out_as_well() {
        let budget = Budget {
            tokens: 2000,
            wall: Duration::from_secs(10),
        };
        let token_budget = budget.left(None, &[]);
        assert!(
            token_budget.has_time_for(Duration::from_secs(9))
                && !token_budget.has_time_for(Duration::from_secs(11))
        );
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(token_budget.allow(1, 1000), Err(Spent::Time));
    }
}
