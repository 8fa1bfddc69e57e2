//! One card: what Slack's Block Kit shows of a stage of an incident. Pure. Texts of an incident are hostile: they are
//! redacted, bounded and shown as plain text, so that they can mention no user, link to no address and format nothing.
//! Limits: <https://docs.slack.dev/reference/block-kit/blocks> (50 blocks a message, 3,000 characters a section's text,
//! 150 a header's, 10 fields of 2,000 characters, 10 elements a context).

#[cfg(test)]
pub(crate) mod limits;
pub(crate) mod root;
mod text;

use aegis_api::incident::{Severity, Stage, TimelineEntry};
use aegis_api::kinds::Kind as _;
use aegis_api::proposal::{CouncilDecision, Verdict};
use aegis_api::{ConditionType, Incident, condition};
use serde_json::{Value, json};

pub(crate) use self::text::summary as line;
use self::text::{Bound, fields, header, link, note, paragraph, summary};

/// Most votes that one card shows.
const VOTES: usize = 10;
/// Most containers that one card names.
const CONTAINERS: usize = 20;

/// What the configuration adds to cards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Where the cockpit is, such as `https://ops.example.org`; without it no card has a link.
    pub cockpit: Option<String>,
    /// Whether plans are decided on by buttons: there are approvers, and clicks can come in.
    pub buttons: bool,
    /// Whether there are silences that a button can make.
    pub silences: bool,
}

impl Look {
    /// The incident's page in the cockpit.
    pub(crate) fn page(&self, incident: &Incident) -> Option<String> {
        let cockpit = self.cockpit.as_deref()?.trim_end_matches('/');
        Some(format!("{cockpit}/incidents/{}", incident.name()))
    }
}

/// What is posted about one entry of the timeline.
pub(crate) fn card(incident: &Incident, entry: &TimelineEntry, look: &Look) -> Value {
    let title = title(incident, entry.status);
    let mut blocks = vec![header(&title)];
    blocks.extend(match entry.status {
        Stage::Received => received(incident),
        Stage::CouncilDecision => decision(incident, entry),
        Stage::AwaitingApproval => approval(incident, entry),
        Stage::Scaled | Stage::Restarted | Stage::ScaledDown | Stage::RolledBack => action(incident, entry),
        Stage::Resolved | Stage::Failed | Stage::DryRun => end(incident, entry),
        _ => vec![paragraph("", &entry.message, Bound::Text)],
    });
    blocks.extend(look.page(incident).map(|page| link(&page)));
    blocks.push(note(&format!(
        "{} · {} · aegisctl describe incident/{}",
        entry.ts,
        entry.status.as_str(),
        incident.name()
    )));
    json!({ "text": summary(&format!("{title}: {}", entry.message)), "blocks": blocks })
}

/// A line that is about no single entry: what was dropped, a digest, a test.
pub(crate) fn notice(text: &str) -> Value {
    json!({ "text": summary(text), "blocks": [paragraph("", text, Bound::Text)] })
}

pub(crate) fn title(incident: &Incident, stage: Stage) -> String {
    let what = match stage {
        Stage::Received => match incident.spec.severity {
            Severity::Critical => "🔴 Incident received (critical)",
            Severity::Warning => "🟠 Incident received (warning)",
            Severity::Info => "🔵 Incident received (info)",
        },
        Stage::CouncilDecision => "⚖️ Council decided",
        Stage::AwaitingApproval => "✋ Requires approval",
        Stage::Scaled | Stage::Restarted | Stage::ScaledDown | Stage::RolledBack => "🔧 Action taken",
        Stage::Resolved => "✅ Resolved",
        Stage::Failed => "❌ Failed",
        Stage::DryRun => "📝 Dry run",
        other => other.as_str(),
    };
    format!("{what}: {} on {}", incident.spec.alert_type, subject(incident))
}

/// The workload or, where none is known yet, the container that the sender named.
pub(crate) fn subject(incident: &Incident) -> String {
    let container = incident.spec.container_name.as_ref();
    incident
        .workload()
        .map(ToString::to_string)
        .or_else(|| container.map(ToString::to_string))
        .unwrap_or_else(|| "an unknown workload".to_owned())
}

fn received(incident: &Incident) -> Vec<Value> {
    let spec = &incident.spec;
    let id = match spec.source.incident_id.as_str() {
        "" => incident.name().to_owned(),
        id => id.to_owned(),
    };
    let mut rows = vec![
        ("Workload", subject(incident)),
        ("Severity", format!("{:?}", spec.severity).to_lowercase()),
        ("Incident", id),
        ("Reported", format!("{} times", spec.count)),
    ];
    if let Some(container) = &spec.container_name {
        rows.push(("Container", container.to_string()));
    }
    let mut blocks = vec![fields(&rows)];
    if !spec.logs.is_empty() {
        blocks.push(paragraph("Log", &spec.logs, Bound::Excerpt));
    }
    blocks
}

