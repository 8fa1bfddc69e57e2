//! Where a question goes and how its key is sent, from what people write as a server's address. Pure.

use reqwest::Url;

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyHeader {
    /// As `Authorization: Bearer`.
    Bearer,
    /// As `api-key`, as Azure wants it.
    ApiKey,
    /// Both: a gateway of one's own in the place of Azure may want either.
    Either,
    /// As `x-api-key`, as Anthropic wants it.
    XApiKey,
}

/// What is requested below a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    ChatCompletions,
    Ollama,
    Messages,
}

/// An address and how its key is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) key: KeyHeader,
    /// Said beside a 404: what the address may lack.
    pub(super) hint: Option<&'static str>,
}

impl Address {
    /// The address of an API below `base`; a full address is left alone, and so is what stands behind a `?`.
    pub(super) fn new(base: &str, api: Api) -> Result<Self, String> {
        let base = base.trim();
        let example = match api {
            Api::ChatCompletions => "http://127.0.0.1:8080/v1",
            Api::Ollama => "http://127.0.0.1:11434",
            Api::Messages => "https://api.anthropic.com",
        };
        let scheme = format!("it must begin with http:// or https:// and name a host, such as {example}");
        let mut url = Url::parse(base).map_err(|error| format!("{error}: {scheme}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must not hold a password: give the key by itself".to_owned());
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        let hint = (api == Api::ChatCompletions && path.is_empty())
            .then_some("the address names no path: is /v1 missing at its end?");
        url.set_path(&below(&path, api));
        let key = match api {
            Api::Messages => KeyHeader::XApiKey,
            Api::Ollama => KeyHeader::Bearer,
            Api::ChatCompletions => azure(&url, &path)?,
        };
        Ok(Self { url, key, hint })
    }
}

fn below(path: &str, api: Api) -> String {
    match api {
        Api::ChatCompletions if path.ends_with("/chat/completions") => path.to_owned(),
        Api::ChatCompletions => format!("{path}/chat/completions"),
        // People copy the address of the other API of the same server, or half of this one.
        Api::Ollama => {
            let root = [
                "/api/chat",
                "/api/generate",
                "/api",
                "/v1/chat/completions",
                "/v1",
            ]
            .iter()
            .find_map(|end| path.strip_suffix(end));
            format!("{}/api/chat", root.unwrap_or(path))
        }
        Api::Messages => {
            let root = ["/v1/messages", "/v1"]
                .iter()
                .find_map(|end| path.strip_suffix(end));
            format!("{}/v1/messages", root.unwrap_or(path))
        }
    }
}

/// Azure is known by its host, or by the path that names a deployment.
fn azure(url: &Url, path: &str) -> Result<KeyHeader, String> {
    let host = url.host_str().unwrap_or_default();
    let is_azure = [
        ".openai.azure.com",
        ".cognitiveservices.azure.com",
        ".services.ai.azure.com",
    ]
    .iter()
    .any(|suffix| host.ends_with(suffix));
    let deployment = path.contains("/openai/deployments/");
    if is_azure && path.is_empty() {
        return Err(format!(
            "Azure wants the deployment named, such as https://{host}/openai/deployments/NAME?api-version=2024-10-21"
        ));
    }
    let has_version = url.query_pairs().any(|(name, _)| name == "api-version");
    if deployment && !has_version {
        return Err(
            "a deployment of Azure wants ?api-version=… at the end, such as ?api-version=2024-10-21"
                .to_owned(),
        );
    }
    Ok(match (is_azure, deployment) {
        (true, _) => KeyHeader::ApiKey,
        (false, true) => KeyHeader::Either,
        (false, false) => KeyHeader::Bearer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str, api: Api) -> String {
        Address::new(base, api).unwrap().url.to_string()
    }

    #[test]
    fn the_path_is_put_before_the_query_and_a_full_address_is_left_alone() {
        for (base, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            (" http://h/v1/ ", "http://h/v1/chat/completions"),
            ("http://h", "http://h/chat/completions"),
            ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
            ("http://h/v1/chat/completions/", "http://h/v1/chat/completions"),
            ("http://h/v1?key=a&b=c", "http://h/v1/chat/completions?key=a&b=c"),
            ("http://h/v1/#top", "http://h/v1/chat/completions"),
            (
                "https://r.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
                "https://r.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21",
                "https://r.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai/v1",
                "https://r.openai.azure.com/openai/v1/chat/completions",
            ),
        ] {
            assert_eq!(address(base, Api::ChatCompletions), expected, "{base}");
        }
        for base in [
            "http://h",
            "http://h/",
            "http://h/api",
            "http://h/api/chat",
            "http://h/v1",
            "http://h/v1/",
        ] {
            assert_eq!(address(base, Api::Ollama), "http://h/api/chat", "{base}");
        }
        for base in ["http://h", "http://h/v1/", "http://h/v1/messages"] {
            assert_eq!(address(base, Api::Messages), "http://h/v1/messages", "{base}");
        }
        assert_eq!(
            address("http://h/proxy/anthropic", Api::Messages),
            "http://h/proxy/anthropic/v1/messages"
        );
    }

    #[test]
    fn azure_gets_its_key_as_it_wants_it_and_no_other_does() {
        for (base, key) in [
            ("https://r.openai.azure.com/openai/v1", KeyHeader::ApiKey),
            (
                "https://r.openai.azure.com/openai/deployments/g?api-version=1",
                KeyHeader::ApiKey,
            ),
            (
                "http://127.0.0.1:9/openai/deployments/g/chat/completions?api-version=1",
                KeyHeader::Either,
            ),
            ("https://openai.azure.com.example.org/v1", KeyHeader::Bearer),
            ("https://api.openai.com/v1", KeyHeader::Bearer),
        ] {
            assert_eq!(
                Address::new(base, Api::ChatCompletions).unwrap().key,
                key,
                "{base}"
            );
        }
    }

    #[test]
    fn an_address_that_cannot_work_says_what_to_write() {
        for (base, words) in [
            ("127.0.0.1:8080/v1", "such as http://127.0.0.1:8080/v1"),
            ("localhost:8080", "must begin with http:// or https://"),
            ("ftp://h", "must begin with http:// or https://"),
            ("http://u:p@h", "password"),
            (
                "https://r.openai.azure.com",
                "/openai/deployments/NAME?api-version=",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/gpt",
                "?api-version=",
            ),
        ] {
            let error = Address::new(base, Api::ChatCompletions).unwrap_err();
            assert!(error.contains(words), "{base}: {error}");
        }
    }
}
