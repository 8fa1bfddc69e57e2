//! The little JSONPath that printer columns use: `.a.b`, `.a[0]`, `.a[?(@.type=="Ready")].b`. Pure.

use serde_json::Value;

/// A path that was read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Where { field: String, value: String },
}

impl JsonPath {
    /// Reads a path; `None` if it is not of the little language.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let step;
            (step, rest) = if let Some(after) = rest.strip_prefix("[?(@.") {
                let (filter, after) = after.split_once(")]")?;
                let (field, value) = filter.split_once("==")?;
                let value = value.trim().trim_matches(['"', '\'']).to_owned();
                (
                    Step::Where {
                        field: field.trim().to_owned(),
                        value,
                    },
                    after,
                )
            } else if let Some(after) = rest.strip_prefix('[') {
                let (index, after) = after.split_once(']')?;
                (Step::Index(index.parse().ok()?), after)
            } else {
                let after = rest.strip_prefix('.')?;
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, after) = after.split_at_checked(end)?;
                (Step::Field((!name.is_empty()).then(|| name.to_owned())?), after)
            };
            steps.push(step);
        }
        Some(Self(steps))
    }

    /// What the path leads to; for a filter the first item that passes it.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Index(index) => value.get(index),
            Step::Where { field, value: wanted } => value
                .as_array()?
                .iter()
                .find(|item| item.get(field).and_then(Value::as_str) == Some(wanted)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::KINDS;
    use serde_json::json;

    #[test]
    fn paths_lead_where_they_say() {
        let object =
            json!({"a": {"b": 1}, "c": [{"type": "X", "s": "no"}, {"type": "Ready", "s": "yes"}], "n": null});
        let find = |path: &str| JsonPath::parse(path).unwrap().find(&object).cloned();
        assert_eq!(find(".a.b"), Some(json!(1)));
        assert_eq!(find(".c[1].s"), Some(json!("yes")));
        assert_eq!(find(".c[?(@.type==\"Ready\")].s"), Some(json!("yes")));
        assert_eq!(find(".c[?(@.type=='X')].s"), Some(json!("no")));
        assert_eq!(find(".c[?(@.type==\"Gone\")].s"), None);
        assert_eq!(find(".a.b.c"), None);
        assert_eq!(find(".n"), Some(Value::Null));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["a", ".", "..a", ".a[", ".a[x]", ".a[?(@.b)]", ".a[?(@.b==1"] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_column_of_every_kind_is_a_path_we_read() {
        for info in KINDS.iter() {
            for column in &info.columns {
                assert!(
                    JsonPath::parse(&column.json_path).is_some(),
                    "{}: {}",
                    info.kind,
                    column.json_path
                );
            }
        }
    }
}
