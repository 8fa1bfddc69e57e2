//! Learning: a verified fix becomes a RunbookEntry or raises one's count; a fix that did not help lowers it. Counting
//! one incident twice changes nothing, so a crash in between does no harm.

use aegis_api::audit::Actor;
use aegis_api::policy::RUNBOOK;
use aegis_api::proposal::{Action, Verdict};
use aegis_api::runbook::{Outcomes, RunbookEntrySpec};
use aegis_api::{API_VERSION, Kind, RunbookEntry, kinds};
use aegis_brain::redact::{bound, redact};
use aegis_runtime::store::StoreError;
use serde_json::json;

use super::Error;
use super::validate::ValidatedIncident;
use crate::context::Context;

/// An entry this similar with the same action is the same lesson.
const SAME_LESSON: f64 = 0.8;

/// Records a verified resolution and answers the entry's name.
pub(super) async fn success(
    context: &Context,
    incident: &ValidatedIncident,
) -> Result<Option<String>, Error> {
    let Some(action) = action(incident).filter(|action| *action != Action::Noop) else {
        return Ok(None);
    };
    if let Some(entry) = concerned(incident, action, SAME_LESSON)
        && count(context, incident, entry, true).await?
    {
        return Ok(Some(entry.to_owned()));
    }
    let name = entry_name(incident.name());
    let Some(spec) = lesson(incident, action) else {
        return Ok(None);
    };
    let object =
        json!({"apiVersion": API_VERSION, "kind": "RunbookEntry", "metadata": {"name": name}, "spec": spec});
    let Some(info) = kinds::find(RunbookEntry::PLURAL) else {
        return Ok(None);
    };
    match context
        .store
        .acting(Actor::incident(incident.name()))
        .create(info, object, false)
        .await
    {
        Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(Some(name)),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}

/// Lowers the trust in the entry whose fix was tried and did not help.
pub(super) async fn failure(context: &Context, incident: &ValidatedIncident) -> Result<(), Error> {
    let executed = incident
        .status
        .execution
        .as_ref()
        .is_some_and(|execution| execution.applied_at.is_some());
    let Some(action) = action(incident).filter(|action| executed && *action != Action::Noop) else {
        return Ok(());
    };
    if let Some(entry) = concerned(incident, action, 0.0) {
        count(context, incident, entry, false).await?;
    }
    Ok(())
}

/// The entry on which an outcome of this action counts: the one that decided, or else the most similar that called for
/// it.
fn concerned(incident: &ValidatedIncident, action: Action, least_score: f64) -> Option<&str> {
    let status = &incident.status;
    let decided = status
        .analysis
        .as_ref()
        .filter(|analysis| analysis.provider == RUNBOOK && analysis.proposal.action == action);
    let alike = || {
        let mut hits = status.retrieved.iter();
        hits.find(|hit| hit.action == action && hit.score >= least_score)
    };
    decided
        .map(|analysis| analysis.model.as_str())
        .or_else(|| alike().map(|hit| hit.entry.as_str()))
}

fn action(incident: &ValidatedIncident) -> Option<Action> {
    incident.status.plan.as_ref().map(|plan| plan.action)
}

/// A name of its own for each incident's entry, within the bound of names.
fn entry_name(incident: &str) -> String {
    let mut name = format!("rb-{incident}");
    name.truncate(120);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Counts this incident's outcome on an entry, once; false if the entry is gone.
async fn count(
    context: &Context,
    incident: &ValidatedIncident,
    entry: &str,
    success: bool,
) -> Result<bool, Error> {
    let id = incident.name().to_owned();
    let edit = move |entry: &RunbookEntry| {
        let mut spec = entry.spec.clone();
        spec.outcomes.count(&id, success);
        Ok(spec)
    };
    match context
        .store
        .acting(Actor::incident(incident.name()))
        .edit_spec::<RunbookEntry, _>(entry, edit)
        .await
    {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}

fn lesson(incident: &ValidatedIncident, action: Action) -> Option<RunbookEntrySpec> {
    let spec = &incident.incident.spec;
    let status = &incident.status;
    let proposal = status.analysis.as_ref().map(|analysis| &analysis.proposal);
    let attempts = status
        .verification
        .as_ref()
        .map(|verification| verification.attempts.as_slice())
        .unwrap_or_default();
    let logs = match &status.evidence {
        Some(evidence) if spec.logs.is_empty() => evidence
            .containers
            .iter()
            .map(|c| c.log_tail.as_str())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => spec.logs.clone(),
    };
    let chosen = proposal.filter(|proposal| proposal.action == action);
    Some(RunbookEntrySpec {
        incident_id: super::status::wire_id(&incident.incident),
        alert_type: spec.alert_type.clone(),
        container_name: spec.container_name.clone(),
        severity: spec.severity,
        logs: bound(&redact(&logs), 4000),
        root_cause: chosen.map_or_else(
            || format!("{}: {action} helped", spec.alert_type),
            |proposal| proposal.root_cause.clone(),
        ),
        action,
        justification: chosen
            .map(|proposal| proposal.justification.clone())
            .unwrap_or_default(),
        confidence: chosen.map_or(1.0, |proposal| proposal.confidence),
        council_approved: status
            .council
            .as_ref()
            .is_some_and(|council| council.final_verdict == Verdict::Approved),
        replicas_used: chosen.map_or(0, |proposal| proposal.replica_count),
        resolved_at: Some(incident.now),
        verified_by: attempts
            .last()
            .map(|attempt| attempt.message.clone())
            .unwrap_or_default(),
        outcomes: Outcomes {
            counted: vec![incident.name().to_owned()],
            ..Outcomes::default()
        },
    })
}
