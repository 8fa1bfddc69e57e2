//! A container's runs: how they begin, end and go on by themselves. Pure; waiting is left to the caller.

use std::time::Duration;

use aegis_api::observed::{ContainerState, LogLine};
use tokio::time::Instant;

use super::behaviour::Cure;
use super::container::Container;
use super::effects::{Actor, Op};
use super::world::World;
use aegis_docker::engine::{EngineError, EngineResult};

/// Something that happens to a run later unless the run ends first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) at: Instant,
    pub(super) id: String,
    pub(super) run: u64,
    pub(super) what: Due,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Docker's health check may have another result now.
    Health,
    /// The process ends by itself.
    Crash,
    /// Docker's restart policy starts it again.
    Restart,
    /// nginx reads its configuration.
    Reload,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) exit_code: i64,
    pub(super) oom: bool,
    pub(super) on_request: bool,
    pub(super) actor: Actor,
}

impl World {
    /// Begins a run; the time it takes has passed already. A container that runs is left alone.
    pub(super) fn begin_run(&mut self, id: &str, actor: Actor) -> EngineResult<()> {
        let operation = format!("start container {id}");
        let (now, instant) = (self.now, self.instant);
        let container = self.found(id, &operation)?;
        if container.is_running() {
            return Ok(());
        }
        if container.state == ContainerState::Paused {
            let message = "cannot start a paused container, try unpause instead".to_owned();
            return Err(EngineError::Conflict { operation, message });
        }
        let id = container.id.clone();
        if let Err(error) = self.can_begin(&id, &operation) {
            self.failed_start(&id);
            return Err(error);
        }
        self.take_addresses(&id);
        self.next_pid += 10;
        let pid = self.next_pid;
        let namespace = self.get(&id).map(|container| self.process_namespace(container));
        let Some(container) = self.get_mut(&id) else {
            return Ok(());
        };
        container.state = ContainerState::Running;
        if actor == Actor::Client {
            container.replayed = None;
        }
        container.run += 1;
        container.started = Some((instant, now));
        container.pid = pid;
        container.process_namespace = namespace.unwrap_or_default();
        container.exit_code = 0;
        container.oom_killed = false;
        container.stopping = false;
        container.unpublished = false;
        container.ended_on_request = false;
        container.reported_health = container.health(instant);
        container.ailment = container.ailment.take().and_then(|(ailment, since)| match since {
            Some(_) if ailment.cure == Cure::Restart => None,
            since => Some((ailment, since.or(Some(instant)))),
        });
        let run = container.run;
        let crash = container
            .behaviour
            .crash_after
            .filter(|_| run <= u64::from(container.behaviour.crashing_runs));
        if let Some(after) = crash {
            self.timers.push(Timer {
                at: instant + after,
                id: id.clone(),
                run,
                what: Due::Crash,
            });
        }
        self.log(&id, actor, Op::Start, "");
        self.emit(&id, "start", &[]);
        self.watch_health(&id);
        self.boot_nginx(&id);
        Ok(())
    }

    /// One on each of its own networks.
    fn take_addresses(&mut self, id: &str) {
        let ids = self.network_ids.clone();
        let container = self.get(id).filter(|container| container.has_own_network());
        let endpoints = container.into_iter().flat_map(|container| &container.endpoints);
        let wanted: Vec<_> = endpoints
            .map(|(name, endpoint)| (name.clone(), endpoint.last))
            .collect();
        for (network, last) in wanted {
            let address = self.new_address(&network, last);
            if let Some(endpoint) = self
                .get_mut(id)
                .and_then(|container| container.endpoints.get_mut(&network))
            {
                endpoint.address = address;
                endpoint.last = address;
                endpoint.network_id = endpoint.network_id.take().or_else(|| ids.get(&network).cloned());
            }
            if let Some(address) = address {
                self.move_in(id, address);
            }
        }
    }

