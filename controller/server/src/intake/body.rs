//! What came over the wire as one JSON value, whatever it was packed and written in. Pure.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::bytes::{self, Undecodable};
use super::cloud_events;
use crate::body::ALERT_LIMIT;
use crate::compat::read_value;

/// Most fields of a form.
const FIELDS: usize = 1000;

/// A body that was read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) value: Value,
    /// As text, for our own alerts, whose reader says what is wrong with it.
    pub(super) text: String,
    /// Paths of keys that are there twice with different values.
    pub(super) twice: Vec<Vec<String>>,
}

/// Why a body is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoContent {
    /// How it is packed is not known, or wrong.
    Packed(Undecodable),
    /// It is neither JSON nor a form.
    Neither(String),
}

/// The value of a body. A form is an object of its fields; JSON in a form's `payload` is that.
pub(super) fn content(headers: &HeaderMap, body: &[u8]) -> Result<Content, NoContent> {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let unpacked = bytes::unpacked(body, header(CONTENT_ENCODING), ALERT_LIMIT).map_err(NoContent::Packed)?;
    let text = bytes::text(&unpacked);
    let binary = cloud_events::is_binary(headers);
    let (value, twice, text) = match json(&text) {
        Ok((value, twice, text)) => (value, twice, text),
        Err(why) => match form(header(CONTENT_TYPE), &text) {
            Some(value) => {
                let text = value.to_string();
                (value, Vec::new(), text)
            }
            // Data of an event need not be JSON.
            None if binary && text.trim().is_empty() => (Value::Null, Vec::new(), String::new()),
            None if binary => (Value::from(&*text), Vec::new(), String::new()),
            None => return Err(NoContent::Neither(why)),
        },
    };
    let value = if binary {
        cloud_events::structured(headers, (!value.is_null()).then_some(value))
    } else {
        value
    };
    Ok(Content { value, text, twice })
}

type Json = (Value, Vec<Vec<String>>, String);

/// JSON, or what is almost JSON; the error is about the text as it came.
fn json(text: &str) -> Result<Json, String> {
    let why = match read_value(text.as_bytes()) {
        Ok((value, twice)) => return Ok((value, twice, text.to_owned())),
        Err(error) => error.to_string(),
    };
    let mended = bytes::mended(text);
    match read_value(mended.as_bytes()) {
        Ok((value, twice)) => Ok((value, twice, mended)),
        Err(_) => Err(why),
    }
}

fn form(content_type: &str, text: &str) -> Option<Value> {
    let says_so = content_type
        .trim()
        .to_ascii_lowercase()
        .starts_with("application/x-www-form-urlencoded");
    let text = text.trim();
    // Without a word about it: nothing but a form has a name and = before any sign of JSON.
    let looks_so = content_type.is_empty()
        && text
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && !name.contains(['{', '[', '"', ' ', '<', '\n']));
    if text.is_empty() || !(says_so || looks_so) {
        return None;
    }
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()).take(FIELDS) {
        fields.insert(name.into_owned(), Value::from(value.into_owned()));
    }
    let payload = fields.get("payload").and_then(Value::as_str);
    let inner = payload
        .and_then(|text| json(text).ok())
        .filter(|(value, _, _)| value.is_object());
    Some(inner.map_or(Value::Object(fields), |(value, _, _)| value))
}
