//! Text from elsewhere made safe for a terminal. Pure.
//!
//! Logs, alerts and everything derived from them are hostile input: an escape sequence in a log line must not move the
//! cursor, set a title or hide a command. Every text that came from the server passes through here on its way out.

use std::borrow::Cow;

/// Whether a character could change more on a terminal than the cell it stands in: control characters, and those that
/// reorder or hide the text around them.
pub(crate) fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

/// Several lines: line ends and tabs stay, every other control character is shown as its escape (`\x1b`).
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.replace("\r\n", "\n").chars() {
        if is_unsafe(c) {
            push_escape(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// One line: as [`lines`], and line ends and tabs become spaces.
pub(crate) fn line(text: &str) -> String {
    let text = text.trim_end_matches(['\n', '\r']);
    lines(text).replace(['\n', '\t'], " ")
}

/// One line of at most `limit` characters; what is cut is marked with an ellipsis.
pub(crate) fn brief(text: &str, limit: usize) -> String {
    let text = line(text);
    match text.char_indices().nth(limit) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default().trim_end()),
        None => text,
    }
}

fn push_escape(out: &mut String, c: char) {
    match u32::from(c) {
        code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
        code => out.push_str(&format!("\\u{{{code:x}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i11_escape_sequences_become_visible_text() {
        assert_eq!(lines("a\x1b[2J\x1b]0;title\x07b"), "a\\x1b[2J\\x1b]0;title\\x07b");
        assert_eq!(lines("c1 \u{9b}31m"), "c1 \\x9b31m");
        assert_eq!(lines("over\rwritten"), "over\\x0dwritten");
    }

    #[test]
    fn i11_text_that_hides_or_reorders_its_surroundings_becomes_visible() {
        assert_eq!(lines("user\u{202e}txt"), "user\\u{202e}txt");
        assert_eq!(lines("a\u{200b}b\u{feff}"), "a\\u{200b}b\\u{feff}");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        let text = "Größe: 3 µs — 日本語\n\tindented";
        assert!(matches!(lines(text), Cow::Borrowed(_)));
        assert_eq!(lines("a\r\nb"), "a\nb");
    }

    #[test]
    fn one_line_stays_one_line_and_long_ones_are_cut() {
        assert_eq!(line("a\nb\tc\n"), "a b c");
        assert_eq!(brief("abcdef", 3), "abc…");
        assert_eq!(brief("äöü", 3), "äöü");
    }
}
