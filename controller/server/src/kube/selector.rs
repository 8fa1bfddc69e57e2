//! Label and field selectors, as they stand in a query. Pure.

use aegis_runtime::Stored;
use serde_json::Value;

use crate::decoded::Decoded;
use crate::sight::Sight;
use crate::status::Status;

/// Which objects a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Missing,
}

impl Selector {
    /// Reads both selectors of a query; empty ones select everything.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = parse(labels, true).map_err(|part| {
            Status::bad_request(format!(
                "unable to parse requirement: {part:?} is no label requirement"
            ))
        })?;
        let fields = parse(fields, false).map_err(|part| {
            let allowed = "use path=value or path!=value, separated by commas";
            Status::bad_request(format!("invalid selector: {part:?}: {allowed}"))
        })?;
        Ok(Self { labels, fields })
    }

    /// Whether it selects every object.
    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether a stored object is among them, as it is shown: a value that is hidden is not found out by selecting for it.
    /// It is decoded only where something is asked of it.
    pub(super) fn selects(&self, object: &Stored, sight: Sight) -> bool {
        self.is_everything() || self.matches(&sight.shows(&object.value()))
    }

    /// The same of what may be decoded already.
    pub(super) fn selects_decoded(&self, object: &Decoded, sight: Sight) -> bool {
        self.is_everything() || self.matches(object.shown(sight))
    }

    /// Whether an object is among them.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(text);
        let field = |key: &str| Some(at(object, key).map(text).unwrap_or_default());
        self.labels
            .iter()
            .all(|requirement| requirement.holds(label(&requirement.key)))
            && self
                .fields
                .iter()
                .all(|requirement| requirement.holds(field(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, value: Option<String>) -> bool {
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(&value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(&value)),
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
        }
    }
}

/// What a dotted path leads to.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The requirements of a selector; the part that is none, if one is not.
fn parse(selector: &str, sets: bool) -> Result<Vec<Requirement>, String> {
    let parts = split(selector);
    let parts = parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty());
    parts
        .map(|part| requirement(part, sets).ok_or_else(|| part.to_owned()))
        .collect()
}

/// Splits at commas outside parentheses.
fn split(selector: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let separator = |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    selector.split(separator).collect()
}

fn requirement(part: &str, sets: bool) -> Option<Requirement> {
    if let Some((key, value)) = part.split_once("!=") {
        return new(key, Test::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return new(key, Test::In(vec![value.trim().to_owned()]));
    }
    if !sets {
        return None;
    }
    if let Some(key) = part.strip_prefix('!') {
        return new(key, Test::Missing);
    }
    let Some((key, rest)) = part.split_once(char::is_whitespace) else {
        return new(part, Test::Exists);
    };
    let rest = rest.trim();
    if let Some(list) = rest.strip_prefix("notin") {
        return new(key, Test::NotIn(values(list)?));
    }
    new(key, Test::In(values(rest.strip_prefix("in")?)?))
}

fn new(key: &str, test: Test) -> Option<Requirement> {
    let key = key.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    (!key.is_empty() && key.chars().all(fine)).then(|| Requirement {
        key: key.to_owned(),
        test,
    })
}

fn values(list: &str) -> Option<Vec<String>> {
    let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(selector: &str) -> bool {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front", "x/y": ""}}});
        Selector::parse(selector, "").unwrap().matches(&object)
    }

    fn fields(selector: &str) -> bool {
        let object = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2}, "involvedObject": {"namespace": ""}});
        Selector::parse("", selector).unwrap().matches(&object)
    }

    #[test]
    fn labels_are_selected_as_in_kubernetes() {
        for yes in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "other!=x",
            "app in (web, db)",
            "app notin (db)",
            "other notin (db)",
            "app",
            "!other",
            "app=web,tier in (front,back),!other",
            "x/y=",
            "x/y",
        ] {
            assert!(labels(yes), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "other",
            "!app",
            "other=",
            "app=web,tier=back",
        ] {
            assert!(!labels(no), "{no}");
        }
    }

    #[test]
    fn fields_are_selected_by_path_and_a_missing_one_is_empty() {
        for yes in [
            "metadata.name=web",
            "metadata.name!=db",
            "spec.replicas=2",
            "involvedObject.namespace=",
            "a.b=",
        ] {
            assert!(fields(yes), "{yes}");
        }
        for no in [
            "metadata.name=db",
            "spec.replicas!=2",
            "a.b=c",
            "metadata.name=web,spec.replicas=3",
        ] {
            assert!(!fields(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_selector_is_a_bad_request() {
        for bad in ["app in web", "app is (web)", "=web", "a b c", "(", "a,=,b"] {
            assert_eq!(
                Selector::parse(bad, "").unwrap_err().reason,
                "BadRequest",
                "{bad}"
            );
        }
        assert_eq!(
            Selector::parse("", "metadata.name").unwrap_err().reason,
            "BadRequest"
        );
    }
}
