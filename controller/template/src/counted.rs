//! Finds the loops, inclusions and variables of a template, and adds a call to each that counts. Pure.

use crate::held::check_tag;
use crate::{HELD, INCLUDED, ROUND, refused};

/// The template with a call at the begin of each round of its loops, and after each variable that it sets. It is one that
/// Tera could read.
pub(crate) fn counted(template: &str) -> Result<String, tera::Error> {
    let mut text = String::with_capacity(template.len().saturating_mul(2));
    let mut rest = template;
    let mut is_raw = false;
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
                // With the same trimming of what follows.
                text.push_str(&call(ROUND, "", false, tag.ends_with("-%}")));
            }
            "set" => {
                let value = format!("value={}", variable(tag));
                text.push_str(&call(HELD, &value, false, tag.ends_with("-%}")));
            }
            _ => {}
        }
    }
    text.push_str(rest);
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
    let words = tag.trim_start_matches("{%").trim_start_matches('-').trim_start();
    let name = words
        .split_once(char::is_whitespace)
        .map_or("", |(_, rest)| rest)
        .trim_start();
    let end = name
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    name.get(..end).unwrap_or_default()
}

/// The first word of a tag.
fn keyword(tag: &str) -> &str {
    let inner = tag.trim_start_matches("{%").trim_start_matches('-').trim_start();
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(inner.len());
    inner.get(..end).unwrap_or_default()
}
