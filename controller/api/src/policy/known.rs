//! When an incident that the runbook knows is decided without asking a model. Owns the terms. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is said to have decided where a RunbookEntry has: its name stands in the model's place.
pub const RUNBOOK: &str = "runbook";

/// What a RunbookEntry must have shown so that its fix is proposed without asking a model. Beside that it must not have
/// failed since it last helped, the evidence must call for the same action, and every seat's rules must agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunbookTerms {
    /// Least trust in it. 0.9 takes eight successes without a failure; with 1 a model is always asked.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub trust: f64,
    /// Least similarity to the incident.
    #[schemars(range(min = 0.05, max = 1.0))]
    pub similarity: f64,
}

impl Default for RunbookTerms {
    fn default() -> Self {
        Self {
            trust: 0.9,
            similarity: 0.8,
        }
    }
}

impl RunbookTerms {
    pub(super) fn is_default(&self) -> bool {
        self == &Self::default()
    }
}
