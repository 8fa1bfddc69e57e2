//! How much a model may say before it is hung up on, thoughts included. Owns the measure; pure.
//!
//! The request says how many tokens are allowed, and a server that heeds it ends the answer by itself. This is for those
//! that do not: it is checked while the answer comes, so that nothing is kept, shown or paid for without end.

use super::ProviderError;
use crate::answer::LONGEST_ANSWER;

/// Bytes that an allowed token may come to: English has four, other scripts up to eight.
const TOKEN: usize = 8;
/// How many times what was allowed is let pass: thoughts do not count everywhere.
const TIMES: usize = 4;
/// Less is never worth hanging up for.
const LEAST: usize = 16 * 1024;

/// What one answer has come to.
#[derive(Debug)]
pub(super) struct Measure {
    max_tokens: u32,
    most: usize,
    said: usize,
}

impl Measure {
    /// Of an answer of at most so many tokens.
    pub(super) fn of(max_tokens: u32) -> Self {
        let allowed = usize::try_from(max_tokens).unwrap_or(usize::MAX);
        let several = allowed.saturating_mul(TOKEN).saturating_mul(TIMES);
        Self {
            max_tokens,
            most: several.clamp(LEAST, LONGEST_ANSWER.saturating_mul(TIMES)),
            said: 0,
        }
    }

    /// So many more bytes are about to be taken in.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), ProviderError> {
        self.said = self.said.saturating_add(bytes);
        if self.said > self.most {
            return Err(self.runs_on(self.most));
        }
        Ok(())
    }

    /// The body of a server that does not stream would come to so many bytes. Escaped, a text is up to six times as long.
    pub(super) fn whole(&self, bytes: usize) -> Result<(), ProviderError> {
        let most = self.most.saturating_mul(6);
        if bytes > most {
            return Err(self.runs_on(most));
        }
        Ok(())
    }

    fn runs_on(&self, bytes: usize) -> ProviderError {
        ProviderError::RunsOn {
            bytes,
            max_tokens: self.max_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_times_what_was_allowed_is_let_pass_within_what_makes_sense() {
        for (max_tokens, most) in [
            (0, 16 * 1024),
            (200, 16 * 1024),
            (1500, 48_000),
            (4000, 128_000),
            (1_000_000, 256 * 1024),
            (u32::MAX, 256 * 1024),
        ] {
            let mut measure = Measure::of(max_tokens);
            assert_eq!(measure.add(most), Ok(()), "{max_tokens}");
            let error = measure.add(1).unwrap_err();
            assert_eq!(
                error,
                ProviderError::RunsOn {
                    bytes: most,
                    max_tokens
                }
            );
            assert!(!error.is_retryable() && !error.is_outage() && error.has_cost());
            assert!(Measure::of(max_tokens).whole(6 * most).is_ok());
            assert!(Measure::of(max_tokens).whole(6 * most + 1).is_err());
        }
    }
}
