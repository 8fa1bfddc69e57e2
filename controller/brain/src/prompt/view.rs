//! A case as the templates see it: numbers as they are, and every text from outside redacted, bounded and quoted. Owns
//! what is left out when there is little room. Pure.

use aegis_api::lifecycle::Death;
use aegis_api::proposal::{Action, ContainerEvidence, Neighbour, Proposal, RecentAction, Trend, Vote};
use aegis_api::symptom::{Symptom, SymptomKind};
use aegis_api::workload::Health;
use aegis_api::{Time, incident::Severity};
use serde::Serialize;

use super::fence;
use super::log::{Line, Shown, collapse, fit};
use crate::builtin::words::{bad_record, record, span};
use crate::case::{Case, Recalled};
use crate::facts::Facts;
use crate::redact::{bound, redact};

/// How much of the case there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    containers: usize,
    symptoms: usize,
    health_log: usize,
    events: usize,
    actions: usize,
    details: usize,
    recalled: usize,
    quoted: usize,
}

/// From all there is to the least that makes sense.
pub(super) const LEVELS: [Level; 3] = [
    Level {
        containers: 20,
        symptoms: 12,
        health_log: 5,
        events: 20,
        actions: 20,
        details: 20,
        recalled: 3,
        quoted: 500,
    },
    Level {
        containers: 8,
        symptoms: 6,
        health_log: 2,
        events: 8,
        actions: 8,
        details: 8,
        recalled: 2,
        quoted: 200,
    },
    LEAST,
];

const LEAST: Level = Level {
    containers: 2,
    symptoms: 3,
    health_log: 1,
    events: 2,
    actions: 4,
    details: 2,
    recalled: 1,
    quoted: 100,
};

impl Level {
    pub(super) fn is_last(self) -> bool {
        self == LEAST
    }
}

/// What a template can name.
#[derive(Debug, Serialize)]
pub(super) struct View {
    fence: String,
    workload: String,
    container: Option<String>,
    alert_type: String,
    severity: Severity,
    details: Vec<(String, String)>,
    protected: bool,
    can_roll_back: bool,
    min_replicas: u32,
    max_replicas: u32,
    replicas: u32,
    ready: u32,
    room_up: u32,
    room_down: u32,
    symptoms: Vec<SymptomView>,
    more_symptoms: usize,
    containers: Vec<ContainerView>,
    neighbours: Vec<String>,
    more_containers: usize,
    revisions: Vec<String>,
    revision_age: Option<String>,
    actions: Vec<ActionView>,
    tried: Vec<(String, String)>,
    events: Vec<String>,
    gaps: Vec<String>,
    recalled: Vec<RecalledView>,
    logs: Vec<LogView>,
    proposal: Option<ProposalView>,
    votes: Vec<VoteView>,
}

