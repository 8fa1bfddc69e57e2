//! The shapes of a model's answers: what a schema requires of it, and what is known when it answers. Pure data.
//!
//! Reasoning comes first and the order is kept on the wire: a model that must name the action before it has thought
//! guesses. Ranges are not in the schema, as many servers refuse a schema that has some; they are checked here.

use aegis_api::proposal::{Action, Verdict};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// An object with exactly these fields.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its fields, in the order in which the model is to write them.
    pub(crate) fields: &'static [Field],
    /// The field that makes an object one of this kind.
    pub(crate) decisive: &'static str,
}

/// A field and its kind.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether an answer without it is none.
    pub(crate) required: bool,
    /// Other names that models give it.
    pub(crate) also: &'static [&'static str],
}

impl Field {
    /// Whether it is called that.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let name = normalised(name);
        let mut names = std::iter::once(&self.name).chain(self.also);
        names.any(|known| normalised(known) == name)
    }
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    Number,
    Integer,
    OneOf(&'static [&'static str]),
}

/// A name without what people spell differently: `rootCause`, `Root-Cause` and `root_cause` are one.
pub(super) fn normalised(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

const ACTIONS: [&str; Action::ALL.len()] = ["RESTART", "SCALE_UP", "SCALE_DOWN", "ROLLBACK", "NOOP"];
const VERDICTS: [&str; 3] = ["APPROVED", "REJECTED", "NEEDS_REVIEW"];

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
        also: &[],
    }
}

/// What the model thinks. Only servers that hold it to a schema need a field for it: others let it think in prose.
const REASONING: Field = Field {
    name: "reasoning",
    kind: Kind::Text,
    required: false,
    also: &[],
};

/// A [`Proposal`](aegis_api::proposal::Proposal).
pub(crate) static PROPOSAL: Schema = Schema {
    name: "proposal",
    fields: &[
        REASONING,
        field("root_cause", Kind::Text),
        field("action", Kind::OneOf(&ACTIONS)),
        field("justification", Kind::Text),
        field("confidence", Kind::Number),
        field("replica_count", Kind::Integer),
    ],
    decisive: "action",
};

/// A reviewer's vote.
pub(crate) static BALLOT: Schema = Schema {
    name: "ballot",
    fields: &[
        Field {
            also: &["reason", "rationale", "justification", "explanation"],
            ..field("reasoning", Kind::Text)
        },
        Field {
            also: &["vote", "decision"],
            ..field("verdict", Kind::OneOf(&VERDICTS))
        },
    ],
    decisive: "verdict",
};

/// The action that a name stands for, however it is spelled.
pub(super) fn action(name: &str) -> Option<Action> {
    let name = normalised(name);
    match name.as_str() {
        // To do nothing can be said in several ways, and none of them can be mistaken for an action.
        "none" | "noaction" | "nothing" | "donothing" => Some(Action::Noop),
        _ => Action::ALL
            .into_iter()
            .find(|action| normalised(action.as_str()) == name),
    }
}

/// The verdict that a name stands for, as people vote. What is qualified is none: "approved with reservations" is not read.
pub(super) fn verdict(name: &str) -> Option<Verdict> {
    Some(match normalised(name).as_str() {
        "approved" | "approve" | "approves" | "accept" | "accepted" | "yes" | "true" | "pass" | "agree" => {
            Verdict::Approved
        }
        "rejected" | "reject" | "rejects" | "deny" | "denied" | "decline" | "declined" | "no" | "false"
        | "veto" | "fail" | "disapprove" | "disapproved" | "notapproved" | "disagree" => Verdict::Rejected,
        "needsreview" | "review" | "abstain" | "abstained" | "abstention" | "unsure" | "undecided"
        | "escalate" | "needshumanreview" | "humanreview" => Verdict::NeedsReview,
        _ => return None,
    })
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "object")?;
        map.serialize_entry("properties", &Properties(self.fields))?;
        // Strict servers want every field required: the model may leave a text empty.
        map.serialize_entry("required", &names)?;
        map.serialize_entry("additionalProperties", &false)?;
        map.end()
    }
}

struct Properties(&'static [Field]);

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|field| (field.name, &field.kind)))
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let kind = match self {
            Self::Text | Self::OneOf(_) => "string",
            Self::Number => "number",
            Self::Integer => "integer",
        };
        map.serialize_entry("type", kind)?;
        if let Self::OneOf(names) = self {
            map.serialize_entry("enum", names)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_fields_is_kept_on_the_wire() {
        let text = serde_json::to_string(&PROPOSAL).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"type":"object","properties":{"reasoning":{"type":"string"},"root_cause":{"type":"string"},"#,
                r#""action":{"type":"string","enum":["RESTART","SCALE_UP","SCALE_DOWN","ROLLBACK","NOOP"]},"#,
                r#""justification":{"type":"string"},"confidence":{"type":"number"},"replica_count":{"type":"integer"}},"#,
                r#""required":["reasoning","root_cause","action","justification","confidence","replica_count"],"#,
                r#""additionalProperties":false}"#,
            )
        );
    }

    #[test]
    fn the_sets_are_the_closed_sets() {
        assert_eq!(ACTIONS.map(action), Action::ALL.map(Some));
        assert!(VERDICTS.into_iter().all(|name| verdict(name).is_some()));
    }
}
