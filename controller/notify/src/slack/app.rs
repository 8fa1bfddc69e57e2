//! Slack's Web API with a bot token: posts, updates, answers that only one person sees. Does I/O. What Slack answers:
//! <https://docs.slack.dev/reference/methods/chat.postMessage>.

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::client::{self, ConfigError};
use crate::posted::{MessageRef, Posted};

/// Where Slack's API is.
pub const API: &str = "https://slack.com/api";
/// Errors after which nothing will be taken until a person changes the token, the channel or the app's rights.
const REVOKED: [&str; 17] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "no_permission",
    "missing_scope",
    "not_allowed_token_type",
    "org_login_required",
    "ekm_access_denied",
    "access_denied",
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "team_access_not_granted",
    "team_not_found",
];
/// Errors of Slack's own.
const LATER: [&str; 5] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
];
/// Errors of an update that another message cures.
const GONE: [&str; 4] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "thread_not_found",
];

/// A Slack app: posts into one channel.
#[derive(Debug)]
pub struct App {
    client: Client,
    api: String,
    token: SecretString,
    channel: String,
}

/// What Slack answered to one call.
#[derive(Debug)]
pub(crate) enum Called {
    Ok(Value),
    Not(String, Posted),
}

impl App {
    /// An app with a bot token (`xoxb-…`) that posts into this channel, by name or id; does not connect yet.
    ///
    /// # Errors
    ///
    /// The API's address is none, or token or channel are empty.
    pub fn new(api: &str, token: &SecretString, channel: &str) -> Result<Self, ConfigError> {
        let token = client::trimmed(token);
        if token.expose_secret().is_empty() {
            return Err(ConfigError::Setting {
                name: "SLACK_BOT_TOKEN",
                why: "it is empty: use the app's bot token, which begins with xoxb-".to_owned(),
            });
        }
        let channel = channel.trim();
        if channel.is_empty() || channel.len() > 255 || channel.chars().any(char::is_whitespace) {
            return Err(ConfigError::Setting {
                name: "SLACK_CHANNEL",
                why: "name one channel that the app is a member of, by id (C0123456789) or name (#ops)"
                    .to_owned(),
            });
        }
        Ok(Self {
            client: client::client()?,
            api: endpoint(api)?,
            token,
            channel: channel.to_owned(),
        })
    }

    /// The incident's own message: updated where it stands, else posted.
    pub(crate) async fn root(&self, card: &Value, root: Option<&MessageRef>) -> Posted {
        if let Some(root) = root {
            let body = with(card, json!({"channel": root.channel, "ts": root.ts}));
            match self.call("chat.update", &body).await {
                Called::Ok(_) => return Posted::Taken(Some(root.clone())),
                // Somebody deleted it, or it is too old to be edited.
                Called::Not(error, _) if GONE.contains(&error.as_str()) => {}
                Called::Not(_, posted) => return posted,
            }
        }
        self.message(&with(card, json!({"channel": self.channel}))).await
    }

    /// A message in the thread of the incident's own. Where that is not known, in the channel.
    pub(crate) async fn reply(&self, card: &Value, root: Option<&MessageRef>) -> Posted {
        let Some(root) = root else {
            return self.message(&with(card, json!({"channel": self.channel}))).await;
        };
        let thread = json!({"channel": root.channel, "thread_ts": root.ts});
        match self.call("chat.postMessage", &with(card, thread)).await {
            Called::Ok(_) => Posted::Taken(None),
            Called::Not(error, _) if GONE.contains(&error.as_str()) => {
                self.message(&with(card, json!({"channel": root.channel}))).await
            }
            Called::Not(_, posted) => posted,
        }
    }

    /// An answer that only this user sees.
    pub(crate) async fn ephemeral(&self, channel: &str, user: &str, text: &str) -> Posted {
        let body = json!({"channel": channel, "user": user, "text": text});
        match self.call("chat.postEphemeral", &body).await {
            Called::Ok(_) => Posted::Taken(None),
            Called::Not(_, posted) => posted,
        }
    }

    async fn message(&self, body: &Value) -> Posted {
        match self.call("chat.postMessage", body).await {
            Called::Ok(answer) => Posted::Taken(place(&answer)),
            Called::Not(_, posted) => posted,
        }
    }

    async fn call(&self, method: &str, body: &Value) -> Called {
        call(&self.client, &self.api, &self.token, method, body).await
    }
}

/// The API's address without a slash at its end.
pub(crate) fn endpoint(api: &str) -> Result<String, ConfigError> {
    let api = api.trim().trim_end_matches('/');
    client::address("SLACK_API_URL", api)?;
    Ok(api.to_owned())
}

/// One call of the Web API.
pub(crate) async fn call(
    client: &Client,
    api: &str,
    token: &SecretString,
    method: &str,
    body: &Value,
) -> Called {
    let request = client
        .post(format!("{api}/{method}"))
        .bearer_auth(token.expose_secret())
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .body(body.to_string());
    let answer = match client::send(request).await {
        Ok(answer) => answer,
        Err(later) => return Called::Not(String::new(), later),
    };
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status.is_success() && said.get("ok").and_then(Value::as_bool) == Some(true) {
        return Called::Ok(said);
    }
    let error = said.get("error").and_then(Value::as_str).unwrap_or_default();
    let posted = match error {
        "" if answer.status.is_success() => Posted::Later {
            why: "an answer that is not Slack's".to_owned(),
            after: None,
        },
        "" => answer.judge(),
        error => judge(error, answer.after),
    };
    Called::Not(error.to_owned(), posted)
}

/// What an error that Slack names means.
fn judge(error: &str, after: Option<std::time::Duration>) -> Posted {
    let why = client::said(error);
    if REVOKED.contains(&error) {
        Posted::Revoked { why }
    } else if LATER.contains(&error) || after.is_some() {
        Posted::Later { why, after }
    } else {
        Posted::BodyRefused { why }
    }
}

fn place(answer: &Value) -> Option<MessageRef> {
    let text = |name: &str| answer.get(name)?.as_str().map(str::to_owned);
    Some(MessageRef {
        channel: text("channel")?,
        ts: text("ts")?,
    })
}

fn with(card: &Value, more: Value) -> Value {
    let mut body = card.clone();
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
        body.insert("unfurl_links".to_owned(), false.into());
        body.insert("unfurl_media".to_owned(), false.into());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_end_all_tries_differ_from_those_that_pass() {
        for error in [
            "invalid_auth",
            "token_revoked",
            "channel_not_found",
            "not_in_channel",
        ] {
            assert!(matches!(judge(error, None), Posted::Revoked { why } if why == error));
        }
        assert!(matches!(judge("ratelimited", None), Posted::Later { .. }));
        assert!(matches!(
            judge("invalid_blocks", None),
            Posted::BodyRefused { .. }
        ));
        assert!(matches!(judge("msg_too_long", None), Posted::BodyRefused { .. }));
    }

    #[test]
    fn a_channel_that_is_none_is_refused_with_what_is_allowed() {
        let token = SecretString::from("xoxb-1");
        for wrong in ["", " ", "#a b"] {
            let error = App::new(API, &token, wrong).unwrap_err().to_string();
            assert!(
                error.contains("SLACK_CHANNEL") && error.contains("#ops"),
                "{error}"
            );
        }
        let error = App::new(API, &SecretString::from(""), "#ops").unwrap_err();
        assert!(error.to_string().contains("xoxb-"), "{error}");
    }
}
