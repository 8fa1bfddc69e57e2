//! Puts a plan's patch into the Workload's spec, and takes a restart back that has not taken effect. Writes the store.

use aegis_api::audit::Actor;
use aegis_api::incident::Plan;
use aegis_api::proposal::Action;
use aegis_api::{Kind, Phase, Workload, WorkloadSpec};
use aegis_planning::incident::phase::Applied;
use aegis_planning::incident::remedy;
use aegis_planning::incident::validate::ValidatedIncident;
use aegis_runtime::store::StoreError;

use super::super::Error;
use crate::context::Context;
use crate::fault;

/// Compare-and-set on the generation that the plan was made for, or on what autoscaling alone has made of it since. Applied
/// already counts as applied.
pub(super) async fn execute(
    context: &Context,
    incident: &ValidatedIncident,
    plan: &Plan,
) -> Result<Applied, Error> {
    if plan.action == Action::Noop {
        return Ok(Applied::Done {
            generation: plan.parent_generation,
            replaced: None,
        });
    }
    let workload = incident.target.as_ref().ok();
    let replaced = workload
        .filter(|workload| !remedy::is_done(plan, workload))
        .and_then(|workload| workload.spec.restarted_at);
    let wanted = plan.clone();
    let store = context.store.acting(Actor::incident(incident.name()));
    let edited = store
        .edit_spec::<Workload, _>(plan.target.as_str(), move |workload| with(&wanted, workload))
        .await;
    match edited {
        Ok(workload) => {
            fault::point("incident/patched");
            Ok(Applied::Done {
                generation: workload.generation(),
                replaced,
            })
        }
        Err(StoreError::Refused { message, .. }) => Ok(Applied::Stale(message)),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}

/// The spec with the plan's patch.
fn with(plan: &Plan, workload: &Workload) -> Result<WorkloadSpec, StoreError> {
    if remedy::is_done(plan, workload) {
        return Ok(workload.spec.clone());
    }
    if !remedy::is_made_for(plan, workload) {
        return Err(StoreError::Refused {
            kind: "Workload".to_owned(),
            name: workload.name().to_owned(),
            message: format!(
                "the plan was made for generation {}, and somebody has changed it to {} since",
                plan.parent_generation,
                workload.generation()
            ),
        });
    }
    Ok(remedy::patched(&plan.patch, &workload.spec))
}

/// Takes back a restart that has not taken effect, so that it does not befall the workload when it is not expected any
/// more: a paused container that goes on, an engine that is willing again. Answers the generation that this made.
/// Somebody else's change since then is left alone.
pub(super) async fn withdraw(context: &Context, incident: &ValidatedIncident) -> Result<Option<i64>, Error> {
    let status = &incident.status;
    let (Phase::Executing, Some(plan), Some(execution)) = (status.phase, &status.plan, &status.execution)
    else {
        return Ok(None);
    };
    let Some(wanted) = plan.patch.restarted_at else {
        return Ok(None);
    };
    let (ours, before) = (execution.generation, execution.replaced);
    let edit = move |workload: &Workload| {
        let mut spec = workload.spec.clone();
        if spec.restarted_at == Some(wanted) && Some(workload.generation()) == ours {
            spec.restarted_at = before;
        }
        Ok(spec)
    };
    let store = context.store.acting(Actor::incident(incident.name()));
    match store.edit_spec::<Workload, _>(plan.target.as_str(), edit).await {
        Ok(workload) => Ok((Some(workload.generation()) != ours).then(|| workload.generation())),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(source) => Err(Error::Apply {
            incident: incident.name().to_owned(),
            source,
        }),
    }
}
