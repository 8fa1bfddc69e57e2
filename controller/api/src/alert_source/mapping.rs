//! Where the fields of an alert stand in a body of formats that are not built in. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;

use crate::validate::{FieldError, Rules};

/// Most paths of one field.
const MOST: usize = 8;

/// Where the fields stand: each a list of JSONPaths (RFC 9535), the first that finds something counts. An entry that does
/// not begin with `$` is taken word for word. Forms are read as an object of their fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// The alerts of a body that holds several, such as `$.events[*]`; the other paths are relative to each. What those do
    /// not find in it is looked for in the whole body. Absent: the body is one alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub alerts: Option<String>,
    /// What the sender calls the alert. Absent or not found: made of the type, the container and the title.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub id: Vec<String>,
    /// What messages about the same trouble have in common. Not found: the id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub fingerprint: Vec<String>,
    /// What kind of alert.
    #[schemars(length(min = 1, max = 8))]
    pub alert_type: Vec<String>,
    /// The container. Not found: wherever alerts usually name one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub container: Vec<String>,
    /// How the alert stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub status: Vec<String>,
    /// What `status` says where the trouble is over, in any case. Empty: `resolved`, `ok`, `up`, `recovered` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub resolved: Vec<String>,
    /// What `status` says of a message that is about no trouble at all, such as a test; such messages open nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ignored: Vec<String>,
    /// How bad.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub severity: Vec<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub starts_at: Vec<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub ends_at: Vec<String>,
    /// What people read, and what the analysis is given. Every path that finds something is a line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub logs: Vec<String>,
    /// Where a person can read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub url: Vec<String>,
    /// Further fields that are kept: objects, lists of pairs or of `key:value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub labels: Vec<String>,
}

impl Rules for Mapping {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        if let Some(alerts) = &self.alerts {
            if !alerts.starts_with('$') {
                let why = "a JSONPath begins with $, such as $.alerts[*]";
                out.push(FieldError::invalid(format!("{path}.alerts"), alerts, why));
            }
            check(alerts, || format!("{path}.alerts"), out);
        }
        for (field, paths) in self.fields() {
            if paths.len() > MOST {
                let why = format!("at most {MOST} paths a field");
                out.push(FieldError::invalid(format!("{path}.{field}"), paths.len(), why));
            }
            for (at, text) in paths.iter().enumerate() {
                check(text, || format!("{path}.{field}[{at}]"), out);
            }
        }
    }
}

impl Mapping {
    fn fields(&self) -> [(&'static str, &[String]); 11] {
        [
            ("id", &self.id),
            ("fingerprint", &self.fingerprint),
            ("alertType", &self.alert_type),
            ("container", &self.container),
            ("status", &self.status),
            ("severity", &self.severity),
            ("startsAt", &self.starts_at),
            ("endsAt", &self.ends_at),
            ("logs", &self.logs),
            ("url", &self.url),
            ("labels", &self.labels),
        ]
    }
}

fn check(text: &str, field: impl Fn() -> String, out: &mut Vec<FieldError>) {
    if text.len() > 256 {
        out.push(FieldError::invalid(field(), text.len(), "at most 256 bytes"));
    }
    if !text.starts_with('$') {
        return;
    }
    // Each one multiplies how much of a body is looked at.
    if text.matches("..").count() > 1 {
        out.push(FieldError::invalid(field(), text, "at most one .. in a path"));
    }
    if let Err(error) = JsonPath::parse(text) {
        let why = format!("no JSONPath (RFC 9535): {error}");
        out.push(FieldError::invalid(field(), text, why));
    }
}
