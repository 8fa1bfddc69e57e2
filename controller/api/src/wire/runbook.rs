//! The runbook as clients know it: one flat row an entry, which a `runbook.json` array of these imports and exports. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::incident::Severity;
use crate::proposal::Action;
use crate::runbook::RunbookEntrySpec;
use crate::scalar::Time;

/// How much of an entry's logs `/rag/test` shows, in characters.
const LOGS_SHOWN: usize = 300;

/// One remembered fix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunbookView {
    /// Incident it was learned from.
    pub incident_id: String,
    /// Its alert type.
    pub alert_type: String,
    /// Its logs.
    #[serde(default)]
    pub logs: String,
    /// The container it was about; `unknown` where that was not reported.
    #[serde(default = "unknown")]
    pub container_name: String,
    /// Its severity, in capitals.
    #[serde(default = "unknown")]
    pub severity: String,
    /// What was wrong.
    pub root_cause: String,
    /// What helped.
    pub action: Action,
    /// Why that.
    #[serde(default)]
    pub justification: String,
    /// The analysis' confidence then, 0 to 1.
    #[serde(default)]
    pub confidence: f64,
    /// Whether the council approved it.
    #[serde(default)]
    pub council_approved: bool,
    /// Replicas it added.
    #[serde(default)]
    pub replicas_used: u32,
    /// When it was verified.
    #[serde(default)]
    pub resolved_at: Option<Time>,
}

/// What `/runbook` answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunbookList {
    /// Every entry by name, or those of a page.
    pub entries: Vec<RunbookView>,
    /// How many there are, those of other pages among them.
    pub total: usize,
    /// Of a page: what leads to the next one, as `continue` of its query; absent after the last.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entry that retrieval found similar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the fields are those of RunbookView")]
pub struct RagRow {
    pub incident_id: String,
    pub alert_type: String,
    pub root_cause: String,
    pub action: Action,
    pub justification: String,
    /// The first 300 characters.
    pub logs: String,
    /// Cosine similarity, rounded to 4 decimals.
    pub similarity_score: f64,
    pub container_name: String,
    pub severity: String,
    pub replicas_used: u32,
    /// How often its fix held, 0 to 1, rounded to 4 decimals.
    #[serde(default)]
    pub trust: f64,
    /// Whether its fix may still be recommended: not once it keeps failing.
    #[serde(default)]
    pub recommended: bool,
}

/// What `/rag/test` answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RagAnswer {
    /// What was asked.
    pub query: String,
    /// What is similar, best first, as the earlier system found and scored it.
    pub retrieved: Vec<RagRow>,
    /// How many those are.
    pub count: usize,
    /// What incidents are given: no word is dropped that tells one trouble from another.
    #[serde(default)]
    pub operations: Vec<RagRow>,
    /// Whether there is no word in what was asked: nothing is similar to stop words and signs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wordless: bool,
}

impl From<&RunbookEntrySpec> for RunbookView {
    fn from(entry: &RunbookEntrySpec) -> Self {
        Self {
            incident_id: entry.incident_id.clone(),
            alert_type: entry.alert_type.clone(),
            logs: entry.logs.clone(),
            container_name: container(entry),
            severity: severity(entry.severity),
            root_cause: entry.root_cause.clone(),
            action: entry.action,
            justification: entry.justification.clone(),
            confidence: entry.confidence,
            council_approved: entry.council_approved,
            replicas_used: entry.replicas_used,
            resolved_at: entry.resolved_at,
        }
    }
}

