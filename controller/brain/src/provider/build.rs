//! From a provider's configuration to the provider. Opens no connection yet.

use super::Provider;
use super::anthropic::Anthropic;
use super::config::{ConfigError, ProviderConfig, ProviderKind};
use super::ollama::Ollama;
use super::openai::OpenAi;
use super::server::Server;

/// The provider of this configuration.
pub(crate) fn build(config: &ProviderConfig) -> Result<Box<dyn Provider>, ConfigError> {
    if config.model.trim().is_empty() {
        return Err(ConfigError::Model(config.name.clone()));
    }
    Ok(match config.kind {
        ProviderKind::OpenAi => Box::new(Server::<OpenAi>::new(config)?),
        ProviderKind::Ollama => Box::new(Server::<Ollama>::new(config)?),
        ProviderKind::Anthropic => Box::new(Server::<Anthropic>::new(config)?),
    })
}
