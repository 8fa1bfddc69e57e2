//! A change of an incident's status, as data, and the one function that applies it: reconciler, previews and tests share
//! it. Pure.

use std::time::Duration;

use aegis_api::condition::Conditions;
use aegis_api::incident::{Execution, Origin, Plan, Stage, TimelineEntry, Tried, Verification};
use aegis_api::proposal::{Analysis, CouncilDecision, Evidence, Retrieved, Seat, Vote};
use aegis_api::scalar::ResourceName;
use aegis_api::{ConditionType, IncidentStatus, Kind, Phase, Reason, Symptom, Time, condition};

use super::validate::ValidatedIncident;
use super::{TRANSITIONS, reported, silenced};

/// The longest timeline; later entries push out those after the first.
const TIMELINE: usize = 200;
/// How often an incident is planned again while it is held, where it is not known until when.
const HELD_AT_MOST: Duration = Duration::from_secs(5);

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// It must wait.
    Held,
    /// Evidence was collected and similar incidents were recalled.
    Investigated,
    /// What held it has passed, and the evidence is fresh.
    AnalysisBegun,
    /// There is a proposal.
    Analysed,
    /// A seat voted.
    Voted,
    /// What is wrong was measured again, and the same goes on.
    Measured,
    /// It was measured again, and nothing is wrong: the plan is given up.
    NothingWrong,
    /// It begins at evidence again.
    StartedOver,
    /// A human must decide on the plan.
    Asked,
    /// Council and policy agree on the plan, or a human does.
    Approved,
    /// It was said what would have been done.
    DryRunEnded,
    /// The plan's patch is in the workload's spec.
    Executed,
    /// Docker has what the plan changes.
    VerificationBegun,
    /// Every container was probed once.
    Attempted,
    /// The plan did not help; another action comes next.
    FellBack,
    /// It is verified.
    Resolved,
    /// What was cleared has stayed away long enough, or came back.
    Settled,
    /// Nothing more can be tried, or nothing may be done.
    Failed,
}

/// A change of an incident's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// What happened.
    pub what: What,
    /// The phase that follows.
    pub to: Phase,
    /// When.
    pub at: Time,
    /// What is reported of it.
    pub timeline: Vec<TimelineEntry>,
    pub conditions: Vec<Stated>,
    /// What else changes.
    pub fields: Vec<Field>,
    /// After which time it is reconciled again; `None` waits for a change.
    pub again: Option<Duration>,
}

/// A condition as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    pub kind: ConditionType,
    pub status: bool,
    pub reason: Reason,
    pub message: String,
}

/// A field of the status, with the value that it gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    Workload(Option<ResourceName>),
    Evidence(Option<Box<Evidence>>),
    Symptoms(Vec<Symptom>),
    Origin(Option<Origin>),
    Clears(Option<Symptom>),
    MeasuredAt(Option<Time>),
    StartedOver(u32),
    WaitingSince(Option<Time>),
    Retrieved(Vec<Retrieved>),
    Analysis(Option<Box<Analysis>>),
    Votes(Vec<Vote>),
    Council(Option<CouncilDecision>),
    Plan(Option<Box<Plan>>),
    Execution(Option<Execution>),
    Verification(Option<Verification>),
    Tried(Vec<Tried>),
    ResolvedAt(Option<Time>),
    MitigatedAt(Option<Time>),
    SettledAt(Option<Time>),
    RelapsedIn(Option<String>),
    /// Of which earlier incident it is a relapse, and how often in a row that happened.
    Relapse(Option<String>, u32),
    FinishedAt(Option<Time>),
    Error(Option<String>),
    Learned(Option<String>),
}

impl Field {
    fn set(self, status: &mut IncidentStatus) {
        match self {
            Self::Workload(workload) => status.workload = workload,
            Self::Evidence(evidence) => status.evidence = evidence.map(|evidence| *evidence),
            Self::Symptoms(symptoms) => status.symptoms = symptoms,
            Self::Origin(origin) => status.origin = origin,
            Self::Clears(symptom) => status.clears = symptom,
            Self::MeasuredAt(at) => status.measured_at = at,
            Self::StartedOver(times) => status.started_over = times,
            Self::WaitingSince(at) => status.waiting_since = at,
            Self::Retrieved(retrieved) => status.retrieved = retrieved,
            Self::Analysis(analysis) => status.analysis = analysis.map(|analysis| *analysis),
            Self::Votes(votes) => status.votes = votes,
            Self::Council(council) => status.council = council,
            Self::Plan(plan) => status.plan = plan.map(|plan| *plan),
            Self::Execution(execution) => status.execution = execution,
            Self::Verification(verification) => status.verification = verification,
            Self::Tried(tried) => status.tried = tried,
            Self::ResolvedAt(at) => status.resolved_at = at,
            Self::MitigatedAt(at) => status.mitigated_at = at,
            Self::SettledAt(at) => status.settled_at = at,
            Self::RelapsedIn(incident) => status.relapsed_in = incident,
            Self::Relapse(of, relapses) => (status.relapse_of, status.relapses) = (of, relapses),
            Self::FinishedAt(at) => status.finished_at = at,
            Self::Error(error) => status.error = error,
            Self::Learned(entry) => status.learned = entry,
        }
    }
}

