//! What a case's evidence amounts to: the readings that rules and reviewers judge by. From which reading something is a
//! symptom is in [`aegis_api::signals::bounds`], which detectors share. Reads the controller's own evidence only, never
//! the sender's words. Pure.
//!
//! What is a symptom is a reading of now, or of the last minutes: how often a container was ever restarted, and what it
//! logged last week, says nothing about today.

mod elsewhere;
mod past;

use aegis_api::lifecycle::has_come_back;
use aegis_api::observed::ContainerState;
use aegis_api::proposal::{Action, ContainerEvidence, Evidence};
use aegis_api::signals::bounds;
use aegis_api::symptom::{Symptom, SymptomKind};
use aegis_api::workload::Health;
use aegis_api::{Duration, Time};

use crate::case::Case;
use crate::redact::{bound, redact};

/// Percent of the memory limit from which memory is a symptom.
pub(crate) const MEMORY: f64 = bounds::MEMORY_PERCENT;
/// Percent of one core from which CPU is a symptom, and from which a container is busy, which is none.
pub(crate) const CPU: (f64, f64) = (bounds::CPU_PERCENT, 60.0);
/// Percent of one core below which a container idles.
pub(crate) const CPU_IDLE: f64 = 20.0;
/// Error lines in a log tail from which they are a burst.
pub(crate) const ERROR_BURST: u32 = bounds::ERROR_BURST;
/// Crashes from which they are a loop, and within which time before the evidence was collected.
pub(crate) const CRASH_LOOP: (u32, Duration) = (bounds::CRASH_LOOP, bounds::CRASH_LOOP_WITHIN);
/// The longest that a symptom's words are, in characters.
const WORDS: usize = 300;

/// Minutes until memory is full below which steady growth is a leak to act on.
pub(crate) const LEAK_MINUTES: f64 = bounds::LEAK_MINUTES;

/// Kinds of symptoms, the gravest first: what does not serve, then what its clients notice, then what will soon be one of
/// these, and last what only a sender has seen.
const GRAVEST_FIRST: [SymptomKind; 15] = [
    SymptomKind::Rule,
    SymptomKind::OutOfMemory,
    SymptomKind::MemoryHigh,
    SymptomKind::Down,
    SymptomKind::NetworkLost,
    SymptomKind::ProbeFailing,
    SymptomKind::CrashLoop,
    SymptomKind::HttpErrors,
    SymptomKind::MemoryGrowing,
    SymptomKind::ProcessLimit,
    SymptomKind::CpuHigh,
    SymptomKind::HttpSlow,
    SymptomKind::ErrorBurst,
    SymptomKind::ReplicasMissing,
    SymptomKind::Trusted,
];

/// A line of a log tail that holds one of these, in any case, reports an error.
const ERROR_WORDS: [&str; 12] = [
    "error:",
    "\"level\":\"error\"",
    "\"level\": \"error\"",
    "\"severity\":\"error\"",
    "\"severity\": \"error\"",
    " error ",
    "[error]",
    "level=error",
    "exception",
    "traceback",
    "panicked",
    "fatal",
];

/// A line of a log tail that holds one of these, in any case, reports a connection that could not be made; as the rules
/// about dependencies have it.
const CONNECTION_WORDS: [&str; 7] = [
    "connection refused",
    "econnrefused",
    "could not connect",
    "no route to host",
    "name or service not known",
    "name resolution",
    "no such host",
];