impl RunbookView {
    /// The spec of an entry that says the same; whether it is valid is for its kind to say.
    pub fn to_spec(&self) -> Value {
        let container = Some(&self.container_name).filter(|name| **name != unknown());
        let severity = match self.severity.to_ascii_lowercase().as_str() {
            "critical" | "high" => "critical",
            "info" | "low" => "info",
            _ => "warning",
        };
        let mut spec = json!({
            "incidentId": self.incident_id, "alertType": self.alert_type, "severity": severity,
            "rootCause": self.root_cause, "action": self.action, "justification": self.justification,
            "confidence": self.confidence, "councilApproved": self.council_approved,
            "replicasUsed": self.replicas_used,
        });
        let optional = [
            ("logs", Some(json!(self.logs)).filter(|_| !self.logs.is_empty())),
            ("containerName", container.map(|name| json!(name))),
            ("resolvedAt", self.resolved_at.map(|at| json!(at))),
        ];
        if let Some(fields) = spec.as_object_mut() {
            let given = optional
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            fields.extend(given);
        }
        spec
    }
}

impl RagRow {
    /// An entry and its similarity to the query.
    pub fn new(entry: &RunbookEntrySpec, score: f64) -> Self {
        let rounded = |number: f64| (number * 10_000.0).round() / 10_000.0;
        Self {
            incident_id: entry.incident_id.clone(),
            alert_type: entry.alert_type.clone(),
            root_cause: entry.root_cause.clone(),
            action: entry.action,
            justification: entry.justification.clone(),
            logs: entry.logs.chars().take(LOGS_SHOWN).collect(),
            similarity_score: rounded(score),
            container_name: container(entry),
            severity: severity(entry.severity),
            replicas_used: entry.replicas_used,
            trust: rounded(entry.outcomes.trust()),
            recommended: entry.is_recommended(),
        }
    }
}

fn container(entry: &RunbookEntrySpec) -> String {
    entry
        .container_name
        .as_ref()
        .map_or_else(unknown, ToString::to_string)
}

fn severity(severity: Severity) -> String {
    match severity {
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
    .to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> RunbookEntrySpec {
        serde_json::from_value(json!({
            "incidentId": "INC-1", "alertType": "Memory Leak", "severity": "critical", "logs": "é".repeat(400),
            "rootCause": "leak", "action": "RESTART", "confidence": 0.9, "councilApproved": true,
            "resolvedAt": "2026-01-31T12:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn an_entry_has_the_twelve_fields_of_the_contract() {
        let wire = serde_json::to_value(RunbookView::from(&entry())).unwrap();
        let mut fields: Vec<&str> = wire.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields.join(" "),
            "action alert_type confidence container_name council_approved incident_id justification logs replicas_used \
             resolved_at root_cause severity"
        );
        assert_eq!(wire["severity"], "CRITICAL");
        assert_eq!(wire["container_name"], "unknown");
    }

    #[test]
    fn what_is_exported_imports_as_it_was() {
        for container in ["web", "unknown"] {
            let mut entry = entry();
            entry.container_name = container.parse().ok().filter(|_| container == "web");
            let wire = serde_json::to_value(RunbookView::from(&entry)).unwrap();
            let row: RunbookView = serde_json::from_value(wire).unwrap();
            let read: RunbookEntrySpec = serde_json::from_value(row.to_spec()).unwrap();
            assert_eq!(read, entry);
        }
    }

    #[test]
    fn a_retrieved_row_is_bounded_and_rounded() {
        let row = RagRow::new(&entry(), 0.123_456_7);
        assert_eq!(row.logs.chars().count(), 300);
        assert_eq!(
            serde_json::to_value(&row).unwrap()["similarity_score"],
            json!(0.1235)
        );
    }

    #[test]
    fn a_retrieved_row_says_how_far_its_fix_is_trusted() {
        let mut entry = entry();
        let row = RagRow::new(&entry, 0.5);
        assert_eq!((row.trust, row.recommended), (0.6667, true));
        entry.outcomes.failures = 3;
        let row = RagRow::new(&entry, 0.5);
        assert_eq!((row.trust, row.recommended), (0.3333, false));
    }

    #[test]
    fn a_row_of_an_earlier_runbook_file_reads_without_the_fields_it_lacks() {
        let row: RunbookView = serde_json::from_value(
            json!({"incident_id": "a", "alert_type": "b", "root_cause": "c", "action": "NOOP", "justification": "d"}),
        )
        .unwrap();
        assert_eq!(row.container_name, "unknown");
    }
}
