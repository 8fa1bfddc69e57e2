//! What came over the wire as one JSON value, whatever it was packed and written in. Pure.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bytes::{self, Undecodable};
use super::cloud_events;
use crate::body::ALERT_LIMIT;
use crate::compat::read_value;

/// Most bytes that a body may take once it is read; see [`tree_bytes`]. Some 3,000 alerts with twenty labels each.
const TREE: usize = 20 << 20;
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
    /// It has more values than so many bytes of memory hold.
    TooMany(usize),
    /// It is neither JSON nor a form.
    Neither(String),
}

/// The value of a body. A form is an object of its fields; JSON in a form's `payload` is that.
pub(super) fn content(headers: &HeaderMap, body: &[u8]) -> Result<Content, NoContent> {
    read(headers, opened(headers, body)?)
}

/// The text of a body, unpacked, of which no more can be made than there is room for.
pub(super) fn opened(headers: &HeaderMap, body: &[u8]) -> Result<String, NoContent> {
    let encoding = header(headers, CONTENT_ENCODING);
    let unpacked = bytes::unpacked(body, encoding, ALERT_LIMIT).map_err(NoContent::Packed)?;
    let text = bytes::text(&unpacked).into_owned();
    match tree_bytes(&text) <= TREE {
        true => Ok(text),
        false => Err(NoContent::TooMany(TREE)),
    }
}

/// About how many bytes a text takes as a tree of values, beside copies of the text: an object has a node with room for eleven
/// entries, however few it has. Signs within strings count as well, so it is rather too much.
pub(super) fn tree_bytes(text: &str) -> usize {
    let values: usize = text
        .bytes()
        .map(|byte| match byte {
            b'{' => 700,
            b'[' => 160,
            b',' | b':' => 48,
            _ => 0,
        })
        .sum();
    values.saturating_add(text.len().saturating_mul(3))
}

fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The value of a body that was opened.
pub(super) fn read(headers: &HeaderMap, text: String) -> Result<Content, NoContent> {
    let binary = cloud_events::is_binary(headers);
    let (value, twice, text) = match json(&text) {
        Ok((value, twice, text)) => (value, twice, text),
        Err(why) => match form(header(headers, CONTENT_TYPE), &text) {
            _ if !binary && let Some(read) = line_by_line(&text) => read,
            Some(value) => {
                let text = value.to_string();
                (value, Vec::new(), text)
            }
            // Data of an event need not be JSON.
            None if binary && text.trim().is_empty() => (Value::Null, Vec::new(), String::new()),
            None if binary => (Value::from(text), Vec::new(), String::new()),
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

/// The object or list of a text within a body, where it is one of JSON or of almost JSON.
pub(super) fn inner(text: &str) -> Option<Value> {
    let is_some = text.trim_start().starts_with(['{', '[']);
    let (value, _, _) = is_some.then(|| json(text).ok())??;
    Some(value)
}

/// JSON, or what is almost JSON; the error is about the text as it came, unless a number in it has to be mended.
fn json(text: &str) -> Result<Json, String> {
    let why = match bytes::changes_numbers(text) {
        true => None,
        false => match read_value(text.as_bytes()) {
            Ok((value, twice)) => return Ok((value, twice, text.to_owned())),
            Err(error) => Some(error),
        },
    };
    let mended = bytes::mended(text);
    match read_value(mended.as_bytes()) {
        Ok((value, twice)) => Ok((value, twice, mended)),
        Err(error) => Err(why.unwrap_or(error).to_string()),
    }
}

/// Objects one after the other, as a list: a line each, or wherever one ends. A line that is none stands in it as its text.
fn line_by_line(text: &str) -> Option<Json> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let objects: Result<Vec<&str>, _> = stream.map(|object| object.map(RawValue::get)).collect();
    let list = |parts: String| json(&format!("[{parts}]")).ok();
    let whole = objects.ok().and_then(|objects| list(objects.join(",")));
    whole.or_else(|| list(lines(text)?.join(",")))
}

/// The lines of a text of which each begins an object, and at least one is one.
fn lines(text: &str) -> Option<Vec<String>> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines().nth(1).is_none() || !lines().all(|line| line.starts_with('{')) {
        return None;
    }
    let read = lines().map(|line| json(line).map(|(_, _, text)| text));
    let read: Vec<Result<String, String>> = read.collect();
    if read.iter().all(Result::is_err) {
        return None;
    }
    let text =
        |(line, read): (&str, Result<String, String>)| read.unwrap_or_else(|_| Value::from(line).to_string());
    Some(lines().zip(read).map(text).collect())
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
    let payload = payload.and_then(inner).filter(Value::is_object);
    Some(payload.unwrap_or(Value::Object(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_a_body_that_becomes_many_times_its_size_is_refused_before_it_is_read() {
        let headers = HeaderMap::new();
        let objects = format!("[{}1]", r#"{"":{"":{}}},"#.repeat(70_000));
        let keys = format!("{{{}\"z\":1}}", r#""":[],"#.repeat(150_000));
        for text in [objects, keys, "[".repeat(1 << 20)] {
            assert!(text.len() <= ALERT_LIMIT);
            let refused = opened(&headers, text.as_bytes());
            assert!(matches!(refused, Err(NoContent::TooMany(_))), "{}", &text[..20]);
        }
    }

    #[test]
    fn a_group_of_alerts_that_fills_a_body_is_read() {
        let alert = serde_json::json!({"status": "firing", "startsAt": "2026-01-01T00:00:00Z", "fingerprint": "0123456789abcdef",
            "labels": {"alertname": "HighMemory", "container": "web-1", "severity": "critical", "instance": "10.0.0.1:9100"},
            "annotations": {"summary": "web-1 uses 91 % of its memory, and more by the minute"}});
        let mut alerts = vec![alert; 10];
        let body = |alerts: &[Value]| serde_json::json!({"version": "4", "alerts": alerts}).to_string();
        let most = 10 * ALERT_LIMIT / body(&alerts).len();
        alerts = alerts.iter().cycle().take(most).cloned().collect();
        let text = body(&alerts);
        assert!(text.len() > ALERT_LIMIT * 9 / 10);
        let read = content(&HeaderMap::new(), text.as_bytes()).unwrap();
        assert_eq!(read.value["alerts"].as_array().unwrap().len(), most);
    }
}
