//! What the containers of a Workload will go through until they are as its spec asks, shown before anything is done: the
//! planner itself, pass after pass, in a world in which every step succeeds and every load balancer does its work. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use aegis_api::meta::{LABEL_REPLICA, LABEL_REVISION, LABEL_WORKLOAD};
use aegis_api::observed::{ContainerDetails, ContainerState, ContainerSummary, DockerHealth};
use aegis_api::proposal::ContainerEvidence;
use aegis_api::wire::plan::{ClientImpact, PlannedAction, PlannedStep, WorkloadPlan};
use aegis_api::workload::{Capture, ContainerTemplate, Health};
use aegis_api::{ContainerId, Kind, Time, Workload, WorkloadStatus};

use super::check::check;
use super::observed::Observed;
use super::plan::{Prepared, Step, is_progressing, plan};
use super::status::{self, Outcome};
use super::validate::{Instance, ReplicaSource, ValidatedWorkload, validate};
use crate::Invalid;
use crate::probe::ProbeResult;

/// Passes after which a preview ends, however much is left: what goes through more is shown as far as it was computed.
const PASSES: usize = 400;
/// How many containers all passes together go through: what is more is shown as far as it was computed.
const BUDGET: usize = 20_000;
/// How often in a row nothing but time passes before what is left is shown as waiting.
const PAUSES: usize = 6;
/// How much time one pass takes, and the most that one only waits for.
const PASS: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Plans pass after pass until nothing is left to be done. `workload` is as it would be stored, `observed` is the world now.
pub fn preview(workload: &Workload, observed: Observed) -> Result<WorkloadPlan, Invalid> {
    let mut foreseen = Foreseen::new(workload, observed);
    let mut pauses = 0;
    for _ in 0..PASSES {
        match foreseen.pass()? {
            Progress::Made => pauses = 0,
            Progress::Settled => return Ok(foreseen.plan(true)),
            Progress::None => pauses += 1,
        }
        if pauses >= PAUSES {
            return Ok(foreseen.plan(false));
        }
        if foreseen.looked_at >= BUDGET {
            break;
        }
    }
    foreseen
        .waiting
        .push("it goes on like this: only the first steps are shown".to_owned());
    Ok(foreseen.plan(false))
}

/// What a pass has changed.
enum Progress {
    Made,
    /// Nothing is left to be done.
    Settled,
    None,
}

/// The world as it would become.
struct Foreseen {
    workload: Workload,
    world: Observed,
    steps: Vec<PlannedStep>,
    /// Containers that are stopped at some time.
    stopped: BTreeSet<String>,
    /// Those of them that serve until then, and that no load balancer drains.
    cut_off: BTreeSet<String>,
    looked_at: usize,
    /// How many containers serve: before anything is done, at least, and now.
    serving: Option<(usize, usize, usize)>,
    /// What the last pass waits for, and what it cannot do.
    waiting: Vec<String>,
    refused: Vec<String>,
    present: BTreeSet<String>,
    pass: u32,
    made: u32,
}

impl Foreseen {
    fn new(workload: &Workload, world: Observed) -> Self {
        let present = world.base.iter().chain(&world.replicas);
        Self {
            present: present.map(|container| container.name.clone()).collect(),
            workload: workload.clone(),
            world,
            steps: Vec::new(),
            stopped: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            looked_at: 0,
            serving: None,
            waiting: Vec::new(),
            refused: Vec::new(),
            pass: 0,
            made: 0,
        }
    }

