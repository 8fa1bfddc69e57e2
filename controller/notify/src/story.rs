//! What is reported of one entry of a timeline, as texts: the same for mails, webhooks and their templates. Pure. Every
//! text is redacted and bounded; escaping is left to who knows the format.

use aegis_api::incident::{Severity, Stage, TimelineEntry};
use aegis_api::kinds::Kind as _;
use aegis_api::redact::{bound, redact};
use aegis_api::{Incident, Time};
use serde::Serialize;

use crate::card::{Look, subject, title};
use crate::stage::Mark;

/// Most characters of a text.
const TEXT: usize = 1_000;
/// Most characters of a name.
const NAME: usize = 120;

/// What is reported. Serialized as a CloudEvent's data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Story {
    /// Names this report, also when it is sent again.
    #[serde(skip)]
    pub(crate) id: String,
    /// One line.
    pub(crate) title: String,
    /// The incident's name.
    pub(crate) incident: String,
    /// Its uid.
    pub(crate) uid: String,
    pub(crate) alert_type: String,
    pub(crate) workload: String,
    pub(crate) severity: Severity,
    /// The stage that is reported.
    pub(crate) stage: Stage,
    pub(crate) phase: &'static str,
    /// What happened.
    pub(crate) message: String,
    /// How often it was reported.
    pub(crate) count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    pub(crate) at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Time>,
    /// The incident's page in the cockpit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

impl Story {
    pub(crate) fn of(incident: &Incident, entry: &TimelineEntry, look: &Look) -> Self {
        let status = incident.status.clone().unwrap_or_default();
        let uid = incident.metadata.uid.clone().unwrap_or_default();
        let proposal = status.analysis.as_ref().map(|analysis| &analysis.proposal);
        let ended = matches!(entry.status, Stage::Resolved | Stage::Failed | Stage::DryRun);
        Self {
            id: format!("{uid}-{}", Mark::of(entry).words()),
            title: line(&title(incident, entry.status)),
            incident: incident.name().to_owned(),
            uid,
            alert_type: line(&incident.spec.alert_type),
            workload: line(&subject(incident)),
            severity: incident.spec.severity,
            stage: entry.status,
            phase: status.phase.as_str(),
            message: text(&entry.message),
            count: incident.spec.count,
            root_cause: proposal.map(|proposal| text(&proposal.root_cause)),
            action: proposal.map(|proposal| proposal.action.to_string()),
            plan_hash: status.plan.as_ref().map(|plan| plan.hash.clone()),
            error: status.error.as_deref().filter(|_| ended).map(text),
            at: entry.ts,
            started_at: incident.metadata.creation_timestamp.as_ref().map(|at| Time(at.0)),
            finished_at: status.finished_at,
            url: look.page(incident),
        }
    }

    /// Label and value of what there is to say, in the order of a letter.
    pub(crate) fn rows(&self) -> Vec<(&'static str, &str)> {
        let mut rows = vec![
            ("Workload", self.workload.as_str()),
            ("What", self.message.as_str()),
        ];
        let optional = [
            ("Root cause", &self.root_cause),
            ("Action", &self.action),
            ("Plan", &self.plan_hash),
            ("Outcome", &self.error),
        ];
        rows.extend(
            optional
                .into_iter()
                .filter_map(|(label, value)| Some((label, value.as_deref()?))),
        );
        rows.push(("Incident", &self.incident));
        rows
    }
}

/// Redacted, bounded, on one line.
pub(crate) fn line(raw: &str) -> String {
    let one = raw.split_whitespace().collect::<Vec<_>>().join(" ");
    short(&one, NAME)
}

/// Redacted and bounded.
pub(crate) fn text(raw: &str) -> String {
    short(raw, TEXT)
}

fn short(raw: &str, most: usize) -> String {
    // Cut before it is looked through: a text may be very long. What a cut leaves of a secret goes with the second cut.
    let head: String = raw.chars().take(most.saturating_mul(4)).collect();
    first(&redact(&head), most)
}

/// The first characters of a text without what steers a terminal or turns the direction of writing, with an ellipsis
/// where something was cut: what a text is about stands at its beginning.
pub(crate) fn first(text: &str, most: usize) -> String {
    let harmless = bound(text, usize::MAX);
    if harmless.chars().count() <= most {
        return harmless;
    }
    let mut cut: String = harmless.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_text_is_kept_without_its_secrets() {
        let long = text(&format!("it leaks password=hunter2 {}", "x".repeat(10_000)));
        assert!(
            long.starts_with("it leaks password=") && long.ends_with('…'),
            "{long}"
        );
        assert!(!long.contains("hunter2"));
        assert_eq!(long.chars().count(), TEXT);
        assert_eq!(line("a\n b\u{202e}").matches(['\n', '\u{202e}']).count(), 0);
    }
}
