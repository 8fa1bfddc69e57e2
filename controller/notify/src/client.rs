//! The HTTP client of all destinations, and how much of an answer is read. Does I/O.

use std::time::Duration;

use aegis_api::error::root_cause;
use aegis_api::redact::redact;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::posted::Posted;

const CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;
/// The longest pause that a receiver is granted.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Most characters of a receiver's own words that are shown.
const SAID: usize = 120;

/// A destination cannot be used as it is configured. The value, which may be a credential, is not shown.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is no address.
    #[error(
        "{0} is no usable address: it must begin with https:// (http:// only for a receiver on this machine or network) and name a host"
    )]
    Url(&'static str),
    /// It is missing or wrong.
    #[error("{name}: {why}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What is wrong with it, and what is allowed.
        why: String,
    },
    /// The client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// The address, if it is one for HTTP.
pub(crate) fn address(setting: &'static str, text: &str) -> Result<Url, ConfigError> {
    let parsed = Url::parse(text.trim()).map_err(|_| ConfigError::Url(setting))?;
    if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
        return Err(ConfigError::Url(setting));
    }
    Ok(parsed)
}

/// A secret without the blanks around it, as the end of a file leaves them.
pub(crate) fn trimmed(secret: &SecretString) -> SecretString {
    SecretString::from(secret.expose_secret().trim().to_owned())
}

pub(crate) fn client() -> Result<Client, ConfigError> {
    let built = aegis_outgoing::client_builder().and_then(|builder| {
        builder
            .user_agent(concat!("aegisops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(TIMEOUT)
            .build()
    });
    built.map_err(ConfigError::Client)
}

/// An answer, read up to a bound.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The pause that was requested (`Retry-After`, in seconds), at most [`LONGEST_PAUSE`].
    pub(crate) after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Sends a request; what did not arrive is tried later.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Result<Answer, Posted> {
    match request.send().await {
        Ok(response) => Ok(read(response).await),
        Err(error) => Err(Posted::Later {
            why: cause(&error),
            after: None,
        }),
    }
}

async fn read(mut response: Response) -> Answer {
    let status = response.status();
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
    Answer { status, after, body }
}

impl Answer {
    /// `HTTP 404: no_service`, redacted and bounded.
    pub(crate) fn words(&self) -> String {
        let code = self.status.as_u16();
        match said(&String::from_utf8_lossy(&self.body)).as_str() {
            "" => format!("HTTP {code}"),
            said => format!("HTTP {code}: {said}"),
        }
    }

    /// What an answer means to whom any status of success says that it was taken.
    pub(crate) fn judge(&self) -> Posted {
        let (why, after) = (self.words(), self.after);
        match self.status {
            status if status.is_success() => Posted::Taken(None),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Posted::Later { why, after },
            status if status.is_server_error() => Posted::Later { why, after },
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::UNSUPPORTED_MEDIA_TYPE => Posted::BodyRefused { why },
            _ => Posted::Refused { why },
        }
    }
}

/// A receiver's own words, redacted and bounded.
pub(crate) fn said(text: &str) -> String {
    let head: String = text.trim().chars().take(SAID * 8).collect();
    crate::story::first(&redact(&head), SAID)
}

/// The innermost reason, without the address.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    redact(&root_cause(error)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, after: Option<u64>, body: &str) -> Posted {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            after: after.map(Duration::from_secs),
            body: body.as_bytes().to_vec(),
        }
        .judge()
    }

    #[test]
    fn an_answer_says_whether_to_try_again() {
        let later = judge(429, Some(7), "");
        assert!(matches!(later, Posted::Later { after: Some(pause), .. } if pause.as_secs() == 7));
        assert!(matches!(judge(502, None, "x"), Posted::Later { after: None, .. }));
        assert!(matches!(
            judge(400, None, "invalid_blocks"),
            Posted::BodyRefused { .. }
        ));
        for (status, word) in [
            (403, "action_prohibited"),
            (404, "no_service"),
            (410, "channel_is_archived"),
        ] {
            let refused = judge(status, None, word);
            assert!(matches!(refused, Posted::Refused { why } if why.contains(word)));
        }
    }
}
