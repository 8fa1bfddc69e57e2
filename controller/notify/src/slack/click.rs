//! What a button carries, and what a click on it says. Pure. Everything in a payload but what Slack itself puts there is
//! as hostile as the incident it came from: the button's value is checked against the incident again where it is decided.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest value of a button; Slack takes 2,000.
pub(crate) const VALUE: usize = 2_000;
/// Most characters of a user's name that are shown.
const NAME: usize = 60;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Approve the plan.
    Approve,
    /// Reject it.
    Reject,
    /// Silence the incident's workload for an hour.
    Silence,
}

impl Verb {
    /// The `action_id` of its button.
    pub(crate) fn action_id(self) -> &'static str {
        match self {
            Self::Approve => "aegis.approve",
            Self::Reject => "aegis.reject",
            Self::Silence => "aegis.silence",
        }
    }

    /// In a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Silence => "silence",
        }
    }

    fn of(action_id: &str) -> Option<Self> {
        [Self::Approve, Self::Reject, Self::Silence]
            .into_iter()
            .find(|verb| verb.action_id() == action_id)
    }
}

/// The plan that a button is about: this one, of this very incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    /// The incident's name.
    #[serde(rename = "i")]
    pub(crate) incident: String,
    /// Its uid: a later incident of the same name is another one.
    #[serde(rename = "u")]
    pub(crate) uid: String,
    /// The plan's hash; empty where the button is about no plan.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    pub(crate) plan: String,
}

impl Subject {
    /// As a button's value; `None` where it would be too long.
    pub(crate) fn value(&self) -> Option<String> {
        let value = serde_json::to_string(self).ok()?;
        (value.chars().count() <= VALUE).then_some(value)
    }
}

/// A click on one of our buttons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Click {
    pub(crate) verb: Verb,
    /// `None` where the value is not one of ours.
    pub(crate) subject: Option<Subject>,
    /// The user's id, `U…` or `W…`.
    pub(crate) user: String,
    /// How they are called; chosen by themselves.
    pub(crate) name: String,
    /// Where they clicked.
    pub(crate) channel: String,
}

impl Click {
    /// The click in a payload of `block_actions`; `None` for everything else, which is only acknowledged.
    pub(crate) fn of(payload: &Value) -> Option<Self> {
        if payload.get("type").and_then(Value::as_str) != Some("block_actions") {
            return None;
        }
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
        let action = payload.pointer("/actions/0")?;
        let verb = Verb::of(action.get("action_id")?.as_str()?)?;
        let value = action.get("value").and_then(Value::as_str).unwrap_or_default();
        let name = text("/user/username").or_else(|| text("/user/name"));
        Some(Self {
            verb,
            subject: serde_json::from_str(value).ok(),
            user: text("/user/id")?.to_owned(),
            name: harmless(name.unwrap_or_default()),
            channel: text("/channel/id")
                .or_else(|| text("/container/channel_id"))
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Who it was, for the audit log and the timeline: `slack:U123 (ada)`.
    pub(crate) fn by(&self) -> String {
        let id = harmless(&self.user);
        match self.name.as_str() {
            "" => format!("slack:{id}"),
            name => format!("slack:{id} ({name})"),
        }
    }
}

/// A name that cannot pass for anything else in a line of text.
fn harmless(name: &str) -> String {
    let allowed = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    name.chars()
        .filter(allowed)
        .take(NAME)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The payload in a form-encoded body.
pub(crate) fn payload(body: &[u8]) -> Option<Value> {
    let body = std::str::from_utf8(body).ok()?;
    let mut url = Url::parse("http://localhost/").ok()?;
    url.set_query(Some(body));
    let (_, payload) = url.query_pairs().find(|(name, _)| name == "payload")?;
    serde_json::from_str(&payload).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A click as Slack sends it.
    pub(crate) fn clicked(verb: Verb, user: &str, subject: &Subject) -> Value {
        json!({
            "type": "block_actions",
            "user": {"id": user, "username": "ada", "name": "ada", "team_id": "T1"},
            "team": {"id": "T1"},
            "channel": {"id": "C1", "name": "ops"},
            "actions": [{"type": "button", "action_id": verb.action_id(), "block_id": "b", "value": subject.value()}],
        })
    }

    fn subject() -> Subject {
        Subject {
            incident: "inc-a".to_owned(),
            uid: "a".to_owned(),
            plan: "abc".to_owned(),
        }
    }

    #[test]
    fn a_click_names_the_plan_and_who_clicked() {
        let click = Click::of(&clicked(Verb::Reject, "U1", &subject())).unwrap();
        assert_eq!(
            (click.verb, click.subject.as_ref()),
            (Verb::Reject, Some(&subject()))
        );
        assert_eq!(
            (click.by().as_str(), click.channel.as_str()),
            ("slack:U1 (ada)", "C1")
        );
    }

    #[test]
    fn a_name_cannot_pass_for_something_else() {
        let mut payload = clicked(Verb::Approve, "U1", &subject());
        payload["user"]["username"] = json!("ada) approved; slack:U2 (\u{202e}root\n<!channel>");
        let by = Click::of(&payload).unwrap().by();
        assert_eq!(by, "slack:U1 (ada approved slackU2 rootchannel)");
        payload["user"]["username"] = json!("x".repeat(500));
        assert!(Click::of(&payload).unwrap().by().len() < 100);
    }

    #[test]
    fn what_is_no_click_on_our_buttons_is_none() {
        let mut other = clicked(Verb::Approve, "U1", &subject());
        other["actions"][0]["action_id"] = json!("aegis.open");
        for payload in [json!({}), json!([]), json!({"type": "view_submission"}), other] {
            assert_eq!(Click::of(&payload), None);
        }
        let mut foreign = clicked(Verb::Approve, "U1", &subject());
        foreign["actions"][0]["value"] = json!("{\"i\":1}");
        assert_eq!(Click::of(&foreign).unwrap().subject, None);
    }

    #[test]
    fn a_form_encoded_body_is_read_and_garbage_is_none() {
        let body = b"payload=%7B%22type%22%3A%22block_actions%22%2C%22a%22%3A%22x+y%26z%22%7D";
        assert_eq!(
            payload(body),
            Some(json!({"type": "block_actions", "a": "x y&z"}))
        );
        for garbage in [
            &b"payload=%7B"[..],
            b"",
            b"payload",
            b"\xff\xfe",
            b"x=1#payload={}",
        ] {
            assert_eq!(payload(garbage), None, "{garbage:?}");
        }
    }
}
