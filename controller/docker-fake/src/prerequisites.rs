//! What a start of the fake engine depends on beside the container itself, and what it makes of it: owners of shared
//! namespaces, networks, host ports, files of the host. Pure.

use aegis_api::observed::{HostFacts, HostQuery};
use serde_json::Value;

use super::container::Container;
use super::effects::Actor;
use super::lifecycle::End;
use super::world::{World, no_such};
use aegis_docker::engine::{EngineError, EngineResult};

/// What the engine calls a failed start.
const START_FAILED: i64 = 128;

impl World {
    /// Names of containers in `container:NAME` become ids when a container is made. The targets
    /// of `PidMode` and `IpcMode` must exist by then; that of `NetworkMode` is resolved at the start, by its name if it did
    /// not exist.
    pub(super) fn resolve_owners(&self, host_config: &mut Value, operation: &str) -> EngineResult<()> {
        for key in ["NetworkMode", "PidMode", "IpcMode"] {
            let Some(mode) = host_config.get_mut(key) else {
                continue;
            };
            let Some(owner) = mode.as_str().and_then(|mode| mode.strip_prefix("container:")) else {
                continue;
            };
            match self.id_of(owner) {
                Some(id) => *mode = Value::String(format!("container:{id}")),
                None if key == "NetworkMode" => {}
                None => {
                    return Err(EngineError::Refused {
                        operation: operation.to_owned(),
                        message: format!("No such container: {owner}"),
                    });
                }
            }
        }
        Ok(())
    }

    /// Why the engine cannot start a container now.
    pub(super) fn can_begin(&self, id: &str, operation: &str) -> EngineResult<()> {
        let container = self.found(id, operation)?;
        let server = |message: String| {
            Err(EngineError::Server {
                operation: operation.to_owned(),
                message,
            })
        };
        if let Some(message) = container.behaviour.start_error.clone() {
            return server(message);
        }
        self.owners_run(container, operation)?;
        let endpoints = container.endpoints.iter().filter(|_| container.has_own_network());
        for (name, endpoint) in endpoints {
            let known = self.network_ids.get(name);
            let lost = endpoint.network_id.is_some() && endpoint.network_id.as_ref() != known;
            if lost || !self.networks.contains_key(name) {
                return Err(EngineError::Refused {
                    operation: operation.to_owned(),
                    message: format!(
                        "network {} not found",
                        endpoint.network_id.as_deref().unwrap_or(name)
                    ),
                });
            }
        }
        let wanted = container.wanted_ports();
        let others = self.containers.values().filter(|other| other.id != container.id);
        let mut held = others.flat_map(|other| other.published());
        if let Some(port) = held.find(|held| {
            wanted
                .iter()
                .any(|port| port.port == held.port && port.protocol == held.protocol)
        }) {
            return server(format!(
                "Bind for port {} failed: port is already allocated",
                port.port
            ));
        }
        let mut needed = container.mounted_paths().into_iter();
        match needed.find(|path| self.missing_paths.contains(*path)) {
            Some(path) => server(format!("bind source path does not exist: {path}")),
            None => Ok(()),
        }
    }

    /// Those whose namespaces it joins have processes.
    fn owners_run(&self, container: &Container, operation: &str) -> EngineResult<()> {
        for key in ["NetworkMode", "PidMode", "IpcMode"] {
            let Some(owner) = container.host(key).strip_prefix("container:") else {
                continue;
            };
            let (found, network) = (self.get(owner), key == "NetworkMode");
            let stays_out = format!("cannot join the namespace of a non running container: {owner}");
            let operation = operation.to_owned();
            match found {
                None if network => return Err(no_such(owner, &operation)),
                Some(found) if network && found.id == container.id => {
                    let message = "cannot join own network".to_owned();
                    return Err(EngineError::Server { operation, message });
                }
                Some(found) if found.is_up() => {}
                _ if network => {
                    return Err(EngineError::Conflict {
                        operation,
                        message: stays_out,
                    });
                }
                _ => {
                    return Err(EngineError::Server {
                        operation,
                        message: stays_out,
                    });
                }
            }
        }
        Ok(())
    }

    /// The container whose first process is also the first of the namespace in which this one's processes are.
    pub(super) fn process_namespace(&self, container: &Container) -> String {
        let owner = container.host("PidMode").strip_prefix("container:");
        let owner = owner.and_then(|owner| self.get(owner));
        owner.map_or_else(|| container.id.clone(), |owner| owner.process_namespace.clone())
    }

    /// A start that failed leaves its mark, and deletes what was started with `--rm`.
    pub(super) fn failed_start(&mut self, id: &str) {
        let Some(container) = self.get_mut(id) else { return };
        if container.exit_code == 0 {
            container.exit_code = START_FAILED;
        }
        if container.auto_remove() {
            let id = container.id.clone();
            self.doomed.push(id);
        }
    }

    /// Every process of a process namespace ends with its first one.
    pub(super) fn end_sharers(&mut self, first: &str) {
        let shares = self
            .containers
            .values()
            .filter(|container| container.id != first && container.process_namespace == first)
            .filter(|container| container.is_up());
        let ids: Vec<String> = shares.map(|container| container.id.clone()).collect();
        for id in ids {
            self.end_run(
                &id,
                End {
                    exit_code: 137,
                    oom: false,
                    on_request: false,
                    actor: Actor::Engine,
                },
            );
        }
    }

    pub(super) fn host_facts(&self, query: &HostQuery) -> HostFacts {
        let networks = self.networks.keys().chain(self.network_ids.values());
        let image = |name: &String| {
            self.images.contains_key(name) || self.images.values().any(|image| image.id == *name)
        };
        HostFacts {
            networks: query.networks.then(|| networks.cloned().collect()),
            runtimes: query.runtimes.then(|| ["runc".to_owned()].into()),
            missing_paths: query
                .paths
                .iter()
                .filter(|path| self.missing_paths.contains(*path))
                .cloned()
                .collect(),
            has_image: query.image.as_ref().map(image),
        }
    }
}
