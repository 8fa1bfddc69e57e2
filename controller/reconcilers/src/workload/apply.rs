//! The only place that changes a Workload's containers. Every step is idempotent: after a crash anywhere the next
//! plan either repeats it without harm or finds it done.

use std::collections::BTreeMap;

use aegis_api::create::{Ownership, clone_spec, is_ours, template_spec};
use aegis_api::lifecycle::What;
use aegis_api::observed::{ContainerState, HostFacts, HostQuery};
use aegis_api::proposal::ContainerEvidence;
use aegis_api::redact::{bound, redact};
use aegis_api::workload::{Capture, ContainerTemplate};
use aegis_api::{ContainerId, Kind as _};
use aegis_docker::{Engine, EngineError, ListFilter};
use aegis_planning::restart::{HostState, Refused, host_query, replaceable, restartable};
use aegis_planning::workload::observed::Rotation;
use aegis_planning::workload::plan::{Prepared, Step};
use aegis_planning::workload::status::{FailedStep, Outcome};
use aegis_planning::workload::validate::{ReplicaSource, ValidatedWorkload};
use aegis_runtime::events::ObjectRef;
use aegis_runtime::slot::aside;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::restart_limit;
use crate::context::Context;
use crate::inspect::{Depth, Subject, inspect_evidence};
use crate::{brake, fault, secret_values};

/// Most characters of why a step failed: the engine quotes what it refuses.
const LONGEST: usize = 1000;

/// What of a plan could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed a step.
    #[error("cannot {step} for workload {workload}")]
    Step {
        workload: String,
        step: String,
        source: EngineError,
    },
    /// A value that the template takes from elsewhere is not there: nothing was made.
    #[error("cannot {step} for workload {workload}")]
    Value {
        workload: String,
        step: String,
        source: secret_values::Error,
    },
}

/// What became of a plan.
#[derive(Debug)]
pub(super) struct Applied {
    pub outcome: Outcome,
    /// The first step that failed, and of what.
    pub failure: Option<Error>,
}

pub(super) async fn apply(context: &Context, workload: &ValidatedWorkload, plan: Prepared) -> Applied {
    if let Some(reason) = &plan.pause_all
        && brake::pause_all(context, &about(workload), reason).await
    {
        brake::open_incident(context, &workload.name, reason).await;
    }
    let taken = take_all(context, workload, &plan).await;
    let reported = report(context, workload, &plan).await;
    Applied {
        outcome: Outcome {
            plan,
            done: taken.done,
            failed: taken.failed,
            refused: taken.refused,
            captures: taken.captures,
            reported,
        },
        failure: taken.failure,
    }
}

/// What became of a plan's steps.
#[derive(Default)]
struct Taken {
    done: Vec<Step>,
    failed: Vec<FailedStep>,
    refused: Vec<(Step, Refused)>,
    captures: Vec<Capture>,
    failure: Option<Error>,
}

/// Takes all steps side by side: they are independent of each other.
async fn take_all(context: &Context, workload: &ValidatedWorkload, plan: &Prepared) -> Taken {
    let steps = plan.steps.iter().map(|step| async move {
        let result = match step {
            Step::Capture { id, .. } => {
                let captured = capture(context, workload, id).await;
                captured.map(Some).map_err(Failure::from)
            }
            _ => match before(&*context.engine, workload, plan, step).await {
                Ok(None) => match values_are_there(context, workload, step).await {
                    Ok(()) => take(context, workload, step).await.map(|()| None),
                    Err(missing) => Err(missing.into()),
                },
                Ok(Some(why)) => Err(Failure::Refused(why)),
                Err(error) => Err(error.into()),
            },
        };
        (step.clone(), result)
    });
    let mut running: FuturesUnordered<_> = steps.collect();
    let mut taken = Taken::default();
    while let Some((step, result)) = running.next().await {
        match result {
            Ok(capture) => {
                taken.captures.extend(capture);
                taken.done.push(step);
            }
            Err(Failure::Engine(source)) => {
                taken.failed.push(FailedStep {
                    step: step.clone(),
                    message: bound(&redact(&source.to_string()), LONGEST),
                    is_transient: source.is_transient(),
                });
                taken.failure.get_or_insert_with(|| Error::Step {
                    workload: workload.name.clone(),
                    step: step.words(),
                    source,
                });
            }
            Err(Failure::Value(source)) => {
                taken.failed.push(FailedStep {
                    step: step.clone(),
                    message: bound(&redact(&source.to_string()), LONGEST),
                    is_transient: false,
                });
                taken.failure.get_or_insert_with(|| Error::Value {
                    workload: workload.name.clone(),
                    step: step.words(),
                    source,
                });
            }
            Err(Failure::Refused(why)) => taken.refused.push((step, why)),
        }
    }
    taken
}

