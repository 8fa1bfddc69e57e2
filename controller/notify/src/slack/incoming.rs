//! One post to a Slack incoming webhook: the address and the client. Does I/O. The address is the credential: it is in no
//! log and no error.

use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::client::{self, ConfigError};
use crate::posted::Posted;

/// A Slack incoming webhook, or a receiver that takes the same bodies (Mattermost, Rocket.Chat, Discord's `/slack`).
#[derive(Debug)]
pub struct Slack {
    client: Client,
    url: SecretString,
}

impl Slack {
    /// Does not connect yet.
    ///
    /// # Errors
    ///
    /// It is no address.
    pub fn new(url: &SecretString) -> Result<Self, ConfigError> {
        let url = client::trimmed(url);
        client::address("SLACK_WEBHOOK_URL", url.expose_secret())?;
        Ok(Self {
            client: client::client()?,
            url,
        })
    }

    pub(crate) async fn post(&self, card: &Value) -> Posted {
        match client::send(self.client.post(self.url.expose_secret()).json(card)).await {
            Ok(answer) => answer.judge(),
            Err(later) => later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_showing_it() {
        for wrong in ["", "hooks.slack.com/services/T/B/secret", "ftp://a/secret"] {
            let error = Slack::new(&SecretString::from(wrong)).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(error.to_string().contains("SLACK_WEBHOOK_URL"), "{error}");
        }
    }
}
