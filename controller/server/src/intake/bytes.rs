//! Bodies as senders send them: packed, with a byte order mark, with broken text or with what is almost JSON. What comes
//! out is text of a bounded size, and JSON that names which of its keys were there twice. Pure.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Most encodings one upon the other.
const LAYERS: usize = 2;

/// Why a body cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// It is larger than so many bytes once it is unpacked.
    TooLarge(usize),
    /// It is packed in a way that is not known.
    Encoding(String),
    /// It is not what its `Content-Encoding` says.
    Broken(&'static str),
}

/// A body unpacked, of at most `limit` bytes. A body that is packed and does not say so is recognised.
pub(crate) fn unpacked<'a>(
    body: &'a [u8],
    encoding: &str,
    limit: usize,
) -> Result<Cow<'a, [u8]>, Undecodable> {
    let named = encoding.split(',').map(|name| name.trim().to_ascii_lowercase());
    let named: Vec<String> = named
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if named.len() > LAYERS {
        return Err(Undecodable::Encoding(encoding.chars().take(64).collect()));
    }
    let mut bytes = Cow::Borrowed(body);
    for name in named.iter().rev() {
        bytes = match name.as_str() {
            // What a proxy unpacked already keeps its header.
            "gzip" | "x-gzip" if !is_gzip(&bytes) && is_text(&bytes) => bytes,
            "gzip" | "x-gzip" => Cow::Owned(read(MultiGzDecoder::new(&*bytes), limit, "gzip")?),
            "deflate" if is_text(&bytes) => bytes,
            // Some mean zlib by it, as the standard does, some the bare stream.
            "deflate" => Cow::Owned(match read(ZlibDecoder::new(&*bytes), limit, "deflate") {
                Err(Undecodable::Broken(_)) => read(DeflateDecoder::new(&*bytes), limit, "deflate")?,
                other => other?,
            }),
            other => return Err(Undecodable::Encoding(other.chars().take(64).collect())),
        };
    }
    if is_gzip(&bytes) {
        bytes = Cow::Owned(read(MultiGzDecoder::new(&*bytes), limit, "gzip")?);
    }
    Ok(bytes)
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Whether it begins as JSON or a form does, and not as anything packed.
fn is_text(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_some_and(|byte| matches!(byte, b'{' | b'['))
}

fn read(packed: impl Read, limit: usize, name: &'static str) -> Result<Vec<u8>, Undecodable> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    packed
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|_| Undecodable::Broken(name))?;
    if bytes.len() > limit {
        return Err(Undecodable::TooLarge(limit));
    }
    Ok(bytes)
}

/// The text of a body: without its byte order mark, with a replacement sign where bytes are none of UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)),
        other => String::from_utf8_lossy(other),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// What is almost JSON as JSON: lone surrogates become replacement signs, bare control characters are escaped, `NaN` and
/// `Infinity` become `null`, commas before an end go, and a number that is none of JSON's, or would be another one once it is
/// read, becomes the text that was written. At most as long as twice the text and a little more.
pub(crate) fn mended(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = mended_string(rest, &mut out);
            continue;
        }
        if let Some(word) = ["-Infinity", "Infinity", "-NaN", "NaN", "undefined"]
            .into_iter()
            .find(|word| rest.starts_with(word))
        {
            out.push_str("null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        let number = number(rest);
        if !number.is_empty() && !is_kept(number) {
            out.push('"');
            out.push_str(number);
            out.push('"');
            rest = rest.get(number.len()..).unwrap_or_default();
            continue;
        }
        if !number.is_empty() {
            out.push_str(number);
            rest = rest.get(number.len()..).unwrap_or_default();
            continue;
        }
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if !(c == ',' && after.trim_start().starts_with(['}', ']'])) {
            out.push(c);
        }
        rest = after;
    }
    out
}

/// Fewest signs of a number that may be beyond what is kept of an integer.
const LONG: usize = 19;