/// Requests approval where automatic restarts have ended. The names of the incidents that were opened for it.
async fn report(context: &Context, workload: &ValidatedWorkload, plan: &Prepared) -> Vec<String> {
    let mut reported = Vec::new();
    for report in &plan.reports {
        match restart_limit::open(&context.store, &workload.name, report).await {
            Ok(true) => reported.push(report.name.clone()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(workload = %workload.name, incident = report.name, %error, "cannot open an incident: it is tried again");
            }
        }
    }
    reported
}

/// The workload, as Events name it.
fn about(workload: &ValidatedWorkload) -> ObjectRef {
    let kind = aegis_api::Workload::PLURAL;
    let kind = aegis_api::kinds::find(kind).map_or(kind, |info| info.kind);
    ObjectRef {
        kind: kind.to_owned(),
        name: workload.name.clone(),
        uid: String::new(),
    }
}

/// Why a step was not done.
#[derive(Debug)]
enum Failure {
    Engine(EngineError),
    Refused(Refused),
    Value(secret_values::Error),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<secret_values::Error> for Failure {
    fn from(error: secret_values::Error) -> Self {
        Self::Value(error)
    }
}

/// What is observed once more right before a step.
async fn before(
    engine: &dyn Engine,
    workload: &ValidatedWorkload,
    plan: &Prepared,
    step: &Step,
) -> Result<Option<Refused>, EngineError> {
    let why = refusal(engine, workload, step).await?;
    if why.is_none() {
        still_without_requests(engine, workload, plan, step).await?;
    }
    Ok(why)
}

/// What leaves and runs need not be drained by a load balancer that does not run. One that was started since it was
/// inspected serves its last configuration, and may be sending requests again.
async fn still_without_requests(
    engine: &dyn Engine,
    workload: &ValidatedWorkload,
    plan: &Prepared,
    step: &Step,
) -> Result<(), EngineError> {
    let leaving = step.id().filter(|id| plan.draining.contains_key(*id));
    let instance = leaving.and_then(|id| workload.instances.iter().find(|instance| instance.id == *id));
    let Some(instance) = instance.filter(|instance| instance.state == ContainerState::Running) else {
        return Ok(());
    };
    let stood = |rotation: &&Rotation| !rotation.serving && !instance.is_released_by(rotation);
    for rotation in workload.rotations.iter().filter(stood) {
        let found = engine.inspect(&rotation.container).await?;
        if found.is_some_and(|container| container.state == ContainerState::Running) {
            return Err(EngineError::Refused {
                operation: step.words(),
                message: format!(
                    "load balancer {} was started meanwhile and has not drained it",
                    rotation.name
                ),
            });
        }
    }
    Ok(())
}

/// Checks again, right before a stop, whether a start can follow. The plan was made from an earlier observation; between
/// this one and the stop the world can still change, which leaves a failed start and no promise.
async fn refusal(
    engine: &dyn Engine,
    workload: &ValidatedWorkload,
    step: &Step,
) -> Result<Option<Refused>, EngineError> {
    match step {
        Step::Restart { id, .. } | Step::RestartUnhealthy { id, .. } | Step::RestartDetached { id, .. } => {
            let Some(container) = engine.inspect(id).await? else {
                return Ok(None);
            };
            let query = host_query(&container);
            let containers = match query.containers {
                true => engine.list(ListFilter::default()).await?,
                false => Vec::new(),
            };
            let facts = match query.is_empty() {
                true => HostFacts::default(),
                false => engine.host_facts(&query).await?,
            };
            let host = HostState {
                containers: &containers,
                facts: &facts,
                names: &BTreeMap::new(),
            };
            Ok(restartable(&container, host).err())
        }
        Step::Remove { id, name } => {
            let Some(template) = replaced_by(workload, id) else {
                return Ok(None);
            };
            let image = template.image.to_string();
            let query = HostQuery {
                image: Some(image.clone()),
                ..HostQuery::default()
            };
            Ok(replaceable(name, &image, &engine.host_facts(&query).await?).err())
        }
        Step::Create { .. } | Step::Start { .. } | Step::Capture { .. } => Ok(None),
    }
}

/// Whether a container can be made in the place of the one that is to go: without its values it could not.
async fn values_are_there(
    context: &Context,
    workload: &ValidatedWorkload,
    step: &Step,
) -> Result<(), secret_values::Error> {
    let Step::Remove { id, .. } = step else {
        return Ok(());
    };
    let Some(template) = replaced_by(workload, id) else {
        return Ok(());
    };
    let folder = &context.settings.secrets;
    secret_values::resolved(template, folder).await.map(drop)
}

/// What takes the place of a container that goes because it is outdated.
fn replaced_by<'a>(workload: &'a ValidatedWorkload, id: &str) -> Option<&'a ContainerTemplate> {
    let (ReplicaSource::Template(template), false) = (&workload.source, workload.deleting) else {
        return None;
    };
    let mut instances = workload.instances.iter();
    let replaced = instances.find(|instance| instance.id == *id)?;
    (replaced.may_serve() && replaced.is_outdated()).then_some(&**template)
}

