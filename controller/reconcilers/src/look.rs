//! What one container looks like from outside: for the evidence of an incident, and for what is kept of a sick container
//! before its restart takes it away. Reads only; every text is bounded and redacted here, so that nothing further on can
//! leak it. What cannot be read is a gap, not a failure.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_api::Time;
use aegis_api::proposal::ContainerEvidence;
use aegis_api::workload::{Health, HealthProbe, InstanceStatus};
use aegis_brain::redact::{bound, redact};
use aegis_docker::observed::ContainerState;
use aegis_docker::{Engine, EngineError, EngineResult, LogQuery};
use futures::StreamExt;

use crate::context::Context;
use crate::{probe, reach};

/// Log lines read from a container, from its end.
const LOG_LINES: u32 = 200;
/// Restarts of a container that are told of.
const MOST_RESTARTS: usize = 10;
const MOST_PROCESSES: usize = 20;
const MOST_CHANGES: usize = 40;
/// Characters of a process's command line, or of a path.
const LINE_CHARS: usize = 200;
/// How long an engine may take to list processes or changed files: a look must not hold a restart up.
const LISTED_WITHIN: Duration = Duration::from_secs(2);

/// Whom to look at, and what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub started_at: Option<Time>,
    pub health: Health,
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

/// What a container looks like now, and what of it could not be seen; nothing if it is gone. An error only where the
/// engine does not answer at all.
pub(crate) async fn look(
    context: &Context,
    health: Option<&HealthProbe>,
    row: &Subject<'_>,
    own_networks: &BTreeSet<String>,
) -> Result<(Option<ContainerEvidence>, Vec<String>), EngineError> {
    let engine = &*context.engine;
    let mut gaps = Vec::new();
    let details = match engine.inspect(row.id).await {
        Ok(Some(details)) => details,
        Ok(None) => return Ok((None, vec![format!("{} is gone", row.name)])),
        Err(error @ EngineError::Unreachable { .. }) => return Err(error),
        Err(error) => return Ok((None, vec![format!("{}: {error}", row.name)])),
    };
    let running = details.state == ContainerState::Running;
    let addresses = details.networks.iter();
    let address = reach::address(
        addresses.filter_map(|(network, ip)| Some((network, (*ip)?))),
        own_networks,
    );
    let target = health
        .zip(address)
        .and_then(|(health, ip)| probe::target(row.id, row.started_at, ip, health));
    let stats = async {
        if running {
            Some(engine.usage(row.id).await)
        } else {
            None
        }
    };
    let probed = async {
        match &target {
            Some(target) if running => Some(probe::ask(engine, &target.question, target.timeout).await),
            _ => None,
        }
    };
    let processes = async {
        match running {
            true => within(engine.processes(row.id)).await,
            false => Ok(Vec::new()),
        }
    };
    let (log_tail, stats, probed, processes, changes) = tokio::join!(
        log_tail(engine, row.id, context.settings.log_chars),
        stats,
        probed,
        processes,
        within(engine.changes(row.id)),
    );
    let mut listed = |what: &str, lines: Result<Vec<String>, String>, most: usize| {
        let lines = lines.unwrap_or_else(|why| {
            gaps.push(format!("{what} of {}: {why}", row.name));
            Vec::new()
        });
        shortened(&lines, most)
    };
    let processes = processes.map(|rows| {
        rows.iter()
            .map(|row| format!("{} {}", row.pid, row.command))
            .collect()
    });
    let processes = listed("processes", processes, MOST_PROCESSES);
    let changes = changes.map(|rows| rows.iter().map(ToString::to_string).collect());
    let filesystem = listed("changed files", changes, MOST_CHANGES);
    let log_tail = log_tail.unwrap_or_else(|error| {
        gaps.push(format!("log of {}: {error}", row.name));
        String::new()
    });
    let stats = stats.and_then(|stats| {
        stats
            .map_err(|error| gaps.push(format!("stats of {}: {error}", row.name)))
            .ok()
    });
    let live_health = match &probed {
        Some(Ok(_)) => Health::Healthy,
        Some(Err(_)) => Health::Unhealthy,
        None => row.health,
    };
    let trend = context.samples.history().trend(&details.name, details.started_at);
    let evidence = ContainerEvidence {
        trend: trend.filter(|_| running),
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
        health: live_health,
        probe: probed
            .map(|answer| answer.unwrap_or_else(|error| error))
            .or_else(|| row.message.map(|message| bound(&redact(message), LINE_CHARS))),
        docker_health: details.health.as_ref().map(|health| health.status.clone()),
        health_log: details
            .health
            .map(|health| health.log.iter().map(|line| bound(&redact(line), 300)).collect())
            .unwrap_or_default(),
        cpu_percent: stats
            .as_ref()
            .and_then(|stats| context.samples.cpu_percent(row.id, stats)),
        memory_bytes: stats.as_ref().map(|stats| stats.memory_bytes),
        memory_limit_bytes: (details.memory_limit > 0).then_some(details.memory_limit),
        processes,
        filesystem,
        log_tail,
    };
    Ok((Some(evidence), gaps))
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

async fn log_tail(engine: &dyn Engine, id: &str, chars: usize) -> Result<String, EngineError> {
    let query = LogQuery {
        tail: LOG_LINES,
        follow: false,
        timestamps: false,
        since: 0,
    };
    let mut lines = engine.logs(id, query).await?;
    let mut text = String::new();
    while let Some(line) = lines.next().await {
        text.push_str(&line?.text);
        text.push('\n');
    }
    Ok(bound(&redact(&text), chars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_say_so_and_secrets_do_not_show() {
        let lines = (0..5).map(|n| format!("{n} app --password=hunter{n}hunter"));
        let shown = shortened(&lines.collect::<Vec<_>>(), 2);
        assert_eq!(shown.len(), 3);
        assert_eq!(shown[2], "… and 3 more");
        assert!(!shown.join(" ").contains("hunter"), "{shown:?}");
    }
}