/// Whether JSON has a number that would be another one once it is read, or none at all. One pass, in which hardly any number is
/// looked at twice.
pub(crate) fn changes_numbers(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        match byte {
            b'"' => rest = after_string(after),
            b'-' | b'0'..=b'9' => {
                let number = number_of(rest);
                let is_odd = number.len() >= LONG || number.iter().any(|byte| matches!(byte, b'e' | b'E'));
                if is_odd && !std::str::from_utf8(number).is_ok_and(is_kept) {
                    return true;
                }
                rest = rest.get(number.len()..).unwrap_or_default();
            }
            _ => rest = after,
        }
    }
    false
}

/// What comes after the string in which `bytes` begin.
fn after_string(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    loop {
        let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return &[];
        };
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
}

/// The number, well written or not, with which `text` begins; empty where it does not.
fn number(text: &str) -> &str {
    let number = text.get(..number_of(text.as_bytes()).len()).unwrap_or_default();
    if number.bytes().any(|byte| byte.is_ascii_digit()) {
        number
    } else {
        ""
    }
}

fn number_of(bytes: &[u8]) -> &[u8] {
    let begins = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.');
    if !bytes.first().is_some_and(begins) {
        return &[];
    }
    let is_within = |byte: &u8| begins(byte) || matches!(byte, b'e' | b'E');
    let end = bytes.iter().position(|byte| !is_within(byte));
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

/// Whether a number is one of JSON's, and is read as what it is: an integer to the last digit, a fraction in the range of `f64`.
fn is_kept(number: &str) -> bool {
    let Ok(read) = serde_json::from_str::<serde_json::Number>(number) else {
        return false;
    };
    let digits = number.split(['e', 'E']).next().unwrap_or_default();
    if digits.bytes().all(|byte| !matches!(byte, b'1'..=b'9')) {
        return true;
    }
    let is_integer = number.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    match is_integer {
        true => read.is_i64() || read.is_u64(),
        false => read.as_f64().is_some_and(|read| read != 0.0),
    }
}

/// Copies the string that `text` begins with; what comes after it.
fn mended_string<'a>(text: &'a str, out: &mut String) -> &'a str {
    out.push('"');
    let mut rest = text.get(1..).unwrap_or_default();
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '"' => {
                out.push('"');
                return after;
            }
            '\\' => rest = mended_escape(after, out),
            c if c < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
                rest = after;
            }
            c => {
                out.push(c);
                rest = after;
            }
        }
    }
    rest
}

