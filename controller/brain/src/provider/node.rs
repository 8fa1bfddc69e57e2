//! What a server sends, as a tree that takes any JSON: nothing is typed before something depends on it. Owns how a field
//! is read that servers write in different ways. Pure; the text's own bound is the bound of the tree.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value. Of a field that comes twice, as gateways between two dialects send it, both are kept.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Reads a document. Half a character (`\ud83d` without its other half) becomes U+FFFD: no sentence is lost for it.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        match serde_json::from_str(text) {
            Ok(node) => Ok(node),
            Err(error) => match whole_characters(text) {
                Some(mended) => serde_json::from_str(&mended).map_err(|_| error),
                None => Err(error),
            },
        }
    }

    /// The first field of this name that holds something.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        let Self::Map(fields) = self else { return None };
        let mut held = fields
            .iter()
            .filter(|(key, value)| key == name && !value.is_nothing());
        held.next().map(|(_, value)| value)
    }

    /// Whether there is a field of this name, whatever it holds.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// The first of these fields that holds something.
    pub(super) fn first(&self, names: &[&str]) -> Option<&Node> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether this field is given more than once with different texts, so that it is open which one counts.
    pub(super) fn contradicts(&self, name: &str) -> bool {
        let Self::Map(fields) = self else { return false };
        let mut held = fields
            .iter()
            .filter(|(key, value)| key == name && !value.is_nothing())
            .map(|(_, value)| value);
        let first = held.next();
        held.any(|other| Some(other) != first)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match self {
            Self::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }

    /// A count, however it is written: `12`, `12.0`, `"12"`. What is none, such as -1, is none.
    pub(super) fn count(&self) -> Option<u64> {
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        /// More tokens than this are no count of one answer.
        const MOST: f64 = 1e12;
        if !(0.0..=MOST).contains(&number) {
            return None;
        }
        format!("{number:.0}").parse().ok()
    }

    /// Null, `""`, `[]`, `{}` and false: what servers put where they have nothing to say.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(fields) => fields.is_empty(),
            Self::Bool(true) | Self::Number(_) => false,
        }
    }

    /// The names of an object's fields, to say what came in the place of an answer.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Map(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The words of a message: those of its content, or of its text, as it was called first.
    pub(super) fn words_of(&self) -> Words {
        self.first(&["content", "text"])
            .map(Self::words)
            .unwrap_or_default()
    }

    /// The words of a content: a text, or parts of which some are text and some are thought.
    pub(super) fn words(&self) -> Words {
        let mut words = Words::default();
        for part in self.items() {
            words.add(part);
        }
        words
    }
}

/// What a content says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) thought: String,
    pub(super) refusal: String,
}

impl Words {
    /// Takes in a part of a content.
    pub(super) fn add(&mut self, part: &Node) {
        self.part(part, false);
    }

    /// Takes in what stands in a field for thoughts, whole or in parts.
    pub(super) fn think(&mut self, thought: &Node) {
        for part in thought.items() {
            self.part(part, true);
        }
    }

    fn part(&mut self, part: &Node, thinking: bool) {
        if let Some(text) = part.text() {
            let said = if thinking {
                &mut self.thought
            } else {
                &mut self.text
            };
            said.push_str(text);
            return;
        }
        let kind = part.get("type").and_then(Node::text).unwrap_or_default();
        let thinking = thinking || kind.contains("thinking") || kind.contains("reasoning");
        if kind == "refusal" {
            let why = part.first(&["refusal", "text"]).and_then(Node::text);
            self.refusal.push_str(why.unwrap_or_default());
            return;
        }
        let names: &[&str] = if thinking {
            &["thinking", "text", "reasoning", "summary", "content"]
        } else {
            // OpenAI's assistants wrap a text in `value`; some servers nest the content once more.
            &["text", "value", "content"]
        };
        for inner in part.first(names).map(Node::items).unwrap_or_default() {
            self.part(inner, thinking);
        }
    }
}