    fn pass(&mut self) -> Result<Progress, Invalid> {
        self.pass = self.pass.saturating_add(1);
        let validated = validate(&self.workload, self.world.clone())?;
        let prepared = check(&validated, plan(&validated));
        self.waiting = prepared.waiting.clone();
        self.refused = prepared.cannot.iter().map(ToString::to_string).collect();
        self.refused.extend(validated.rejected.iter().map(|rejected| {
            format!(
                "revision {} was rolled back: {}",
                rejected.revision, rejected.reason
            )
        }));
        self.looked_at = self
            .looked_at
            .saturating_add(validated.instances.len().saturating_add(1));
        self.note(&prepared);
        self.count(&validated, &prepared);
        let later = validated.spec.restarted_at.filter(|at| *at > validated.now);
        self.waiting
            .extend(later.map(|at| format!("the restart is requested for {at}")));
        let settled =
            later.is_none() && !is_progressing(&validated, &prepared) && serves_as_asked(&validated);
        let look_again = prepared.look_again;
        let steps = prepared.steps.clone();
        let outcome = Outcome {
            captures: steps.iter().filter_map(|step| seen(&validated, step)).collect(),
            done: steps.clone(),
            plan: prepared,
            ..Outcome::default()
        };
        let after = status::next(&validated, &outcome);
        let marked = status::newly_draining(&validated.before, &after);
        for step in &steps {
            self.take(&validated, step);
        }
        let answered = self.everybody_answers(&validated);
        self.release(&after);
        self.workload.status = Some(after);
        let made = marked || answered || !steps.is_empty();
        let pause = look_again.filter(|_| !made).unwrap_or(PASS);
        let pause = pause.clamp(PASS, LONGEST_PAUSE);
        self.world.now = self
            .world
            .now
            .plus(aegis_api::Duration::from_secs(pause.as_secs()));
        Ok(match (made, settled) {
            (true, _) => Progress::Made,
            (false, true) => Progress::Settled,
            (false, false) => Progress::None,
        })
    }

    /// Puts the steps on the list, in the order in which people would list them.
    fn note(&mut self, prepared: &Prepared) {
        for step in &prepared.steps {
            let (action, container) = match step {
                Step::Create { name, .. } => (PlannedAction::Create, name),
                Step::Start { name, .. } => (PlannedAction::Start, name),
                Step::Restart { name, .. }
                | Step::RestartUnhealthy { name, .. }
                | Step::RestartDetached { name, .. } => (PlannedAction::Restart, name),
                Step::Remove { name, .. } => (PlannedAction::Remove, name),
                // Nothing is done to it.
                Step::Capture { .. } => continue,
            };
            self.steps.push(PlannedStep {
                pass: self.pass,
                action,
                container: container.clone(),
            });
        }
    }

    /// How many containers serve while the steps of this pass are being taken.
    fn count(&mut self, validated: &ValidatedWorkload, prepared: &Prepared) {
        let stops: BTreeSet<&ContainerId> = prepared.steps.iter().filter_map(stops).collect();
        let serves = |instance: &&Instance| instance.may_serve();
        let before = validated.instances.iter().filter(serves).count();
        let stays = |instance: &&Instance| {
            instance.may_serve()
                && !stops.contains(&instance.id)
                && !prepared.draining.contains_key(&instance.id)
        };
        let now = validated.instances.iter().filter(stays).count();
        let stopped = validated
            .instances
            .iter()
            .filter(|instance| stops.contains(&instance.id));
        let running = stopped.filter(|instance| instance.state == ContainerState::Running);
        for instance in running {
            self.stopped.insert(instance.name.clone());
            let mut serving = validated.rotations.iter().filter(|rotation| rotation.serving);
            let balanced = serving.clone().next().is_some();
            let drained = balanced && serving.all(|rotation| instance.is_released_by(rotation));
            if instance.may_serve() && !drained {
                self.cut_off.insert(instance.name.clone());
            }
        }
        self.serving = Some(match self.serving {
            None => (before, now.min(before), now),
            Some((first, least, _)) => (first, least.min(now), now),
        });
    }

    fn take(&mut self, validated: &ValidatedWorkload, step: &Step) {
        let now = self.world.now;
        match step {
            Step::Create { index, name } => self.create(validated, *index, name),
            Step::Remove { id, name } => {
                self.world.replicas.retain(|replica| replica.id != *id);
                self.world.containers.retain(|row| row.id != *id);
                self.world.taken_names.remove(name);
            }
            Step::Capture { .. } => {}
            Step::Start { id, .. }
            | Step::Restart { id, .. }
            | Step::RestartUnhealthy { id, .. }
            | Step::RestartDetached { id, .. } => {
                let mut ours = self.world.base.iter_mut().chain(&mut self.world.replicas);
                let Some(container) = ours.find(|container| container.id == *id) else {
                    return;
                };
                runs(container, now);
                let row = self.world.containers.iter_mut().find(|row| row.id == *id);
                if let Some(row) = row {
                    row.state = ContainerState::Running;
                }
                self.world.probe_results.insert(id.clone(), answers());
            }
        }
    }