/// The readings of one case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) case: &'a Case,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(case: &'a Case) -> Self {
        Self { case }
    }

    pub(crate) fn evidence(self) -> &'a Evidence {
        &self.case.evidence
    }

    pub(crate) fn containers(self) -> &'a [ContainerEvidence] {
        &self.case.evidence.containers
    }

    /// The container that uses most of its memory limit.
    pub(crate) fn worst_memory(self) -> Option<(&'a ContainerEvidence, f64)> {
        greatest(self.containers(), ContainerEvidence::memory_percent)
    }

    /// The container that uses most CPU.
    pub(crate) fn worst_cpu(self) -> Option<(&'a ContainerEvidence, f64)> {
        greatest(self.containers(), |container| container.cpu_percent)
    }

    /// Whether memory use is known of every container. One without a limit cannot be near it.
    pub(crate) fn memory_known(self) -> bool {
        self.every(|container| container.memory_bytes.is_some())
    }

    /// Whether CPU use is known of every container.
    pub(crate) fn cpu_known(self) -> bool {
        self.every(|container| container.cpu_percent.is_some_and(f64::is_finite))
    }

    /// Containers that were OOM-killed and that have not come back since.
    pub(crate) fn oom_killed(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.containers()
            .iter()
            .filter(|container| container.oom_killed && !came_back(container))
    }

    /// Containers whose process does not run, those that are paused left out.
    pub(crate) fn down(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.containers()
            .iter()
            .filter(|container| !runs(container) && !is_paused(container))
    }

    /// Containers that are paused: their process is neither unhealthy nor well.
    pub(crate) fn paused(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.containers().iter().filter(|container| is_paused(container))
    }

    /// Containers that ended with a failure, or that Docker is restarting.
    pub(crate) fn crashed(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.down().filter(|container| {
            docker_state(container) == ContainerState::Restarting
                || container.exit_code.is_some_and(|code| code != 0)
        })
    }

    /// Containers that run and whose probe, or Docker's health check, fails.
    pub(crate) fn hung(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.containers()
            .iter()
            .filter(|container| runs(container) && fails(container))
    }

    /// Containers that run and pass every check there is.
    pub(crate) fn serving(self) -> impl Iterator<Item = &'a ContainerEvidence> {
        self.containers()
            .iter()
            .filter(|container| runs(container) && passes(container))
    }

    /// Replicas that are ready: as the containers show now if all were inspected, otherwise as the workload's status
    /// has it, which may lag behind.
    pub(crate) fn ready(self) -> u32 {
        let (evidence, serving) = (self.evidence(), count(self.serving()));
        if count(self.containers().iter()) >= evidence.desired_replicas {
            return serving;
        }
        evidence.ready_replicas.max(serving)
    }

    /// Whether every replica is ready and every container that was inspected serves.
    pub(crate) fn all_healthy(self) -> bool {
        self.every(|container| runs(container) && passes(container))
            && self.ready() >= self.evidence().desired_replicas
    }

    /// The container that was restarted most, no matter by whom.
    pub(crate) fn most_restarted(self) -> Option<&'a ContainerEvidence> {
        self.containers()
            .iter()
            .max_by_key(|container| container.restart_count)
    }

    /// The container that crashed most within the last minutes, and how often, where one did. What happened before the
    /// last action on the workload is that action's to answer for.
    pub(crate) fn most_crashed(self) -> Option<(&'a ContainerEvidence, u32)> {
        let collected = self.evidence().collected_at?;
        let acted = self
            .evidence()
            .recent_actions
            .iter()
            .map(|action| action.at)
            .max();
        let recent = |at: &Time| {
            *at <= collected
                && at.age(collected) <= CRASH_LOOP.1.std()
                && acted.is_none_or(|acted| *at > acted)
        };
        self.containers()
            .iter()
            .map(|container| (container, count(crashes(container).filter(recent))))
            .filter(|(_, crashes)| *crashes > 0)
            .max_by_key(|(_, crashes)| *crashes)
    }

    /// The container that crashes again and again, and how often it did.
    pub(crate) fn crash_loop(self) -> Option<(&'a ContainerEvidence, u32)> {
        self.most_crashed()
            .filter(|(_, crashes)| *crashes >= CRASH_LOOP.0)
    }

    /// Lines of the containers' log tails that hold one of `words`, in any case.
    pub(crate) fn log_lines(self, words: &[impl AsRef<str>]) -> u32 {
        let lines = self
            .containers()
            .iter()
            .flat_map(|container| container.log_tail.lines());
        count(lines.filter(|line| {
            let line = line.to_lowercase();
            words.iter().any(|word| line.contains(word.as_ref()))
        }))
    }

    /// Lines that report an error, of those that the containers' present processes logged in the last minutes. What
    /// has no known time does not count as current.
    pub(crate) fn error_lines(self) -> u32 {
        let lines = self
            .containers()
            .iter()
            .filter_map(|container| container.recent_error_lines);
        lines.fold(0, u32::saturating_add)
    }

    /// Lines of the containers' log tails that report a connection that could not be made.
    pub(crate) fn connection_lines(self) -> u32 {
        self.log_lines(&CONNECTION_WORDS)
    }

    /// What is wrong, gravest first: what the evidence shows, and what was measured beside it. Empty where nothing is.
    pub(crate) fn symptoms(self) -> Vec<Symptom> {
        let outside = self.case.measured.iter().map(|symptom| Symptom {
            message: bound(&redact(&symptom.message), WORDS),
            ..symptom.clone()
        });
        gravest_first(self.evident().into_iter().chain(outside))
    }

    /// Whether an action can clear a symptom. What only a trusted sender says is cleared by what the policy allows for it.
    pub(crate) fn can_clear(self, symptom: &Symptom, action: Action) -> bool {
        let is_allowed = symptom.kind != SymptomKind::Trusted || self.case.trusted.contains(&action);
        symptom.kind.is_cleared_by(action) && is_allowed
    }

    /// Of what is wrong, gravest first, the symptom that `action` is to clear.
    pub(crate) fn cleared_by(self, action: Action) -> Option<Symptom> {
        let mut symptoms = self.symptoms().into_iter();
        symptoms.find(|symptom| self.can_clear(symptom, action))
    }

    /// What the evidence shows as wrong.
    pub(crate) fn evident(self) -> Vec<Symptom> {
        let mut found: Vec<Symptom> = Vec::new();
        found.extend(
            self.oom_killed()
                .map(|it| symptom(SymptomKind::OutOfMemory, it, None, "was OOM-killed")),
        );
        if let Some((it, percent)) = self.worst_memory().filter(|(_, percent)| *percent >= MEMORY) {
            let words = format!("uses {percent:.1} % of its memory limit");
            found.push(symptom(SymptomKind::MemoryHigh, it, Some(percent), words));
        }
        found.extend(self.down().map(|it| {
            let words = format!("is {}", ended(it));
            symptom(SymptomKind::Down, it, None, words)
        }));
        found.extend(self.hung().map(|it| {
            let words = "runs but fails its health check";
            symptom(SymptomKind::ProbeFailing, it, None, words)
        }));
        found.extend(self.containers().iter().filter_map(|it| {
            let lost = it.lost_network.as_ref().filter(|_| runs(it))?;
            let command = lost.command.as_ref().map(|command| format!(" ({command})"));
            let words = format!(
                "is connected to no network, and was made for {}{}",
                lost.network,
                command.unwrap_or_default()
            );
            Some(symptom(SymptomKind::NetworkLost, it, None, words))
        }));
        if let Some((it, crashes)) = self.crash_loop() {
            let minutes = CRASH_LOOP.1.std().as_secs() / 60;
            let words = format!("crashed {crashes} times within {minutes} min");
            found.push(symptom(SymptomKind::CrashLoop, it, Some(crashes.into()), words));
        }
        let leaks = |it: &ContainerEvidence| {
            it.memory_percent()
                .is_some_and(|percent| percent >= bounds::LEAK_PERCENT)
        };
        if let (Some((it, minutes)), Some(words)) = (self.soonest_full(), self.leak())
            && leaks(it)
        {
            let container = Some(bound(&it.name, WORDS / 2));
            found.push(Symptom {
                kind: SymptomKind::MemoryGrowing,
                container,
                value: Some(minutes),
                message: bound(&words, WORDS),
            });
        }
        if let Some((it, percent)) = self.worst_cpu().filter(|(_, percent)| *percent >= CPU.0) {
            let words = format!("uses {percent:.1} % of a core");
            found.push(symptom(SymptomKind::CpuHigh, it, Some(percent), words));
        }
        found.extend(self.workload_symptoms());
        found
    }

    /// Those of the workload as a whole.
    fn workload_symptoms(self) -> impl Iterator<Item = Symptom> {
        let whole = |kind, value: u32, message| Symptom {
            kind,
            container: None,
            value: Some(value.into()),
            message,
        };
        let errors = self.error_lines();
        let burst = (errors >= ERROR_BURST).then(|| {
            let message = format!("{errors} error lines in the log of the last minutes");
            whole(SymptomKind::ErrorBurst, errors, message)
        });
        let (ready, desired) = (self.ready(), self.evidence().desired_replicas);
        let is_missing = ready.saturating_add(count(self.paused())) < desired && !self.still_comes();
        let missing = is_missing.then(|| {
            let message = format!("{ready} of {desired} replicas are ready");
            whole(SymptomKind::ReplicasMissing, ready, message)
        });
        burst.into_iter().chain(missing)
    }

    /// Whether the workload was changed a moment ago, so that replicas which are not ready yet are no trouble.
    fn still_comes(self) -> bool {
        let Some(collected) = self.evidence().collected_at else {
            return false;
        };
        let mut recent = self.evidence().recent_actions.iter();
        let starts = |action| matches!(action, Action::ScaleUp | Action::Restart | Action::Rollback);
        recent.any(|action| starts(action.action) && action.at.age(collected) < bounds::STILL_COMING.std())
            && self.down().next().is_none()
            && self.hung().next().is_none()
    }

    /// The symptoms in words, a phrase each.
    pub(crate) fn trouble(self) -> Vec<String> {
        self.symptoms()
            .into_iter()
            .map(|symptom| symptom.message)
            .collect()
    }

    /// The container whose memory will be full soonest, and in how many minutes, if it goes on growing as it does.
    pub(crate) fn soonest_full(self) -> Option<(&'a ContainerEvidence, f64)> {
        let growing = self
            .containers()
            .iter()
            .filter_map(|container| Some((container, container.memory_full_in_minutes()?)));
        growing
            .filter(|(_, minutes)| minutes.is_finite())
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// A leak that a restart forestalls: memory grows steadily and will be full soon.
    pub(crate) fn leak(self) -> Option<String> {
        let (container, minutes) = self
            .soonest_full()
            .filter(|(_, minutes)| *minutes < LEAK_MINUTES)?;
        Some(format!(
            "memory of {} grows steadily and is full in {minutes:.0} min",
            container.name
        ))
    }

    fn every(self, holds: impl Fn(&ContainerEvidence) -> bool) -> bool {
        !self.containers().is_empty() && self.containers().iter().all(holds)
    }
}

