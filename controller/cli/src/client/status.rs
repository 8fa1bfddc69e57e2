//! The Kubernetes API's `Status`: what a server says when it refuses. Pure.

use serde::Deserialize;

use crate::text;

/// An answer that is no success, read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiStatus {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) details: Option<Details>,
    pub(crate) metadata: Metadata,
}

/// What a `Status` says beside why.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    /// Where a list goes on whose next page is too old; empty for none.
    #[serde(rename = "continue")]
    pub(crate) next: String,
}

/// What it is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Details {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) causes: Vec<Cause>,
}

/// One refused field.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) message: String,
}

impl ApiStatus {
    /// Reads the body of an answer with this HTTP status. The routes of earlier clients say `{"detail": …}`.
    pub(crate) fn parse(http: u16, body: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        if value.get("kind").and_then(serde_json::Value::as_str) == Some("Status") {
            let mut status: Self = serde_json::from_value(value).ok()?;
            status.code = http;
            return Some(status);
        }
        let detail = value.get("detail")?;
        let message = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
        Some(Self {
            code: http,
            message,
            ..Self::default()
        })
    }

    /// The refused fields.
    pub(crate) fn causes(&self) -> &[Cause] {
        self.details.as_ref().map_or(&[], |details| &details.causes)
    }

    /// Human-readable: the message, or one line a refused field.
    pub(crate) fn explain(&self) -> String {
        let causes = self.causes();
        if causes.is_empty() {
            let fallback = || format!("the server refused ({} {})", self.code, self.reason);
            return if self.message.is_empty() {
                fallback()
            } else {
                text::lines(&self.message).into_owned()
            };
        }
        let details = self.details.as_ref();
        let kind = details.map_or("", |details| &details.kind);
        let name = details.map_or("", |details| &details.name);
        let mut lines = vec![text::line(&format!(
            "the {kind} {name:?} is refused ({}):",
            self.reason
        ))];
        lines.extend(causes.iter().map(|cause| format!("  {}", cause.explain())));
        lines.join("\n")
    }
}

impl Cause {
    /// `field: message`, as one line.
    pub(crate) fn explain(&self) -> String {
        let prefix = if self.field.is_empty() || self.message.starts_with(&format!("{}:", self.field)) {
            String::new()
        } else {
            format!("{}: ", self.field)
        };
        text::line(&format!("{prefix}{}", self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_causes_lists_its_fields() {
        let body = r#"{"kind":"Status","code":422,"reason":"Invalid","message":"long",
            "details":{"name":"web","kind":"Workload","causes":[
              {"field":"spec.replicas","message":"Invalid value: -1: must be 0 or more"},
              {"field":"spec.x","message":"spec.x: unknown field"}]}}"#;
        let status = ApiStatus::parse(422, body).unwrap();
        insta::assert_snapshot!(status.explain(), @r#"
        the Workload "web" is refused (Invalid):
          spec.replicas: Invalid value: -1: must be 0 or more
          spec.x: unknown field
        "#);
    }

    #[test]
    fn i11_the_servers_words_are_safe_for_a_terminal() {
        let status = ApiStatus::parse(500, "{\"kind\":\"Status\",\"message\":\"a\\u001b[2Jb\"}").unwrap();
        assert_eq!(status.explain(), "a\\x1b[2Jb");
    }

    #[test]
    fn the_detail_of_an_earlier_route_is_read_and_other_bodies_are_not() {
        assert_eq!(
            ApiStatus::parse(404, r#"{"detail":"Incident not found."}"#)
                .unwrap()
                .explain(),
            "Incident not found."
        );
        assert!(ApiStatus::parse(404, "<html>nope</html>").is_none());
        assert!(ApiStatus::parse(404, r#"{"error":"x"}"#).is_none());
    }
}