async fn take(context: &Context, workload: &ValidatedWorkload, step: &Step) -> Result<(), Failure> {
    match step {
        Step::Create { index, name } => create(context, workload, *index, name).await?,
        Step::Start {
            id,
            name: _,
            crashed: _,
        } => start(context, id).await?,
        Step::Restart { id, name: _ }
        | Step::RestartUnhealthy { id, name: _ }
        | Step::RestartDetached { id, name: _ } => {
            // Two calls instead of the engine's restart: repeated after a crash, each is a no-op where it took effect
            // already, so that the process starts exactly once.
            fault::point("workload/restart/before-stop");
            fault::soon("workload/restart/during-stop");
            stop(context, id).await?;
            fault::point("workload/restart/before-start");
            fault::soon("workload/restart/during-start");
            start(context, id).await?;
            fault::point("workload/restart/after-start");
        }
        Step::Remove { id, name: _ } => remove(context, workload, id).await?,
        Step::Capture { .. } => {}
    }
    Ok(())
}

/// Starts a container, and has it on record before that this was us.
async fn start(context: &Context, id: &str) -> Result<(), EngineError> {
    context.lifecycle.note(id, context.clock.now(), What::OwnStart);
    context.engine.start(id).await
}

/// Stops a container, and has it on record before that this was us.
async fn stop(context: &Context, id: &str) -> Result<(), EngineError> {
    context.lifecycle.note(id, context.clock.now(), What::OwnStop);
    // One that ignores SIGTERM takes its whole grace period: no other workload waits for that.
    let stopped = aside(context.engine.stop(id, None)).await;
    if let Err(error) = &stopped
        && !matches!(
            error,
            EngineError::Timeout { .. } | EngineError::Unreachable { .. }
        )
    {
        // The engine refused. Where its answer was lost, it may still do it.
        context
            .lifecycle
            .note(id, context.clock.now(), What::OwnStopFailed);
    }
    stopped
}

/// Inspects a container that is about to be restarted as unhealthy. What cannot be inspected delays nothing.
async fn capture(
    context: &Context,
    workload: &ValidatedWorkload,
    id: &ContainerId,
) -> Result<Capture, EngineError> {
    fault::point("workload/capture/before");
    let Some(instance) = workload.instances.iter().find(|instance| instance.id == *id) else {
        return Ok(Capture::default());
    };
    let known = instance.before.as_ref().map(Subject::from);
    let subject = Subject {
        id,
        name: &instance.name,
        started_at: instance.started_at,
        health: instance.health,
        starting: instance.starts_until.is_some(),
        message: Some(&instance.message),
        restarts: known.as_ref().map_or(0, |known| known.restarts),
        restarted_at: known.map(|known| known.restarted_at).unwrap_or_default(),
    };
    let (seen, gaps) = inspect_evidence(
        context,
        workload.spec.probe(),
        &subject,
        &workload.own_networks,
        Depth::Everything,
    )
    .await?;
    let seen = seen.unwrap_or_default();
    Ok(Capture {
        taken_at: Some(context.clock.now()),
        because: instance.message.clone(),
        // By these it is known again, whatever was seen.
        container: ContainerEvidence {
            name: instance.name.clone(),
            id: id.clone(),
            started_at: instance.started_at,
            ..seen
        },
        gaps,
    })
}

async fn create(
    context: &Context,
    workload: &ValidatedWorkload,
    index: u32,
    name: &str,
) -> Result<(), Failure> {
    let revision = workload.revision.as_deref().unwrap_or_default();
    let owner = Ownership {
        workload: &workload.name,
        revision,
        instance: &workload.instance_id,
        index,
    };
    let spec = match &workload.source {
        ReplicaSource::Clone(base) => clone_spec(base, name, &owner),
        ReplicaSource::Template(template) => {
            let template = secret_values::resolved(template, &context.settings.secrets).await?;
            template_spec(&template, name, &owner)
        }
        ReplicaSource::Missing => return Ok(()),
    };
    fault::point("workload/create/before-create");
    fault::soon("workload/create/during-create");
    let id = context.engine.create(spec).await?;
    fault::point("workload/create/before-start");
    start(context, &id).await?;
    fault::point("workload/create/after-start");
    Ok(())
}

/// Removes a replica. Its labels and name are read again right before: nothing that is not ours goes, whatever the plan says.
async fn remove(context: &Context, workload: &ValidatedWorkload, id: &str) -> Result<(), EngineError> {
    let Some(container) = context.engine.inspect(id).await? else {
        return Ok(());
    };
    let (name, labels) = (&container.name, &container.labels);
    if !is_ours(name, labels, &workload.name, &workload.instance_id) {
        return Err(EngineError::Refused {
            operation: format!("remove {}", container.name),
            message: "it is not a replica of this workload".to_owned(),
        });
    }
    fault::point("workload/remove/before-stop");
    fault::soon("workload/remove/during-stop");
    stop(context, id).await?;
    fault::point("workload/remove/before-remove");
    context.engine.remove(id).await?;
    fault::point("workload/remove/after-remove");
    Ok(())
}