    /// An id that no container has.
    fn new_id(&mut self) -> ContainerId {
        loop {
            self.made = self.made.saturating_add(1);
            let id = ContainerId::from(format!("foreseen-{}", self.made));
            if !self.world.containers.iter().any(|row| row.id == id) {
                return id;
            }
        }
    }

    fn create(&mut self, validated: &ValidatedWorkload, index: u32, name: &str) {
        let id = self.new_id();
        let mut made = match &validated.source {
            ReplicaSource::Clone(base) => (**base).clone(),
            ReplicaSource::Template(template) => from_template(template),
            ReplicaSource::Missing => return,
        };
        made.id.clone_from(&id);
        name.clone_into(&mut made.name);
        let revision = validated.revision.clone().unwrap_or_default();
        made.labels.extend([
            (LABEL_WORKLOAD.to_owned(), validated.name.clone()),
            (LABEL_REPLICA.to_owned(), index.to_string()),
            (LABEL_REVISION.to_owned(), revision.into()),
        ]);
        // It is not probed: any address of its own will do.
        let address = IpAddr::V6(Ipv6Addr::from(u128::from(self.made)));
        for at in made.networks.values_mut() {
            *at = Some(address);
        }
        made.finished_at = None;
        runs(&mut made, self.world.now);
        self.world.containers.push(ContainerSummary {
            id: id.clone(),
            name: made.name.clone(),
            image: made.image.clone(),
            state: ContainerState::Running,
            labels: made.labels.clone(),
            networks: made.networks.clone(),
            ..ContainerSummary::default()
        });
        self.world.taken_names.insert(made.name.clone());
        self.world.probe_results.insert(id, answers());
        self.world.replicas.push(made);
    }

    /// What runs and of which nothing is known yet turns out to be well.
    fn everybody_answers(&mut self, validated: &ValidatedWorkload) -> bool {
        let open = |instance: &&Instance| {
            instance.state == ContainerState::Running && instance.health == Health::Unknown
        };
        let open: Vec<&Instance> = validated.instances.iter().filter(open).collect();
        for instance in &open {
            self.world.probe_results.insert(instance.id.clone(), answers());
            let mut ours = self.world.base.iter_mut().chain(&mut self.world.replicas);
            if let Some(container) = ours.find(|container| container.id == instance.id)
                && let Some(health) = &mut container.health
            {
                *health = healthy();
            }
        }
        !open.is_empty()
    }

    /// Load balancers drain what leaves, and take up what serves.
    fn release(&mut self, after: &WorkloadStatus) {
        let leaves = |id: &str| after.instances.iter().any(|row| row.id == id && row.draining);
        let serving = self.world.base.iter().chain(&self.world.replicas);
        let serving = serving.filter(|container| container.state == ContainerState::Running);
        let serving = serving.filter(|container| !leaves(&container.id));
        let serving: BTreeSet<ContainerId> = serving.map(|container| container.id.clone()).collect();
        let leaving = after.instances.iter().filter(|row| row.draining);
        let leaving = leaving.map(|row| (row.id.clone(), row.draining_since));
        let leaving: std::collections::BTreeMap<ContainerId, Option<Time>> = leaving.collect();
        for rotation in self
            .world
            .rotations
            .iter_mut()
            .filter(|rotation| rotation.serving)
        {
            rotation.held.clear();
            rotation.servers.clone_from(&serving);
            rotation.released.clone_from(&leaving);
        }
    }

    fn plan(self, complete: bool) -> WorkloadPlan {
        let complete = complete && self.refused.is_empty();
        let (before, least, after) = self.serving.unwrap_or_default();
        let touched: BTreeSet<&str> = self.steps.iter().map(|step| step.container.as_str()).collect();
        let untouched = self
            .present
            .iter()
            .filter(|name| !touched.contains(name.as_str()));
        let clients = ClientImpact {
            serving_before: count(before),
            serving_least: count(least),
            serving_after: count(after),
            message: self.words(before, least),
        };
        WorkloadPlan {
            workload: self.workload.name().to_owned(),
            replicas: self.workload.spec.replicas,
            untouched: untouched.cloned().collect(),
            waiting: self.waits(complete),
            refused: self.refused.clone(),
            clients,
            complete,
            steps: self.steps.clone(),
        }
    }

