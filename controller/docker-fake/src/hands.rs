//! What a person does to running containers of the fake engine and their networks with the `docker` command: restart,
//! pause, connect. Takes effect at once; never concerned by faults.

use aegis_api::observed::ContainerState;

use super::FakeEngine;
use super::container::{Container, Endpoint};
use super::effects::{Actor, Op};
use super::lifecycle::End;
use super::world::World;
use aegis_docker::engine::{EngineError, EngineResult};

fn refused<T>(operation: String, message: &str) -> EngineResult<T> {
    Err(EngineError::Conflict {
        operation,
        message: message.to_owned(),
    })
}

impl World {
    fn set_state(
        &mut self,
        id: &str,
        from: ContainerState,
        to: ContainerState,
        action: &str,
    ) -> EngineResult<()> {
        let operation = format!("{action} {id}");
        match self.get_mut(id) {
            Some(container) if container.state == from => container.state = to,
            Some(_) => return refused(operation, "the container is not in a state for that"),
            None => return Ok(()),
        }
        self.emit(id, action, &[]);
        Ok(())
    }

    fn connect(&mut self, id: &str, network: &str) -> EngineResult<()> {
        let operation = format!("connect {id} to {network}");
        let container = self.found(id, &operation)?;
        if container.is_up() && !container.has_own_network() {
            return refused(operation, "it has no networks of its own");
        }
        if !self.networks.contains_key(network) {
            return refused(operation, "there is no such network");
        }
        let up = container.is_up();
        if container.endpoints.contains_key(network) {
            return match up {
                true => refused(operation, "it is connected already"),
                false => Ok(()),
            };
        }
        let address = if up { self.new_address(network, None) } else { None };
        let endpoint = Endpoint {
            address,
            last: address,
            network_id: self.network_ids.get(network).cloned(),
            ..Endpoint::default()
        };
        if let Some(container) = self.get_mut(id) {
            container.endpoints.insert(network.to_owned(), endpoint);
        }
        if let Some(address) = address {
            self.move_in(id, address);
        }
        Ok(())
    }
}

impl FakeEngine {
    /// `docker restart`: it spares what was started with `--rm`.
    pub fn restart_by_hand(&self, name: &str) -> EngineResult<()> {
        self.on(name, "restart", |world, id| {
            let exit_code = world.get(id).map_or(0, Container::stopped_with);
            let end = End {
                exit_code,
                oom: false,
                on_request: true,
                actor: Actor::Human,
            };
            if world.get(id).is_some_and(Container::is_up) {
                world.log(id, Actor::Human, Op::Stop, "");
                world.emit(id, "kill", &[("signal", "15".to_owned())]);
                world.end_run(id, end);
                world.doomed.retain(|doomed| doomed != id);
                world.emit(id, "stop", &[]);
            }
            world.begin_run(id, Actor::Human)?;
            world.emit(id, "restart", &[]);
            Ok(())
        })
    }

    /// `docker pause`.
    pub fn pause(&self, name: &str) -> EngineResult<()> {
        self.on(name, "pause", |world, id| {
            world.set_state(id, ContainerState::Running, ContainerState::Paused, "pause")
        })
    }

    /// `docker unpause`.
    pub fn unpause(&self, name: &str) -> EngineResult<()> {
        self.on(name, "unpause", |world, id| {
            world.set_state(id, ContainerState::Paused, ContainerState::Running, "unpause")
        })
    }

    /// `docker network connect`.
    pub fn connect_to(&self, name: &str, network: &str) -> EngineResult<()> {
        self.on(name, "connect", |world, id| world.connect(id, network))
    }

    /// `docker network disconnect`: refused where it is not on that network, or has no network of its own.
    pub fn disconnect(&self, name: &str, network: &str) -> EngineResult<()> {
        self.on(name, "disconnect", |world, id| {
            let fixed = |container: &&Container| container.is_up() && !container.has_own_network();
            let container = world.get(id).filter(|container| !fixed(container));
            if container.is_none_or(|container| !container.endpoints.contains_key(network)) {
                let operation = format!("disconnect {name} from {network}");
                return refused(operation, "it is not connected to that network");
            }
            world.move_out(id, Some(network));
            if let Some(container) = world.get_mut(id) {
                container.endpoints.remove(network);
            }
            world.emit(id, "disconnect", &[("network", network.to_owned())]);
            Ok(())
        })
    }

    /// Its host ports lead to it no more, as after it was taken off the network that they lead through.
    pub fn set_published(&self, name: &str, published: bool) {
        self.shared.with(|world| {
            if let Some(container) = world.get_mut(name) {
                container.unpublished = !published;
            }
        });
    }

    /// `docker network rm`: refused while a container with a process is on it.
    pub fn remove_network(&self, network: &str) -> EngineResult<()> {
        self.shared.with(|world| {
            let mut containers = world.containers.values();
            if containers.any(|container| container.is_up() && container.endpoints.contains_key(network)) {
                return refused(format!("remove network {network}"), "it has active endpoints");
            }
            world.networks.remove(network);
            world.network_ids.remove(network);
            Ok(())
        })
    }
}
