//! The incident result: what `/webhook` and `/incidents` answer. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::incident::{Incident, IncidentStatus, Phase, Plan, Stage, TimelineEntry};
use crate::kinds::Kind;
use crate::proposal::{Action, Analysis, CouncilDecision, Seat, Verdict, Vote};
use crate::scalar::Time;

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentResult {
    /// The id the sender gave it; for one that was not sent by webhook its resource name.
    pub incident_id: String,
    /// What kind of alert, in the sender's words.
    pub alert_type: String,
    /// The proposal; null before there is one.
    pub analysis: Option<AnalysisView>,
    /// The council's decision; null before there is one.
    pub council_decision: Option<CouncilView>,
    /// Where it stands.
    pub status: Phase,
    /// When it was verified as resolved.
    pub resolved_at: Option<Time>,
    /// Why it failed.
    pub error: Option<String>,
    /// Replicas it added.
    pub replicas_spawned: usize,
    /// What happened, oldest first.
    pub timeline: Vec<TimelineView>,
    /// Whether it was a dry run: nothing was done. Absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What the analysis proposes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnalysisView {
    /// What is wrong.
    pub root_cause: String,
    /// What to do.
    pub action: Action,
    /// Why that.
    pub justification: String,
    /// 0 to 1.
    pub confidence: f64,
    /// By how many replicas.
    pub replica_count: u32,
}

/// The council's votes and what they amount to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CouncilView {
    /// One a seat, in the order in which they landed.
    pub votes: Vec<VoteView>,
    /// What follows.
    pub final_verdict: Verdict,
    /// Whether most seats agree on it.
    pub consensus: bool,
    /// Why, human-readable.
    pub summary: String,
}

/// One seat's vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VoteView {
    /// Who votes.
    pub role: Seat,
    /// What they say.
    pub verdict: Verdict,
    /// Why.
    pub reasoning: String,
    /// When.
    pub timestamp: Time,
}

/// One line of an incident's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineView {
    /// When.
    pub ts: Time,
    /// What.
    pub status: Stage,
    /// Human-readable.
    pub message: String,
    /// The council seat it is about.
    pub agent: Option<Seat>,
}

/// A phase as clients of the earlier system know it: a dry run is resolved to them, by doing nothing.
pub fn known_phase(phase: Phase) -> Phase {
    match phase {
        Phase::DryRun => Phase::Resolved,
        known => known,
    }
}

/// A stage of the timeline as they know it.
pub fn known_stage(stage: Stage) -> Stage {
    match stage {
        Stage::DryRun => Stage::Noop,
        known => known,
    }
}

/// The id under which clients know an incident.
pub fn incident_id(incident: &Incident) -> &str {
    let sent = incident.spec.source.incident_id.as_str();
    if sent.is_empty() { incident.name() } else { sent }
}

impl IncidentResult {
    /// What a sender is answered whose alert says that its trouble is over, where no incident is about it.
    pub fn nothing_open(incident_id: &str, alert_type: &str, message: String, now: Time) -> Self {
        Self {
            incident_id: incident_id.to_owned(),
            alert_type: alert_type.to_owned(),
            analysis: None,
            council_decision: None,
            status: Phase::Resolved,
            resolved_at: None,
            error: None,
            replicas_spawned: 0,
            timeline: vec![TimelineView {
                ts: now,
                status: Stage::Resolved,
                message,
                agent: None,
            }],
            dry_run: false,
        }
    }

    /// Where it stands, to those who know dry runs.
    pub fn phase(&self) -> Phase {
        if self.dry_run { Phase::DryRun } else { self.status }
    }
}

impl From<&Incident> for IncidentResult {
    fn from(incident: &Incident) -> Self {
        let none = IncidentStatus::default();
        let status = incident.status.as_ref().unwrap_or(&none);
        let mut timeline: Vec<TimelineView> = status.timeline.iter().map(TimelineView::from).collect();
        if timeline.is_empty() {
            timeline.extend(received(incident));
        }
        Self {
            incident_id: incident_id(incident).to_owned(),
            alert_type: incident.spec.alert_type.clone(),
            analysis: status.analysis.as_ref().map(AnalysisView::from),
            council_decision: status.council.as_ref().map(CouncilView::from),
            status: known_phase(status.phase),
            resolved_at: status
                .resolved_at
                .or(status.finished_at.filter(|_| status.phase == Phase::DryRun)),
            error: status.error.clone(),
            replicas_spawned: spawned(status),
            timeline,
            dry_run: status.phase == Phase::DryRun,
        }
    }
}

/// The first line, for an incident that the controller has not reconciled yet: it was received when it was made.
fn received(incident: &Incident) -> Option<TimelineView> {
    let created = incident.metadata.creation_timestamp.as_ref()?;
    let spec = &incident.spec;
    let about = spec.source.naming.as_ref().zip(spec.container_name.as_ref());
    let about = about.map_or_else(String::new, |(naming, container)| {
        format!(" {};", naming.message(container.as_str()))
    });
    let message = format!("received;{about} waiting for the controller");
    Some(TimelineView {
        ts: Time(created.0),
        status: Stage::Received,
        message,
        agent: None,
    })
}

fn spawned(status: &IncidentStatus) -> usize {
    let scaled_up = |plan: &Plan| plan.action == Action::ScaleUp;
    match (&status.plan, &status.execution) {
        (Some(plan), Some(execution)) if scaled_up(plan) => execution.containers.len(),
        _ => 0,
    }
}