fn decision(incident: &Incident, entry: &TimelineEntry) -> Vec<Value> {
    let Some(status) = &incident.status else {
        return vec![paragraph("", &entry.message, Bound::Text)];
    };
    let mut blocks = Vec::new();
    if let Some(analysis) = &status.analysis {
        let proposal = &analysis.proposal;
        blocks.push(fields(&[
            ("Action", proposal.action.to_string()),
            ("Confidence", format!("{:.0} %", proposal.confidence * 100.0)),
            (
                "Analysed by",
                format!("{} ({})", analysis.provider, analysis.model),
            ),
        ]));
        blocks.push(paragraph("Root cause", &proposal.root_cause, Bound::Text));
        blocks.push(paragraph("Justification", &proposal.justification, Bound::Text));
    }
    match &status.council {
        Some(council) => blocks.extend(votes(council)),
        None => blocks.push(paragraph("Council", &entry.message, Bound::Text)),
    }
    blocks
}

fn votes(council: &CouncilDecision) -> Vec<Value> {
    let verdict = format!("{} ({})", council.final_verdict.as_str(), council.consensus);
    let mut blocks = vec![fields(&[("Verdict", verdict)])];
    blocks.extend(council.votes.iter().take(VOTES).map(|vote| {
        let mark = match vote.verdict {
            Verdict::Approved => "👍",
            Verdict::Rejected => "👎",
            Verdict::NeedsReview => "✋",
        };
        let who = format!("{mark} {} {}", vote.role.as_str(), vote.verdict.as_str());
        paragraph(&who, &vote.reasoning, Bound::Excerpt)
    }));
    blocks
}

fn approval(incident: &Incident, entry: &TimelineEntry) -> Vec<Value> {
    let mut blocks = vec![paragraph("Why", &entry.message, Bound::Text)];
    let plan = incident.status.as_ref().and_then(|status| status.plan.as_ref());
    if let Some(plan) = plan {
        blocks.push(fields(&[
            ("Action", plan.action.to_string()),
            ("Workload", plan.target.to_string()),
            ("Plan", plan.hash.clone()),
        ]));
    }
    let name = incident.name();
    blocks.push(paragraph(
        "Decide",
        &format!("aegisctl approve incident/{name}\naegisctl reject incident/{name}"),
        Bound::Text,
    ));
    blocks
}

fn action(incident: &Incident, entry: &TimelineEntry) -> Vec<Value> {
    let status = incident.status.as_ref();
    let mut blocks = vec![paragraph("Done", &entry.message, Bound::Text)];
    if let Some(plan) = status.and_then(|status| status.plan.as_ref()) {
        blocks.push(fields(&[
            ("Action", plan.action.to_string()),
            ("Workload", plan.target.to_string()),
            ("Plan", plan.hash.clone()),
        ]));
    }
    let containers = status
        .and_then(|status| status.execution.as_ref())
        .map(|execution| execution.containers.as_slice())
        .unwrap_or_default();
    if !containers.is_empty() {
        blocks.push(paragraph("Containers", &some_of(containers), Bound::Text));
    }
    blocks
}

fn some_of(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(CONTAINERS).map(String::as_str).collect();
    match names.len().saturating_sub(CONTAINERS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn end(incident: &Incident, entry: &TimelineEntry) -> Vec<Value> {
    let status = incident.status.as_ref();
    let error = status.and_then(|status| status.error.as_deref());
    let mut blocks = vec![paragraph("Outcome", error.unwrap_or(&entry.message), Bound::Text)];
    let asks = status.map(|status| &status.conditions[..]).unwrap_or_default();
    let cure = condition::find(asks, ConditionType::CureNeeded);
    if let Some(cure) = cure.filter(|cure| cure.status == "True") {
        blocks.push(paragraph("A cure is needed", &cure.message, Bound::Text));
    }
    let mut rows = Vec::new();
    if let Some(analysis) = status.and_then(|status| status.analysis.as_ref()) {
        rows.push(("Action", analysis.proposal.action.to_string()));
    }
    let began = incident.metadata.creation_timestamp.as_ref();
    if let Some(began) = began {
        let seconds = entry.ts.0.duration_since(began.0).as_secs();
        rows.push(("After", format!("{} s", seconds.max(0))));
    }
    if let Some(learned) = status.and_then(|status| status.learned.as_ref()) {
        rows.push(("Runbook", learned.clone()));
    }
    if !rows.is_empty() {
        blocks.push(fields(&rows));
    }
    blocks
}

#[cfg(test)]
pub(crate) mod tests;
