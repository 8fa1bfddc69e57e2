//! YAML in and out: the only file that names the YAML crate. Pure.
//!
//! A document is read into JSON plus the position of every node, so that an error found later, in whatever layer,
//! can name line and column.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

pub use crate::position::Position;
use crate::validate::FieldError;

/// One YAML document.
#[derive(Debug, Clone)]
pub struct Document {
    /// What it says.
    pub value: Value,
    positions: HashMap<String, Position>,
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
        serde_saphyr::from_multiple(text).map_err(|error| syntax_error(&error))?;
    let documents = nodes.into_iter().map(|node| {
        let mut positions = HashMap::new();
        let value = flatten(node, "", &mut positions);
        Document { value, positions }
    });
    Ok(documents.filter(|document| !document.value.is_null()).collect())
}

/// Writes a value as one YAML document.
pub fn to_string<T: serde::Serialize>(value: &T) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

impl Document {
    /// Where the field of this path (`spec.backends[0].port`) stands; where it is missing, its nearest parent.
    pub fn position(&self, field: &str) -> Option<Position> {
        let mut path = field;
        loop {
            if let Some(position) = self.positions.get(path) {
                return Some(*position);
            }
            if path.is_empty() {
                return None;
            }
            path = path
                .rfind(['.', '['])
                .and_then(|cut| path.get(..cut))
                .unwrap_or("");
        }
    }

    /// Gives each error the position of its field.
    pub fn locate(&self, mut errors: Vec<FieldError>) -> Vec<FieldError> {
        for error in &mut errors {
            error.position = self.position(&error.field);
        }
        errors.sort_by_key(|error| error.position);
        errors
    }
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

fn flatten(node: Spanned<Node>, path: &str, positions: &mut HashMap<String, Position>) -> Value {
    let location = node.referenced;
    let position = Position {
        line: location.line(),
        column: location.column(),
    };
    positions.entry(path.to_owned()).or_insert(position);
    match node.value {
        Node::Scalar(value) => value,
        Node::Seq(items) => {
            let items = items.into_iter().enumerate();
            Value::Array(
                items
                    .map(|(index, item)| flatten(item, &format!("{path}[{index}]"), positions))
                    .collect(),
            )
        }
        Node::Map(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                let inner = if path.is_empty() {
                    key.value.clone()
                } else {
                    format!("{path}.{}", key.value)
                };
                let at = key.referenced;
                positions.insert(
                    inner.clone(),
                    Position {
                        line: at.line(),
                        column: at.column(),
                    },
                );
                let value = flatten(value, &inner, positions);
                (key.value, value)
            });
            Value::Object(entries.collect())
        }
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
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
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
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(parse(&bomb).is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({"a": "yes", "b": "1.0", "c": [1, 2.5, null, true], "d": "line1\nline2\n", "e": {"f": "x: y # z"}, "g": "", "h": "null"});
        let text = to_string(&value).unwrap();
        assert_eq!(parse(&text).unwrap()[0].value, value, "{text}");
    }
}
