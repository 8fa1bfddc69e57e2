//! Finds the loops, inclusions and variables of a template, and adds a call to each that counts. Pure.

use std::collections::BTreeSet;

use crate::held::{check_loop, check_tag};
use crate::{HELD, INCLUDED, ROUND, refused};

/// Most loops within each other: each may hold a copy of what it goes over.
const NESTED: usize = 16;

/// The template with a call at the begin of each round of its loops, with what it goes over there, and after each
/// variable that it sets. It is one that Tera could read.
pub(crate) fn counted(template: &str) -> Result<String, tera::Error> {
    let mut text = String::with_capacity(template.len().saturating_mul(2));
    let mut rest = template;
    let mut is_raw = false;
    let mut loops = 0_usize;
    let (mut globals, mut locals) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let length = match from.as_bytes().get(1) {
            Some(b'#') if !is_raw => from.find("#}").map(|end| end.saturating_add(2)),
            Some(b'{') if !is_raw => tag_end(from, "}}"),
            // What a raw block has in quotes is text, too.
            Some(b'%') if is_raw && keyword(from) != "endraw" => None,
            Some(b'%') => tag_end(from, "%}"),
            _ => None,
        };
        // A brace that begins nothing, or what Tera takes for text.
        let (tag, after) = from.split_at(length.unwrap_or(1));
        text.push_str(tag);
        rest = after;
        if !is_raw && (tag.starts_with("{%") || tag.starts_with("{{")) {
            check_tag(tag)?;
        }
        if !tag.starts_with("{%") {
            continue;
        }
        let keyword = keyword(tag);
        match keyword {
            "raw" => is_raw = true,
            "endraw" => is_raw = false,
            _ if is_raw => {}
            // What a section filters is one text, however long it becomes.
            "macro" | "import" | "extends" | "filter" => {
                return Err(refused(format!("{keyword} is not offered in this template")));
            }
            "include" => {
                // Before it: what it includes may include it.
                text.truncate(text.len().saturating_sub(tag.len()));
                let trims = tag.starts_with("{%-");
                text.push_str(&call(INCLUDED, "", trims, false));
                text.push_str(tag);
            }
            "for" => {
                check_loop(tag)?;
                loops = loops.saturating_add(1);
                if loops > NESTED {
                    return Err(refused(format!(
                        "it has more than {NESTED} loops within each other"
                    )));
                }
                let (key, item) = loop_names(tag);
                locals.extend(key.into_iter().chain([item]));
                // With the same trimming of what follows.
                let value = format!("value={item}");
                text.push_str(&call(ROUND, &value, false, tag.ends_with("-%}")));
            }
            "endfor" => loops = loops.saturating_sub(1),
            "set" => {
                let name = variable(tag);
                if inner(tag).starts_with("set_global") {
                    globals.insert(name);
                } else if loops > 0 {
                    locals.insert(name);
                }
                let value = format!("value={name}");
                text.push_str(&call(HELD, &value, false, tag.ends_with("-%}")));
            }
            _ => {}
        }
    }
    text.push_str(rest);
    // What is weighed after it would be the other one.
    if let Some(name) = globals.intersection(&locals).next() {
        return Err(refused(format!(
            "set_global {name}: a loop, or a set within one, has this name, too: use another one"
        )));
    }
    Ok(text)
}

/// A call of one of the functions that count, which trims what is around it as the tag beside it does.
fn call(function: &str, arguments: &str, before: bool, after: bool) -> String {
    let (open, close) = (
        if before { "{{-" } else { "{{" },
        if after { "-}}" } else { "}}" },
    );
    format!("{open} {function}({arguments}) {close}")
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

/// The name that a `set` or `set_global` gives a value.
fn variable(tag: &str) -> &str {
    name(arguments(tag)).0
}

/// The names that a `for` gives what it goes over: of the key, where it has one, and of the value.
fn loop_names(tag: &str) -> (Option<&str>, &str) {
    let (first, rest) = name(arguments(tag));
    match rest.trim_start().strip_prefix(',') {
        Some(rest) => (Some(first), name(rest.trim_start()).0),
        None => (None, first),
    }
}

/// What comes after the first word of a tag.
fn arguments(tag: &str) -> &str {
    let rest = inner(tag).split_once(char::is_whitespace);
    rest.map_or("", |(_, rest)| rest).trim_start()
}

/// The name at the begin of a text, and what comes after it.
fn name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.split_at(end.unwrap_or(text.len()))
}

/// The first word of a tag.
fn keyword(tag: &str) -> &str {
    let inner = inner(tag);
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(inner.len());
    inner.get(..end).unwrap_or_default()
}

/// A tag without its begin.
fn inner(tag: &str) -> &str {
    tag.trim_start_matches("{%").trim_start_matches('-').trim_start()
}
