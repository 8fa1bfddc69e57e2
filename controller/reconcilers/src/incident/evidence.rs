//! What the controller itself sees of a sick workload, before anything is killed. Reads only; every text is bounded and
//! redacted here, so that nothing further on can leak it. What cannot be read is a gap, not a failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::proposal::{ContainerEvidence, Evidence, Neighbour};
use aegis_api::workload::{HealthProbe, InstanceStatus};
use aegis_api::{Kind, Time, Workload};
use aegis_brain::redact::{bound, redact};
use aegis_docker::observed::{ContainerState, ContainerSummary};
use aegis_docker::{Engine, EngineError, ListFilter, LogQuery};
use futures::StreamExt;
use futures::future::join_all;

use super::validate::ValidatedIncident;
use crate::context::Context;
use crate::{probe, reach};

/// Log lines read from a container, from its end.
const LOG_LINES: u32 = 200;
/// Containers looked at, when a workload has very many: those that are not healthy come first.
const MOST_CONTAINERS: usize = 20;
/// Events and actions quoted.
const MOST_EVENTS: usize = 20;
/// Restarts of a container that are told of.
const MOST_RESTARTS: usize = 10;
/// Containers beside the workload that are told of.
const MOST_NEIGHBOURS: usize = 12;

/// Answers an error only where the engine does not answer at all: then nothing was seen, and nothing can be concluded.
pub(super) async fn collect(
    context: &Context,
    incident: &ValidatedIncident,
    workload: &Workload,
) -> Result<Evidence, EngineError> {
    let status = workload.status.clone().unwrap_or_default();
    let mut rows: Vec<&InstanceStatus> = status.instances.iter().collect();
    rows.sort_by_key(|row| (row.health == aegis_api::workload::Health::Healthy, row.index));
    let own_networks = reach::own_networks(context).await?;
    let looks = rows
        .iter()
        .take(MOST_CONTAINERS)
        .map(|row| look(context, workload.spec.probe(), row, &own_networks));
    let mut gaps = Vec::new();
    let mut containers = Vec::new();
    let mut unreachable = None;
    for look in join_all(looks).await {
        match look {
            Ok((container, problems)) => {
                containers.extend(container);
                gaps.extend(problems);
            }
            Err(error) => {
                gaps.push(error.to_string());
                unreachable = Some(error);
            }
        }
    }
    if let Some(error) = unreachable.filter(|_| containers.is_empty()) {
        return Err(error);
    }
    let neighbours = neighbours(context, &status.instances)
        .await
        .unwrap_or_else(|error| {
            gaps.push(format!("the containers beside it: {error}"));
            Vec::new()
        });
    let revisions = status
        .revisions
        .iter()
        .map(|revision| format!("{} {} {}", revision.revision, revision.image, revision.created_at));
    let current = status.revisions.last();
    let (_, events) = context.events.list();
    let ours = events
        .iter()
        .filter(|event| event.about.kind == "Workload" && event.about.name == workload.name());
    let mut events: Vec<String> = ours
        .map(|event| {
            format!(
                "{} {} {}",
                event.last,
                event.reason,
                bound(&redact(&event.message), 300)
            )
        })
        .collect();
    events.drain(..events.len().saturating_sub(MOST_EVENTS));
    let mut actions = [&incident.history[..], &incident.by_hand].concat();
    actions.sort_by_key(|action| action.at);
    actions.drain(..actions.len().saturating_sub(MOST_EVENTS));
    Ok(Evidence {
        collected_at: Some(context.clock.now()),
        containers,
        desired_replicas: workload.spec.replicas,
        ready_replicas: status.ready_replicas,
        revisions: revisions.collect(),
        can_roll_back: workload.spec.container.is_none()
            && status
                .revisions
                .iter()
                .any(|revision| revision.template.is_some() && revision.template != workload.spec.template),
        revision_age_secs: current.map(|revision| revision.created_at.age(incident.now).as_secs()),
        generation: workload.metadata.generation,
        neighbours,
        events,
        recent_actions: actions,
        gaps,
    })
}

/// The text that similar incidents are searched with: what was reported, and what the containers say.
pub(super) fn question(incident: &ValidatedIncident, evidence: &Evidence) -> String {
    let spec = &incident.incident.spec;
    let mut text = format!("{} {}", spec.alert_type, redact(&spec.logs));
    if spec.logs.is_empty() {
        for container in &evidence.containers {
            text.push(' ');
            text.push_str(&container.log_tail);
        }
    }
    bound(&text, 4000)
}

