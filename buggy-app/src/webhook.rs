//! Posts one alert to one address and says how that went. Owns the wire format of an alert; decides nothing about
//! when. Plain HTTP: the receiver is a neighbour on the same Docker network.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::episode::Delivery;

const TIMEOUT: Duration = Duration::from_secs(3);
/// So much of an answer is worth logging, in bytes.
const ANSWER_BYTES: usize = 4096;

/// An alert as it is posted.
#[derive(Debug, Serialize)]
pub(crate) struct Alert {
    pub(crate) incident_id: String,
    pub(crate) alert_type: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) container_name: String,
    /// When it was made, RFC 3339, UTC.
    pub(crate) timestamp: Timestamp,
    pub(crate) logs: String,
    pub(crate) details: Details,
}

#[derive(Debug, Serialize)]
pub(crate) struct Details {
    pub(crate) message: String,
    pub(crate) hostname: String,
    pub(crate) memory_usage_mb: f64,
    pub(crate) memory_limit_mb: f64,
    pub(crate) memory_percent: f64,
    pub(crate) threshold_percent: u8,
}

/// Where alerts go: an `http://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text
            .trim()
            .parse()
            .map_err(|error| anyhow!("not an address: {error}"))?;
        match uri.scheme_str() {
            Some("http") => {}
            _ => bail!("must begin with http://"),
        }
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .context("names no host")?;
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

/// A bearer token as a header value; never shown. An empty one is none, as Compose passes an unset variable on.
#[derive(Clone)]
pub(crate) struct Token(Option<HeaderValue>);

impl FromStr for Token {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| anyhow!("the token holds characters that a header cannot"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Token(set)"
        } else {
            "Token(none)"
        })
    }
}

/// Sends alerts.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Option<Token>,
    pub(crate) token_file: Option<PathBuf>,
}

impl Webhook {
    /// Posts the alert once, within a few seconds, and logs the outcome.
    pub(crate) async fn deliver(&self, alert: &Alert) -> Delivery {
        let id = &alert.incident_id;
        let outcome = tokio::time::timeout(TIMEOUT, self.post(alert))
            .await
            .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", TIMEOUT.as_secs())));
        match outcome {
            Ok((status, _)) if status.is_success() => {
                tracing::info!(incident = %id, to = %self.endpoint, %status, "alert acknowledged");
                Delivery::Acknowledged
            }
            Ok((status, answer)) if is_final(status) => {
                tracing::error!(incident = %id, to = %self.endpoint, %status, answer, "alert refused");
                Delivery::Refused
            }
            Ok((status, answer)) => {
                tracing::warn!(incident = %id, to = %self.endpoint, %status, answer, "alert not taken, trying again");
                Delivery::Failed
            }
            Err(error) => {
                tracing::warn!(incident = %id, to = %self.endpoint, error = format!("{error:#}"), "alert not delivered, trying again");
                Delivery::Failed
            }
        }
    }

    async fn post(&self, alert: &Alert) -> anyhow::Result<(StatusCode, String)> {
        let request = self.request(alert, self.current_token().await?)?;
        let address = (self.endpoint.host.trim_matches(['[', ']']), self.endpoint.port);
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let exchange = async {
            let answer = sender
                .send_request(request)
                .await
                .context("the connection broke")?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
            let text = body
                .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
                .unwrap_or_default();
            Ok((status, text))
        };
        let outcome = exchange.await;
        connection.abort();
        outcome
    }

    fn request(&self, alert: &Alert, token: Option<Token>) -> anyhow::Result<Request<Full<Bytes>>> {
        let body = serde_json::to_vec(alert).context("cannot encode the alert")?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint.path)
            .header(HOST, format!("{}:{}", self.endpoint.host, self.endpoint.port))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        if let Some(value) = token.and_then(|token| token.0) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn current_token(&self) -> anyhow::Result<Option<Token>> {
        match (&self.token, &self.token_file) {
            (Some(Token(Some(value))), _) => Ok(Some(Token(Some(value.clone())))),
            (_, Some(path)) => {
                let text = tokio::fs::read_to_string(path).await;
                let text = text.with_context(|| format!("cannot read the token file {}", path.display()))?;
                text.parse().map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// A client error will be the same next time, except for those that say "later".
fn is_final(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn alert() -> Alert {
        Alert {
            incident_id: "app-memory-1".to_owned(),
            alert_type: "memory_leak",
            severity: "critical",
            container_name: "buggy-app-v2".to_owned(),
            timestamp: Timestamp::UNIX_EPOCH,
            logs: "memory 90 %".to_owned(),
            details: Details {
                message: "memory above 85 %".to_owned(),
                hostname: "h".to_owned(),
                memory_usage_mb: 230.4,
                memory_limit_mb: 256.0,
                memory_percent: 90.0,
                threshold_percent: 85,
            },
        }
    }

    /// Takes one request, answers it so, and hands back what was asked.
    async fn receiver(answer: &'static str) -> (Webhook, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/webhook", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            while !text.ends_with(b"}}") {
                assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(text).unwrap()
        });
        (
            Webhook {
                endpoint,
                token: Some("s3cret".parse().unwrap()),
                token_file: None,
            },
            asked,
        )
    }

    #[tokio::test]
    async fn an_alert_is_posted_as_json_with_the_token() {
        let (webhook, asked) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        assert_eq!(webhook.deliver(&alert()).await, Delivery::Acknowledged);
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("POST /webhook HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer s3cret\r\n"), "{asked}");
        let body: serde_json::Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["incident_id"], "app-memory-1");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(body["details"]["message"], "memory above 85 %");
    }

    #[tokio::test]
    async fn an_unknown_token_is_a_refusal_and_a_busy_receiver_is_not() {
        for (answer, expected) in [
            (
                "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
                Delivery::Refused,
            ),
            (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
                Delivery::Failed,
            ),
            (
                "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
                Delivery::Failed,
            ),
        ] {
            let (webhook, _asked) = receiver(answer).await;
            assert_eq!(webhook.deliver(&alert()).await, expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_cannot_be_reached_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        drop(listener);
        let webhook = Webhook {
            endpoint,
            token: None,
            token_file: None,
        };
        assert_eq!(webhook.deliver(&alert()).await, Delivery::Failed);
    }

    #[test]
    fn only_http_addresses_with_a_host_are_taken() {
        assert_eq!(
            "http://agent/w?x=1".parse::<Endpoint>().unwrap().to_string(),
            "http://agent:80/w?x=1"
        );
        for bad in ["https://agent/webhook", "agent:8001", "http://", "/webhook", ""] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_never_shown_and_an_empty_one_is_none() {
        assert_eq!(format!("{:?}", "s3cret".parse::<Token>().unwrap()), "Token(set)");
        assert!("".parse::<Token>().unwrap().0.is_none());
        assert!("a\nb".parse::<Token>().is_err());
    }
}
