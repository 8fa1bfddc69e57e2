//! What is still missing until everything is as the specs desire: the end that every run must reach. Reads the engine
//! and the store only.

use std::collections::BTreeSet;

use aegis_api::create::has_its_name;
use aegis_api::meta::{LABEL_INSTANCE, LABEL_REVISION, LABEL_WORKLOAD};
use aegis_api::observed::{ContainerDetails, ContainerState};
use aegis_api::policy::Mode;
use aegis_api::{
    ConditionType, Incident, Kind, LoadBalancer, Phase, Reason, RemediationPolicy, Workload, condition,
};
use aegis_docker_fake::FakeEngine;
use aegis_runtime::Store;

use super::world::{BALANCER, PORT, World};

/// The containers of a workload: the adopted one and those this controller made, sorted by name.
pub(crate) fn containers(engine: &FakeEngine, workload: &str) -> Vec<ContainerDetails> {
    let all = engine
        .names()
        .into_iter()
        .filter_map(|name| engine.inspect_now(&name));
    all.filter(|container| {
        let label = |key: &str| container.labels.get(key).map(String::as_str);
        // One that was renamed by hand belongs to no workload any more.
        let ours = label(LABEL_WORKLOAD) == Some(workload)
            && label(LABEL_INSTANCE) != Some("another-controller")
            && has_its_name(&container.name, &container.labels, workload);
        let adopted = container.name == workload && label(LABEL_WORKLOAD).is_none();
        ours || adopted
    })
    .collect()
}

/// Whether nothing can make this workload well: people desire an image that is unhealthy or missing.
fn is_hopeless(world: &World, workload: &Workload) -> bool {
    let image = workload
        .spec
        .template
        .as_ref()
        .map(|template| template.image.as_str());
    // One that ran well before runs on with what it ran, where there is a probe that shows it.
    let status = workload.status.clone().unwrap_or_default();
    let ran_well = status
        .revisions
        .iter()
        .any(|known| known.was_ready && known.template.is_some());
    let bad = matches!(image, Some("app:sick" | "app:missing")) && !(ran_well && asks(workload));
    let incurable = world.incurable();
    // Protected: what ended is left to a human, and none comes.
    let left = workload.metadata.annotations.as_ref().is_some_and(|annotations| {
        annotations.get("aegisops.io/protected").map(String::as_str) == Some("true")
    }) && containers(&world.engine, workload.name())
        .iter()
        .any(|container| container.state != ContainerState::Running);
    bad || left
        || containers(&world.engine, workload.name())
            .iter()
            .any(|container| incurable.contains(&container.id))
}

/// Whether its probe distinguishes a container that answers wrongly from one that is well.
fn asks(workload: &Workload) -> bool {
    workload.spec.probe().is_some_and(|probe| probe.http.is_some())
}

pub(crate) fn missing(world: &World, store: &Store) -> Vec<String> {
    let mut missing = Vec::new();
    let workloads = store.list::<Workload>();
    for workload in &workloads {
        let name = workload.name();
        if workload.is_deleting() {
            missing.push(format!("workload {name} is still being deleted"));
        } else if !is_hopeless(world, workload) {
            let lacks = lacking(world, workload);
            missing.extend(lacks.into_iter().map(|lack| format!("workload {name}: {lack}")));
        }
    }
    missing.extend(orphans(
        world,
        store,
        &workloads.iter().map(|w| w.name()).collect(),
    ));
    missing.extend(out_of_rotation(world, store));
    missing.extend(unfinished(store));
    missing
}

fn lacking(world: &World, workload: &Workload) -> Vec<String> {
    let (engine, name) = (&world.engine, workload.name());
    let spec = &workload.spec;
    let status = workload.status.clone().unwrap_or_default();
    let mut lacks = Vec::new();
    let present = containers(engine, name);
    let wanted = usize::try_from(spec.replicas).expect("a small number");
    if present.len() != wanted {
        let names: Vec<&str> = present.iter().map(|container| container.name.as_str()).collect();
        lacks.push(format!("{wanted} containers are wanted, there are {names:?}"));
    }
    for container in &present {
        if container.state != ContainerState::Running {
            lacks.push(format!("{} is {}", container.name, container.state.as_str()));
        } else if !engine.is_serving(&container.name) && (asks(workload) || container.image != "app:sick") {
            lacks.push(format!("{} does not serve", container.name));
        }
        if spec
            .restarted_at
            .is_some_and(|wanted| container.started_at.is_none_or(|started| started < wanted))
        {
            lacks.push(format!("{} runs since before restartedAt", container.name));
        }
        let revision = container.labels.get(LABEL_REVISION);
        if revision.map(String::as_str) != status.revision.as_deref() && revision.is_some() {
            lacks.push(format!("{} is of revision {revision:?}", container.name));
        }
    }
    if spec.container.is_some() && engine.inspect_now(name).is_none() {
        lacks.push("the adopted container is not there".to_owned());
    }
    if status.observed_generation != workload.metadata.generation {
        lacks.push("its status is of an earlier generation".to_owned());
    }
    if status.ready_replicas != spec.replicas || status.updated_replicas != spec.replicas {
        lacks.push(format!(
            "its status reports {} ready and {} updated",
            status.ready_replicas, status.updated_replicas
        ));
    }
    if !condition::is_true(&status.conditions, ConditionType::Ready) {
        lacks.push(format!(
            "it is not Ready: {:?}",
            condition::find(&status.conditions, ConditionType::Ready)
        ));
    }
    lacks
}

