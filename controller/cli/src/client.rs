//! The server over HTTP: one request in, one answer or one explained error out. Does I/O; prints nothing but the
//! server's own warnings.

pub(crate) mod feed;
mod lines;
mod resources;
pub(crate) mod status;
mod tls;
pub(crate) mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_api::Time;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use crate::config::{Settings, bearer};
use crate::console::Console;
use crate::error::CliError;
use crate::text;
pub(crate) use resources::{DryRun, ListQuery, Shape};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that is read whole.
const MAX_BODY: usize = 64 << 20;

/// A connection to one controller.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// How a live stream is encrypted, where that is not this system's business.
    tls: Option<Arc<rustls::ClientConfig>>,
    base: Url,
    authorization: Option<HeaderValue>,
    request_timeout: Option<Duration>,
    console: Console,
    /// The time by the server's clock, as its last answer stated it, to the second.
    server_time: Arc<Mutex<Option<Time>>>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    MergePatch(&'a Value),
}

impl Client {
    /// Prepares a client; does not connect yet.
    pub(crate) fn new(settings: &Settings, console: Console) -> Result<Self, CliError> {
        aegis_outgoing::install_crypto();
        let authorization = settings
            .token
            .as_ref()
            .map(|(token, _)| bearer(token))
            .transpose()?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aegisctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&settings.server) {
            // A proxy is a way out of this host; the controller on this host is never behind it.
            builder = builder.no_proxy();
        }
        let tls = tls::config(&settings.trust)?;
        if let Some(tls) = tls.clone() {
            builder = builder.tls_backend_preconfigured(tls);
        }
        let http = builder
            .build()
            .map_err(|error| CliError::Config(format!("HTTP client: {}", root_cause(&error))))?;
        let base = settings.server.clone();
        Ok(Self {
            http,
            tls: tls.map(Arc::new),
            base,
            authorization,
            request_timeout: settings.request_timeout,
            console,
            server_time: Arc::default(),
        })
    }

    /// The server's address as a person wrote it, without credentials.
    pub(crate) fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// When the server last answered, by its own clock and to the second; `None` if it did not say.
    pub(crate) fn server_time(&self) -> Option<Time> {
        *self.server_time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A URL of the server: its base and these path segments, each escaped.
    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn request(&self, method: Method, url: Url, accept: &'static str, body: Body<'_>) -> RequestBuilder {
        let mut request = self.http.request(method, url).header(ACCEPT, accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        match body {
            Body::None => request,
            Body::Json(value) => request
                .header(CONTENT_TYPE, "application/json")
                .body(value.to_string()),
            Body::MergePatch(value) => request
                .header(CONTENT_TYPE, "application/merge-patch+json")
                .body(value.to_string()),
        }
    }

    /// Sends; an answer that is no success becomes an error that says why. The body is still to be read.
    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        for warning in warnings(response.headers()) {
            self.console.remark(format!("Warning: {warning}"));
        }
        *self.server_time.lock().unwrap_or_else(PoisonError::into_inner) = date(response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// Sends within the time that one request may take and reads a JSON body.
    pub(crate) async fn json(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        accept: &'static str,
        body: Body<'_>,
    ) -> Result<Value, CliError> {
        let text = self.text(method, segments, query, accept, body).await?;
        serde_json::from_str(&text).map_err(|error| {
            let cause = format!("its answer is no JSON ({error}): {:?}", text::brief(&text, 80));
            CliError::Protocol {
                server: self.server().to_owned(),
                cause,
            }
        })
    }

    /// Sends within the time that one request may take and reads a text.
    pub(crate) async fn text(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
        accept: &'static str,
        body: Body<'_>,
    ) -> Result<String, CliError> {
        let exchange = async {
            let request = self.request(method, self.url(segments, query), accept, body);
            let response = self.send(request).await?;
            self.whole(response).await
        };
        self.in_time(exchange).await
    }

    /// Status and text of a route that answers both ways in plain text.
    pub(crate) async fn probe(&self, segments: &[&str]) -> Result<(u16, String), CliError> {
        let exchange = async {
            let request = self.request(Method::GET, self.url(segments, &[]), "*/*", Body::None);
            let response = request.send().await.map_err(|error| self.lost(&error))?;
            Ok((response.status().as_u16(), self.whole(response).await?))
        };
        self.in_time(exchange).await
    }

    async fn in_time<T>(&self, exchange: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
        let Some(limit) = self.request_timeout else {
            return exchange.await;
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            let cause = format!("no answer within {} s (--request-timeout)", limit.as_secs_f64());
            Err(self.unreachable(cause))
        })
    }

    async fn whole(&self, mut response: Response) -> Result<String, CliError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                let cause = format!("its answer has more than {MAX_BODY} bytes");
                return Err(CliError::Protocol {
                    server: self.server().to_owned(),
                    cause,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn refused(&self, response: Response) -> CliError {
        let code = response.status();
        let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
        let body = match self.in_time(self.whole(response)).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let server = self.server().to_owned();
        if code == StatusCode::UNAUTHORIZED {
            return CliError::Unauthorized {
                server,
                token_sent: self.authorization.is_some(),
            };
        }
        match status::ApiStatus::parse(code.as_u16(), &body) {
            Some(status) => CliError::Api(Box::new(status)),
            None => {
                let challenge = if challenged {
                    ", asking for credentials"
                } else {
                    ""
                };
                let cause = format!("it says {code}{challenge}: {:?}", text::brief(&body, 120));
                CliError::Protocol { server, cause }
            }
        }
    }

    fn lost(&self, error: &reqwest::Error) -> CliError {
        let cause = root_cause(error);
        self.unreachable(cause)
    }

    fn unreachable(&self, cause: String) -> CliError {
        CliError::Unreachable {
            server: self.server().to_owned(),
            cause,
        }
    }
}

/// The innermost reason, in small letters and without the number of the system.
fn root_cause(error: &dyn std::error::Error) -> String {
    let text = aegis_api::error::root_cause(error);
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The texts of `Warning: 299 - "text"` headers, safe for a terminal.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(reqwest::header::WARNING).iter();
    let texts = values.filter_map(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let quoted = value
            .split_once('"')
            .and_then(|(_, rest)| rest.rsplit_once('"'))
            .map(|(text, _)| text);
        quoted.map(|text| text::line(&text.replace("\\\"", "\"").replace("\\\\", "\\")))
    });
    texts.collect()
}

/// The time of an answer, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 6.6.1).
fn date(headers: &HeaderMap) -> Option<Time> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    time.ok().map(Time)
}

#[cfg(test)]
mod tests;