#[derive(Debug, Serialize)]
struct SymptomView {
    kind: SymptomKind,
    message: String,
    /// Actions that can clear it.
    remedies: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ContainerView {
    name: String,
    image: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    oom_killed: bool,
    restarts: u64,
    restarted: Vec<String>,
    /// How it ended lately and who made it end, the newest last.
    deaths: Vec<String>,
    started: Option<String>,
    ended: Option<String>,
    health: &'static str,
    probe: Option<String>,
    docker_health: Option<String>,
    health_log: Vec<String>,
    cpu: Option<String>,
    memory: Option<String>,
    memory_limit: Option<String>,
    memory_percent: Option<String>,
    trend: Option<String>,
    image_id: Option<String>,
    processes: Vec<String>,
    filesystem: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ActionView {
    action: String,
    ago: String,
    /// Absent: it was requested outside of any incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    alert_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct RecalledView {
    similarity: String,
    trust: String,
    recommended: bool,
    /// For templates of people's own; those that come along use `record`.
    successes: u32,
    failures: u32,
    /// How its fix turned out, as it stands after the action.
    record: String,
    /// Nothing measured speaks for what was counted as its successes.
    unproven: bool,
    alert_type: String,
    action: String,
    root_cause: String,
    justification: String,
}

#[derive(Debug, Serialize)]
struct LogView {
    /// Absent: the sender attached it.
    container: Option<String>,
    log: Shown,
}

#[derive(Debug, Serialize)]
struct ProposalView {
    action: String,
    replica_count: u32,
    confidence: String,
    root_cause: String,
    justification: String,
}

#[derive(Debug, Serialize)]
struct VoteView {
    seat: &'static str,
    verdict: &'static str,
    reasoning: String,
}

impl View {
    /// `chars` is the room for logs. Long because it is one list: each field from what it is made of.
    pub(super) fn of(case: &Case, level: Level, review: Option<(&Proposal, &[Vote])>, chars: usize) -> Self {
        let evidence = &case.evidence;
        let now = evidence.collected_at;
        let quote = |text: &str| quote(text, level.quoted);
        let last = |texts: &[String], most: usize| -> Vec<String> {
            let skip = texts.len().saturating_sub(most);
            texts.iter().skip(skip).map(|text| quote(text)).collect()
        };
        let bounds = case.replicas;
        let facts = Facts::of(case);
        let symptoms = facts.symptoms();
        let containers = evidence.containers.iter().take(level.containers);
        let skipped = evidence.recent_actions.len().saturating_sub(level.actions);
        let recent = evidence.recent_actions.iter().skip(skipped);
        let logs = logs(case, level, chars);
        let fence = fence::mark(&logs.iter().flat_map(|view| view.log.lines.iter().flat_map(texts)));
        Self {
            fence,
            workload: quote(&case.workload),
            container: case.container.as_deref().map(quote),
            alert_type: quote(&case.alert_type),
            severity: case.severity,
            details: case
                .details
                .iter()
                .take(level.details)
                .map(|(name, value)| (quote(name), quote(value)))
                .collect(),
            protected: case.protected,
            can_roll_back: evidence.can_roll_back,
            min_replicas: bounds.min,
            max_replicas: bounds.max,
            replicas: bounds.current,
            ready: facts.ready(),
            room_up: bounds.room_up(),
            room_down: bounds.room_down(),
            more_symptoms: symptoms.len().saturating_sub(level.symptoms),
            symptoms: symptoms
                .iter()
                .take(level.symptoms)
                .map(|symptom| measured(facts, symptom, level))
                .collect(),
            containers: containers
                .map(|container| describe(container, level, now))
                .collect(),
            more_containers: evidence.containers.len().saturating_sub(level.containers),
            neighbours: evidence
                .neighbours
                .iter()
                .take(level.actions)
                .map(|neighbour| beside(neighbour, level))
                .collect(),
            revisions: last(&evidence.revisions, 4),
            revision_age: evidence.revision_age_secs.map(span),
            actions: recent.map(|action| past(action, level, now)).collect(),
            tried: case
                .tried
                .iter()
                .map(|tried| (tried.action.to_string(), quote(&tried.error)))
                .collect(),
            events: last(&evidence.events, level.events),
            gaps: last(&evidence.gaps, 5),
            recalled: case
                .recalled
                .iter()
                .take(level.recalled)
                .map(|hit| recalled(hit, level))
                .collect(),
            logs,
            proposal: review.map(|(proposal, _)| proposed(proposal)),
            votes: review
                .map(|(_, votes)| votes.iter().map(vote).collect())
                .unwrap_or_default(),
        }
    }
}

/// A text from outside as a JSON string: on one line, with its quotes escaped.
fn quote(text: &str, most: usize) -> String {
    let short: String = redact(text).chars().take(most).collect();
    serde_json::Value::String(bound(&short, most)).to_string()
}

fn texts(line: &Line) -> impl Iterator<Item = &str> + Clone {
    std::iter::once(line.text.as_str()).chain(line.first.as_deref())
}

/// The containers' logs and the sender's, in `chars` characters: a quarter at most is the sender's, and of the others
/// each gets an even share of what is left when its turn comes, the sickest first.
fn logs(case: &Case, level: Level, chars: usize) -> Vec<LogView> {
    let clean = |text: &str| collapse(&bound(&redact(text), usize::MAX));
    let size = |view: &LogView| {
        let texts = view.log.lines.iter().flat_map(texts);
        texts.map(|text| text.chars().count()).sum::<usize>()
    };
    let sent = (!case.logs.trim().is_empty()).then(|| LogView {
        container: None,
        log: fit(&clean(&case.logs), chars / 4),
    });
    let mut left = chars.saturating_sub(sent.as_ref().map_or(0, size));
    let with_log = || {
        let containers = case.evidence.containers.iter().take(level.containers);
        containers.filter(|container| !container.log_tail.trim().is_empty())
    };
    let count = with_log().count();
    let logs = with_log().enumerate().map(|(at, container)| {
        let view = LogView {
            container: Some(quote(&container.name, level.quoted)),
            log: fit(&clean(&container.log_tail), left / (count - at)),
        };
        left = left.saturating_sub(size(&view));
        view
    });
    let logs: Vec<LogView> = logs.collect();
    logs.into_iter().chain(sent).collect()
}

fn describe(container: &ContainerEvidence, level: Level, now: Option<Time>) -> ContainerView {
    let quote = |text: &str| quote(text, level.quoted);
    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    let skip = container.health_log.len().saturating_sub(level.health_log);
    let first = |texts: &[String]| -> Vec<String> {
        let shown = texts.iter().take(level.health_log);
        shown.map(|text| quote(text)).collect()
    };
    ContainerView {
        name: quote(&container.name),
        image: quote(&container.image),
        state: quote(&container.state),
        exit_code: container.exit_code,
        oom_killed: container.oom_killed,
        restarts: container.restart_count,
        restarted: container
            .restarted_at
            .iter()
            .rev()
            .take(level.health_log)
            .filter_map(|at| ago(*at, now))
            .collect(),
        deaths: deaths(&container.deaths, level, now),
        started: container.started_at.and_then(|at| ago(at, now)),
        ended: container.finished_at.and_then(|at| ago(at, now)),
        health: match container.health {
            Health::Healthy => "passes",
            Health::Unhealthy => "fails",
            Health::Unknown => "unknown",
        },
        probe: container.probe.as_deref().map(quote),
        docker_health: container.docker_health.as_deref().map(quote),
        health_log: container
            .health_log
            .iter()
            .skip(skip)
            .map(|line| quote(line))
            .collect(),
        cpu: container.cpu_percent.map(|percent| format!("{percent:.1} %")),
        memory: container.memory_bytes.map(mebibytes),
        memory_limit: container.memory_limit_bytes.map(mebibytes),
        memory_percent: container
            .memory_percent()
            .map(|percent| format!("{percent:.1} %")),
        trend: trend(container),
        image_id: (!container.image_id.is_empty()).then(|| quote(&container.image_id)),
        processes: first(&container.processes),
        filesystem: first(&container.filesystem),
    }
}

/// A symptom with what can clear it here.
fn measured(facts: Facts<'_>, symptom: &Symptom, level: Level) -> SymptomView {
    let clears = |action: &&Action| facts.can_clear(symptom, **action);
    SymptomView {
        kind: symptom.kind,
        message: quote(&symptom.message, level.quoted),
        remedies: Action::ALL
            .iter()
            .filter(clears)
            .map(ToString::to_string)
            .collect(),
    }
}

/// The last ends of a container's process, with who made it end and who started it again.
fn deaths(deaths: &[Death], level: Level, now: Option<Time>) -> Vec<String> {
    let skip = deaths.len().saturating_sub(level.health_log);
    let phrase = |death: &Death| {
        let ago = death.at.and_then(|at| ago(at, now));
        let ago = ago.map(|ago| format!(" {ago} ago")).unwrap_or_default();
        let killed = if death.oom { ", OOM-killed" } else { "" };
        let again = death
            .restarted_by
            .map(|by| format!(", started again {}", by.words()));
        format!(
            "{}{ago} with exit code {}{killed}{}",
            death.cause.words(),
            death.exit_code,
            again.unwrap_or_default()
        )
    };
    deaths.iter().skip(skip).map(phrase).collect()
}

/// How memory and CPU have gone, as one phrase.
fn trend(container: &ContainerEvidence) -> Option<String> {
    let trend = container.trend.as_ref()?;
    let phrases = [
        reading_phrase("memory", "MiB", trend.memory_mb),
        reading_phrase("CPU", "%", trend.cpu_percent),
    ];
    let phrases: Vec<String> = phrases.into_iter().flatten().collect();
    (!phrases.is_empty()).then(|| format!("over {}: {}", span(trend.over_secs), phrases.join(", ")))
}

fn reading_phrase(name: &str, unit: &str, reading: Option<Trend>) -> Option<String> {
    let Trend {
        first,
        last,
        min,
        max,
        per_minute,
        ..
    } = reading?;
    Some(format!(
        "{name} {first:.0} to {last:.0} {unit} (least {min:.0}, most {max:.0}, {per_minute:+.1} a minute)"
    ))
}

/// A container beside the workload's, on one line.
fn beside(neighbour: &Neighbour, level: Level) -> String {
    let ready = match neighbour.ready {
        Some(true) => ", its workload is ready",
        Some(false) => ", its workload is not ready",
        None => "",
    };
    let name = quote(&neighbour.name, level.quoted);
    let status = quote(&neighbour.status, level.quoted);
    let trouble = if neighbour.in_trouble { ", in trouble" } else { "" };
    format!("{name}: {status}{trouble}{ready}")
}

fn ago(at: Time, now: Option<Time>) -> Option<String> {
    Some(span(at.age(now?).as_secs()))
}

fn past(action: &RecentAction, level: Level, now: Option<Time>) -> ActionView {
    ActionView {
        action: action.action.to_string(),
        ago: ago(action.at, now).unwrap_or_else(|| action.at.to_string()),
        alert_type: action.alert_type.as_deref().map(|text| quote(text, level.quoted)),
        replicas: action.replicas,
        outcome: match action.verified {
            _ if action.relapsed => "relapsed",
            Some(true) => "helped",
            Some(false) => "failed",
            None => "open",
        },
    }
}

fn recalled(hit: &Recalled, level: Level) -> RecalledView {
    let percent = |share: f64| format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0));
    RecalledView {
        similarity: percent(hit.score),
        trust: percent(hit.trust),
        recommended: hit.entry.is_recommended(),
        successes: hit.entry.outcomes.successes,
        failures: hit.entry.outcomes.failures,
        record: match hit.entry.is_recommended() {
            true => record(&hit.entry.outcomes),
            false => bad_record(&hit.entry.outcomes),
        },
        unproven: hit.entry.unproven.is_some(),
        alert_type: quote(&hit.entry.alert_type, level.quoted),
        action: hit.entry.action.to_string(),
        root_cause: quote(&hit.entry.root_cause, level.quoted),
        justification: quote(&hit.entry.justification, level.quoted),
    }
}

fn proposed(proposal: &Proposal) -> ProposalView {
    ProposalView {
        action: proposal.action.to_string(),
        replica_count: proposal.replica_count,
        confidence: format!("{:.0} %", proposal.confidence * 100.0),
        root_cause: quote(&proposal.root_cause, 800),
        justification: quote(&proposal.justification, 1600),
    }
}

fn vote(vote: &Vote) -> VoteView {
    VoteView {
        seat: vote.role.as_str(),
        verdict: vote.verdict.as_str(),
        reasoning: quote(&vote.reasoning, 800),
    }
}
