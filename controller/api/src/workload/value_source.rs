//! Environment variables of a template: those that are written in it, and those whose value stands elsewhere. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ContainerTemplate;
use crate::conceal::CONCEALED;
use crate::validate::{FieldError, Rules};

/// Where the value of an environment variable stands: one of both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueSource {
    /// A file below the controller's secrets folder (`AEGIS_SECRETS_DIR`); its last line end is not part of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub file: Option<String>,
    /// A variable of the controller's own environment whose name begins with `AEGIS_SECRET_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub env: Option<String>,
}

/// Names, values and sources of a template's variables.
pub(super) fn rules(template: &ContainerTemplate, path: &str, out: &mut Vec<FieldError>) {
    let written = template.env.keys().map(|key| ("env", key));
    let elsewhere = template.env_value_from.keys().map(|key| ("envValueFrom", key));
    for (field, key) in written.chain(elsewhere) {
        if key.is_empty() || key.contains('=') || key.chars().any(char::is_control) {
            out.push(FieldError::invalid(
                format!("{path}.{field}"),
                key,
                "a variable's name is not empty and holds no '=' or control characters",
            ));
        }
    }
    for (key, _) in template.env.iter().filter(|(_, value)| *value == CONCEALED) {
        out.push(FieldError::invalid(
            format!("{path}.env.{key}"),
            CONCEALED,
            "stands where a value is hidden from who may not see it, and is no value: write the value, leave the \
             variable out of a patch, or use envValueFrom",
        ));
    }
    for (key, source) in &template.env_value_from {
        source.rules(&format!("{path}.envValueFrom.{key}"), out);
        if template.env.contains_key(key) {
            out.push(FieldError::invalid(
                format!("{path}.envValueFrom.{key}"),
                key,
                "env has a variable of this name, too: keep one of both",
            ));
        }
    }
}

impl Rules for ValueSource {
    fn rules(&self, path: &str, out: &mut Vec<FieldError>) {
        match (&self.file, &self.env) {
            (Some(file), None) if !is_inside(file) => out.push(FieldError::invalid(
                format!("{path}.file"),
                file,
                "a path below the secrets folder, such as shop/db-password: not absolute, without '..', at most 255 bytes",
            )),
            (None, Some(name)) if !is_offered(name) => out.push(FieldError::invalid(
                format!("{path}.env"),
                name,
                format!("a variable of the controller whose name begins with {OFFERED}: others are not a template's to read"),
            )),
            (Some(_), None) | (None, Some(_)) => {}
            _ => out.push(FieldError::invalid(path, "", "names either a file or a variable (env)")),
        }
    }
}

/// Prefix of the controller's variables that a template may read.
const OFFERED: &str = "AEGIS_SECRET_";

fn is_offered(name: &str) -> bool {
    let rest = name.strip_prefix(OFFERED).unwrap_or_default();
    let sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !rest.is_empty() && name.len() <= 255 && rest.chars().all(sound)
}

fn is_inside(file: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    file.len() <= 255 && file.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(template: &str) -> Vec<String> {
        let template: ContainerTemplate = serde_json::from_str(template).unwrap();
        let mut out = Vec::new();
        Rules::rules(&template, "spec.template", &mut out);
        out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_hides_a_value_is_refused_as_one_and_the_variable_is_named() {
        let errors = wrong(r#"{"image": "web:1", "env": {"MODE": "fast", "TOKEN": "•••"}}"#);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].contains("spec.template.env.TOKEN") && errors[0].contains("is no value"),
            "{errors:?}"
        );
    }

    #[test]
    fn a_source_is_one_file_below_the_folder_or_one_variable_that_is_offered() {
        let source = |source: &str| {
            wrong(&format!(
                r#"{{"image": "web:1", "envValueFrom": {{"TOKEN": {source}}}}}"#
            ))
        };
        for right in [
            r#"{"file": "token"}"#,
            r#"{"file": "shop/db-password.txt"}"#,
            r#"{"env": "AEGIS_SECRET_TOKEN"}"#,
        ] {
            assert_eq!(source(right), [""; 0], "{right}");
        }
        for file in [
            "",
            "/etc/shadow",
            "../admin-token",
            "a/../../b",
            "a//b",
            "./a",
            "a\\u0000b",
        ] {
            let errors = source(&format!(r#"{{"file": "{file}"}}"#));
            assert!(
                errors.len() == 1 && errors[0].contains("envValueFrom.TOKEN.file"),
                "{file}: {errors:?}"
            );
        }
        for name in [
            "FASTRTR_API_KEY",
            "AEGIS_WEBHOOK_TOKEN",
            "AEGIS_SECRET_",
            "AEGIS_SECRET_A B",
        ] {
            let errors = source(&format!(r#"{{"env": "{name}"}}"#));
            assert!(
                errors.len() == 1 && errors[0].contains("AEGIS_SECRET_"),
                "{name}: {errors:?}"
            );
        }
        for both in ["{}", r#"{"file": "a", "env": "AEGIS_SECRET_A"}"#] {
            let errors = source(both);
            assert!(
                errors.len() == 1 && errors[0].contains("either a file or"),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn a_variable_has_one_value() {
        let twice = r#"{"image": "web:1", "env": {"A": "1"}, "envValueFrom": {"A": {"file": "a"}, "B=": {"file": "b"}}}"#;
        let errors = wrong(twice);
        assert!(
            errors.iter().any(|error| error.contains("keep one of both")),
            "{errors:?}"
        );
        assert!(errors.iter().any(|error| error.contains("B=")), "{errors:?}");
    }
}
