//! What to do about containers that ended: start them again, ever more rarely. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_docker::observed::ContainerState;

use super::{Prepared, Step, is_outdated, needs_restart};
use crate::workload::validate::{Instance, ValidatedWorkload};

/// The pause before the second restart of a container that keeps ending; it doubles up to [`CRASH_PAUSE_MAX`].
const CRASH_PAUSE: Duration = Duration::from_secs(5);
const CRASH_PAUSE_MAX: Duration = Duration::from_secs(300);
/// A container that ran this long is forgiven its earlier ends.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Starts what does not run, with a growing pause for what keeps ending; makes room where it is of another revision.
pub(super) fn revive(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    for instance in staying {
        let start = |crashed| Step::Start {
            id: instance.id.clone(),
            name: instance.name.clone(),
            crashed,
        };
        let idle = matches!(
            instance.state,
            ContainerState::Created
                | ContainerState::Exited
                | ContainerState::Restarting
                | ContainerState::Dead
        );
        if idle && is_outdated(workload, instance) {
            // It serves nobody: one of the right revision takes its place, however often this one failed to run.
            plan.steps.push(Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            });
            continue;
        }
        match instance.state {
            ContainerState::Created => plan.steps.push(start(false)),
            ContainerState::Exited if !instance.docker_restarts => {
                let restarting = needs_restart(workload, instance);
                let pause = if restarting {
                    Duration::ZERO
                } else {
                    crash_pause(instance, workload.now)
                };
                if pause.is_zero() {
                    plan.steps.push(start(!restarting));
                } else {
                    plan.waiting.push(format!(
                        "{} keeps ending ({}): next start in {} s",
                        instance.name,
                        instance.message,
                        pause.as_secs() + 1
                    ));
                    plan.look_in(pause);
                }
            }
            ContainerState::Dead if instance.index > 0 => {
                plan.steps.push(Step::Remove {
                    id: instance.id.clone(),
                    name: instance.name.clone(),
                });
            }
            _ => {}
        }
    }
}

/// What is left of the pause before the next start after a crash; zero before the first.
fn crash_pause(instance: &Instance, now: Time) -> Duration {
    let Some(row) = &instance.before else {
        return Duration::ZERO;
    };
    let (Some(last), false) = (row.last_restart_at, row.restarts == 0) else {
        return Duration::ZERO;
    };
    let doublings = row.restarts.saturating_sub(1).min(16);
    let pause = CRASH_PAUSE.saturating_mul(1 << doublings).min(CRASH_PAUSE_MAX);
    last.plus(aegis_api::Duration::from_millis(
        u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
    ))
    .until(now)
}

/// How often a container was restarted after a crash, with long healthy runs forgiven.
pub(in super::super) fn counted_restarts(instance: &Instance, now: Time) -> u32 {
    let Some(row) = &instance.before else { return 0 };
    let steady = instance.is_ready()
        && instance
            .started_at
            .is_some_and(|start| start.age(now) >= FORGIVEN_AFTER);
    if steady { 0 } else { row.restarts }
}