/// Containers of ours that no workload desires.
fn orphans(world: &World, store: &Store, workloads: &BTreeSet<&str>) -> Vec<String> {
    let names = world.engine.names();
    let ours = names.iter().filter(|name| {
        world.engine.inspect_now(name).is_some_and(|container| {
            container.labels.get(LABEL_INSTANCE).map(String::as_str) == Some(store.instance_id())
                && container.labels.get(LABEL_WORKLOAD).is_none_or(|owner| {
                    let ours = has_its_name(&container.name, &container.labels, owner);
                    ours && !workloads.contains(owner.as_str())
                })
        })
    });
    ours.map(|name| format!("{name} is an orphan")).collect()
}

/// The load balancer must serve exactly the containers of every backend that has any.
fn out_of_rotation(world: &World, store: &Store) -> Vec<String> {
    let Some(balancer) = store.get::<LoadBalancer>(BALANCER) else {
        return vec!["the load balancer is gone from the store".to_owned()];
    };
    let serving = world.engine.serving_config(BALANCER);
    let mut missing = Vec::new();
    let mut all_well = true;
    for backend in &balancer.spec.backends {
        let name = backend.workload.as_str();
        let Some(workload) = store
            .get::<Workload>(name)
            .filter(|workload| !is_hopeless(world, workload))
        else {
            all_well = false;
            continue;
        };
        if workload.spec.replicas == 0 {
            all_well = false;
            continue;
        }
        let wanted: BTreeSet<String> = containers(&world.engine, name)
            .iter()
            .flat_map(|container| {
                container
                    .networks
                    .values()
                    .flatten()
                    .map(|ip| format!("{ip}:{PORT}"))
            })
            .collect();
        let served: BTreeSet<String> = serving
            .iter()
            .flat_map(|config| {
                config
                    .upstreams
                    .get(backend.upstream.as_str())
                    .into_iter()
                    .flatten()
                    .cloned()
            })
            .collect();
        if wanted != served {
            missing.push(format!(
                "nginx serves {served:?} for {name}, wanted are {wanted:?}"
            ));
        }
    }
    let status = balancer.status.clone().unwrap_or_default();
    if all_well && !condition::is_true(&status.conditions, ConditionType::Ready) {
        let ready = condition::find(&status.conditions, ConditionType::Ready);
        missing.push(format!("the load balancer is not Ready: {ready:?}"));
    }
    if !status.draining.is_empty() {
        missing.push("a drain is open".to_owned());
    }
    missing
}

/// Incidents that are neither finished nor visibly waiting for a human.
fn unfinished(store: &Store) -> Vec<String> {
    let off = store
        .get::<RemediationPolicy>("all")
        .is_some_and(|policy| policy.spec.mode == Mode::Off);
    let incidents = store.list::<Incident>();
    let mut missing = Vec::new();
    for incident in incidents {
        let status = incident.status.clone().unwrap_or_default();
        let held =
            condition::find(&status.conditions, ConditionType::Held).filter(|held| held.status == "True");
        let waits = match status.phase {
            Phase::AwaitingApproval => condition::find(&status.conditions, ConditionType::PolicyAllows)
                .is_some_and(|allows| allows.status == "False" && !allows.message.is_empty()),
            Phase::Received => held.is_some_and(|held| {
                held.reason == Reason::AutomationOff || (off && held.reason == Reason::RemediationUnderWay)
            }),
            _ => false,
        };
        let reported =
            status.phase != Phase::Failed || status.error.as_ref().is_some_and(|error| !error.is_empty());
        if (!incident.is_finished() && !waits) || !reported {
            missing.push(format!(
                "incident {} is {} ({held:?}, error {:?})",
                incident.name(),
                status.phase.as_str(),
                status.error
            ));
        }
    }
    missing
}
