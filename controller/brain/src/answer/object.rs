//! Finds the one JSON object that is the answer, in whatever stands around it. Owns where it is looked for and whether it
//! can be read in one way only; what is forgiven in its form is `lenient`'s. Pure, and bounded in time.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::schema::{Kind, Schema, normalised};
use super::{Fault, lenient};

/// Most bytes of a text that is searched, and most braces at which an object is looked for.
const SEARCHED: (usize, usize) = (super::LONGEST_ANSWER, 256);

/// The fields of an object in their order; a name may come twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pairs(pub(super) Vec<(String, Value)>);

/// An object that may be the answer.
#[derive(Debug, Clone, PartialEq)]
struct Candidate {
    pairs: Pairs,
    /// Where it ends in the text that was searched.
    end: usize,
    /// Whether it is JSON as it stands.
    strict: bool,
    /// Why it can be read in two ways.
    unclear: Option<String>,
}

/// The answer in `text`.
pub(super) fn find(text: &str, schema: &Schema) -> Result<Pairs, Fault> {
    let mut found = search(text, schema)?;
    if let Some(why) = found.iter().find_map(|candidate| candidate.unclear.clone()) {
        return Err(Fault::new("answer", why));
    }
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only.pairs),
        (None, _) => Err(Fault::new("answer", missing(text, schema))),
        (Some(_), others) => {
            let problem = format!("there are {} different answers: give exactly one", others + 1);
            Err(Fault::new("answer", problem))
        }
    }
}

/// Whether there is one answer in `text`, in JSON as it should be, and nothing stands behind it.
pub(super) fn is_complete(text: &str, schema: &Schema) -> bool {
    let text = text.trim_end();
    let text = text.strip_suffix("```").unwrap_or(text).trim_end();
    let Ok(found) = search(text, schema) else {
        return false;
    };
    let spoken = spoken(text);
    match &found[..] {
        [only] => only.strict && only.unclear.is_none() && only.end == spoken.len(),
        _ => false,
    }
}

/// Whether anything in `text` may be an answer.
pub(super) fn holds_any(text: &str, schema: &Schema) -> bool {
    search(text, schema).is_ok_and(|found| !found.is_empty())
}

/// Every different answer in `text`.
fn search(text: &str, schema: &Schema) -> Result<Vec<Candidate>, Fault> {
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
    if found.is_empty()
        && let Some(plain) = lenient::unescaped(text)
    {
        found = candidates(&plain, schema);
    }
    Ok(found)
}

/// Why there is no answer in `text`, as far as that can be said.
fn missing(text: &str, schema: &Schema) -> String {
    let names: Vec<&str> = schema.fields.iter().map(|field| field.name).collect();
    let problem = format!("there is no JSON object with the fields {}", names.join(", "));
    if text.trim().is_empty() {
        return format!("{problem}, nor anything else");
    }
    // The object that was meant, if one was begun: what is wrong with it is what has to be repaired.
    let meant = text.find(schema.decisive).and_then(|at| {
        let start = text.get(..at)?.rfind('{')?;
        let mut objects = serde_json::Deserializer::from_str(text.get(start..)?).into_iter::<Pairs>();
        objects.next()?.err()
    });
    match meant {
        Some(error) => format!("{problem}: what was begun is not JSON ({error} of it)"),
        None => problem,
    }
}

/// What comes after the thinking. Models that were only instructed to think open no tag, but they close it.
fn spoken(text: &str) -> &str {
    for (open, close) in [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<thought>", "</thought>"),
        ("<reasoning>", "</reasoning>"),
        ("[THINK]", "[/THINK]"),
        ("<|channel|>analysis", "<|channel|>final"),
    ] {
        if let Some((_, after)) = text.rsplit_once(close) {
            return after;
        }
        if let Some((before, _)) = text.split_once(open) {
            return before;
        }
    }
    text
}

fn candidates(text: &str, schema: &Schema) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut at = 0;
    for _ in 0..SEARCHED.1 {
        let Some(object) = text.get(at..).and_then(|rest| {
            let start = rest.find('{')?;
            at += start;
            rest.get(start..)
        }) else {
            break;
        };
        let read = read(object, schema).filter(|candidate| is_answer(&candidate.pairs, schema));
        // The answer may be wrapped in another object.
        let next = at + read.as_ref().map_or(1, |candidate| candidate.end);
        if let Some(candidate) = read {
            let candidate = Candidate {
                end: next,
                ..candidate
            };
            match found.iter_mut().find(|known| known.pairs == candidate.pairs) {
                Some(known) => known.end = next,
                None => found.push(candidate),
            }
        }
        at = next;
    }
    found
}

fn is_answer(Pairs(pairs): &Pairs, schema: &Schema) -> bool {
    let mut known = schema
        .fields
        .iter()
        .filter(|field| field.required && pairs.iter().any(|(key, _)| field.is_called(key)));
    known.clone().any(|field| field.name == schema.decisive) || known.nth(1).is_some()
}

/// The object that `object` begins with, as JSON or, where it is none, as models write it.
fn read(object: &str, schema: &Schema) -> Option<Candidate> {
    let mut strict = serde_json::Deserializer::from_str(object).into_iter::<Pairs>();
    if let Some(Ok(pairs)) = strict.next() {
        return Some(Candidate {
            pairs,
            end: strict.byte_offset(),
            strict: true,
            unclear: None,
        });
    }
    let read = lenient::read(object)?;
    let unclear = of_comments(&read, schema).or_else(|| of_cut(&read, schema));
    Some(Candidate {
        pairs: read.pairs,
        end: read.end,
        strict: false,
        unclear,
    })
}

/// A comment that names another choice than the object makes, or a field, may be the answer that was meant.
fn of_comments(read: &lenient::Object, schema: &Schema) -> Option<String> {
    let Pairs(pairs) = &read.pairs;
    let words = normalised(&read.comments);
    let made: Vec<String> = pairs
        .iter()
        .filter_map(|(_, value)| value.as_str().map(normalised))
        .collect();
    let choices = schema.fields.iter().flat_map(|field| match field.kind {
        Kind::OneOf(names) => names,
        _ => &[],
    });
    let other = choices
        .copied()
        .find(|name| words.contains(&normalised(name)) && !made.contains(&normalised(name)));
    let field = schema.fields.iter().map(|field| field.name).find(|name| {
        read.comments.contains(&format!("{name}\"")) || read.comments.contains(&format!("{name}:"))
    });
    let named = other.or(field)?;
    Some(format!(
        "it can be read in two ways, as a comment in the object names {named} as well: give JSON without comments"
    ))
}

/// A number or a word at which the text stops may have been meant to go on.
fn of_cut(read: &lenient::Object, schema: &Schema) -> Option<String> {
    let (key, value) = read.cut.as_ref()?;
    let field = schema.fields.iter().find(|field| field.is_called(key));
    // No whole number begins with a 0 and goes on.
    if field.is_some_and(|field| matches!(field.kind, Kind::Integer)) && value.as_u64() == Some(0) {
        return None;
    }
    Some(format!(
        "it can be read in two ways, as it stops right behind `{key}`, without its last brace: give the whole object"
    ))
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
