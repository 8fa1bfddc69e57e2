//! What one container is like from outside: for the evidence of an incident, and for the capture of an unhealthy one
//! before its restart discards it. Reads only; every text is bounded and redacted here, so that nothing further on can
//! leak it. What cannot be read is a gap, not a failure.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::observed::{ContainerDetails, ContainerState, ProcessRow, Stats, cpu_percent};
use aegis_api::proposal::{ContainerEvidence, LostNetwork};
use aegis_api::signals::bounds::LOG_WITHIN;
use aegis_api::workload::{Health, HealthProbe, InstanceStatus};
use aegis_api::{ContainerId, Time};
use aegis_brain::redact::{self, bound, redact, redact_tail};
use aegis_brain::reports_error;
use aegis_docker::{EngineError, EngineResult, LogQuery};
use aegis_planning::probe::ProbeRequest;
use aegis_runtime::offload::offload;
use futures::StreamExt;
use futures::future::join_all;

use crate::context::Context;
use crate::probe;

/// Log lines read from a container, from its end.
const LOG_LINES: u32 = 200;
/// Of a log that is read, at most so many times what is shown (and this many bytes) are held.
const KEPT_TIMES: usize = 8;
const LOG_LEAST: usize = 16 * 1024;
/// Bytes of text from which on secrets are looked for beside the loop, so that it stops no other incident.
const OFF_THE_LOOP: usize = 64 * 1024;
/// What lies between two readings of a counter where there is no earlier one.
const BETWEEN_READINGS: Duration = Duration::from_secs(1);
/// Restarts of a container that are listed.
const MOST_RESTARTS: usize = 10;
const MOST_PROCESSES: usize = 20;
const MOST_CHANGES: usize = 40;
/// Characters of a process's command line, or of a path.
const LINE_CHARS: usize = 200;
/// How long an engine may take to list processes or changed files: an inspection must not delay a restart.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// What to inspect, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub id: &'a ContainerId,
    pub name: &'a str,
    pub started_at: Option<Time>,
    pub health: Health,
    /// Whether it was not healthy yet, in its start period.
    pub starting: bool,
    /// What its probe said last.
    pub message: Option<&'a str>,
    /// How often this controller restarted it.
    pub restarts: u32,
    /// When it did.
    pub restarted_at: Vec<Time>,
}

impl<'a> From<&'a InstanceStatus> for Subject<'a> {
    fn from(row: &'a InstanceStatus) -> Self {
        Self {
            id: &row.id,
            name: &row.name,
            started_at: row.started_at,
            health: row.health,
            starting: row.starting,
            message: row.message.as_deref(),
            restarts: row.restarts,
            restarted_at: restarted_at(row),
        }
    }
}

/// The restarts that count against a limit, where there is one; else the last.
fn restarted_at(row: &InstanceStatus) -> Vec<Time> {
    let skip = row.recent_restarts.len().saturating_sub(MOST_RESTARTS);
    let recent: Vec<Time> = row.recent_restarts.iter().skip(skip).copied().collect();
    if recent.is_empty() {
        row.last_restart_at.into_iter().collect()
    } else {
        recent
    }
}

/// How closely a container is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// All there is to see.
    Everything,
    /// What its present process shows: state, probe, counters, and what that process logged.
    Readings,
}

/// What a container looks like now, and what of it could not be seen; nothing if it is gone. An error only where the
/// engine does not answer at all.
pub(crate) async fn inspect_evidence(
    context: &Context,
    health: Option<&HealthProbe>,
    row: &Subject<'_>,
    own_networks: &BTreeSet<String>,
    depth: Depth,
) -> Result<(Option<ContainerEvidence>, Vec<String>), EngineError> {
    let engine = &*context.engine;
    let mut gaps = Vec::new();
    let details = match engine.inspect(row.id).await {
        Ok(Some(details)) => details,
        Ok(None) => return Ok((None, vec![format!("{} is gone", row.name)])),
        Err(error @ EngineError::Unreachable { .. }) => return Err(error),
        Err(error) => return Ok((None, vec![format!("{}: {error}", row.name)])),
    };
    let readings = Readings::take(context, health, row, own_networks, &details, depth).await;
    let shown = readings.shown(row, &mut gaps);
    Ok((Some(evidence(context, row, details, shown)), gaps))
}

