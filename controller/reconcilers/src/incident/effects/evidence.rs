//! What the controller itself sees of an unhealthy workload, before anything is killed. Reads only; every text is
//! bounded and redacted here, so that nothing further on can leak it. What cannot be read is a gap, not a failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_api::observed::{ContainerState, ContainerSummary};
use aegis_api::proposal::{ContainerEvidence, Evidence, Neighbour, RecentAction};
use aegis_api::workload::{Health, InstanceStatus, Leaving};
use aegis_api::{ConditionType, ContainerId, Kind, Workload, WorkloadStatus};
use aegis_brain::redact::{bound, redact};
use aegis_docker::{EngineError, ListFilter};
use aegis_planning::incident::remedy::can_roll_back;
use aegis_planning::incident::validate::ValidatedIncident;
use futures::future::join_all;

use crate::addressing;
use crate::context::Context;
use crate::inspect::{Depth, cpu_over_a_second, inspect_evidence};

/// Containers inspected, when a workload has very many: those that are not healthy come first.
const MOST_CONTAINERS: usize = 20;
/// Events and actions quoted.
const MOST_EVENTS: usize = 20;
/// Containers beside the workload that are listed.
const MOST_NEIGHBOURS: usize = 12;

/// Those that are not healthy first. One that was stopped to be removed has ended for no other reason.
pub(in crate::incident) fn worth_inspecting(instances: &[InstanceStatus]) -> Vec<&InstanceStatus> {
    let goes =
        |row: &InstanceStatus| row.leaving == Some(Leaving::ScaleIn) && row.state != ContainerState::Running;
    let mut rows: Vec<&InstanceStatus> = instances.iter().filter(|row| !goes(row)).collect();
    rows.sort_by_key(|row| (row.health == Health::Healthy, row.index));
    rows
}

/// Answers an error only where the engine does not answer at all: then nothing was seen, and nothing can be concluded.
pub(in crate::incident) async fn collect(
    context: &Context,
    incident: &ValidatedIncident,
    workload: &Workload,
) -> Result<Evidence, EngineError> {
    let mut evidence = gather(context, incident, workload, Depth::Everything).await?;
    if aegis_brain::symptoms_of(&evidence).is_empty() {
        read_cpu(context, &mut evidence).await;
    }
    Ok(evidence)
}

/// When CPU is read over a second of its own, where there is no earlier reading to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CpuReading {
    /// In any case.
    Always,
    /// Where nothing else shows that anything is wrong.
    IfNothingElse,
    /// Not: the proof of a restart would wait for this second, too.
    Never,
}

/// The readings of this moment, for comparing them with what was seen before: nothing of a process that is over.
pub(super) async fn readings(
    context: &Context,
    incident: &ValidatedIncident,
    workload: &Workload,
    cpu: CpuReading,
) -> Result<Evidence, EngineError> {
    let mut evidence = gather(context, incident, workload, Depth::Readings).await?;
    // What this incident did is an action, too: what came before it is not of now.
    let plan = incident
        .status
        .plan
        .as_ref()
        .zip(incident.status.execution.as_ref());
    evidence.recent_actions.extend(plan.and_then(|(plan, execution)| {
        Some(RecentAction {
            incident: Some(incident.name().to_owned()),
            alert_type: None,
            action: plan.action,
            replicas: None,
            at: execution.applied_at?,
            verified: None,
            relapsed: false,
        })
    }));
    let is_read = match cpu {
        CpuReading::Always => true,
        CpuReading::IfNothingElse => aegis_brain::symptoms_of(&evidence).is_empty(),
        CpuReading::Never => false,
    };
    if is_read {
        read_cpu(context, &mut evidence).await;
    }
    Ok(evidence)
}

/// Reads CPU where there was no earlier reading to compare with: by the next tick an alert would be forgotten.
async fn read_cpu(context: &Context, evidence: &mut Evidence) {
    let unread: Vec<usize> = (0..)
        .zip(&evidence.containers)
        .filter(|(_, container)| container.state == "running" && container.cpu_percent.is_none())
        .map(|(at, _)| at)
        .collect();
    if unread.is_empty() {
        return;
    }
    let ids: Vec<ContainerId> = unread
        .iter()
        .filter_map(|at| evidence.containers.get(*at))
        .map(|container| container.id.clone())
        .collect();
    let ids: Vec<&str> = ids.iter().map(ContainerId::as_str).collect();
    let read = cpu_over_a_second(context, &ids).await;
    for (at, percent) in unread.into_iter().zip(read) {
        if let Some(container) = evidence.containers.get_mut(at) {
            container.cpu_percent = percent;
        }
    }
}

