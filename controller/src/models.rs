//! Which models the brain may ask, from the command line. Decides nothing but what a missing word stands for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aegis_brain::routes::BUILTIN;
use aegis_brain::{BrainConfig, Budget, ProviderConfig, ProviderKind, Routes, SpendLimits, Timeouts};
use anyhow::bail;
use secrecy::{ExposeSecret, SecretString};

use crate::args::{ANTHROPIC_MODEL, FASTRTR_MODEL, Models, OLLAMA_MODEL};

/// Name of the OpenAI-compatible provider.
const FASTROUTER: &str = "fastrouter";
/// Where it is, unless the environment says otherwise.
const FASTROUTER_URL: &str = "https://go.fastrouter.ai/api/v1";
/// Name of the provider that speaks Anthropic's own API.
const ANTHROPIC: &str = "anthropic";
/// Where it is, unless the environment says otherwise.
const ANTHROPIC_URL: &str = "https://api.anthropic.com";
/// Name of the Ollama provider.
const OLLAMA: &str = "ollama";
/// Where it is, where the order names it and nothing else does.
const OLLAMA_URL: &str = "http://127.0.0.1:11434";

/// The brain's configuration. Without a model it is the built-in analyst alone.
pub(crate) fn brain(models: &Models) -> anyhow::Result<BrainConfig> {
    let named: Vec<&str> = models
        .providers
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .collect();
    let is_set =
        |key: Option<&SecretString>, base: &Option<String>| key.is_some() || given(base.as_deref()).is_some();
    let primary = is_set(key(&models.fastrtr_api_key), &models.fastrtr_base_url).then_some(FASTROUTER);
    let messages = is_set(key(&models.anthropic_api_key), &models.anthropic_base_url).then_some(ANTHROPIC);
    let local = given(models.ollama_base_url.as_deref())
        .is_some()
        .then_some(OLLAMA);
    let configured = primary.into_iter().chain(messages).chain(local);
    let order: Vec<&str> = if named.is_empty() {
        // What is configured, the primary one first. A server of one's own may need no key.
        configured.clone().chain([BUILTIN]).collect()
    } else {
        named
    };
    // No provider is asked after the built-in analyst. What is configured beside the order a policy may still name.
    let asked: Vec<&str> = order.into_iter().take_while(|name| *name != BUILTIN).collect();
    let beside: Vec<&str> = configured.filter(|name| !asked.contains(name)).collect();
    let providers = asked.iter().copied().chain(beside);
    let providers: anyhow::Result<Vec<_>> = providers.map(|name| provider(models, name)).collect();
    let providers = providers?;
    let call = Duration::from_secs(models.llm_timeout_secs);
    let budget = Budget::default();
    Ok(BrainConfig {
        budget: Budget {
            // Enough for an analysis and two votes, however slow the model may be.
            wall: budget.wall.max(call.saturating_mul(3)),
            ..budget
        },
        providers,
        routes: Some(Routes::all(asked.into_iter().chain([BUILTIN]))),
        prompts_dir: models.prompts_dir.clone(),
        spend: SpendLimits {
            hour: models.llm_tokens_per_hour,
            day: models.llm_tokens_per_day,
        },
        ..BrainConfig::default()
    })
}

fn key(key: &Option<SecretString>) -> Option<&SecretString> {
    let key = key.as_ref();
    key.filter(|key| !key.expose_secret().trim().is_empty())
}

/// How the provider of this name is asked.
fn provider(models: &Models, name: &str) -> anyhow::Result<ProviderConfig> {
    let (fastrtr_key, base) = (
        key(&models.fastrtr_api_key),
        given(models.fastrtr_base_url.as_deref()),
    );
    let trimmed = |key: &SecretString| SecretString::from(key.expose_secret().trim());
    let (anthropic_key, anthropic_base) = (
        key(&models.anthropic_api_key),
        given(models.anthropic_base_url.as_deref()),
    );
    let mut provider = match name {
        FASTROUTER if fastrtr_key.is_none() && base.is_none() => {
            bail!(
                "the order of providers names {FASTROUTER}: set FASTRTR_API_KEY, or FASTRTR_BASE_URL for a server that needs no key"
            )
        }
        FASTROUTER => ProviderConfig {
            key: fastrtr_key.map(trimmed),
            ..ProviderConfig::new(
                FASTROUTER,
                ProviderKind::OpenAi,
                base.unwrap_or(FASTROUTER_URL),
                given(Some(&models.fastrtr_model)).unwrap_or(FASTRTR_MODEL),
            )
        },
        ANTHROPIC if anthropic_key.is_none() && anthropic_base.is_none() => {
            bail!("the order of providers names {ANTHROPIC}: set ANTHROPIC_API_KEY")
        }
        ANTHROPIC => ProviderConfig {
            key: anthropic_key.map(trimmed),
            ..ProviderConfig::new(
                ANTHROPIC,
                ProviderKind::Anthropic,
                anthropic_base.unwrap_or(ANTHROPIC_URL),
                given(Some(&models.anthropic_model)).unwrap_or(ANTHROPIC_MODEL),
            )
        },
        OLLAMA => ProviderConfig::new(
            OLLAMA,
            ProviderKind::Ollama,
            given(models.ollama_base_url.as_deref()).unwrap_or(OLLAMA_URL),
            given(Some(&models.ollama_model)).unwrap_or(OLLAMA_MODEL),
        ),
        other => bail!(
            "there is no provider {other:?}: there are {FASTROUTER}, {ANTHROPIC}, {OLLAMA} and {BUILTIN}"
        ),
    };
    provider.timeouts = Timeouts::within(Duration::from_secs(models.llm_timeout_secs));
    Ok(provider)
}

