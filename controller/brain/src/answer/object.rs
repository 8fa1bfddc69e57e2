//! Finds the one JSON object that is the answer, in whatever stands around it. Owns where it is looked for and what is
//! forgiven in its form. Pure, and bounded in time.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::Fault;
use super::schema::{Schema, normalised};

/// Most bytes of a text that is searched, and most braces at which an object is looked for.
const SEARCHED: (usize, usize) = (super::LONGEST_ANSWER, 256);

/// The fields of an object in their order; a name may come twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pairs(pub(super) Vec<(String, Value)>);

/// The answer in `text`.
pub(super) fn find(text: &str, schema: &Schema) -> Result<Pairs, Fault> {
    if text.len() > SEARCHED.0 {
        return Err(Fault::new(
            "answer",
            "far too long: give the JSON object and little else",
        ));
    }
    let mut found = candidates(spoken(text), schema);
    if found.is_empty() {
        // Some models never say where their thinking ends.
        found = candidates(text, schema);
    }
    found.dedup();
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let names: Vec<&str> = schema.fields.iter().map(|field| field.name).collect();
            let problem = format!("there is no JSON object with the fields {}", names.join(", "));
            Err(Fault::new("answer", problem))
        }
        (Some(_), others) => {
            let problem = format!("there are {} different answers: give exactly one", others + 1);
            Err(Fault::new("answer", problem))
        }
    }
}

/// What comes after the thinking. Models that were only instructed to think open no tag, but they close it.
fn spoken(text: &str) -> &str {
    for (open, close) in [("<think>", "</think>"), ("<thinking>", "</thinking>")] {
        if let Some((_, after)) = text.rsplit_once(close) {
            return after;
        }
        if let Some((before, _)) = text.split_once(open) {
            return before;
        }
    }
    text
}

fn candidates(text: &str, schema: &Schema) -> Vec<Pairs> {
    let mut found: Vec<Pairs> = Vec::new();
    let mut rest = text;
    for _ in 0..SEARCHED.1 {
        let Some(object) = rest.find('{').and_then(|start| rest.get(start..)) else {
            break;
        };
        let parsed = end(object).and_then(|end| Some((parse(object.get(..end)?)?, object.get(end..)?)));
        rest = match parsed {
            Some((pairs, after)) if is_answer(&pairs, schema) => {
                if !found.contains(&pairs) {
                    found.push(pairs);
                }
                after
            }
            // The answer may be wrapped in another object.
            _ => object.get(1..).unwrap_or_default(),
        };
    }
    found
}

fn is_answer(Pairs(pairs): &Pairs, schema: &Schema) -> bool {
    let has = |name: &str| pairs.iter().any(|(key, _)| normalised(key) == normalised(name));
    let known = schema
        .fields
        .iter()
        .filter(|field| field.required && has(field.name));
    has(schema.decisive) || known.count() >= 2
}

/// Where the object that `text` begins with ends. Braces in strings do not count.
fn end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn parse(text: &str) -> Option<Pairs> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&forgiven(text)))
        .ok()
}

/// The object without what models often get wrong in JSON: line breaks inside strings, and a comma after the last field.
fn forgiven(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if quoted && c.is_ascii_control() => {
                clean.push_str(&format!("\\u{:04x}", u32::from(c)));
                continue;
            }
            ',' if !quoted && rest.as_str().trim_start().starts_with(['}', ']']) => continue,
            _ => {}
        }
        clean.push(c);
    }
    clean
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
