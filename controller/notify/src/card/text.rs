//! Texts within Slack's limits and without power: redacted, bounded, escaped as Slack requires (`&`, `<`, `>`), and shown
//! as plain text, in which nothing is a mention, a link or a format. Pure.

use aegis_api::redact::{bound, redact};
use serde_json::{Value, json};

/// Most characters of a header; Slack takes 150.
const HEADER: usize = 140;
/// Most characters of a section's text; Slack takes 3,000.
const TEXT: usize = 2_900;
/// Most characters of an excerpt.
const EXCERPT: usize = 700;
/// Most characters of a field; Slack takes 2,000.
const FIELD: usize = 300;
/// Fields of one section; Slack takes 10.
const FIELDS: usize = 10;
/// Most characters of a button; Slack takes 75.
const BUTTON: usize = 70;
/// Most characters of a question; Slack takes 300.
const QUESTION: usize = 280;
/// Most characters of the line that notifications show.
const SUMMARY: usize = 300;
/// A text longer than this many times its bound is cut before it is looked through for secrets.
const SLACK: usize = 4;

/// How long a paragraph may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// As long as Slack takes it.
    Text,
    /// A part, so that several fit on a screen.
    Excerpt,
}

/// The card's headline.
pub(super) fn header(text: &str) -> Value {
    json!({"type": "header", "text": plain(&one_line(text), HEADER)})
}

/// A label and a text below it.
pub(super) fn paragraph(label: &str, text: &str, bound: Bound) -> Value {
    let most = match bound {
        Bound::Text => TEXT,
        Bound::Excerpt => EXCERPT,
    };
    let text = if text.trim().is_empty() { "(nothing)" } else { text };
    let labelled = match label {
        "" => text.to_owned(),
        label => format!("{label}: {text}"),
    };
    json!({"type": "section", "text": plain(&labelled, most)})
}

/// Short facts beside each other.
pub(super) fn fields(rows: &[(&str, String)]) -> Value {
    let fields: Vec<Value> = rows
        .iter()
        .take(FIELDS)
        .map(|(label, value)| plain(&format!("{label}: {}", one_line(value)), FIELD))
        .collect();
    json!({"type": "section", "fields": fields})
}

/// Small print.
pub(super) fn note(text: &str) -> Value {
    json!({"type": "context", "elements": [plain(text, FIELD)]})
}

/// A button that opens the incident's page. The address is the configuration's and the incident's name, which is checked.
pub(super) fn link(page: &str) -> Value {
    json!({"type": "actions", "elements": [{
        "type": "button", "action_id": "aegis.open", "text": plain("Open in the cockpit", BUTTON), "url": page,
    }]})
}

/// The label of a button.
pub(super) fn label(text: &str) -> Value {
    plain(text, BUTTON)
}

/// One of the texts of a question before a click counts.
pub(super) fn question(text: &str) -> Value {
    plain(text, QUESTION)
}

/// The text beside the blocks: what a notification shows, and what is shown where blocks are not.
pub(crate) fn summary(text: &str) -> String {
    safe(&one_line(text), SUMMARY)
}

fn plain(text: &str, most: usize) -> Value {
    json!({"type": "plain_text", "text": safe(text, most), "emoji": false})
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `most` characters, escapes included. The start is kept: what a text is about stands there.
fn safe(text: &str, most: usize) -> String {
    let head: String = text.chars().take(most.saturating_mul(SLACK)).collect();
    let clean = redact(&head);
    let harmless = bound(&clean, usize::MAX);
    let mut escaped = String::with_capacity(harmless.len().min(most));
    let mut length = 0;
    for c in harmless.chars() {
        let mut buffer = [0; 4];
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => &*c.encode_utf8(&mut buffer),
        };
        let more = piece.chars().count();
        // One place is kept for the ellipsis.
        if length + more >= most {
            escaped.push('…');
            break;
        }
        escaped.push_str(piece);
        length += more;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_mentions_no_user_and_links_nowhere() {
        let text = safe("<!channel> <https://evil.test|here> a & b", 100);
        assert_eq!(text, "&lt;!channel&gt; &lt;https://evil.test|here&gt; a &amp; b");
    }

    #[test]
    fn an_escape_is_never_cut_in_two() {
        for most in 1..20 {
            let text = safe("ab<<<<<<", most);
            assert!(text.chars().count() <= most, "{most}: {text}");
            assert_eq!(
                text.matches('&').count(),
                text.matches(';').count(),
                "{most}: {text}"
            );
        }
    }

    #[test]
    fn secrets_and_what_turns_the_direction_of_writing_do_not_pass() {
        let text = safe("password=hunter2 \u{202e}gnp.exe", 100);
        assert!(!text.contains("hunter2") && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn a_header_is_one_line() {
        let block = header("a\nb\t c");
        assert_eq!(block.pointer("/text/text").unwrap(), "a b c");
    }
}
