//! One post to a Slack incoming webhook: the address, the client, and what the answer means. Does I/O. The address is the
//! credential: it is in no log and no error.

use std::sync::Once;
use std::time::Duration;

use aegis_api::error::root_cause;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

const CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read.
const ANSWER: usize = 4 * 1024;
/// The longest pause that a receiver is granted.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The webhook cannot be used as it is given.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no address.
    #[error(
        "SLACK_WEBHOOK_URL is no usable address: it must begin with https:// (http:// only for a receiver on this machine or network) and name a host"
    )]
    Url,
    /// The client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A Slack incoming webhook, or a receiver that takes the same bodies (Mattermost, Rocket.Chat, Discord's `/slack`).
#[derive(Debug)]
pub struct Slack {
    client: Client,
    url: SecretString,
}

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It was taken.
    Taken,
    /// Later, perhaps: after the pause that was requested (`Retry-After`), if one was.
    Later { why: String, after: Option<Duration> },
    /// The body was refused; another one may be taken.
    BodyRefused { why: String },
    /// Nothing will be taken: the webhook was revoked, the channel is archived.
    Refused { why: String },
}

impl Slack {
    /// Does not connect yet.
    pub fn new(url: &SecretString) -> Result<Self, ConfigError> {
        let text = url.expose_secret().trim();
        let parsed = Url::parse(text).map_err(|_| ConfigError::Url)?;
        if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
            return Err(ConfigError::Url);
        }
        Ok(Self {
            client: client().map_err(ConfigError::Client)?,
            url: SecretString::from(text.to_owned()),
        })
    }

    pub(crate) async fn post(&self, card: &Value) -> Posted {
        let sent = self.client.post(self.url.expose_secret()).json(card).send().await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => {
                let why = cause(&error);
                return Posted::Later { why, after: None };
            }
        };
        let status = response.status();
        if status.is_success() {
            return Posted::Taken;
        }
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().parse::<u64>().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ANSWER.saturating_sub(body.len());
            body.extend(chunk.iter().take(room));
            if room <= chunk.len() {
                break;
            }
        }
        judge(status, after, &String::from_utf8_lossy(&body))
    }
}

/// What an answer other than success means. Slack's words: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
fn judge(status: StatusCode, after: Option<Duration>, body: &str) -> Posted {
    let said = aegis_api::redact::bound(&aegis_api::redact::redact(body.trim()), 120);
    let why = match said.as_str() {
        "" => format!("HTTP {}", status.as_u16()),
        said => format!("HTTP {}: {said}", status.as_u16()),
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Posted::Later { why, after },
        status if status.is_server_error() => Posted::Later { why, after },
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Posted::BodyRefused { why }
        }
        _ => Posted::Refused { why },
    }
}

/// The innermost reason, without the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    aegis_api::redact::redact(&root_cause(error)).into_owned()
}

fn client() -> reqwest::Result<Client> {
    static CRYPTO: Once = Once::new();
    CRYPTO.call_once(|| {
        // An error means that one is installed already, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap_or_default();
    });
    // The image has no certificates of its own.
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|der| reqwest::Certificate::from_der(der))
        .collect::<reqwest::Result<Vec<_>>>()?;
    Client::builder()
        .user_agent(concat!("aegisops/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(TIMEOUT)
        .tls_certs_merge(roots)
        // A redirect could take an incident's text to another host.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_to_try_again() {
        let later = judge(StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(7)), "");
        assert!(matches!(later, Posted::Later { after: Some(pause), .. } if pause.as_secs() == 7));
        assert!(matches!(
            judge(StatusCode::BAD_GATEWAY, None, "x"),
            Posted::Later { after: None, .. }
        ));
        assert!(matches!(
            judge(StatusCode::BAD_REQUEST, None, "invalid_blocks"),
            Posted::BodyRefused { .. }
        ));
        for (status, word) in [
            (403, "action_prohibited"),
            (404, "no_service"),
            (410, "channel_is_archived"),
        ] {
            let refused = judge(StatusCode::from_u16(status).unwrap(), None, word);
            assert!(matches!(refused, Posted::Refused { why } if why.contains(word)));
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_showing_it() {
        for wrong in ["", "hooks.slack.com/services/T/B/secret", "ftp://a/secret"] {
            let error = Slack::new(&SecretString::from(wrong)).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
