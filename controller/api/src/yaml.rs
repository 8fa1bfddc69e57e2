//! YAML in and out: the only file that names the YAML crate. Pure.
//!
//! A document is read into JSON plus the position of every node, so that an error found later, in whatever layer,
//! can name line and column.

mod place;

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

pub use crate::position::Position;
use crate::validate::FieldError;
use place::{Below, Place};

/// One YAML document.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says.
    pub value: Value,
    place: Place,
    /// The whole text that it came from.
    text: Arc<str>,
}

/// A text that is not YAML. Display: `line 3, column 5: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The longest key of a mapping, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Most nodes of a text: mappings, sequences and scalars.
pub const MAX_NODES: usize = 100_000;
/// How deep a text may be nested: reading goes down with it, on the stack of the thread that reads.
pub const MAX_DEPTH: usize = 32;
/// Of how many errors the value is shown as it is written.
const WRITTEN: usize = 20;
/// Bytes to which the aliases of a text may grow it, at the most.
const ALIASED_BYTES: usize = 128 << 20;

/// Reads every document of a text; empty ones are left out. Positions count from the start of the text.
pub fn parse(text: &str) -> Result<Vec<Document>, SyntaxError> {
    if text.len() > MAX_BYTES {
        let message = format!("the text has {} bytes: {MAX_BYTES} at most are read", text.len());
        return Err(SyntaxError {
            line: 1,
            column: 1,
            message,
        });
    }
    let nodes: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options(text)).map_err(|error| {
            let error = syntax_error(&error);
            // Only where it is what stopped the reader: in a text of several lines a tab is welcome.
            tab(text)
                .filter(|tab| tab.line.abs_diff(error.line) <= 1)
                .unwrap_or(error)
        })?;
    let text: Arc<str> = text.into();
    let documents = nodes.into_iter().map(|node| {
        let (mut value, place) = split(node);
        // As in Compose files: a place for anchors, and nothing that is meant.
        if let Value::Object(fields) = &mut value {
            fields.retain(|name, _| !name.starts_with("x-"));
        }
        let text = Arc::clone(&text);
        Document { value, place, text }
    });
    Ok(documents.filter(|document| !document.value.is_null()).collect())
}

/// Bounds on what a text may become. What an alias repeats is no longer than the text.
fn options(text: &str) -> serde_saphyr::Options {
    let repeats = ALIASED_BYTES.checked_div(text.len()).unwrap_or(MAX_NODES);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES, max_depth: MAX_DEPTH },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: repeats.min(MAX_NODES) },
    }
}

/// Writes a value as one YAML document.
pub fn to_string<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

impl Document {
    /// Where the field of this path (`spec.backends[0].port`) stands; where it is missing, its nearest parent.
    pub fn position(&self, field: &str) -> Option<Position> {
        Some(self.place.find(field))
    }

    /// The scalar of this field as it is written, if it stands there without quotes.
    fn written(&self, field: &str) -> Option<&str> {
        let at = self.place.value(field)?;
        let line = self
            .text
            .lines()
            .nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let (start, _) = line.char_indices().nth(column)?;
        let rest = line.get(start..)?;
        let ends = [rest.find(" #"), rest.find([',', ']', '}'])];
        let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
        let written = rest.get(..end)?.trim_end();
        let plain =
            !written.is_empty() && !written.starts_with(['"', '\'', '|', '>', '&', '*', '!', '{', '[']);
        plain.then_some(written)
    }

    /// Gives each error the position of its field. What was meant as a text is shown as it is written: of `0644` or `NO`
    /// nothing is left once it was read as a number or a yes.
    pub fn locate(&self, mut errors: Vec<FieldError>) -> Vec<FieldError> {
        for error in &mut errors {
            error.position = self.position(&error.field);
        }
        errors.sort_by_key(|error| error.position);
        // Each costs a walk through the text, and no list that is shown is longer.
        for error in errors.iter_mut().take(WRITTEN) {
            if error.message.contains(": quote it: ")
                && let Some(written) = self.written(&error.field)
            {
                let hint = crate::validate::quote_it(written);
                error.message = format!("Invalid value: {written}: must be of type string{hint}");
            }
        }
        errors
    }
}

/// A tab at the start of a line is the commonest of all mistakes, and parsers name it in many ways.
fn tab(text: &str) -> Option<SyntaxError> {
    let (at, line) = text
        .lines()
        .enumerate()
        .find(|(_, line)| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty())?;
    let column = line.bytes().take_while(|byte| *byte == b' ').count() + 1;
    Some(SyntaxError {
        line: u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1),
        column: u64::try_from(column).unwrap_or(u64::MAX),
        message: "a tab: YAML is indented with spaces only".to_owned(),
    })
}

