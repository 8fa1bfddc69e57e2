//! The HTTP under every provider: one client, no redirects, bounded error bodies, and keys that appear nowhere but in
//! their header. Does I/O.

use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use aegis_api::error::root_cause;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::config::{ConfigError, ProviderConfig};
use super::stream::Timers;
use super::{ProviderError, Stage, Timeouts, retry};
use crate::redact::{REDACTED, bound, redact};

/// Most bytes of an error's body that are read, and how long they are waited for.
const ERROR_BODY: (usize, Duration) = (64 * 1024, Duration::from_secs(5));
/// Most characters of an error's text that are handed on.
const ERROR_TEXT: usize = 400;

/// One place to send prompts to.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    key: Option<SecretString>,
    timeouts: Timeouts,
}

impl Endpoint {
    /// `path` below the configured base. Opens no connection yet.
    pub(super) fn new(config: &ProviderConfig, path: &str) -> Result<Self, ConfigError> {
        let broken = |why: String| ConfigError::Url {
            provider: config.name.clone(),
            why,
        };
        let base = config.base_url.trim().trim_end_matches('/');
        let text = if base.ends_with(path) {
            base.to_owned()
        } else {
            format!("{base}{path}")
        };
        let url = Url::parse(&text).map_err(|error| broken(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(broken(
                "it must begin with http:// or https:// and name a host".to_owned(),
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(broken(
                "it must not hold a password: give the key by itself".to_owned(),
            ));
        }
        let client = client(&url, config.timeouts.connect).map_err(|error| ConfigError::Client {
            provider: config.name.clone(),
            source: error,
        })?;
        Ok(Self {
            client,
            url,
            key: config.key.clone(),
            timeouts: config.timeouts,
        })
    }

    pub(super) fn timers(&self, deadline: Instant) -> Timers {
        Timers::start(self.timeouts, deadline)
    }

    /// Sends, and waits for the head of the answer. Anything but success is an error.
    pub(super) async fn post(
        &self,
        body: &impl Serialize,
        timers: &Timers,
    ) -> Result<Response, ProviderError> {
        let body = serde_json::to_vec(body).map_err(|error| ProviderError::Garbage(error.to_string()))?;
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(authorization) = self.key.as_ref().and_then(bearer) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let (until, late) = timers.first_token();
        let response = timeout_at(until, request.send())
            .await
            .map_err(|_| late)?
            .map_err(|error| self.lost(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// The body of an answer, piece by piece.
    pub(super) fn body(
        &self,
        response: Response,
    ) -> impl Stream<Item = Result<Bytes, String>> + Unpin + Send {
        let key = self.key.clone();
        Box::pin(response.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| harmless(&root_cause(&error.without_url()), key.as_ref()))
        }))
    }

    /// A text that came from the provider, fit to be shown.
    pub(super) fn harmless(&self, text: &str) -> String {
        harmless(text, self.key.as_ref())
    }

    fn lost(&self, error: reqwest::Error) -> ProviderError {
        if error.is_timeout() && error.is_connect() {
            return ProviderError::Timeout {
                stage: Stage::Connect,
                after: self.timeouts.connect,
            };
        }
        ProviderError::Transport(self.harmless(&root_cause(&error.without_url())))
    }

    async fn refusal(&self, response: Response) -> ProviderError {
        let code = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        let until = Instant::now() + ERROR_BODY.1;
        while let Ok(Some(Ok(chunk))) = timeout_at(until, chunks.next()).await {
            let room = ERROR_BODY.0.saturating_sub(body.len());
            body.extend(chunk.iter().take(room));
            if chunk.len() >= room {
                break;
            }
        }
        let message = error_text(&body).unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        ProviderError::Status {
            code,
            retry_after,
            message: self.harmless(&message),
        }
    }
}

fn client(url: &Url, connect: Duration) -> reqwest::Result<Client> {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        // An error means that one is installed already, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap_or_default();
    });
    // An image without a file system of its own has no certificates: those that every browser trusts come along.
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| reqwest::Certificate::from_der(der))
        .collect::<reqwest::Result<Vec<_>>>()?;
    let mut builder = Client::builder()
        .user_agent(concat!("aegis-brain/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .tls_certs_merge(roots)
        // A redirect could take the key and the logs to another host.
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) {
        // A proxy is a way out of this host.
        builder = builder.no_proxy();
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn bearer(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn harmless(text: &str, key: Option<&SecretString>) -> String {
    let text = match key.map(ExposeSecret::expose_secret).filter(|key| !key.is_empty()) {
        Some(key) => text.replace(key, REDACTED),
        None => text.to_owned(),
    };
    let kept: String = redact(&text).chars().take(ERROR_TEXT).collect();
    bound(kept.trim(), ERROR_TEXT)
}

/// What an error says in the shapes that providers use: `{"error": {"message": …}}`, `{"error": …}`, `{"message": …}`.
/// The parameter it is about is named, where it is given.
pub(super) fn error_text(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error").unwrap_or(&value);
    let message = error
        .get("message")
        .or_else(|| error.get("detail"))
        .unwrap_or(error);
    let message = message.as_str()?;
    // OpenAI's own errors name the parameter apart from the words.
    let param = error.get("param").and_then(serde_json::Value::as_str);
    Some(match param.filter(|param| !message.contains(*param)) {
        Some(param) => format!("{message} (parameter {param})"),
        None => message.to_owned(),
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    retry::retry_after(text(RETRY_AFTER)?, text(DATE), jiff::Timestamp::now())
}
