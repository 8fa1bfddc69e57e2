//! What people see while a model answers: its prose as it is, and of its JSON object the reasoning, unescaped. Owns the
//! separation, character by character, because the words come in pieces of any size. Pure.
//!
//! The other fields of the object are shown when they are accepted, not before. Nothing is reworded; control characters
//! lose their power, and that is all.

use super::schema::{Schema, normalised};
use crate::redact::bound;

/// How much of an object is held back until it is known to be the answer.
const HELD: usize = 80;

/// Separates prose from the answer's object.
#[derive(Debug)]
pub(crate) struct Live {
    schema: &'static Schema,
    state: State,
    /// The last characters of the prose, in which a tag of thinking may stand. While a model thinks, it drafts.
    tail: String,
    thinking: bool,
}

#[derive(Debug)]
enum State {
    Prose,
    /// An object begins: perhaps the answer, perhaps a piece of a log.
    Opening(String),
    Object(Object),
}

/// Where in the answer's object the text stands.
#[derive(Debug, Default)]
struct Object {
    depth: u32,
    /// The text of the string that is being read, if one is.
    string: Option<String>,
    key: String,
    /// Whether a colon has come since the last comma at the top.
    in_value: bool,
    escape: Option<String>,
    /// The first half of a character that takes two escapes.
    high: Option<u32>,
}

impl Live {
    pub(crate) fn new(schema: &'static Schema) -> Self {
        Self {
            schema,
            state: State::Prose,
            tail: String::new(),
            thinking: false,
        }
    }

    /// Takes text in and answers what is to be shown of it.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut shown = String::new();
        for c in text.chars() {
            self.char(c, &mut shown);
        }
        bound(&shown, usize::MAX)
    }

    /// What was held back when the stream ended.
    pub(crate) fn finish(&mut self) -> String {
        match std::mem::replace(&mut self.state, State::Prose) {
            State::Opening(held) => bound(&held, usize::MAX),
            State::Prose | State::Object(_) => String::new(),
        }
    }

    fn follow(&mut self, c: char) {
        if c == '<' {
            self.tail.clear();
        }
        if self.tail.len() < 12 {
            self.tail.push(c);
        }
        if c == '>'
            && let Some((_, thinking)) = THINKING.iter().find(|(tag, _)| *tag == self.tail)
        {
            self.thinking = *thinking;
        }
    }

    fn char(&mut self, c: char, shown: &mut String) {
        match &mut self.state {
            State::Prose if c == '{' && !self.thinking => self.state = State::Opening(c.to_string()),
            State::Prose => {
                shown.push(c);
                self.follow(c);
            }
            State::Opening(held) => {
                held.push(c);
                match opening(held) {
                    Opening::Perhaps if held.len() < HELD => {}
                    Opening::Key(key) if is_known(self.schema, &key) => {
                        self.state = State::Object(Object {
                            depth: 1,
                            key,
                            ..Object::default()
                        });
                    }
                    Opening::Perhaps | Opening::Key(_) | Opening::No => {
                        // The last character may open another object.
                        held.pop();
                        shown.push_str(held);
                        self.state = State::Prose;
                        self.char(c, shown);
                    }
                }
            }
            State::Object(object) => {
                if object.char(c, shown) {
                    self.state = State::Prose;
                }
            }
        }
    }
}

/// What a model writes around its thinking, where the provider does not mark it as such.
const THINKING: [(&str, bool); 4] = [
    ("<think>", true),
    ("<thinking>", true),
    ("</think>", false),
    ("</thinking>", false),
];

enum Opening {
    Perhaps,
    Key(String),
    No,
}

/// What `{`, white space and a quoted name may be, as far as they are there.
fn opening(held: &str) -> Opening {
    let after = held.get(1..).unwrap_or_default().trim_start();
    match after.strip_prefix('"') {
        None if after.is_empty() => Opening::Perhaps,
        None => Opening::No,
        Some(name) => match name.strip_suffix('"') {
            Some(name) => Opening::Key(name.to_owned()),
            None => Opening::Perhaps,
        },
    }
}

fn is_known(schema: &Schema, key: &str) -> bool {
    let key = normalised(key);
    schema.fields.iter().any(|field| normalised(field.name) == key)
}

