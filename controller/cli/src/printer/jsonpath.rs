//! kubectl's JSONPath templates: text, `{expressions}`, `{range …}{end}`. Pure.
//!
//! Expressions are rewritten to RFC 9535, which the crate implements: kubectl leaves out the `$` and allows hyphens in
//! `.names`. A path that leads nowhere prints nothing, as in kubectl.

use std::str::FromStr;

use serde_json::Value;
use serde_json_path::JsonPath;

/// A parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(JsonPath),
    Range(JsonPath, Vec<Part>),
}

impl FromStr for Template {
    type Err = String;
    /// A template without braces is one expression: `.status.phase` does as well as `{.status.phase}`.
    fn from_str(template: &str) -> Result<Self, String> {
        if template.is_empty() {
            return Err("an empty template: write {.field}, such as {.status.phase}".to_owned());
        }
        if !template.contains('{') {
            return Ok(Self {
                parts: vec![Part::Value(path(template)?)],
            });
        }
        let mut tokens = tokens(template)?.into_iter();
        let parts = parse(&mut tokens, false)?;
        Ok(Self { parts })
    }
}

impl Template {
    /// The text for this value, without a line end of its own.
    pub(crate) fn render(&self, value: &Value) -> String {
        let mut out = String::new();
        render(&self.parts, value, &mut out);
        out
    }
}

enum Token {
    Text(String),
    Expression(String),
}

fn tokens(template: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some((before, inside)) = rest.split_once('{') {
        if !before.is_empty() {
            out.push(Token::Text(before.to_owned()));
        }
        let end = closing(inside, '{', '}').ok_or_else(|| format!("{template:?}: a {{ is not closed"))?;
        let (expression, after) = inside.split_at_checked(end).unwrap_or((inside, ""));
        out.push(Token::Expression(expression.trim().to_owned()));
        rest = after.strip_prefix('}').unwrap_or(after);
    }
    if !rest.is_empty() {
        out.push(Token::Text(rest.to_owned()));
    }
    Ok(out)
}

/// Where the bracket that is already open closes; those in quotes do not count.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 1_u32;
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == open => depth += 1,
            None if c == close => depth -= 1,
            None => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

fn parse(tokens: &mut std::vec::IntoIter<Token>, in_range: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(text) => parts.push(Part::Text(text)),
            Token::Expression(expression) if expression == "end" => {
                return if in_range {
                    Ok(parts)
                } else {
                    Err("{end} without {range …}".to_owned())
                };
            }
            Token::Expression(expression) => {
                if let Some(over) = expression.strip_prefix("range ") {
                    parts.push(Part::Range(path(over.trim())?, parse(tokens, true)?));
                } else if expression.starts_with('"') {
                    let text: String = serde_json::from_str(&expression)
                        .map_err(|_| format!("{{{expression}}}: a text is written {{\"…\"}}"))?;
                    parts.push(Part::Text(text));
                } else {
                    parts.push(Part::Value(path(&expression)?));
                }
            }
        }
    }
    if in_range {
        Err("{range …} without {end}".to_owned())
    } else {
        Ok(parts)
    }
}

/// kubectl's spelling of a path as RFC 9535's.
fn path(expression: &str) -> Result<JsonPath, String> {
    let standard = standard(expression);
    JsonPath::parse(&standard).map_err(|error| format!("{expression:?}: {}", error.message()))
}

fn standard(expression: &str) -> String {
    let mut out = String::from("$");
    let mut rest = expression.strip_prefix(['$', '@']).unwrap_or(expression);
    while let Some(first) = rest.chars().next() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = closing(inside, '[', ']').map_or(inside.len(), |end| end + 1);
            let (bracket, after) = inside.split_at_checked(end).unwrap_or((inside, ""));
            out.push('[');
            out.push_str(bracket);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("..") {
            out.push_str("..");
            rest = bare_name(after, &mut out);
        } else if first == '.' {
            rest = bare_name(rest.strip_prefix('.').unwrap_or_default(), &mut out);
        } else {
            rest = bare_name(rest, &mut out);
        }
    }
    out
}

/// Moves one name from the text into the path, as `['name']`; `\.` is a dot inside a name.
fn bare_name<'a>(text: &'a str, out: &mut String) -> &'a str {
    let mut name = String::new();
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => {
                end = index;
                break;
            }
            c => name.push(c),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => out.push_str("[*]"),
        _ => out.push_str(&format!("[{}]", Value::String(name))),
    }
    text.get(end..).unwrap_or_default()
}

fn render(parts: &[Part], value: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Value(path) => {
                let found: Vec<String> = path.query(value).iter().map(|found| plain(found)).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(path, inner) => path.query(value).iter().for_each(|item| render(inner, item, out)),
        }
    }
}

/// A text without quotes, anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(template: &str) -> String {
        let value = json!({
            "metadata": {"name": "web", "annotations": {"aegisops.io/protected": "true"}, "a-b": 1},
            "status": {"phase": "RESOLVED", "readyReplicas": 2, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Degraded", "status": "False"}]},
        });
        template
            .parse::<Template>()
            .map_or_else(|error| format!("error: {error}"), |parsed| parsed.render(&value))
    }

    #[test]
    fn kubectls_expressions_are_understood() {
        for (template, expected) in [
            ("{.status.phase}", "RESOLVED"),
            (".status.phase", "RESOLVED"),
            ("{$.status.readyReplicas}", "2"),
            ("{.metadata.a-b}", "1"),
            (r"{.metadata.annotations.aegisops\.io/protected}", "true"),
            ("{.metadata.annotations['aegisops.io/protected']}", "true"),
            ("{.status.conditions[*].type}", "Ready Degraded"),
            ("{.status.conditions[0].type}", "Ready"),
            (r#"{.status.conditions[?(@.type=="Ready")].status}"#, "True"),
            ("{..status}", r#"{"conditions""#),
            ("{.missing.field}", ""),
            (
                "name={.metadata.name} phase={.status.phase}",
                "name=web phase=RESOLVED",
            ),
            (
                r#"{range .status.conditions[*]}{.type}={.status}{"\n"}{end}"#,
                "Ready=True\nDegraded=False\n",
            ),
            ("{metadata.name}", "web"),
        ] {
            let text = rendered(template);
            if template == "{..status}" {
                assert!(text.starts_with(expected), "{text}");
            } else {
                assert_eq!(text, expected, "{template}");
            }
        }
    }

    #[test]
    fn a_template_that_is_none_says_why() {
        for (template, expected) in [
            ("", "empty template"),
            ("{.a", "is not closed"),
            ("{range .a}", "without {end}"),
            ("{end}", "without {range"),
            ("{.a[}", "error"),
        ] {
            let text = rendered(template);
            assert!(
                text.starts_with("error: ") && text.contains(expected),
                "{template}: {text}"
            );
        }
    }
}
