//! Learning: what was measured as wrong before an action and is measured as not wrong after it becomes a RunbookEntry or
//! raises one's count; a fix that did not help lowers it. Everything else teaches nothing about an action: what nobody
//! measured, what was gone before, what was never carried out. Counting one incident twice changes nothing, so a crash
//! in between does no harm.

use aegis_api::audit::Actor;
use aegis_api::policy::RUNBOOK;
use aegis_api::proposal::{Action, Verdict};
use aegis_api::runbook::{Outcomes, RunbookEntrySpec};
use aegis_api::symptom::words;
use aegis_api::{API_VERSION, Kind, RunbookEntry, kinds};
use aegis_brain::redact::{bound, redact};
use aegis_planning::incident::plan::converge::is_kept_from_effect;
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::store::StoreError;
use serde_json::json;

use super::Error;
use crate::context::Context;

/// An entry this similar with the same action is the same lesson.
const SAME_LESSON: f64 = 0.8;
/// The longest account of what was wrong, in characters.
const SYMPTOM: usize = 2000;

/// What was wrong, if it is proved that the action cleared it.
fn cleared(incident: &ValidatedIncident) -> Option<String> {
    let status = &incident.status;
    let cleared = status
        .verification
        .as_ref()
        .and_then(|verification| verification.symptom_cleared);
    (cleared == Some(true) && !status.symptoms.is_empty()).then(|| bound(&words(&status.symptoms), SYMPTOM))
}

/// Records a verified resolution and answers the entry's name.
pub(super) async fn success(
    context: &Context,
    incident: &ValidatedIncident,
) -> Result<Option<String>, Error> {
    let Some(action) = action(incident).filter(|action| *action != Action::Noop) else {
        return Ok(None);
    };
    let Some(symptom) = cleared(incident) else {
        return Ok(None);
    };
    if let Some(entry) = concerned(incident, action, SAME_LESSON)
        && count(context, incident, entry, Some(&symptom)).await?
    {
        return Ok(Some(entry.to_owned()));
    }
    let name = entry_name(incident.name());
    let Some(spec) = lesson(incident, action, symptom) else {
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
        .is_some_and(|execution| execution.applied_at.is_some() && execution.withdrawn.is_none())
        && incident
            .target
            .as_ref()
            .is_ok_and(|workload| !is_kept_from_effect(workload) || took_effect(incident));
    let Some(action) = action(incident).filter(|action| executed && *action != Action::Noop) else {
        return Ok(());
    };
    if let Some(entry) = concerned(incident, action, 0.0) {
        count(context, incident, entry, None).await?;
    }
    Ok(())
}

fn took_effect(incident: &ValidatedIncident) -> bool {
    let execution = incident.status.execution.as_ref();
    execution.is_some_and(|execution| execution.converged_at.is_some())
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
pub(crate) fn entry_name(incident: &str) -> String {
    let mut name = format!("rb-{incident}");
    name.truncate(120);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Counts this incident's outcome on an entry, once: a success with the symptom that it cleared. False if the entry is
/// gone.
async fn count(
    context: &Context,
    incident: &ValidatedIncident,
    entry: &str,
    cleared: Option<&str>,
) -> Result<bool, Error> {
    let id = incident.name().to_owned();
    let cleared = cleared.map(str::to_owned);
    let edit = move |entry: &RunbookEntry| {
        let mut spec = entry.spec.clone();
        spec.outcomes.count(&id, cleared.is_some());
        if let Some(symptom) = &cleared {
            spec.unproven = None;
            spec.symptom.clone_from(symptom);
        }
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

fn lesson(incident: &ValidatedIncident, action: Action, symptom: String) -> Option<RunbookEntrySpec> {
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
        symptom,
        unproven: None,
        outcomes: Outcomes {
            counted: vec![incident.name().to_owned()],
            ..Outcomes::default()
        },
    })
}