async fn look(
    context: &Context,
    health: Option<&HealthProbe>,
    row: &InstanceStatus,
    own_networks: &BTreeSet<String>,
) -> Result<(Option<ContainerEvidence>, Vec<String>), EngineError> {
    let engine = &*context.engine;
    let mut gaps = Vec::new();
    let details = match engine.inspect(&row.id).await {
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
        .and_then(|(health, ip)| probe::target(&row.id, row.started_at, ip, health));
    let stats = async {
        if running {
            Some(engine.usage(&row.id).await)
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
    let (log_tail, stats, probed) = tokio::join!(
        log_tail(engine, &row.id, context.settings.log_chars),
        stats,
        probed
    );
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
        Some(Ok(_)) => aegis_api::workload::Health::Healthy,
        Some(Err(_)) => aegis_api::workload::Health::Unhealthy,
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
        restarted_at: restarts(row),
        started_at: details.started_at,
        finished_at: details.finished_at,
        health: live_health,
        probe: probed
            .map(|answer| answer.unwrap_or_else(|error| error))
            .or_else(|| row.message.clone()),
        docker_health: details.health.as_ref().map(|health| health.status.clone()),
        health_log: details
            .health
            .map(|health| health.log.iter().map(|line| bound(&redact(line), 300)).collect())
            .unwrap_or_default(),
        cpu_percent: stats
            .as_ref()
            .and_then(|stats| context.samples.cpu_percent(&row.id, stats)),
        memory_bytes: stats.as_ref().map(|stats| stats.memory_bytes),
        memory_limit_bytes: (details.memory_limit > 0).then_some(details.memory_limit),
        log_tail,
    };
    Ok((Some(evidence), gaps))
}

/// The restarts that count against a limit, where there is one; else the last.
fn restarts(row: &InstanceStatus) -> Vec<Time> {
    let skip = row.recent_restarts.len().saturating_sub(MOST_RESTARTS);
    let recent: Vec<Time> = row.recent_restarts.iter().skip(skip).copied().collect();
    if recent.is_empty() {
        row.last_restart_at.into_iter().collect()
    } else {
        recent
    }
}

/// Containers that share a network with these, those in trouble first.
async fn neighbours(context: &Context, rows: &[InstanceStatus]) -> Result<Vec<Neighbour>, EngineError> {
    let everyone = context.engine.list(ListFilter::default()).await?;
    let is_ours = |container: &ContainerSummary| rows.iter().any(|row| row.id == container.id);
    let networks: BTreeSet<&String> = everyone
        .iter()
        .filter(|container| is_ours(container))
        .flat_map(|container| container.networks.keys())
        .collect();
    let workloads = context.store.list::<Workload>();
    let beside = everyone.iter().filter(|container| {
        !is_ours(container)
            && container
                .networks
                .keys()
                .any(|network| networks.contains(network))
    });
    let mut found: Vec<Neighbour> = beside.map(|container| neighbour(container, &workloads)).collect();
    found.sort_by(|a, b| b.in_trouble.cmp(&a.in_trouble).then_with(|| a.name.cmp(&b.name)));
    found.truncate(MOST_NEIGHBOURS);
    Ok(found)
}

fn neighbour(container: &ContainerSummary, workloads: &[Arc<Workload>]) -> Neighbour {
    let owner = workloads.iter().find(|workload| {
        let mut rows = workload.status.iter().flat_map(|status| &status.instances);
        rows.any(|row| row.id == container.id)
    });
    let ready = owner.and_then(|workload| {
        let ready = aegis_api::condition::find(&workload.status.as_ref()?.conditions, "Ready")?;
        Some(ready.status == "True")
    });
    let ended_well = container.state == ContainerState::Exited && container.status.starts_with("Exited (0)");
    let never_ran = container.state == ContainerState::Created;
    let runs = container.state == ContainerState::Running;
    Neighbour {
        name: bound(&container.name, 128),
        status: bound(&redact(&container.status), 100),
        in_trouble: container.status.contains("(unhealthy)") || !(runs || ended_well || never_ran),
        workload: owner.map(|workload| workload.name().to_owned()),
        ready,
    }
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
