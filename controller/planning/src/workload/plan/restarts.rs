//! What to do about containers that ended, or run and stay unhealthy: start them again, ever more rarely, and not for
//! ever. Pure.

use std::time::Duration;

use aegis_api::Time;
use aegis_api::observed::ContainerState;
use aegis_api::workload::{Backoff, Health, Leaving};

use super::{Prepared, Step, leave};
use crate::host_limit::HostRuling;
use crate::workload::ended::Ended;
use crate::workload::restart_limit::{self, Limit};
use crate::workload::standing::Standing;
use crate::workload::validate::{Instance, ValidatedWorkload};

/// A container that ran this long is forgiven its earlier ends.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// How long after the inspection of a container its restart still belongs to it.
const TURN: Duration = Duration::from_secs(60);
/// When it is asked again whether the host allows one more restart.
const SOON: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(60);

/// Starts what does not run, with a growing pause for what keeps ending; makes room where it is of another revision.
pub(super) fn restart_ended(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
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
        if idle && instance.is_outdated() {
            // It serves no client: one of the right revision takes its place, however often this one failed to run.
            plan.steps.push(Step::Remove {
                id: instance.id.clone(),
                name: instance.name.clone(),
            });
            continue;
        }
        let starts = matches!(instance.state, ContainerState::Created | ContainerState::Exited);
        if starts && !instance.docker_restarts && !plan.is_possible(instance) {
            // Tried again, it would fail again: it waits until something about it changes.
            continue;
        }
        match instance.state {
            ContainerState::Created
                if instance.index > 0
                    || instance.is_restart_due()
                    || (may_start(workload, instance, plan) && roots_are_well(workload, instance, plan)) =>
            {
                plan.steps.push(start(false));
            }
            ContainerState::Exited if !instance.docker_restarts => {
                let asked = instance.is_restart_due();
                // What this controller stopped to start it again is not left in between, whatever has come up since.
                let ours = instance.ended == Ended::Ours || ended_in_its_turn(workload, instance);
                if asked
                    || (may_start(workload, instance, plan)
                        && (ours || ended_may_start(workload, instance, plan))
                        && (ours || roots_are_well(workload, instance, plan))
                        && may_restart(workload, instance, plan))
                {
                    plan.steps.push(start(!asked));
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

/// Whether nothing else decides on it: a person who stopped it, or who may be restarting it just now.
fn may_start(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    match instance.ended {
        Ended::Startable | Ended::Ours => true,
        Ended::ByHand => {
            plan.waiting
                .push(format!("{}: {}", instance.name, instance.message));
            false
        }
        Ended::Open { until } => {
            let why = match instance.state {
                ContainerState::Created => "is just made: who made it starts it",
                _ => "was asked to stop: who did that shows soon",
            };
            plan.waiting.push(format!("{} {why}", instance.name));
            plan.look_in(until.until(workload.now));
            false
        }
    }
}

/// Restarts what runs and has been unhealthy for longer than the workload allows: one at a time, out of rotation first,
/// and with what it looked like kept.
pub(super) fn restart_unhealthy(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    let Some(unhealthy_after) = workload.spec.restart.unhealthy_after else {
        return;
    };
    let unhealthy = staying
        .iter()
        .filter(|instance| instance.state == ContainerState::Running && !workload.is_cut_off(instance))
        .filter(|instance| instance.health == Health::Unhealthy)
        .filter(|instance| instance.standing == Standing::Current);
    for instance in unhealthy {
        let Some(since) = instance.unhealthy_since else {
            continue;
        };
        let left = unhealthy_after.std().saturating_sub(since.age(workload.now));
        if !left.is_zero() {
            plan.look_in(left);
        } else if !automation_may(workload, instance, plan) || !roots_are_well(workload, instance, plan) {
            return;
        } else if !plan.is_possible(instance) {
            continue;
        } else if may_restart(workload, instance, plan) {
            let is_captured = is_captured(workload, instance);
            if !is_captured && !host_allows(workload, instance, plan) {
                return;
            }
            let (id, name) = (instance.id.clone(), instance.name.clone());
            let step = match is_captured {
                true => Step::RestartUnhealthy { id, name },
                false => Step::Capture { id, name },
            };
            let others_serve = staying
                .iter()
                .any(|other| other.id != instance.id && other.may_serve());
            if others_serve {
                leave(workload, instance, plan, Leaving::Unhealthy, step);
            } else {
                plan.steps.push(step);
            }
            return;
        }
    }
}

/// Restarts what lost its network since the container that owns it restarted: once that one is well.
pub(super) fn restart_detached(workload: &ValidatedWorkload, staying: &[&Instance], plan: &mut Prepared) {
    let cut_off = staying.iter().filter(|instance| workload.is_cut_off(instance));
    for instance in cut_off.filter(|instance| !instance.is_restart_due()) {
        let waits = !automation_may(workload, instance, plan) || !roots_are_well(workload, instance, plan);
        if waits || !plan.is_possible(instance) {
            continue;
        }
        let (id, name) = (instance.id.clone(), instance.name.clone());
        let step = Step::RestartDetached { id, name };
        let others_serve = staying
            .iter()
            .any(|other| other.id != instance.id && other.may_serve());
        match others_serve {
            true => leave(workload, instance, plan, Leaving::Restart, step),
            false => plan.steps.push(step),
        }
    }
}

/// Whether the host allows one more restart of something unhealthy; says what keeps it, otherwise.
fn host_allows(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    let Some(ruling) = &workload.host else {
        return true;
    };
    let (message, pause) = match ruling {
        HostRuling::Busy(message) => (message, SOON),
        HostRuling::Exhausted(message) => (message, LATER),
        HostRuling::BlastRadius(message) => {
            plan.pause_all = Some(message.clone());
            (message, LATER)
        }
    };
    plan.waiting.push(format!(
        "{} ({}) is not restarted now: {message}",
        instance.name, instance.message
    ));
    plan.look_in(pause);
    false
}

/// Whether what ended may be started: where automation paused by itself it may, or a reboot would leave everything down.
fn ended_may_start(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    let by_itself = workload.no_restarts.as_ref().is_some_and(|hold| hold.by_itself);
    by_itself || automation_may(workload, instance, plan)
}

/// Whether anything may be restarted without a request; says who or what keeps it, otherwise.
fn automation_may(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    let Some(hold) = &workload.no_restarts else {
        return true;
    };
    plan.waiting.push(format!(
        "{} ({}) is not restarted: {}",
        instance.name, instance.message, hold.message
    ));
    if let Some(until) = hold.until {
        plan.look_in(until.until(workload.now));
    }
    false
}

/// Whether all that the workload needs is well; says what is waited for, otherwise. A symptom is not treated as a cause.
fn roots_are_well(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    let Some(waits_for) = workload.waits_for() else {
        return true;
    };
    plan.waiting.push(format!(
        "{} ({}) waits for what it needs: {waits_for}",
        instance.name, instance.message
    ));
    false
}

/// Whether it is stored what this run of a container looks like. That is its turn on the host as well, and neither
/// stands for ever.
fn is_captured(workload: &ValidatedWorkload, instance: &Instance) -> bool {
    let fresh = |at: Time| at.age(workload.now) <= TURN;
    let captures = workload.before.captures.iter();
    let captures = captures.filter(|capture| capture.taken_at.is_none_or(fresh));
    let mut runs = captures.map(|capture| (&capture.container.id, capture.container.started_at));
    runs.any(|run| run == (&instance.id, instance.started_at))
}

/// Whether a run ended right after what it looked like was stored, which is the first step of a restart: also after a
/// restart of this controller, that has heard of nothing.
fn ended_in_its_turn(workload: &ValidatedWorkload, instance: &Instance) -> bool {
    let Some(finished) = instance.finished_at else {
        return false;
    };
    let mut captures = workload.before.captures.iter();
    captures.any(|capture| {
        let run = (&capture.container.id, capture.container.started_at);
        let at = capture.taken_at.filter(|at| *at <= finished);
        run == (&instance.id, instance.started_at) && at.is_some_and(|at| at.age(finished) <= TURN)
    })
}

/// Whether a container may be restarted now for its own sake; says when it may, otherwise.
fn may_restart(workload: &ValidatedWorkload, instance: &Instance, plan: &mut Prepared) -> bool {
    if is_counted(instance) {
        // It was let through before this controller died in the middle of it, and counts already.
        return true;
    }
    if let Some(limit) = restart_limit::reached(workload, instance) {
        plan.waiting.push(restart_limit::words(workload, instance, limit));
        if let Limit::Until(until) = limit {
            plan.look_in(until.until(workload.now));
        }
        if plan.reports.is_empty() && !workload.restarts_reported {
            plan.reports
                .push(restart_limit::report(workload, instance, limit));
        }
        return false;
    }
    let pause = pause(workload, instance);
    if !pause.is_zero() {
        plan.waiting.push(format!(
            "{} needs another restart ({}): next one in {} s",
            instance.name,
            instance.message,
            pause.as_secs() + 1
        ));
        plan.look_in(pause);
    }
    pause.is_zero()
}

/// Whether the restart that ends this run of a container was counted before it began, and has not taken effect yet: a start
/// would show as another run.
pub(crate) fn is_counted(instance: &Instance) -> bool {
    let row = instance.before.as_ref();
    let counted = row.and_then(|row| row.counted_run);
    counted.is_some() && counted == instance.started_at
}

/// What is left of the pause before the next restart; zero before the first.
fn pause(workload: &ValidatedWorkload, instance: &Instance) -> Duration {
    let Some(row) = &instance.before else {
        return Duration::ZERO;
    };
    let (Some(last), false) = (row.last_restart_at, row.restarts == 0) else {
        return Duration::ZERO;
    };
    let policy = &workload.spec.restart;
    let doublings = match policy.backoff {
        Backoff::Exponential => row.restarts.saturating_sub(1).min(16),
        Backoff::Constant => 0,
    };
    let whole = policy
        .delay
        .std()
        .saturating_mul(1 << doublings)
        .min(policy.max_delay.std());
    whole.saturating_sub(last.age(workload.now))
}

/// How often a container was restarted after a crash, with long healthy runs forgiven.
pub(crate) fn counted_restarts(instance: &Instance, now: Time) -> u32 {
    let Some(row) = &instance.before else { return 0 };
    let steady = instance.is_ready()
        && instance
            .started_at
            .is_some_and(|start| start.age(now) >= FORGIVEN_AFTER);
    if steady { 0 } else { row.restarts }
}
