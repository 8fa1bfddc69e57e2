//! The only writer of an Incident's status: folds what came of a step into it, and tells people.

mod dry_run;

use std::time::Duration;

use aegis_api::condition::Conditions;
use aegis_api::incident::{Execution, Plan, Stage, TimelineEntry, Tried, Verification};
use aegis_api::proposal::{Action as Remedy, CouncilDecision, Retrieved, Seat};
use aegis_api::scalar::ResourceName;
use aegis_api::symptom::words;
use aegis_api::{ConditionType, Incident, IncidentStatus, Kind, Phase, Reason, Time, condition};
use aegis_brain::Recalled;
use aegis_brain::redact::{bound, redact};
use aegis_planning::host_limit;
use aegis_planning::incident::gate::Ruling;
use aegis_planning::incident::plan;
use aegis_planning::incident::readings::describe_container;
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::controller::Action;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::store::StoreError;

use super::Error;
use super::apply::Outcome;
use super::measure::Measured;
use crate::context::Context;
use crate::fault;

const AT_ONCE: Action = Action::Requeue(Duration::ZERO);
/// Most lines of a timeline that say what a sender said later.
const HEARD: usize = 20;
/// The longest timeline; later entries push out those after the first.
const TIMELINE: usize = 200;

/// The id by which clients of the earlier system know the incident.
pub(super) fn wire_id(incident: &Incident) -> String {
    let id = &incident.spec.source.incident_id;
    if id.is_empty() {
        incident.name().to_owned()
    } else {
        id.clone()
    }
}

pub(super) async fn update(
    context: &Context,
    incident: &ValidatedIncident,
    outcome: Outcome,
) -> Result<Action, Error> {
    let mut next = Next {
        status: incident.status.clone(),
        now: context.clock.now(),
        incident,
    };
    next.status.observed_generation = Some(incident.incident.generation());
    if next.status.timeline.is_empty() {
        next.received();
    }
    next.heard();
    let action = next.fold(outcome);
    let status = next.status;
    announce(context, incident, &status);
    if Some(&status) != incident.incident.status.as_ref() {
        let uid = incident.incident.metadata.uid.as_deref().unwrap_or_default();
        let phase = status.phase.as_str();
        fault::point(&format!("incident/before/{phase}"));
        match context
            .store
            .set_status::<Incident>(incident.name(), uid, status)
            .await
        {
            Ok(_) | Err(StoreError::NotFound { .. }) => {}
            Err(source) => {
                return Err(Error::Store {
                    incident: incident.name().to_owned(),
                    source,
                });
            }
        }
        fault::point(&format!("incident/after/{phase}"));
    }
    Ok(action)
}

/// Records new timeline entries as Events, so that `describe` shows them too.
fn announce(context: &Context, incident: &ValidatedIncident, status: &IncidentStatus) {
    let about = ObjectRef::of(&*incident.incident);
    for entry in status.timeline.iter().skip(incident.status.timeline.len()) {
        let kind = if matches!(entry.status, Stage::Failed | Stage::Fallback) {
            EventType::Warning
        } else {
            EventType::Normal
        };
        context
            .events
            .record(&about, kind, entry.status.as_str(), entry.message.clone());
    }
}

struct Next<'a> {
    status: IncidentStatus,
    now: Time,
    incident: &'a ValidatedIncident,
}

