//! The only place that changes a Workload's containers. Every step is idempotent: after a crash anywhere the next
//! plan either repeats it without harm or finds it done.

use aegis_api::meta::LABEL_WORKLOAD;
use aegis_docker::create::{Ownership, clone_spec, template_spec};
use aegis_docker::{Engine, EngineError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::plan::{Prepared, Step};
use super::validate::{Mould, ValidatedWorkload};
use crate::context::Context;
use crate::fault;

/// What became of a plan.
#[derive(Debug)]
pub(super) struct Applied {
    pub plan: Prepared,
    pub done: Vec<Step>,
    pub failed: Vec<(Step, EngineError)>,
}

pub(super) async fn apply(context: &Context, workload: &ValidatedWorkload, plan: Prepared) -> Applied {
    let engine = &*context.engine;
    let mut running: FuturesUnordered<_> = plan
        .steps
        .iter()
        .cloned()
        .map(|step| async move {
            let result = take(engine, workload, &step).await;
            (step, result)
        })
        .collect();
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    while let Some((step, result)) = running.next().await {
        match result {
            Ok(()) => done.push(step),
            Err(error) => failed.push((step, error)),
        }
    }
    drop(running);
    Applied { plan, done, failed }
}

async fn take(engine: &dyn Engine, workload: &ValidatedWorkload, step: &Step) -> Result<(), EngineError> {
    match step {
        Step::Create { index, name } => create(engine, workload, *index, name).await,
        Step::Start {
            id,
            name: _,
            crashed: _,
        } => engine.start(id).await,
        Step::Restart { id, name: _ } | Step::Heal { id, name: _ } => {
            // Two calls instead of the engine's restart: repeated after a crash, each is a no-op where it took effect
            // already, so that the process starts exactly once.
            fault::point("workload/restart/before-stop");
            fault::soon("workload/restart/during-stop");
            engine.stop(id, None).await?;
            fault::point("workload/restart/before-start");
            fault::soon("workload/restart/during-start");
            engine.start(id).await?;
            fault::point("workload/restart/after-start");
            Ok(())
        }
        Step::Remove { id, name: _ } => remove(engine, workload, id).await,
    }
}

async fn create(
    engine: &dyn Engine,
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
    let id = engine.create(spec).await?;
    fault::point("workload/create/before-start");
    engine.start(&id).await?;
    fault::point("workload/create/after-start");
    Ok(())
}

/// Removes a replica. The label is read again right before: nothing that is not ours goes, whatever the plan says.
async fn remove(engine: &dyn Engine, workload: &ValidatedWorkload, id: &str) -> Result<(), EngineError> {
    let Some(container) = engine.inspect(id).await? else {
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
    engine.stop(id, None).await?;
    fault::point("workload/remove/before-remove");
    engine.remove(id).await?;
    fault::point("workload/remove/after-remove");
    Ok(())
}