async fn gather(
    context: &Context,
    incident: &ValidatedIncident,
    workload: &Workload,
    depth: Depth,
) -> Result<Evidence, EngineError> {
    let status = workload.status.clone().unwrap_or_default();
    let (seen, beside) = tokio::join!(
        containers(context, workload, &status, depth),
        neighbours(context, &status)
    );
    let (containers, mut gaps) = seen?;
    let neighbours = beside.unwrap_or_else(|error| {
        gaps.push(format!("the containers beside it: {error}"));
        Vec::new()
    });
    let revisions = status
        .revisions
        .iter()
        .map(|revision| format!("{} {} {}", revision.revision, revision.image, revision.created_at));
    let current = status.revisions.last();
    let mut actions = [&incident.history[..], &incident.manual_actions].concat();
    actions.sort_by_key(|action| action.at);
    actions.drain(..actions.len().saturating_sub(MOST_EVENTS));
    Ok(Evidence {
        collected_at: Some(context.clock.now()),
        containers,
        desired_replicas: workload.spec.replicas,
        ready_replicas: status.ready_replicas,
        revisions: revisions.collect(),
        can_roll_back: can_roll_back(workload),
        revision_age_secs: current.map(|revision| revision.created_at.age(incident.now).as_secs()),
        generation: workload.metadata.generation,
        neighbours,
        events: events(context, workload),
        recent_actions: actions,
        gaps,
    })
}

/// What the workload's containers look like, and what could not be seen of them.
async fn containers(
    context: &Context,
    workload: &Workload,
    status: &WorkloadStatus,
    depth: Depth,
) -> Result<(Vec<ContainerEvidence>, Vec<String>), EngineError> {
    let rows = worth_inspecting(&status.instances);
    let own_networks = addressing::own_networks(context).await?;
    let looks = rows.iter().take(MOST_CONTAINERS).map(|row| async {
        inspect_evidence(
            context,
            workload.spec.probe(),
            &(*row).into(),
            &own_networks,
            depth,
        )
        .await
    });
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
    match unreachable.filter(|_| containers.is_empty()) {
        Some(error) => Err(error),
        None => Ok((containers, gaps)),
    }
}

/// What Events said of the workload lately.
fn events(context: &Context, workload: &Workload) -> Vec<String> {
    let said = context.events.about("Workload", workload.name(), MOST_EVENTS);
    said.iter()
        .map(|event| {
            format!(
                "{} {} {}",
                event.last,
                event.reason,
                bound(&redact(&event.message), 300)
            )
        })
        .collect()
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

/// Containers that share a network with these, or are needed by them, those in trouble first.
async fn neighbours(context: &Context, status: &WorkloadStatus) -> Result<Vec<Neighbour>, EngineError> {
    let rows = &status.instances;
    let needed = |name: &String| {
        let mut dependencies = status.dependencies.iter();
        dependencies.any(|dependency| dependency.name == *name || dependency.containers.contains(name))
    };
    let everyone = context.engine.list(ListFilter::default()).await?;
    let is_ours = |container: &ContainerSummary| rows.iter().any(|row| row.id == container.id);
    let networks: BTreeSet<&String> = everyone
        .iter()
        .filter(|container| is_ours(container))
        .flat_map(|container| container.networks.keys())
        .collect();
    let workloads = context.store.list::<Workload>();
    let beside = everyone.iter().filter(|container| {
        let mut shared = container.networks.keys();
        !is_ours(container) && (needed(&container.name) || shared.any(|network| networks.contains(network)))
    });
    let mut found: Vec<&ContainerSummary> = beside.collect();
    found.sort_by_key(|container| (!is_in_trouble(container), &container.name));
    let found = found.into_iter().take(MOST_NEIGHBOURS);
    Ok(found.map(|container| neighbour(container, &workloads)).collect())
}

fn is_in_trouble(container: &ContainerSummary) -> bool {
    let ended_well = container.state == ContainerState::Exited && container.status.starts_with("Exited (0)");
    let never_ran = container.state == ContainerState::Created;
    let runs = container.state == ContainerState::Running;
    container.status.contains("(unhealthy)") || !(runs || ended_well || never_ran)
}

fn neighbour(container: &ContainerSummary, workloads: &[Arc<Workload>]) -> Neighbour {
    let owner = workloads.iter().find(|workload| {
        let mut rows = workload.status.iter().flat_map(|status| &status.instances);
        rows.any(|row| row.id == container.id)
    });
    let ready = owner.and_then(|workload| {
        let ready = aegis_api::condition::find(&workload.status.as_ref()?.conditions, ConditionType::Ready)?;
        Some(ready.status == "True")
    });
    Neighbour {
        name: bound(&container.name, 128),
        status: bound(&redact(&container.status), 100),
        in_trouble: is_in_trouble(container),
        workload: owner.map(|workload| workload.name().to_owned()),
        ready,
    }
}