impl Next<'_> {
    /// The first line: what was reported, by whom, about which container, and whether it was there before.
    fn received(&mut self) {
        let spec = &self.incident.incident.spec;
        let source = &spec.source;
        let from = source.kind.as_str();
        let from = if from.is_empty() { "a resource" } else { from };
        let mut text = format!("{} reported by {from}", bound(&spec.alert_type, 100));
        if let (Some(naming), Some(container)) = (&source.naming, &spec.container_name) {
            let message = naming.message(container.as_str());
            text.push_str(&format!("; {message}"));
            let reason = if naming.by_default {
                Reason::DefaultTarget
            } else {
                Reason::NamedByAlert
            };
            self.condition(ConditionType::ContainerNamed, !naming.by_default, reason, message);
        }
        if let Some(previous) = &source.previous {
            text.push_str(&format!("; the same alert was incident {previous} before"));
        }
        self.log(Stage::Received, text, None);
    }

    /// What the sender says since: that it is over, or that it fires again. It proves nothing.
    fn heard(&mut self) {
        let resolved_at = self.incident.incident.spec.source.resolved_at;
        let known = condition::is_true(&self.status.conditions, ConditionType::SenderResolved);
        let (reason, text) = match (resolved_at, known) {
            (Some(at), false) => (
                Reason::Resolved,
                format!("the sender says that it is over since {at}"),
            ),
            (None, true) => (
                Reason::FiresAgain,
                "the sender says that it fires again".to_owned(),
            ),
            _ => return,
        };
        self.condition(
            ConditionType::SenderResolved,
            resolved_at.is_some(),
            reason,
            text.clone(),
        );
        let heard = self
            .status
            .timeline
            .iter()
            .filter(|entry| entry.status == Stage::Received);
        // A sender that cannot make up its mind pushes out nothing else.
        if heard.count() <= HEARD {
            self.log(Stage::Received, text, None);
        }
    }

    fn log(&mut self, status: Stage, message: impl Into<String>, agent: Option<Seat>) {
        if self.status.timeline.len() >= TIMELINE {
            self.status.timeline.remove(1);
        }
        self.status.timeline.push(TimelineEntry {
            ts: self.now,
            status,
            message: message.into(),
            agent,
        });
    }

    fn condition(&mut self, kind: ConditionType, status: bool, reason: Reason, message: impl Into<String>) {
        let generation = self.status.observed_generation;
        Conditions::at(&mut self.status.conditions, generation, self.now).set(kind, status, reason, message);
    }

    fn fold(&mut self, outcome: Outcome) -> Action {
        match outcome {
            Outcome::Held {
                reason,
                message,
                until,
            } => self.hold(reason, message, until),
            Outcome::Investigated {
                evidence,
                symptoms,
                recalled,
                hold,
            } => {
                let seen: Vec<String> = evidence.containers.iter().map(describe_container).collect();
                self.log(Stage::EvidenceCollected, seen.join("; "), None);
                self.status.symptoms = symptoms;
                self.status.measured_at = evidence.collected_at;
                self.status.evidence = Some(*evidence);
                self.recalled(recalled);
                self.status.workload = self
                    .incident
                    .target
                    .as_ref()
                    .ok()
                    .and_then(|workload| workload.name().parse::<ResourceName>().ok());
                match hold {
                    Some((reason, message, until)) => self.hold(reason, message, until),
                    None => self.begin_analysis(),
                }
            }
            Outcome::Measured(measured) => self.measured(measured),
            Outcome::BegunAnew(reason) => self.begin_anew(&reason),
            Outcome::AnalysisBegun => self.begin_analysis(),
            Outcome::Analysed(analysis) => {
                for attempt in &analysis.attempts {
                    let text = format!(
                        "no usable answer of {} ({}): {}",
                        attempt.provider, attempt.model, attempt.reason
                    );
                    self.log(Stage::Analysing, text, None);
                }
                let proposal = &analysis.proposal;
                let text = format!(
                    "{} proposes {} ({:.0} % confidence): {}",
                    analysis.provider,
                    proposal.action,
                    proposal.confidence * 100.0,
                    proposal.root_cause
                );
                self.log(Stage::AiComplete, text, None);
                self.status.analysis = Some(*analysis);
                self.status.phase = Phase::CouncilReview;
                self.log(Stage::CouncilReview, "the council sits", None);
                AT_ONCE
            }
            Outcome::AnalysisFailed(error) => self.end_failed(&format!("the analysis failed: {error}")),
            Outcome::Voted(vote) => {
                self.log(
                    Stage::CouncilVote,
                    format!(
                        "{}: {} — {}",
                        vote.role.as_str(),
                        vote.verdict.as_str(),
                        vote.reasoning
                    ),
                    Some(vote.role),
                );
                self.status.votes.push(vote);
                AT_ONCE
            }
            Outcome::Approved { plan, council, note } => {
                self.release();
                self.council(council);
                self.condition(ConditionType::PolicyAllows, true, Reason::Allowed, note.clone());
                self.log(Stage::PolicyGate, note, None);
                self.log(Stage::Approved, describe_plan(&plan), None);
                self.status.plan = Some(plan);
                self.status.phase = Phase::Approved;
                self.status.waiting_since = None;
                AT_ONCE
            }
            Outcome::Asked {
                plan,
                council,
                reason,
                message,
            } => {
                self.release();
                self.council(council);
                let first =
                    self.status.phase != Phase::AwaitingApproval || self.status.plan.as_ref() != Some(&plan);
                self.condition(ConditionType::PolicyAllows, false, reason, message.clone());
                if first {
                    self.log(
                        Stage::AwaitingApproval,
                        format!("{message}; plan {}: {}", plan.hash, describe_plan(&plan)),
                        None,
                    );
                }
                self.status.plan = Some(plan);
                self.status.phase = Phase::AwaitingApproval;
                self.status.waiting_since.get_or_insert(self.now);
                Action::Requeue(Duration::from_secs(30))
            }
            Outcome::DryRunEnded {
                plan,
                council,
                ruling,
            } => {
                self.council(council);
                self.end_dry_run(plan, &ruling)
            }
            Outcome::Executed {
                plan,
                generation,
                replaced,
            } => self.executed(&plan, generation, replaced),
            Outcome::PlanStale(message) => self.begin_anew(&message),
            Outcome::VerificationBegun { plan, containers, lb } => {
                self.begin_verification(&plan, containers, lb)
            }
            Outcome::Attempted { attempt, cleared } => {
                let verification = self.status.verification.get_or_insert_default();
                verification.symptom_cleared = cleared.or(verification.symptom_cleared);
                verification.record(attempt);
                AT_ONCE
            }
            Outcome::Resolved { learned } => self.resolve(learned),
            Outcome::FellBack {
                error,
                action,
                withdrawn,
            } => {
                self.withdrawn(withdrawn);
                self.fall_back(error, action)
            }
            Outcome::Failed {
                error,
                council,
                withdrawn,
            } => {
                self.withdrawn(withdrawn);
                self.council(council);
                self.end_failed(&error)
            }
            Outcome::Waited(pause) => pause.map_or(Action::AwaitChange, Action::Requeue),
        }
    }

    fn hold(&mut self, reason: Reason, message: String, until: Option<Time>) -> Action {
        if !condition::is_true_for(&self.status.conditions, ConditionType::Held, reason) {
            self.log(Stage::Held, message.clone(), None);
        }
        self.condition(ConditionType::Held, true, reason, message);
        until.map_or(Action::Requeue(Duration::from_secs(5)), |until| {
            Action::Requeue(until.until(self.now))
        })
    }

    fn release(&mut self) {
        if condition::is_true(&self.status.conditions, ConditionType::Held) {
            self.condition(ConditionType::Held, false, Reason::Released, "");
        }
    }

    /// What was measured right before an action: the same goes on, nothing ends it, something else begins it anew.
    fn measured(&mut self, measured: Measured) -> Action {
        // Who waits until others are done is measured before each look, and waits on: since when is what counts.
        if !host_limit::waits_for_its_turn(&self.status) {
            self.release();
        }
        let known = self.status.measured_at.is_some();
        let before = std::mem::replace(&mut self.status.symptoms, measured.symptoms);
        self.status.measured_at = Some(measured.at);
        let now = &self.status.symptoms;
        let is_same = now.iter().any(|now| {
            before
                .iter()
                .any(|before| before.kind.class() == now.kind.class())
        });
        if now.is_empty() {
            let text = format!("measured anew, nothing is wrong: {}", measured.readings);
            self.log(Stage::EvidenceCollected, text, None);
            if self.status.plan.take().is_some() {
                let text = "the plan is made anew: nothing is wrong any more";
                self.log(Stage::PolicyGate, text, None);
                self.status.phase = Phase::CouncilReview;
            }
            return AT_ONCE;
        }
        // A ladder's next rung is for whatever is left.
        if known && !is_same && self.status.tried.is_empty() && self.status.begun_anew <= plan::MOST_ANEW {
            let reason = format!("something else is wrong now: {}", words(now));
            return self.begin_anew(&reason);
        }
        AT_ONCE
    }

    /// Back to evidence: analysis and votes were about something that is not of this moment any more.
    fn begin_anew(&mut self, reason: &str) -> Action {
        self.log(
            Stage::PolicyGate,
            format!("the plan is made anew: {reason}"),
            None,
        );
        let status = &mut self.status;
        status.begun_anew = status.begun_anew.saturating_add(1);
        status.phase = Phase::Received;
        status.evidence = None;
        status.symptoms.clear();
        status.measured_at = None;
        status.analysis = None;
        status.votes.clear();
        status.council = None;
        status.plan = None;
        status.execution = None;
        status.verification = None;
        status.waiting_since = None;
        AT_ONCE
    }

    /// Notes that a restart was taken back.
    fn withdrawn(&mut self, generation: Option<i64>) {
        if generation.is_none() {
            return;
        }
        self.status.execution.get_or_insert_default().withdrawn = generation;
        let text = "the restart is withdrawn: it will not be made up for later";
        self.log(Stage::PolicyGate, text, None);
    }

    fn begin_analysis(&mut self) -> Action {
        self.release();
        self.status.phase = Phase::Analysing;
        self.log(Stage::Analysing, "the evidence is being analysed", None);
        AT_ONCE
    }

    fn recalled(&mut self, recalled: Vec<Recalled>) {
        let names: Vec<String> = recalled
            .iter()
            .map(|hit| {
                let recommended = hit.entry.is_recommended();
                let doubt = if recommended {
                    ""
                } else {
                    ", no longer recommended"
                };
                format!("{} ({:.2}{doubt})", hit.name, hit.score)
            })
            .collect();
        let text = if names.is_empty() {
            "no similar incident in the runbook".to_owned()
        } else {
            format!("similar: {}", names.join(", "))
        };
        self.log(Stage::RagRetrieval, text, None);
        let hits = recalled.into_iter().map(|hit| Retrieved {
            entry: hit.name,
            score: hit.score,
            recommended: hit.entry.is_recommended(),
            action: hit.entry.action,
            root_cause: hit.entry.root_cause,
            trust: hit.trust,
        });
        self.status.retrieved = hits.collect();
    }

    fn council(&mut self, decision: Option<CouncilDecision>) {
        let Some(decision) = decision.filter(|decision| self.status.council.as_ref() != Some(decision))
        else {
            return;
        };
        self.log(
            Stage::CouncilDecision,
            format!(
                "{} ({}): {}",
                decision.final_verdict.as_str(),
                decision.consensus,
                decision.summary
            ),
            None,
        );
        self.status.council = Some(decision);
    }

    fn executed(&mut self, plan: &Plan, generation: i64, replaced: Option<Time>) -> Action {
        self.release();
        self.status.execution = Some(Execution {
            applied_at: Some(self.now),
            generation: Some(generation),
            replaced,
            ..Execution::default()
        });
        self.condition(
            ConditionType::Executed,
            true,
            Reason::Applied,
            describe_plan(plan),
        );
        match plan.action {
            Remedy::ScaleUp | Remedy::ScaleDown => {
                self.status.phase = Phase::Scaling;
                self.log(Stage::Scaling, describe_plan(plan), None);
            }
            Remedy::Noop => {
                self.status.phase = Phase::Executing;
                self.log(
                    Stage::Noop,
                    "nothing is changed: the workload's own probe must prove that nothing is wrong",
                    None,
                );
            }
            Remedy::Restart | Remedy::Rollback => {
                self.status.phase = Phase::Executing;
                self.log(Stage::Executing, describe_plan(plan), None);
            }
        }
        AT_ONCE
    }

    fn begin_verification(&mut self, plan: &Plan, containers: Vec<String>, lb: Option<bool>) -> Action {
        let names = containers.join(", ");
        let (stage, text) = match plan.action {
            Remedy::Restart => (Stage::Restarted, format!("restarted {names}")),
            Remedy::ScaleUp => (Stage::Scaled, format!("made {names}")),
            Remedy::ScaleDown => (Stage::ScaledDown, format!("removed {names}")),
            Remedy::Rollback => (Stage::RolledBack, format!("rolled back {names}")),
            Remedy::Noop => (Stage::Noop, format!("{names} left as it is")),
        };
        self.log(stage, text, None);
        if lb == Some(true) {
            self.log_rotation(plan.action, &names);
        }
        let execution = self.status.execution.get_or_insert_default();
        execution.converged_at = Some(self.now);
        execution.containers = containers;
        execution.lb_configured = lb;
        let deadline = self.now.plus(self.incident.policy.verification.deadline);
        self.status.verification = Some(Verification {
            started_at: Some(self.now),
            deadline: Some(deadline),
            ..Verification::default()
        });
        self.status.phase = Phase::Verifying;
        self.log(Stage::Verifying, "probing every container of the workload", None);
        AT_ONCE
    }

    /// Tells that every load balancer serves what the action left.
    fn log_rotation(&mut self, action: Remedy, names: &str) {
        let balancers: Vec<&str> = self.incident.balancers.iter().map(|lb| lb.name()).collect();
        let verb = match action {
            Remedy::ScaleDown => "no longer sends requests to",
            Remedy::Restart | Remedy::ScaleUp | Remedy::Rollback | Remedy::Noop => "sends requests to",
        };
        let text = format!("{} {verb} {names}", balancers.join(", "));
        self.log(Stage::LbConfigured, text, None);
    }

    fn resolve(&mut self, learned: Option<String>) -> Action {
        // What restarted behind a stand-in is back in rotation only now.
        let late = self.status.execution.clone();
        if let Some(late) = late.filter(|execution| execution.lb_configured == Some(false)) {
            let action = self
                .status
                .plan
                .as_ref()
                .map_or(Remedy::Restart, |plan| plan.action);
            self.log_rotation(action, &late.containers.join(", "));
            self.status.execution = Some(Execution {
                lb_configured: Some(true),
                ..late
            });
        }
        let attempts = self
            .status
            .verification
            .as_ref()
            .and_then(|verification| verification.attempts.last())
            .map_or(0, |last| last.number);
        let proof = self
            .status
            .verification
            .as_ref()
            .and_then(|verification| verification.attempts.last())
            .map(|attempt| attempt.message.clone());
        let text = format!(
            "verified by {attempts} probe attempt(s): {}",
            proof.unwrap_or_default()
        );
        self.condition(
            ConditionType::HealthVerified,
            true,
            Reason::ProbesPassed,
            text.clone(),
        );
        let cleared = self
            .status
            .verification
            .as_ref()
            .and_then(|verification| verification.symptom_cleared);
        if let Some(cleared) = cleared {
            let reason = if cleared {
                Reason::NotMeasuredAnyMore
            } else {
                Reason::StillMeasured
            };
            let before = words(&self.status.symptoms);
            self.condition(
                ConditionType::SymptomCleared,
                cleared,
                reason,
                format!("before: {before}"),
            );
        }
        if let Some(entry) = &learned {
            let entry = entry.clone();
            self.condition(ConditionType::Learned, true, Reason::RunbookEntry, entry);
        }
        self.status.learned = learned;
        self.status.phase = Phase::Resolved;
        self.status.resolved_at = Some(self.now);
        self.status.finished_at = Some(self.now);
        self.log(Stage::Resolved, text, None);
        Action::AwaitChange
    }

    fn fall_back(&mut self, error: String, action: Remedy) -> Action {
        self.log(Stage::Fallback, format!("{error}; next: {action}"), None);
        let execution = self.status.execution.take();
        if let Some(plan) = self.status.plan.take() {
            self.status.tried.push(Tried {
                action: plan.action,
                plan_hash: plan.hash,
                error,
                applied_at: execution.as_ref().and_then(|execution| execution.applied_at),
                withdrawn: execution.as_ref().and_then(|execution| execution.withdrawn),
                generation: execution.and_then(|execution| execution.generation),
            });
        }
        self.status.verification = None;
        self.status.phase = Phase::CouncilReview;
        AT_ONCE
    }

    fn end_dry_run(&mut self, plan: Option<Plan>, ruling: &Ruling) -> Action {
        let (phase, stage, text) = dry_run::ended(plan.as_ref(), ruling);
        if let Ruling::NeedsApproval { reason, message } = ruling {
            self.condition(ConditionType::PolicyAllows, false, *reason, message.clone());
        }
        self.condition(ConditionType::Executed, false, Reason::DryRun, text.clone());
        self.status.error = (phase == Phase::Failed).then(|| text.clone());
        self.log(stage, text, None);
        self.status.plan = plan;
        self.status.phase = phase;
        self.status.finished_at = Some(self.now);
        Action::AwaitChange
    }

    fn end_failed(&mut self, error: &str) -> Action {
        let error = bound(&redact(error), 2000);
        self.status.phase = Phase::Failed;
        self.status.finished_at = Some(self.now);
        self.status.error = Some(error.clone());
        self.log(Stage::Failed, error, None);
        Action::AwaitChange
    }
}

fn describe_plan(plan: &Plan) -> String {
    match (plan.action, plan.patch.replicas) {
        (Remedy::ScaleUp | Remedy::ScaleDown, Some(replicas)) => {
            format!("{} {} to {replicas} replicas", plan.action, plan.target)
        }
        _ => format!("{} {}", plan.action, plan.target),
    }
}