/// Symptoms, the gravest first.
pub fn gravest_first(symptoms: impl IntoIterator<Item = Symptom>) -> Vec<Symptom> {
    let mut symptoms: Vec<Symptom> = symptoms.into_iter().collect();
    symptoms.sort_by_key(|symptom| GRAVEST_FIRST.iter().position(|kind| *kind == symptom.kind));
    symptoms
}

fn symptom(kind: SymptomKind, of: &ContainerEvidence, value: Option<f64>, words: impl AsRef<str>) -> Symptom {
    Symptom {
        kind,
        container: Some(bound(&of.name, WORDS / 2)),
        value,
        message: bound(&format!("{} {}", of.name, words.as_ref()), WORDS),
    }
}

/// Whether a line of a log reports an error.
pub fn reports_error(line: &str) -> bool {
    let line = line.to_lowercase();
    // Some begin with their level.
    line.starts_with("error ") || ERROR_WORDS.iter().any(|word| line.contains(word))
}

/// When a container ended by itself and not well: not what was stopped, nor what people or this controller restarted.
fn crashes(container: &ContainerEvidence) -> impl Iterator<Item = Time> {
    let crashes = container.deaths.iter().filter(|death| death.is_crash());
    crashes.filter_map(|death| death.at)
}

/// Whether a container runs since it last ended.
fn came_back(container: &ContainerEvidence) -> bool {
    runs(container) && has_come_back(container.started_at, container.finished_at)
}