/// Where a person's own templates are: the folder that is named, or `prompts` in the state directory if there is one.
pub(crate) fn prompts(named: Option<PathBuf>, state_dir: &Path) -> Option<PathBuf> {
    let own = state_dir.join("prompts");
    named.or_else(|| own.is_dir().then_some(own))
}

/// The providers in the order in which they are asked, for display.
pub(crate) fn order(config: &BrainConfig) -> String {
    let asked = |name: &str| {
        let mut providers = config.providers.iter();
        let provider = providers.find(|provider| provider.name == name);
        provider.map_or_else(|| name.to_owned(), |it| format!("{name} ({})", it.model))
    };
    let routes = config.routes.iter().flat_map(|routes| &routes.analysis);
    routes.map(|name| asked(name)).collect::<Vec<_>>().join(", then ")
}

/// A variable that is set to nothing, as Compose does with one that it passes on, is not set.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn configured(arguments: &[&str]) -> anyhow::Result<BrainConfig> {
        let args = Args::try_parse_from(std::iter::once(&"aegis-controller").chain(arguments))?;
        brain(&args.models)
    }

    fn order(arguments: &[&str]) -> Vec<String> {
        configured(arguments).unwrap().routes.unwrap().analysis
    }

    #[test]
    fn with_nothing_configured_the_built_in_analyst_is_alone() {
        let config = configured(&[]).unwrap();
        assert!(config.providers.is_empty());
        assert_eq!(
            order(&[
                "--fastrtr-base-url",
                "",
                "--ollama-base-url",
                " ",
                "--fastrtr-api-key",
                ""
            ]),
            ["builtin"]
        );
    }

    #[test]
    fn what_is_configured_is_asked_the_primary_one_first() {
        assert_eq!(
            order(&["--ollama-base-url", "http://h", "--fastrtr-api-key", "k"]),
            ["fastrouter", "ollama", "builtin"]
        );
        let config = configured(&[
            "--fastrtr-api-key",
            " k ",
            "--fastrtr-model",
            "",
            "--llm-timeout-secs",
            "7",
        ])
        .unwrap();
        let provider = &config.providers[0];
        assert_eq!(provider.model, "anthropic/claude-sonnet-4-20250514");
        assert_eq!(
            super::order(&config),
            "fastrouter (anthropic/claude-sonnet-4-20250514), then builtin"
        );
        assert_eq!(provider.base_url, FASTROUTER_URL);
        assert_eq!(provider.key.as_ref().unwrap().expose_secret(), "k");
        assert_eq!(provider.timeouts.total, Duration::from_secs(7));
        assert!(!format!("{config:?}").contains("\"k\""));
    }

    #[test]
    fn templates_in_the_state_directory_count_where_no_folder_is_named() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(prompts(None, state.path()), None);
        let own = state.path().join("prompts");
        std::fs::create_dir(&own).unwrap();
        assert_eq!(prompts(None, state.path()), Some(own));
        let named = Some(PathBuf::from("/elsewhere"));
        assert_eq!(prompts(named.clone(), state.path()), named);
    }

    #[test]
    fn the_order_may_be_given() {
        assert_eq!(order(&["--providers", "ollama, builtin"]), ["ollama", "builtin"]);
        assert_eq!(
            order(&["--providers", "builtin", "--fastrtr-api-key", "k"]),
            ["builtin"]
        );
        let config = configured(&["--providers", "builtin", "--fastrtr-api-key", "k"]).unwrap();
        assert_eq!(
            (config.providers[0].name.as_str(), super::order(&config).as_str()),
            ("fastrouter", "builtin"),
            "a policy may name it"
        );
        let error = |arguments: &[&str]| configured(arguments).unwrap_err().to_string();
        assert!(error(&["--providers", "fastrouter"]).contains("FASTRTR_API_KEY"));
        assert!(
            error(&["--providers", "gpt"]).contains("there are fastrouter, anthropic, ollama and builtin")
        );
        assert!(error(&["--providers", "anthropic"]).contains("ANTHROPIC_API_KEY"));
    }

    #[test]
    fn anthropic_is_asked_where_its_key_is_set_behind_the_primary_one() {
        assert_eq!(
            order(&[
                "--anthropic-api-key",
                "k",
                "--fastrtr-api-key",
                "k",
                "--ollama-base-url",
                "http://h"
            ]),
            ["fastrouter", "anthropic", "ollama", "builtin"]
        );
        let config = configured(&["--anthropic-api-key", " k ", "--anthropic-model", ""]).unwrap();
        let provider = &config.providers[0];
        assert_eq!(
            (provider.name.as_str(), provider.kind, provider.base_url.as_str()),
            ("anthropic", ProviderKind::Anthropic, ANTHROPIC_URL)
        );
        assert_eq!(
            (
                provider.model.as_str(),
                provider.key.as_ref().unwrap().expose_secret()
            ),
            (ANTHROPIC_MODEL, "k")
        );
        assert_eq!(order(&["--anthropic-api-key", " "]), ["builtin"]);
    }
}
