//! The HTTP under every provider: one client, no redirects, bounded error bodies, and keys that appear nowhere but in
//! their header. Does I/O.

use std::net::IpAddr;
use std::time::Duration;

use aegis_api::error::root_cause;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, Api, KeyHeader};
use super::config::{ConfigError, ProviderConfig};
use super::frames::described;
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
    address: Address,
    key: Option<SecretString>,
    timeouts: Timeouts,
}

impl Endpoint {
    /// An API below the configured base. Opens no connection yet.
    pub(super) fn new(config: &ProviderConfig, api: Api) -> Result<Self, ConfigError> {
        let address = Address::new(&config.base_url, api).map_err(|why| ConfigError::Url {
            provider: config.name.clone(),
            why,
        })?;
        let client = client(&address.url, config.timeouts.connect).map_err(|error| ConfigError::Client {
            provider: config.name.clone(),
            source: error,
        })?;
        Ok(Self {
            client,
            address,
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
            .post(self.address.url.clone())
            .header(CONTENT_TYPE, "application/json")
            // What is packed on the way comes in lumps. It is unpacked all the same where a server does not heed this.
            .header(ACCEPT_ENCODING, "identity")
            .body(body);
        if self.address.key == KeyHeader::XApiKey {
            request = request.header("anthropic-version", ANTHROPIC_VERSION);
        }
        for (name, value) in self.key.iter().flat_map(|key| key_headers(self.address.key, key)) {
            request = request.header(name, value);
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
    ) -> Result<impl Stream<Item = Result<Bytes, String>> + Unpin + Send + use<>, ProviderError> {
        let packed = response.headers().get(CONTENT_ENCODING);
        let packed = packed.and_then(|value| value.to_str().ok()).map(str::trim);
        if let Some(packed) = packed.filter(|it| !it.is_empty() && !it.eq_ignore_ascii_case("identity")) {
            let why = format!("the answer is packed as {packed}, although `identity` was requested");
            return Err(ProviderError::Garbage(self.harmless(&why)));
        }
        let key = self.key.clone();
        Ok(Box::pin(response.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| harmless(&root_cause(&error.without_url()), key.as_ref()))
        })))
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
        let elsewhere = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|to| self.address.url.join(to).ok())
            .map(|to| to.origin().ascii_serialization());
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
        let message = self.harmless(&error_words(&body));
        let hint = match code {
            300..=399 => elsewhere.map(|to| {
                format!("it sends us on to {to}, which is not followed: is a sign-in in front of it, or is it https?")
            }),
            401 if self.key.is_none() => Some("no key is configured".to_owned()),
            404 => self.address.hint.map(str::to_owned),
            _ => None,
        };
        let hint = hint.map(|hint| self.harmless(&hint));
        let said = [Some(message).filter(|message| !message.is_empty()), hint];
        ProviderError::Status {
            code,
            retry_after,
            message: said.into_iter().flatten().collect::<Vec<_>>().join(" "),
        }
    }
}

/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The words of an error, whatever they are packed in.
pub(super) fn error_words(body: &[u8]) -> String {
    if let Some(text) = error_text(body) {
        return text;
    }
    let text = body.trim_ascii();
    if text.starts_with(b"<") {
        return described(text);
    }
    String::from_utf8_lossy(text).into_owned()
}

fn client(url: &Url, connect: Duration) -> reqwest::Result<Client> {
    let mut builder = aegis_outgoing::client_builder()?
        .user_agent(concat!("aegis-brain/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect);
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

fn key_headers(how: KeyHeader, key: &SecretString) -> Vec<(HeaderName, HeaderValue)> {
    let header = |name: HeaderName, before: &str| {
        let mut value = HeaderValue::from_str(&format!("{before}{}", key.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let bearer = || header(AUTHORIZATION, "Bearer ");
    let api_key = || header(HeaderName::from_static("api-key"), "");
    let headers = match how {
        KeyHeader::Bearer => [bearer(), None],
        KeyHeader::ApiKey => [api_key(), None],
        KeyHeader::Either => [api_key(), bearer()],
        KeyHeader::XApiKey => [header(HeaderName::from_static("x-api-key"), ""), None],
    };
    headers.into_iter().flatten().collect()
}

/// A shorter key is none that anybody keeps secret: people write `x` or `none` for servers of their own, and a letter that
/// is blanked makes every message unreadable.
const SHORTEST_KEY: usize = 8;

fn harmless(text: &str, key: Option<&SecretString>) -> String {
    let text = match key
        .map(ExposeSecret::expose_secret)
        .filter(|key| key.len() >= SHORTEST_KEY)
    {
        Some(key) => text.replace(key, REDACTED),
        None => text.to_owned(),
    };
    let kept: String = redact(&text).chars().take(ERROR_TEXT).collect();
    bound(kept.trim(), ERROR_TEXT)
}

/// What an error says in the shapes that providers use: `{"error": {"message": …}}`, `{"error": …}`, `{"message": …}`,
/// `{"detail": [{"msg": …}]}`, and the same in a list. The parameter it is about is named, where it is given.
pub(super) fn error_text(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body.trim_ascii()).ok()?;
    let value = value.get(0).unwrap_or(&value);
    let error = value
        .get("error")
        .filter(|error| !error.is_null())
        .unwrap_or(value);
    let named = ["message", "detail", "msg", "error", "reason"];
    let message = named.iter().find_map(|name| error.get(name)).unwrap_or(error);
    // FastAPI lists what is wrong, each with its place.
    let listed = message.get("detail").unwrap_or(message);
    let (message, at) = match listed.get(0) {
        Some(first) => (
            first.get("msg").unwrap_or(first),
            first.get("loc").and_then(|loc| loc.as_array()?.last()),
        ),
        None => (message, None),
    };
    let message = match message.get("message").and_then(serde_json::Value::as_str) {
        Some(inner) => inner,
        None => message.as_str()?,
    };
    // OpenAI's own errors name the parameter apart from the words.
    let given = error.get("param").and_then(serde_json::Value::as_str);
    let param = given.or_else(|| at.and_then(serde_json::Value::as_str));
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
