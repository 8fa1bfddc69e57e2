//! What people and the kernel do to the fake engine while the code under test works: containers that Compose started,
//! bystanders, kills, renames, kernels out of memory. Takes effect at once; never concerned by faults.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aegis_api::observed::{ContainerDetails, ExecOutput};

use super::FakeEngine;
use super::behaviour::{Ailment, Behaviour, Cure, Symptom};
use super::effects::{Actor, Op};
use super::lifecycle::End;
use super::run_spec::RunSpec;
use super::world::{Image, World, no_such};
use aegis_docker::engine::{EngineError, EngineResult};

impl World {
    fn add_image(&mut self, name: &str, behaviour: Behaviour, nginx: bool, labels: BTreeMap<String, String>) {
        let image = Image {
            id: format!("sha256:{}", self.new_id()),
            labels,
            behaviour,
            nginx,
        };
        self.images.insert(name.to_owned(), image);
    }
}

impl FakeEngine {
    /// An image is there (again: a new build under the same name); containers made of it from now on behave like this.
    pub fn add_image(&self, name: &str, behaviour: Behaviour) {
        self.add_labelled_image(name, behaviour, &[]);
    }

    /// As [`FakeEngine::add_image`], with labels that its containers have unless they bring such labels themselves.
    pub fn add_labelled_image(&self, name: &str, behaviour: Behaviour, labels: &[(&str, &str)]) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let labels = labels.collect();
        self.shared
            .with(|world| world.add_image(name, behaviour, false, labels));
    }

    /// An image is deleted; containers of it stay.
    pub fn remove_image(&self, name: &str) {
        self.shared.with(|world| world.images.remove(name));
    }

    /// `docker commit`: an image of a container, with all of its labels.
    pub fn commit(&self, name: &str, image: &str) -> EngineResult<()> {
        self.on(name, "commit", |world, id| {
            let Some(container) = world.get(id) else {
                return Ok(());
            };
            let (behaviour, labels) = (container.behaviour.clone(), container.labels.clone());
            let nginx = container.nginx.is_some();
            world.add_image(image, behaviour, nginx, labels);
            Ok(())
        })
    }

    /// The engine keeps images and containers there from now on.
    pub fn set_root_dir(&self, folder: Option<&str>) {
        self.shared
            .with(|world| world.options.info.root_dir = folder.map(PathBuf::from));
    }

    /// A path of the host is not there any more.
    pub fn lose_path(&self, path: &str) {
        self.shared
            .with(|world| world.missing_paths.insert(path.to_owned()));
    }

    /// No route leads to this network from where the code under test is, as to a macvlan.
    pub fn hide_network(&self, name: &str) {
        self.shared.with(|world| world.hidden.insert(name.to_owned()));
    }

    /// Why no person could start a container now that does not run, in the engine's words; `None` where they could.
    pub fn start_problem(&self, id: &str) -> Option<String> {
        let problem = self.shared.with(|world| world.can_begin(id, "start").err());
        problem.map(|error| error.to_string())
    }

    /// A network is there.
    pub fn add_network(&self, name: &str) {
        self.shared.with(|world| world.add_network(name));
    }

    /// Creates and starts a container manually; answers its id. Image and networks come into being if they are not there.
    pub fn run_container(&self, spec: &RunSpec) -> EngineResult<String> {
        self.run(spec, false)
    }

    /// A container that is none of AegisOps' business; see [`FakeEngine::bystanders_touched`].
    pub fn create_bystander(&self, name: &str) -> EngineResult<String> {
        self.run(&RunSpec::new(name, "somebody/else:1"), true)
    }

    /// As [`FakeEngine::create_bystander`], on this network.
    pub fn create_bystander_on(&self, name: &str, network: &str) -> EngineResult<String> {
        self.run(&RunSpec::new(name, "somebody/else:1").network(network), true)
    }

    fn run(&self, spec: &RunSpec, bystander: bool) -> EngineResult<String> {
        self.shared.with(|world| {
            if !world.images.contains_key(&spec.image) {
                world.add_image(&spec.image, Behaviour::default(), spec.nginx, BTreeMap::new());
            }
            for (network, _) in &spec.networks {
                world.add_network(network);
            }
            let id = world.create(&spec.create_spec(), Actor::Human)?;
            if let Some(container) = world.get_mut(&id) {
                container.bystander = bystander;
                if let Some(behaviour) = &spec.behaviour {
                    container.ailment = behaviour.ailment.clone().map(|ailment| (ailment, None));
                    container.behaviour = behaviour.clone();
                }
            }
            if !spec.created_only {
                world.begin_run(&id, Actor::Human)?;
            }
            Ok(id)
        })
    }

    pub(super) fn on<T>(
        &self,
        name: &str,
        action: &str,
        work: impl FnOnce(&mut World, &str) -> EngineResult<T>,
    ) -> EngineResult<T> {
        self.shared.with(|world| {
            let id = world
                .id_of(name)
                .ok_or_else(|| no_such(name, &format!("{action} {name}")))?;
            work(world, &id)
        })
    }

    /// Somebody sends a signal that ends it, and the engine says so first.
    fn end_by_signal(world: &mut World, id: &str, signal: u8, exit_code: i64, actor: Actor) {
        if world.get(id).is_some_and(super::container::Container::is_up) {
            world.emit(id, "kill", &[("signal", signal.to_string())]);
        }
        let end = End {
            exit_code,
            oom: false,
            on_request: true,
            actor,
        };
        world.end_run(id, end);
    }

    fn end(&self, name: &str, action: &str, end: End) -> EngineResult<()> {
        self.on(name, action, |world, id| {
            world.end_run(id, end);
            Ok(())
        })
    }

    /// `docker kill`: ends at once; the restart policy does not apply.
    pub fn kill(&self, name: &str) -> EngineResult<()> {
        self.kill_with(name, 9)
    }

    /// `docker kill --signal`, of a process that dies of it.
    pub fn kill_with(&self, name: &str, signal: u8) -> EngineResult<()> {
        self.on(name, "kill", |world, id| match world.get(id) {
            Some(container) if !container.is_up() => Err(EngineError::Conflict {
                operation: format!("kill {name}"),
                message: format!("container {} is not running", container.id),
            }),
            _ => Ok(()),
        })?;
        self.on(name, "kill", |world, id| {
            Self::end_by_signal(world, id, signal, 128 + i64::from(signal), Actor::Human);
            Ok(())
        })
    }

    /// Its process ends by itself; the restart policy applies.
    pub fn crash(&self, name: &str, exit_code: i64) -> EngineResult<()> {
        self.end(
            name,
            "crash",
            End {
                exit_code,
                oom: false,
                on_request: false,
                actor: Actor::Engine,
            },
        )
    }

    /// It is OOM-killed (exit code 137); the restart policy applies.
    pub fn oom(&self, name: &str) -> EngineResult<()> {
        self.end(
            name,
            "oom",
            End {
                exit_code: 137,
                oom: true,
                on_request: false,
                actor: Actor::Engine,
            },
        )
    }

    /// `docker stop`.
    pub fn stop_by_hand(&self, name: &str) -> EngineResult<()> {
        self.on(name, "stop", |world, id| {
            Self::stop_as(world, id, Actor::Human);
            Ok(())
        })
    }

    /// `kill 15, die, stop`: the engine emits the same events for every client that stops it.
    fn stop_as(world: &mut World, id: &str, actor: Actor) {
        let exit_code = world.get(id).map_or(0, super::container::Container::stopped_with);
        let stops = world.get(id).is_some_and(|container| {
            container.is_up() || container.state == aegis_api::observed::ContainerState::Restarting
        });
        world.log(id, actor, Op::Stop, "");
        Self::end_by_signal(world, id, 15, exit_code, actor);
        if stops {
            world.emit(id, "stop", &[]);
        }
    }

    /// The engine stops: every container with it, as by `docker stop`, and then it answers no more.
    pub fn stop_engine(&self) {
        self.shared.with(|world| {
            // It takes no new calls before its containers end.
            world.chaos.down = true;
            let running: Vec<String> = world
                .containers
                .values()
                .filter(|container| container.is_running())
                .map(|container| container.id.clone())
                .collect();
            for id in running {
                Self::stop_as(world, &id, Actor::Engine);
                if let Some(container) = world.get_mut(&id) {
                    container.ended_on_request = false;
                }
            }
        });
        self.set_down(true);
    }

    /// The engine is there again, and starts what its restart policies say.
    pub fn start_engine(&self) {
        self.set_down(false);
        self.shared.with(|world| {
            let wanted: Vec<String> = world
                .containers
                .values()
                .filter(|container| match container.restart_policy() {
                    "always" => true,
                    "unless-stopped" => !container.ended_on_request,
                    _ => false,
                })
                .map(|container| container.id.clone())
                .collect();
            for id in wanted {
                // One that cannot start stays as it is.
                drop(world.begin_run(&id, Actor::Engine));
            }
        });
    }

    /// `docker start`.
    pub fn start_by_hand(&self, name: &str) -> EngineResult<()> {
        self.on(name, "start", |world, id| world.begin_run(id, Actor::Human))
    }

    /// `docker rm -f`.
    pub fn remove_by_hand(&self, name: &str) -> EngineResult<()> {
        self.on(name, "remove", |world, id| {
            Self::end_by_signal(world, id, 9, 137, Actor::Human);
            world.forget(id, Actor::Human);
            Ok(())
        })
    }

    /// `docker rename`.
    pub fn rename(&self, name: &str, new: &str) -> EngineResult<()> {
        self.on(name, "rename", |world, id| {
            if world.get(new).is_some() {
                let message = format!("the container name \"/{new}\" is already in use");
                return Err(EngineError::Conflict {
                    operation: format!("rename {name}"),
                    message,
                });
            }
            world.log(id, Actor::Human, Op::Rename, new);
            if let Some(container) = world.get_mut(id) {
                container.name = new.to_owned();
            }
            world.emit(id, "rename", &[("oldName", format!("/{name}"))]);
            Ok(())
        })
    }

    /// Something is wrong with it from now on.
    pub fn ail(&self, name: &str, ailment: Ailment) -> EngineResult<()> {
        self.on(name, "ail", |world, id| {
            let instant = world.instant;
            if let Some(container) = world.get_mut(id) {
                container.ailment = Some((ailment, Some(instant)));
            }
            world.watch_health(id);
            Ok(())
        })
    }

    /// It hangs until it is restarted.
    pub fn hang(&self, name: &str) -> EngineResult<()> {
        self.ail(name, Ailment::new(Symptom::Hung, Cure::Restart))
    }

    /// It is well again.
    pub fn heal(&self, name: &str) -> EngineResult<()> {
        self.on(name, "heal", |world, id| {
            if let Some(container) = world.get_mut(id) {
                container.ailment = None;
            }
            world.watch_health(id);
            Ok(())
        })
    }

    /// Changes how one container behaves, from now on.
    pub fn set_behaviour(&self, name: &str, change: impl FnOnce(&mut Behaviour)) -> EngineResult<()> {
        self.on(name, "change", |world, id| {
            if let Some(container) = world.get_mut(id) {
                change(&mut container.behaviour);
            }
            world.watch_health(id);
            Ok(())
        })
    }

    /// A person deletes a file inside it.
    pub fn remove_file(&self, name: &str, path: &str) -> EngineResult<()> {
        self.on(name, "remove a file of", |world, id| {
            if let Some(container) = world.get_mut(id) {
                container.files.remove(path);
            }
            Ok(())
        })
    }

    /// A folder inside it is mounted read-only from now on, or not any more; a file is a mount of its own.
    pub fn set_fixed(&self, name: &str, path: &str, fixed: bool) -> EngineResult<()> {
        self.on(name, "mount a path of", |world, id| {
            let place = (id.to_owned(), path.to_owned());
            match fixed {
                true => world.fixed.insert(place),
                false => world.fixed.remove(&place),
            };
            Ok(())
        })
    }

    /// It writes a line to its log.
    pub fn say(&self, name: &str, stderr: bool, text: &str) -> EngineResult<()> {
        self.on(name, "say", |world, id| {
            world.say(id, stderr, text);
            Ok(())
        })
    }

    /// What a command with this word in it answers in this container. Without it a command is not found.
    pub fn answer_exec(&self, name: &str, word: &str, answer: ExecOutput) {
        self.shared.with(|world| {
            world
                .exec_answers
                .insert((name.to_owned(), word.to_owned()), answer)
        });
    }

    /// Commands answer by themselves again.
    pub fn forget_answers(&self) {
        self.shared.with(|world| world.exec_answers.clear());
    }

    /// An inspection of a container that costs no time and meets no faults, for assertions.
    pub fn inspect_now(&self, name: &str) -> Option<ContainerDetails> {
        self.shared
            .with(|world| world.get(name).map(|container| container.details(world.instant)))
    }

    /// Names of all containers, sorted.
    pub fn names(&self) -> Vec<String> {
        self.shared.with(|world| {
            let mut names: Vec<String> = world
                .containers
                .values()
                .map(|container| container.name.clone())
                .collect();
            names.sort_unstable();
            names
        })
    }

    /// Whether a GET of its address would be answered with 200 now.
    pub fn is_serving(&self, name: &str) -> bool {
        self.shared.with(|world| {
            let answers = super::container::Serving::Answers(200);
            world
                .get(name)
                .is_some_and(|container| container.serving(world.instant) == answers)
        })
    }
}
