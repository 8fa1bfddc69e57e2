//! What a change of an incident means to those who watch: the contract's frames, derived from two versions of the
//! incident and nothing else. Pure.

use aegis_api::incident::{Attempt, Stage, TimelineEntry};
use aegis_api::proposal::{Action, Analysis, CouncilDecision, Vote};
use aegis_api::wire::{self, AnalysisView, CouncilView, Frame, ScaleEvent, VoteView};
use aegis_api::{Incident, IncidentStatus, Kind as _, Phase};

/// How much of an incident's logs `incident.new` carries, in characters.
const LOGS_SHOWN: usize = 200;

/// A frame that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The incident's id, as clients know it.
    pub incident_id: String,
    /// Its contents.
    pub frame: Frame,
}

/// The frames of the step from `old` to `new`, in the order in which things happened. The same version again: none.
pub fn frames(old: Option<&Incident>, new: &Incident) -> Vec<Draft> {
    let none = IncidentStatus::default();
    let before = old.and_then(|old| old.status.as_ref()).unwrap_or(&none);
    let after = new.status.as_ref().unwrap_or(&none);
    let mut writer = Writer {
        incident: new,
        status: after,
        drafts: Vec::new(),
    };
    if old.is_none() {
        writer.opened();
    }
    let mut news = News::between(before, after);
    for entry in later(&before.timeline, &after.timeline, |a, b| a == b) {
        if matches!(
            entry.status,
            Stage::Resolved | Stage::Failed | Stage::DryRun | Stage::Fallback
        ) {
            writer.rest(&mut news);
        }
        writer.entry(entry, &mut news);
    }
    writer.rest(&mut news);
    if before.phase != after.phase {
        writer.ended(after.phase);
    }
    writer.drafts
}

/// What is new beside the timeline. Each is published once, with the entry it belongs to, or at the end.
struct News<'a> {
    analysis: Option<&'a Analysis>,
    votes: std::collections::VecDeque<&'a Vote>,
    decision: Option<&'a CouncilDecision>,
    attempts: &'a [Attempt],
}

impl<'a> News<'a> {
    fn between(before: &IncidentStatus, after: &'a IncidentStatus) -> Self {
        Self {
            analysis: after
                .analysis
                .as_ref()
                .filter(|analysis| before.analysis.as_ref() != Some(analysis)),
            votes: later(votes(before), votes(after), |a, b| a == b).iter().collect(),
            decision: after
                .council
                .as_ref()
                .filter(|decision| before.council.as_ref() != Some(decision)),
            attempts: later(attempts(before), attempts(after), |a, b| {
                a.number == b.number && a.at == b.at
            }),
        }
    }
}

/// Votes wherever they stand: while the council sits, or in its decision.
fn votes(status: &IncidentStatus) -> &[Vote] {
    status
        .council
        .as_ref()
        .map_or(&status.votes, |council| &council.votes)
}

/// Attempts of the verification; none before it has begun.
fn attempts(status: &IncidentStatus) -> &[Attempt] {
    status
        .verification
        .as_ref()
        .map(|verification| verification.attempts.as_slice())
        .unwrap_or_default()
}

/// What comes after the last of `before`. Lists are bounded at their beginning, so counting would not do.
fn later<'a, T>(before: &[T], after: &'a [T], same: impl Fn(&T, &T) -> bool) -> &'a [T] {
    let Some(last) = before.last() else { return after };
    let seen = after.iter().rposition(|item| same(item, last));
    seen.and_then(|index| after.get(index + 1..)).unwrap_or(after)
}

struct Writer<'a> {
    incident: &'a Incident,
    status: &'a IncidentStatus,
    drafts: Vec<Draft>,
}