fn syntax_error(error: &serde_saphyr::Error) -> SyntaxError {
    let location = error.location();
    let message = error.without_snippet().to_string();
    // The crate appends its own location in words; the struct carries it already.
    let message = message
        .split(" at line ")
        .next()
        .unwrap_or(&message)
        .trim()
        .to_owned();
    SyntaxError {
        line: location.map_or(1, |location| location.line()),
        column: location.map_or(1, |location| location.column()),
        message,
    }
}

/// The value of a node, and where it and all below it stand.
fn split(node: Spanned<Node>) -> (Value, Place) {
    let position = position(&node.referenced);
    let (value, below) = match node.value {
        Node::Scalar(value) => (value, Below::Nothing),
        Node::Seq(items) => {
            let (values, places) = items.into_iter().map(split).unzip();
            (Value::Array(values), Below::Items(places))
        }
        Node::Map(entries) => {
            let mut fields = serde_json::Map::new();
            let mut places = std::collections::BTreeMap::new();
            for (key, value) in entries {
                let (value, place) = split(value);
                let position = self::position(&key.referenced);
                places.insert(key.value.clone(), Place { position, ..place });
                fields.insert(key.value, value);
            }
            (Value::Object(fields), Below::Fields(places))
        }
    };
    let place = Place {
        position,
        value: position,
        below,
    };
    (value, place)
}

fn position(location: &serde_saphyr::Location) -> Position {
    Position {
        line: location.line(),
        column: location.column(),
    }
}

