//! The only place that changes a Workload's containers. Every step is idempotent: after a crash anywhere the next
//! plan either repeats it without harm or finds it done.

use aegis_api::lifecycle::What;
use aegis_api::meta::LABEL_WORKLOAD;
use aegis_api::proposal::ContainerEvidence;
use aegis_api::workload::Capture;
use aegis_docker::EngineError;
use aegis_docker::create::{Ownership, clone_spec, template_spec};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::plan::{Prepared, Step};
use super::validate::{Mould, ValidatedWorkload};
use crate::context::Context;
use crate::fault;
use crate::look::{Depth, Subject, look};

/// What became of a plan.
#[derive(Debug)]
pub(super) struct Applied {
    pub plan: Prepared,
    pub done: Vec<Step>,
    pub failed: Vec<(Step, EngineError)>,
    /// What containers looked like that are about to be healed.
    pub captures: Vec<Capture>,
}

pub(super) async fn apply(context: &Context, workload: &ValidatedWorkload, plan: Prepared) -> Applied {
    let mut running: FuturesUnordered<_> = plan
        .steps
        .iter()
        .cloned()
        .map(|step| async move {
            let result = match &step {
                Step::Capture { id, .. } => capture(context, workload, id).await.map(Some),
                _ => take(context, workload, &step).await.map(|()| None),
            };
            (step, result)
        })
        .collect();
    let (mut done, mut failed, mut captures) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((step, result)) = running.next().await {
        match result {
            Ok(capture) => {
                captures.extend(capture);
                done.push(step);
            }
            Err(error) => failed.push((step, error)),
        }
    }
    drop(running);
    Applied {
        plan,
        done,
        failed,
        captures,
    }
}

async fn take(context: &Context, workload: &ValidatedWorkload, step: &Step) -> Result<(), EngineError> {
    match step {
        Step::Create { index, name } => create(context, workload, *index, name).await,
        Step::Start {
            id,
            name: _,
            crashed: _,
        } => start(context, id).await,
        Step::Restart { id, name: _ } | Step::Heal { id, name: _ } | Step::Rejoin { id, name: _ } => {
            // Two calls instead of the engine's restart: repeated after a crash, each is a no-op where it took effect
            // already, so that the process starts exactly once.
            fault::point("workload/restart/before-stop");
            fault::soon("workload/restart/during-stop");
            stop(context, id).await?;
            fault::point("workload/restart/before-start");
            fault::soon("workload/restart/during-start");
            start(context, id).await?;
            fault::point("workload/restart/after-start");
            Ok(())
        }
        Step::Remove { id, name: _ } => remove(context, workload, id).await,
        Step::Capture { .. } => Ok(()),
    }
}

/// Starts a container, and has it on record before that this was us.
async fn start(context: &Context, id: &str) -> Result<(), EngineError> {
    context.lifecycle.note(id, context.clock.now(), What::OwnStart);
    context.engine.start(id).await
}

/// Stops a container, and has it on record before that this was us.
async fn stop(context: &Context, id: &str) -> Result<(), EngineError> {
    context.lifecycle.note(id, context.clock.now(), What::OwnStop);
    let stopped = context.engine.stop(id, None).await;
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

/// Looks at a container that is about to be healed. What cannot be seen holds nothing up.
async fn capture(context: &Context, workload: &ValidatedWorkload, id: &str) -> Result<Capture, EngineError> {
    fault::point("workload/capture/before");
    let Some(instance) = workload.instances.iter().find(|instance| instance.id == id) else {
        return Ok(Capture::default());
    };
    let known = instance.before.as_ref().map(Subject::from);
    let subject = Subject {
        id,
        name: &instance.name,
        started_at: instance.started_at,
        health: instance.health,
        message: Some(&instance.message),
        restarts: known.as_ref().map_or(0, |known| known.restarts),
        restarted_at: known.map(|known| known.restarted_at).unwrap_or_default(),
    };
    let (seen, gaps) = look(
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
            id: id.to_owned(),
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
) -> Result<(), EngineError> {
    let revision = workload.revision.as_deref().unwrap_or_default();
    let owner = Ownership {
        workload: &workload.name,
        revision,
        instance: &workload.instance_id,
        index,
    };
    let spec = match &workload.mould {
        Mould::Clone(base) => clone_spec(base, name, &owner),
        Mould::Template(template) => template_spec(template, name, &owner),
        Mould::Missing => return Ok(()),
    };
    fault::point("workload/create/before-create");
    fault::soon("workload/create/during-create");
    let id = context.engine.create(spec).await?;
    fault::point("workload/create/before-start");
    start(context, &id).await?;
    fault::point("workload/create/after-start");
    Ok(())
}

/// Removes a replica. The label is read again right before: nothing that is not ours goes, whatever the plan says.
async fn remove(context: &Context, workload: &ValidatedWorkload, id: &str) -> Result<(), EngineError> {
    let Some(container) = context.engine.inspect(id).await? else {
        return Ok(());
    };
    if container.labels.get(LABEL_WORKLOAD) != Some(&workload.name) {
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
