//! What a rule can ask of the evidence. Owns the closed set of conditions and the words in which each says what it
//! saw. Pure.

use serde::Deserialize;

use aegis_api::proposal::Action;

use crate::facts::{Facts, count, state};

/// One condition of a rule, as it is written in the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Condition {
    /// A container was killed for want of memory.
    OomKilled(bool),
    /// Memory of the container that uses most of its limit, in percent.
    MemoryPercent(Range),
    /// CPU of the busiest container, in percent of one core.
    CpuPercent(Range),
    /// How many containers run.
    Running(Share),
    /// How many containers run and fail their probe or Docker's health check.
    Unhealthy(Share),
    /// Whether every replica is there, runs and passes.
    AllHealthy(bool),
    /// A container ended with a failure, or Docker is restarting it.
    Crashed(bool),
    /// Whether anything in the evidence is a symptom.
    Symptoms(bool),
    /// Docker's restart count of the container restarted most.
    RestartCount(Range),
    /// Restarted again and again, lately.
    RestartLoop(bool),
    /// Seconds since the current revision was first seen.
    RevisionAgeSecs(Range),
    /// Whether there is an earlier revision to go back to.
    CanRollBack(bool),
    /// Replicas the workload asks for.
    DesiredReplicas(Range),
    /// Error lines in the containers' last log lines.
    ErrorLines(Range),
    /// Lines of the containers' last log lines that hold one of these plain lower-case texts.
    LogLines(LogLines),
    /// The alert's type holds one of these words. A hint: the table refuses a rule that has nothing else.
    Alert(Vec<String>),
    /// Whether evidence was collected at all.
    Collected(bool),
    /// Whether something could not be collected.
    Gaps(bool),
    /// One of these was tried in this incident, or failed twice lately.
    Failed(Vec<Action>),
    /// At least one of these holds.
    AnyOf(Vec<Condition>),
    /// All of these hold.
    AllOf(Vec<Condition>),
}

/// From `atLeast` (inclusive) up to `below` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// The least value that holds.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The least value that does not.
    #[serde(default)]
    pub below: Option<f64>,
}

/// How many of the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Share {
    /// None, although there are containers.
    None,
    /// At least one, but not all.
    Part,
    /// At least one.
    Some,
    /// All, and there is at least one.
    All,
}

/// Lines that hold one of several texts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogLines {
    /// Plain texts in lower case.
    pub any_of: Vec<String>,
    /// How many lines must hold one.
    pub at_least: u32,
}

/// Whether a condition holds, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) holds: bool,
    pub(super) saw: String,
}

impl Check {
    fn new(holds: bool, saw: impl Into<String>) -> Self {
        Self {
            holds,
            saw: saw.into(),
        }
    }
}

impl Range {
    fn holds(self, value: Option<f64>) -> bool {
        value.is_some_and(|value| {
            self.at_least.is_none_or(|least| value >= least) && self.below.is_none_or(|bound| value < bound)
        })
    }

    fn counted(self, value: u32) -> bool {
        self.holds(Some(f64::from(value)))
    }
}

impl Share {
    fn holds(self, part: u32, all: u32) -> bool {
        all > 0
            && match self {
                Share::None => part == 0,
                Share::Part => part > 0 && part < all,
                Share::Some => part > 0,
                Share::All => part == all,
            }
    }
}

impl Condition {
    /// Whether this says anything about the evidence, or only about the alert's words or the past.
    pub(super) fn is_evidence(&self) -> bool {
        match self {
            Self::Alert(_) | Self::Failed(_) | Self::Collected(_) | Self::Gaps(_) | Self::CanRollBack(_) => {
                false
            }
            Self::AnyOf(inner) => !inner.is_empty() && inner.iter().all(Self::is_evidence),
            Self::AllOf(inner) => inner.iter().any(Self::is_evidence),
            _ => true,
        }
    }

