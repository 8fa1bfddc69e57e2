//! The incident's own message in a Slack channel: where it stands now. It is updated in place; the stages stand in its
//! thread. Pure.

use aegis_api::incident::{Phase, Severity};
use aegis_api::kinds::Kind as _;
use aegis_api::{Incident, incident::Plan};
use serde_json::{Value, json};

use super::text::{Bound, fields, header, label, note, paragraph, question, summary};
use super::{Look, subject};
use crate::slack::click::{Subject, Verb};

/// The message as it should be now.
pub(crate) fn card(incident: &Incident, look: &Look) -> Value {
    let status = incident.status.clone().unwrap_or_default();
    let title = format!(
        "{} {}: {} on {}",
        mark(status.phase, incident.spec.severity),
        words(status.phase),
        incident.spec.alert_type,
        subject(incident)
    );
    let mut blocks = vec![header(&title), fields(&facts(incident, status.phase))];
    if let Some(analysis) = &status.analysis {
        let cause = &analysis.proposal.root_cause;
        blocks.push(paragraph("Root cause", cause, Bound::Excerpt));
    }
    let waits = status.phase == Phase::AwaitingApproval;
    if let Some(plan) = status.plan.as_ref().filter(|_| waits) {
        let patch = serde_json::to_string(&plan.patch).unwrap_or_default();
        blocks.push(fields(&[
            ("Plan", format!("{} on {}", plan.action, plan.target)),
            ("Hash", plan.hash.clone()),
        ]));
        blocks.push(paragraph("Changes", &patch, Bound::Excerpt));
    }
    let last = status.timeline.last();
    if let Some(error) = status.error.as_deref().filter(|_| status.phase.is_end()) {
        blocks.push(paragraph("Outcome", error, Bound::Excerpt));
    } else if let Some(entry) = last {
        blocks.push(paragraph("Now", &entry.message, Bound::Excerpt));
    }
    let mut buttons = Vec::new();
    if let Some(plan) = status.plan.as_ref().filter(|_| waits && look.buttons) {
        buttons.extend(decide(incident, plan));
    }
    if look.buttons && look.silences && !status.phase.is_end() {
        buttons.extend(silence(incident));
    }
    if let Some(page) = look.page(incident) {
        buttons.push(json!({
            "type": "button", "action_id": "aegis.open", "text": label("Open in the cockpit"), "url": page,
        }));
    }
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "block_id": "aegis.decide", "elements": buttons}));
    }
    blocks.push(note(&format!(
        "{} · aegisctl describe incident/{}",
        status.phase.as_str(),
        incident.name()
    )));
    json!({ "text": summary(&title), "blocks": blocks })
}

/// Silences the incident's workload; bound to no plan.
fn silence(incident: &Incident) -> Option<Value> {
    let subject = Subject {
        incident: incident.name().to_owned(),
        uid: incident.metadata.uid.clone()?,
        plan: String::new(),
    };
    let value = subject.value()?;
    Some(
        json!({"type": "button", "action_id": Verb::Silence.action_id(), "text": label("Silence 1 h"), "value": value}),
    )
}

/// Approve and Reject, bound to this plan of this incident.
fn decide(incident: &Incident, plan: &Plan) -> Vec<Value> {
    let value = incident.metadata.uid.clone().and_then(|uid| {
        let subject = Subject {
            incident: incident.name().to_owned(),
            uid,
            plan: plan.hash.clone(),
        };
        subject.value()
    });
    // A plan that no button can name is decided on elsewhere.
    let Some(value) = value else { return Vec::new() };
    let what = format!("{} on {}", plan.action, plan.target);
    let confirm = json!({
        "title": label("Approve this plan?"),
        "text": question(&format!("{what} will be carried out if what it is about is still measured (plan {}).", plan.hash)),
        "confirm": label_of("Approve"),
        "deny": label_of("Back"),
    });
    vec![
        json!({"type": "button", "action_id": Verb::Approve.action_id(), "style": "primary",
            "text": label("Approve"), "value": value, "confirm": confirm}),
        json!({"type": "button", "action_id": Verb::Reject.action_id(), "style": "danger",
            "text": label("Reject"), "value": value}),
    ]
}

/// A label of a question's button: 30 characters.
fn label_of(text: &str) -> Value {
    label(&text.chars().take(28).collect::<String>())
}

fn facts(incident: &Incident, phase: Phase) -> Vec<(&'static str, String)> {
    let status = incident.status.as_ref();
    let mut rows = vec![
        ("Workload", subject(incident)),
        ("Severity", format!("{:?}", incident.spec.severity).to_lowercase()),
        ("Phase", phase.as_str().to_owned()),
        ("Reported", format!("{} times", incident.spec.count)),
    ];
    if let Some(analysis) = status.and_then(|status| status.analysis.as_ref()) {
        rows.push(("Action", analysis.proposal.action.to_string()));
    }
    if let Some(approval) = &incident.spec.approval {
        rows.push(("Decided by", approval.by.clone()));
    }
    rows
}

fn mark(phase: Phase, severity: Severity) -> &'static str {
    match (phase, severity) {
        (Phase::AwaitingApproval, _) => "✋",
        (Phase::Resolved, _) => "✅",
        (Phase::Failed, _) => "❌",
        (Phase::DryRun, _) => "📝",
        (_, Severity::Critical) => "🔴",
        (_, Severity::Warning) => "🟠",
        (_, Severity::Info) => "🔵",
    }
}

fn words(phase: Phase) -> &'static str {
    match phase {
        Phase::Received => "Received",
        Phase::Analysing => "Being analysed",
        Phase::CouncilReview => "Before the council",
        Phase::AwaitingApproval => "Requires approval",
        Phase::Approved => "Approved",
        Phase::Executing | Phase::Scaling => "Being remedied",
        Phase::Verifying => "Being verified",
        Phase::Resolved => "Resolved",
        Phase::Failed => "Failed",
        Phase::DryRun => "Dry run",
    }
}