    /// Ends a run, if there is one.
    pub(super) fn end_run(&mut self, id: &str, end: End) {
        let (now, instant) = (self.now, self.instant);
        let Some(container) = self.get_mut(id) else { return };
        if !container.is_up() {
            // It may be waiting for its restart policy: a request ends that, too.
            if end.on_request && container.state == ContainerState::Restarting {
                container.state = ContainerState::Exited;
                container.ended_on_request = true;
            }
            return;
        }
        let id = container.id.clone();
        container.state = ContainerState::Exited;
        container.finished = Some(now);
        container.exit_code = end.exit_code;
        container.oom_killed = end.oom;
        container.ended_on_request = end.on_request;
        container.stopping = false;
        if let Some(nginx) = &mut container.nginx {
            nginx.unload();
        }
        let restarts = match container.restart_policy() {
            _ if container.replayed.is_some() => false,
            "always" | "unless-stopped" => !end.on_request,
            "on-failure" => !end.on_request && end.exit_code != 0,
            _ => false,
        };
        if restarts {
            container.state = ContainerState::Restarting;
            let doublings = u32::try_from(container.restart_count.min(9)).unwrap_or(9);
            let timer = Timer {
                at: instant + Duration::from_millis(100) * 2_u32.pow(doublings),
                id: id.clone(),
                run: container.run,
                what: Due::Restart,
            };
            self.timers.push(timer);
        }
        self.move_out(&id, None);
        if end.oom {
            self.log(&id, end.actor, Op::Oom, "");
            self.emit(&id, "oom", &[]);
        }
        self.log(&id, end.actor, Op::Die, end.exit_code.to_string());
        self.emit(&id, "die", &[("exitCode", end.exit_code.to_string())]);
        self.end_sharers(&id);
        let goes = |container: &Container| container.auto_remove() && container.replayed.is_none();
        if !restarts && self.get(&id).is_some_and(goes) {
            self.doomed.push(id);
        }
    }

    /// What was planned for a run happens, unless that run is over.
    pub(super) fn fire(&mut self, timer: &Timer) {
        let Some(container) = self
            .get_mut(&timer.id)
            .filter(|container| container.run == timer.run)
        else {
            return;
        };
        match timer.what {
            Due::Health => self.watch_health(&timer.id),
            Due::Crash => {
                let end = End {
                    exit_code: 1,
                    oom: false,
                    on_request: false,
                    actor: Actor::Engine,
                };
                self.end_run(&timer.id, end);
            }
            Due::Restart if container.state == ContainerState::Restarting => {
                container.restart_count += 1;
                // A start that fails leaves it exited, as with the real engine once its policy has given up.
                if self.begin_run(&timer.id, Actor::Engine).is_err()
                    && let Some(container) = self.get_mut(&timer.id)
                {
                    container.state = ContainerState::Exited;
                }
            }
            Due::Restart => {}
            Due::Reload => self.reload_nginx(&timer.id),
        }
    }

    /// Reports a change of Docker's health and plans the next look.
    pub(super) fn watch_health(&mut self, id: &str) {
        let instant = self.instant;
        let Some(container) = self.get_mut(id).filter(|container| container.is_running()) else {
            return;
        };
        let (id, run) = (container.id.clone(), container.run);
        let health = container.health(instant);
        let changed = health.filter(|_| health != container.reported_health);
        container.reported_health = health;
        let next = container.next_health_change(instant);
        if let Some(health) = changed {
            self.emit(&id, &format!("health_status: {health}"), &[]);
        }
        if let Some(at) = next {
            self.timers.push(Timer {
                at,
                id,
                run,
                what: Due::Health,
            });
        }
    }

    /// Writes a line to a container's log.
    pub(super) fn say(&mut self, id: &str, stderr: bool, text: &str) {
        let now = self.now;
        if let Some(container) = self.get_mut(id) {
            container.logs.push((
                now,
                LogLine {
                    stderr,
                    text: text.to_owned(),
                },
            ));
        }
    }
}
