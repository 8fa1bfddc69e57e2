//! How much a template may hold while it is rendered: what it puts into variables is weighed after each time, and what would
//! multiply a text in one step is weighed before. Pure.

use std::collections::HashMap;

use tera::{Filter, Tera, Value};

use crate::{TEXT, refused};

/// Largest value of a variable, and how much all that are ever set may come to, bytes.
pub(crate) const VALUE: usize = 1 << 20;
pub(crate) const VALUES: usize = 16 << 20;
/// How deep a value may be nested.
const DEPTH: usize = 32;
/// What a value takes beside its text, bytes.
const NODE: usize = 32;
/// Most names, and most filters, in one tag: each may stand for a whole value, and each may double it.
const NAMES: usize = 128;
const FILTERS: usize = 8;

/// What a value weighs, bytes; more than [`VALUE`] where it is nested too deep.
pub(crate) fn weight(value: &Value) -> usize {
    fn at(value: &Value, levels: usize) -> usize {
        let Some(below) = levels.checked_sub(1) else {
            return VALUE + 1;
        };
        let inner = match value {
            Value::String(text) => text.len(),
            Value::Array(items) => {
                let weights = items.iter().map(|item| at(item, below));
                weights.fold(0_usize, usize::saturating_add)
            }
            Value::Object(fields) => {
                let weights = fields
                    .iter()
                    .map(|(name, value)| at(value, below).saturating_add(name.len()));
                weights.fold(0_usize, usize::saturating_add)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        inner.saturating_add(NODE)
    }
    at(value, DEPTH)
}

/// Refuses a tag that could join, or change, too much in one step. `tag`: with its braces.
pub(crate) fn check_tag(tag: &str) -> Result<(), tera::Error> {
    let (mut names, mut filters) = (0_usize, 0_usize);
    let (mut quote, mut in_name) = (None, false);
    for sign in tag.chars() {
        if let Some(open) = quote {
            quote = (sign != open).then_some(open);
            continue;
        }
        let is_name = sign.is_alphanumeric() || matches!(sign, '_' | '.');
        names += usize::from(is_name && !in_name);
        in_name = is_name;
        match sign {
            '"' | '\'' | '`' => quote = Some(sign),
            '|' => filters += 1,
            _ => {}
        }
    }
    if names > NAMES {
        return Err(refused(format!(
            "a tag names more than {NAMES} things: use several"
        )));
    }
    if filters > FILTERS {
        return Err(refused(format!(
            "a tag has more than {FILTERS} filters: use several"
        )));
    }
    Ok(())
}

/// Refuses a `for` tag with a list that is made of other values: it is held while the loop runs, and what it holds need not
/// be weighed in any round.
pub(crate) fn check_loop(tag: &str) -> Result<(), tera::Error> {
    // Of each bracket that is open whether it is a list, and not the place in one: that follows what it is in at once.
    let mut brackets = Vec::new();
    let (mut quote, mut before) = (None, ' ');
    for (at, sign) in tag.char_indices() {
        let in_word = before.is_alphanumeric() || matches!(before, '_' | '.');
        before = sign;
        if let Some(open) = quote {
            quote = (sign != open).then_some(open);
            continue;
        }
        match sign {
            '"' | '\'' | '`' => quote = Some(sign),
            '[' => brackets.push(!in_word && !tag.get(..at).is_some_and(|text| text.ends_with(']'))),
            ']' => {
                brackets.pop();
            }
            _ => {}
        }
        let is_word = sign.is_alphabetic() || sign == '_';
        if is_word && !in_word && brackets.contains(&true) && !is_truth(tag.get(at..).unwrap_or_default()) {
            return Err(refused(
                "for: a list of other values is not offered there: give it to a variable first (set)",
            ));
        }
    }
    Ok(())
}

/// Whether a text begins with one of Tera's own words for true and false.
fn is_truth(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let word = text.get(..end.unwrap_or(text.len()));
    matches!(word, Some("true" | "True" | "false" | "False"))
}

/// About how long a text a filter makes of a value and its arguments, bytes.
type Length = fn(&Value, &HashMap<String, Value>) -> usize;

/// One of Tera's own filters, unless what it makes would be too long.
struct Weighed {
    name: &'static str,
    length: Length,
    /// Where it is as it was.
    own: Tera,
}

impl Filter for Weighed {
    fn filter(&self, value: &Value, arguments: &HashMap<String, Value>) -> tera::Result<Value> {
        if (self.length)(value, arguments) > TEXT {
            let name = self.name;
            return Err(refused(format!("{name}: its text has more than {TEXT} bytes")));
        }
        self.own.get_filter(self.name)?.filter(value, arguments)
    }
}

/// Filters that multiply the lengths of two texts.
pub(crate) fn weigh_filters(tera: &mut Tera) {
    let weighed: [(&'static str, Length); 3] =
        [("replace", replaced), ("join", joined), ("indent", indented)];
    for (name, length) in weighed {
        let own = Tera::default();
        tera.register_filter(name, Weighed { name, length, own });
    }
}

fn argument<'a>(arguments: &'a HashMap<String, Value>, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn replaced(value: &Value, arguments: &HashMap<String, Value>) -> usize {
    let text = value.as_str().unwrap_or_default();
    let (from, to) = (argument(arguments, "from"), argument(arguments, "to"));
    let times = if to.is_empty() {
        0
    } else {
        text.matches(from).count()
    };
    text.len().saturating_add(times.saturating_mul(to.len()))
}

fn joined(value: &Value, arguments: &HashMap<String, Value>) -> usize {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = items.iter().map(weight).fold(0_usize, usize::saturating_add);
    let between = items.len().saturating_mul(argument(arguments, "sep").len());
    texts.saturating_add(between)
}

fn indented(value: &Value, arguments: &HashMap<String, Value>) -> usize {
    let text = value.as_str().unwrap_or_default();
    let lines = text.lines().count().saturating_add(1);
    text.len()
        .saturating_add(lines.saturating_mul(argument(arguments, "prefix").len().max(4)))
}
