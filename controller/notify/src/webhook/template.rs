//! Bodies by template (Tera), for receivers that speak their own JSON. A template sees the CloudEvent; what it makes must
//! be JSON, which is tried before anything is sent. Pure but for reading the file of a template at the start.

use aegis_template::Templates;
use serde_json::{Value, json};
use tera::Context;

use crate::client::ConfigError;

const SETTING: &str = "NOTIFY_WEBHOOK_TEMPLATE";
/// Templates that are shipped.
const SHIPPED: [(&str, &str); 3] = [
    ("discord", include_str!("templates/discord.json.tera")),
    ("mattermost", include_str!("templates/mattermost.json.tera")),
    ("teams", include_str!("templates/teams.json.tera")),
];
/// The largest file of a template, bytes.
const LARGEST: u64 = 64 * 1024;
/// The largest body that one makes, bytes.
const BODY: usize = 64 * 1024;
const NAME: &str = "body";

/// A template.
#[derive(Debug)]
pub(super) struct Template(Templates);

impl Template {
    /// The template of this name or path; `None` for CloudEvents, which need none.
    pub(super) fn named(name: &str) -> Result<Option<Self>, ConfigError> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("cloudevents") {
            return Ok(None);
        }
        let wrong = |why: String| ConfigError::Setting { name: SETTING, why };
        let shipped = SHIPPED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let text = match shipped {
            Some((_, text)) => (*text).to_owned(),
            None => read(name).map_err(|error| {
                wrong(format!(
                    "{name:?} is neither cloudevents, discord, mattermost or teams nor a file that can be read: {error}"
                ))
            })?,
        };
        let template = Self::parse(&text).map_err(|why| wrong(format!("{name:?}: {why}")))?;
        Ok(Some(template))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut templates = Templates::default();
        templates.filter("plain", plain);
        templates.filter("cut", cut);
        let chain = |error: &tera::Error| aegis_api::error::chain(error);
        templates.add(NAME, text).map_err(|error| chain(&error))?;
        let template = Self(templates);
        template.try_render(&sample()).map(|_| template)
    }

    /// The body; where a template fails on this very event, an object with its title alone.
    pub(super) fn render(&self, event: &Value) -> String {
        self.try_render(event).unwrap_or_else(|error| {
            tracing::warn!("{SETTING} cannot be filled in: {error}");
            let title = event.pointer("/data/title").cloned().unwrap_or_default();
            json!({"text": title, "content": title}).to_string()
        })
    }

    fn try_render(&self, event: &Value) -> Result<String, String> {
        let mut context = Context::new();
        context.insert("event", event);
        context.insert("data", event.get("data").unwrap_or(&Value::Null));
        let made = self
            .0
            .render(NAME, &context)
            .map_err(|error| aegis_api::error::chain(&error))?;
        let value: Value =
            serde_json::from_str(&made).map_err(|error| format!("what it makes is no JSON: {error}"))?;
        let body = value.to_string();
        match body.len() <= BODY {
            true => Ok(body),
            false => Err(format!("what it makes is larger than {BODY} bytes")),
        }
    }
}

fn read(path: &str) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(std::io::Error::other(format!(
            "it is no file of at most {LARGEST} bytes"
        )));
    }
    std::fs::read_to_string(path)
}

/// An event without what an event may lack, so that a template that needs it is refused at the start.
fn sample() -> Value {
    json!({"id": "sample", "type": "io.aegisops.incident.received", "subject": "inc-sample", "time": "2026-01-01T00:00:00Z",
        "data": {"title": "A test", "message": "a \"quoted\" text", "stage": "RECEIVED", "severity": "warning"}})
}

/// `plain`: a text in which Markdown formats nothing, links nothing and mentions no user, as a JSON string.
fn plain(value: &Value, _: &std::collections::HashMap<String, Value>) -> tera::Result<Value> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '!' => {
                out.push('\\');
                out.push(c);
            }
            // An invisible space after it: @everyone and https:// become neither a mention nor a link.
            '@' | ':' => {
                out.push(c);
                out.push('\u{200b}');
            }
            c => out.push(c),
        }
    }
    Ok(Value::String(Value::String(out).to_string()))
}

/// `cut`: at most 400 characters, for receivers that take no more than a thousand once Markdown is escaped.
fn cut(value: &Value, _: &std::collections::HashMap<String, Value>) -> tera::Result<Value> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(crate::story::first(&text, 400).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_template_makes_json_of_hostile_text_that_formats_and_mentions_nothing() {
        let hostile = "@everyone <@1> [x](https://evil.test) \"}],\"a\":1 *b* `c` \u{0}\n\\";
        let event = json!({"id": "1", "type": "t", "subject": "inc", "time": "2026-01-01T00:00:00Z", "data": {
            "title": hostile, "message": hostile, "stage": "FAILED", "severity": "critical", "workload": hostile,
            "rootCause": hostile, "action": "RESTART", "error": hostile, "incident": "inc", "url": "https://ops.test/incidents/inc"}});
        for (name, _) in SHIPPED {
            let template = Template::named(name).unwrap().unwrap();
            let body: Value = serde_json::from_str(&template.try_render(&event).unwrap()).unwrap();
            let text = body.to_string();
            assert!(
                !text.contains("@everyone") && !text.contains("](https"),
                "{name}: {text}"
            );
            assert!(text.contains("https://ops.test/incidents/inc"), "{name}: {text}");
            assert!(body.get("a").is_none());
        }
        let discord = Template::named("Discord").unwrap().unwrap().render(&event);
        assert!(
            discord.contains(r#""allowed_mentions":{"parse":[]}"#),
            "{discord}"
        );
    }

    #[test]
    fn a_template_that_makes_no_json_or_does_not_exist_is_refused_with_what_is_allowed() {
        for (text, why) in [
            ("{{ data.nothing }}", "nothing"),
            ("{% if", "body"),
            ("not json", "no JSON"),
            ("{{ get_env(name='PATH') }}", "get_env is not offered"),
            (
                "{% for a in range(end=9999999999) %}{% endfor %}1",
                "more than 10000 numbers",
            ),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let error = Template::named("/no/such/file").unwrap_err().to_string();
        assert!(
            error.contains("NOTIFY_WEBHOOK_TEMPLATE") && error.contains("discord"),
            "{error}"
        );
    }
}
