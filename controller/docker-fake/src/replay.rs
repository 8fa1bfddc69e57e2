//! What was recorded on a real engine, shown again: a container that is replayed does nothing by itself. It looks as it was
//! seen, and its events come as they came. What the code under test does to it takes effect all the same, and a run that it
//! starts was never recorded: that one is as the image's are.

use aegis_api::Time;
use aegis_api::observed::{ContainerState, Stats};

use super::FakeEngine;
use super::effects::Actor;
use super::lifecycle::End;
use super::world::World;
use aegis_docker::engine::EngineResult;

/// How a replayed container looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its counters; absent until the first reading.
    pub stats: Option<Stats>,
    /// Docker's word for its health; absent without a health check.
    pub health: Option<&'static str>,
    /// Whether its process answers while it runs.
    pub answers: bool,
}

impl Default for Replayed {
    fn default() -> Self {
        Self {
            stats: None,
            health: None,
            answers: true,
        }
    }
}

/// What an inspection showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// State.
    pub state: ContainerState,
    /// Exit code of the last run.
    pub exit_code: i64,
    /// The kernel OOM-killed it.
    pub oom_killed: bool,
    /// When its process started, where that is news.
    pub started: Option<Time>,
    /// When it last ended, where that is news.
    pub finished: Option<Time>,
}

impl World {
    /// As Docker reports it, with what follows from it.
    fn replay_event(&mut self, id: &str, action: &str, attributes: &[(&str, String)]) -> EngineResult<()> {
        let attribute = |key: &str| attributes.iter().find(|(name, _)| *name == key);
        match action {
            "start" => return self.begin_run(id, Actor::Engine),
            "die" if self.get(id).is_some_and(super::container::Container::is_up) => {
                let exit_code = attribute("exitCode").and_then(|(_, code)| code.parse().ok());
                let end = End {
                    exit_code: exit_code.unwrap_or_default(),
                    oom: false,
                    on_request: false,
                    actor: Actor::Engine,
                };
                self.end_run(id, end);
                return Ok(());
            }
            "destroy" => {
                self.forget(id, Actor::Human);
                return Ok(());
            }
            _ => {}
        }
        if let Some(container) = self.get_mut(id) {
            match (action, attribute("name")) {
                ("pause", _) => container.state = ContainerState::Paused,
                ("unpause", _) => container.state = ContainerState::Running,
                ("rename", Some((_, name))) => name.clone_into(&mut container.name),
                _ => {}
            }
        }
        self.emit(id, action, attributes);
        Ok(())
    }
}

impl FakeEngine {
    /// From now on it looks like this, and does nothing by itself.
    pub fn replay(&self, name: &str, change: impl FnOnce(&mut Replayed)) -> EngineResult<()> {
        self.on(name, "replay", |world, id| {
            if let Some(container) = world.get_mut(id) {
                change(container.replayed.get_or_insert_default());
            }
            Ok(())
        })
    }

    /// Id and state of a container.
    pub fn state(&self, name: &str) -> Option<(String, ContainerState)> {
        let of = |container: &super::container::Container| (container.id.clone(), container.state);
        self.shared.read(|world| world.get(name).map(of))
    }

    /// An event of a replayed container. `create` is none of these: see [`FakeEngine::run_container`].
    pub fn replay_event(&self, name: &str, action: &str, attributes: &[(&str, String)]) -> EngineResult<()> {
        self.on(name, action, |world, id| {
            world.replay_event(id, action, attributes)
        })
    }

    /// What was seen of a replayed container then. Where its events had come, that is as they left it.
    pub fn replay_shown(&self, name: &str, shown: &Shown) -> EngineResult<()> {
        self.on(name, "replay", |world, id| {
            let before = world.get(id).map(|container| container.state);
            let was_up = world.get(id).is_some_and(super::container::Container::is_up);
            if shown.state == ContainerState::Running && !was_up {
                world.begin_run(id, Actor::Engine)?;
            }
            if shown.state != ContainerState::Running && was_up && shown.state != ContainerState::Paused {
                world.move_out(id, None);
            }
            let Some(container) = world.get_mut(id) else {
                return Ok(());
            };
            container.state = shown.state;
            container.exit_code = shown.exit_code;
            container.oom_killed = shown.oom_killed;
            if before != Some(shown.state) {
                let began = container
                    .started
                    .map(|(instant, at)| (instant, shown.started.unwrap_or(at)));
                container.started = began;
                container.finished = shown.finished.or(container.finished);
            }
            Ok(())
        })
    }
}
