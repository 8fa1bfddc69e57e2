//! Forms as browsers and scripts send them: a name and a value each, one after the other or in parts. Pure.

use std::convert::Infallible;

use bytes::Bytes;
use futures::{FutureExt as _, stream};
use multer::Multipart;
use serde_json::{Map, Value};

/// Most fields of a form.
const FIELDS: usize = 1000;

/// The fields of a form; `None` where the text is none, and why it is a broken one.
pub(super) fn fields(content_type: &str, text: &str) -> Option<Result<Map<String, Value>, String>> {
    let kind = content_type.trim().to_ascii_lowercase();
    if kind.starts_with("multipart/form-data") {
        return Some(parts(content_type, text).map_err(|error| format!("multipart/form-data: {error}")));
    }
    let text = text.trim();
    let says_so = kind.starts_with("application/x-www-form-urlencoded");
    // Without a word about it: nothing but a form has a name and = before any sign of JSON.
    let looks_so = content_type.is_empty()
        && text
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && !name.contains(['{', '[', '"', ' ', '<', '\n']));
    if text.is_empty() || !(says_so || looks_so) {
        return None;
    }
    let pairs = form_urlencoded::parse(text.as_bytes()).take(FIELDS);
    Some(Ok(pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect()))
}

/// The fields of a form in parts. Of a file that is no text, such as a picture, the name is its value; what looks like JSON, or is
/// the payload, is text whatever its type: curl says of any file that it is bytes.
fn parts(content_type: &str, text: &str) -> Result<Map<String, Value>, multer::Error> {
    let boundary = multer::parse_boundary(content_type)?;
    let whole = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(text.as_bytes()))]);
    let read = async {
        let mut parts = Multipart::new(whole, boundary);
        let mut fields = Map::new();
        while let Some(part) = parts.next_field().await? {
            if fields.len() >= FIELDS {
                break;
            }
            let Some(name) = part.name().map(str::to_owned) else {
                continue;
            };
            let kind = part
                .content_type()
                .map(|kind| kind.essence_str().to_owned())
                .unwrap_or_default();
            let is_text = kind.is_empty() || kind.starts_with("text/") || kind.contains("json");
            let file = part.file_name().filter(|_| !is_text).map(str::to_owned);
            let bytes = part.bytes().await?;
            let looks_so = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
            let value = match file {
                Some(file) if name != "payload" && !looks_so => file,
                _ => String::from_utf8_lossy(&bytes).into_owned(),
            };
            fields.insert(name, value.into());
        }
        Ok(fields)
    };
    // All of it is there: nothing is waited for.
    read.now_or_never()
        .unwrap_or(Err(multer::Error::IncompleteStream))
}
