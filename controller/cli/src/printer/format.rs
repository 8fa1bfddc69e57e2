//! `-o`: the formats, and objects written in those that are data. Pure.

use std::str::FromStr;

use serde_json::Value;

use super::jsonpath::Template;
use crate::error::CliError;
use crate::text;

/// How a result is written.
#[derive(Debug, Clone, Default)]
pub(crate) enum Output {
    #[default]
    Table,
    Wide,
    Yaml,
    Json,
    Name,
    JsonPath(Template),
}

/// What `-o` takes.
const ALLOWED: &str = "table, wide, yaml, json, name, jsonpath=TEMPLATE";

impl FromStr for Output {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "table" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            "name" => Ok(Self::Name),
            _ => match word.strip_prefix("jsonpath=") {
                Some(template) => Ok(Self::JsonPath(template.parse()?)),
                None => Err(format!("use one of {ALLOWED}")),
            },
        }
    }
}

/// `-o` of a command that answers with one object.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ObjectOutput {
    /// Writes the resulting object: yaml, json, name, jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Output>,
}

impl ObjectOutput {
    /// Whether the object itself is requested, not a line about it.
    pub(crate) fn is_data(&self) -> bool {
        self.output.is_some()
    }

    /// The object in the requested format, or else this line about it.
    pub(crate) fn write(&self, object: &Value, line: &str) -> Result<String, CliError> {
        match &self.output {
            None => Ok(format!("{line}\n")),
            Some(format) => data(format, object),
        }
    }
}

/// One value as data. A table of it is not made here: tables come from the server.
pub(crate) fn data(format: &Output, value: &Value) -> Result<String, CliError> {
    match format {
        Output::Yaml => yaml(value),
        Output::Json => Ok(json(value)),
        Output::JsonPath(template) => Ok(text::lines(&template.render(value)).into_owned()),
        Output::Table | Output::Wide | Output::Name => Ok(names(value)),
    }
}

/// As YAML.
pub(crate) fn yaml(value: &Value) -> Result<String, CliError> {
    let written = aegis_api::yaml::to_string(value)
        .map_err(|error| CliError::Failed(format!("cannot write the object as YAML: {error}")))?;
    let written = text::lines(&written).into_owned();
    Ok(if written.ends_with('\n') {
        written
    } else {
        format!("{written}\n")
    })
}

/// As JSON, indented.
pub(crate) fn json(value: &Value) -> String {
    escape(&serde_json::to_string_pretty(value).unwrap_or_default()) + "\n"
}

/// Written JSON in which what JSON leaves as it is but a terminal would act on is escaped. Its meaning stays.
pub(crate) fn escape(written: &str) -> String {
    let mut out = String::with_capacity(written.len());
    for c in written.chars() {
        if text::is_unsafe(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units)
                .iter()
                .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// `workload/web`, one a line.
fn names(value: &Value) -> String {
    let items = value.get("items").and_then(Value::as_array);
    let name = |object: &Value| format!("{}\n", reference(object));
    items.map_or_else(|| name(value), |items| items.iter().map(name).collect())
}

/// `workload/web`.
pub(crate) fn reference(object: &Value) -> String {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let name = object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text::line(&format!("{}/{name}", kind.to_lowercase()))
}

/// Several objects as one, in the shape that `apply` reads back.
pub(crate) fn list(items: &[Value]) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_format_is_known_by_name_and_others_name_them() {
        for word in ["table", "wide", "yaml", "json", "name", "jsonpath={.a}"] {
            assert!(word.parse::<Output>().is_ok(), "{word}");
        }
        assert!("xml".parse::<Output>().unwrap_err().contains("jsonpath=TEMPLATE"));
    }

    #[test]
    fn i11_data_formats_are_safe_for_a_terminal_and_json_keeps_its_meaning() {
        let value = json!({"logs": "a\u{1b}[2J \u{9b}31m \u{202e} b"});
        let written = super::json(&value);
        assert!(!written.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{written:?}");
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
        let written = yaml(&value).unwrap();
        assert!(!written.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{written:?}");
    }

    #[test]
    fn names_of_one_and_of_several() {
        let one = json!({"kind": "Workload", "metadata": {"name": "web"}});
        assert_eq!(names(&one), "workload/web\n");
        assert_eq!(names(&list(&[one.clone(), one])), "workload/web\nworkload/web\n");
    }
}
