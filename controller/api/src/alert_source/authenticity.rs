//! How a sender proves who it is. Pure: the secrets are elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Duration;
use crate::validate::{FieldError, Rules};
use crate::workload::ValueSource;

/// One of the three. Where it is set, no token is needed, and none helps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authenticity {
    /// The secret of `Authorization: Bearer …`; of PagerDuty's events the `routing_key`, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<ValueSource>,
    /// User and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// A signature over the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<Hmac>,
}

/// User and password, as `Authorization: Basic …` carries them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Basic {
    /// The user.
    #[schemars(length(min = 1, max = 128))]
    pub username: String,
    /// Where the password is.
    pub password: ValueSource,
}

/// HMAC-SHA256 over the body as it came over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hmac {
    /// Which headers carry it.
    pub style: Signature,
    /// Where the key is.
    pub secret: ValueSource,
    /// The header of the signature, where it is another than the style's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub header: Option<String>,
    /// The header of the time of sending in Unix seconds, which the signature covers as `time:body`; of style Grafana only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub timestamp_header: Option<String>,
    /// How far the time of sending may be from now, either way; where there is none, nothing is refused for it.
    #[serde(default = "five_minutes")]
    pub replay_window: Duration,
}

/// Whose way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Signature {
    /// `X-Hub-Signature-256: sha256=<hex>` over the body. Has no time: what is replayed is only counted as a repeat.
    GitHub,
    /// `X-Slack-Signature: v0=<hex>` over `v0:<time>:<body>`, the time in `X-Slack-Request-Timestamp`.
    Slack,
    /// `X-Grafana-Alerting-Signature: <hex>` over the body, or over `<time>:<body>` where `timestampHeader` is set.
    Grafana,
}

impl Rules for Authenticity {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        let ways = [self.bearer.is_some(), self.basic.is_some(), self.hmac.is_some()];
        if ways.iter().filter(|set| **set).count() != 1 {
            out.push(FieldError::required(
                path.to_owned(),
                "set exactly one of bearer, basic and hmac",
            ));
        }
        if let Some(bearer) = &self.bearer {
            bearer.rules(&format!("{path}.bearer"), out);
        }
        if let Some(basic) = &self.basic {
            basic.password.rules(&format!("{path}.basic.password"), out);
            if basic.username.contains(':') {
                let why = "no ':' can be in the user of Basic authentication";
                out.push(FieldError::invalid(
                    format!("{path}.basic.username"),
                    &basic.username,
                    why,
                ));
            }
        }
        if let Some(hmac) = &self.hmac {
            hmac.secret.rules(&format!("{path}.hmac.secret"), out);
            if hmac.timestamp_header.is_some() && hmac.style != Signature::Grafana {
                let why = "only style Grafana has its time in a header of one's choice";
                out.push(FieldError::forbidden(format!("{path}.hmac.timestampHeader"), why));
            }
        }
    }
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}
