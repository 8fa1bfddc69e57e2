//! Renders a template that a person wrote, within bounds: it reads nothing of the process, and it comes to an end. What it
//! repeats is counted, whatever it repeats over; what calls itself is not there at all. Pure.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use tera::{Context, Tera, Value};

/// Longest template, bytes.
const TEMPLATE: usize = 256 << 10;
/// Longest text that comes of it, bytes: the store keeps it, too.
const TEXT: usize = 1 << 20;
/// Most rounds of all its loops together.
const ROUNDS: u32 = 100_000;
/// Largest range, numbers.
const RANGE: u64 = 10_000;
const NAME: &str = "template";
/// What is called in each round of a loop.
const ROUND: &str = "aegis_round";

/// The text that these values make of a template.
pub(super) fn render(template: &str, context: &Context) -> Result<String, tera::Error> {
    if template.len() > TEMPLATE {
        return Err(refused(format!("the template has more than {TEMPLATE} bytes")));
    }
    // What is wrong with it is said of the lines that its author wrote.
    let mut tera = bounded();
    tera.add_raw_template(NAME, template)?;
    let counted = counted(template)?;
    tera.add_raw_template(NAME, &counted)?;
    let mut text = Bounded(Vec::new());
    tera.render_to(NAME, context, &mut text)?;
    String::from_utf8(text.0).map_err(|error| refused(error.to_string()))
}

/// An engine without what reads the environment, and with ranges that end.
fn bounded() -> Tera {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::new());
    tera.register_function("get_env", |_: &HashMap<String, Value>| -> tera::Result<Value> {
        Err(refused("get_env is not offered: a template reads no environment"))
    });
    tera.register_function("range", range);
    let rounds = AtomicU32::new(0);
    tera.register_function(ROUND, move |_: &HashMap<String, Value>| {
        if rounds.fetch_add(1, Ordering::Relaxed) >= ROUNDS {
            return Err(refused(format!(
                "its loops have more than {ROUNDS} rounds together"
            )));
        }
        Ok(Value::String(String::new()))
    });
    tera
}

/// As Tera's own, up to a bound.
fn range(arguments: &HashMap<String, Value>) -> Result<Value, tera::Error> {
    let number = |name: &str, default: Option<u64>| match arguments.get(name) {
        Some(value) => value
            .as_u64()
            .ok_or_else(|| refused(format!("range: {name} must be a number of 0 or more"))),
        None => default.ok_or_else(|| refused(format!("range: {name} is missing"))),
    };
    let (start, end) = (number("start", Some(0))?, number("end", None)?);
    let step = number("step_by", Some(1))?;
    if start > end || step == 0 {
        return Err(refused("range: use start up to end, and step_by of 1 or more"));
    }
    if (end - start).div_ceil(step) > RANGE {
        return Err(refused(format!("range: it has more than {RANGE} numbers")));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((start..end).step_by(step).map(Value::from).collect())
}

fn refused(why: impl std::fmt::Display) -> tera::Error {
    tera::Error::msg(why)
}

/// The template with a call at the begin of each round of its loops. It is one that Tera could read.
fn counted(template: &str) -> Result<String, tera::Error> {
    let mut text = String::with_capacity(template.len().saturating_mul(2));
    let mut rest = template;
    let mut is_raw = false;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let length = match from.as_bytes().get(1) {
            Some(b'#') if !is_raw => from.find("#}").map(|end| end.saturating_add(2)),
            Some(b'{') if !is_raw => tag_end(from, "}}"),
            Some(b'%') => tag_end(from, "%}"),
            _ => None,
        };
        // A brace that begins nothing, or what Tera takes for text.
        let (tag, after) = from.split_at(length.unwrap_or(1));
        text.push_str(tag);
        rest = after;
        if !tag.starts_with("{%") {
            continue;
        }
        let keyword = keyword(tag);
        match keyword {
            "raw" => is_raw = true,
            "endraw" => is_raw = false,
            _ if is_raw => {}
            "macro" | "import" | "include" | "extends" => {
                return Err(refused(format!("{keyword} is not offered in this template")));
            }
            "for" => {
                // With the same trimming of what follows.
                let trims = tag.ends_with("-%}");
                text.push_str(&match trims {
                    true => format!("{{{{ {ROUND}() -}}}}"),
                    false => format!("{{{{ {ROUND}() }}}}"),
                });
            }
            _ => {}
        }
    }
    text.push_str(rest);
    Ok(text)
}

/// The length of a tag to its end, over texts in quotes.
fn tag_end(from: &str, end: &str) -> Option<usize> {
    let mut quote = None;
    for (at, sign) in from.char_indices().skip(2) {
        match quote {
            Some(open) if sign == open => quote = None,
            Some(_) => {}
            None if matches!(sign, '"' | '\'' | '`') => quote = Some(sign),
            None if from.get(at..).is_some_and(|rest| rest.starts_with(end)) => {
                return Some(at.saturating_add(end.len()));
            }
            None => {}
        }
    }
    None
}

/// The first word of a tag.
fn keyword(tag: &str) -> &str {
    let inner = tag.trim_start_matches("{%").trim_start_matches('-').trim_start();
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(inner.len());
    inner.get(..end).unwrap_or_default()
}

/// A text that may become only so long.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > TEXT {
            return Err(io::Error::other(format!("the text has more than {TEXT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_api::error::chain;

    fn rendered(template: &str) -> Result<String, String> {
        let mut context = Context::new();
        context.insert("names", &["a", "b"]);
        render(template, &context).map_err(|error| chain(&error))
    }

    #[test]
    fn a_template_reads_no_environment_and_ends_whatever_it_repeats() {
        for (template, why) in [
            ("{{ get_env(name='PATH') }}", "get_env is not offered"),
            (
                "{{ get_env(name='NONE', default='x') }}",
                "get_env is not offered",
            ),
            (
                "{% for a in range(end=9999999999) %}{% endfor %}",
                "more than 10000 numbers",
            ),
            (
                "{% for a in range(end=9999) %}{% for b in range(end=9999) %}{% endfor %}{% endfor %}",
                "rounds together",
            ),
            (
                "{% set r = range(end=5000) -%} {%- for a in r -%}{%- for b in r -%}{%- for c in r -%}{%- endfor -%}{%- endfor -%}{%- endfor -%}",
                "rounds together",
            ),
            (
                "{% for a in range(end=9999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
                "more than 1048576 bytes",
            ),
            (
                "{% macro m() %}{{ self::m() }}{% endmacro %}{{ self::m() }}",
                "macro is not offered",
            ),
            ("{% include 'template' %}", "include is not offered"),
        ] {
            let error = rendered(template).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn what_is_counted_is_not_seen() {
        for template in [
            "a {% for n in names %}[{{ n }}]\n{% endfor %}b",
            "a {%- for n in names -%}  [{{ n }}]  {%- endfor %} b",
            "{# {% for x in y %} #}{ {x} {% raw %}{% for n in names %}{{ n }}{% endraw %}",
            "{% for n in ['%}', \"{%\"] %}{{ n }}{% endfor %}{{ '{% for' }}",
            "{% if names %}{% for n in names %}{% if n == 'a' %}{% continue %}{% endif %}{{ n }}{% endfor %}{% endif %}",
        ] {
            let mut context = Context::new();
            context.insert("names", &["a", "b"]);
            let plain = Tera::one_off(template, &context, false).map_err(|error| chain(&error));
            assert_eq!(rendered(template), plain, "{template}");
        }
    }
}