/// The text with every escaped half of a character replaced; none: there is no half in it.
pub(crate) fn whole_characters(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut changed) = (text, false);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at_checked(at)?;
        mended.push_str(before);
        let unit = unit(escape);
        let taken = match unit {
            Some(0xd800..=0xdbff) => {
                let low = escape.get(6..).and_then(self::unit);
                if matches!(low, Some(0xdc00..=0xdfff)) {
                    12
                } else {
                    changed = true;
                    mended.push_str("\\ufffd");
                    rest = escape.get(6..)?;
                    continue;
                }
            }
            Some(0xdc00..=0xdfff) => {
                changed = true;
                mended.push_str("\\ufffd");
                rest = escape.get(6..)?;
                continue;
            }
            Some(_) => 6,
            // Another escape: the backslash and what it escapes.
            None => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        let (escape, after) = escape.split_at_checked(taken)?;
        mended.push_str(escape);
        rest = after;
    }
    mended.push_str(rest);
    changed.then_some(mended)
}

/// The number of a `\uXXXX` at the start.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// As JSON.
impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(fields) => {
                f.write_str("{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let name = serde_json::Value::from(name.as_str());
                    write!(f, "{}{name}:{value}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().parse().unwrap_or(f64::MAX)))
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.to_string().parse().unwrap_or(f64::MIN)))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Node::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> (String, String) {
        let words = Node::read(json).unwrap().words();
        (words.text, words.thought)
    }

    #[test]
    fn a_content_is_a_text_or_parts_and_thought_is_no_answer() {
        let both = |text: &str, thought: &str| (text.to_owned(), thought.to_owned());
        for (json, expected) in [
            (r#""a""#, both("a", "")),
            (r#"["a", "b"]"#, both("ab", "")),
            (
                r#"[{"type":"text","text":"a"},{"type":"output_text","text":"b"}]"#,
                both("ab", ""),
            ),
            (r#"[{"text":{"value":"a","annotations":[]}}]"#, both("a", "")),
            (r#"{"type":"text","text":"a"}"#, both("a", "")),
            (
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]"#,
                both("a", "hm"),
            ),
            (
                r#"[{"type":"reasoning.text","text":"hm"},{"type":"reasoning","summary":[{"text":"so"}]}]"#,
                both("", "hmso"),
            ),
            (r#"[{"type":"image_url","image_url":{"url":"x"}}]"#, both("", "")),
            ("null", both("", "")),
        ] {
            assert_eq!(words(json), expected, "{json}");
        }
    }

    #[test]
    fn a_count_is_read_as_it_is_written_and_what_is_none_is_none() {
        for (json, count) in [
            ("12", Some(12)),
            ("12.0", Some(12)),
            ("\"12\"", Some(12)),
            ("1e3", Some(1000)),
            ("0", Some(0)),
        ] {
            assert_eq!(Node::read(json).unwrap().count(), count, "{json}");
        }
        for json in ["null", "-1", "\"many\"", "[]", "{}", "true", "1e300"] {
            assert_eq!(Node::read(json).unwrap().count(), None, "{json}");
        }
    }

    #[test]
    fn of_two_names_the_first_that_holds_something_counts_and_a_contradiction_is_noticed() {
        let node =
            Node::read(r#"{"a": null, "b": "", "c": "x", "a": "y", "d": "1", "d": "2", "e": "1", "e": "1"}"#)
                .unwrap();
        assert_eq!(node.first(&["b", "a"]).and_then(Node::text), Some("y"));
        assert!(node.contradicts("d") && !node.contradicts("e") && !node.contradicts("a"));
    }

    #[test]
    fn half_a_character_is_replaced_and_a_whole_one_kept() {
        for (text, mended) in [
            (r#""a\ud83db""#, Some(r#""a\ufffdb""#)),
            (r#""\ude00""#, Some(r#""\ufffd""#)),
            (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
            (r#""\ud83d\ude00 \\ud83d \n é""#, None),
            (r#""\"#, None),
        ] {
            assert_eq!(whole_characters(text).as_deref(), mended, "{text}");
        }
        assert_eq!(
            Node::read(r#""a\ud83d""#).unwrap(),
            Node::Text("a\u{fffd}".to_owned())
        );
    }
}
