//! What came over the wire as one JSON value, whatever it was packed and written in. Pure.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bytes::{self, Undecodable};
use super::sender::Sender;
use super::sns::{self, Question};
use super::{cloud_events, forms};
use crate::body::ALERT_LIMIT;
pub(super) use crate::compat::NOTED;
use crate::compat::read_value;
use crate::status::Status;

/// Most bytes that a body may take once it is read; see [`tree_bytes`]. Some 3,000 alerts with twenty labels each.
const TREE: usize = 20 << 20;

/// A body that was read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) value: Value,
    /// As text, for our own alerts, whose reader says what is wrong with it.
    pub(super) text: String,
    /// Paths of keys that are there twice with different values.
    pub(super) twice: Vec<Vec<String>>,
    /// About how many bytes more it takes once what is packed in it is unpacked.
    pub(super) packed: usize,
    /// What was around the message that this is.
    around: Option<Map<String, Value>>,
}

impl Content {
    /// As mappings see it: a message with what was around it, where nothing in it has the same name.
    pub(super) fn of_sender(self, sender: Sender) -> Self {
        match (self.around, self.value) {
            (Some(mut around), Value::Object(fields)) if sender == Sender::Mapped => {
                around.extend(fields);
                Self {
                    value: Value::Object(around),
                    around: None,
                    ..self
                }
            }
            (around, value) => Self {
                value,
                around,
                ..self
            },
        }
    }
}

/// Why a body is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoContent {
    /// How it is packed is not known, or wrong.
    Packed(Undecodable),
    /// It has more values than so many bytes of memory hold.
    TooMany(usize),
    /// It is neither JSON nor a form that can be read.
    Neither(String),
    /// It asks something of a person.
    Asks(Question),
}

impl NoContent {
    /// Human-readable.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Packed(Undecodable::TooLarge(limit)) => Status::too_large(*limit).message.into_owned(),
            Self::Packed(Undecodable::Encoding(name)) => {
                format!("Content-Encoding {name:?} is not known: gzip, deflate and identity are")
            }
            Self::Packed(Undecodable::Broken(name)) => {
                format!("the body is not {name}, as its Content-Encoding says")
            }
            Self::TooMany(most) => format!(
                "the body has more values than there is room for: read, it may take {} MiB",
                most >> 20
            ),
            Self::Neither(why) => format!("the body must be a JSON object: {why}"),
            Self::Asks(question) => question.why.clone(),
        }
    }
}

/// The value of a body. A form is an object of its fields; JSON in a form's `payload`, and in a message of Amazon SNS, is that.
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
/// entries, however few it has. Signs within strings count as well, also escaped ones, as JSON within a form or within JSON has
/// them, so it is rather too much.
pub(super) fn tree_bytes(text: &str) -> usize {
    let mut rest = text.as_bytes();
    let mut values: usize = 0;
    while let Some((byte, after)) = rest.split_first() {
        let weight = match byte {
            b'%' => after.get(..2).map_or(0, escaped_weight),
            b'\\' => after
                .strip_prefix(b"u00")
                .and_then(|digits| digits.get(..2))
                .map_or(0, escaped_weight),
            plain => weight(*plain),
        };
        values = values.saturating_add(weight);
        rest = after;
    }
    values.saturating_add(text.len().saturating_mul(3))
}

/// About how many bytes come of a sign of JSON.
fn weight(byte: u8) -> usize {
    match byte {
        b'{' => 700,
        b'[' => 160,
        b',' | b':' => 48,
        _ => 0,
    }
}