impl From<&Analysis> for AnalysisView {
    fn from(analysis: &Analysis) -> Self {
        let proposal = &analysis.proposal;
        Self {
            root_cause: proposal.root_cause.clone(),
            action: proposal.action,
            justification: proposal.justification.clone(),
            confidence: proposal.confidence,
            replica_count: proposal.replica_count,
        }
    }
}

impl From<&CouncilDecision> for CouncilView {
    fn from(decision: &CouncilDecision) -> Self {
        let verdict = decision.final_verdict;
        let agreeing = decision
            .votes
            .iter()
            .filter(|vote| vote.verdict == verdict)
            .count();
        Self {
            votes: decision.votes.iter().map(VoteView::from).collect(),
            final_verdict: verdict,
            consensus: verdict != Verdict::NeedsReview && agreeing * 2 > decision.votes.len(),
            summary: decision.summary.clone(),
        }
    }
}

impl From<&Vote> for VoteView {
    fn from(vote: &Vote) -> Self {
        Self {
            role: vote.role,
            verdict: vote.verdict,
            reasoning: vote.reasoning.clone(),
            timestamp: vote.timestamp,
        }
    }
}

impl From<&TimelineEntry> for TimelineView {
    fn from(entry: &TimelineEntry) -> Self {
        Self {
            ts: entry.ts,
            status: known_stage(entry.status),
            message: entry.message.clone(),
            agent: entry.agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn incident(status: &Value) -> Incident {
        serde_json::from_value(json!({
            "apiVersion": crate::API_VERSION, "kind": "Incident",
            "metadata": {"name": "inc-1", "creationTimestamp": "2026-01-31T12:00:00Z"},
            "spec": {"containerName": "web", "alertType": "Memory Leak", "source": {"incidentId": "INC/1"}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_fresh_incident_has_every_field_of_the_contract() {
        let wire = serde_json::to_value(IncidentResult::from(&incident(&Value::Null))).unwrap();
        assert_eq!(
            wire,
            json!({
                "incident_id": "INC/1", "alert_type": "Memory Leak", "analysis": null, "council_decision": null,
                "status": "RECEIVED", "resolved_at": null, "error": null, "replicas_spawned": 0,
                "timeline": [{"ts": "2026-01-31T12:00:00Z", "status": "RECEIVED",
                    "message": "received; waiting for the controller", "agent": null}],
            })
        );
    }

    #[test]
    fn a_dry_run_is_resolved_by_doing_nothing_to_clients_that_know_no_dry_run() {
        let said = "dry run: would RESTART web; nothing was done";
        let result = IncidentResult::from(&incident(&json!({
            "phase": "DRY_RUN", "finishedAt": "2026-01-31T12:00:09Z",
            "timeline": [{"ts": "2026-01-31T12:00:09Z", "status": "DRY_RUN", "message": said}],
        })));
        assert_eq!(result.phase(), Phase::DryRun);
        let wire = serde_json::to_value(result).unwrap();
        assert_eq!(
            (&wire["status"], &wire["error"]),
            (&json!("RESOLVED"), &Value::Null)
        );
        assert_eq!(wire["resolved_at"], "2026-01-31T12:00:09Z");
        assert_eq!(wire["timeline"][0]["status"], "NOOP");
        assert_eq!(wire["timeline"][0]["message"], said);
        assert_eq!(wire["dry_run"], true);
    }

    #[test]
    fn a_finished_incident_shows_analysis_council_and_replicas() {
        let vote = |role, verdict| json!({"role": role, "verdict": verdict, "reasoning": "r", "timestamp": "2026-01-31T12:00:01Z"});
        let wire = serde_json::to_value(IncidentResult::from(&incident(&json!({
            "phase": "RESOLVED", "resolvedAt": "2026-01-31T12:00:09.5Z",
            "analysis": {"proposal": {"rootCause": "c", "action": "SCALE_UP", "justification": "j", "confidence": 0.9,
                "replicaCount": 2}, "reasoning": "…", "provider": "builtin", "model": "m", "latencyMs": 1,
                "at": "2026-01-31T12:00:01Z"},
            "council": {"votes": [vote("SRE_AGENT", "APPROVED"), vote("AUDITOR", "APPROVED"),
                vote("SECURITY_OFFICER", "REJECTED")], "finalVerdict": "APPROVED", "consensus": "2/3", "summary": "s"},
            "plan": {"hash": "h", "action": "SCALE_UP", "target": "web", "parentGeneration": 1,
                "patch": {"replicas": 3}, "createdAt": "2026-01-31T12:00:02Z"},
            "execution": {"containers": ["web-replica-1", "web-replica-2"]},
            "timeline": [{"ts": "2026-01-31T12:00:01Z", "status": "COUNCIL_VOTE", "message": "m", "agent": "AUDITOR"}],
        }))))
        .unwrap();
        assert_eq!(wire["replicas_spawned"], 2);
        assert_eq!(wire["council_decision"]["consensus"], true);
        assert_eq!(wire["council_decision"]["votes"][1]["role"], "AUDITOR");
        assert_eq!(wire["analysis"]["replica_count"], 2);
        assert_eq!(wire["resolved_at"], "2026-01-31T12:00:09.5Z");
        assert_eq!(wire["timeline"].as_array().unwrap().len(), 1);
        assert_eq!(wire["timeline"][0]["agent"], "AUDITOR");
    }
}
