//! Times and texts as the page says them. Pure.

use aegis_api::redact::bound;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// The longest text in a cell, characters.
const LONGEST: usize = 400;

/// A text from outside, without control characters, its beginning kept.
pub(super) fn text(from: &str) -> String {
    let harmless = bound(from, usize::MAX);
    match harmless.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", harmless.get(..end).unwrap_or_default()),
        None => harmless,
    }
}

/// An enum as the wire spells it.
pub(super) fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => text(&name),
        _ => "?".to_owned(),
    }
}

/// A moment, to the second.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long something is, in its two largest units.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        let spans = [-3, 59, 60, 3_599, 3_600, 86_400 + 7_260];
        assert_eq!(
            spans.map(|seconds| span(SignedDuration::from_secs(seconds))),
            ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "1 d 2 h"]
        );
    }

    #[test]
    fn texts_are_harmless_and_bounded() {
        let long = text(&"é".repeat(1000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
        assert!(!text("a\u{1b}[31mb\u{202e}c").contains(['\u{1b}', '\u{202e}']));
    }
}
