//! The only writer of a Workload's status, its finalizer and its Events. What the status says is planned.

use std::time::Duration;

use aegis_api::condition::{self, Condition, Conditions};
use aegis_api::meta::WORKLOAD_FINALIZER;
use aegis_api::{ConditionType, Kind, Reason, Workload, WorkloadStatus};
use aegis_planning::autoscale;
use aegis_planning::workload::plan::{Prepared, Step};
use aegis_planning::workload::status::{Outcome, cannot, counted_ahead, newly_draining, next};
use aegis_planning::workload::validate::ValidatedWorkload;
use aegis_runtime::controller::Action;
use aegis_runtime::events::{EventType, ObjectRef};
use aegis_runtime::finalizer;
use aegis_runtime::store::StoreError;

use super::stopped_by_hand;
use crate::context::Context;

/// Requeues at once: something was done, and the next pass observes what came of it.
pub(super) const AT_ONCE: Duration = Duration::ZERO;

/// What the store did not take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status or the finalizers.
    #[error("cannot store the state of workload {workload}")]
    Store { workload: String, source: StoreError },
}

/// Adds the finalizer that keeps the workload until its replicas are gone, however early it is deleted: must be stored
/// before the first of them is created.
pub(super) async fn claim(context: &Context, workload: &Workload) -> Result<(), Error> {
    if workload.is_deleting() {
        return Ok(());
    }
    let Some(finalizers) = finalizer::with(&workload.metadata, WORKLOAD_FINALIZER) else {
        return Ok(());
    };
    let name = workload.name();
    let written = context
        .store
        .set_finalizers::<Workload>(name, uid(workload), finalizers)
        .await;
    written.map(drop).map_err(|source| Error::Store {
        workload: name.to_owned(),
        source,
    })
}

/// Stores what the plan is about to restart by itself, so that no crash in between loses count of it.
pub(super) async fn count_ahead(
    context: &Context,
    workload: &Workload,
    validated: &ValidatedWorkload,
    plan: &Prepared,
) -> Result<(), Error> {
    let Some(instances) = counted_ahead(validated, plan) else {
        return Ok(());
    };
    let status = WorkloadStatus {
        instances,
        ..validated.before.clone()
    };
    write(context, workload, status).await
}

/// What follows where nothing of a pass has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It was deleted, and nothing of it is left.
    LetGo,
    /// It is reconciled again.
    Look(Action),
}

/// Stores what was observed and done, and says when to look again.
pub(super) async fn update(
    context: &Context,
    workload: &Workload,
    validated: &ValidatedWorkload,
    outcome: &Outcome,
) -> Result<Next, Error> {
    announce(context, workload, outcome);
    if validated.deleting {
        let left = validated.vanishing > 0 || validated.instances.iter().any(|instance| instance.index > 0);
        if !left {
            finalize(context, workload).await?;
            return Ok(Next::LetGo);
        }
    }
    let status = next(validated, outcome);
    stopped_by_hand::announce(context, workload, &status);
    let rejected = status.rejected.clone().filter(|_| validated.rejected.is_none());
    if let Some(rejected) = &rejected {
        let text = format!(
            "revision {} is rolled back: {}",
            rejected.revision, rejected.reason
        );
        let about = ObjectRef::of(workload);
        let reason = Reason::RolledBack.as_str();
        context.events.record(&about, EventType::Warning, reason, text);
    }
    announce_refusals(context, workload, &status, outcome);
    let marked = rejected.is_some() || newly_draining(&validated.before, &status);
    write(context, workload, status).await?;
    let (look_again, nothing_done) = (outcome.plan.look_again, outcome.done.is_empty());
    Ok(Next::Look(match look_again {
        _ if !nothing_done || marked => Action::Requeue(AT_ONCE),
        Some(pause) => Action::Requeue(pause),
        None => Action::AwaitChange,
    }))
}

/// Stores why nothing could be done.
pub(super) async fn failed(
    context: &Context,
    workload: &Workload,
    reason: Reason,
    message: String,
) -> Result<(), Error> {
    let mut status = workload.status.clone().unwrap_or_default();
    let (generation, now) = (Some(workload.generation()), context.clock.now());
    status.observed_generation = generation;
    Conditions::at(&mut status.conditions, generation, now)
        .set(ConditionType::Ready, false, reason, message.clone())
        .set(ConditionType::Degraded, true, reason, message.clone());
    let about = ObjectRef::of(workload);
    context
        .events
        .record(&about, EventType::Warning, reason.as_str(), message);
    write(context, workload, status).await
}

