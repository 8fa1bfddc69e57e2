//! From a model's words to a typed answer: read with tolerance, accepted with none. Owns what counts as an answer and
//! how an error is named to the model; nothing here does I/O.
//!
//! Tolerant in form: fences, prose and thinking around the object, names in any case, `85%` for 0.85. Strict in
//! substance: a closed set of actions, every field, every range, no field beyond, and one answer only. What is wrong is
//! listed field by field, so that the model can be asked to repair it.

mod fields;
mod lenient;
pub(crate) mod live;
mod object;
pub(crate) mod schema;

use aegis_api::proposal::{Action, Proposal, Verdict};

use fields::Fields;

/// Most bytes of a text that can be an answer.
pub(crate) const LONGEST_ANSWER: usize = 64 * 1024;
/// Longest texts, in characters, as the shape of [`Proposal`] has them.
const ROOT_CAUSE: usize = 2000;
const JUSTIFICATION: usize = 4000;
/// Most replicas that one answer may add or remove, as above.
const REPLICAS: u32 = 200;
/// The longest reasoning of a vote, in characters.
const BALLOT_REASONING: usize = 4000;
/// Most errors that are listed: a longer list helps no model.
const FAULTS: usize = 12;

/// What is wrong with a field of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl Fault {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// A reviewer's vote, as a model gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ballot {
    pub(crate) verdict: Verdict,
    pub(crate) reasoning: String,
}

/// Reads a proposal.
pub(crate) fn proposal(text: &str) -> Result<Proposal, Vec<Fault>> {
    let mut fields = Fields::read(text, &schema::PROPOSAL)?;
    let root_cause = fields.text("root_cause", ROOT_CAUSE);
    let action = fields.choice("action", schema::action);
    let justification = fields.text("justification", JUSTIFICATION);
    let confidence = fields.share("confidence");
    let replica_count = fields.whole("replica_count", REPLICAS);
    if let (Some(action), Some(count)) = (action, replica_count) {
        let scales = matches!(action, Action::ScaleUp | Action::ScaleDown);
        if scales && count == 0 {
            fields.fault(
                "replica_count",
                format!("{action} needs at least 1: by how many replicas?"),
            );
        }
        if !scales && count != 0 {
            fields.fault(
                "replica_count",
                format!("{action} does not change how many there are: use 0"),
            );
        }
    }
    fields.done()?;
    match (root_cause, action, justification, confidence, replica_count) {
        (Some(root_cause), Some(action), Some(justification), Some(confidence), Some(replica_count)) => {
            Ok(Proposal {
                root_cause,
                action,
                justification,
                confidence,
                replica_count,
            })
        }
        _ => Err(vec![Fault::new("answer", "incomplete")]),
    }
}

/// Reads a reviewer's vote.
pub(crate) fn ballot(text: &str) -> Result<Ballot, Vec<Fault>> {
    let mut fields = Fields::read(text, &schema::BALLOT)?;
    let reasoning = fields.text("reasoning", BALLOT_REASONING);
    let verdict = fields.choice("verdict", schema::verdict);
    fields.done()?;
    match (verdict, reasoning) {
        (Some(verdict), Some(reasoning)) => Ok(Ballot { verdict, reasoning }),
        _ => Err(vec![Fault::new("answer", "incomplete")]),
    }
}

/// Whether a text holds one answer, in JSON as it should be, and ends with it: nothing that could come would be part of it.
pub(crate) fn is_complete(text: &str, schema: &schema::Schema) -> bool {
    object::is_complete(text, schema)
}

/// Whether a text holds exactly one object that may be an answer.
pub(crate) fn holds_one(text: &str, schema: &schema::Schema) -> bool {
    object::find(text, schema).is_ok()
}

/// Whether a text holds objects that may be answers, one or several.
pub(crate) fn holds_any(text: &str, schema: &schema::Schema) -> bool {
    object::holds_any(text, schema)
}

/// The errors as one line.
pub(crate) fn listed(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests;
