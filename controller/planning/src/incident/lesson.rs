//! What an incident teaches: what was measured as wrong before an action, is measured as not wrong after it and stays away
//! is a success of the action; a fix that did not help, or not for long, is a failure. Everything else teaches nothing
//! about an action: what was not measured, what was gone before, what was never carried out. Pure.

use aegis_api::policy::RUNBOOK;
use aegis_api::proposal::{Action, Verdict};
use aegis_api::redact::{bound, redact};
use aegis_api::runbook::{Outcomes, RunbookEntrySpec};
use aegis_api::symptom::words;
use aegis_api::wire::incident_id;

use super::aftermath::Cure;
use super::phase::executing::is_kept_from_effect;
use super::validate::ValidatedIncident;

/// An entry this similar with the same action is the same lesson.
const SAME_LESSON: f64 = 0.8;
/// The longest account of what was wrong, in characters.
const SYMPTOM: usize = 2000;
/// The longest log that an entry keeps, in characters.
const LOGS: usize = 4000;

/// An action that is proved to have cleared a symptom, which may still come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    pub action: Action,
    /// What was wrong.
    pub symptom: String,
}

/// What a verified resolution proves, if anything.
pub fn cleared(incident: &ValidatedIncident) -> Option<Cleared> {
    let action = action(incident)?;
    let status = &incident.status;
    (Cure::of(status) == Some(Cure::Cleared)).then(|| Cleared {
        action,
        symptom: bound(&words(&status.symptoms), SYMPTOM),
    })
}

/// The entry whose fix was carried out, where it could not be measured afterwards what it was to clear.
pub fn inconclusive(incident: &ValidatedIncident) -> Option<&str> {
    let action = action(incident)?;
    let status = &incident.status;
    let open = Cure::of(status).is_some_and(|cure| cure != Cure::Cleared);
    concerned(incident, action, SAME_LESSON).filter(|_| open)
}

impl Cleared {
    /// The entry that teaches this already.
    pub fn entry<'a>(&self, incident: &'a ValidatedIncident) -> Option<&'a str> {
        let before = incident.taught_before.as_deref();
        let last = incident
            .history
            .iter()
            .rev()
            .find(|done| done.action == self.action);
        let is_again = last.is_some_and(|last| last.incident == incident.status.relapse_of);
        concerned(incident, self.action, SAME_LESSON).or(before.filter(|_| is_again))
    }

    /// The entry that teaches it from now on.
    pub fn lesson(self, incident: &ValidatedIncident) -> RunbookEntrySpec {
        let Self { action, symptom } = self;
        let spec = &incident.incident.spec;
        let status = &incident.status;
        let proposal = status.analysis.as_ref().map(|analysis| &analysis.proposal);
        let chosen = proposal.filter(|proposal| proposal.action == action);
        let verification = status.verification.as_ref();
        let proof = verification.and_then(|verification| verification.attempts.last());
        let council = status.council.as_ref();
        RunbookEntrySpec {
            incident_id: incident_id(&incident.incident).to_owned(),
            alert_type: spec.alert_type.clone(),
            container_name: spec.container_name.clone(),
            severity: spec.severity,
            logs: bound(&redact(&logs(incident)), LOGS),
            root_cause: chosen.map_or_else(
                || format!("{}: {action} helped", spec.alert_type),
                |proposal| proposal.root_cause.clone(),
            ),
            action,
            justification: chosen
                .map(|proposal| proposal.justification.clone())
                .unwrap_or_default(),
            confidence: chosen.map_or(1.0, |proposal| proposal.confidence),
            council_approved: council.is_some_and(|council| council.final_verdict == Verdict::Approved),
            replicas_used: chosen.map_or(0, |proposal| proposal.replica_count),
            resolved_at: Some(incident.now),
            verified_by: proof.map(|attempt| attempt.message.clone()).unwrap_or_default(),
            symptom,
            unproven: None,
            outcomes: Outcomes {
                provisional: vec![incident.name().to_owned()],
                ..Outcomes::none()
            },
        }
    }
}

/// The entry whose fix was tried and did not help.
pub fn disproved(incident: &ValidatedIncident) -> Option<&str> {
    let action = action(incident)?;
    let execution = incident.status.execution.as_ref()?;
    let executed = execution.applied_at.is_some() && execution.withdrawn.is_none();
    let took_effect = execution.converged_at.is_some();
    let workload = incident.target.as_ref().ok()?;
    if !executed || (is_kept_from_effect(workload) && !took_effect) {
        return None;
    }
    concerned(incident, action, 0.0)
}

/// What was planned, where that is to change anything.
fn action(incident: &ValidatedIncident) -> Option<Action> {
    let plan = incident.status.plan.as_ref()?;
    Some(plan.action).filter(|action| *action != Action::Noop)
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

/// What the sender attached, or else what the containers said.
fn logs(incident: &ValidatedIncident) -> String {
    let sent = &incident.incident.spec.logs;
    match &incident.status.evidence {
        Some(evidence) if sent.is_empty() => {
            let tails = evidence.containers.iter().map(|it| it.log_tail.as_str());
            tails.collect::<Vec<_>>().join("\n")
        }
        _ => sent.clone(),
    }
}
