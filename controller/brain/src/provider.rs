//! Models behind HTTP, as the brain sees them: a [`Prompt`](crate::prompt::Prompt) goes in, text streams out. Owns the
//! trait, what a call may cost in time, and why one fails. The files below it do the I/O; this one does none.

mod address;
mod anthropic;
pub(crate) mod breaker;
pub(crate) mod build;
pub(crate) mod config;
#[cfg(test)]
mod dialects;
mod frames;
mod http;
pub(crate) mod lines;
mod measure;
pub(crate) mod node;
pub(crate) mod ollama;
pub(crate) mod openai;
mod question;
mod reading;
mod refused;
pub(crate) mod retry;
mod said;
mod server;
pub(crate) mod sse;
mod stream;

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::answer::schema::Schema;
use crate::prompt::Prompt;

/// A model that can be asked. Dropping the future of [`complete`](Provider::complete) ends the call.
pub(crate) trait Provider: Send + Sync + std::fmt::Debug {
    /// The provider's configured name.
    fn name(&self) -> &str;
    /// The model that is asked where neither policy nor settings say otherwise.
    fn model(&self) -> &str;
    /// Most characters a prompt for this model may have.
    fn prompt_chars(&self) -> usize;
    /// Asks once. What the model says goes to `sink` as it arrives.
    fn complete<'a>(
        &'a self,
        request: Request<'a>,
        sink: Sink<'a>,
    ) -> BoxFuture<'a, Result<Completion, ProviderError>>;
}

/// Where a model's words go as they arrive.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(Delta<'_>) + Send);

/// A few words of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delta<'a> {
    /// What it thinks before it answers, where the provider marks that as such.
    Thought(&'a str),
    /// Its answer.
    Text(&'a str),
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The model to ask.
    pub(crate) model: &'a str,
    /// What is asked.
    pub(crate) prompt: &'a Prompt,
    /// The shape of the answer.
    pub(crate) schema: &'a Schema,
    /// Most tokens of the answer.
    pub(crate) max_tokens: u32,
    /// When it must be over, whatever the provider's own timeouts say.
    pub(crate) deadline: Instant,
    /// Why it is asked once more, if so.
    pub(crate) again: Again,
}

/// What became of the same question before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Again {
    /// It was not asked before.
    #[default]
    No,
    /// The answer was cut off at its allowance: there is more room now, and a model that can is asked not to think.
    CutOff,
    /// It ended without an answer: perhaps its server held the thoughts to the schema.
    Silent,
}

impl Again {
    /// What is different this time, for display.
    pub(crate) fn how(self) -> &'static str {
        match self {
            Self::No => "as before",
            Self::CutOff => "with more room and, where that can be said, without thinking",
            Self::Silent => "without a schema",
        }
    }
}

/// What an allowance of tokens went into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ate {
    /// The answer itself.
    Answer,
    /// Thinking, and nothing was left for an answer.
    Thinking,
    /// More thinking than answer.
    MostlyThinking,
}

impl std::fmt::Display for Ate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Answer => "",
            Self::Thinking => ", all of them spent on thinking",
            Self::MostlyThinking => ", most of them spent on thinking",
        })
    }
}

/// What a model said, and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The answer, whole.
    pub(crate) text: String,
    /// Tokens, as the provider counts them; estimated where it does not.
    pub(crate) usage: Usage,
    /// What was learned of the model on the way, in words for the incident.
    pub(crate) notes: Vec<String>,
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of the prompt.
    pub(crate) prompt: u64,
    /// Of the answer.
    pub(crate) completion: u64,
}

impl Usage {
    /// A guess for providers that do not count: four bytes a token is what English text comes to.
    pub(crate) fn estimate(prompt_bytes: usize, completion_bytes: usize) -> Self {
        let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
        Self {
            prompt: tokens(prompt_bytes),
            completion: tokens(completion_bytes),
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.prompt = self.prompt.saturating_add(more.prompt);
        self.completion = self.completion.saturating_add(more.completion);
    }
}

/// How long each stage of a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// From sending the prompt to the first word: a local model may have to be loaded first.
    pub first_token: Duration,
    /// From one word to the next.
    pub between_tokens: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_token: Duration::from_secs(30),
            between_tokens: Duration::from_secs(15),
            total: Duration::from_secs(60),
        }
    }
}