async fn write(context: &Context, workload: &Workload, status: WorkloadStatus) -> Result<(), Error> {
    if workload.status.as_ref() == Some(&status) {
        return Ok(());
    }
    // The loop of autoscaling writes its part meanwhile.
    let written = context
        .edit_status(workload, move |current: &Workload| {
            autoscale::kept(current.status.as_ref(), status)
        })
        .await;
    written.map_err(|source| Error::Store {
        workload: workload.name().to_owned(),
        source,
    })
}

async fn finalize(context: &Context, workload: &Workload) -> Result<(), Error> {
    context.prober.set_targets(workload.name(), &[]);
    let Some(finalizers) = finalizer::without(&workload.metadata, WORKLOAD_FINALIZER) else {
        return Ok(());
    };
    match context
        .store
        .set_finalizers::<Workload>(workload.name(), uid(workload), finalizers)
        .await
    {
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
        Err(source) => Err(Error::Store {
            workload: workload.name().to_owned(),
            source,
        }),
    }
}

fn uid(workload: &Workload) -> &str {
    workload.metadata.uid.as_deref().unwrap_or_default()
}

/// Records an Event of a refusal, and of containers left alone, once: when the condition begins to say it.
fn announce_refusals(context: &Context, workload: &Workload, status: &WorkloadStatus, outcome: &Outcome) {
    let about = ObjectRef::of(workload);
    let before = workload
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    let news = |kind: ConditionType| {
        let said = |conditions: &[Condition]| {
            condition::find(conditions, kind).map(|found| (found.status.clone(), found.message.clone()))
        };
        said(&status.conditions).filter(|now| before.and_then(said).as_ref() != Some(now))
    };
    if news(ConditionType::Degraded).is_some() {
        for refused in cannot(outcome) {
            let (reason, text) = (refused.reason.as_str(), refused.to_string());
            context.events.record(&about, EventType::Warning, reason, text);
        }
    }
    if let Some((_, text)) = news(ConditionType::ForeignContainers) {
        let reason = Reason::NotOurs.as_str();
        context.events.record(&about, EventType::Warning, reason, text);
    }
}

fn announce(context: &Context, workload: &Workload, outcome: &Outcome) {
    let about = ObjectRef::of(workload);
    for step in &outcome.done {
        let (reason, text) = match step {
            Step::Create { name, .. } => ("Created", format!("created and started {name}")),
            Step::Start {
                name, crashed: true, ..
            } => ("Restarted", format!("started {name} again after it ended")),
            Step::Start {
                name, crashed: false, ..
            } => ("Started", format!("started {name}")),
            Step::Restart { name, .. } => ("Restarted", format!("restarted {name}")),
            Step::RestartDetached { name, .. } => (
                "Restarted",
                format!("restarted {name}: the container whose network it shares started after it"),
            ),
            Step::Capture { name, .. } => (
                "Captured",
                format!("captured the state of {name} before its restart: status.captures"),
            ),
            Step::RestartUnhealthy { name, .. } => (
                "Healed",
                format!("restarted {name}, which had been unhealthy for too long"),
            ),
            Step::Remove { name, .. } => ("Removed", format!("stopped and removed {name}")),
        };
        context.events.record(&about, EventType::Normal, reason, text);
    }
    for incident in &outcome.reported {
        let text = format!("automatic restarts have ended: incident/{incident} requires approval");
        let reason = Reason::RestartLimit.as_str();
        context.events.record(&about, EventType::Warning, reason, text);
    }
    for refusal in &outcome.plan.refused {
        let text = format!("{}: {}", refusal.step.words(), refusal.reason);
        context
            .events
            .record(&about, EventType::Warning, "PlanRefused", text);
    }
    for failed in &outcome.failed {
        context.events.record(
            &about,
            EventType::Warning,
            Reason::StepFailed.as_str(),
            format!("cannot {}: {}", failed.step.words(), failed.message),
        );
    }
}
