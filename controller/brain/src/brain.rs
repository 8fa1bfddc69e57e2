//! The brain as the incident reconciler sees it: one analysis, one vote a seat. Owns who is asked; the built-in analyst
//! and the deterministic reviewers answer. No I/O; what time it is the case says.

use aegis_api::proposal::{Analysis, Seat, Vote};
use aegis_api::{Duration, Time};
use tokio::time::Instant;

use crate::builtin::Analyst;
use crate::builtin::rules::TableError;
use crate::case::Case;
use crate::council;

/// How the brain is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct BrainConfig {
    /// The confidence (0 to 1) from which the SRE seat stands behind its own proposal.
    pub least_confidence: f64,
}

impl Default for BrainConfig {
    fn default() -> Self {
        Self {
            least_confidence: 0.6,
        }
    }
}

/// Why there is no brain, or no analysis.
#[derive(Debug, thiserror::Error)]
pub enum BrainError {
    /// The embedded table of rules is broken.
    #[error("cannot read the analyst's rules")]
    Rules(#[source] TableError),
    /// The configuration is.
    #[error("least_confidence is {0}: use a number from 0 to 1")]
    LeastConfidence(f64),
}

/// Analyst and council.
#[derive(Debug)]
pub struct Brain {
    analyst: Analyst,
    config: BrainConfig,
}

impl Brain {
    /// Sets up the analyst and the reviewers.
    pub fn new(config: BrainConfig) -> Result<Self, BrainError> {
        if !(0.0..=1.0).contains(&config.least_confidence) {
            return Err(BrainError::LeastConfidence(config.least_confidence));
        }
        let analyst = Analyst::new().map_err(BrainError::Rules)?;
        Ok(Self { analyst, config })
    }

    /// Says what is wrong and proposes what to do. The reasoning goes to `on_chunk` piece by piece as it is made; all
    /// pieces together are the analysis' `reasoning`.
    pub async fn analyse(
        &self,
        case: &Case,
        on_chunk: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Analysis, BrainError> {
        let started = Instant::now();
        let finding = self.analyst.analyse(case);
        for chunk in finding.chunks() {
            on_chunk(chunk);
        }
        Ok(Analysis {
            proposal: finding.proposal,
            reasoning: finding.reasoning,
            provider: "builtin".to_owned(),
            model: finding.rule,
            tokens: 0,
            latency_ms: latency(started),
            at: answered(case, started),
        })
    }

    /// One seat's vote on `analysis`, made with `earlier` votes in view. A seat that cannot judge abstains, which is
    /// NEEDS_REVIEW.
    pub async fn review(&self, seat: Seat, case: &Case, analysis: &Analysis, earlier: &[Vote]) -> Vote {
        let started = Instant::now();
        let opinion = council::review(
            self.config.least_confidence,
            seat,
            case,
            &analysis.proposal,
            earlier,
        );
        Vote {
            role: seat,
            verdict: opinion.verdict,
            reasoning: opinion.reasoning,
            timestamp: answered(case, started),
        }
    }
}

fn latency(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// When the answer to a question that was asked at `started` came, by the clock of whoever asked.
fn answered(case: &Case, started: Instant) -> Time {
    case.now.plus(Duration::from_millis(latency(started)))
}
