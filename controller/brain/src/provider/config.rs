//! How a provider is set up. Owns the shape and what is wrong with one; the key in it is never shown. Pure.

use secrecy::SecretString;

use super::Timeouts;

/// One provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// What it is called on incidents and in routes, such as `fastrouter`.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where it is, such as `https://go.fastrouter.ai/api/v1` or `http://127.0.0.1:11434`.
    pub base_url: String,
    /// The model to ask.
    pub model: String,
    /// Sent in the header that the server wants it in, where there is one.
    pub key: Option<SecretString>,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Most characters of a prompt: three to four make a token.
    pub prompt_chars: usize,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Calls that may run side by side.
    pub at_once: usize,
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI's chat completions, which most servers offer.
    OpenAi,
    /// Ollama's own chat API.
    Ollama,
    /// Anthropic's messages API.
    Anthropic,
}

/// Why a provider cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Its address is none.
    #[error("base URL of provider {provider}: {why}")]
    Url {
        /// The provider.
        provider: String,
        /// What is wrong.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("HTTP client of provider {provider}")]
    Client {
        /// The provider.
        provider: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Two have one name, or one has none, or that of the built-in analyst or the runbook.
    #[error(
        "provider name {0:?}: give each provider a name of its own, and none of them `builtin` or `runbook`"
    )]
    Name(String),
    /// No model is named.
    #[error("provider {0} names no model")]
    Model(String),
}

impl ProviderConfig {
    /// A provider with the defaults for its kind.
    pub fn new(
        name: impl Into<String>,
        kind: ProviderKind,
        base_url: impl Into<String>,
        model: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            base_url: base_url.into(),
            model: model.into(),
            key: None,
            timeouts: Timeouts::default(),
            prompt_chars: match kind {
                ProviderKind::OpenAi | ProviderKind::Anthropic => 24_000,
                // Small models on the user's own machine: every token of the prompt costs time there.
                ProviderKind::Ollama => 12_000,
            },
            max_tokens: 1500,
            at_once: match kind {
                ProviderKind::OpenAi | ProviderKind::Anthropic => 8,
                // It answers one after the other, and its clients would only wait for their first word.
                ProviderKind::Ollama => 1,
            },
        }
    }
}