impl Object {
    /// Takes one character in; whether it ends the object.
    fn char(&mut self, c: char, shown: &mut String) -> bool {
        if self.string.is_some() {
            self.in_string(c, shown);
            return false;
        }
        match c {
            '"' => self.string = Some(String::new()),
            ':' if self.depth == 1 => self.in_value = true,
            ',' if self.depth == 1 => self.in_value = false,
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.depth == 0
    }

    fn in_string(&mut self, c: char, shown: &mut String) {
        if let Some(escape) = &mut self.escape {
            escape.push(c);
            if let Some(unescaped) = unescape(escape, &mut self.high) {
                self.escape = None;
                unescaped.into_iter().for_each(|c| self.said(c, shown));
            }
            return;
        }
        match c {
            '\\' => self.escape = Some(String::new()),
            '"' => {
                let text = self.string.take().unwrap_or_default();
                if self.depth == 1 && !self.in_value {
                    self.key = text;
                }
            }
            c => self.said(c, shown),
        }
    }

    fn said(&mut self, c: char, shown: &mut String) {
        if self.depth == 1 && self.in_value {
            if normalised(&self.key) == "reasoning" {
                shown.push(c);
            }
        } else if let Some(string) = self.string.as_mut().filter(|string| string.len() < HELD) {
            string.push(c);
        }
    }
}

/// What an escape stands for, once it is complete: the character, or none if another half must come.
fn unescape(escape: &str, high: &mut Option<u32>) -> Option<Option<char>> {
    let c = match escape.chars().next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' | 'f' => ' ',
        'u' => {
            let digits = escape.get(1..).unwrap_or_default();
            if digits.len() < 4 {
                return None;
            }
            return Some(utf16(u32::from_str_radix(digits, 16).unwrap_or(0xfffd), high));
        }
        other => other,
    };
    Some(Some(c))
}

fn utf16(unit: u32, high: &mut Option<u32>) -> Option<char> {
    match (unit, high.take()) {
        (0xd800..=0xdbff, _) => {
            *high = Some(unit);
            None
        }
        (0xdc00..=0xdfff, Some(first)) => {
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (unit - 0xdc00))
        }
        _ => Some(char::from_u32(unit).unwrap_or('\u{fffd}')),
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::PROPOSAL;
    use super::*;

    fn shown(text: &str) -> String {
        let mut live = Live::new(&PROPOSAL);
        let whole = live.push(text) + &live.finish();
        let mut live = Live::new(&PROPOSAL);
        let mut pieces: String = text.chars().map(|c| live.push(&c.to_string())).collect();
        pieces += &live.finish();
        assert_eq!(pieces, whole, "how the words are cut makes no difference");
        whole
    }

    #[test]
    fn prose_is_shown_and_the_object_is_not() {
        assert_eq!(
            shown("It leaks.\n{\"root_cause\": \"x\", \"action\": \"RESTART\", \"n\": [{\"a\": 1}]}\nDone."),
            "It leaks.\n\nDone."
        );
    }

    #[test]
    fn of_the_object_the_reasoning_is_shown_unescaped() {
        assert_eq!(
            shown(
                r#"{ "Reasoning": "a \"b\" {c}\n\u00e9 \ud83e\udd80 \\", "action": "reasoning", "x": {"reasoning": "no"}}"#
            ),
            "a \"b\" {c}\né 🦀 \\"
        );
        assert_eq!(shown(r#"{"action": "NOOP", "reasoning": "later"}"#), "later");
    }

    #[test]
    fn thinking_is_shown_as_it_is() {
        assert_eq!(
            shown("<think>{\"action\": \"NOOP\"}?</think>{\"action\": \"RESTART\"}."),
            "<think>{\"action\": \"NOOP\"}?</think>."
        );
    }

    #[test]
    fn other_objects_are_prose() {
        for text in [
            "The log says {\"level\": \"error\"} and {} and {x} and {{",
            "set {\"a long name that never ends and never ends and never ends and never ends and never ends\": 1}",
            "ends with {\"rea",
            "ends with {",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn i11_control_characters_lose_their_power() {
        for text in ["a\u{1b}[2Jb\u{7}", r#"{"reasoning": "\u001b[31m\u202e"}"#] {
            let whole = Live::new(&PROPOSAL).push(text);
            let mut live = Live::new(&PROPOSAL);
            let pieces: String = text.chars().map(|c| live.push(&c.to_string())).collect();
            for shown in [whole, pieces] {
                assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
            }
        }
    }
}