fn docker_state(container: &ContainerEvidence) -> ContainerState {
    ContainerState::from_word(&container.state)
}

/// Whether somebody froze a container's processes.
pub(crate) fn is_paused(container: &ContainerEvidence) -> bool {
    docker_state(container) == ContainerState::Paused
}

/// Whether a container's process runs.
pub(crate) fn runs(container: &ContainerEvidence) -> bool {
    docker_state(container) == ContainerState::Running
}

/// Docker's word for a container's state; `unknown` where there is none.
pub(crate) fn state(container: &ContainerEvidence) -> &str {
    if container.state.is_empty() {
        "in an unknown state"
    } else {
        &container.state
    }
}

/// The state of a container that does not run, with its exit code where there is one.
pub(crate) fn ended(container: &ContainerEvidence) -> String {
    match container.exit_code {
        Some(code) => format!("{} with exit code {code}", state(container)),
        None => state(container).to_owned(),
    }
}

fn fails(container: &ContainerEvidence) -> bool {
    container.health == Health::Unhealthy || container.docker_health.as_deref() == Some("unhealthy")
}

fn passes(container: &ContainerEvidence) -> bool {
    !fails(container)
        && (container.health == Health::Healthy || container.docker_health.as_deref() == Some("healthy"))
}

fn greatest(
    containers: &[ContainerEvidence],
    reading: impl Fn(&ContainerEvidence) -> Option<f64>,
) -> Option<(&ContainerEvidence, f64)> {
    let known = containers
        .iter()
        .filter_map(|container| Some((container, reading(container)?)));
    known
        .filter(|(_, value)| value.is_finite())
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// How many items there are; `u32::MAX` stands for more than that.
pub(crate) fn count<I: Iterator>(items: I) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reports_an_error_by_its_level_wherever_that_stands_and_by_what_languages_call_one() {
        for line in [
            "ERROR GET / answered 500: no such entry",
            "2026-11-30T12:00:00Z ERROR shop: no such entry",
            "[error] 7#7: no such entry",
            "Error: no such entry",
            "level=error msg=x",
            r#"{"level":"error","msg":"x"}"#,
            r#"{"severity": "ERROR", "msg": "x"}"#,
            "java.lang.NullPointerException",
            "thread 'main' panicked at x",
        ] {
            assert!(reports_error(line), "{line}");
        }
        for line in [
            "GET /errors 200",
            "INFO errors are shown",
            "errors 0",
            "terror attack film",
        ] {
            assert!(!reports_error(line), "{line}");
        }
    }

    #[test]
    fn every_kind_of_symptom_has_its_place_and_a_senders_word_comes_last() {
        for kind in SymptomKind::ALL {
            assert!(GRAVEST_FIRST.contains(&kind), "{kind:?}");
        }
        let symptom = |kind| Symptom {
            kind,
            container: None,
            value: None,
            message: String::new(),
        };
        let sorted = gravest_first(SymptomKind::ALL.map(symptom));
        assert_eq!(sorted.first().unwrap().kind, SymptomKind::Rule);
        assert_eq!(sorted.last().unwrap().kind, SymptomKind::Trusted);
    }
}