/// What to ask of a container that the prober does not know in this run.
fn questions(
    health: &HealthProbe,
    row: &Subject<'_>,
    own_networks: &BTreeSet<String>,
    details: &ContainerDetails,
) -> Option<Vec<ProbeRequest>> {
    let addresses = details.networks.iter();
    let addresses = addresses.filter_map(|(network, ip)| Some((network, (*ip)?)));
    let named = health.network.as_ref().map(AsRef::as_ref);
    let addresses = aegis_planning::addressing::candidates(addresses, own_networks, named);
    let target = aegis_planning::probe::target(row.id, row.started_at, &addresses, health)?;
    Some(target.questions)
}

/// What the engine and the probe answered, or why they did not.
struct Readings {
    log: EngineResult<Log>,
    /// `None` where it does not run.
    stats: Option<EngineResult<Stats>>,
    /// `None` where it does not run or has no probe.
    probed: Option<Result<String, String>>,
    processes: Result<Vec<String>, String>,
    changes: Result<Vec<String>, String>,
}

impl Readings {
    /// Requests everything at once.
    async fn take(
        context: &Context,
        health: Option<&HealthProbe>,
        row: &Subject<'_>,
        own_networks: &BTreeSet<String>,
        details: &ContainerDetails,
        depth: Depth,
    ) -> Self {
        let engine = &*context.engine;
        let running = details.state == ContainerState::Running;
        let questions = health.and_then(|health| {
            let known = context.prober.questions(row.id, row.started_at);
            let questions = known.or_else(|| questions(health, row, own_networks, details))?;
            Some((questions, health.timeout.std()))
        });
        let stats = async {
            match running {
                true => Some(engine.usage(row.id).await),
                false => None,
            }
        };
        let probed = async {
            match &questions {
                Some((questions, timeout)) if running => {
                    let answer = probe::ask(engine, questions, *timeout).await;
                    Some(answer.map_err(|failure| failure.text))
                }
                _ => None,
            }
        };
        let closely = depth == Depth::Everything;
        let processes = async {
            match running && closely {
                true => within(engine.processes(row.id)).await,
                false => Ok(Vec::new()),
            }
        };
        let changes = async {
            match closely {
                true => within(engine.changes(row.id)).await,
                false => Ok(Vec::new()),
            }
        };
        let now = context.clock.now();
        let (log, stats, probed, processes, changes) = tokio::join!(
            log(context, row.id, details, now, depth),
            stats,
            probed,
            processes,
            changes,
        );
        let process = |row: &ProcessRow| format!("{} {}", row.pid, row.command);
        Self {
            log,
            stats,
            probed,
            processes: processes.map(|rows| rows.iter().map(process).collect()),
            changes: changes.map(|rows| rows.iter().map(ToString::to_string).collect()),
        }
    }

    /// What of it can be shown; the rest are gaps.
    fn shown(self, row: &Subject<'_>, gaps: &mut Vec<String>) -> Shown {
        let mut listed = |what: &str, lines: Result<Vec<String>, String>, most: usize| {
            let lines = lines.unwrap_or_else(|why| {
                gaps.push(format!("{what} of {}: {why}", row.name));
                Vec::new()
            });
            shortened(&lines, most)
        };
        let processes = listed("processes", self.processes, MOST_PROCESSES);
        let filesystem = listed("changed files", self.changes, MOST_CHANGES);
        let log = self.log.unwrap_or_else(|error| {
            gaps.push(format!("log of {}: {error}", row.name));
            Log::default()
        });
        let stats = self.stats.and_then(|stats| {
            stats
                .map_err(|error| gaps.push(format!("stats of {}: {error}", row.name)))
                .ok()
        });
        Shown {
            log,
            stats,
            probed: self.probed,
            processes,
            filesystem,
        }
    }
}

/// What can be shown of a container beside its details; what could not be read is empty.
struct Shown {
    log: Log,
    stats: Option<Stats>,
    probed: Option<Result<String, String>>,
    processes: Vec<String>,
    filesystem: Vec<String>,
}