/// A YAML node of any shape. Keys are texts, as JSON's are.
enum Node {
    Scalar(Value),
    Seq(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::Seq(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if key.value.len() > MAX_KEY_BYTES {
                let bytes = key.value.len();
                return Err(A::Error::custom(format!(
                    "a key has {bytes} bytes: {MAX_KEY_BYTES} at most are read"
                )));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TWO: &str = "# a comment\nkind: Workload\nspec:\n  replicas: 2\n  backends:\n  - port: 80\n  - port: 81\n---\nkind: Incident\n---\n";

    #[test]
    fn documents_and_positions_are_read() {
        let documents = parse(TWO).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(
            documents[0].value,
            json!({"kind": "Workload", "spec": {"replicas": 2, "backends": [{"port": 80}, {"port": 81}]}})
        );
        assert_eq!(
            documents[0].position("spec.backends[1].port"),
            Some(Position { line: 7, column: 5 })
        );
        assert_eq!(
            documents[0].position("spec.backends[1].missing"),
            Some(Position { line: 7, column: 5 })
        );
        assert_eq!(documents[0].position("spec.replicas").unwrap().line, 4);
        assert_eq!(documents[1].position("kind").unwrap().line, 9);
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let error = parse("kind: Workload\nspec:\n  replicas: [1, 2\nother: 3\n").unwrap_err();
        assert!(error.line >= 3, "{error}");
        assert!(
            !error.message.is_empty() && !error.message.contains('\n'),
            "{error:?}"
        );
    }

    #[test]
    fn a_duplicate_key_is_refused_by_line() {
        let error = parse("kind: A\nspec: 1\nkind: B\n").unwrap_err();
        assert_eq!(error.line, 3, "{error}");
    }

    #[test]
    fn extension_keys_hold_anchors_and_mean_nothing() {
        let text = "x-env: &env\n  A: one\n  B: two\nkind: Workload\nspec:\n  env:\n    <<: *env\n    B: three\n  x-inner: 1\n";
        let value = parse(text).unwrap().remove(0).value;
        assert_eq!(
            value,
            json!({"kind": "Workload", "spec": {"env": {"A": "one", "B": "three"}, "x-inner": 1}}),
            "below the top a name that begins like that may be meant"
        );
    }

    #[test]
    fn editors_marks_and_line_ends_are_read_and_a_tab_is_named() {
        for text in [
            "\u{feff}kind: A\nspec: {b: c}\n",
            "kind: A\r\nspec:\r\n  b: c\r\n",
            "\u{feff}---\r\nkind: A\r\nspec: {b: c}",
        ] {
            let documents = parse(text).unwrap();
            assert_eq!(
                documents[0].value,
                json!({"kind": "A", "spec": {"b": "c"}}),
                "{text:?}"
            );
        }
        let error = parse("kind: A\nspec:\n\tb: c\n").unwrap_err();
        assert!(error.line == 3 && error.message.contains("tab"), "{error}");
    }

    #[test]
    fn what_was_meant_as_a_text_is_shown_as_it_is_written() {
        let text =
            "spec:\n  env:\n    MODE: 0644 # rights\n    COUNTRY: NO\n    LIST: {a: 1e5, b: 2}\n    Q: '1'\n";
        let document = parse(text).unwrap().remove(0);
        for (field, written) in [
            ("spec.env.MODE", Some("0644")),
            ("spec.env.COUNTRY", Some("NO")),
            ("spec.env.LIST.a", Some("1e5")),
            ("spec.env.LIST.b", Some("2")),
            ("spec.env.Q", None),
            ("spec.env.missing", None),
        ] {
            assert_eq!(document.written(field), written, "{field}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(parse(&bomb).is_err());
    }

    /// What the kernel counts of this process, in MB.
    fn memory_mb(what: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// A text is at most 4 MiB, and so is what it takes, times a constant.
    #[test]
    fn positions_take_memory_by_the_node_and_not_by_the_path() {
        let mut deep = String::new();
        for level in 0..28 {
            deep.push_str(&format!("{}{}:\n", " ".repeat(level), "k".repeat(900)));
        }
        deep.push_str(&format!("{}last: [{}]\n", " ".repeat(28), "0,".repeat(50_000)));
        // From here on the peak is of this, and of what the other tests of this process hold beside it.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = memory_mb("VmRSS:");
        let documents = parse(&deep).unwrap();
        let grown = memory_mb("VmHWM:").saturating_sub(before);
        // A path of 25 kB for each of the nodes would be 1,260.
        assert!(grown < 400, "{grown} MB");
        let path = vec!["k".repeat(900); 28].join(".");
        let position = documents[0].position(&format!("{path}.last[49999]"));
        assert_eq!(position.unwrap().line, 29);
    }

    #[test]
    fn a_key_and_a_number_of_nodes_have_a_bound_that_the_error_names() {
        let long = format!("a: 1\n? {}\n: [0, 0]\n", "k".repeat(MAX_KEY_BYTES + 1));
        let error = parse(&long).unwrap_err();
        assert!(error.message.contains("1024 at most"), "{error}");
        let many = format!("a: [{}]\n", "0,".repeat(MAX_NODES));
        let error = parse(&many).unwrap_err();
        assert!(error.message.contains("node"), "{error}");
        assert!(parse(&format!("? {}\n: 1\n", "k".repeat(MAX_KEY_BYTES))).is_ok());
    }

    /// On the stack that threads have. Twice as many levels ended the process.
    #[test]
    fn a_text_is_nested_as_deep_as_it_may_be_and_no_deeper() {
        let flow: fn(usize) -> String = |levels| format!("{}1{}\n", "[".repeat(levels), "]".repeat(levels));
        let block: fn(usize) -> String = |levels| {
            let lines = (0..levels).map(|level| format!("{}k:\n", " ".repeat(level)));
            lines.collect::<String>() + &" ".repeat(levels) + "1\n"
        };
        for nested in [flow, block] {
            assert!(parse(&nested(MAX_DEPTH)).is_ok());
            for deeper in [MAX_DEPTH + 1, 60, 2000] {
                assert!(parse(&nested(deeper)).is_err(), "{deeper}");
            }
        }
    }

    #[test]
    fn a_long_text_that_is_repeated_by_aliases_is_refused() {
        let mut text = format!("a: &a \"{}\"\nb: [", "x".repeat(500_000));
        text.push_str(&"*a,".repeat(900));
        text.push_str("]\n");
        assert!(parse(&text).is_err());
        let few = "a: &a {x: 1}\nb: *a\nc: [*a, *a]\n";
        assert_eq!(parse(few).unwrap()[0].value["c"][1]["x"], 1);
    }

    #[test]
    fn keys_with_dots_and_brackets_are_found() {
        let text = "metadata:\n  labels:\n    a.b/c: 1\n    a: 2\n    'x[0].y': 3\n";
        let document = parse(text).unwrap().remove(0);
        assert_eq!(document.position("metadata.labels.a.b/c").unwrap().line, 3);
        assert_eq!(document.position("metadata.labels.a").unwrap().line, 4);
        assert_eq!(document.position("metadata.labels.x[0].y").unwrap().line, 5);
        assert_eq!(document.position("metadata.labels.z").unwrap().line, 2);
        assert_eq!(document.position("metadata[0]").unwrap().line, 1);
        assert_eq!(document.position(&"z.".repeat(100_000)).unwrap().line, 1);
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({"a": "yes", "b": "1.0", "c": [1, 2.5, null, true], "d": "line1\nline2\n", "e": {"f": "x: y # z"}, "g": "", "h": "null"});
        let text = to_string(&value).unwrap();
        assert_eq!(parse(&text).unwrap()[0].value, value, "{text}");
    }
}