/// Why an incident must wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFor {
    pub reason: Reason,
    pub message: String,
    /// When it ends, where that is known.
    pub until: Option<Time>,
}

/// The status of the incident after this transition; without one, after a look that changed nothing. In both cases the
/// generation that was observed, what the sender says and what silences it are noted.
pub fn applied(incident: &ValidatedIncident, transition: Option<Transition>) -> IncidentStatus {
    let at = transition
        .as_ref()
        .map_or(incident.now, |transition| transition.at);
    let mut status = incident.status.clone();
    status.observed_generation = Some(incident.incident.generation());
    reported::note(&mut status, &incident.incident.spec, at);
    silenced::note(&mut status, incident, at);
    if let Some(transition) = transition {
        debug_assert!(transition.is_known(status.phase), "{transition:?}");
        status.phase = transition.to;
        for entry in transition.timeline {
            add(&mut status.timeline, entry);
        }
        for condition in transition.conditions {
            condition.set(&mut status, at);
        }
        for field in transition.fields {
            field.set(&mut status);
        }
    }
    status
}

/// Adds a line to the timeline.
pub(super) fn add(timeline: &mut Vec<TimelineEntry>, entry: TimelineEntry) {
    if timeline.len() >= TIMELINE {
        timeline.remove(1);
    }
    timeline.push(entry);
}

impl Stated {
    pub(super) fn set(self, status: &mut IncidentStatus, at: Time) {
        let generation = status.observed_generation;
        Conditions::at(&mut status.conditions, generation, at).set(
            self.kind,
            self.status,
            self.reason,
            self.message,
        );
    }
}

impl Transition {
    pub(super) fn new(what: What, to: Phase, at: Time) -> Self {
        Self {
            what,
            to,
            at,
            timeline: Vec::new(),
            conditions: Vec::new(),
            fields: Vec::new(),
            again: Some(Duration::ZERO),
        }
    }

    /// It stays where it is and waits for this.
    pub fn held(incident: &ValidatedIncident, held: HeldFor, at: Time) -> Self {
        let HeldFor {
            reason,
            message,
            until,
        } = held;
        let status = &incident.status;
        let mut transition = Self::new(What::Held, status.phase, at);
        if !condition::is_true_for(&status.conditions, ConditionType::Held, reason) {
            transition = transition.log(Stage::Held, message.clone());
        }
        transition
            .condition(ConditionType::Held, true, reason, message)
            .again(Some(until.map_or(HELD_AT_MOST, |until| until.until(at))))
    }

    /// Whether the table knows it.
    pub(super) fn is_known(&self, from: Phase) -> bool {
        TRANSITIONS.contains(&(from, self.what, self.to))
    }

    /// The plan that it makes, if it makes one.
    pub fn plan(&self) -> Option<&Plan> {
        self.fields.iter().find_map(|field| match field {
            Field::Plan(plan) => plan.as_deref(),
            _ => None,
        })
    }

    pub(super) fn log(self, stage: Stage, message: impl Into<String>) -> Self {
        self.entry(stage, message.into(), None)
    }

    pub(super) fn log_of(self, seat: Seat, stage: Stage, message: impl Into<String>) -> Self {
        self.entry(stage, message.into(), Some(seat))
    }

    fn entry(mut self, status: Stage, message: String, agent: Option<Seat>) -> Self {
        self.timeline.push(TimelineEntry {
            ts: self.at,
            status,
            message,
            agent,
        });
        self
    }

    pub(super) fn condition(
        mut self,
        kind: ConditionType,
        status: bool,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        self.conditions.push(Stated {
            kind,
            status,
            reason,
            message: message.into(),
        });
        self
    }

    pub(super) fn set(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    pub(super) fn again(mut self, again: Option<Duration>) -> Self {
        self.again = again;
        self
    }

    /// With everything that another one changes, too, and where that leads.
    pub(super) fn then(mut self, other: Self) -> Self {
        self.timeline.extend(other.timeline);
        self.conditions.extend(other.conditions);
        self.fields.extend(other.fields);
        Self {
            what: other.what,
            to: other.to,
            again: other.again,
            ..self
        }
    }

    /// It is held no more, if it was.
    pub(super) fn release(self, incident: &ValidatedIncident) -> Self {
        match condition::is_true(&incident.status.conditions, ConditionType::Held) {
            true => self.condition(ConditionType::Held, false, Reason::Released, ""),
            false => self,
        }
    }

    /// With what the council decided, where that is news.
    pub(super) fn council(self, incident: &ValidatedIncident, decision: Option<CouncilDecision>) -> Self {
        let known = incident.status.council.as_ref();
        let Some(decision) = decision.filter(|decision| known != Some(decision)) else {
            return self;
        };
        let text = format!(
            "{} ({}): {}",
            decision.final_verdict.as_str(),
            decision.consensus,
            decision.summary
        );
        self.log(Stage::CouncilDecision, text)
            .set(Field::Council(Some(decision)))
    }

    /// It is over.
    pub(super) fn finished(self) -> Self {
        let at = self.at;
        self.set(Field::FinishedAt(Some(at))).again(None)
    }
}
