//! A change of all containers as a whole: when it began, whether it gets on, and when a revision is rolled back. Pure.
//!
//! A revision that does not run is rolled back by running the last one that did; the spec stays as its author wrote it. It
//! is tried again once the template is another one.

use std::time::Duration;

use aegis_api::RevisionId;
use aegis_api::observed::ContainerState;
use aegis_api::workload::{Health, RejectedRevision, Rollout};

use super::standing::Standing;
use super::template::last_good;
use super::validate::{Instance, ReplicaSource, ValidatedWorkload};

/// Whether all of the workload was once ready with this revision.
fn ran(workload: &ValidatedWorkload, revision: &RevisionId) -> bool {
    let mut known = workload.before.revisions.iter();
    known.any(|known| known.revision == *revision && known.was_ready)
}

/// The change as it stands after a pass; `None` once everything is as it should be.
pub fn next(workload: &ValidatedWorkload, settled: bool) -> Option<Rollout> {
    let stale = workload
        .instances
        .iter()
        .any(|instance| instance.standing != Standing::Current);
    let open = workload.before.rollout.as_ref();
    let revision = workload.revision.as_ref()?;
    // After a change that was made while there was no container at all, too.
    let untried = !ran(workload, revision) && last_good(&workload.before, revision).is_some();
    if workload.deleting || settled || !(stale || untried || open.is_some()) {
        return None;
    }
    let ready = fresh(workload)
        .filter(|instance| instance.is_proven(workload))
        .count();
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    let same =
        open.filter(|open| open.revision == *revision && open.restarted_at == workload.spec.restarted_at);
    Some(match same {
        Some(open) if ready <= open.ready => open.clone(),
        Some(open) => Rollout {
            progressed_at: workload.now,
            ready,
            ..open.clone()
        },
        None => Rollout {
            revision: revision.clone(),
            restarted_at: workload.spec.restarted_at,
            since: workload.now,
            progressed_at: workload.now,
            ready,
        },
    })
}

/// Containers that the change has reached.
fn fresh(workload: &ValidatedWorkload) -> impl Iterator<Item = &Instance> {
    workload
        .instances
        .iter()
        .filter(|instance| instance.standing == Standing::Current)
}

/// The change that could be rolled back: one to a new template, with a good one before it.
fn revocable(workload: &ValidatedWorkload) -> Option<&Rollout> {
    let revision = workload.revision.as_ref()?;
    let rollout = workload
        .before
        .rollout
        .as_ref()
        .filter(|rollout| rollout.revision == *revision)?;
    let templated = matches!(workload.source, ReplicaSource::Template(_)) && workload.rejected.is_none();
    let back = last_good(&workload.before, revision);
    (templated && !ran(workload, revision) && back.is_some()).then_some(rollout)
}

/// The revision to be rolled back, if the one that is being rolled out does not run.
pub fn verdict(workload: &ValidatedWorkload) -> Option<RejectedRevision> {
    let rollout = revocable(workload)?;
    let ended = fresh(workload).find(|instance| {
        let restarts = instance.before.as_ref().map_or(0, |row| row.restarts);
        instance.state == ContainerState::Exited && restarts > 0
    });
    let unhealthy = fresh(workload).find(|instance| {
        let was_ready = instance
            .before
            .as_ref()
            .is_some_and(|row| row.ready_since.is_some());
        instance.state == ContainerState::Running && was_ready && instance.health == Health::Unhealthy
    });
    let late = rollout.progressed_at.age(workload.now) >= workload.spec.strategy.progress_deadline.std();
    let reason = match (ended, unhealthy, late) {
        (Some(ended), _, _) => format!(
            "{} ended again after it was restarted: {}",
            ended.name, ended.message
        ),
        (None, Some(unhealthy), _) => format!(
            "{} was ready and is no more: {}",
            unhealthy.name, unhealthy.message
        ),
        (None, None, true) => {
            let waits = fresh(workload).find(|instance| !instance.is_ready());
            let waits = waits.map(|instance| format!(" ({}: {})", instance.name, instance.message));
            format!(
                "no further replica became ready within {}{}",
                workload.spec.strategy.progress_deadline,
                waits.unwrap_or_default()
            )
        }
        (None, None, false) => return None,
    };
    Some(RejectedRevision {
        revision: rollout.revision.clone(),
        reason,
        at: workload.now,
    })
}

/// When time alone changes what is to be done: a container counts from then on, or the change has taken too long.
pub fn look_again(workload: &ValidatedWorkload) -> Option<Duration> {
    let min_healthy = workload.spec.strategy.min_healthy.std();
    let ripening = fresh(workload)
        .filter(|instance| instance.is_ready() && !instance.is_proven(workload))
        .filter_map(|instance| Some(min_healthy.saturating_sub(instance.ready_since?.age(workload.now))));
    let deadline = revocable(workload).map(|rollout| {
        let deadline = workload.spec.strategy.progress_deadline.std();
        deadline.saturating_sub(rollout.progressed_at.age(workload.now))
    });
    ripening.chain(deadline).min()
}