    /// What is waited for in the end, and what load balancers that should drain complain of.
    fn waits(&self, complete: bool) -> Vec<String> {
        let mut waits = match complete {
            true => Vec::new(),
            false => self.waiting.clone(),
        };
        let drains = self.world.rotations.iter().filter(|_| !self.stopped.is_empty());
        waits.extend(drains.filter_map(|rotation| {
            let trouble = rotation.trouble.as_ref()?;
            Some(format!("load balancer {}: {trouble}", rotation.name))
        }));
        waits
    }

    /// What clients notice, human-readable.
    fn words(&self, before: usize, least: usize) -> String {
        let name = self.workload.name();
        let stopped: Vec<&str> = self.stopped.iter().map(String::as_str).collect();
        if stopped.is_empty() {
            return "nothing that runs is stopped".to_owned();
        }
        if least == 0 && before > 0 {
            return format!("{name} does not answer while {} is stopped", stopped.join(", "));
        }
        let balancers: Vec<&str> = self
            .world
            .rotations
            .iter()
            .map(|rotation| rotation.name.as_str())
            .collect();
        let cut_off: Vec<&str> = self.cut_off.iter().map(String::as_str).collect();
        match (cut_off.join(", ").as_str(), balancers.join(", ").as_str()) {
            ("", "") => format!("no request is sent to {} when it is stopped", stopped.join(", ")),
            ("", balancers) => format!(
                "no request is dropped: {balancers} drains each container before it stops, and at least {least} of {before} go on serving"
            ),
            (cut_off, "") => {
                format!("no load balancer stands before {name}: open requests to {cut_off} are cut off")
            }
            (cut_off, balancers) => {
                format!("{balancers} does not drain {cut_off}: open requests to it are cut off")
            }
        }
    }
}

/// The container that a step stops.
fn stops(step: &Step) -> Option<&ContainerId> {
    match step {
        Step::Restart { id, .. }
        | Step::RestartUnhealthy { id, .. }
        | Step::RestartDetached { id, .. }
        | Step::Remove { id, .. } => Some(id),
        Step::Create { .. } | Step::Start { .. } | Step::Capture { .. } => None,
    }
}

/// What an unhealthy container looked like, as it is kept before its restart.
fn seen(validated: &ValidatedWorkload, step: &Step) -> Option<Capture> {
    let Step::Capture { id, name } = step else {
        return None;
    };
    let instance = validated.instances.iter().find(|instance| instance.id == *id)?;
    Some(Capture {
        taken_at: Some(validated.now),
        container: ContainerEvidence {
            id: id.clone(),
            name: name.clone(),
            started_at: instance.started_at,
            ..ContainerEvidence::default()
        },
        ..Capture::default()
    })
}

fn serves_as_asked(validated: &ValidatedWorkload) -> bool {
    if validated.deleting {
        return validated.instances.iter().all(|instance| instance.index == 0);
    }
    let ready = validated.instances.iter().filter(|instance| instance.is_ready());
    count(ready.count()) >= validated.spec.replicas
}

fn runs(container: &mut ContainerDetails, now: Time) {
    container.state = ContainerState::Running;
    container.started_at = Some(now);
    container.exit_code = 0;
    container.oom_killed = false;
    if let Some(health) = &mut container.health {
        *health = healthy();
    }
}

fn healthy() -> DockerHealth {
    DockerHealth {
        status: "healthy".to_owned(),
        ..DockerHealth::default()
    }
}

fn answers() -> ProbeResult {
    ProbeResult {
        health: Health::Healthy,
        ..ProbeResult::default()
    }
}

fn from_template(template: &ContainerTemplate) -> ContainerDetails {
    let networks = template.networks.iter().map(|network| network.to_string());
    let mut networks: Vec<String> = networks.collect();
    if networks.is_empty() {
        networks.push("bridge".to_owned());
    }
    ContainerDetails {
        image: template.image.to_string(),
        networks: networks.into_iter().map(|network| (network, None)).collect(),
        // Where Docker asks the image's own check, it passes.
        health: Some(healthy()),
        ..ContainerDetails::default()
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