    /// Whether this waits for a first choice to fail.
    pub(super) fn is_second_choice(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    pub(super) fn check(&self, facts: Facts<'_>) -> Check {
        match self {
            Self::AnyOf(inner) => any_of(inner, facts),
            Self::AllOf(inner) => all_of(inner, facts),
            Self::Alert(words) => alert(words, facts),
            Self::Failed(actions) => failed(actions, facts),
            Self::LogLines(LogLines { any_of, at_least }) => {
                let lines = facts.log_lines(any_of);
                Check::new(lines >= *at_least, format!("{lines} log lines speak of it"))
            }
            Self::RevisionAgeSecs(_)
            | Self::CanRollBack(_)
            | Self::DesiredReplicas(_)
            | Self::Collected(_)
            | Self::Gaps(_) => self.check_workload(facts),
            _ => self.check_containers(facts),
        }
    }

    fn check_workload(&self, facts: Facts<'_>) -> Check {
        let evidence = facts.evidence();
        match self {
            Self::RevisionAgeSecs(range) => {
                let age = evidence
                    .revision_age_secs
                    .map(|secs| u32::try_from(secs).unwrap_or(u32::MAX));
                let saw = age.map_or_else(
                    || "it is not known how old the current revision is".to_owned(),
                    |secs| format!("the current revision is {} old", super::words::span(secs.into())),
                );
                Check::new(range.holds(age.map(f64::from)), saw)
            }
            Self::CanRollBack(wanted) => {
                let saw = if evidence.can_roll_back {
                    "there is an earlier revision"
                } else {
                    "there is no earlier revision"
                };
                Check::new(evidence.can_roll_back == *wanted, saw)
            }
            Self::DesiredReplicas(range) => {
                let desired = evidence.desired_replicas;
                Check::new(range.counted(desired), format!("it asks for {desired}"))
            }
            Self::Collected(wanted) => {
                let collected = evidence.collected_at.is_some();
                let saw = if collected {
                    "evidence was collected"
                } else {
                    "no evidence was collected"
                };
                Check::new(collected == *wanted, saw)
            }
            Self::Gaps(wanted) => {
                let gaps = count(evidence.gaps.iter());
                Check::new(
                    (gaps > 0) == *wanted,
                    format!("{gaps} things could not be collected"),
                )
            }
            _ => Check::new(false, "it says nothing about the workload"),
        }
    }

    fn check_containers(&self, facts: Facts<'_>) -> Check {
        let all = count(facts.containers().iter());
        match self {
            Self::OomKilled(wanted) => {
                let killed = count(facts.oom_killed());
                Check::new(
                    (killed > 0) == *wanted,
                    format!("{killed} of {all} containers were killed for want of memory"),
                )
            }
            Self::MemoryPercent(range) => memory(*range, facts),
            Self::CpuPercent(range) => {
                let worst = facts.worst_cpu();
                let saw = worst.map_or_else(
                    || "CPU use is not known".to_owned(),
                    |(container, percent)| format!("{} uses {percent:.1} % of a core", container.name),
                );
                let known = range.below.is_none() || facts.cpu_known();
                Check::new(known && range.holds(worst.map(|(_, percent)| percent)), saw)
            }
            Self::Running(share) => {
                let running = all.saturating_sub(count(facts.down()));
                Check::new(
                    share.holds(running, all),
                    format!("{running} of {all} containers run"),
                )
            }
            Self::Unhealthy(share) => {
                let hung = count(facts.hung());
                Check::new(
                    share.holds(hung, all),
                    format!("{hung} of {all} containers run and fail their health check"),
                )
            }
            Self::AllHealthy(wanted) => healthy(*wanted, facts),
            Self::Crashed(wanted) => {
                let crashed = count(facts.crashed());
                Check::new(
                    (crashed > 0) == *wanted,
                    format!("{crashed} of {all} containers ended with a failure"),
                )
            }
            Self::RestartCount(range) => {
                let restarts = facts
                    .most_restarted()
                    .map_or(0, |container| container.restart_count);
                let restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
                Check::new(
                    range.counted(restarts),
                    format!("no container was restarted more than {restarts} times"),
                )
            }
            Self::Symptoms(wanted) => {
                let symptoms = facts.symptoms();
                let saw = symptoms
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "no trouble shows".to_owned());
                Check::new(symptoms.is_empty() != *wanted, saw)
            }
            Self::RestartLoop(wanted) => {
                let saw = if facts.restart_loop() {
                    "containers restart again and again"
                } else {
                    "no container restarts again and again"
                };
                Check::new(facts.restart_loop() == *wanted, saw)
            }
            Self::ErrorLines(range) => {
                let lines = facts.error_lines();
                Check::new(
                    range.counted(lines),
                    format!("{lines} of the last log lines report an error"),
                )
            }
            _ => Check::new(false, "it says nothing about containers"),
        }
    }
}

fn memory(range: Range, facts: Facts<'_>) -> Check {
    let Some((container, percent)) = facts.worst_memory() else {
        // Where no container has a limit, memory is below any share of it.
        let unlimited = facts.memory_known();
        let saw = if unlimited {
            "no container has a memory limit"
        } else {
            "memory use is not known"
        };
        return Check::new(unlimited && range.at_least.is_none(), saw);
    };
    let known = range.below.is_none() || facts.memory_known();
    Check::new(
        known && range.holds(Some(percent)),
        format!("{} uses {percent:.1} % of its memory limit", container.name),
    )
}

fn healthy(wanted: bool, facts: Facts<'_>) -> Check {
    let saw = match facts.down().next().or_else(|| facts.hung().next()) {
        Some(container) if crate::facts::runs(container) => {
            format!("{} fails its health check", container.name)
        }
        Some(container) => format!("{} is {}", container.name, state(container)),
        None => format!(
            "{} of {} replicas are ready",
            facts.ready(),
            facts.evidence().desired_replicas
        ),
    };
    Check::new(facts.all_healthy() == wanted, saw)
}

fn alert(words: &[String], facts: Facts<'_>) -> Check {
    let said = facts.case.alert_type.to_lowercase().replace(['_', '-', '.'], " ");
    let holds = words.iter().any(|word| said.contains(word.as_str()));
    Check::new(
        holds,
        if holds {
            "the alert speaks of it"
        } else {
            "the alert does not speak of it"
        },
    )
}

fn failed(actions: &[Action], facts: Facts<'_>) -> Check {
    let failed = actions
        .iter()
        .find(|action| facts.was_tried(**action) || facts.failures(**action) >= 2);
    match failed {
        Some(action) => Check::new(true, format!("{action} did not help")),
        None => Check::new(false, "the first choice has not failed"),
    }
}

fn any_of(inner: &[Condition], facts: Facts<'_>) -> Check {
    let checks: Vec<Check> = inner.iter().map(|condition| condition.check(facts)).collect();
    let holds = checks.iter().any(|check| check.holds);
    let mut saw: Vec<String> = checks.into_iter().map(|check| check.saw).collect();
    saw.dedup();
    Check::new(holds, saw.join(", "))
}

fn all_of(inner: &[Condition], facts: Facts<'_>) -> Check {
    let checks: Vec<Check> = inner.iter().map(|condition| condition.check(facts)).collect();
    let failing = checks.iter().find(|check| !check.holds);
    match failing {
        Some(check) => check.clone(),
        None => Check::new(
            true,
            checks
                .into_iter()
                .map(|check| check.saw)
                .collect::<Vec<_>>()
                .join(", "),
        ),
    }
}