impl Writer<'_> {
    fn id(&self) -> String {
        wire::incident_id(self.incident).to_owned()
    }

    fn push(&mut self, data: impl Into<Frame>) {
        self.drafts.push(Draft {
            incident_id: self.id(),
            frame: data.into(),
        });
    }

    fn opened(&mut self) {
        let spec = &self.incident.spec;
        let logs = spec.logs.chars().take(LOGS_SHOWN).collect();
        let data = wire::IncidentNew {
            incident_id: self.id(),
            alert_type: spec.alert_type.clone(),
            logs,
        };
        self.push(data);
    }

    fn entry(&mut self, entry: &TimelineEntry, news: &mut News<'_>) {
        let (incident_id, message) = (self.id(), entry.message.clone());
        self.push(wire::StatusUpdate {
            incident_id,
            status: wire::known_stage(entry.status),
            message,
        });
        match entry.status {
            Stage::Analysing => {
                let (incident_id, message) = (self.id(), entry.message.clone());
                self.push(wire::AiThinking { incident_id, message });
            }
            Stage::AiComplete => self.analysis(news.analysis.take()),
            Stage::CouncilVote => self.vote(news.votes.pop_front()),
            Stage::CouncilDecision => {
                self.votes(news);
                self.decision(news.decision.take());
            }
            Stage::Restarted | Stage::RolledBack => self.action(),
            Stage::Scaled | Stage::ScaledDown => {
                self.action();
                self.scaled(entry);
            }
            Stage::LbConfigured if self.scales() => self.scaled(entry),
            _ => {}
        }
    }

    /// What no entry of the timeline published.
    fn rest(&mut self, news: &mut News<'_>) {
        self.analysis(news.analysis.take());
        self.votes(news);
        self.decision(news.decision.take());
        for attempt in std::mem::take(&mut news.attempts) {
            let incident_id = self.id();
            let (attempt, healthy) = (attempt.number, attempt.healthy);
            self.push(wire::HealthCheck {
                incident_id,
                attempt,
                healthy,
            });
        }
    }

    fn analysis(&mut self, analysis: Option<&Analysis>) {
        if let Some(analysis) = analysis {
            let data = wire::AiComplete {
                incident_id: self.id(),
                analysis: AnalysisView::from(analysis),
            };
            self.push(data);
        }
    }

    fn vote(&mut self, vote: Option<&Vote>) {
        if let Some(vote) = vote {
            let data = wire::CouncilVoted {
                incident_id: self.id(),
                vote: VoteView::from(vote),
            };
            self.push(data);
        }
    }

    fn votes(&mut self, news: &mut News<'_>) {
        for vote in std::mem::take(&mut news.votes) {
            self.vote(Some(vote));
        }
    }

    fn decision(&mut self, decision: Option<&CouncilDecision>) {
        if let Some(decision) = decision {
            let data = wire::CouncilDecided {
                incident_id: self.id(),
                decision: CouncilView::from(decision),
            };
            self.push(data);
        }
    }

    /// One a container that the plan touched; before that is known, one for the container it is about.
    fn action(&mut self) {
        let Some(plan) = &self.status.plan else { return };
        let action = plan.action;
        let mut containers: Vec<String> = self
            .status
            .execution
            .iter()
            .flat_map(|execution| execution.containers.clone())
            .collect();
        if containers.is_empty() {
            containers.push(self.base());
        }
        for container in containers {
            let data = wire::DockerAction {
                incident_id: self.id(),
                action,
                container,
            };
            self.push(data);
        }
    }

    /// Whether the plan changes the number of replicas.
    fn scales(&self) -> bool {
        let action = self.status.plan.as_ref().map(|plan| plan.action);
        matches!(action, Some(Action::ScaleUp | Action::ScaleDown))
    }

    fn scaled(&mut self, entry: &TimelineEntry) {
        let mut execution = self.status.execution.clone().unwrap_or_default();
        let base = self.base();
        execution.containers.retain(|container| *container != base);
        let event = ScaleEvent {
            container_base: base,
            replica_count: execution.containers.len(),
            replicas: execution.containers,
            lb_configured: execution
                .lb_configured
                .unwrap_or(entry.status == Stage::LbConfigured),
            timestamp: entry.ts,
            autoscale: None,
        };
        let data = wire::ScaleData {
            incident_id: Some(self.id()),
            event,
        };
        self.push(data);
    }

    /// The container the incident is about.
    fn base(&self) -> String {
        let spec = &self.incident.spec;
        let container = spec.container_name.as_ref().map(|name| name.as_str());
        let workload = self.incident.workload().map(|name| name.as_str());
        container.or(workload).unwrap_or(self.incident.name()).to_owned()
    }

    fn ended(&mut self, phase: Phase) {
        let incident_id = self.id();
        match phase {
            Phase::Resolved => {
                let resolved_at = self.status.resolved_at;
                self.push(wire::ResolvedData {
                    incident_id,
                    resolved_at,
                    dry_run: false,
                });
            }
            // To clients that know no dry run it is resolved, by doing nothing.
            Phase::DryRun => {
                let resolved_at = self.status.finished_at;
                self.push(wire::ResolvedData {
                    incident_id,
                    resolved_at,
                    dry_run: true,
                });
            }
            Phase::Failed => {
                let error = self.status.error.clone();
                self.push(wire::FailedData { incident_id, error });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