fn evidence(
    context: &Context,
    row: &Subject<'_>,
    details: ContainerDetails,
    shown: Shown,
) -> ContainerEvidence {
    let running = details.state == ContainerState::Running;
    let stats = shown.stats.as_ref();
    // A run that its Workload's status does not know yet has just begun.
    let is_new = details.started_at > row.started_at;
    let health = match &shown.probed {
        // It may not be up yet: that is no trouble before its start period is over.
        Some(Err(_)) if row.starting || is_new => Health::Unknown,
        Some(Ok(_)) => Health::Healthy,
        Some(Err(_)) => Health::Unhealthy,
        None => row.health,
    };
    let trend = context.samples.history().trend(&details.name, details.started_at);
    ContainerEvidence {
        trend: trend.filter(|_| running),
        lost_network: details.lost_network().map(|network| LostNetwork {
            network: bound(network, LINE_CHARS),
            command: details.connect_command(network),
        }),
        name: details.name,
        id: details.id,
        image: details.image,
        image_id: details.image_id,
        state: details.state.as_str().to_owned(),
        exit_code: (!running).then_some(details.exit_code),
        oom_killed: details.oom_killed,
        restart_count: details.restart_count.saturating_add(u64::from(row.restarts)),
        restarted_at: row.restarted_at.clone(),
        deaths: context.lifecycle.deaths(row.id, context.clock.now()),
        started_at: details.started_at,
        finished_at: details.finished_at,
        health,
        probe: shown
            .probed
            .map(|answer| answer.unwrap_or_else(|error| error))
            .or_else(|| row.message.map(|message| bound(&redact(message), LINE_CHARS))),
        docker_health: details.health.as_ref().map(|health| health.status.clone()),
        health_log: details
            .health
            .map(|health| health.log.iter().map(|line| bound(&redact(line), 300)).collect())
            .unwrap_or_default(),
        cpu_percent: stats.and_then(|stats| context.samples.cpu_percent(row.id, stats)),
        memory_bytes: stats.map(|stats| stats.memory_bytes),
        memory_limit_bytes: (details.memory_limit > 0).then_some(details.memory_limit),
        processes: shown.processes,
        filesystem: shown.filesystem,
        recent_error_lines: shown.log.recent_errors,
        log_tail: shown.log.tail,
    }
}

/// The engine's answer, or why there is none in time.
async fn within<T>(asked: impl Future<Output = EngineResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(LISTED_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LISTED_WITHIN.as_secs())),
    }
}

/// The first lines, each redacted and bounded, and how many more there are.
fn shortened(lines: &[String], most: usize) -> Vec<String> {
    let more = lines.len().saturating_sub(most);
    let shown = lines.iter().take(most);
    let mut shown: Vec<String> = shown.map(|line| bound(&redact(line), LINE_CHARS)).collect();
    if more > 0 {
        shown.push(format!("… and {more} more"));
    }
    shown
}

/// What a container logged.
#[derive(Debug, Default)]
struct Log {
    /// The last lines, without their times.
    tail: String,
    /// Those of the present process that report an error and are of now; `None` where no line could be dated.
    recent_errors: Option<u32>,
}

async fn log(
    context: &Context,
    id: &str,
    details: &ContainerDetails,
    now: Time,
    depth: Depth,
) -> Result<Log, EngineError> {
    let since = match (depth, details.started_at) {
        (Depth::Readings, Some(started)) => started.0.as_second(),
        _ => 0,
    };
    let query = LogQuery {
        tail: LOG_LINES,
        follow: false,
        timestamps: true,
        since,
    };
    let mut lines = context.engine.logs(id, query).await?;
    let mut tail = Tail::new(context.settings.log_chars);
    let (mut dated, mut errors) = (true, 0_u32);
    while let Some(line) = lines.next().await {
        let line = line?;
        let (at, text) = undated(&line.text);
        dated &= at.is_some();
        let is_now = at.is_some_and(|at| {
            at.age(now) <= LOG_WITHIN.std() && details.started_at.is_none_or(|started| at >= started)
        });
        if is_now && reports_error(text) {
            errors = errors.saturating_add(1);
        }
        tail.push(text);
    }
    let tail = tail.shown().await;
    Ok(Log {
        tail,
        recent_errors: dated.then_some(errors),
    })
}

/// The end of a log while it is read: however much there is, only a few times of what is shown of it is held.
struct Tail {
    text: String,
    /// Characters that are shown.
    chars: usize,
}

impl Tail {
    fn new(chars: usize) -> Self {
        Self {
            text: String::new(),
            chars,
        }
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        let most = self.chars.saturating_add(LOG_LEAST);
        if self.text.len() > KEPT_TIMES.saturating_mul(most) {
            self.text = redact::tail(&self.text, self.chars).to_owned();
        }
    }

    /// Without its secrets.
    async fn shown(self) -> String {
        let Self { text, chars } = self;
        match text.len() > OFF_THE_LOOP {
            true => offload(move || redact_tail(&text, chars))
                .await
                .unwrap_or_default(),
            false => redact_tail(&text, chars),
        }
    }
}