fn escaped_weight(digits: &[u8]) -> usize {
    match digits {
        b"7b" | b"7B" => weight(b'{'),
        b"5b" | b"5B" => weight(b'['),
        b"2c" | b"2C" | b"3a" | b"3A" => weight(b','),
        _ => 0,
    }
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
    let (value, twice, text) = parsed(headers, text, binary)?;
    if let Some(question) = sns::question(&value) {
        return Err(NoContent::Asks(question));
    }
    let message = sns::message(&value).and_then(|(message, around)| Some((inner_json(message)?, around)));
    let ((value, twice, text), around) = match message {
        Some((message, around)) => (message, Some(around)),
        None => ((value, twice, text), None),
    };
    let value = if binary {
        cloud_events::structured(headers, (!value.is_null()).then_some(value))
    } else {
        value
    };
    let packed = cloud_events::packed_bytes(&value);
    if packed > TREE {
        return Err(NoContent::TooMany(TREE));
    }
    Ok(Content {
        value,
        text,
        twice,
        packed,
        around,
    })
}

fn parsed(headers: &HeaderMap, text: String, binary: bool) -> Result<Json, NoContent> {
    let why = match json(&text) {
        Ok(read) => return Ok(read),
        Err(why) => why,
    };
    if !binary && let Some(read) = line_by_line(&text) {
        return Ok(read);
    }
    match forms::fields(header(headers, CONTENT_TYPE), &text) {
        Some(Ok(fields)) => Ok(of_form(fields)),
        // Data of an event need not be JSON.
        _ if binary && text.trim().is_empty() => Ok((Value::Null, Vec::new(), String::new())),
        _ if binary => Ok((Value::from(text), Vec::new(), String::new())),
        Some(Err(why)) => Err(NoContent::Neither(why)),
        None => Err(NoContent::Neither(why)),
    }
}

type Json = (Value, Vec<Vec<String>>, String);

/// The object or list of a text within a body, where it is one of JSON or of almost JSON.
pub(super) fn inner(text: &str) -> Option<Value> {
    inner_json(text).map(|(value, _, _)| value)
}

fn inner_json(text: &str) -> Option<Json> {
    let is_some = text.trim_start().starts_with(['{', '[']);
    is_some.then(|| json(text).ok())?
}

/// The fields of a form as an object; JSON in its `payload` is that.
fn of_form(fields: Map<String, Value>) -> Json {
    let payload = fields.get("payload").and_then(Value::as_str);
    let payload = payload
        .and_then(inner_json)
        .filter(|(value, _, _)| value.is_object());
    payload.unwrap_or_else(|| {
        let value = Value::Object(fields);
        let text = value.to_string();
        (value, Vec::new(), text)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i12_a_body_that_becomes_many_times_its_size_is_refused_before_it_is_read() {
        let headers = HeaderMap::new();
        let objects = format!("[{}1]", r#"{"":{"":{}}},"#.repeat(70_000));
        let keys = format!("{{{}\"z\":1}}", r#""":[],"#.repeat(150_000));
        let mut quoted: String = form_urlencoded::byte_serialize(objects.as_bytes()).collect();
        quoted.truncate(1 << 20);
        let mut escaped = objects.replace('{', "\\u007b");
        escaped.truncate(1 << 20);
        for text in [objects, keys, "[".repeat(1 << 20), quoted, escaped] {
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

    #[test]
    fn i12_what_is_packed_in_events_is_counted_before_it_is_unpacked() {
        use base64::Engine as _;
        let event = |data: &str| {
            let data = base64::engine::general_purpose::STANDARD.encode(data);
            serde_json::json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data_base64": data})
        };
        let headers = HeaderMap::new();
        let many = event(&format!("[{}1]", "{},".repeat(200_000))).to_string();
        assert!(many.len() <= ALERT_LIMIT && opened(&headers, many.as_bytes()).is_ok());
        assert!(matches!(
            content(&headers, many.as_bytes()),
            Err(NoContent::TooMany(_))
        ));
        let line = r#"{"at": "2026-11-29T10:00:00Z", "level": "error", "text": "it is slow"}"#;
        let usual = event(&format!("[{}1]", format!("{line},").repeat(1000)));
        let list = serde_json::json!([usual, usual]).to_string();
        let read = content(&headers, list.as_bytes()).unwrap();
        assert!(read.packed > 2_000_000, "{}", read.packed);
    }
}
