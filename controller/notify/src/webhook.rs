//! The generic webhook: CloudEvents 1.0 in structured mode, or a body by template, signed as Standard Webhooks has it.
//! Does I/O. <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

mod template;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use self::template::Template;
use crate::client::{self, ConfigError};
use crate::posted::Posted;
use crate::story::Story;

/// The shortest secret that signs.
const SECRET: usize = 16;
const CLOUD_EVENTS: &str = "application/cloudevents+json; charset=utf-8";
const JSON: &str = "application/json";

/// A body, and what identifies it also when it is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) id: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// A generic webhook.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    url: SecretString,
    secret: Option<SecretString>,
    template: Option<Template>,
}

impl Webhook {
    /// `template` is `cloudevents`, the name of one that is shipped, or the path of a file. Does not connect yet.
    ///
    /// # Errors
    ///
    /// Which setting is wrong, and what is allowed.
    pub fn new(
        url: &SecretString,
        secret: Option<&SecretString>,
        template: &str,
    ) -> Result<Self, ConfigError> {
        let url = client::trimmed(url);
        client::address("NOTIFY_WEBHOOK_URL", url.expose_secret())?;
        let secret = secret.map(client::trimmed);
        if secret
            .as_ref()
            .is_some_and(|secret| secret.expose_secret().len() < SECRET)
        {
            return Err(ConfigError::Setting {
                name: "NOTIFY_WEBHOOK_SECRET",
                why: format!("it must have at least {SECRET} characters"),
            });
        }
        Ok(Self {
            client: client::client()?,
            url,
            secret,
            template: Template::named(template)?,
        })
    }

    /// Whether its bodies are made by a template, as chats want them.
    pub(crate) fn is_for_people(&self) -> bool {
        self.template.is_some()
    }

    /// The body about one story.
    pub(crate) fn render(&self, story: &Story) -> Post {
        self.body(&event(story), &story.id)
    }

    /// The body of a line that is about no incident.
    pub(crate) fn notice(&self, text: &str, now: aegis_api::Time) -> Post {
        let id = format!("notice-{}", now.0.as_millisecond());
        let event = json!({
            "specversion": "1.0", "id": id, "source": SOURCE, "type": "io.aegisops.notice", "time": now,
            "datacontenttype": JSON, "data": {"title": text, "message": text, "stage": "NOTICE", "severity": "info"},
        });
        self.body(&event, &id)
    }

    fn body(&self, event: &Value, id: &str) -> Post {
        match &self.template {
            None => Self::cloud_event(event, id),
            Some(template) => Post {
                id: id.to_owned(),
                content_type: JSON,
                body: template.render(event).into(),
            },
        }
    }

    /// An event as it is, whatever the template.
    pub(crate) fn cloud_event(event: &Value, id: &str) -> Post {
        Post {
            id: id.to_owned(),
            content_type: CLOUD_EVENTS,
            body: event.to_string().into(),
        }
    }

    pub(crate) async fn send(&self, post: &Post, now: i64) -> Posted {
        let mut request = self
            .client
            .post(self.url.expose_secret())
            .header(CONTENT_TYPE, post.content_type)
            .header("webhook-id", &post.id)
            .header("webhook-timestamp", now);
        if let Some(signature) = self.secret.as_ref().and_then(|secret| sign(secret, post, now)) {
            request = request.header("webhook-signature", signature);
        }
        match client::send(request.body(post.body.clone())).await {
            Ok(answer) => answer.judge(),
            Err(later) => later,
        }
    }
}

pub(crate) const SOURCE: &str = "/aegisops";

/// The event about one story.
fn event(story: &Story) -> Value {
    let stage = story.stage.as_str().to_ascii_lowercase();
    json!({
        "specversion": "1.0",
        "id": story.id,
        "source": SOURCE,
        "type": format!("io.aegisops.incident.{stage}"),
        "subject": story.incident,
        "time": story.at,
        "datacontenttype": JSON,
        "data": story,
    })
}

/// `v1,` and the HMAC-SHA256 over id, time and body, in base64.
fn sign(secret: &SecretString, post: &Post, now: i64) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    mac.update(format!("{}.{now}.", post.id).as_bytes());
    mac.update(&post.body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests;