/// A line without the time that the engine put in front of it, and that time.
pub(crate) fn undated(line: &str) -> (Option<Time>, &str) {
    let Some((first, rest)) = line.split_once(' ') else {
        return match line.parse() {
            Ok(at) => (Some(at), ""),
            Err(_) => (None, line),
        };
    };
    match first.parse() {
        Ok(at) => (Some(at), rest),
        Err(_) => (None, line),
    }
}

/// CPU of these containers, percent of one core, over the next second; `None` where it does not run or does not answer.
pub(crate) async fn cpu_over_a_second(context: &Context, ids: &[&str]) -> Vec<Option<f64>> {
    let read = || join_all(ids.iter().map(|id| async { context.engine.usage(id).await.ok() }));
    let before = read().await;
    tokio::time::sleep(BETWEEN_READINGS).await;
    let after = read().await;
    let both = before.into_iter().zip(after);
    both.map(|(before, after)| cpu_percent(&before?, &after?))
        .collect()
}

#[cfg(test)]
mod tests {
    use aegis_api::observed::DockerHealth;
    use aegis_docker_fake::{FakeEngine, RunSpec};
    use aegis_runtime::offload::stay_on_this_thread;
    use futures::FutureExt as _;

    use super::*;
    use crate::context::Settings;

    /// What a container logs that wants to keep its watcher busy.
    fn hostile_line() -> String {
        "token=a ".repeat(2048)
    }

    #[tokio::test]
    async fn i9_of_a_log_of_any_length_little_is_held_and_it_is_looked_through_beside_the_loop() {
        let mut tail = Tail::new(2000);
        for _ in 0..LOG_LINES {
            tail.push(&hostile_line());
            assert!(tail.text.len() <= 160 * 1024, "{}", tail.text.len());
        }
        // Work that is handed on is another task here, which cannot be over at once.
        stay_on_this_thread();
        assert!(tail.text.len() > OFF_THE_LOOP);
        assert_eq!(tail.shown().now_or_never(), None);
        let mut short = Tail::new(2000);
        short.push("password=hunter2");
        assert_eq!(short.shown().now_or_never().unwrap(), "password=[redacted]\n");
    }

    #[tokio::test]
    async fn i11_a_hostile_log_of_megabytes_is_shown_by_its_end_without_secrets() {
        let engine = FakeEngine::default();
        let id = engine.run_container(&RunSpec::new("app", "app:1")).unwrap();
        for _ in 0..LOG_LINES {
            engine.say("app", true, &hostile_line()).unwrap();
        }
        engine.say("app", true, "the end").unwrap();
        let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
        let details = engine.inspect_now("app").unwrap();
        let now = context.clock.now();
        let log = log(&context, &id, &details, now, Depth::Everything)
            .await
            .unwrap();
        assert!(log.tail.chars().count() <= context.settings.log_chars);
        assert!(log.tail.ends_with("the end\n"), "{}", log.tail);
        assert!(
            log.tail.contains("token=[redacted]") && !log.tail.contains("token=a"),
            "{}",
            log.tail
        );
    }

    #[tokio::test]
    async fn i11_what_health_checks_and_probes_printed_is_evidence_without_secrets() {
        let engine = FakeEngine::default();
        let id = engine.run_container(&RunSpec::new("app", "app:1")).unwrap();
        let (context, _state) = crate::context::tests::over(&engine, Settings::default()).await;
        let said = "mysqladmin --password hunter2hunter2 ping: \u{1b}[31mdown";
        let mut details = engine.inspect_now("app").unwrap();
        details.health = Some(DockerHealth {
            status: "unhealthy".to_owned(),
            log: vec![said.to_owned()],
            ..DockerHealth::default()
        });
        let id = ContainerId::from(id);
        let row = Subject {
            id: &id,
            name: "app",
            started_at: details.started_at,
            health: Health::Unhealthy,
            starting: false,
            message: Some(said),
            restarts: 0,
            restarted_at: Vec::new(),
        };
        let shown = Shown {
            log: Log::default(),
            stats: None,
            probed: None,
            processes: Vec::new(),
            filesystem: Vec::new(),
        };
        let seen = evidence(&context, &row, details, shown);
        let expected = "mysqladmin --password [redacted] ping: down";
        assert_eq!(seen.health_log, [expected]);
        assert_eq!(seen.probe.as_deref(), Some(expected));
    }

    #[test]
    fn long_lists_are_cut_and_say_so_and_secrets_do_not_show() {
        let lines = (0..5).map(|n| format!("{n} app --password=hunter{n}hunter"));
        let shown = shortened(&lines.collect::<Vec<_>>(), 2);
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[2], "… and 3 more");
        assert!(!shown.join(" ").contains("hunter"), "{shown:?}");
    }
}