impl Timeouts {
    /// The default stages, none longer than `total`.
    pub fn within(total: Duration) -> Self {
        let default = Self::default();
        Self {
            connect: default.connect.min(total),
            first_token: default.first_token.max(total / 2).min(total),
            between_tokens: default.between_tokens.min(total),
            total,
        }
    }
}

/// A stage of a call, as a timeout names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    FirstToken,
    BetweenTokens,
    Total,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::FirstToken => "no first word",
            Self::BetweenTokens => "stopped in the middle of its answer, with no further word",
            Self::Total => "the answer was not complete",
        })
    }
}

/// Why a call gave no answer. The texts hold no secrets and no control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProviderError {
    /// No connection, or it broke before the answer began.
    #[error("cannot be reached: {0}")]
    Transport(String),
    /// A stage took too long.
    #[error("{stage} within {:.1} s", .after.as_secs_f64())]
    Timeout { stage: Stage, after: Duration },
    /// It answered with an error.
    #[error("answered HTTP {code}: {message}")]
    Status {
        code: u16,
        retry_after: Option<Duration>,
        message: String,
    },
    /// The answer broke off, or an error came in the middle of it.
    #[error("the answer broke off: {0}")]
    Stream(String),
    /// It will not answer.
    #[error("refused to answer: {0}")]
    Refused(String),
    /// The answer was longer than the model was allowed to say.
    #[error("the answer was cut off at {max_tokens} tokens{ate}")]
    CutOff { max_tokens: u32, ate: Ate },
    /// It ended in good order, and what it said is no answer.
    #[error("gave no answer: {0}")]
    Silent(String),
    /// Something else answered in its place.
    #[error("{0}")]
    NoModel(String),
    /// It said, thoughts included, several times what it was allowed to, and was hung up on.
    #[error(
        "the answer was cut off: more than {bytes} bytes, several times the {max_tokens} tokens that were allowed; the model or \
         its server ignores max_tokens"
    )]
    RunsOn { bytes: usize, max_tokens: u32 },
    /// It sent more than anybody reads.
    #[error("sent more than {0} bytes")]
    TooLong(usize),
    /// What it sent is not what its protocol says.
    #[error("sent garbage: {0}")]
    Garbage(String),
}

impl ProviderError {
    /// Whether the same question to the same provider may fare better in a moment.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Stream(_) => true,
            Self::Status { code, .. } => {
                matches!(code, 408 | 409 | 425 | 429 | 500 | 502..=504 | 520..=527 | 529)
            }
            // A timeout has used up its time already.
            Self::Timeout { .. }
            | Self::Refused(_)
            | Self::CutOff { .. }
            | Self::Silent(_)
            | Self::NoModel(_)
            | Self::RunsOn { .. }
            | Self::TooLong(_)
            | Self::Garbage(_) => false,
        }
    }

    /// Whether it says that the provider is in trouble, and not just this question.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Transport(_)
            | Self::Stream(_)
            | Self::Timeout { .. }
            | Self::Garbage(_)
            | Self::NoModel(_) => true,
            Self::Status { code, .. } => !matches!(code, 400 | 413 | 422),
            Self::Refused(_)
            | Self::CutOff { .. }
            | Self::Silent(_)
            | Self::RunsOn { .. }
            | Self::TooLong(_) => false,
        }
    }

    /// Whether the prompt was read, and will be on the bill, although not a word of the answer came.
    pub(crate) fn has_cost(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::CutOff { .. }
            | Self::Silent(_)
            | Self::RunsOn { .. }
            | Self::TooLong(_)
            | Self::Garbage(_) => true,
            Self::Timeout { stage, .. } => *stage != Stage::Connect,
            Self::Transport(_) | Self::Status { .. } | Self::Stream(_) | Self::NoModel(_) => false,
        }
    }

    /// Whether the same question may fare better if it is put otherwise, and how.
    pub(crate) fn again(&self) -> Option<Again> {
        match self {
            Self::CutOff { .. } => Some(Again::CutOff),
            Self::Silent(_) => Some(Again::Silent),
            _ => None,
        }
    }

    /// How long the provider asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