/// Copies what follows a backslash.
fn mended_escape<'a>(after: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| {
        let digits = text.strip_prefix('u')?.get(..4)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let Some(first) = unit(after) else {
        let Some(c) = after.chars().next() else {
            return after;
        };
        let rest = after.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {
                out.push('\\');
                out.push(c);
            }
            // No escape of JSON: the sign itself is meant, as in `\'`, or a path of Windows.
            c if c < ' ' => return after,
            c => {
                out.push_str("\\\\");
                out.push(c);
            }
        }
        return rest;
    };
    let rest = after.get(5..).unwrap_or_default();
    let second = rest.strip_prefix('\\').and_then(unit);
    match (first, second) {
        (0xd800..=0xdbff, Some(0xdc00..=0xdfff)) => {
            out.push('\\');
            out.push_str(after.get(..11).unwrap_or_default());
            after.get(11..).unwrap_or_default()
        }
        (0xd800..=0xdfff, _) => {
            out.push_str("\\ufffd");
            rest
        }
        _ => {
            out.push('\\');
            out.push_str(after.get(..5).unwrap_or_default());
            rest
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use serde_json::{Value, json};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_bodies_are_unpacked_however_they_say_so() {
        let body = br#"{"a":1}"#;
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(body).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::best());
        bare.write_all(body).unwrap();
        for (bytes, encoding) in [
            (body.to_vec(), ""),
            (body.to_vec(), "identity"),
            (gzip(body), "gzip"),
            (gzip(body), "X-GZIP"),
            (gzip(body), ""),
            (gzip(&gzip(body)), "gzip, gzip"),
            (body.to_vec(), "gzip"),
            (zlib.finish().unwrap(), "deflate"),
            (bare.finish().unwrap(), "deflate"),
        ] {
            assert_eq!(&*unpacked(&bytes, encoding, 100).unwrap(), body, "{encoding}");
        }
    }

    #[test]
    fn i12_a_bomb_is_given_up_at_the_bound() {
        let bomb = gzip(&vec![b' '; 50 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(&bomb, "gzip", 1000), Err(Undecodable::TooLarge(1000)));
        assert_eq!(
            unpacked(&gzip(&bomb), "gzip, gzip", 60_000),
            Err(Undecodable::TooLarge(60_000))
        );
    }

    #[test]
    fn what_is_not_packed_as_it_says_is_refused() {
        assert_eq!(
            unpacked(b"\x1f\x8bxx", "gzip", 100),
            Err(Undecodable::Broken("gzip"))
        );
        assert_eq!(
            unpacked(b"zz", "br", 100),
            Err(Undecodable::Encoding("br".to_owned()))
        );
        assert!(matches!(
            unpacked(b"zz", "gzip,gzip,gzip", 100),
            Err(Undecodable::Encoding(_))
        ));
    }

    #[test]
    fn text_is_read_with_marks_in_utf_16_and_with_broken_bytes() {
        assert_eq!(text(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(text(b"\xff\xfe{\0}\0"), "{}");
        assert_eq!(text(b"\xfe\xff\0{\0}\0"), "{}");
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn what_is_almost_json_becomes_json() {
        for (almost, meant) in [
            (r#"{"a": "\ud83d"}"#, json!({"a": "\u{fffd}"})),
            (r#"{"a": "\udc00x\ud83d\ude00"}"#, json!({"a": "\u{fffd}x😀"})),
            (r#"{"a": "\ud83dA"}"#, json!({"a": "\u{fffd}A"})),
            ("{\"a\": \"x\ny\"}", json!({"a": "x\ny"})),
            (
                r#"{"a": NaN, "b": [-Infinity, Infinity,], }"#,
                json!({"a": null, "b": [null, null]}),
            ),
            (r#"{"a": "NaN, }"}"#, json!({"a": "NaN, }"})),
            (r#"{"a": "it\'s C:\Users"}"#, json!({"a": "it\\'s C:\\Users"})),
            (r#"{"a": "\\\"\u00e9"}"#, json!({"a": "\\\"é"})),
            (
                r#"{"a": 007, "b": [+5, .5, 5., -.5e1,], "c": 1-2, "e": 7}"#,
                json!({"a": "007", "b": ["+5", ".5", "5.", "-.5e1"], "c": "1-2", "e": 7}),
            ),
        ] {
            let mended = mended(almost);
            assert_eq!(
                serde_json::from_str::<Value>(&mended).unwrap(),
                meant,
                "{almost} → {mended}"
            );
        }
        for hopeless in ["", "{", "\"\\", "\"\\u12", "\"\\ud83d\\u", "{\"a\"", "\\", "é\\é"] {
            let _ = mended(hopeless);
        }
    }

    #[test]
    fn a_number_that_would_be_another_one_becomes_the_text_that_was_written() {
        for (number, is_kept) in [
            ("0", true),
            ("-0", true),
            ("-12", true),
            ("1.5", true),
            ("1e3", true),
            ("1e-300", true),
            ("1.7976931348623157e308", true),
            ("0e999", true),
            ("0.0E-999", true),
            ("1769860800123456789", true),
            ("18446744073709551615", true),
            ("-9223372036854775808", true),
            ("18446744073709551616", false),
            ("-9223372036854775809", false),
            ("123456789012345678901234567890", false),
            ("1e400", false),
            ("-1E+400", false),
            ("1e-400", false),
        ] {
            let text = format!(r#"{{"a": "e9 \\\" 1e400", "b": [{number}], "c": {number}}}"#);
            assert_eq!(changes_numbers(&text), !is_kept, "{number}");
            let read: Value = serde_json::from_str(&mended(&text)).unwrap();
            assert_eq!(read["a"], "e9 \\\" 1e400");
            match is_kept {
                true => assert_eq!(mended(&text), text),
                false => assert_eq!(
                    (&read["b"][0], &read["c"]),
                    (&json!(number), &json!(number)),
                    "{number}"
                ),
            }
        }
        for broken in ["", "\"", "\"\\", "\"1e400", "-", "{\"a", "1e", "é1e"] {
            changes_numbers(broken);
            let _ = mended(broken);
        }
    }
}
